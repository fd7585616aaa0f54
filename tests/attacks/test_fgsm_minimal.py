"""fgsm-90. Oracles: the closed form on a two-class linear model; foolbox's FGSM and a float64 gradient at the
same eps; the share itself."""

import copy
import warnings

import numpy as np
import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.attacks.deepfool.fgsm_minimal import sign, smallest
from benchmark.data.base import Grid, datasets
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.wrap import Model
from benchmark.seeds import Draws


def fit(attack, model, x, y):
    return attack.fit(model, x, y, eps=None, generator=Draws(range(len(x))))


def run(attack, model, x, y, fitted):
    return attack.run(model, x, y, eps=None, generator=Draws(range(len(x))), fitted=fitted)


def two_class(scale=1.0, low=0.3, high=0.7):
    """A two-class linear model and 200 samples that it gets right."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(36, 2)
    with torch.no_grad():
        layer.weight.mul_(scale)
        layer.bias.mul_(scale)
    model = Model(torch.nn.Sequential(torch.nn.Flatten(), layer))
    x = torch.rand(200, 1, 6, 6) * (high - low) + low
    return model, x, model(x).argmax(1), layer


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_closed_form_on_a_two_class_linear_model(share, scale):
    """Sample i breaks at |f_i| / ||w_1 - w_0||_1, so eps is the ceil(share n)-th smallest; scaled logits of 1,000s,
    where the softmax is exactly one-hot in float32, have the same one."""
    model, x, y, layer = two_class(scale)
    w, z = layer.weight.detach().double(), model(x).double()
    thresholds = ((z[:, 1] - z[:, 0]).abs() / (w[1] - w[0]).abs().sum()).sort().values.numpy()
    expected = thresholds[int(np.ceil(share * len(x))) - 1]
    fitted = fit(attacks.make("fgsm-90", {"share": share}), model, x, y)
    for name in ("eps", "eps_clipped"):  # nothing is clipped: the images are far from 0 and 1
        assert expected * (1 - 1e-4) <= fitted[name] <= expected * (1 + 2e-3)
    assert fitted["broken"] >= share
    found = run(attacks.make("fgsm-90", {"share": share}), model, x, y, fitted)
    moves = (found.inputs - x).double().flatten(1)
    np.testing.assert_allclose(moves.abs().amax(1), float(fitted["eps_clipped"]), rtol=1e-5)
    for norm, order in (("l2", 2), ("linf", torch.inf)):
        relative = moves.norm(dim=1, p=order) / x.double().flatten(1).norm(dim=1, p=order)
        np.testing.assert_allclose(found.params[f"relative_{norm}"], relative)
        np.testing.assert_allclose(found.params[f"relative_{norm}_unclipped"], relative, rtol=1e-4)
    fooled = (model(found.inputs).argmax(1) != y).numpy()
    assert fooled.mean() >= share
    np.testing.assert_array_equal(found.params["fooled_unclipped"], fooled)


def test_only_samples_that_are_right_count():
    model, x, y, _ = two_class()
    wrong = y.clone()
    wrong[:50] = 1 - wrong[:50]
    assert fit(attacks.make("fgsm-90"), model, x, wrong) == fit(attacks.make("fgsm-90"), model, x[50:], y[50:])


def test_images_at_the_ends_of_the_range_need_more_when_clipped():
    """Half of the pixels cannot move: the clipped step needs a larger eps, and its norm is measured after clipping."""
    model, x, y, _ = two_class()
    x = x.round()
    y = model(x).argmax(1)
    fitted = fit(attacks.make("fgsm-90"), model, x, y)
    assert fitted["eps_clipped"] > 1.2 * fitted["eps"]
    found = run(attacks.make("fgsm-90"), model, x, y, fitted)
    assert 0 <= float(found.inputs.min()) <= float(found.inputs.max()) <= 1
    moves = (found.inputs - x).double().flatten(1).norm(dim=1)
    np.testing.assert_allclose(found.params["relative_l2"], moves / x.double().flatten(1).norm(dim=1))
    bare = float(fitted["eps"]) * 6 / x.double().flatten(1).norm(dim=1)  # sqrt(36) elements move by eps
    np.testing.assert_allclose(found.params["relative_l2_unclipped"], bare, rtol=1e-5)


def test_the_step_is_foolboxs_fgsm_and_the_share_is_what_it_says():
    model = build_model(load_entry("digits_cnn"))
    dataset = datasets.make("digits")
    batch = dataset.load("test", dataset.index("test").ids[:200], Grid())
    x, y = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    right = model(x).argmax(1) == y
    x, y = x[right], y[right]
    fitted = fit(attacks.make("fgsm-90"), model, x, y)
    found = run(attacks.make("fgsm-90"), model, x, y, fitted)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*scipy\.ndimage\.filters.*", DeprecationWarning)
        import foolbox
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    eps = float(fitted["eps_clipped"])
    theirs = foolbox.attacks.LinfFastGradientAttack(random_start=False)(wrapped, x, y, epsilons=eps)[1]
    sure = model(x).softmax(1).gather(1, y[:, None])[:, 0] > 1 - 1e-3  # their float32 gradient underflows to rounding
    assert int((~sure).sum()) > 20
    same = ((found.inputs - theirs).abs() < 1e-6).flatten(1).float().mean(1)
    assert float(same[~sure].mean()) > 0.999
    exact = copy.deepcopy(model).double()
    z = x.double().requires_grad_()
    gradient = torch.autograd.grad(torch.nn.functional.cross_entropy(exact(z), y, reduction="sum"), z)[0]
    assert float((gradient.sign() == sign(model, x, y)).double().mean()) > 0.999
    broken = float((model(found.inputs).argmax(1) != y).float().mean())
    assert 0.9 <= broken == pytest.approx(float(fitted["broken_clipped"]))
    below = (x + eps * 0.98 * sign(model, x, y)).clamp(0, 1)
    assert float((model(below).argmax(1) != y).float().mean()) < 0.9


def test_a_model_that_no_step_breaks():
    """Constant logits: eps is NaN, and so are the relative norms; nothing is broken."""
    model, x, y, layer = two_class()
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([0.0, 1.0]))
    y = torch.ones_like(y)
    fitted = fit(attacks.make("fgsm-90"), model, x, y)
    assert np.isnan(fitted["eps"])
    assert np.isnan(fitted["eps_clipped"])
    found = run(attacks.make("fgsm-90"), model, x, y, fitted)
    assert np.isnan(found.params["relative_l2"]).all()
    assert np.isnan(found.params["relative_linf_unclipped"]).all()
    assert not found.params["fooled_unclipped"].any()


@pytest.mark.parametrize("threshold", [3e-5, 1e-4, 0.0123, 0.9999, 3.7])
def test_smallest_of_a_step_function(threshold):
    found = smallest(lambda eps: float(eps >= threshold), 0.9)
    assert threshold <= found["eps"] <= threshold * 1.0011
    assert found["broken"] == 1


def test_smallest_where_the_share_falls_again():
    """A share that falls again at larger eps (FGSM steps over a class): the first crossing counts, not any."""
    found = smallest(lambda eps: float(0.1 <= eps < 0.2 or eps > 1), 0.9)
    assert 0.1 <= found["eps"] <= 0.1002
    never = smallest(lambda eps: 0.5 if 0.1 < eps < 0.2 else 0.2, 0.9)
    assert np.isnan(never["eps"])
    assert 0.1 < never["most"] < 0.2
