"""Methods that switch the cells of a grid on and off: bounded numbers of forwards, no gradient.

The image is cut into ``grid`` x ``grid`` cells (fewer where it has fewer pixels a side); a cell that is off is filled
with the baseline, in all channels. Every element of a cell gets the cell's value divided by the cell's number of
elements, so that the attribution sums to what the method gives the cells together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from benchmark.explainers.base import Explainer, explainers

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


@explainers.register("feature-ablation")
class FeatureAblation(Explainer):
    """Drop of the target's logit when one cell is off, the others on (captum's FeatureAblation on a grid).

    Args:
        grid: cells a side.
        baseline: value of what is off, in input units.
    """

    source: ClassVar[str] = "own code, as captum's FeatureAblation"

    grid: int = Field(default=8, ge=1, le=64)
    baseline: float = 0.0

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits a cell; grid^2 + 1 forwards a sample."""
        from benchmark.explainers.superpixels.cells import Cells

        cells = Cells(inputs, self.grid, self.baseline)
        return cells.spread(cells.ablation(model, targets))


@explainers.register("shapley")
class ShapleySampling(Explainer):
    """Shapley values of the cells, estimated from random orders (Castro et al. 2009, section 3).

    Each order switches the cells on one after the other; a cell's value is the mean rise of the logit. Their sum is the
    logit less the baseline's, whatever the orders.

    Args:
        grid: cells a side.
        orders: random orders a sample; every second one is the reverse of the one before it (Mitchell et al. 2022).
        baseline: value of what is off, in input units.
    """

    random: ClassVar[bool] = True
    source: ClassVar[str] = "Castro et al. 2009 (own draws, as captum's ShapleyValueSampling)"

    grid: int = Field(default=4, ge=1, le=16)
    orders: int = Field(default=8, ge=1)
    baseline: float = 0.0

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits a cell; orders * (grid^2 - 1) + 2 forwards a sample."""
        from benchmark.explainers.superpixels.cells import Cells

        cells = Cells(inputs, self.grid, self.baseline)
        return cells.spread(cells.shapley(model, targets, generator, self.orders))


@explainers.register("kernel-shap")
class KernelShap(Explainer):
    """Shapley values of the cells by weighted least squares (Lundberg and Lee 2017, theorem 2).

    Coalitions are drawn by the Shapley kernel, so that the regression needs no weights; each comes with its complement
    (Covert and Lee 2021), and the values are constrained to sum to the logit less the baseline's.

    Args:
        grid: cells a side.
        coalitions: drawn coalitions a sample, their complements included.
        baseline: value of what is off, in input units.
    """

    random: ClassVar[bool] = True
    source: ClassVar[str] = "Lundberg and Lee 2017 (own code)"

    grid: int = Field(default=4, ge=2, le=16)
    coalitions: int = Field(default=128, ge=4)
    baseline: float = 0.0

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits a cell; coalitions + 2 forwards a sample."""
        from benchmark.explainers.superpixels.cells import Cells

        cells = Cells(inputs, self.grid, self.baseline)
        return cells.spread(cells.kernel_shap(model, targets, generator, self.coalitions))


@explainers.register("lime")
class Lime(Explainer):
    """Slopes of a ridge regression of the logit on which cells are on (Ribeiro et al. 2016, eq. 1 and section 3.4).

    Cells are on with probability 1/2; a sample's weight is exp(-d^2 / width^2), d the cosine distance to all on.

    Args:
        grid: cells a side.
        perturbations: drawn subsets a sample.
        width: of the kernel, in cosine distance.
        ridge: weight of the squared slopes.
        baseline: value of what is off, in input units.
    """

    random: ClassVar[bool] = True
    source: ClassVar[str] = "Ribeiro et al. 2016 (own code)"

    grid: int = Field(default=4, ge=1, le=16)
    perturbations: int = Field(default=128, ge=2)
    width: float = Field(default=0.25, gt=0)
    ridge: float = Field(default=1e-3, gt=0)
    baseline: float = 0.0

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits a cell; perturbations forwards a sample."""
        from benchmark.explainers.superpixels.cells import Cells

        cells = Cells(inputs, self.grid, self.baseline)
        return cells.spread(cells.lime(model, targets, generator, self.perturbations, self.width, self.ridge))
