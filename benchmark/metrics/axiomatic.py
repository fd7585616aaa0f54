"""Axioms: does the attribution keep what its method promises? Residuals that are 0 where it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from benchmark.metrics.base import Metric, metrics

if TYPE_CHECKING:
    import torch

    from benchmark.metrics.base import Explained


class _Axiom(Metric):
    """What they share: lower is better, 0 where the axiom holds."""

    higher_is_better: ClassVar[bool | None] = False
    family: ClassVar[str] = "axiomatic"
    channels: ClassVar[str] = "each"


@metrics.register("completeness")
class Completeness(_Axiom):
    """Violation of completeness (Sundararajan et al. 2017, section 3), as a residual.

    |sum a - (f(x) - f(baseline))| over the largest change among the sample's logits; f the target's logit. An all-zero
    attribution has a residual. NaN: non-finite, or no logit changes. Meaningful only for methods that promise it
    (integrated gradients, DeepLift).

    Args:
        baseline: the explainer's own, in input units.
    """

    source: ClassVar[str] = "Sundararajan et al. 2017"
    quantus: ClassVar[str] = (
        "Completeness: an exact equality, False even for integrated gradients; black is the minimum"
    )
    channels: ClassVar[str] = "sum"
    range: ClassVar[str] = "[0, ∞)"

    baseline: float = 0.0

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) >= 0."""
        from benchmark.metrics.functional import axiomatic

        return axiomatic.completeness_residual(
            explained.model,
            explained.inputs,
            explained.targets,
            explained.attributions,
            baseline=self.baseline,
            logits=explained.logits,
        )


@metrics.register("non-sensitivity")
class NonSensitivity(_Axiom):
    """Share of steps where zero relevance and an insensitive logit disagree (Nguyen and Martinez 2020).

    A step replaces consecutive elements by the baseline; its relevance is zero where all of |a| / max |a| are below
    ``eps``, the logit insensitive where it moves by less than ``eps``. An all-zero attribution has a value. NaN:
    non-finite.

    Args:
        features_in_step: elements replaced together; default: so many that there are at most 64 steps.
        eps: what counts as zero.
        baseline: what elements are replaced by, in input units.
    """

    source: ClassVar[str] = "Nguyen and Martinez 2020"
    quantus: ClassVar[str] = "NonSensitivity: a count; fails with several features a step"
    range: ClassVar[str] = "[0, 1]"

    features_in_step: int | None = Field(default=None, ge=1)
    eps: float = Field(default=1e-5, gt=0)
    baseline: float = 0.0

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) in [0, 1]."""
        from benchmark.metrics.functional import axiomatic

        return axiomatic.non_sensitivity(
            explained.model,
            explained.inputs,
            explained.targets,
            explained.attributions,
            features_in_step=self.features_in_step,
            eps=self.eps,
            baseline=self.baseline,
            logits=explained.logits,
        )


@metrics.register("input-invariance")
class InputInvariance(_Axiom):
    """Relative change of the attribution under a constant shift that the network undoes (Kindermans et al. 2019).

    ||a(x + shift; f') - a(x; f)|| / ||a(x; f)||, f' being f with its first layer's bias compensated. 0 for the
    gradient; not for methods with a fixed baseline or that multiply by the input. All-zero or non-finite: NaN.

    Args:
        shift: of every element, in input units.
    """

    source: ClassVar[str] = "Kindermans et al. 2019"
    quantus: ClassVar[str] = "InputInvariance: fails on nested networks; leaves the first element unshifted; yes or no"
    range: ClassVar[str] = "[0, ∞)"

    shift: float = -1.0

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) >= 0.

        Raises:
            NotApplicableError: the first layer cannot be compensated.
        """
        from benchmark.metrics.functional import axiomatic
        from benchmark.metrics.functional.explainer_calls import Again

        return axiomatic.input_invariance(
            Again(explained),
            explained.model,
            explained.inputs,
            explained.targets,
            explained.attributions,
            shift=self.shift,
        )
