"""Details that no training image has: are they still there after reconstruction? No adversary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.accounts import Chapter
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.mri import EXTRA, MEASUREMENT
from benchmark.mri.attacks.detail import Detail
from benchmark.mri.attacks.words import MEASURED
from benchmark.reported import Column, Extras, ProbeResults, Values

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

DETAILS = (
    Detail(kind="text", size=5, contrast=0.5),
    Detail(kind="suits", size=5, contrast=0.5),
    *(Detail(kind="lesion", size=size, contrast=contrast) for size in (1.5, 3, 5) for contrast in (0.1, 0.3)),
)


@attacks.register("details")
class Details(Attack):
    """Text, card suits and lesions of several sizes and contrasts inserted into the image, each a view.

    The structural test of Antun et al. 2020 (PNAS 117:30088), with a number: the recovery <f(A(x + d)) - f(A x), d> /
    ||d||^2 is 1 where a detail d is shown whole and 0 where it is lost; ``contrast_absent`` is the same of f(A x) - x,
    what is shown of a detail that is not there. ``local_ssim`` is the SSIM where the detail stands.

    Fields:
        details: what is inserted; each of ``kind``, ``size`` (pixels of a 32-pixel grid) and ``contrast``.
    """

    source: ClassVar[str] = "Antun et al. 2020, PNAS 117:30088, structural changes"
    cost: ClassVar[str] = "none"
    requires: ClassVar[tuple[str, ...]] = ("deepinv",)
    extra: ClassVar[str] = EXTRA
    accepts: ClassVar[tuple[str, ...]] = (MEASUREMENT,)
    tabled: ClassVar[bool] = True
    tests: ClassVar[tuple[str, ...]] = ("details",)
    says: ClassVar[Chapter] = MEASURED

    details: tuple[Detail, ...] = Field(default=DETAILS, min_length=1)

    @property
    def threat(self) -> Threat:
        """The image itself changes; nobody chooses how."""
        return Threat(norm="none", kind="none", knowledge="none", domain="image")

    def views(self) -> int:
        """One a detail."""
        return len(self.details)

    def columns(self) -> tuple[Column, ...]:
        """``recovery_<probe>``: mean over images and details."""
        return (Column("recovery", "mean", Values("contrast"), glance="contrast recovered of details"),)

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:
        """Table ``details``, and the panel."""
        from benchmark.mri.attacks.details_tables import extras

        return extras(probes)

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
        """See :meth:`Attack.run`; ``params["change"]`` is d (N, 2, H, W)."""
        import torch

        from benchmark.mri.measurement import unpack

        detail = self.details[self._view]
        change = np.stack([detail.draw(truth) for truth in labels.cpu().numpy()])
        measured = unpack(inputs)
        with torch.no_grad():
            moved = measured.y + measured.physics().A(torch.as_tensor(change, device=inputs.device))
        none = np.zeros(len(inputs), dtype=np.int64)
        return Perturbed(measured.with_y(moved).pack(), {"change": change}, forwards=none, backwards=none)
