"""What an attribution metric is: one value a sample, with a direction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from benchmark.inputs import IMAGE
from benchmark.registry import Plugin, Registry
from benchmark.reported import ExplainedResults, Extras

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from benchmark.explainers.base import Explainer
    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

    Column = torch.Tensor | NDArray[Any]
    Scores = Column | Mapping[str, Column]


@dataclass
class Explained:
    """What a metric may look at: tensors on the model's device, first axis N; a metric changes none of them.

    Attributes:
        model: in eval mode, parameters frozen.
        inputs: (N, ...), of a kind that the metric ``accepts``: images float32 (N, C, H, W) in [0, 1].
        labels: (N,) int64, true classes.
        targets: (N,) int64, the explained class.
        attributions: float32 of the inputs' shape, signed, as the explainer gave them (not normalised).
        masks: bool, where the evidence is, or None: of images (N, 1, H, W), else as the dataset gives them.
        explainer: the explainer, for metrics that explain again.
        generator: per-sample random numbers of this metric alone.
        artefacts: likewise, where the sample's false structure is (all False where it has none), or None.
        shared: a seed a sample that no explainer, metric or model changes: what is drawn from it is the same for all
            that are compared; default: the generator's.
    """

    model: Model
    inputs: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor
    attributions: torch.Tensor
    masks: torch.Tensor | None
    explainer: Explainer
    generator: Draws
    artefacts: torch.Tensor | None = None
    shared: Sequence[int] = ()
    _known: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shared = self.shared or self.generator.seeds

    @property
    def logits(self) -> torch.Tensor:
        """(N, K) outputs for the clean inputs, computed once for all metrics of these samples."""
        if "logits" not in self._known:
            import torch

            with torch.no_grad():
                self._known["logits"] = self.model(self.inputs)
        return self._known["logits"]


class Metric(Plugin):
    """Base of all attribution metrics.

    Class attributes:
        accepts: kinds of inputs whose attributions it judges (:mod:`benchmark.inputs`).
        higher_is_better: the true direction (None: descriptive only).
        random: True where it draws random numbers.
        needs_masks: True where it needs to know where the evidence is.
        needs_artefacts: True where it needs to know where the false structure is.
        family: faithfulness, robustness, randomisation, complexity, localisation or axiomatic.
        asks: what it asks of an explanation, for people; "": what its family asks.
        channels: how channels are used, ``"abs-sum"``, ``"sum"`` or ``"each"``.
        range: of the values, in words such as ``"[0, 1]"``.
        quantus: what Quantus 0.6 does under this name, where that differs from what we do.
        joint: True where it must see all samples of the suite at once (clustering), not a chunk of them.
        least: how many samples it needs to have a value at all.
    """

    accepts: ClassVar[tuple[str, ...]] = (IMAGE,)
    higher_is_better: ClassVar[bool | None] = None
    random: ClassVar[bool] = False
    needs_masks: ClassVar[bool] = False
    needs_artefacts: ClassVar[bool] = False
    family: ClassVar[str] = ""
    asks: ClassVar[str] = ""
    channels: ClassVar[str] = "each"
    range: ClassVar[str] = ""
    quantus: ClassVar[str] = ""
    joint: ClassVar[bool] = False
    least: ClassVar[int] = 1

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where the dataset lacks the masks that the metric needs."""
        if dataset is None:
            return None
        if self.needs_masks and not getattr(dataset, "masks", False):
            return f"{self.name} needs masks of where the evidence is; this dataset has none"
        if self.needs_artefacts and not getattr(dataset, "artefacts", False):
            return f"{self.name} needs masks of where the false structure is; this dataset has none"
        return None

    @abstractmethod
    def score(self, explained: Explained) -> Scores:
        """One value a sample, (N,) float; NaN where the metric is undefined (it is counted and shown).

        A metric that knows more of a sample returns columns by name, (N,) each, of which ``value`` is the metric.
        """

    @classmethod
    def extras(cls, probes: Sequence[ExplainedResults]) -> Extras:  # noqa: ARG003
        """Tables and pictures of its own beside the leaderboard, from all uses of this class in a suite."""
        return Extras()


metrics: Registry[Metric] = Registry("metric", "benchmark.metrics")
