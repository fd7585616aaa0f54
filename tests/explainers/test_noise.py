"""Gradients at random points. Oracles: closed forms on a linear model, replayed draws, completeness on average."""

import pytest
import torch

from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from tests.explainers.networks import explain, linear_model, small_cnn


def test_linear_model_closed_forms():
    model, slope, inputs, targets = linear_model()
    draws, mean = Draws(range(5)), torch.zeros_like(inputs)
    for _ in range(7):
        mean += 0.3 * draws.normal(inputs.shape[1:]) / 7
    found = explain("smoothtaylor", model, inputs, targets, samples=7)
    torch.testing.assert_close(found, -mean * slope, atol=1e-5, rtol=1e-4)
    squared = explain("smoothgrad-squared", model, inputs, targets, samples=3)
    torch.testing.assert_close(squared, slope.square(), atol=1e-5, rtol=1e-4)
    assert explain("vargrad", model, inputs, targets, samples=4).abs().max() < 1e-10 * slope.square().max()
    shap = explain("gradient-shap", model, inputs, targets, samples=3, baselines=[0.2])
    torch.testing.assert_close(shap, slope * (inputs - 0.2), atol=1e-5, rtol=1e-4)


class Square(torch.nn.Module):
    """Two logits, sum x^2 and its double."""

    def forward(self, x):
        return x.square().flatten(1).sum(1, keepdim=True) * torch.tensor([[1.0, 2.0]])


def test_smoothtaylor_of_a_square_is_its_curvature():
    """E[(x - z) 2 z] = -2 sigma^2 for z = x + eps: the same at every x."""
    inputs = torch.rand(1, 1, 30, 30)
    found = explain("smoothtaylor", Model(Square()), inputs, torch.tensor([0]), samples=400, noise=0.3)
    spread = 0.09 * (4 * inputs.square().mean() / 0.09 + 8) ** 0.5  # of one element: 4 x^2 s^2 + 8 s^4
    assert abs(float(found.mean()) + 0.18) < 4 * float(spread) / (400 * 900) ** 0.5


def test_vargrad_of_a_square():
    """The gradient 2 (x + eps) has variance 4 sigma^2."""
    found = explain("vargrad", Model(Square()), torch.rand(1, 1, 30, 30), torch.tensor([0]), samples=200, noise=0.1)
    assert float(found.mean()) == pytest.approx(0.04 * 199 / 200, rel=0.02)


def test_moments_are_those_of_replayed_gradients():
    network = small_cnn()
    inputs, targets = torch.rand(2, 1, 8, 8), torch.tensor([1, 2])
    draws, found = Draws([5, 6]), []
    for _ in range(6):
        x = (inputs + 0.2 * draws.normal((1, 8, 8))).requires_grad_()
        found.append(torch.autograd.grad(network(x).gather(1, targets[:, None]).sum(), x)[0])
    gradients, params = torch.stack(found).double(), {"samples": 6, "noise": 0.2}
    given = (Model(network), inputs, targets, [5, 6])
    for name, wanted in (
        ("smoothgrad", gradients.mean(0)),
        ("smoothgrad-squared", gradients.square().mean(0)),
        ("vargrad", gradients.var(0, correction=0)),
    ):
        torch.testing.assert_close(explain(name, *given, **params), wanted.float(), atol=1e-7, rtol=1e-4)


def test_gradient_shap_tends_to_integrated_gradients_and_is_complete_on_average():
    model, inputs, targets = Model(small_cnn()), torch.rand(2, 1, 8, 8), torch.tensor([0, 3])
    found = explain("gradient-shap", model, inputs, targets, samples=4000)
    exact = explain("integrated-gradients", model, inputs, targets, steps=300)
    assert (found - exact).abs().max() < 0.03 * exact.abs().max()
    change = (model(inputs) - model(torch.zeros_like(inputs))).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(found.sum((1, 2, 3)), change, atol=5e-3, rtol=2e-2)


def test_gradient_shap_takes_each_of_its_references():
    """A linear model's mean is between the two references' closed forms, by how often each is drawn."""
    model, slope, inputs, targets = linear_model()
    found = explain("gradient-shap", model, inputs, targets, samples=2000, baselines=[0.0, 1.0])
    share = ((slope * inputs - found) / slope).flatten(1)  # the mean reference, the same for all elements of a sample
    torch.testing.assert_close(share, share.mean(1, keepdim=True).expand_as(share), atol=1e-3, rtol=1e-3)
    assert (share.mean(1) - 0.5).abs().max() < 4 * 0.5 / 2000**0.5


def test_gradient_shap_noise_moves_the_input_only():
    model, slope, inputs, targets = linear_model()
    found = explain("gradient-shap", model, inputs, targets, samples=1, noise=0.5)
    draws = Draws(range(5))
    draws.integers((1,), 0, 1)
    draws.uniform((1,))
    wanted = slope * (inputs + 0.5 * draws.normal(inputs.shape[1:]))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
