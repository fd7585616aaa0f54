"""Each explainer against a relation that its definition demands, on any network: right, or refused with its reason.

A relation is computed beside the explainer, not by it: autograd of the bare network, the logit with and without a cell,
the map from a layer's own output and gradient, the same draws by hand, conservation. It is the oracle of
``tests/contract/test_networks.py`` and what ``assay explainers`` prints for an entry.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from benchmark.errors import NotApplicableError
from benchmark.explainers.base import Explainer, explainers
from benchmark.explainers.cam.maps import gradcam_plus_plus, spatial_layer
from benchmark.explainers.captum.gradients import random_input, target_gradient
from benchmark.explainers.gradient import relu_rules
from benchmark.explainers.lrp import operations, propagation
from benchmark.explainers.superpixels.cells import Cells
from benchmark.meta.attention import by_hand
from benchmark.models.untrained import untrained_copy
from benchmark.models.watch import eager_mode
from benchmark.models.wrap import Model
from benchmark.seeds import Draws

TOLERANCE = 1e-2  # relative l2 error of a relation: another batch shape flips a ReLU here and there in float32
STEP = 1e-5  # of central differences, as a share of the input

# small parameters under which a relation is looked at; those of completeness are large enough for it to hold
SMALL: dict[str, dict[str, Any]] = {
    "smoothgrad": {"samples": 2},
    "smoothgrad-squared": {"samples": 2},
    "vargrad": {"samples": 2},
    "smoothtaylor": {"samples": 2},
    "gradient-shap": {"samples": 2},
    "integrated-gradients": {"steps": 4},
    "feature-ablation": {"grid": 2},
    "shapley": {"grid": 2, "orders": 2},
    "kernel-shap": {"grid": 2, "coalitions": 14},
    "lime": {"grid": 2, "perturbations": 16},
}


@dataclass
class Case:
    """A network with what is explained of it.

    Attributes:
        model: with its preprocessing.
        inputs: (N, C, H, W) in [0, 1].
        targets: (N,) the predicted classes.
        seeds: of the draws, one a sample.
    """

    model: Model
    inputs: torch.Tensor
    targets: torch.Tensor
    seeds: Sequence[int] = (11, 12)

    @property
    def draws(self) -> Draws:
        """The same draws each time."""
        return Draws(self.seeds)

    def logit(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N,) the target's logit, float64."""
        with torch.no_grad():
            output: torch.Tensor = self.model(inputs)
        return output.gather(1, self.targets.view(-1, 1))[:, 0].double()

    def gradient(self, inputs: torch.Tensor) -> torch.Tensor:
        """Gradient of the target's logit, through preprocessing and bare network."""
        given = inputs.detach().clone().requires_grad_()
        with torch.enable_grad():
            output = self.model.core(self.model.normalise(self.model.geometry(given)))
            chosen = (output * F.one_hot(self.targets, output.shape[1])).sum()
        return torch.autograd.grad(chosen, given)[0]

    def explain(self, name: str, **params: Any) -> torch.Tensor:
        """What another explainer says."""
        return explainers.make(name, params).explain(self.model, self.inputs, self.targets, generator=self.draws)


@dataclass(frozen=True)
class Finding:
    """What was found of an explainer on a network.

    Attributes:
        status: ``"right"``, ``"refused"`` or ``"wrong"``.
        words: the relation with its largest error, or the reason.
    """

    status: str
    words: str


