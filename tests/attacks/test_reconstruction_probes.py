"""PNAS perturbations, lesions, details, sampling and the Jacobian against closed forms.

Oracles: zero-filling is a projection, so nothing in the image is amplified and its Jacobian has singular values 1; a
weighted one has the largest weight; the recovered contrast of an attacked linear method follows from its direction.
"""

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.attacks._detail import Detail
from benchmark.attacks.base import attacks
from benchmark.data.base import Batch
from benchmark.errors import AttackError, NotApplicableError
from benchmark.models.wrap import Reconstructor
from benchmark.mri.measurement import unpack
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute

N, SIZE = 3, 16


class Weighted(nn.Module):
    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = gain

    def forward(self, y, physics):
        weights = torch.ones_like(y)
        weights[..., SIZE // 2, SIZE // 2 + 1] = self.gain
        return physics.A_adjoint(y * weights)


class OneMask(Weighted):
    def refuses(self, physics):
        return None if physics.mask.mean() > 0.45 else "trained for one mask"


def run(use, network, eps=None, view=0, **params):
    task = tasks.make("reconstruction", {"mask": {"fraction": 0.5}})
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(N, 2, SIZE, SIZE, generator=generator) * 0.05
    image[:, 0, 3:13, 3:13] += 1
    image = image / image.square().sum(1).sqrt().amax((1, 2)).view(-1, 1, 1, 1)
    batch = task.present(Batch(tuple("abc"), image.numpy(), np.zeros(N)))
    model, inputs, truth = Reconstructor(network), torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    attack = attacks.make(use, params).at_view(view)
    rows, out = execute(
        task, attack, model, inputs, truth, task.clean(model, batch), eps=eps, generator=Draws(range(N))
    )
    return rows, out, inputs, truth


def test_pnas_finds_no_fault_in_a_projection():
    rows, *_ = run("pnas", Weighted(), 0.05)
    assert (rows["amp"] <= 1 + 1e-5).all()
    assert (rows["param_size"] <= 0.05).all()


def test_pnas_finds_what_a_network_amplifies():
    """The direction of gain 4 is reached within 10 %, and what once met the budget stays inside it."""
    rows, *_ = run("pnas", Weighted(4.0), 0.05, steps=200, lam=0.0)
    assert (rows["amp"] > 3.6).all()
    assert (rows["amp"] <= 4 + 1e-4).all()
    assert (rows["param_stopped"] == 1).all()
    np.testing.assert_allclose(rows["param_size"], 0.05, rtol=1e-4)


class Rounded(Weighted):
    """An output that moves in steps: its gradient is zero everywhere."""

    def forward(self, y, physics):
        image = super().forward(y, physics)
        return image.round(decimals=2) + 0 * image


class Blind(Weighted):
    def forward(self, y, physics):
        with torch.no_grad():
            return super().forward(y, physics)


@pytest.mark.parametrize("network", [Rounded(), Blind()])
@pytest.mark.parametrize(("use", "eps"), [("pnas", 0.05), ("jacobian", None), ("lesion", 0.05)])
def test_a_missing_or_zero_gradient_fails_everywhere(network, use, eps):
    """Control: what hides its gradient must not look robust in any column."""
    with pytest.raises(AttackError, match="gradient"):
        run(use, network, eps)


def test_an_oracle_is_told_the_noise_of_the_condition():
    """Not the task's, and of an attack on the measurement its budget."""
    task = tasks.make("reconstruction", {"noise": 0.02})
    model, shift = Reconstructor(Weighted()), attacks.make("shift")
    for view, condition in enumerate(shift.conditions()):
        with task.side_information(model, shift.at_view(view), None):
            assert model.level == condition.noise
    with task.side_information(model, attacks.make("measurement-noise"), 0.05):
        assert model.level == 0.05
    with task.side_information(model, attacks.make("pnas"), 0.05):
        assert model.level == 0.02
    assert model.level == 0


@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_the_jacobian_of_a_linear_method(gain):
    rows, out, inputs, _ = run("jacobian", Weighted(gain), iterations=30)
    np.testing.assert_allclose(rows["param_sigma"], gain, rtol=1e-3)
    assert (rows["param_sigma"] <= gain * (1 + 1e-5)).all()
    assert torch.equal(out, inputs)


@pytest.mark.parametrize("mode", ["hide", "create"])
def test_lesions_reach_the_closed_form(mode):
    """<A* e, d> over ||e|| <= rho is rho ||A d||: zero-filling recovers c0 -+ rho ||A d|| / ||d||^2."""
    eps = 0.01
    rows, _, inputs, truth = run("lesion", Weighted(), eps, mode=mode, steps=60)
    detail = Detail(kind="lesion", size=3, contrast=0.3)
    d = torch.as_tensor(np.stack([detail.draw(t) for t in truth.numpy()]))
    seen = unpack(inputs).physics().A(d)
    power, reached = d.square().flatten(1).sum(1), seen.flatten(1).norm(dim=1)
    base = unpack(inputs)
    y = (base.y + (seen if mode == "hide" else 0)).flatten(1).norm(dim=1)
    clean = reached.square() / power if mode == "hide" else torch.zeros(N)
    expected = clean + (-1 if mode == "hide" else 1) * eps * y * reached / power
    np.testing.assert_allclose(rows["contrast"], expected.numpy(), rtol=2e-3, atol=2e-3)
    assert (rows["status"] == "ok").all()


def test_details_of_a_projection_are_recovered_as_far_as_they_are_measured():
    rows, _, inputs, truth = run("details", Weighted(), view=5)
    d = torch.as_tensor(np.stack([attacks.make("details").details[5].draw(t) for t in truth.numpy()]))
    seen = unpack(inputs).physics().A(d).flatten(1).norm(dim=1).square() / d.square().flatten(1).sum(1)
    np.testing.assert_allclose(rows["contrast"], seen.numpy(), rtol=1e-4)


@pytest.mark.parametrize("kind", ["text", "suits", "lesion"])
def test_a_detail_has_its_contrast_and_lies_in_the_head(kind):
    """Property: the largest change is the contrast, in the phase of what is there, and never outside the head."""
    truth = np.zeros((2, 32, 32), np.float32)
    truth[:, 4:28, 4:28] = np.sqrt(0.5)
    d = Detail(kind=kind, size=4, contrast=0.2).draw(truth)
    assert np.hypot(*d).max() == pytest.approx(0.2, rel=0.25)
    assert not d[:, :3].any()
    np.testing.assert_allclose(d[0], d[1], atol=1e-4)


def test_sampling_measures_more_and_networks_of_one_mask_are_skipped():
    few, more = (run("sampling", Weighted(), view=v, fractions=[0.1, 0.5])[0] for v in (0, 1))
    assert (more["psnr"] > few["psnr"]).all()
    with pytest.raises(NotApplicableError, match="one mask"):
        run("sampling", OneMask(), view=0, fractions=[0.1, 0.5])
