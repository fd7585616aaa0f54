"""What the common corruptions are made of: filters along a line, in a disc and by zoom; fractals; frost."""

from __future__ import annotations

import importlib.util
from functools import cache
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import fftconvolve

from benchmark.errors import AttackError

Image = NDArray[np.float64]  # (H, W, C) in [0, 1]

# mean colour and standard deviation of the five pictures of ice that the authors lay over images, which we do not ship
ICE = (
    ((0.305, 0.585, 0.650), 0.072),
    ((0.787, 0.805, 0.841), 0.086),
    ((0.787, 0.805, 0.841), 0.086),
    ((0.540, 0.599, 0.648), 0.112),
    ((0.441, 0.484, 0.528), 0.170),
)
PACKAGE = "imagecorruptions"  # has those pictures, in its folder ``frost``
SHRUNK = 0.2  # for CIFAR-10-C the authors scale them by this
SLOPE = 1.9  # of their power spectra, 1 / f ** 1.9 (1.6 to 2.1)


def smoothed(image: Image, sigma: float) -> Image:
    """Gaussian blur of each channel, edges continued (scikit-image's ``gaussian``: 4 sigma, nearest)."""
    result: Image = ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest", truncate=4.0)
    return result


def disc(radius: float, alias_blur: float) -> NDArray[np.float64]:
    """Kernel of a lens out of focus: a disc of sum 1 on a square grid, then smoothed by a Gaussian of 3 or 5 pixels.

    Where the disc reaches the grid's edge (radii of 8 and 10) smoothing changes its sum by 1.3 %, as theirs does.
    """
    reach, half = (8, 1) if radius <= 8 else (int(radius), 2)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = (x**2 + y**2 <= radius**2).astype(np.float64)
    kernel /= kernel.sum()
    taps = np.exp(-np.square(np.arange(-half, half + 1)) / (2 * alias_blur**2))
    for axis in (0, 1):
        kernel = ndimage.correlate1d(kernel, taps / taps.sum(), axis=axis, mode="mirror")
    return np.asarray(kernel)


def filtered(image: Image, kernel: NDArray[np.float64]) -> Image:
    """Each channel filtered, mirrored beyond the edges (the outermost pixel once); kernels are symmetric."""
    reach = kernel.shape[0] // 2
    rows = _mirrored(image.shape[0], reach)
    columns = _mirrored(image.shape[1], reach)
    wide = image[rows][:, columns]
    result: Image = fftconvolve(wide, kernel[:, :, None], mode="valid", axes=(0, 1))
    return result


def _mirrored(length: int, reach: int) -> NDArray[np.intp]:
    """Positions -reach ... length - 1 + reach, mirrored into the image as often as it takes."""
    at = np.arange(-reach, length + reach) % max(1, 2 * (length - 1))
    return np.where(at < length, at, 2 * (length - 1) - at).astype(np.intp)


def moved(image: Image, radius: int, sigma: float, angle: float) -> Image:
    """Blur along a line as ImageMagick's: half a Gaussian over 2 radius + 1 steps, each rounded to a whole pixel.

    Args:
        image: (H, W, C).
        radius, sigma: of the Gaussian, in pixels.
        angle: degrees.
    """
    width = 2 * radius + 1
    steps = np.arange(width)
    weights = np.exp(-np.square(steps) / (2 * sigma**2))
    weights /= weights.sum()
    turn = np.deg2rad(angle)
    rows, columns = np.arange(image.shape[0]), np.arange(image.shape[1])
    blurred = np.zeros_like(image)
    for step, weight in zip(steps, weights, strict=True):
        down, right = ceil(step * np.sin(turn) - 0.5), ceil(step * np.cos(turn) - 0.5)
        inside = np.clip(rows + down, 0, len(rows) - 1), np.clip(columns + right, 0, len(columns) - 1)
        blurred += weight * image[inside[0]][:, inside[1]]
    return blurred


def zoomed(image: Image, factor: float) -> Image:
    """The middle enlarged to the image's size, bilinear."""
    height, width = image.shape[:2]
    tall, wide = ceil(height / factor), ceil(width / factor)
    top, left = (height - tall) // 2, (width - wide) // 2
    larger = ndimage.zoom(image[top : top + tall, left : left + wide], (factor, factor, 1), order=1)
    top, left = (larger.shape[0] - height) // 2, (larger.shape[1] - width) // 2
    result: Image = larger[top : top + height, left : left + width]
    return result


