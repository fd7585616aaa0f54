"""True and false structures of a dataset: what an image is to be classified by, and what merely goes along with it.

In the sense of Thesing, Antun and Hansen 2019 ("What do AI algorithms actually learn? - On false structures in deep
learning", arXiv:1906.01478, Conjecture 1.1): the false structure correlates with the true one and is simpler, so a
network that learned it is right as long as both agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

RANK = 1e-6  # singular values below this share of the largest are rounding

Which = Literal["true", "false"]


@dataclass(frozen=True)
class Structures:
    """Patterns that lie in the images as summands, so that one can be put in another's place exactly.

    They are of a split where every image carries the false structure of its own class.

    Attributes:
        true: float32 (K, V, C, H, W), the V variants (places) of each class's true structure.
        false: float32 (K, C, H, W), each class's false structure.
    """

    true: NDArray[np.float32]
    false: NDArray[np.float32]

    @property
    def classes(self) -> int:
        """K."""
        return len(self.false)

    def exchange(self, own: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float32]:
        """What is added to images to put another class's false structure in place of their own.

        Args:
            own: (N,) classes.
            other: (N,) classes; -1: none, the false structure is taken away.

        Returns:
            (N, C, H, W) float32.
        """
        put: NDArray[np.float32] = np.where((other >= 0)[:, None, None, None], self.false[other], 0).astype(np.float32)
        return put - self.false[own]

    def basis(self, which: Which) -> NDArray[np.float64]:
        """Orthonormal rows (R, C * H * W) that span all differences between patterns of two classes."""
        patterns = self.true if which == "true" else self.false[:, None]
        flat = patterns.reshape(*patterns.shape[:2], -1).astype(np.float64)
        # a - b of any two classes: all of class 0 against all of the others, and within a class by way of another
        first, others = flat[0], flat[1:].reshape(-1, flat.shape[2])
        _, values, rows = np.linalg.svd(np.concatenate([first - others[0], others - first[0]]), full_matrices=False)
        directions: NDArray[np.float64] = rows[values > RANK * values[0]]
        return directions
