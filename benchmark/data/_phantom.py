"""Random heads as smooth functions of the plane, rendered finer than the reconstruction grid, and their coils.

What is drawn does not depend on the size of the picture, so a seed is one head at any resolution. Nothing is piecewise
constant: edges are soft, tissue has texture and a bias field, so total variation has no easy game.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.data._kspace import Array, Complex, as_sample, lower, pixel_axis, smooth_field, with_phase
from benchmark.seeds import derive

VERSION = 1  # raise it when any phantom changes
OVERSAMPLING = 4
MODES = 64  # of the textures: frequencies below 32 cycles across the picture


def phantom(seed: int, size: tuple[int, int], *, coils: int = 1, noise: float = 0.0) -> NDArray[np.float32]:
    """One phantom's sample on the grid: (2, H, W), or (4 c, H, W) with coils, see :func:`_kspace.as_sample`.

    Args:
        seed: of everything that is random.
        size: the grid (H, W). The head is rendered on a grid ``OVERSAMPLING`` times as fine, k-space then cropped.
        coils: number of receive coils c.
        noise: standard deviation of the complex noise (E|n|^2 = noise^2) in each coil's k-space, in units of the
            noiseless image's maximum.
    """
    side = OVERSAMPLING * min(size)
    fine = np.zeros((OVERSAMPLING * size[0], OVERSAMPLING * size[1]), np.complex128)
    top, left = fine.shape[0] // 2 - side // 2, fine.shape[1] // 2 - side // 2
    fine[top : top + side, left : left + side] = head(seed, side)
    if coils == 1:
        images, maps = lower(fine, size)[None], None
    else:
        maps = coil_maps(seed, size, coils)
        images = lower(coil_maps(seed, (fine.shape[0], fine.shape[1]), coils) * fine, size)
    largest = np.abs(images[0] if maps is None else (maps.conj() * images).sum(0)).max()
    rng = np.random.default_rng(derive("noise", seed, *size, coils))
    # unitary: white noise in k-space is white noise of the same deviation in the image
    normal = rng.standard_normal((2, *images.shape))
    images = images + noise * largest / np.sqrt(2) * (normal[0] + 1j * normal[1])
    return as_sample(images, maps)


def coil_maps(seed: int, size: tuple[int, int], coils: int) -> Complex:
    """Smooth complex sensitivities (c, H, W) of coils on a ring around the head, sum of squares 1 everywhere.

    Each coil falls off with the distance from its centre and turns its phase slowly across the picture.
    """
    rng = np.random.default_rng(derive("coils", seed, coils))
    angles = 2 * np.pi * (np.arange(coils) + rng.uniform(-0.15, 0.15, coils)) / coils + rng.uniform(0, 2 * np.pi)
    reach = rng.uniform(1.1, 1.3, coils)[:, None, None]
    fall = rng.uniform(0.5, 0.9, coils)[:, None, None]
    ramps = rng.uniform(-0.9, 0.9, (2, coils, 1, 1))
    offset = rng.uniform(-np.pi, np.pi, (coils, 1, 1))
    y = pixel_axis(size[0], min(size))[:, None]
    x = pixel_axis(size[1], min(size))[None, :]
    away = (y - reach * np.sin(angles)[:, None, None]) ** 2 + (x - reach * np.cos(angles)[:, None, None]) ** 2
    strength = 1 / (1 + away / fall**2) ** 1.5
    strength = strength / np.sqrt(np.square(strength).sum(0))
    maps: Complex = strength * np.exp(1j * (offset + ramps[0] * x + ramps[1] * y))
    return maps


# -- the head ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plane:
    """Where each pixel lies in the head: ``p`` to its side, ``q`` from back (1) to front (-1), radius 1 at the skin."""

    p: Array
    q: Array
    r: Array
    edge: float


def head(seed: int, n: int) -> Complex:
    """One complex head (n, n), a slice from ear to ear, magnitudes about 1."""
    rng = np.random.default_rng(seed)
    axis = pixel_axis(n, n)
    plane = _plane(rng, axis)
    folds = _texture(rng, n, 5.5, 2.0)
    grain = _texture(rng, n, 0.0, 12.0)
    tissue = _tissues(rng)
    picture = _layers(rng, plane, folds, tissue)
    _deep(rng, plane, picture, tissue)
    _details(rng, plane, picture)
    picture *= 1 + rng.uniform(0.03, 0.07) * grain.real + rng.uniform(0.015, 0.035) * folds.imag
    picture *= np.exp(smooth_field(rng, axis, axis, 3, 0.15))
    return with_phase(picture, rng)


def _plane(rng: np.random.Generator, axis: Array) -> Plane:
    """Random size, place, tilt, and a gentle warp that makes ellipses anatomical."""
    length = rng.uniform(0.78, 0.9)
    breadth = length * rng.uniform(0.76, 0.9)
    angle = rng.uniform(-0.2, 0.2)
    x = axis[None, :] - rng.uniform(-0.05, 0.05) + smooth_field(rng, axis, axis, 4, 0.018)
    y = axis[:, None] - rng.uniform(-0.05, 0.05) + smooth_field(rng, axis, axis, 4, 0.018)
    p = (np.cos(angle) * x + np.sin(angle) * y) / breadth
    q = (np.cos(angle) * y - np.sin(angle) * x) / length
    p = p * (1 - 0.1 * rng.uniform(0.2, 1.0) * q)  # broader behind than in front
    return Plane(p, q, np.sqrt(p * p + q * q), rng.uniform(0.015, 0.04))


def _tissues(rng: np.random.Generator) -> dict[str, float]:
    """Signal of each tissue: T1-like or, one in three, T2-like."""
    white = rng.uniform(0.6, 0.8)
    if rng.random() < 1 / 3:
        white *= 0.65
        grey, fluid, fat = white * rng.uniform(1.25, 1.6), rng.uniform(0.8, 1.0), rng.uniform(0.4, 0.75)
    else:
        grey, fluid, fat = white * rng.uniform(0.6, 0.8), rng.uniform(0.08, 0.25), rng.uniform(0.7, 1.0)
    return {"white": white, "grey": grey, "fluid": fluid, "fat": fat, "bone": rng.uniform(0.03, 0.1)}


def _layers(rng: np.random.Generator, plane: Plane, folds: Complex, tissue: dict[str, float]) -> Array:
    """Scalp, skull, fluid, cortex with its folds, white matter, the fissure between the hemispheres."""
    r, edge = plane.r, plane.edge
    skull, inner = rng.uniform(0.91, 0.95), rng.uniform(0.84, 0.87)
    brain = inner - rng.uniform(0.01, 0.035)
    picture = tissue["fat"] * _soft(1 - r, edge)
    _paint(picture, tissue["bone"], _soft(skull - r, edge))
    marrow = rng.uniform(0.1, 0.4)
    _paint(picture, marrow, _soft(0.2 * (skull - inner) - np.abs(r - (skull + inner) / 2), edge))
    _paint(picture, tissue["fluid"], _soft(inner - r, edge))
    inside = _soft(brain + 0.01 * folds.imag - r, edge)
    _paint(picture, tissue["grey"], inside)
    depth = rng.uniform(0.66, 0.74)
    _paint(picture, tissue["white"], _soft(depth + 0.055 * folds.real - r, 2 * edge))
    sulci = _soft(rng.uniform(0.08, 0.16) - np.abs(folds.imag), 0.25) * _soft(r - rng.uniform(0.55, 0.68), 0.15)
    cleft = _soft(rng.uniform(0.008, 0.018) - np.abs(plane.p + 0.01 * folds.real), edge)
    cleft *= _soft(np.abs(plane.q) - rng.uniform(0.3, 0.42), 0.1)
    _paint(picture, tissue["fluid"], np.maximum(0.85 * sulci, cleft) * inside)
    return picture


def _deep(rng: np.random.Generator, plane: Plane, picture: Array, tissue: dict[str, float]) -> None:
    """Ventricles and deep grey matter, in pairs: one ellipse in |p| is both sides."""
    side, edge = np.abs(plane.p + rng.uniform(-0.02, 0.02)), 1.2 * plane.edge
    wide = rng.uniform(0.6, 1.5)  # of the ventricles: they grow with age
    nuclei = tissue["grey"] * rng.uniform(0.95, 1.1)
    _paint(picture, nuclei, 0.9 * _ellipse(side, plane.q, (0.15, 0.14), (0.1, 0.15), -0.4, edge))
    _paint(picture, nuclei, 0.8 * _ellipse(side, plane.q, (0.33, -0.02), (0.055, 0.19), 0.3, edge))
    front = _ellipse(side, plane.q, (0.085, -0.2), (0.045 * wide, 0.17), 0.35, edge)
    back = _ellipse(side, plane.q, (0.2, 0.33), (0.05 * wide, 0.17), 0.5 * rng.uniform(-1.2, -0.4), edge)
    third = _ellipse(side, plane.q, (0.0, 0.06), (0.018 * wide, 0.12), 0.0, edge)
    if rng.random() < 0.8:  # else the slice runs above them
        _paint(picture, tissue["fluid"], np.maximum(np.maximum(front, back), third))


def _details(rng: np.random.Generator, plane: Plane, picture: Array) -> None:
    """A few random structures: patches in the brain, and small ones of the size of a pixel or two (vessels)."""
    for _ in range(rng.integers(2, 5)):
        _spot(rng, plane, picture, (0.05, 0.14), 0.6, rng.uniform(0.3, 0.8))
    for _ in range(rng.integers(4, 9)):
        _spot(rng, plane, picture, (0.015, 0.035), 0.85, 1.0)


def _spot(
    rng: np.random.Generator, plane: Plane, picture: Array, radii: tuple[float, float], reach: float, alpha: float
) -> None:
    """An ellipse of a random signal within ``reach`` of the middle, computed only where it lies."""
    angle, distance = rng.uniform(0, 2 * np.pi), reach * np.sqrt(rng.random())
    centre = (distance * np.cos(angle), distance * np.sin(angle))
    half = (rng.uniform(*radii), rng.uniform(*radii))
    turn, value = rng.uniform(0, np.pi), rng.uniform(0.05, 1.0)
    near = (np.abs(plane.p - centre[0]) < 2 * radii[1]) & (np.abs(plane.q - centre[1]) < 2 * radii[1])
    rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
    if len(rows):
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        _paint(picture[box], value, alpha * _ellipse(plane.p[box], plane.q[box], centre, half, turn, plane.edge))


# -- pieces ------------------------------------------------------------------------------------------------------------


def _soft(distance: Array, width: float) -> Array:
    """0 outside (distance < 0), 1 inside, a smooth step of that width between."""
    t = np.clip(distance / width + 0.5, 0.0, 1.0)
    return t * t * (3 - 2 * t)


def _paint(picture: Array, value: float, alpha: Array) -> None:
    picture += (value - picture) * alpha


def _ellipse(
    p: Array, q: Array, centre: tuple[float, float], half: tuple[float, float], turn: float, edge: float
) -> Array:
    x, y = p - centre[0], q - centre[1]
    u = (np.cos(turn) * x + np.sin(turn) * y) / half[0]
    v = (np.cos(turn) * y - np.sin(turn) * x) / half[1]
    return _soft((1 - np.sqrt(u * u + v * v)) * min(half), edge)


def _texture(rng: np.random.Generator, n: int, centre: float, width: float) -> Complex:
    """Two independent random fields of unit variance (real and imaginary part) with a band of frequencies."""
    drawn = rng.standard_normal((2, MODES, MODES))
    k = np.arange(MODES) - MODES // 2
    band = np.exp(-0.5 * ((np.sqrt(k[:, None] ** 2 + k[None, :] ** 2) - centre) / width) ** 2)
    coefficients = (drawn[0] + 1j * drawn[1]) * (band / np.sqrt(np.square(band).sum()))
    kept = min(MODES, n)
    first = MODES // 2 - kept // 2
    spectrum = np.zeros((n, n), np.complex128)
    where = (k[first : first + kept]) % n
    spectrum[np.ix_(where, where)] = coefficients[first : first + kept, first : first + kept]
    texture: Complex = np.fft.ifft2(spectrum, norm="forward")
    return texture
