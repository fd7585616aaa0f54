"""The stop-sign photos of the RP2 authors: what simulated physical attacks are optimised and judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.data._files import beside, fitting
from benchmark.data._left_out import is_debris
from benchmark.data._pictures import SUFFIXES, read_image
from benchmark.data._scan import scan
from benchmark.data.base import Dataset, Index, Split, datasets
from benchmark.errors import DataError, printable
from benchmark.files import stamps
from benchmark.registry import digest
from benchmark.seeds import derive

STOP = 14
CLASSES = tuple(
    """Speed limit 20|Speed limit 30|Speed limit 50|Speed limit 60|Speed limit 70|Speed limit 80|End of speed limit 80
Speed limit 100|Speed limit 120|No passing|No passing for trucks|Right of way|Priority road|Yield|Stop|No vehicles
No trucks|No entry|Danger|Bend left|Bend right|Double bend|Bumpy road|Slippery road|Road narrows|Road work
Traffic signals|Pedestrians|Children|Bicycles|Snow|Wild animals|End of limits|Turn right|Turn left|Ahead only
Straight or right|Straight or left|Keep right|Keep left|Roundabout|End of no passing|End of no passing for trucks
""".strip()
    .replace("\n", "|")
    .split("|")
)
"""The 43 signs of GTSRB in the order of their ids (Stallkamp et al. 2012): 5 is "Speed limit 80", 14 "Stop"."""


@datasets.register("stop-signs")
class StopSigns(Dataset):
    """Photos of stop signs in ``PATH/victim_256/*``, all of class 14 of GTSRB's 43.

    Split ``train`` is one half of the photos (a seeded draw over their names; of an odd number the smaller half),
    ``test`` the other. Several photos may show one sign: the halves share no photo, but may share a sign.

    Attributes:
        photos: folder of the photos under PATH (``victim_32`` holds the same at 32x32).
        split_seed: seed of the draw.
    """

    source: ClassVar[str] = "Eykholt et al. 2018, github.com/evtimovi/robust_physical_perturbations"
    needs_path: ClassVar[bool] = True

    photos: str = "victim_256"
    split_seed: int = 0

    def fingerprint(self, split: Split) -> str:
        """The photos' stamps."""
        return digest(stamps(self._files()))

    def build_index(self, split: Split) -> Index:
        """Names of the half, label 14, and the digest over the files' bytes."""
        files = self._half(split)
        contents = scan({printable(file.name): (file, "") for file in files}, {})
        content = hashlib.sha256("\n".join(CLASSES).encode())
        content.update(contents.images.replace(b"\t\t", b"\t"))  # there is no class between name and content
        return Index(
            ids=tuple(printable(file.name) for file in files),
            labels=np.full(len(files), STOP, np.int64),
            classes=CLASSES,
            digest=content.hexdigest(),
            notes=(*beside(self._files(), self._files()[0].parent), *contents.notes),
            shapes=contents.shapes,
            keep=contents.keep,
            peak=contents.peak,
        )

    def sources(self, split: Split, ids: Sequence[str] | None = None) -> Sequence[Path]:
        """The photos."""
        return [file for file in self._half(split) if ids is None or printable(file.name) in set(ids)]

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Photos (H, W, 3), uint8."""
        files = {printable(file.name): file for file in self._half(split)}
        return [read_image(files[name]) for name in ids]

    def _files(self) -> list[Path]:
        if self.path is None:
            raise DataError(
                "dataset 'stop-signs' needs to know where the photos are: give `path` in the suite's [dataset]"
                " or --data NAME=PATH"
            )
        folder = Path(self.path).expanduser() / self.photos
        if not folder.is_dir():
            raise DataError(
                f"dataset 'stop-signs': {folder} does not exist or is no folder; PATH is the folder that holds"
                f" {self.photos}: correct `path` or --data NAME=PATH{fitting(Path(self.path).expanduser(), self.use)}"
            )
        files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not is_debris(f))
        if len(files) < 2:
            raise DataError(f"dataset 'stop-signs': {folder} holds {len(files)} photos, at least 2 are needed")
        return files

    def _half(self, split: Split) -> list[Path]:
        if split not in ("train", "test"):
            raise DataError(f"dataset 'stop-signs' has no split {split!r}; it has 'train' and 'test'")
        files = sorted(self._files(), key=lambda file: derive(self.split_seed, printable(file.name)))
        half = len(files) // 2
        return sorted(files[:half] if split == "train" else files[half:])
