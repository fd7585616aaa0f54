"""Perturbations of measurements against closed forms, and the judge's numbers.

Oracles: for a linear reconstruction B of a noiseless truth x = B y, the worst error within rho is rho sigma_max(B);
for zero-filling, whose clean error lies in the null space of A, it is sqrt(null^2 + rho^2), and its amplification is
exactly 1.
"""

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.attacks.base import Perturbed, attacks
from benchmark.data.base import Batch
from benchmark.errors import AttackError
from benchmark.models.wrap import Reconstructor
from benchmark.mri.measurement import unpack
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute

N, SIZE = 3, 16


class ZeroFilled(nn.Module):
    def forward(self, y, physics):
        return physics.A_adjoint(y)


class Scaled(nn.Module):
    """Zero-filling whose first k-space row near the centre is amplified: a linear map with sigma_max = ``gain``."""

    def __init__(self, gain=5.0):
        super().__init__()
        self.gain = gain

    def forward(self, y, physics):
        weights = torch.ones_like(y)
        weights[..., SIZE // 2, SIZE // 2 + 1] = self.gain
        return physics.A_adjoint(y * weights)


class Blind(nn.Module):
    """A reconstruction without a gradient (a solver under no_grad): it must not look robust."""

    def forward(self, y, physics):
        with torch.no_grad():
            return physics.A_adjoint(y)


class Constant(nn.Module):
    """Ignores its measurement: a gradient that is zero."""

    def forward(self, y, physics):
        return 0 * physics.A_adjoint(y)


@pytest.fixture
def task():
    return tasks.make("reconstruction", {"mask": {"kind": "vd2d", "fraction": 0.5}})


@pytest.fixture
def batch(task):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(N, 2, SIZE, SIZE, generator=generator) * 0.2
    image[:, 0, 4:12, 4:12] += 1
    image = image / image.square().sum(1).sqrt().amax((1, 2)).view(-1, 1, 1, 1)
    return task.present(Batch(tuple(f"s{i}" for i in range(N)), image.numpy(), np.zeros(N)))


def attacked(task, batch, network, use, eps, found=None, **params):
    model = Reconstructor(network)
    inputs, truth = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    clean = task.clean(model, batch)
    draws = Draws([7 + i for i in range(N)])
    attack = attacks.make(use, params)
    return execute(task, attack, model, inputs, truth, clean, eps=eps, generator=draws, others=found), clean


@pytest.mark.parametrize("eps", [0.01, 0.05])
def test_zero_filling_reaches_its_closed_form(task, batch, eps):
    (rows, _), clean = attacked(task, batch, ZeroFilled(), "measurement-l2", eps)
    y, truth = unpack(torch.as_tensor(batch.inputs)).norm().numpy(), torch.as_tensor(batch.labels)
    size = truth.flatten(1).norm(dim=1).numpy()
    expected = np.sqrt(np.square(clean["rel_err"] * size) + np.square(eps * y)) / size
    np.testing.assert_allclose(rows["rel_err"], expected, rtol=1e-4)
    np.testing.assert_allclose(rows["amp"], 1, rtol=1e-5)
    np.testing.assert_allclose(rows["amp_ratio"], 1, rtol=1e-5)
    assert (rows["status"] == "ok").all()
    assert (rows["halluc"] < 1e-5).all()


def test_a_linear_map_reaches_its_largest_singular_value(task, batch):
    """From above it can never come; from below within 2 %."""
    (rows, _), _ = attacked(task, batch, Scaled(), "measurement-l2", 0.05, steps=150)
    assert (rows["amp"] <= 5 * (1 + 1e-5)).all()
    assert (rows["amp"] > 4.9).all()
    assert (rows["amp_ratio"] > 3).all()
    assert rows["success"].all()


def test_random_noise_does_not(task, batch):
    """Control: the same norm in a random direction."""
    (rows, _), _ = attacked(task, batch, Scaled(), "measurement-noise", 0.05)
    assert (rows["amp"] < 2).all()
    y = unpack(torch.as_tensor(batch.inputs)).norm().numpy()
    np.testing.assert_allclose(rows["norm_l2"], 0.05 * y, rtol=1e-4)


@pytest.mark.parametrize(("network", "said"), [(Blind(), "no gradient"), (Constant(), "zero or not finite")])
def test_a_missing_gradient_fails(task, batch, network, said):
    with pytest.raises(AttackError, match=said):
        attacked(task, batch, network, "measurement-l2", 0.05)


def test_starts_from_what_a_larger_budget_found(task, batch):
    """Property: one step from the larger budget's answer is as good as many from anywhere, for a linear map."""
    (_, larger), _ = attacked(task, batch, Scaled(), "measurement-l2", 0.08, steps=150)
    found = {"larger": larger.numpy()}
    (rows, _), _ = attacked(task, batch, Scaled(), "measurement-l2", 0.01, found=found, steps=1, starts=1)
    assert (rows["amp"] > 4.8).all()
    assert (rows["status"] == "ok").all()


def test_transfer_takes_the_worst_and_projects(task, batch):
    (_, strong), _ = attacked(task, batch, Scaled(), "measurement-l2", 0.08, steps=100)
    (_, weak), _ = attacked(task, batch, Scaled(), "measurement-noise", 0.08)
    found = {"found:weak": weak.numpy(), "found:strong": strong.numpy()}
    (rows, _), _ = attacked(task, batch, Scaled(), "measurement-transfer", 0.05, found=found)
    assert (rows["param_source"] == 1).all()
    assert (rows["status"] == "ok").all()
    assert (rows["amp"] > 4.5).all()


def test_out_of_budget_and_off_the_mask_are_refused(task, batch):
    """Control: what a cheating attack would return."""
    model, inputs = Reconstructor(ZeroFilled()), torch.as_tensor(batch.inputs)
    truth, attack = torch.as_tensor(batch.labels), attacks.make("measurement-noise")
    too_large = unpack(inputs).with_y(1.2 * unpack(inputs).y).pack()
    off_mask, other_mask = inputs.clone(), inputs.clone()
    off_mask[:, 0][inputs[:, 2] == 0] += 1e-3
    other_mask[:, 2] = 1
    for wrong in (too_large, off_mask, other_mask):
        rows = task.verify(model, inputs, truth, Perturbed(wrong), attack, eps=0.1, clean={}, generator=Draws(range(N)))
        assert (rows["status"] == "out_of_budget").all()
        assert not rows["success"].any()


def test_the_batch_size_does_not_matter(task, batch):
    (whole, _), _ = attacked(task, batch, Scaled(), "measurement-l2", 0.05, steps=5)
    model, clean = Reconstructor(Scaled()), task.clean(Reconstructor(Scaled()), batch)
    attack = attacks.make("measurement-l2", {"steps": 5})
    for i in range(N):
        one = slice(i, i + 1)
        part = {name: values[one] for name, values in clean.items()}
        inputs, truth = torch.as_tensor(batch.inputs[one]), torch.as_tensor(batch.labels[one])
        rows, _ = execute(task, attack, model, inputs, truth, part, eps=0.05, generator=Draws([7 + i]))
        np.testing.assert_allclose(rows["amp"], whole["amp"][one], rtol=1e-4)
        np.testing.assert_allclose(rows["amp_noise"], whole["amp_noise"][one], rtol=1e-4)
