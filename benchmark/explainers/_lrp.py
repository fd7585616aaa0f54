"""Layer-wise relevance propagation with zennit: from a logit down to the normalised input, then to the suite's grid."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from zennit import composites, rules, types
from zennit.attribution import Gradient
from zennit.torchvision import ResNetCanonizer

from benchmark.errors import ExplainerError, RefusedError
from benchmark.explainers import _conserved
from benchmark.explainers._captum import random_input
from benchmark.explainers._conserved import ADVICE
from benchmark.models.watch import eager_mode, once, scripted
from benchmark.models.wrap import Model


def first_linear(module: nn.Module) -> nn.Module | None:
    """The first convolution or fully connected layer, in the order of registration (which is zennit's)."""
    return next((child for child in module.modules() if isinstance(child, types.Linear)), None)


def canonizers() -> list[Any]:
    """Batch normalisation merged into the layer before it; residual sums of torchvision's blocks as modules.

    This canonizer holds those of VGG and of plain sequences, and leaves other networks as they are.
    """
    return [ResNetCanonizer()]


def composite(name: str, model: Model, inputs: torch.Tensor, **parameters: float) -> Any:
    """A composite of ``zennit.composites`` by its name, and ``"Epsilon"``: that rule in every linear layer.

    Args:
        name: of a row of :data:`benchmark.explainers.zennit_lrp.COMPOSITES`.
        model, inputs: what a box is made for (EpsilonGammaBox).
        parameters: ``epsilon``, and ``gamma`` where the composite has it.
    """
    if name == "Epsilon":  # Bach et al. 2015, eq. 58
        rule = rules.Epsilon(**parameters)
        layers = [*composites.layer_map_base(), (types.Convolution, rule), (nn.Linear, rule)]
        return composites.LayerMapComposite(layer_map=layers, canonizers=canonizers())
    bounds = boxed(model, inputs) if name == "EpsilonGammaBox" else {}
    return getattr(composites, name)(**parameters, **bounds, canonizers=canonizers())


def boxed(model: Model, inputs: torch.Tensor) -> dict[str, Any]:
    """The box of [0, 1] after normalisation, as EpsilonGammaBox takes it.

    zennit puts the box rule in the first convolution only; where the network begins with a fully connected layer
    (behind a flattening), the box rule goes there.
    """
    low, high = box(model, inputs)
    first_map = []
    if isinstance(first_linear(model.core), nn.Linear):
        first_map = [(nn.Linear, rules.ZBox(low=low.flatten(1), high=high.flatten(1)))]
    return {"low": low, "high": high, "first_map": first_map}


def box(model: Model, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network sees for black and for white images, (1, C, H, W) each."""
    low, high = (model.prepared(torch.full_like(inputs[:1], bound)) for bound in (0.0, 1.0))
    return low, high


def deep_taylor(model: Model, inputs: torch.Tensor) -> Any:
    """Box rule in the first layer, z+ in all others."""
    low, high = box(model, inputs)
    first = (types.Convolution, rules.ZBox(low=low, high=high))
    if isinstance(first_linear(model.core), nn.Linear):
        first = (nn.Linear, rules.ZBox(low=low.flatten(1), high=high.flatten(1)))
    layers = [*composites.layer_map_base(), (types.Linear, rules.ZPlus())]
    return composites.SpecialFirstLayerMapComposite(layer_map=layers, first_map=[first], canonizers=canonizers())


def excitation_backprop() -> Any:
    """zennit's ExcitationBackprop: z+ in every linear layer."""
    return composites.ExcitationBackprop(canonizers=canonizers())


def two_headed(model: Model, inputs: torch.Tensor, name: str) -> nn.Module:
    """The network of ``model`` with a logit for each class from its last linear layer itself.

    A one-logit network's core maps z to [-z/2, z/2]. The z+ rule there gives class 0 the positive contributions to z,
    which argue against it; in a layer with the weights [-w/2, w/2] it gives each class what argues for it.

    Raises:
        ExplainerError: the network's last linear layer is not what makes z; ``name`` is the explainer's.
    """
    if not model.one_logit:
        return model.core
    network = copy.deepcopy(model.network)
    last = [module for module in network.modules() if isinstance(module, nn.Linear) and module.out_features == 1]
    try:
        head, sign = last[-1], torch.tensor([[-0.5], [0.5]], device=model.device)
        head.weight = nn.Parameter(sign @ head.weight, requires_grad=False)
        head.bias = None if head.bias is None else nn.Parameter(sign[:, 0] * head.bias, requires_grad=False)
        head.out_features = 2
        with torch.no_grad():
            prepared = model.prepared(inputs)
            torch.testing.assert_close(network(prepared), model.core(prepared), atol=1e-4, rtol=1e-3)
    except (IndexError, RuntimeError, AssertionError) as error:
        raise RefusedError(
            f"{name}: a network of one logit must return what its last torch.nn.Linear makes, so that each class can"
            f" have a logit of its own; this one does not; leave {name} out for this entry"
        ) from error
    return network


@dataclass(frozen=True)
class Rules:
    """Which rules go where, and where relevance starts.

    Attributes:
        name: of the explainer.
        key: the explainer with its parameters: what is found out about a network is kept under it.
        composite: (model, inputs on any grid) to zennit's composite.
        unit: it starts at 1, whatever the logit.
        own_heads: each class needs a logit of its own (see :func:`two_headed`).
    """

    name: str
    key: str
    composite: Callable[[Model, torch.Tensor], Any]
    unit: bool = False
    own_heads: bool = False

    def core(self, model: Model, inputs: torch.Tensor) -> nn.Module:
        """The network that relevance goes through."""
        return two_headed(model, inputs, self.name) if self.own_heads else model.core


@dataclass(frozen=True)
class Verdict:
    """What the check found: why the rules do not fit a network, or how many hooks fire on it."""

    reason: str | None
    fired: int = 0


def checked(model: Model, rules: Rules, probe: torch.Tensor) -> Verdict:
    """Whether the rules fit the network, found out once a model on a few samples (see ``_conserved``) and kept.

    Args:
        probe: images in [0, 1].
    """
    with model.counter.paused():
        return once(model, rules.key, lambda: _check(model, rules, probe))


def _check(model: Model, rules: Rules, probe: torch.Tensor) -> Verdict:
    reason = scripted(model.network) or _conserved.misfit(model.network)
    if reason:
        return Verdict(f"{rules.name}: {reason}; {ADVICE}")
    try:
        core, prepared = rules.core(model, probe), model.prepared(probe).detach().contiguous()
        reason = _conserved.unmerged(core, prepared)
        if not reason:
            with left_as_it_was(core), rules.composite(model, probe).context(core):
                reason = _conserved.without_rule(core, prepared)
        if not reason:
            with torch.no_grad(), eager_mode():
                targets = core(prepared).argmax(1)
            done = propagate(core, prepared, targets, rules.composite(model, probe), rules, follow=True)
            reason = _conserved.leak(done.passages, done.start, done.relevance)
    except ExplainerError as error:
        return Verdict(str(error))
    if reason and core is model.core and model.one_logit:  # names as the network has them, not the pair around it
        reason = re.sub(
            r"layer '0(\.?)([^']*)'", lambda match: f"layer '{match[2]}'" if match[1] else "network", reason
        )
    return Verdict(f"{rules.name}: {reason}; {ADVICE}") if reason else Verdict(None, done.fired)


@dataclass
class Propagated:
    """Relevance through a network: what started at the logits, what reached the input, what the layers passed on."""

    start: torch.Tensor
    relevance: torch.Tensor
    fired: int
    passages: list[_conserved.Passage]


def propagate(
    core: nn.Module,
    prepared: torch.Tensor,
    targets: torch.Tensor,
    composite: Any,
    rules: Rules,
    *,
    follow: bool = False,
) -> Propagated:
    """Relevance of the target's logit at the network's input, exactly as zennit gives it for the bare network.

    Raises:
        ExplainerError: canonizing changed what the network computes.
    """
    started: list[torch.Tensor] = []

    def start(output: torch.Tensor) -> torch.Tensor:
        chosen = F.one_hot(targets, output.shape[1]).to(output)
        started.append((chosen if rules.unit else output * chosen).detach())
        return started[-1]

    with eager_mode():
        with torch.no_grad():
            plain = core(prepared)
        with left_as_it_was(core), Gradient(model=core, composite=composite, attr_output=start) as attributor:
            with _conserved.Follow(core) if follow else nullcontext([]) as passages:
                output, attribution = attributor(prepared)
            fired = sum("grad_output" in hook.stored_tensors for hook in composite.hook_refs)
    drift = float((output.detach() - plain).abs().max())
    if not drift <= 1e-3 * (1 + float(plain.abs().max())):
        raise RefusedError(
            f"{rules.name}: merging batch normalisation into the layer registered before it changed the logits by"
            f" {drift:.3g}: the network registers its layers in another order than it calls them; register each"
            " BatchNorm directly after its convolution, or leave it out for this entry"
        )
    return Propagated(started[-1], attribution.detach(), fired, passages)


def relevance(model: Model, inputs: torch.Tensor, targets: torch.Tensor, rules: Rules) -> torch.Tensor:
    """Relevance of the target's logit on the suite's grid, (N, C, H, W).

    It is computed at the normalised input. Normalisation passes it through unchanged; the geometry by
    :func:`through_geometry`.

    Raises:
        RefusedError: the rules do not fit the network, or a hook that should fire did not.
        ExplainerError: a one-logit network that has no last linear layer.
    """
    probe = random_input(model, None)
    verdict = checked(model, rules, torch.rand_like(inputs[:2]) if probe is None else probe)
    if verdict.reason:
        raise RefusedError(verdict.reason)
    core = rules.core(model, inputs)
    prepared = model.prepared(inputs.detach()).detach().contiguous()
    done = propagate(core, prepared, targets, rules.composite(model, inputs.detach()), rules)
    model.counter.forwards += 2 * len(inputs)
    model.counter.backwards += len(inputs)
    if done.fired != verdict.fired:
        raise RefusedError(f"{rules.name}: {done.fired} hooks of its rules fired, {verdict.fired} should; {ADVICE}")
    return through_geometry(model.geometry, inputs, done.relevance)


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


def through_geometry(geometry: nn.Module, inputs: torch.Tensor, attribution: torch.Tensor) -> torch.Tensor:
    """Relevance at the network's input to relevance on the suite's grid, with its sum conserved per sample.

    The geometry G (luminance, resize, repeat) is linear with weights >= 0, so the epsilon rule reads
    R = x G^T (r / G x). With |x| + 1e-6 for x, a black pixel keeps its share (by the weights alone) and nothing
    divides by zero.
    """
    if isinstance(geometry, nn.Identity):
        return attribution
    x = (inputs.detach().abs() + 1e-6).requires_grad_()
    with torch.enable_grad():
        seen = geometry(x)
    if seen.shape == inputs.shape and torch.equal(seen, x):
        return attribution
    (shares,) = torch.autograd.grad(seen, x, attribution / seen.detach())
    return (x * shares).detach()