Relation = tuple[str, Callable[[Any, Case, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]]


def case(model: Model, entry: Any = None) -> Case:
    """Two seeded noise images of the network's own shape, and its predictions."""
    inputs = random_input(model, entry)
    if inputs is None:
        raise NotApplicableError("the shape of the network's input is not known: give input_shape")
    with torch.no_grad():
        return Case(model, inputs, model(inputs).argmax(1))


def examined(explainer: Explainer, of: Case, entry: Any = None) -> Finding:
    """The explainer's own check, then its relation; ``entry`` is what ``skip`` is told.

    An explainer that has no relation here is held to the contract alone: finite, of the input's shape.
    """
    try:
        reason = explainer.skip(of.model, entry, None)
        if reason:
            return Finding("refused", reason)
        attributions = explainer.explain(of.model, of.inputs, of.targets, generator=of.draws)
    except NotApplicableError as refusal:
        return Finding("refused", str(refusal))
    if attributions.shape != of.inputs.shape or not bool(attributions.isfinite().all()):
        return Finding("wrong", f"shape {tuple(attributions.shape)}, finite: {bool(attributions.isfinite().all())}")
    words, relation = RELATIONS.get(explainer.use) or _rules(explainer)
    got, wanted = (values.double() for values in relation(explainer, of, attributions))
    error = float((got - wanted).norm() / wanted.norm().clamp_min(1e-12))
    return Finding("right" if error <= TOLERANCE else "wrong", f"{words} ({error:.0e})")


def small(name: str) -> Explainer:
    """The explainer of that name, with parameters under which its relation is quick to look at."""
    return explainers.make(name, SMALL.get(name, {}))


def _sums(values: torch.Tensor) -> torch.Tensor:
    return values.double().flatten(1).sum(1)


def _gradients(of: Case, explainer: Any, away: Callable[[Draws], torch.Tensor]) -> torch.Tensor:
    """(samples, N, C, H, W) gradients at noisy inputs, with the explainer's draws."""
    draws = of.draws
    return torch.stack([of.gradient(of.inputs + away(draws)) for _ in range(explainer.samples)]).double()


def _noisy(explainer: Any, of: Case) -> torch.Tensor:
    return _gradients(of, explainer, lambda draws: explainer.noise * draws.normal(of.inputs.shape[1:]))


def _smoothtaylor(explainer: Any, of: Case, attributions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    draws = of.draws
    roots = [explainer.noise * draws.normal(of.inputs.shape[1:]) for _ in range(explainer.samples)]
    return attributions, torch.stack([-away * of.gradient(of.inputs + away) for away in roots]).mean(0)


def _gradient_shap(explainer: Any, of: Case, attributions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    draws, total = of.draws, torch.zeros_like(of.inputs)
    for _ in range(explainer.samples):
        draws.integers((1,), 0, len(explainer.baselines))
        along = draws.uniform((1,)).view(-1, 1, 1, 1)
        total += of.inputs * of.gradient(along * of.inputs)  # from black, without noise: the defaults
    return attributions, total / explainer.samples


def _integrated(explainer: Any, of: Case, attributions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    from numpy.polynomial.legendre import leggauss

    nodes, weights = leggauss(explainer.steps)
    start = torch.full_like(of.inputs, explainer.baseline)
    path = of.inputs - start
    parts = [
        w / 2 * of.gradient(start + (a + 1) / 2 * path) for a, w in zip(nodes.tolist(), weights.tolist(), strict=True)
    ]
    return attributions, path * torch.stack(parts).sum(0)


def _plain_rule(explainer: Any, of: Case, _found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """With the ReLU's own derivative as rule the method is the gradient."""
    rule: relu_rules.Rule = lambda x, gradient: gradient * (x > 0)  # noqa: E731
    name = explainer.name
    return relu_rules.modified_gradient(of.model, of.inputs, of.targets, rule, name), of.gradient(of.inputs)


def _map(explainer: Any, of: Case, attributions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """From the layer's own output and gradient, whatever its layout."""
    layer = spatial_layer(of.model, of.inputs, explainer.name)
    kept: list[torch.Tensor] = []

    def keep(_module: Any, _given: Any, output: torch.Tensor) -> torch.Tensor:
        kept.append(output)
        return output.clone()

    handle = layer.module.register_forward_hook(keep)
    try:
        with torch.enable_grad(), eager_mode():
            output = of.model(of.inputs.clone().requires_grad_())
            chosen = (output * F.one_hot(of.targets, output.shape[1])).sum()
    finally:
        handle.remove()
    a, g = layer.maps(kept[0].detach()), layer.maps(torch.autograd.grad(chosen, kept[0])[0])
    at = {
        "gradcam": lambda: torch.einsum("nk,nkij->nij", g.mean((2, 3)), a)[:, None],
        "guided-gradcam": lambda: torch.einsum("nk,nkij->nij", g.mean((2, 3)), a)[:, None],
        "gradcam-plus-plus": lambda: gradcam_plus_plus(a, g),
        "layercam": lambda: torch.einsum("nkij,nkij->nij", g.clamp_min(0), a)[:, None],
        "hirescam": lambda: torch.einsum("nkij,nkij->nij", g, a)[:, None],
    }[explainer.use]()
    rectified = at.clamp_min(0) if getattr(explainer, "relu", True) else at
    wide = F.interpolate(rectified, size=of.inputs.shape[2:], mode="bilinear", align_corners=False)
    wanted = wide.expand(of.inputs.shape)
    return attributions, wanted * of.explain("guided-backprop") if explainer.use == "guided-gradcam" else wanted


def _occlusion(_explainer: Any, of: Case, _found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Quarters that do not overlap: each has the logit's drop without it."""
    side = min(of.inputs.shape[2:]) // 2
    windows = of.explain("occlusion", window=side, stride=side)
    got, wanted = [], []
    for down in (0, side):
        for across in (0, side):
            without = of.inputs.clone()
            without[:, :, down : down + side, across : across + side] = 0
            got.append(windows[:, 0, down, across])
            wanted.append(of.logit(of.inputs) - of.logit(without))
    return torch.stack(got), torch.stack(wanted)


def _ablation(explainer: Any, of: Case, attributions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    cells = Cells(of.inputs, explainer.grid, explainer.baseline)
    got, wanted = [], []
    for cell in range(cells.n):
        inside = (cells.of == cell).expand(of.inputs.shape)
        got.append(_sums(attributions * inside))
        wanted.append(of.logit(of.inputs) - of.logit(of.inputs.masked_fill(inside, explainer.baseline)))
    return torch.stack(got), torch.stack(wanted)


def _complete(explainer: Any, of: Case, attributions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum is the change of the logit from the baseline (from the mean over several)."""
    baselines = getattr(explainer, "baselines", None) or (explainer.baseline,)
    starts = torch.stack([of.logit(torch.full_like(of.inputs, value)) for value in baselines])
    return _sums(attributions), of.logit(of.inputs) - starts.mean(0)


def _lime(explainer: Any, of: Case, attributions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """scikit-learn's weighted ridge regression on the same subsets."""
    from sklearn.linear_model import Ridge

    cells = Cells(of.inputs, explainer.grid, explainer.baseline)
    on = of.draws.uniform((explainer.perturbations, cells.n)) < 0.5
    logits = torch.stack(
        [
            of.logit(torch.where(on[:, m][:, cells.of][:, None], of.inputs, explainer.baseline))
            for m in range(on.shape[1])
        ],
        1,
    )
    slopes = []
    for shown, values in zip(on.double(), logits, strict=True):
        distance = 1 - (shown.mean(1)).sqrt()
        fit = Ridge(alpha=explainer.ridge).fit(
            shown.numpy(), values.numpy(), sample_weight=(-(distance**2) / explainer.width**2).exp().numpy()
        )
        slopes.append(torch.from_numpy(fit.coef_))
    got = torch.stack([_sums(attributions * (cells.of == cell)) for cell in range(cells.n)], 1)
    return got, torch.stack(slopes)


def _conserved(explainer: Any, of: Case, _found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What reaches the input and what the rules' biases and stabilisers keep is what started at the logit."""
    rules, prepared = explainer._rules(), of.model.prepared(of.inputs).detach()
    core = rules.core(of.model, of.inputs)
    done = propagation.propagate(core, prepared, of.targets, rules.composite(of.model, of.inputs), rules, follow=True)
    kept = sum(
        _sums(p.out) - p.due for p in done.passages if p.out is not None and p.into is not None and p.due is not None
    )
    scale = torch.stack([p.size for p in done.passages if p.out is not None]).amax(0)
    return (_sums(done.relevance) + kept - _sums(done.start)) / scale + 1, torch.ones_like(scale)


def _untrained(explainer: Any, of: Case, attributions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return attributions, target_gradient(untrained_copy(of.model, explainer.seed), of.inputs, of.targets)


def _sobel(_explainer: Any, of: Case, attributions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """scipy's filter of the luminance."""
    from scipy.ndimage import sobel

    from benchmark.models.wrap import LUMINANCE

    channels = of.inputs.shape[1]
    weights = torch.tensor(LUMINANCE if channels == 3 else [1 / channels] * channels).view(1, -1, 1, 1)
    grey = (of.inputs.cpu() * weights).sum(1).double().numpy()
    edges = [
        torch.from_numpy(sobel(image, 0, mode="nearest") ** 2 + sobel(image, 1, mode="nearest") ** 2) for image in grey
    ]
    return attributions.cpu(), torch.stack(edges).sqrt()[:, None].expand(of.inputs.shape)


def _attention(explainer: Any, of: Case, attributions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """From the probabilities of torch's own kernel, token by token."""
    return attributions, by_hand(explainer.use, of.model, of.inputs, of.targets, getattr(explainer, "residual", 0.0))


def _held(explainer: Any, of: Case, attributions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Along x times signs, the central difference of the network in which the rules' constants are held, in float64."""
    model = copy.deepcopy(of.model).double()
    x, signs = model.prepared(of.inputs.double()).detach(), torch.Generator().manual_seed(0)
    _, ruled, _ = operations.modified_gradient(model.core, x, of.targets, explainer.softmax)

    def logit(given: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad(), eager_mode(), operations.Ruled(explainer.softmax, ruled.held):
            output: torch.Tensor = model.core(given.clone().requires_grad_())
        return output.detach().gather(1, of.targets.view(-1, 1))[:, 0]

    got, wanted = [], []
    for _ in range(3):
        sign = torch.randint(0, 2, x.shape[1:], generator=signs).double().to(x) * 2 - 1
        got.append(_sums(attributions * sign))
        wanted.append((logit(x * (1 + STEP * sign)) - logit(x * (1 - STEP * sign))) / (2 * STEP))
    return torch.stack(got), torch.stack(wanted)


ATTENTION = ("attention", "attention-rollout", "gradient-rollout")
CAMS = ("gradcam", "gradcam-plus-plus", "layercam", "hirescam", "guided-gradcam")
RELATIONS: dict[str, Relation] = {
    "saliency": ("autograd of the bare network", lambda _, of, found: (found, of.gradient(of.inputs))),
    "input-x-gradient": ("input times autograd", lambda _, of, found: (found, of.inputs * of.gradient(of.inputs))),
    "integrated-gradients": ("Gauss-Legendre sum of autograd", _integrated),
    "gradient-shap": ("same draws by hand", _gradient_shap),
    "smoothgrad": ("same draws by hand", lambda e, of, found: (found, _noisy(e, of).mean(0))),
    "smoothgrad-squared": ("same draws by hand", lambda e, of, found: (found, _noisy(e, of).square().mean(0))),
    "vargrad": ("same draws by hand", lambda e, of, found: (found, _noisy(e, of).var(0, correction=0))),
    "smoothtaylor": ("same draws by hand", _smoothtaylor),
    "guided-backprop": ("autograd under the ReLU's own rule", _plain_rule),
    "deconvolution": ("autograd under the ReLU's own rule", _plain_rule),
    "beta-smooth": ("autograd under the ReLU's own rule", _plain_rule),
    "occlusion": ("drop without each quarter", _occlusion),
    "feature-ablation": ("drop without each cell", _ablation),
    "shapley": ("sums to the logit's change", _complete),
    "kernel-shap": ("sums to the logit's change", _complete),
    "lime": ("scikit-learn's ridge regression", _lime),
    "deeplift": ("sums to the logit's change", _complete),
    "deeplift-shap": ("sums to the logit's change", _complete),
    "random": ("same draws by hand", lambda _, of, found: (found, of.draws.uniform(of.inputs.shape[1:], -1.0, 1.0))),
    "sobel": ("scipy's filter", _sobel),
    "constant": ("one everywhere", lambda _, __, found: (found, torch.ones_like(found))),
    "untrained": ("gradient of the untrained copy", _untrained),
    **dict.fromkeys(("attn-lrp", "cp-lrp"), ("central difference with the rules' constants held", _held)),
    **dict.fromkeys(ATTENTION, ("attention of torch's kernel, by hand", _attention)),
    **dict.fromkeys(CAMS, ("map from the layer's output and gradient", _map)),
}


def _rules(explainer: Explainer) -> Relation:
    if hasattr(explainer, "_rules"):
        return "relevance conserved, bias and stabiliser counted", _conserved
    return "finite, of the input's shape", lambda _, __, attributions: (attributions, attributions)


__all__ = ["RELATIONS", "SMALL", "TOLERANCE", "Case", "Finding", "case", "examined", "small"]
