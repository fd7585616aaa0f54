"""Perturbations of the measurement that hide a lesion, or make one where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.accounts import Chapter
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.mri import EXTRA, MEASUREMENT
from benchmark.mri.attacks.detail import Detail
from benchmark.mri.attacks.words import MEASURED
from benchmark.reported import Column, Values

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

SEEN = 0.5  # recovered share of its contrast from which on a lesion counts as seen


@attacks.register("lesion")
class Lesion(Attack):
    """Within ||e|| <= eps ||y||, the perturbation that changes the recovered contrast of a lesion most.

    With the lesion d, the recovered contrast is c = <f(y') - f(A x), d> / ||d||^2. ``mode = "hide"``: y' = A(x + d) +
    e and c is made small, as if nothing were there. ``mode = "create"``: y' = A x + e and c is made large. A lesion
    counts as seen from c > 0.5 on. After the localised attacks of Morshuis et al. 2022 (arXiv:2207.05623).

    Fields:
        mode: ``"hide"`` or ``"create"``.
        size: diameter in pixels of a 32-pixel grid.
        contrast: height above the tissue, as a share of the image's maximum.
        steps, step, refresh: as of ``measurement-l2``; one start at no perturbation.
    """

    source: ClassVar[str] = "after Antun et al. 2020 and Morshuis et al. 2022, arXiv:2207.05623"
    cost: ClassVar[str] = "steps forwards, steps backwards"
    requires: ClassVar[tuple[str, ...]] = ("deepinv",)
    extra: ClassVar[str] = EXTRA
    accepts: ClassVar[tuple[str, ...]] = (MEASUREMENT,)
    tests: ClassVar[tuple[str, ...]] = ("lesion",)
    says: ClassVar[Chapter] = MEASURED

    mode: Literal["hide", "create"] = "hide"
    size: float = Field(default=3.0, gt=0)
    contrast: float = Field(default=0.3, gt=0)
    steps: int = Field(default=40, ge=1)
    step: float = Field(default=0.25, gt=0)
    refresh: int = Field(default=20, ge=1)

    def reach(self, eps: float) -> float | None:
        """As of ``measurement-l2``."""
        return self.steps * self.step * 0.55

    @property
    def threat(self) -> Threat:
        """L2 on the measurement, a share of its norm; one outcome is wanted."""
        return Threat(norm="l2", kind="fixed", domain="measurement", targeted=True, relative=True)

    def columns(self) -> tuple[Column, ...]:
        """``contrast``: recovered, mean; ``seen``: share of images that show a lesion, 1 and 0 without an attack."""
        good = self.mode == "hide"
        before = (Column("contrast_before", "mean", Values("contrast_before")),) if good else ()
        return (
            *before,
            Column("contrast", "mean", Values("contrast"), higher_is_better=good, glance="contrast of the lesion"),
            Column("seen", "rate", _seen, higher_is_better=good),
        )

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
        """See :meth:`Attack.run`; ``params["change"]`` is the lesion (N, 2, H, W)."""
        from benchmark.mri.attacks.lesion_ascent import move_contrast

        detail = Detail(kind="lesion", size=self.size, contrast=self.contrast)
        change = np.stack([detail.draw(truth) for truth in labels.cpu().numpy()])
        return move_contrast(
            model,
            inputs,
            change,
            self.budget(eps),
            hide=self.mode == "hide",
            steps=self.steps,
            step=self.step,
            refresh=self.refresh,
            name=self.name,
        )


def _seen(rows: pd.DataFrame) -> NDArray[Any]:
    return (rows["contrast"].to_numpy(dtype=float) > SEEN).astype(float)
