"""Robustness of the explanation itself: does it stay where the input barely moves?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from benchmark.metrics.base import Metric, metrics

if TYPE_CHECKING:
    import torch

    from benchmark.metrics.base import Explained


class _Stability(Metric):
    """What they share: noisy copies explained again, lower is better, signs kept, the class kept."""

    higher_is_better: ClassVar[bool | None] = False
    random: ClassVar[bool] = True
    family: ClassVar[str] = "robustness"
    channels: ClassVar[str] = "each"
    range: ClassVar[str] = "[0, ∞)"

    def _arguments(self, explained: Explained) -> dict[str, Any]:
        from benchmark.metrics.functional.explainer_calls import Again

        return {
            "explain": Again(explained),
            "model": explained.model,
            "inputs": explained.inputs,
            "targets": explained.targets,
            "attributions": explained.attributions,
            "generator": explained.generator,
        }


@metrics.register("max-sensitivity")
class MaxSensitivity(_Stability):
    """Largest relative change of the attribution under uniform noise (Yeh et al. 2019, definition 3).

    max over copies of ||a(x + noise) - a(x)|| / ||a(x)||, over (C, H, W) with signs. A common factor cancels. A
    constant attribution is optimal by definition. All-zero or non-finite: NaN.

    Args:
        nr_samples: copies a sample.
        radius: bound of the noise on each element, in input units; not clipped to [0, 1].
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = "Yeh et al. 2019"
    quantus: ClassVar[str] = "MaxSensitivity: a copy at a time, noise from NumPy's global stream"

    nr_samples: int = Field(default=10, ge=1)
    radius: float = Field(default=0.2, gt=0)

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) >= 0."""
        from benchmark.metrics.functional import robustness

        return robustness.max_sensitivity(**self._arguments(explained), nr_samples=self.nr_samples, radius=self.radius)


@metrics.register("avg-sensitivity")
class AvgSensitivity(_Stability):
    """Mean relative change of the attribution under uniform noise (Yeh et al. 2019, with the mean for the maximum).

    Args:
        nr_samples: copies a sample.
        radius: bound of the noise on each element, in input units; not clipped to [0, 1].
    """

    source: ClassVar[str] = "Yeh et al. 2019"
    quantus: ClassVar[str] = "AvgSensitivity: a copy at a time, noise from NumPy's global stream"

    nr_samples: int = Field(default=10, ge=1)
    radius: float = Field(default=0.2, gt=0)

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) >= 0."""
        from benchmark.metrics.functional import robustness

        return robustness.avg_sensitivity(**self._arguments(explained), nr_samples=self.nr_samples, radius=self.radius)


@metrics.register("local-lipschitz")
class LocalLipschitz(_Stability):
    """Local Lipschitz constant of the explanation under Gaussian noise (Alvarez-Melis and Jaakkola 2018, eq. 4).

    max over copies of ||a(x') - a(x)|| / ||x' - x||, per input unit.

    Args:
        nr_samples: copies a sample.
        std: of the noise, in input units.
        normalise: divide each attribution by its own largest magnitude first; False is the paper's quantity, which
            grows with the attribution's scale.
    """

    source: ClassVar[str] = "Alvarez-Melis and Jaakkola 2018"
    quantus: ClassVar[str] = "LocalLipschitzEstimate: normalises by the maximum of the batch"

    nr_samples: int = Field(default=10, ge=1)
    std: float = Field(default=0.1, gt=0)
    normalise: bool = True

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) >= 0."""
        from benchmark.metrics.functional import robustness

        return robustness.local_lipschitz_estimate(
            **self._arguments(explained), nr_samples=self.nr_samples, std=self.std, normalise=self.normalise
        )


class _Relative(_Stability):
    """Relative stabilities: copies whose predicted class differs are left out."""

    source: ClassVar[str] = "Agarwal et al. 2022"

    nr_samples: int = Field(default=10, ge=1)
    std: float = Field(default=0.05, gt=0)
    eps_min: float = Field(default=1e-6, gt=0)

    def _arguments(self, explained: Explained) -> dict[str, Any]:
        own = {"nr_samples": self.nr_samples, "std": self.std, "eps_min": self.eps_min}
        return {**super()._arguments(explained), **own}


@metrics.register("relative-input-stability")
class RelativeInputStability(_Relative):
    """Relative change of the explanation over that of the input, the largest (Agarwal et al. 2022, eq. 2).

    Element by element, so that elements near zero weigh most. NaN where every copy changes the predicted class.

    Args:
        nr_samples: copies a sample.
        std: of the Gaussian noise, in input units.
        eps_min: least denominator, and what a zero in one counts as.
    """

    quantus: ClassVar[str] = "RelativeInputStability: NaN as soon as one copy changes the class; noise in [0.02, 0.2)"

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) >= 0."""
        from benchmark.metrics.functional import robustness

        return robustness.relative_input_stability(**self._arguments(explained), logits=explained.logits)


@metrics.register("relative-output-stability")
class RelativeOutputStability(_Relative):
    """Relative change of the explanation over the change of the logits, the largest (Agarwal et al. 2022, eq. 5).

    NaN where every copy changes the predicted class.

    Args:
        nr_samples: copies a sample.
        std: of the Gaussian noise, in input units.
        eps_min: least denominator, and what a zero in one counts as.
    """

    quantus: ClassVar[str] = "RelativeOutputStability: NaN as soon as one copy changes the class; noise in [0.02, 0.2)"

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) >= 0."""
        from benchmark.metrics.functional import robustness

        return robustness.relative_output_stability(**self._arguments(explained), logits=explained.logits)


@metrics.register("relative-representation-stability")
class RelativeRepresentationStability(_Relative):
    """Relative change of the explanation over that of the hidden layers, the largest (Agarwal et al. 2022, eq. 3).

    NaN where every copy changes the predicted class.

    Args:
        nr_samples: copies a sample.
        std: of the Gaussian noise, in input units.
        eps_min: least denominator, and what a zero in one counts as.
        layers: dotted names within the network (such as ``"0"``); default: every module without children.
    """

    quantus: ClassVar[str] = "RelativeRepresentationStability: NaN as soon as one copy changes the class; float32"

    layers: tuple[str, ...] = ()

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) >= 0."""
        from benchmark.metrics.functional import robustness

        layers = [f"network.{name}" for name in self.layers]
        return robustness.relative_representation_stability(**self._arguments(explained), layers=layers)


@metrics.register("continuity")
class Continuity(_Stability):
    """Largest variation of the explanation while the image moves sideways (Montavon et al. 2018, section 5.2).

    max over translations of ||a(x') - a(x)||_1 / ||x' - x||_2, each attribution divided by its largest magnitude.

    Args:
        nr_steps: translations, whole pixels to the right, evenly from one to half the width.
        baseline: what moves in, in input units.
    """

    random: ClassVar[bool] = False
    source: ClassVar[str] = "Montavon et al. 2018"
    quantus: ClassVar[str] = "Continuity: fails with NumPy 2 where predictions matter; moves by up to the whole width"

    nr_steps: int = Field(default=8, ge=1)
    baseline: float = 0.0

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) >= 0."""
        from benchmark.metrics.functional import robustness

        given = {key: value for key, value in self._arguments(explained).items() if key != "generator"}
        return robustness.continuity(**given, nr_steps=self.nr_steps, baseline=self.baseline)
