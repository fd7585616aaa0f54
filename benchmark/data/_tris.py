"""Tetrominoes on noise: patterns, backgrounds and their mixture (Clark et al. 2024, section 3), one sample at a time.

Where the paper divides by Frobenius norms of a whole drawn set, the norms here are the expected ones, so that a sample
does not depend on the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from benchmark.seeds import derive

VERSION = 1  # raise it whenever an image changes
TRUNCATE = 4.0  # a Gaussian kernel ends after so many standard deviations, as scipy's
BOUND = 5.0  # standard deviations of the background that the map to [0, 1] leaves room for
EDGE = 0.05  # share of a smoothed tetromino's largest value from which a pixel belongs to it
SMOOTHED = 3  # tetrominoes of larger scale are smoothed, with a standard deviation of EDGE_SIGMA pixels
EDGE_SIGMA = 1.5

T = np.array([[1, 0], [1, 1], [1, 0]], float)
L = np.array([[1, 0], [1, 0], [1, 1]], float)
SIGNS = ((1, 1), (1, -1), (-1, -1), (-1, 1))  # of T and L in xor, by sample number modulo 4: the class is number % 2

# Weight alpha of the signal, by (size, scenario): (white, correlated), from the authors' data_config*.json
ALPHA = {
    (8, "linear"): (0.18, 0.0125),
    (8, "multiplicative"): (0.7, 0.1),
    (8, "transrot"): (0.65, 0.2),
    (8, "xor"): (0.35, 0.15),
    (64, "linear"): (0.03, 0.02),
    (64, "multiplicative"): (0.65, 0.05),
    (64, "transrot"): (0.575, 0.375),
    (64, "xor"): (0.075, 0.03),
}
SIGMA = {8: 3.0, 64: 10.0}  # of the correlated background's smoothing, in pixels
CORNERS = {8: ((1, 1), (4, 5)), 64: ((8, 8), (32, 40))}  # top left of T and of L


@cache
def smoothing(size: int, sigma: float) -> NDArray[np.float64]:
    """(size, size) matrix of a Gaussian filter along one axis, mirrored at the edges (scipy's ``reflect``)."""
    radius = int(TRUNCATE * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    matrix = np.zeros((size, size))
    for row in range(size):
        at = np.arange(row - radius, row + radius + 1) % (2 * size)
        np.add.at(matrix[row], np.where(at < size, at, 2 * size - 1 - at), kernel)
    return matrix


@dataclass(frozen=True)
class Recipe:
    """One scenario.

    Attributes:
        scenario: ``"linear"``, ``"multiplicative"``, ``"transrot"`` or ``"xor"``.
        correlated: the background is smoothed.
        size: side of the image, 8 or 64.
        alpha: weight of the signal.
    """

    scenario: str
    correlated: bool
    size: int
    alpha: float

    # -- signal -------------------------------------------------------------------------------------------------

    @property
    def scale(self) -> int:
        """Pixels a block of a tetromino."""
        return 1 if self.size == 8 else 4 if self.scenario == "transrot" else 8

    def put(self, *parts: tuple[NDArray[np.float64], tuple[int, int], int]) -> NDArray[np.float64]:
        """(size, size): tetrominoes (in blocks) at (top, left) with a sign: 1, with soft edges where large."""
        canvas = np.zeros((self.size, self.size))
        for shape, (top, left), sign in parts:
            block = np.kron(shape, np.ones((self.scale, self.scale)))
            canvas[top : top + len(block), left : left + block.shape[1]] += sign * block
        if self.scale > SMOOTHED:
            matrix = smoothing(self.size, EDGE_SIGMA)
            canvas = matrix @ canvas @ matrix.T
        return canvas

    def signal(self, number: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(size, size), the tetrominoes of a sample; its class is ``number % 2``."""
        where, label = CORNERS[self.size], number % 2
        if self.scenario == "xor":
            signs = SIGNS[number % 4]
            return self.put((T, where[0], signs[0]), (L, where[1], signs[1]))
        if self.scenario == "transrot":
            shape = np.rot90((T, L)[label], int(rng.integers(4)))
            room = [self.size - self.scale * side + 1 for side in shape.shape]
            return self.put((shape, (int(rng.integers(room[0])), int(rng.integers(room[1]))), 1))
        return self.put(((T, L)[label], where[label], 1))

    def informative(self, number: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """(size, size), True where the sample tells its class.

        The places of both tetrominoes where these are fixed (one that is absent tells as much), else its own.
        """
        signal = self.signal(number, rng)
        if self.scenario in ("linear", "multiplicative"):
            signal = self.put((T, CORNERS[self.size][0], 1), (L, CORNERS[self.size][1], 1))
        return np.asarray(np.abs(signal) >= EDGE * np.abs(signal).max())

    # -- background ---------------------------------------------------------------------------------------------

    @cached_property
    def along(self) -> NDArray[np.float64]:
        """(size, size) what the background does to white noise along each axis."""
        return smoothing(self.size, SIGMA[self.size]) if self.correlated else np.eye(self.size)

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """(size, size) covariance along one axis; of two pixels it is the product of that of their rows and columns."""
        return self.along @ self.along.T

    def background(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """(size, size), of expected Frobenius norm 1 (squared)."""
        noise = rng.standard_normal((self.size, self.size))
        smooth: NDArray[np.float64] = self.along @ noise @ self.along.T / np.trace(self.covariance)
        return smooth

    def suppressors(self, informative: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
        """(size, size), True outside ``informative`` where the background tells that of an informative pixel.

        Namely at least ``share`` of the variance there, the squared correlation of the two.
        """
        deviation = np.sqrt(np.diag(self.covariance))
        squared = (self.covariance / np.outer(deviation, deviation)) ** 2
        best = np.zeros((self.size, self.size))
        for row, column in np.argwhere(informative):
            np.maximum(best, np.outer(squared[row], squared[column]), out=best)
        return np.asarray((best >= share) & ~informative)

    # -- both ---------------------------------------------------------------------------------------------------

    @cached_property
    def energy(self) -> float:
        """Expected Frobenius norm (root of the mean square) of the signal, of 1 - alpha signal where it multiplies."""
        rng = np.random.default_rng(0)
        signals = np.stack([self.signal(number, rng) for number in range(4)])  # a turn or a place changes no norm
        if self.scenario == "multiplicative":
            signals = 1 - self.alpha * signals
        return float(np.sqrt((signals**2).sum((1, 2)).mean()))

    @cached_property
    def largest(self) -> float:
        """What the map to [0, 1] divides by: the largest signal plus 5 of the background's largest deviations."""
        deviation = float(np.diag(self.covariance).max()) / float(np.trace(self.covariance))
        if self.scenario == "multiplicative":
            return BOUND * deviation / self.energy
        return self.alpha / self.energy + BOUND * (1 - self.alpha) * deviation

    def mixed(self, signal: NDArray[np.float64], background: NDArray[np.float64]) -> NDArray[np.float64]:
        """Signal and background as the scenario mixes them (equations 1 and 2), before the map to [0, 1]."""
        if self.scenario == "multiplicative":
            return (1 - self.alpha * signal) / self.energy * background
        return self.alpha * signal / self.energy + (1 - self.alpha) * background

    def image(self, seed: int, split: str, number: int) -> NDArray[np.float32]:
        """(size, size) in [0, 1]: 1/2 + x / (2 largest), clipped (beyond 5 deviations, 6e-7 of the pixels)."""
        rng = self.stream(seed, split, number)
        signal = self.signal(number, rng)
        x = self.mixed(signal, self.background(rng))
        return np.clip(0.5 + x / (2 * self.largest), 0, 1).astype(np.float32)

    def stream(self, seed: int, split: str, number: int) -> np.random.Generator:
        """The sample's own random numbers; the signal draws first."""
        return np.random.default_rng(derive("xai-tris", seed, split, number))
