"""Picture files: opened, turned as their EXIF tag says, in every mode that Pillow knows; and masks."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import DataError
from benchmark.files import why

if TYPE_CHECKING:
    from PIL import Image as Pictures

SUFFIXES = frozenset(
    {".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".pbm", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2"}
)
ORIENTATION = 0x0112  # the tag of EXIF (CIPA DC-008, 4.6.4 A) and of TIFF
MARKS = (b"Exif", b"eXIf", b"EXIF", b"rientation")  # where none is in a file, no tag says how it is to be turned
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SEVERAL = {"GIF", "WEBP", "PNG", "TIFF"}  # formats that hold several pictures
EDGE = 1 / 16  # a mask's value is in between where it lies further than this share of the range from both ends
UNSURE = 0.01  # share of a mask's pixels in between that is worth a word
DARK = 0.25  # of the scale: a set that stays below was probably stored on another one


@dataclass(frozen=True)
class Header:
    """What is known of a picture without its pixels.

    Attributes:
        size: (height, width) after turning.
        turned: whether the file says that the picture is to be turned or mirrored.
        several: whether it holds more than one frame or page.
    """

    size: tuple[int, int]
    turned: bool = False
    several: bool = False


def header(data: bytes) -> Header | None:
    """What a picture file's first bytes say; None where it is none that can be opened.

    Args:
        data: the file's content.
    """
    try:
        with _opened(io.BytesIO(data)) as image:
            tagged = data[:4] in TIFF or any(mark in data for mark in MARKS)
            several = image.format in SEVERAL and bool(getattr(image, "is_animated", False))
            turn = orientation_of(image) if tagged else 1
            swapped = turn >= 5 and not (image.format == "TIFF" and _turns_itself(image))
            width, height = image.size
            return Header((width, height) if swapped else (height, width), turn != 1, several)
    except Exception:  # Pillow's plugins raise whatever they stumble over; reading the picture says what it was
        return None


def read_image(path: Path) -> NDArray[Any]:
    """A picture file as (H, W) or (H, W, 3), turned as its EXIF tag says.

    uint8; of grey pictures with more bits uint16, int32 or float32 as stored; alpha is dropped, palettes and CMYK
    become RGB, one bit 0 and 255. Of several frames or pages the first.

    Raises:
        DataError: it is missing, truncated, no picture, or has more pixels than Pillow takes.
    """
    from PIL import Image

    try:
        data = path.read_bytes()
        with _opened(io.BytesIO(data)) as image:
            return turned(pixels_of(image), orientation_of(image))
    except Image.DecompressionBombError as error:
        raise DataError(
            f"the image {path} has more pixels than Pillow opens (it may be a decompression bomb): {error}; scale it"
            " down, or remove it"
        ) from error
    except Exception as error:  # Pillow's plugins raise whatever a damaged file makes them stumble over
        strange = type(error).__name__ == "UnidentifiedImageError"
        fault = "is no image that Pillow knows" if strange else f"cannot be read: {why(error, path)}"
        raise DataError(f"the image {path} {fault}; replace or remove the file") from error


def _opened(stream: io.BytesIO) -> Pictures.Image:
    from PIL import Image

    with warnings.catch_warnings():  # of large pictures and odd tags: what cannot be read raises
        warnings.simplefilter("ignore")
        return Image.open(stream)


def pixels_of(image: Pictures.Image) -> NDArray[Any]:
    """An open picture's pixels, (H, W) or (H, W, 3), not turned; see :func:`read_image`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mode = image.mode
        if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
            return np.asarray(image).astype(np.uint16)  # native byte order; these formats hold no more than 16 bits
        if mode in ("I", "F"):
            return np.asarray(image).astype(np.int32 if mode == "I" else np.float32)
        if mode in ("1", "L", "LA", "La"):
            return np.asarray(image.convert("LA").convert("L") if mode == "La" else image.convert("L"))
        if mode in ("P", "PA") and (mode == "PA" or "transparency" in image.info):
            image = image.convert("RGBA")  # a palette with alpha goes to RGB by way of RGBA
        return np.asarray(image.convert("RGB"))


def orientation_of(image: Pictures.Image) -> int:
    """The tag as it still has to be applied, 1 to 8; 1 (as stored) where there is none or it is nonsense."""
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF: the picture itself may be whole
        return 1
    return int(orientation) if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _turns_itself(image: Pictures.Image) -> bool:
    """Whether Pillow's TIFF reader already gives the size of the turned picture."""
    width = getattr(image, "tag_v2", {}).get(256)
    return width is not None and width != image.size[0]


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels (H, W, ...) upright, from an EXIF orientation (1: as stored, 2 to 8: mirrored, turned)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = slice(None, None, -1) if orientation in (3, 4, 7, 8) else slice(None)
    columns = slice(None, None, -1) if orientation in (2, 3, 6, 7) else slice(None)
    return np.ascontiguousarray(pixels[rows, columns])


def as_mask(values: NDArray[Any]) -> tuple[NDArray[np.bool_], float]:
    """A mask's values (H, W) or (H, W, C) as bool (H, W), and the share of its pixels that are neither.

    Cut at half of their range, which is from 0 to the mask's largest value: 0 and 1, 0 and 255, or what JPEG left of
    them. In between is what lies further than 1/16 of the range from both ends.
    """
    if values.dtype.kind not in "buif":
        raise DataError(f"a mask must hold numbers or true and false, got the type {values.dtype}; convert it")
    flat = values.max(axis=2) if values.ndim == 3 else values
    top = float(flat.max(initial=0))
    if flat.dtype.kind == "b" or not top > 0:
        return flat > 0, 0.0
    level = flat.astype(np.float64) / top
    between = (level > EDGE) & (level < 1 - EDGE)
    return level > 0.5, float(between.mean()) if between.size else 0.0


def scale_of(dtype: np.dtype[Any]) -> float | None:
    """The value that is 1 in images of a type: 255, 65535, 1 of floats and bools; None where none is usual."""
    if dtype.kind in "fb":
        return 1.0
    return {1: 255.0, 2: 65535.0}.get(dtype.itemsize) if dtype.kind == "u" else None


def share_of_scale(pixels: NDArray[Any]) -> float:
    """The largest value as a share of its type's scale; 1 where the type has none (it must then be said)."""
    scale = scale_of(pixels.dtype)
    return float(pixels.max(initial=0)) / scale if scale else 1.0


def dark_note(share: float, dtypes: Sequence[str] = ()) -> tuple[str, ...]:
    """What is to be said of a set whose largest value is that share of the scale; nothing where it is bright enough."""
    if share >= DARK or share <= 0:
        return ()
    stored = f" ({', '.join(sorted(set(dtypes)))})" if dtypes else ""
    return (
        f"the largest value of all images is {share:.3g} of the scale of their type{stored}, so they are dark: say"
        " which value is white with `range` in [dataset], such as range = 4095",
    )
