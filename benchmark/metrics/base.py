"""What an attribution metric is: one value a sample, with a direction."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.registry import Plugin, Registry

if TYPE_CHECKING:
    from benchmark.explainers.base import Explainer
    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


@dataclass
class Explained:
    """What a metric may look at; all arrays are NumPy, first axis N.

    Attributes:
        model: in eval mode, parameters frozen.
        inputs: float32 (N, C, H, W) in [0, 1].
        labels: (N,) true labels.
        targets: (N,) int64, the explained class.
        attributions: float32 (N, C, H, W), signed, as the explainer gave them (not normalised).
        masks: bool (N, 1, H, W) or None.
        explainer: the explainer, for metrics that explain again.
        generator: per-sample random numbers.
    """

    model: Model
    inputs: NDArray[np.float32]
    labels: NDArray[Any]
    targets: NDArray[np.int64]
    attributions: NDArray[np.float32]
    masks: NDArray[np.bool_] | None
    explainer: Explainer
    generator: Draws


class Metric(Plugin):
    """Base of all attribution metrics.

    Class attributes:
        higher_is_better: the true direction (None: descriptive only).
        random: True where it draws random numbers.
        needs_masks: True where it needs to know where the evidence is.
        family: faithfulness, robustness, randomisation, complexity, localisation or axiomatic.
        channels: how channels are used, ``"abs-sum"``, ``"sum"`` or ``"each"``.
    """

    higher_is_better: ClassVar[bool | None] = None
    random: ClassVar[bool] = False
    needs_masks: ClassVar[bool] = False
    family: ClassVar[str] = ""
    channels: ClassVar[str] = "each"

    @abstractmethod
    def score(self, explained: Explained) -> NDArray[np.float64]:
        """One value a sample, (N,) float64; NaN where the metric is undefined (it is counted and shown)."""


metrics: Registry[Metric] = Registry("metric", "benchmark.metrics")
