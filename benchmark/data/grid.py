"""From a raw image of any size to the suite's grid: float32 (C, H, W) in [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.data.reading.pictures import scale_of
from benchmark.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

    from benchmark.data.samples import Grid

Fit = Literal["squeeze", "crop", "pad"]
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's "L"


def to_grid(image: NDArray[Any], grid: Grid, name: str = "image") -> NDArray[np.float32]:
    """One raw image on the grid: channels converted, resized by antialiased bilinear interpolation (Pillow).

    Args:
        image: (H, W) or (H, W, C), of any type of numbers; C is 1, 3 or 4 (alpha is dropped). What is white is
            ``grid.range``.
        grid: the suite's grid.
        name: for messages.

    Raises:
        DataError: a shape or a range that is not an image's.
    """
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise DataError(f"{name}: expected an image (H, W) or (H, W, 1|3|4), got shape {tuple(image.shape)}")
    if not image.size:
        raise DataError(f"{name}: expected an image, got shape {tuple(image.shape)} without a pixel; remove it")
    pixels = scaled(image, grid.range, name)
    pixels = pixels[:, :, :3] if pixels.shape[2] == 4 else pixels
    if grid.channels == 1 and pixels.shape[2] == 3:
        pixels = (pixels @ LUMINANCE)[:, :, None]
    elif grid.channels == 3 and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if grid.size is not None and (pixels.shape[:2] != grid.size or grid.crop < 1):
        planes = [_resize(pixels[:, :, c], grid.size, grid.fit, grid.crop) for c in range(pixels.shape[2])]
        pixels = np.stack(planes, axis=2)
    return np.ascontiguousarray(np.clip(pixels, 0.0, 1.0).transpose(2, 0, 1))


def scaled(image: NDArray[Any], white: Literal["dtype"] | float, name: str) -> NDArray[np.float32]:
    """Numbers of any type and byte order in [0, 1].

    Args:
        image: of any shape; objects where each is a number.
        white: the value that becomes 1; ``"dtype"``: as :func:`benchmark.data.reading.pictures.scale_of`.
        name: for messages.

    Raises:
        DataError: what is no number (the first is named), a type whose scale must be said, values outside [0, 1].
    """
    numbers = _numbers(image, name)
    scale = scale_of(numbers.dtype) if white == "dtype" else float(white)
    if scale is None:
        raise DataError(
            f"{name}: {numbers.dtype} values from {numbers.min()} to {numbers.max()} do not say which one is white:"
            f" give `range` in the suite's [dataset], such as range = {_usual(float(numbers.max()))}"
        )
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
        pixels: NDArray[np.float32] = numbers.astype(np.float32) / np.float32(scale)
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite(pixels).all() or low < 0 or high > 1:
        said = "be uint8 or uint16, or lie in [0, 1]" if white == "dtype" else f"lie in [0, {white:g}] (`range`)"
        todo = "; remove the sample"
        if np.isfinite(pixels).all():
            todo = f"; say which value is white with `range` in [dataset], such as range = {_usual(high * scale)}"
            todo = "; values below 0 have no place there: shift and scale them" if low < 0 else todo
        raise DataError(f"{name}: values must {said}, got [{low * scale:g}, {high * scale:g}]{todo}")
    return pixels


def _usual(largest: float) -> int:
    """The smallest usual full scale that holds a value."""
    return next((2**bits - 1 for bits in (1, 8, 10, 12, 14, 16, 24, 32) if largest <= 2**bits - 1), 2**32)


def _numbers(image: NDArray[Any], name: str) -> NDArray[Any]:
    """The image with a type of numbers."""
    if image.dtype.kind in "biuf":
        return image
    if image.dtype.kind == "O":
        try:
            numbers = np.array(image.tolist())
        except ValueError:
            numbers = image
        if numbers.dtype.kind in "biuf" and numbers.shape == image.shape:
            return numbers
        bad = next((v for v in image.reshape(-1) if not isinstance(v, bool | int | float | np.number)), image.flat[0])
        raise DataError(f"{name}: expected an image of numbers, got an object {bad!r} in it; store numbers of one type")
    first = image.reshape(-1).tolist()[0]
    raise DataError(f"{name}: expected an image of numbers, got type {image.dtype}, first value {first!r}")


def to_grid_mask(
    mask: NDArray[np.bool_], size: tuple[int, int], fit: Fit = "squeeze", crop: float = 1.0
) -> NDArray[np.bool_]:
    """A mask (H, W) brought to (1, height, width) as its image was, by nearest neighbour; False where black is put."""
    from PIL import Image

    if mask.shape != size or crop < 1:
        picture = _fitted(Image.fromarray(mask.astype(np.uint8)), size, fit, crop, Image.Resampling.NEAREST)
        mask = np.asarray(picture).astype(bool)
    return mask[None]


def _resize(plane: NDArray[np.float32], size: tuple[int, int], fit: Fit, crop: float) -> NDArray[np.float32]:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(plane))  # float32 becomes mode "F": no rounding to 8 bits
    return np.asarray(_fitted(picture, size, fit, crop, Image.Resampling.BILINEAR), dtype=np.float32)


def _fitted(picture: Image.Image, size: tuple[int, int], fit: Fit, crop: float, how: Image.Resampling) -> Image.Image:
    """A picture brought to (height, width): squeezed, its borders cut off, or with zeros around it."""
    from PIL import ImageOps

    height, width = size
    if fit == "crop" and crop < 1:
        return _central(picture, size, crop, how)
    if fit == "crop":
        return ImageOps.fit(picture, (width, height), how)
    if fit == "pad":
        return ImageOps.pad(picture, (width, height), how, color=0)
    return picture.resize((width, height), how)


def _central(picture: Image.Image, size: tuple[int, int], crop: float, how: Image.Resampling) -> Image.Image:
    """As torchvision's Resize(n) and CenterCrop: scaled so that ``size`` is that share of what it covers, and cut."""
    height, width = size
    scale = max(height / picture.height, width / picture.width) / crop
    larger = (int(picture.width * scale + 1e-6), int(picture.height * scale + 1e-6))
    larger = (max(larger[0], width), max(larger[1], height))
    picture = picture.resize(larger, how)
    left, top = round((larger[0] - width) / 2), round((larger[1] - height) / 2)
    return picture.crop((left, top, left + width, top + height))
