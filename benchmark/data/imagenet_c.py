"""ImageNet's validation images with the published corrupted images of ImageNet-C beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from benchmark.data.base import Index, Split, datasets
from benchmark.data.imagenet import ImageNet
from benchmark.data.reading.pictures import read_image
from benchmark.data.reading.published import content, folder_of
from benchmark.errors import DataError
from benchmark.files import stamps
from benchmark.registry import digest

GROUPS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}  # the archives that are downloaded
GROUP_OF = {kind: group for group, kinds in GROUPS.items() for kind in kinds}


@datasets.register("imagenet-c")
class ImageNetC(ImageNet):
    """ImageNet as ``imagenet`` reads it, and ``PATH/ImageNet-C/<corruption>/<severity>/<wnid>/<name>``.

    For the attack ``corruption-files``; folders of the archives (``noise``, ``blur``, ...) may lie between. The
    corrupted images are 224 pixels wide and not cut again: a grid of 224 takes them as they are.
    """

    source: ClassVar[str] = "Hendrycks and Dietterich 2019 (ImageNet-C)"

    def fingerprint(self, split: Split) -> str:
        """Also of the corrupted images' files."""
        return digest([super().fingerprint(split), stamps(self._published(split))])

    def build_index(self, split: Split) -> Index:
        """As of ``imagenet``; the digest covers the corrupted images that are there too."""
        index = super().build_index(split)
        return replace(index, digest=digest([index.digest, content(self._published(split), self._corrupted())]))

    def _published(self, split: Split) -> list[Path]:
        """The corrupted images of the split that are there."""
        kinds = [kind for kind in GROUP_OF if self._of(kind) is not None]
        files = [self._file(kind, s, split, name) for kind in kinds for s in range(1, 6) for name in self._files(split)]
        return [file for file in files if file.is_file()]

    def read_counterparts(self, split: Split, ids: Sequence[str], kind: str, severity: int) -> list[NDArray[Any]]:
        """Images (H, W, 3), uint8.

        Raises:
            DataError: an image that is not there.
        """
        return [read_image(self._file(kind, severity, split, name)) for name in ids]

    def _corrupted(self) -> Path:
        marks = (*GROUP_OF, *GROUPS)
        return folder_of(self._root(), "ImageNet-C", marks, f"dataset {self.use!r}")

    def _of(self, kind: str) -> Path | None:
        folder = self._corrupted()
        return next((place for place in (folder / kind, folder / GROUP_OF[kind] / kind) if place.is_dir()), None)

    def _file(self, kind: str, severity: int, split: Split, name: str) -> Path:
        place = self._of(kind)
        if place is None:
            raise DataError(
                f"dataset {self.use!r}: {self._corrupted()} has no folder {kind}; download the archive"
                f" {GROUP_OF[kind]}.tar of ImageNet-C, or leave the corruption out"
            )
        path, wnid = self._files(split)[name]
        return place / str(severity) / wnid / path.name
