"""Layer-wise relevance propagation with zennit: from a logit down to the normalised input, then to the suite's grid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from zennit import composites, rules, types
from zennit.attribution import Gradient
from zennit.torchvision import ResNetCanonizer

from benchmark.errors import ExplainerError
from benchmark.models.wrap import Model


def first_linear(module: nn.Module) -> nn.Module | None:
    """The first convolution or fully connected layer, in the order of registration (which is zennit's)."""
    return next((child for child in module.modules() if isinstance(child, types.Linear)), None)


def canonizers() -> list[Any]:
    """Batch normalisation merged into the layer before it; residual sums of torchvision's blocks as modules.

    This canonizer holds those of VGG and of plain sequences, and leaves other networks as they are.
    """
    return [ResNetCanonizer()]


def epsilon(eps: float = 1e-6) -> Any:
    """Epsilon rule in every linear layer (Bach et al. 2015, eq. 58)."""
    rule = rules.Epsilon(epsilon=eps)
    layers = [*composites.layer_map_base(), (types.Convolution, rule), (nn.Linear, rule)]
    return composites.LayerMapComposite(layer_map=layers, canonizers=canonizers())


def epsilon_plus_flat(eps: float = 1e-6) -> Any:
    """zennit's EpsilonPlusFlat: flat in the first layer, z+ in convolutions, epsilon in fully connected layers."""
    return composites.EpsilonPlusFlat(epsilon=eps, canonizers=canonizers())


def epsilon_alpha2_beta1(eps: float = 1e-6) -> Any:
    """zennit's EpsilonAlpha2Beta1: alpha-beta in convolutions, epsilon in fully connected layers."""
    return composites.EpsilonAlpha2Beta1(epsilon=eps, canonizers=canonizers())


def epsilon_gamma_box(model: Model, inputs: torch.Tensor, eps: float = 1e-6, gamma: float = 0.25) -> Any:
    """zennit's EpsilonGammaBox with the box of [0, 1] after normalisation.

    zennit puts the box rule in the first convolution only; where the network begins with a fully connected layer
    (behind a flattening), the box rule goes there.
    """
    low, high = (model.prepared(torch.full_like(inputs[:1], bound)) for bound in (0.0, 1.0))
    first_map = []
    if isinstance(first_linear(model.core), nn.Linear):
        first_map = [(nn.Linear, rules.ZBox(low=low.flatten(1), high=high.flatten(1)))]
    return composites.EpsilonGammaBox(
        low=low, high=high, epsilon=eps, gamma=gamma, first_map=first_map, canonizers=canonizers()
    )


def relevance(model: Model, inputs: torch.Tensor, targets: torch.Tensor, composite: Any) -> torch.Tensor:
    """Relevance of the target's logit on the suite's grid, (N, C, H, W).

    It is computed on ``model.core`` at the normalised input, exactly as for the bare network. Normalisation passes it
    through unchanged; the geometry by :func:`through_geometry`.

    Raises:
        ExplainerError: canonizing changed what the network computes.
    """
    prepared = model.prepared(inputs.detach()).detach().contiguous()
    with torch.no_grad():
        plain = model.core(prepared)

    def start(output: torch.Tensor) -> torch.Tensor:
        return output * F.one_hot(targets, output.shape[1]).to(output)

    with left_as_it_was(model.core), Gradient(model=model.core, composite=composite, attr_output=start) as attributor:
        output, found = attributor(prepared)
    model.counter.forwards += 2 * len(inputs)
    model.counter.backwards += len(inputs)
    drift = float((output.detach() - plain).abs().max())
    if not drift <= 1e-3 * (1 + float(plain.abs().max())):
        raise ExplainerError(
            f"lrp: merging batch normalisation into the layer registered before it changed the logits by {drift:.3g}:"
            " the network registers its layers in another order than it calls them; register each BatchNorm directly"
            " after its convolution, or leave LRP out for this entry"
        )
    return through_geometry(model.geometry, inputs, found.detach())


@contextmanager
def left_as_it_was(network: nn.Module) -> Iterator[None]:
    """Takes away what zennit 1.0 leaves behind after merging batch normalisation.

    It leaves a bias in layers that had none (so the state dict has another key) and, on the instances, attributes that
    hide parameters and buffers (so ``.to(device)`` moves what nobody reads any more). zennit 0.5 leaves nothing.
    """
    before = [(module, set(vars(module)), dict(module._parameters)) for module in network.modules()]
    try:
        yield
    finally:
        for module, names, parameters in before:
            module._parameters.update(parameters)
            for name in set(vars(module)) - names:
                del vars(module)[name]


def through_geometry(geometry: nn.Module, inputs: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """Relevance at the network's input to relevance on the suite's grid, with its sum conserved per sample.

    The geometry G (luminance, resize, repeat) is linear with weights >= 0, so the epsilon rule reads
    R = x G^T (r / G x). With |x| + 1e-6 for x, a black pixel keeps its share (by the weights alone) and nothing
    divides by zero.
    """
    if isinstance(geometry, nn.Identity):
        return found
    x = (inputs.detach().abs() + 1e-6).requires_grad_()
    with torch.enable_grad():
        seen = geometry(x)
    if seen.shape == inputs.shape and torch.equal(seen, x):
        return found
    (shares,) = torch.autograd.grad(seen, x, found / seen.detach())
    return (x * shares).detach()
