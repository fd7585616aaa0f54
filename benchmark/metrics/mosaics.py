"""Mosaics: localisation without a mask. Does the relevance of a class lie on the image of that class?

Images of several classes, each of which the network alone is sure of, stand side by side (Rao et al. 2022, "Towards
Better Understanding Attribution Methods"). One mosaic is explained for each sample, for its class; what does not look
gets 1 / side^2. Partners and places are drawn from the samples' seeds, the same for all explainers.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from benchmark.metrics.base import Metric, metrics

if TYPE_CHECKING:
    import torch

    from benchmark.metrics.base import Explained, Scores
    from benchmark.metrics.functional.mosaics import Mosaics


class _Mosaic(Metric):
    """What they share.

    Args:
        side: cells a side.
        confidence: least probability of its (right) class for an image to stand in a mosaic.
    """

    source: ClassVar[str] = "Rao et al. 2022"
    quantus: ClassVar[str] = "absent"
    higher_is_better: ClassVar[bool | None] = True
    family: ClassVar[str] = "localisation"
    channels: ClassVar[str] = "sum"
    range: ClassVar[str] = "[0, 1]"
    joint: ClassVar[bool] = True
    least: ClassVar[int] = 4

    side: int = Field(default=2, ge=2, le=4)
    confidence: float = Field(default=0.5, gt=0, lt=1)

    def score(self, explained: Explained) -> Scores:
        """``value``; ``confidence``: the network's in the sample alone, 0 where it is wrong; ``place``: the sample's
        cell, row by row; ``cell_height``: of a cell, in pixels, as the network sees it.

        Raises:
            NotApplicableError: too few samples that the network is sure of, or no such mosaic is defined for it.
        """
        import torch

        from benchmark.metrics.functional.mosaics import arranged, confidences

        confidence = confidences(explained.model, explained.inputs, explained.labels)
        labels = explained.labels.tolist()
        sure = torch.nonzero(confidence >= self.confidence)[:, 0].tolist()
        mosaics = arranged(sure, labels, explained.shared, self.side)
        if not mosaics.rows:
            self._too_few(len({labels[i] for i in sure}), len(labels))
        values, height = self.located(explained, mosaics)
        places = torch.full_like(values, torch.nan)
        places[list(mosaics.rows)] = torch.tensor(mosaics.places, dtype=values.dtype, device=values.device)
        cell_height = torch.full_like(values, height)
        return {"value": values, "confidence": confidence, "place": places, "cell_height": cell_height}

    @abstractmethod
    def located(self, explained: Explained, mosaics: Mosaics) -> tuple[torch.Tensor, int]:
        """(N,) shares, and the height of a cell as the network sees it."""

    def _too_few(self, classes: int, n: int) -> None:
        from benchmark.errors import NotApplicableError

        raise NotApplicableError(
            f"{self.name} needs images of {self.side**2} classes, each predicted right with a probability of at least"
            f" {self.confidence:g}; of {n} samples there are {classes} such classes: take more samples, or lower"
            " `confidence`"
        )


@metrics.register("grid-pointing-game")
class GridPointingGame(_Mosaic):
    """Share of positive relevance on the image of the explained class, in a mosaic of sure images (GridPG).

    Higher is better; 1 / side^2 for what does not look. The network sees all images at once, each at its own size
    where it takes larger inputs, else scaled down so that the mosaic has the size that it takes (``cell_height``). NaN:
    a sample that the network is not sure of, an all-zero or non-finite attribution, no positive relevance.

    Args:
        side: images a side.
        confidence: least probability of its (right) class for an image to stand in a mosaic.
    """

    source: ClassVar[str] = "Rao et al. 2022, eq. 1; Böhle et al. 2021"

    def located(self, explained: Explained, mosaics: Mosaics) -> tuple[torch.Tensor, int]:
        """(N,) in [0, 1]."""
        from benchmark.metrics.functional.explainer_calls import Again
        from benchmark.metrics.functional.mosaics import grid_pointing_game

        return grid_pointing_game(Again(explained), explained.model, explained.inputs, explained.labels, mosaics)


@metrics.register("difull")
class DiFull(_Mosaic):
    """GridPG where each image has the network to itself, so that no other can count for the class (DiFull).

    Higher is better; 1 for what asks the network or its gradient alone, 1 / side^2 for what does not look. For an
    explainer that scales up a map inside the network (class activation maps) the maps of all images lie side by side:
    defined where that layer can be divided, else the cell is skipped with the reason. NaN: as ``grid-pointing-game``.

    Args:
        side: images a side.
        confidence: least probability of its (right) class for an image to stand in a mosaic.
    """

    source: ClassVar[str] = "Rao et al. 2022, section 3.1"

    def located(self, explained: Explained, mosaics: Mosaics) -> tuple[torch.Tensor, int]:
        """(N,) in [0, 1]."""
        from benchmark.explainers.cam.maps import last_map
        from benchmark.metrics.functional.explainer_calls import Again
        from benchmark.metrics.functional.mosaics import difull

        model, inputs = explained.model, explained.inputs
        layer = last_map(model, inputs, self.name).name if explained.explainer.enlarges else ""
        shares = difull(Again(explained), model, inputs, explained.labels, mosaics, layer)
        return shares, model.prepared(inputs[:1]).shape[2]


@metrics.register("dipart")
class DiPart(_Mosaic):
    """GridPG where what follows the network's last map sees the part of one image alone (DiPart).

    Higher is better; 1 / side^2 for what does not look. Receptive fields cross the images' borders, the head does not:
    defined for networks that take larger inputs and whose last map grows with them, else the cell is skipped with the
    reason. NaN: as ``grid-pointing-game``.

    Args:
        side: images a side.
        confidence: least probability of its (right) class for an image to stand in a mosaic.
    """

    source: ClassVar[str] = "Rao et al. 2022, section 3.1"

    def located(self, explained: Explained, mosaics: Mosaics) -> tuple[torch.Tensor, int]:
        """(N,) in [0, 1]."""
        from benchmark.explainers.cam.maps import last_map
        from benchmark.metrics.functional.explainer_calls import Again
        from benchmark.metrics.functional.mosaics import dipart

        model, inputs = explained.model, explained.inputs
        layer = last_map(model, inputs, self.name)
        shares = dipart(Again(explained), model, inputs, explained.labels, mosaics, layer.name, layer.grid)
        return shares, model.prepared(inputs[:1]).shape[2]
