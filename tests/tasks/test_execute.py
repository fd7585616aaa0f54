"""How attacks are run. Oracles: properties (paired draws, exact calls, restored state), errors by name."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.data.base import Batch
from benchmark.errors import AttackError
from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute


class Toy(Attack):
    """Does what ``how`` says."""

    how: str = "identity"

    @property
    def threat(self):
        return Threat(norm="linf", kind="fixed")

    def run(self, model, inputs, labels, *, eps, generator, fitted=None):
        n = len(inputs)
        if self.how == "raise":
            raise KeyError("inside")
        if self.how == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.how == "double":
            return Perturbed(inputs.double())
        if self.how == "fewer":
            return Perturbed(inputs[:-1])
        if self.how == "tensor":
            return inputs
        if self.how == "train":
            model.train()
            model.requires_grad_(True)
            model(inputs).sum().backward()
        if self.how == "global":
            return Perturbed((inputs + 0.05 * torch.rand_like(inputs) * np.random.rand()).clamp(0, 1))
        if self.how == "params":
            return Perturbed(inputs, {"angle": np.arange(n), "grid": np.zeros((n, 2)), "name": np.array(["x"] * n)})
        inputs += 0.01  # the caller's inputs must not move
        return Perturbed(inputs.clamp(0, 1))


class Whole(Toy):
    whole_batch: ClassVar[bool] = True


def case(wrong=()):
    torch.manual_seed(0)
    model = Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(16, 4)))
    x = torch.rand((6, 1, 4, 4), generator=torch.Generator().manual_seed(1)) * 0.5
    y = model(x).argmax(1)
    for i in wrong:
        y[i] = (y[i] + 1) % 4
    task = tasks.make("classification")
    return task, model, x, y, task.clean(model, Batch(tuple("abcdef"), x.numpy(), y.numpy()))


def run(attack, wrong=(), eps=0.1):
    task, model, x, y, clean = case(wrong)
    return (*execute(task, attack, model, x, y, clean, eps=eps, generator=Draws(range(6))), model, x)


def test_samples_left_out_are_judged_as_they_stand():
    rows, out, _, x = run(Toy(), wrong=(1, 4))
    moved = (out != x).flatten(1).any(1)
    assert moved.tolist() == [True, False, True, True, False, True]
    assert (rows["norm_linf"] > 0).tolist() == moved.tolist()
    assert (rows["status"] == "ok").all()
    assert rows["pred"][[1, 4]].tolist() == rows["pred_clean"][[1, 4]].tolist()
    assert rows["forwards"].tolist() == [0] * 6


def test_whole_batch_attacks_see_every_sample():
    _, out, _, x = run(Whole(), wrong=(1, 4))
    assert (out != x).flatten(1).any(1).all()


def test_params_become_columns():
    rows, *_ = run(Toy(how="params"), wrong=(0,))
    np.testing.assert_array_equal(rows["param_angle"], [np.nan, 0, 1, 2, 3, 4])
    assert [name for name in rows if name.startswith("param_")] == ["param_angle"]


def test_inputs_model_and_random_state_are_as_before():
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(1), np.random.rand()
    for how in ("identity", "train", "global"):
        torch.manual_seed(5)
        np.random.seed(5)
        task, model, x, y, clean = case()
        before = x.clone()
        torch.manual_seed(5)
        execute(task, Toy(how=how), model, x, y, clean, eps=0.1, generator=Draws(range(6)))
        assert torch.equal(x, before)
        assert (torch.rand(1), np.random.rand()) == expected
        assert not any(m.training for m in model.modules())
        assert all(p.grad is None and not p.requires_grad for p in model.parameters())


def test_global_randomness_is_seeded_by_the_samples():
    a, b = run(Whole(how="global"))[1], run(Whole(how="global"))[1]
    assert torch.equal(a, b)
    task, model, x, y, clean = case()
    other = execute(task, Whole(how="global"), model, x, y, clean, eps=0.1, generator=Draws(range(1, 7)))[1]
    assert not torch.equal(a, other)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("raise", "raised KeyError: 'inside'"),
        ("double", r"returned torch.float64 \(6, 1, 4, 4\), expected torch.float32"),
        ("fewer", r"returned torch.float32 \(5, 1, 4, 4\)"),
        ("tensor", "returned Tensor, expected Perturbed"),
    ],
)
def test_what_an_attack_does_wrong_is_named(how, says):
    with pytest.raises(AttackError, match=says):
        run(Toy(how=how))


def test_out_of_memory_passes_through():
    """The cell halves its batch on it."""
    with pytest.raises(torch.OutOfMemoryError):
        run(Toy(how="memory"))


def test_calls_are_the_wrappers_mean_unless_the_attack_knows():
    rows, *_ = run(attacks.make("torchattacks:BIM", {"steps": 4}))
    assert rows["forwards"].tolist() == [4] * 6
    assert rows["backwards"].tolist() == [4] * 6
    rows, *_ = run(attacks.make("noise-linf", {"draws": 3}))
    assert rows["forwards"].tolist() == [3] * 6
    assert rows["backwards"].tolist() == [0] * 6


def test_the_verifier_has_the_last_word():
    """The same inputs: a success within the budget, out of budget where it is smaller, nothing else changed."""
    attack = attacks.make("torchattacks:PGD", {"steps": 10})
    task, model, x, y, clean = case()
    rows, out = execute(task, attack, model, x, y, clean, eps=0.5, generator=Draws(range(6)))
    assert rows["success"].any()
    labels = y
    for eps, status in ((0.5, "ok"), (0.01, "out_of_budget")):
        again = task.verify(model, x, labels, Perturbed(out), attack, eps=eps, clean=clean)
        assert (again["status"] == status).all()
        assert again["success"].any() == (status == "ok")
        np.testing.assert_array_equal(again["pred"], rows["pred"])


def test_a_model_that_draws_is_judged_alike_each_time():
    """Its own random numbers come from the seeded global generator, when it is attacked and when it is judged."""

    class Noisy(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :4] + torch.rand((len(x), 4))

    model = Model(Noisy())
    _, _, x, y, _ = case()
    clean = {"pred_clean": y.numpy(), "correct": np.ones(6, bool)}
    margins = []
    for _ in range(2):
        torch.rand(7)  # another global state must not matter
        rows, _ = execute(tasks.make("classification"), Toy(), model, x, y, clean, eps=0.1, generator=Draws(range(6)))
        margins.append(rows["margin"])
    np.testing.assert_array_equal(*margins)
