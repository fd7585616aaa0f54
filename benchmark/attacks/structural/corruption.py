"""The common corruptions of Hendrycks and Dietterich 2019: made of clean images, or read as they are published."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.attacks.structural.severities import SEVERITIES, Kind, Set
from benchmark.attacks.structural.structural import right
from benchmark.errors import AttackError, SpecError, UsageError
from benchmark.registry import lacking, library_version
from benchmark.reported import Column, Extras, ProbeResults, Summary
from benchmark.spec.budget import Budget

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

PACKAGE = "imagecorruptions"


class Common(Attack):
    """What both share: a severity of 1 to 5 as the budget, every sample judged, the field's summaries."""

    source: ClassVar[str] = "Hendrycks and Dietterich 2019 (arXiv:1903.12261)"
    cost: ClassVar[str] = "none"
    tabled: ClassVar[bool] = True
    whole_batch: ClassVar[bool] = True  # a corrupted image counts whether or not the clean one was right
    searches: ClassVar[bool] = False

    kind: Kind = "gaussian_noise"
    parameters: Set = "imagenet"

    @property
    def threat(self) -> Threat:
        """No norm; the severity is the budget; nothing is known of the model."""
        return Threat(norm="none", kind="fixed", knowledge="none")

    @abstractmethod
    def make(self, images: NDArray[np.uint8], severity: int, seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Corrupted images (N, H, W, C) of these, each by its seed."""

    def check_budget(self, eps: Budget) -> None:
        """A severity is a whole number from 1 to 5."""
        if eps.value not in SEVERITIES:
            raise SpecError(f"budget {eps} of {self.use!r}: expected a severity, a whole number from 1 to 5")

    def columns(self) -> tuple[Column, ...]:
        """The accuracy on corrupted images, over all samples."""
        return (Column("corrupted_acc", "rate", right, glance="accuracy"),)

    @classmethod
    def summaries(cls, probes: Sequence[ProbeResults]) -> Sequence[Summary]:
        """Mean and worst error, the error under any, and of ImageNet's mCE and relative mCE."""
        from benchmark.attacks.structural.errors import summaries

        return summaries(probes)

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:
        """A table of errors, corruption by corruption."""
        from benchmark.attacks.structural.errors import report

        return report(probes)

    def admissible(self, params: Mapping[str, NDArray[Any]], eps: float | None) -> NDArray[np.bool_]:
        """(N,) True where the severity is the budget."""
        return np.asarray(params["severity"] == eps)

    def replay(self, inputs: torch.Tensor, params: Mapping[str, NDArray[Any]]) -> torch.Tensor:
        """The corrupted images, made or read again."""
        seeds = np.asarray(params["seed"], dtype=np.int64).tolist()
        return self._on(inputs, int(params["severity"][0]), seeds) if len(inputs) else inputs

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
        """See :meth:`Attack.run`; ``params``: ``severity`` and ``seed``.

        Raises:
            AttackError: the budget is no severity of 1 to 5.
        """
        from benchmark.seeds import derive

        if eps not in SEVERITIES:
            raise AttackError(f"attack {self.name!r}: its budget is a severity, 1 to 5, got {eps}")
        seeds = [derive("corruption", seed) & 0xFFFFFFFF for seed in generator.seeds]  # exact as a float64
        params = {"severity": np.full(len(inputs), int(eps)), "seed": np.asarray(seeds, dtype=np.int64)}
        none = np.zeros(len(inputs), np.int64)
        return Perturbed(self._on(inputs, int(eps), seeds), params, forwards=none, backwards=none)

    def _on(self, inputs: torch.Tensor, severity: int, seeds: Sequence[int]) -> torch.Tensor:
        import torch

        pixels = (inputs.detach().cpu() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        made = torch.from_numpy(np.ascontiguousarray(self.make(pixels, severity, seeds)))
        return made.permute(0, 3, 1, 2).to(inputs) / 255


@attacks.register("corruption")
class Corruption(Common):
    """One of the fifteen corruptions at a severity of 1 to 5, made of the clean image on the suite's grid.

    Images are rounded to 8 bits before, and cut to 8 bits after, as the authors' are. What is drawn derives from the
    sample, so results depend neither on the batch nor on the model. Frost is laid on with a texture of ours that has
    the statistics of the authors' pictures of ice. Any size; lengths are those of the published grid.

    Fields:
        kind: which.
        parameters: ``"imagenet"`` (of images of 224 pixels) or ``"cifar"`` (of 32, milder).
        stored: how the result is stored: ``"jpeg"`` (quality 85, as ImageNet-C's files) or ``"8bit"``; default: as the
            published set of these parameters.
        ice: of frost: our texture, or the authors' pictures, where the package imagecorruptions is installed.
    """

    library: ClassVar[str] = "scipy"
    random: ClassVar[bool] = True

    stored: Literal["jpeg", "8bit"] | None = None
    ice: Literal["texture", "imagecorruptions"] = "texture"

    def implementation(self) -> str:
        """With the version of the package whose pictures are used."""
        own = super().implementation()
        return f"{own}+{PACKAGE}=={library_version(PACKAGE)}" if self.ice == PACKAGE else own

    def check_installed(self, where: str) -> Self:
        """See :meth:`Plugin.check_installed`; also the package whose pictures are used."""
        if self.ice == PACKAGE and (reason := lacking((PACKAGE,), "")):
            raise UsageError(f"{where}: {self.name!r} with ice = {self.ice!r} {reason}")
        return super().check_installed(where)

    @model_validator(mode="after")
    def _ice_is_used(self) -> Self:
        if self.ice != "texture" and self.kind != "frost":
            raise ValueError(f"ice = {self.ice!r} is of kind = 'frost': remove it")
        return self

    def make(self, images: NDArray[np.uint8], severity: int, seeds: Sequence[int]) -> NDArray[np.uint8]:
        """See :func:`benchmark.attacks.structural.common.corrupted`."""
        from benchmark.attacks.structural.common import STORED, corrupted

        stored = self.stored or ("jpeg" if self.parameters == "imagenet" else "8bit")
        quality = STORED if stored == "jpeg" else None
        made = [
            corrupted(image, self.kind, severity, seed, self.parameters, quality, photographs=self.ice == PACKAGE)
            for image, seed in zip(images, seeds, strict=True)
        ]
        return np.stack(made) if made else images


@attacks.register("corruption-files")
class CorruptionFiles(Common):
    """The published images of a corruption, read beside the clean ones: of the datasets ``imagenet-c``, ``cifar10-c``.

    Fields:
        kind: which.
        parameters: whose set they are, ``"imagenet"`` or ``"cifar"``: by it the summary is chosen.
    """

    needs_samples: ClassVar[bool] = True

    def make(self, images: NDArray[np.uint8], severity: int, seeds: Sequence[int]) -> NDArray[np.uint8]:
        """The files' images on the grid."""
        read = self.samples.counterparts(self.kind, severity)
        return np.stack([np.rint(image.transpose(1, 2, 0) * 255).astype(np.uint8) for image in read])
