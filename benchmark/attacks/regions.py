"""Regions of an image masked, or all but them: what a network can tell from a border, from corners, without them.

A network that is right where only the border is left decides by something that is no evidence (text markers,
collimation, padding). Interventions, not adversaries: every sample is judged, and nothing is searched.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from benchmark.accounts import Chapter
from benchmark.attacks._regions_words import REGIONS
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.attacks.structure import accuracy
from benchmark.reported import Column

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


class Regional(Attack):
    """What both share.

    Fields:
        region: ``"border"`` (a frame at the edge), ``"corners"`` (the frame's four corners), ``"centre"``.
        share: thickness of the frame, sides of the corners or of the centre, as a share of the image's sides.
        fill: ``"black"``, ``"mean"`` (of the image, channel by channel, over all its pixels), or a number in [0, 1].
    """

    source: ClassVar[str] = "intervention, ours"
    whole_batch: ClassVar[bool] = True  # an accuracy is over all samples
    cost: ClassVar[str] = "none"
    says: ClassVar[Chapter] = REGIONS
    keeps: ClassVar[bool] = False  # True: nothing but the region is left

    region: Literal["border", "corners", "centre"] = "border"
    share: float = Field(default=0.125, gt=0, le=1)
    fill: Literal["black", "mean"] | float = "black"

    @field_validator("fill")
    @classmethod
    def _a_grey(cls, value: str | float) -> str | float:
        if not isinstance(value, str) and not 0 <= value <= 1:
            raise ValueError("a fill is 'black', 'mean' or a number in [0, 1]")
        return value

    @property
    def threat(self) -> Threat:
        """No norm; knows nothing of the model."""
        return Threat(norm="none", kind="none", knowledge="none")

    def columns(self) -> tuple[Column, ...]:
        """``acc``, the share of all that is right, and ``area``, the share of the image that is filled."""
        return (
            Column("acc", "rate", accuracy),
            Column("area", "mean", lambda rows: rows["param_area"].to_numpy(dtype=float), shown=False),
        )

    def moves(self, shape: tuple[int, int], generator: Draws) -> dict[str, NDArray[np.int64]]:
        """Parameters of each sample's place, from its own random numbers."""
        return {}

    @abstractmethod
    def masks(self, shape: tuple[int, int], params: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """(H, W) or (N, H, W), True where an image is filled."""

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
        """See :meth:`Attack.run`. ``params``: ``area``, and where it was moved ``down`` and ``right``, in pixels."""
        shape = (inputs.shape[2], inputs.shape[3])
        params: dict[str, NDArray[Any]] = dict(self.moves(shape, generator))
        area = self.masks(shape, params).mean((-2, -1))
        params["area"] = np.broadcast_to(area, len(inputs)).astype(np.float64)
        none = np.zeros(len(inputs), np.int64)
        return Perturbed(self.replay(inputs, params), params, forwards=none, backwards=none)

    def replay(self, inputs: torch.Tensor, params: Mapping[str, NDArray[Any]]) -> torch.Tensor:
        """Fill the masks that the parameters name."""
        from benchmark.attacks._regions import filled

        return filled(inputs, self.masks((inputs.shape[2], inputs.shape[3]), params), self.fill)

    def admissible(self, params: Mapping[str, NDArray[Any]], eps: float | None) -> NDArray[np.bool_]:
        """(N,) True: every place is one."""
        return np.ones(len(params["area"]), bool)


@attacks.register("mask-region")
class MaskRegion(Regional):
    """The region is filled; what is left decides.

    With ``elsewhere`` it is the control: the same shape, moved round the edges to a place drawn for each sample, at
    least twice its thickness away (once, for corners and centre), so that the same area is filled alike, mostly
    elsewhere. A moved border is a cross.
    """

    random: ClassVar[bool] = True

    elsewhere: bool = False

    def moves(self, shape: tuple[int, int], generator: Draws) -> dict[str, NDArray[np.int64]]:
        """``down`` and ``right``, where it is moved."""
        if not self.elsewhere:
            return {}
        found = []
        for side in shape:
            least = max(1, round(self.share * side)) * (1 if self.region == "centre" else 2)
            least = min(least, side // 2)
            found.append(generator.integers((), least, side - least + 1).numpy())
        return {"down": found[0], "right": found[1]}

    def masks(self, shape: tuple[int, int], params: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """The region, or the region moved."""
        from benchmark.attacks._regions import moved, region_mask

        mask = region_mask(self.region, self.share, *shape)
        if not self.elsewhere:
            return mask
        return moved(mask, *(np.asarray(params[name]).astype(np.int64) for name in ("down", "right")))


@attacks.register("keep-region")
class KeepRegion(Regional):
    """Everything but the region is filled: how much of the accuracy the region alone carries."""

    keeps: ClassVar[bool] = True

    def masks(self, shape: tuple[int, int], params: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """All but the region."""
        from benchmark.attacks._regions import region_mask

        return ~region_mask(self.region, self.share, *shape)
