"""What the captum methods share: gradients of chosen logits, memory bounds, the GradCAM layer, DeepLift's check."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from benchmark.errors import RefusedError
from benchmark.models.watch import eager_mode, once, scripted
from benchmark.models.wrap import Geometry, Model

INPUT_ELEMENTS = 2**18  # elements of input a forward may hold: 4,096 images of 8x8, 64 of 64x64, 1 of 3x224x224


def leaf(inputs: torch.Tensor) -> torch.Tensor:
    """A fresh leaf with the same values that asks for its gradient."""
    return inputs.detach().clone().requires_grad_()


def target_gradient(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Gradient of each sample's target logit at the inputs, (N, C, H, W), detached."""
    x = leaf(inputs)
    with torch.enable_grad():
        chosen = model(x).gather(1, targets.view(-1, 1)).sum()
    return torch.autograd.grad(chosen, x)[0]


def rows_per_forward(inputs: torch.Tensor) -> int:
    """How many images one forward may hold (at least 1)."""
    return max(1, INPUT_ELEMENTS // max(1, inputs[0].numel()))


@contextmanager
def captum_quiet() -> Iterator[None]:
    """Captum warns of its own hooks and of gradients it switches on; neither concerns the user."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s)Setting forward, backward hooks")
        warnings.filterwarnings("ignore", message=r"(?s)Setting backward hooks on ReLU")
        warnings.filterwarnings("ignore", message=r"(?s)Input Tensor \d+ (did not already require|had a non-zero)")
        warnings.filterwarnings("ignore", message=r"(?s)Internal batch size cannot be less than")
        yield


def network_input(model: Model, entry: Any) -> torch.Tensor | None:
    """One black input of the bare network: shape of the entry, else of the model's geometry, else None."""
    shape = getattr(getattr(entry, "spec", entry), "input_shape", None)
    if not shape and isinstance(model.geometry, Geometry):
        shape = (model.geometry.channels, *model.geometry.size)
    return torch.zeros(1, *shape, device=model.device) if shape else None


def random_input(model: Model, entry: Any, count: int = 2) -> torch.Tensor | None:
    """Seeded noise in [0, 1] of the network's own shape (see :func:`network_input`), for a method's check of itself."""
    black = network_input(model, entry)
    return None if black is None else noise(model, black.shape[1:], count)


def noise(model: Model, shape: Sequence[int], count: int = 2) -> torch.Tensor:
    """Seeded noise in [0, 1], (count, *shape), where the model is and in float64 where it is: for a method's check."""
    drawn = torch.rand(count, *shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    return drawn.double() if any(part.dtype == torch.float64 for part in model.parameters()) else drawn


def deeplift(
    model: Model, inputs: torch.Tensor, targets: torch.Tensor, baseline: float, tolerance: float
) -> torch.Tensor:
    """captum's DeepLift with its completeness checked per sample.

    The sum of a sample's attributions must equal the change of its target logit from the baseline, to within
    ``tolerance`` times the largest change among the sample's logits. captum loses relevance in functional or shared
    ReLUs, and in max pooling where input and baseline have their maximum at different places (captum#1276).

    Raises:
        RefusedError: captum refuses the network, or completeness fails.
    """
    from captum.attr import DeepLift

    advice = (
        "DeepLift needs every non-linearity to be its own nn.Module (not F.relu, not one nn.ReLU used twice, not"
        " in place) and average instead of max pooling: write it so, or leave deeplift out for this entry"
    )
    if reason := scripted(model.network):
        raise RefusedError(f"deeplift: {reason}; {advice}")
    x, reference = leaf(inputs), torch.full_like(inputs, baseline)
    own = {name for name, module in model.named_modules() if {"input", "output", "input_ref"} & set(vars(module))}
    try:
        with captum_quiet(), eager_mode():
            # one path to every module: a one-logit Model holds its network twice, and captum would hook it twice
            chain = nn.Sequential(model.geometry, model.normalise, model.core)
            relevance = DeepLift(chain).attribute(x, baselines=reference, target=targets)
    except (RuntimeError, AssertionError) as error:
        raise RefusedError(f"deeplift: captum refuses this network: {str(error)[:300]}; {advice}") from error
    finally:
        for name, module in model.named_modules():
            if name not in own:  # captum leaves its stored activations behind where it fails half-way
                for key in ("input", "output", "input_ref"):
                    vars(module).pop(key, None)
    model.counter.forwards += 2 * len(inputs)
    model.counter.backwards += 2 * len(inputs)
    attributions: torch.Tensor = relevance.detach()
    with torch.no_grad():
        change = model(inputs).double() - model(reference).double()
    wanted = change.gather(1, targets.view(-1, 1))[:, 0]
    error_ = (attributions.flatten(1).double().sum(1) - wanted).abs()
    scale = change.abs().amax(1).clamp_min(1e-12)
    worst = int((error_ / scale).nan_to_num(nan=torch.inf).argmax())
    if not bool((error_ <= tolerance * scale).all()):
        raise RefusedError(
            f"deeplift: completeness fails by {float(error_[worst] / scale[worst]):.1%} of the output's change"
            f" (sum of attributions {float(attributions[worst].sum()):.4g}, change of the logit"
            f" {float(wanted[worst]):.4g}, allowed {tolerance:.1%}): shared or functional ReLUs and max pooling"
            f" make captum's DeepLift silently wrong; {advice}"
        )
    return attributions


def incomplete(model: Model, entry: Any, baselines: Sequence[float], tolerance: float) -> str | None:
    """A reason where DeepLift refuses a network on seeded noise, found once; None where its shape is unknown."""
    probe = random_input(model, entry)
    if probe is None:
        return None

    def find() -> str | None:
        with model.counter.paused():
            targets = model(probe).argmax(1)
            try:
                for baseline in baselines:
                    deeplift(model, probe, targets, baseline, tolerance)
            except RefusedError as error:
                return str(error)
        return None

    return once(model, f"deeplift from {tuple(baselines)} within {tolerance}", find)
