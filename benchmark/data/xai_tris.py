"""XAI-TRIS (Clark, Wilming and Haufe 2024): tetrominoes on noise, where it is known what an explanation should show."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.data.base import Dataset, Index, Split, datasets
from benchmark.errors import DataError
from benchmark.registry import digest

if TYPE_CHECKING:
    from benchmark.data._tris import Recipe

STEPS = 10000  # pixels enter the digest in these steps: they tell another generator, not another processor


@datasets.register("xai-tris")
class XaiTris(Dataset):
    """A T or an L tetromino on noise; two classes, in four scenarios.

    - ``linear``: T at the upper left or L at the lower right is added: the mean image of a class shows it.
    - ``multiplicative``: the same, but noise is weakened there: only a variance differs.
    - ``transrot``: T or L is added at any place in any of four turns.
    - ``xor``: both are added, each with a sign; the class is whether the signs agree, and no pixel alone tells it.

    x = alpha S / |S| + (1 - alpha) B / |B|, or (1 - alpha S) / |1 - alpha S| * B / |B|, with expected Frobenius norms;
    background B is white noise, or white noise smoothed by a Gaussian (3 pixels at 8x8, 10 at 64x64). All images of a
    set go through the same map 1/2 + x / (2 m), where m is the largest signal and 5 deviations of the background.

    Masks: where the sample tells its class (both places where the places are fixed: absence tells, too). Artefacts,
    with a correlated background: suppressors, pixels that tell nothing of the class, but at least a share
    ``suppressor`` of the background's variance at an informative pixel: a network may use them to subtract noise, and
    an explanation that shows them points to what has no association with the class.

    Attributes:
        scenario, background: see above.
        size: 8 or 64 (tetrominoes of 8 pixels a block, 4 in ``transrot``, with soft edges).
        alpha: weight of the signal; default: the authors' for scenario, background and size.
        suppressor: least squared correlation with an informative pixel.
        train, val, test: images in each split.
        seed: of all images.
    """

    source: ClassVar[str] = "generated; Clark, Wilming and Haufe 2024 (arXiv:2306.12816), section 3"

    scenario: Literal["linear", "multiplicative", "transrot", "xor"] = "linear"
    background: Literal["white", "correlated"] = "white"
    size: Literal[8, 64] = 8
    alpha: float | None = Field(default=None, ge=0, le=1)
    suppressor: float = Field(default=0.9, gt=0, le=1)
    train: int = Field(default=8000, ge=1)
    val: int = Field(default=1000, ge=1)
    test: int = Field(default=1000, ge=1)
    seed: int = 0

    def fingerprint(self, split: Split) -> str:
        """Versions of the generator and of NumPy."""
        from benchmark.data._tris import VERSION

        return digest([VERSION, np.__version__, self._count(split)])

    def build_index(self, split: Split) -> Index:
        """Names, labels (the two classes in turn) and the digest over pixels (in steps of 1e-4), labels and masks."""
        ids = tuple(f"tris-{split}-{i:05d}" for i in range(self._count(split)))
        labels = np.arange(len(ids), dtype=np.int64) % 2
        correlated = self.background == "correlated"
        content = hashlib.sha256(labels.astype("<i8").tobytes())
        for pixels in self.read(split, ids):
            content.update(np.rint(STEPS * pixels.astype(np.float64)).astype("<u2").tobytes())
        for mask in (*self.read_masks(split, ids), *(self.read_artefacts(split, ids) if correlated else ())):
            content.update(mask.tobytes())
        classes = ("same", "different") if self.scenario == "xor" else ("T", "L")
        return Index(ids, labels, classes, content.hexdigest(), masks=True, artefacts=correlated)

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Images (size, size), float32 in [0, 1]."""
        made = self.recipe()
        return [made.image(self.seed, split, _number(name)) for name in ids]

    def read_masks(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """(size, size), True where the sample tells its class."""
        made = self.recipe()
        return [made.informative(_number(name), made.stream(self.seed, split, _number(name))) for name in ids]

    def read_artefacts(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """(size, size), True at suppressors; nowhere with a white background."""
        made = self.recipe()
        known: dict[bytes, NDArray[np.bool_]] = {}
        artefacts = []
        for mask in self.read_masks(split, ids):
            key = mask.tobytes()
            known[key] = known[key] if key in known else made.suppressors(mask, self.suppressor)
            artefacts.append(known[key])
        return artefacts

    def facts(self) -> dict[str, str]:
        """Scenario and background."""
        return {"scenario": self.scenario, "background": self.background}

    def recipe(self) -> Recipe:
        """How its images are made."""
        from benchmark.data._tris import ALPHA, Recipe

        correlated = self.background == "correlated"
        alpha = ALPHA[self.size, self.scenario][correlated] if self.alpha is None else self.alpha
        return Recipe(self.scenario, correlated, self.size, alpha)

    def _count(self, split: Split) -> int:
        if split not in ("train", "val", "test"):
            raise DataError(f"dataset 'xai-tris' has the splits 'train', 'val' and 'test', not {split!r}")
        return int(getattr(self, split))


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
