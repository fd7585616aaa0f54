"""The verifier. Oracles: NumPy's norms in float64 (closed form), published tolerances, attacks pushed out of budget."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.attacks.controls import Identity
from benchmark.attacks.verify import allowed, in_range, judge, norms, within_budget
from benchmark.errors import AttackError
from benchmark.models.wrap import Model
from benchmark.seeds import Draws

images = arrays(np.float32, (3, 1, 4, 4), elements=st.floats(0, 1, width=32))


@settings(max_examples=50, deadline=None)
@given(images, images)
def test_norms_are_numpys_in_float64(a, b):
    found = norms(torch.as_tensor(a), torch.as_tensor(b))
    d = (b.astype(np.float64) - a.astype(np.float64)).reshape(3, -1)
    for name, order in (("l0", 0), ("l1", 1), ("l2", 2), ("linf", np.inf)):
        np.testing.assert_allclose(found[name], np.linalg.norm(d, ord=order, axis=1), rtol=1e-12, atol=1e-15)
        assert found[name].dtype == np.float64
    assert (found["linf"] <= found["l2"] * (1 + 1e-12)).all()
    assert (found["l2"] <= found["l1"] * (1 + 1e-12)).all()
    assert (found["l1"] <= found["l0"] * (1 + 1e-12)).all()


@settings(max_examples=50, deadline=None)
@given(images, st.floats(1e-3, 0.5))
def test_one_float32_step_of_eps_passes_and_one_percent_more_does_not(x, eps):
    x = torch.as_tensor(x) * 0.4  # room above, so that nothing is clipped
    for norm, direction in (("linf", torch.ones_like(x)), ("l2", torch.full_like(x, 0.25)), ("l1", x * 0 + 1 / 16)):
        honest = norms(x, x + eps * direction)[norm]
        assert within_budget(honest, eps, norm, 16).all()
        assert not within_budget(norms(x, x + 1.01 * eps * direction)[norm], eps, norm, 16).any()


def test_no_tolerance_hole():
    """The slack is one rounding: never a thousandth of the budget, however small the budget or large the image."""
    for eps in (1e-3, 8 / 255, 0.5):
        assert allowed(eps, "linf", 10**6) / eps - 1 < 1e-4
    assert allowed(0.0, "linf", 64) == 6e-8
    assert allowed(0.5, "l2", 224 * 224 * 3) / 0.5 - 1 < 1e-4
    assert allowed(3, "l0", 64) == 3
    assert not within_budget(np.array([np.nan, np.inf, 4.0]), 3, "l0", 64).any()
    with pytest.raises(AttackError, match="'none'"):
        allowed(1.0, "none", 64)


@pytest.mark.parametrize(
    ("value", "inside"), [(0.0, True), (1.0, True), (1 + 1.2e-7, False), (-1e-7, False), (-5e-8, True), (np.nan, False)]
)
def test_range(value, inside):
    assert in_range(torch.full((1, 1, 2, 2), value)).tolist() == [inside]


def linear(classes=3, seed=0):
    torch.manual_seed(seed)
    return Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes)))


@pytest.mark.parametrize("use", ["foolbox:LinfPGD", "foolbox:L2PGD", "torchattacks:PGD", "torchattacks:PGDL2"])
@pytest.mark.parametrize("eps", [0.001, 0.005, 8 / 255, 0.3])
def test_pgd_of_both_libraries_is_accepted_and_one_percent_out_is_not(use, eps):
    rng = torch.Generator().manual_seed(1)
    x = torch.rand((64, 1, 8, 8), generator=rng) * 0.2 + 0.4  # no clipping: every sample reaches the budget
    y = torch.randint(0, 3, (64,), generator=rng)
    params = {"alpha": eps / 2, "steps": 5} if use.startswith("torch") else {"abs_stepsize": eps / 2, "steps": 5}
    attack = attacks.make(use, params)
    found = attack.run(linear(), x, y, eps=eps, generator=Draws([0] * 64))
    status, by = judge(attack, x, found, eps)
    assert (status == "ok").all(), by[attack.threat.norm].max() / eps
    near = by[attack.threat.norm] > 0.995 * eps
    assert near.mean() > 0.5
    pushed = Perturbed(x + 1.01 * (found.inputs - x))
    assert (judge(attack, x, pushed, eps)[0][near] == "out_of_budget").all()


def test_out_of_range_and_nan_have_their_status():
    x = torch.full((3, 1, 2, 2), 0.5)
    y = x.clone()
    y[1, 0, 0, 0], y[2, 0, 0, 0] = 1.5, float("nan")
    assert judge(Identity(), x, Perturbed(y), None)[0].tolist() == ["ok", "out_of_budget", "nan"]


def test_a_fixed_budget_attack_without_a_budget_is_an_error():
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(AttackError, match="without eps"):
        judge(attacks.make("noise-linf"), x, Perturbed(x), None)


class Roll(Attack):
    """Toy threat without a norm: shift by at most ``limit`` columns."""

    limit: ClassVar[int] = 2

    @property
    def threat(self):
        return Threat(norm="none", kind="none")

    def run(self, model, inputs, labels, *, eps, generator, fitted=None):
        shift = generator.integers((), -2, 3).numpy()
        return Perturbed(self.replay(inputs, {"shift": shift}), {"shift": shift})

    def replay(self, inputs, params):
        return torch.stack([x.roll(int(s), dims=-1) for x, s in zip(inputs, params["shift"], strict=True)])

    def admissible(self, params, eps):
        return np.abs(params["shift"]) <= self.limit


def test_a_threat_without_a_norm_is_verified_by_replay():
    x = torch.rand((8, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    found = Roll().run(None, x, None, eps=None, generator=Draws(range(8)))
    assert (judge(Roll(), x, found, None)[0] == "ok").all()
    assert len(set(found.params["shift"].tolist())) > 1

    tampered = found.inputs.clone()
    tampered[0, 0, 0, 0] += 1e-4 if tampered[0, 0, 0, 0] < 0.5 else -1e-4
    assert judge(Roll(), x, Perturbed(tampered, found.params), None)[0].tolist() == ["out_of_budget"] + ["ok"] * 7

    far = {"shift": np.full(8, 3)}
    assert (judge(Roll(), x, Perturbed(Roll().replay(x, far), far), None)[0] == "out_of_budget").all()


def test_a_threat_without_a_norm_needs_a_replay():
    class Mute(Roll):
        replay = Attack.replay

    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(AttackError, match="replay"):
        judge(Mute(), x, Perturbed(x), None)
