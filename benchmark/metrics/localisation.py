"""Localisation: does the attribution lie where the evidence is known to be, and not on a known false structure?

Needs a dataset with masks. Channels are summed with their signs before pixels are ranked or shared out. NaN: an empty
mask, an all-zero or non-finite attribution, and where pixels are ranked a constant one.
"""

from __future__ import annotations

from abc import abstractmethod
from math import ceil
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from benchmark.metrics.base import Metric, metrics

if TYPE_CHECKING:
    import torch

    from benchmark.metrics.base import Explained


class Localisation(Metric):
    """Base of metrics that compare an attribution with a mask.

    Args:
        absolute: take magnitudes first: evidence against the class counts like evidence for it (XAI-TRIS' protocol).
    """

    higher_is_better: ClassVar[bool | None] = True
    needs_masks: ClassVar[bool] = True
    family: ClassVar[str] = "localisation"
    channels: ClassVar[str] = "sum"
    range: ClassVar[str] = "[0, 1]"

    absolute: bool = False

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,); without masks every value is NaN."""
        masks = explained.masks if self.needs_masks else explained.artefacts
        if masks is None:
            import torch

            return torch.full((len(explained.inputs),), torch.nan, dtype=torch.float64, device=explained.inputs.device)
        relevance = explained.attributions
        return self.located(relevance.abs() if self.absolute else relevance, masks)

    @abstractmethod
    def located(self, attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(N,) of attributions (N, C, H, W) and masks (N, 1, H, W)."""


@metrics.register("relevance-rank-accuracy")
class RelevanceRankAccuracy(Localisation):
    """Share of the K most relevant pixels that lie in the mask of K pixels (Arras et al. 2022, eq. 2).

    Higher is better. Channels are summed with their signs before pixels are ranked (Quantus would rank channels against
    a one-channel mask). NaN: an empty mask, a constant, all-zero or non-finite attribution.
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = "Arras et al. 2022, eq. 2"
    quantus: ClassVar[str] = "RelevanceRankAccuracy: ranks channels against a mask of one channel"

    def located(self, attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(N,) in [0, 1]."""
        from benchmark.metrics.functional.localisation import relevance_rank

        return relevance_rank(attributions, masks)


@metrics.register("relevance-mass-accuracy")
class RelevanceMassAccuracy(Localisation):
    """Share of the positive relevance that lies in the mask (Arras et al. 2022).

    Higher is better. Negative channel sums count as 0, without which the share leaves [0, 1]. This is also Kohlbrenner
    et al. 2020's attribution localisation. NaN: an empty mask, no positive relevance, a non-finite attribution.
    """

    source: ClassVar[str] = "Arras et al. 2022"
    quantus: ClassVar[str] = "RelevanceMassAccuracy: shares of a signed sum, which leave [0, 1]"

    def located(self, attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(N,) in [0, 1]."""
        from benchmark.metrics.functional.localisation import relevance_mass

        return relevance_mass(attributions, masks)


@metrics.register("top-k-intersection")
class TopKIntersection(Localisation):
    """Share of the k most relevant pixels that lie in the mask (Theiner et al. 2022).

    Higher is better; at most K / k for a mask of K < k pixels. NaN: an empty mask, a constant, all-zero or non-finite
    attribution.

    Attributes:
        k: pixels; default: 5 % of them, rounded up; never more than there are.
    """

    source: ClassVar[str] = "Theiner et al. 2022"
    quantus: ClassVar[str] = "TopKIntersection: ranks channels against a mask of one channel; k = 1000"

    k: int | None = Field(default=None, ge=1)

    def located(self, attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(N,) in [0, 1]."""
        from benchmark.metrics.functional.localisation import top_k_intersection

        pixels = attributions[0, 0].numel()
        return top_k_intersection(attributions, masks, min(self.k or ceil(pixels / 20), pixels))


@metrics.register("pointing-game")
class PointingGame(Localisation):
    """1 where the most relevant pixel lies in the mask, else 0 (Zhang et al. 2018, without tolerance).

    Higher is better; of equally relevant pixels the first counts. NaN: an empty mask (Quantus: a hit), a constant,
    all-zero or non-finite attribution.
    """

    source: ClassVar[str] = "Zhang et al. 2018"
    quantus: ClassVar[str] = "PointingGame: an empty mask is a hit; fails where weighted"

    def located(self, attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(N,) of 0 and 1."""
        from benchmark.metrics.functional.localisation import pointing_game

        return pointing_game(attributions, masks)


@metrics.register("energy-pointing-game")
class EnergyPointingGame(Localisation):
    """Share of a map's energy that lies in the mask (Wang et al. 2020, section 4.3; a box there).

    The map is the positive part less its least value, as the authors' Score-CAM scales it. Higher is better. The same
    as ``relevance-mass-accuracy`` save where no pixel is 0 or below. NaN: an empty mask, a constant, all-zero or
    non-finite attribution, no positive relevance.
    """

    source: ClassVar[str] = "Wang et al. 2020, section 4.3"
    quantus: ClassVar[str] = "absent"

    def located(self, attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(N,) in [0, 1]."""
        from benchmark.metrics.functional.localisation import energy_pointing_game

        return energy_pointing_game(attributions, masks)


@metrics.register("localisation-auc")
class LocalisationAuc(Localisation):
    """Area under the ROC curve of the mask by relevance (Fawcett 2006).

    The probability that a pixel of the mask is more relevant than one outside it, equal ones counted half. Higher is
    better, a constant gives 0.5. NaN: a mask of nothing or of everything, an all-zero or non-finite attribution.
    """

    source: ClassVar[str] = "Fawcett 2006"
    quantus: ClassVar[str] = "AUC: the same on grey images, but NaN only for an empty mask"

    def located(self, attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(N,) in [0, 1]."""
        from benchmark.metrics.functional.localisation import localisation_auc

        return localisation_auc(attributions, masks)


@metrics.register("mask-share")
class MaskShare(Localisation):
    """Share of the image that its mask takes: what the other metrics of localisation give to what does not look.

    The pointing game, the relevance mass and the rank accuracy of random numbers have it as their mean; it stands
    beside them, over the same samples. NaN: an empty mask, an all-zero or non-finite attribution.
    """

    source: ClassVar[str] = "own"
    quantus: ClassVar[str] = "absent"
    higher_is_better: ClassVar[bool | None] = None
    range: ClassVar[str] = "(0, 1]"

    def located(self, attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(N,) in (0, 1]."""
        from benchmark.metrics.functional.localisation import mask_share

        return mask_share(attributions, masks)


@metrics.register("artefact-relevance-mass")
class ArtefactRelevanceMass(Localisation):
    """Share of the positive relevance on the known false structure, over its share of the area.

    1 for an attribution that is spread evenly, 0 for one that leaves the artefact out. Descriptive: of a network that
    goes by the artefact a true explanation shows it. NaN: a sample without an artefact, no positive relevance, a
    non-finite attribution.
    """

    source: ClassVar[str] = "own, after Arras et al. 2022"
    quantus: ClassVar[str] = "absent"
    higher_is_better: ClassVar[bool | None] = None
    needs_masks: ClassVar[bool] = False
    needs_artefacts: ClassVar[bool] = True
    range: ClassVar[str] = "[0, 1 / area]"

    def located(self, attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(N,) >= 0."""
        from benchmark.metrics.functional.localisation import artefact_mass_ratio

        return artefact_mass_ratio(attributions, masks)
