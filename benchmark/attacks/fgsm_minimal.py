"""FGSM as DeepFool's Table 1 has it: one eps for all samples, the smallest that breaks 90 % of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.attacks._relative import relative_columns, relative_norms
from benchmark.attacks.base import Attack, Column, Perturbed, Threat, attacks

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

SMALLEST, LARGEST, RATIO = 1e-4, 4.0, 1.1  # the grid on which the first eps is looked for; clipped it ends at 1
TOLERANCE = 1e-3  # relative, of the bisection in the grid's cell
BATCH = 256


@attacks.register("fgsm-90")
class FgsmMinimal(Attack):
    """x + eps sign(grad of the loss) with the smallest eps, one for all samples, that breaks ``share`` of them.

    The fit finds it on the samples that it is given and that are classified right: set ``fit_split`` to the judged
    split and ``fit_samples`` to the suite's ``samples``, so that eps breaks that share of the judged images. It is
    found twice, for the bare step and for the step clipped to [0, 1]. Returned, and judged, is the clipped step with
    the eps of clipped steps; ``param_relative_*_unclipped`` and ``param_fooled_unclipped`` are of the bare step with
    its own. Where no eps is enough, the relative norms are NaN and the step is of the eps that breaks most. Norms of
    the step are measured after clipping where it is clipped. The step is along the sign whatever norm is reported.

    Fields:
        share: share of the samples to break.
    """

    source: ClassVar[str] = "Goodfellow et al. 2015 (arXiv:1412.6572); the protocol of arXiv:1511.04599, Table 1"
    fits: ClassVar[bool] = True
    cost: ClassVar[str] = "fit: 1 backward and about 210 forwards a sample; run: 1 backward and 2 forwards"

    share: float = Field(default=0.9, gt=0, le=1)

    @property
    def threat(self) -> Threat:
        """Linf, minimal (over the samples together), white box."""
        return Threat(norm="linf", kind="minimal")

    def columns(self) -> tuple[Column, ...]:
        """Mean of ||r|| / ||x|| over the successes, l2 and linf, unclipped and clipped."""
        return relative_columns(unclipped=True)

    def fit(
        self, model: Model, inputs: torch.Tensor, labels: torch.Tensor, *, eps: float | None, generator: Draws
    ) -> dict[str, NDArray[Any]]:
        """``eps`` and ``eps_clipped``, in input units, and the shares that they break; one number each.

        An eps is NaN where no step of the grid is enough; ``most`` and ``most_clipped`` are then the eps that break
        most, and else the same eps.
        """
        import torch

        with torch.no_grad():
            right = torch.cat([model(x).argmax(1) for x in torch.split(inputs, BATCH)]) == labels
        inputs, labels = inputs[right], labels[right]
        parts = zip(torch.split(inputs, BATCH), torch.split(labels, BATCH), strict=True)
        signs = torch.cat([sign(model, x, y) for x, y in parts])
        fitted: dict[str, float] = {}
        for suffix, clipped in (("", False), ("_clipped", True)):
            broken = _breaks(model, inputs, labels, signs, clipped)
            fitted |= {f"{name}{suffix}": value for name, value in smallest(broken, self.share, clipped).items()}
        return {name: np.asarray(value, dtype=np.float64) for name, value in fitted.items()}

    def run(
        self,
        model: Model,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        eps: float | None,
        generator: Draws,
        fitted: Mapping[str, NDArray[Any]] | None = None,
    ) -> Perturbed:
        """See :meth:`Attack.run`."""
        import torch

        assert fitted is not None  # the cell hands over what fit returned
        direction = sign(model, inputs, labels)
        bare = inputs + float(fitted["most"]) * direction
        outputs = (inputs + float(fitted["most_clipped"]) * direction).clamp(0, 1)
        with torch.no_grad():
            fooled = (model(bare).argmax(1) != labels).cpu().numpy().astype(np.float64)
        params = relative_norms(inputs, outputs) | relative_norms(inputs, bare, "_unclipped")
        reached = {"": np.isfinite(fitted["eps_clipped"]), "_unclipped": np.isfinite(fitted["eps"])}
        for name in params:
            if not reached["_unclipped" if name.endswith("_unclipped") else ""]:
                params[name] = np.full(len(inputs), np.nan)
        ones = np.ones(len(inputs), dtype=np.int64)
        return Perturbed(outputs, params | {"fooled_unclipped": fooled}, forwards=2 * ones, backwards=ones)


def sign(model: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sign of the gradient of the cross entropy (Goodfellow et al. 2015, eq. 3), (N, C, H, W) of -1, 0 and 1.

    The gradient by the logits, softmax less one-hot, is scaled to a largest element of 1, in float64: the sign does
    not see it, and the gradient of a confident network does not underflow to zero.
    """
    import torch

    with torch.enable_grad():
        x = inputs.detach().requires_grad_()
        logits = model(x)
        z = logits.detach().double()
        own = labels.view(-1, 1).long()
        others = (z.scatter(1, own, -torch.inf) - z.scatter(1, own, -torch.inf).amax(1, keepdim=True)).exp()
        cotangent = (others / others.sum(1, keepdim=True)).scatter(1, own, -1.0)  # p less one-hot, over 1 - p_own
        gradient: torch.Tensor = torch.autograd.grad(logits, x, cotangent.to(logits.dtype))[0]
    return gradient.sign()


def _breaks(
    model: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    labels: torch.Tensor,
    signs: torch.Tensor,
    clipped: bool,
) -> Callable[[float], float]:
    """The share of samples that a step of a given eps breaks; NaN of no samples."""
    import torch

    def share(eps: float) -> float:
        wrong = 0
        for x, y, direction in zip(*[torch.split(part, BATCH) for part in (inputs, labels, signs)], strict=True):
            moved = x + eps * direction
            with torch.no_grad():
                wrong += int((model(moved.clamp(0, 1) if clipped else moved).argmax(1) != y).sum())
        return wrong / len(inputs) if len(inputs) else float("nan")

    return share


def smallest(broken: Callable[[float], float], share: float, clipped: bool = False) -> dict[str, float]:
    """The smallest eps that breaks a share: the first on a geometric grid, then bisection in the cell below it.

    The share need not grow with eps, so the grid is walked from below; a dip inside one of its cells (a factor of 1.1)
    can be missed.

    Args:
        broken: eps to the share broken.
        share: wanted.
        clipped: the grid ends at 1, beyond which nothing moves.

    Returns:
        ``eps`` (NaN: none is enough), ``most`` (the eps to use) and ``broken`` (the share that it breaks).
    """
    low, eps, best = 0.0, SMALLEST, (0.0, 0.0)
    end = 1.0 if clipped else LARGEST
    while True:
        reached = broken(eps)
        if reached >= share:
            break
        best = max(best, (reached, -eps))
        if eps >= end:
            return {"eps": float("nan"), "most": -best[1], "broken": best[0]}
        low, eps = eps, min(eps * RATIO, end)
    while eps - low > TOLERANCE * eps:
        middle = (low + eps) / 2
        at_middle = broken(middle)
        if at_middle >= share:
            eps, reached = middle, at_middle
        else:
            low = middle
    return {"eps": eps, "most": eps, "broken": reached}
