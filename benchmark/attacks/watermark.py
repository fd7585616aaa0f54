"""An intervention: a planted watermark is pasted onto samples of other classes, and a control patch beside it.

Explanations say where a model looks; whether it decides by that is a question of cause. Here the cause is set: the same
photo with and without the mark. A control patch of the same size says how much any such patch moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.accounts import Chapter
from benchmark.attacks._watermark_words import WATERMARK
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.data._mark import CORNERS, Corner, square
from benchmark.reported import Column, Extras, ProbeResults

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

ALIKE = 0.1  # mean difference below which a sample is said to carry the mark already


class Flipped:
    """(N,) 1 where a right sample of another class is taken for ``target``; NaN outside the denominator.

    Outside: samples of the target class, wrong ones, and those that carry the mark already.
    """

    def __init__(self, target: int) -> None:
        self.target = target

    def __call__(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """One value a row."""
        inside = rows["correct"].to_numpy(dtype=float) == 1
        inside &= (rows["label"].to_numpy() != self.target) & (rows["param_carries"].to_numpy(dtype=float) == 0)
        return np.where(inside, rows["pred"].to_numpy() == self.target, np.nan)


@attacks.register("watermark")
class Watermark(Attack):
    """Paste the mark of the dataset ``watermarked``, or (``elsewhere``) the same patch in another corner.

    ``flip_rate_<probe>``: right samples of other classes without the mark that are taken for the mark's class. What of
    it is due to the mark is the difference to a probe with ``elsewhere = true``, in ``clever_hans.csv``.

    Fields:
        target: the class that has the mark in training.
        size, corner, value: the mark, as the dataset's parameters say it.
        elsewhere: the control: the same patch in one of the other corners, drawn for each sample.
    """

    source: ClassVar[str] = "own; the intervention of Anders et al. 2022 (Information Fusion 77), section 4"
    cost: ClassVar[str] = "none"
    random: ClassVar[bool] = True
    says: ClassVar[Chapter] = WATERMARK

    target: int = Field(default=0, ge=0)
    size: float = Field(default=0.25, gt=0, le=0.5)
    corner: Corner = "top-left"
    value: float = Field(default=1.0, ge=0, le=1)
    elsewhere: bool = False

    @property
    def threat(self) -> Threat:
        """No norm: the mark bounds it; knows nothing of the model."""
        return Threat(norm="none", kind="none", knowledge="none")

    def columns(self) -> tuple[Column, ...]:
        """``flip_rate``, with Wilson's interval."""
        words = "right samples that what is pasted turns into the marked class"
        return (Column("flip_rate", "rate", Flipped(self.target), higher_is_better=False, glance=words),)

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:
        """``clever_hans.csv``: a row a model; and pictures of what is pasted."""
        from benchmark.attacks._watermark_report import report

        return report(probes)

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
        """See :meth:`Attack.run`; params: ``place`` (which corner) and ``carries`` (has the mark already)."""
        n, own = len(inputs), CORNERS.index(self.corner)
        place = np.full(n, own)
        if self.elsewhere:
            others = np.array([i for i in range(len(CORNERS)) if i != own])
            place = others[generator.integers((1,), 0, len(others)).numpy()[:, 0]]
        rows, columns = square(self.corner, self.size, *inputs.shape[2:])
        away = (inputs[:, :, rows, columns] - self.value).abs().flatten(1).mean(1)
        params = {"place": place, "carries": (away < ALIKE).cpu().numpy().astype(float)}
        none = np.zeros(n, np.int64)
        return Perturbed(self.replay(inputs, params), params, forwards=none, backwards=none)

    def replay(self, inputs: torch.Tensor, params: Mapping[str, NDArray[Any]]) -> torch.Tensor:
        """The patch in the corner that ``place`` names."""
        pasted = inputs.clone()
        for i, place in enumerate(np.asarray(params["place"]).astype(int)):
            rows, columns = square(CORNERS[place], self.size, *inputs.shape[2:])
            pasted[i, :, rows, columns] = self.value
        return pasted

    def admissible(self, params: Mapping[str, NDArray[Any]], eps: float | None) -> NDArray[np.bool_]:
        """(N,) True where the patch is in the mark's corner, or of a control in another one."""
        place = np.asarray(params["place"])
        known = (place >= 0) & (place < len(CORNERS))
        return np.asarray(known & ((place == CORNERS.index(self.corner)) != self.elsewhere))