def plasma(height: int, width: int, decay: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """A fractal (H, W) in [0, 1]: diamond and square steps on a torus of the next power of two.

    The noise of a level is uniform within the square of its amplitude, 100 at first, divided by ``decay`` each time.
    """
    size = 1 << (max(height, width, 2) - 1).bit_length()
    field, step, amplitude = np.zeros((size, size)), size, 100.0

    def around(total: NDArray[np.float64]) -> NDArray[np.float64]:
        return total / 4 + amplitude * generator.uniform(-amplitude, amplitude, total.shape)

    while step >= 2:
        half = step // 2
        corners = field[::step, ::step].copy()
        pairs = corners + np.roll(corners, -1, axis=0)
        field[half::step, half::step] = around(pairs + np.roll(pairs, -1, axis=1))
        middles = field[half::step, half::step]
        for axis in (0, 1):
            total = middles + np.roll(middles, 1, axis=axis) + corners + np.roll(corners, -1, axis=1 - axis)
            rows, columns = (0, half) if axis == 0 else (half, 0)
            field[rows::step, columns::step] = around(total)
        step, amplitude = half, amplitude / decay
    field -= field.min()
    return np.asarray(field / field.max())[:height, :width]


def ice(height: int, width: int, generator: np.random.Generator) -> Image:
    """A texture (H, W, 3) in [0, 1] with mean colour, contrast and spectrum of one of the authors' pictures of ice."""
    colour, deviation = ICE[int(generator.integers(len(ICE)))]
    noise = generator.normal(size=(height, width))
    f = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width)[None] * width)
    spectrum = np.fft.fft2(noise) * np.where(f > 0, np.maximum(f, 1), np.inf) ** (-SLOPE / 2)
    field = np.fft.ifft2(spectrum).real
    field = np.expm1(0.5 * field / max(float(field.std()), 1e-12))  # needles are brighter than gaps are dark
    field = (field - field.mean()) / max(float(field.std()), 1e-12)
    return np.asarray(np.clip(np.asarray(colour) + deviation * field[:, :, None], 0, 1))


def ice_picture(height: int, width: int, generator: np.random.Generator, *, shrunk: bool) -> Image:
    """A part (H, W, 3) in [0, 1] of one of the authors' pictures of ice, which the package imagecorruptions has.

    Args:
        height, width: of the part; a picture that is not larger is enlarged.
        generator: chooses picture and place.
        shrunk: scaled by 0.2, as for CIFAR-10-C.
    """
    pictures = _pictures()
    picture = pictures[int(generator.integers(len(pictures)))]
    factor = max(SHRUNK if shrunk else 1.0, (height + 1) / picture.shape[0], (width + 1) / picture.shape[1])
    if factor != 1:
        sides = [
            max(wanted + 1, round(side * factor)) for side, wanted in zip(picture.shape, (height, width), strict=False)
        ]
        at = [(np.arange(n) + 0.5) * side / n - 0.5 for n, side in zip(sides, picture.shape, strict=False)]
        grid = np.meshgrid(*at, indexing="ij")
        planes = [ndimage.map_coordinates(picture[:, :, c], grid, order=1, mode="nearest") for c in range(3)]
        picture = np.stack(planes, axis=2)
    top, left = (
        int(generator.integers(0, have - want)) for have, want in zip(picture.shape, (height, width), strict=False)
    )
    part: Image = picture[top : top + height, left : left + width]
    return part


@cache
def _pictures() -> tuple[Image, ...]:
    """The first five of the package's six pictures: the authors never draw the sixth."""
    from PIL import Image as Pictures

    spec = importlib.util.find_spec(PACKAGE)  # its code is not run
    if spec is None or not spec.submodule_search_locations:
        raise AttackError(f"the pictures of ice lie in the package {PACKAGE}: pip install {PACKAGE}")
    folder = Path(next(iter(spec.submodule_search_locations))) / "frost"
    files = [next(iter(sorted(folder.glob(f"frost{i}.*"))), None) for i in range(1, 6)]
    if None in files:
        raise AttackError(f"{folder} lacks a picture of ice; install {PACKAGE} again")
    return tuple(np.asarray(Pictures.open(file).convert("RGB"), dtype=np.float64) / 255 for file in files if file)
