"""Arrays and files as pictures inside the page: data URIs, sheets of thumbnails, outlines of masks."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

LOSSY = 60_000  # bytes from which on a figure may be compressed with loss
# ColorBrewer's RdBu, from blue (-1) over white (0) to red (+1), as in the report's PNG files
DIVERGING = (
    *((5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247)),
    *((253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31)),
)


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as a ``data:`` address."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def picture(values: NDArray[Any], largest: int = 96) -> str:
    """An image (C, H, W) in [0, 1] as a data URI: grey or, of three channels, in colour; at most ``largest`` a side."""
    return _encoded(_image(values, largest))


def sheet(images: list[NDArray[Any]], largest: int = 40) -> tuple[str, int, int, int]:
    """Images beside one another in one picture.

    Returns:
        the data URI, the number of images in a row of it, and the width and height of one.
    """
    from PIL import Image as Pillow

    tiles = [_image(values, largest) for values in images]
    width, height = tiles[0].size
    across = min(32, len(tiles))
    whole = Pillow.new(tiles[0].mode, (across * width, -(-len(tiles) // across) * height))
    for i, tile in enumerate(tiles):
        whole.paste(tile, (i % across * width, i // across * height))
    return _encoded(whole), across, width, height


def change(clean: NDArray[Any], perturbed: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """The perturbation around grey, enlarged until its largest element is white or black; and the factor."""
    delta = np.asarray(perturbed, dtype=np.float64) - clean
    largest = float(np.abs(delta).max())
    factor = float(f"{0.5 / largest:.2g}") if largest > 0 else 1.0
    return np.clip(0.5 + factor * delta, 0, 1), factor


def diverging(values: NDArray[Any]) -> tuple[str, float]:
    """Attributions (H, W) as a data URI and the end of their scale: blue at minus it, white at 0, red at plus it."""
    from PIL import Image as Pillow

    top = float(np.abs(values).max())
    shades = np.rint(127 + 127 * values / (top or 1)).astype(np.uint8)
    image = Pillow.frombytes("P", (shades.shape[1], shades.shape[0]), shades.tobytes())
    image.putpalette(_palette())
    return data_uri(_bytes(image, "PNG", optimize=True), "png"), top


@lru_cache(maxsize=1)
def _palette() -> bytes:
    """255 colours of the diverging scale; the middle one is its white."""
    at = np.linspace(0, len(DIVERGING) - 1, 255)
    channels = [np.interp(at, range(len(DIVERGING)), [colour[c] for colour in DIVERGING]) for c in range(3)]
    return bytes(np.rint(np.stack(channels, 1)).astype(np.uint8).ravel().tobytes())


def outline(mask: NDArray[Any]) -> str:
    """The border of a mask (H, W) along the edges of its pixels, as the path of an SVG of its size."""
    padded = np.pad(np.asarray(mask, dtype=np.int8), 1)
    lines = [f"M{x - 1} {y}h1" for y, x in zip(*np.nonzero(np.diff(padded, axis=0)), strict=True)]
    lines += [f"M{x} {y - 1}v1" for y, x in zip(*np.nonzero(np.diff(padded, axis=1)), strict=True)]
    return "".join(lines)


def figure(file: Path) -> tuple[str, int, int]:
    """A report's PNG file as a data URI of the same picture in fewer bytes, with its size in pixels."""
    from PIL import Image as Pillow
    from PIL import features

    data = file.read_bytes()
    with Pillow.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    if not features.check("webp"):
        return data_uri(data, "png"), *image.size
    found = _bytes(image, "WEBP", lossless=True, quality=60, method=4)
    if len(found) > LOSSY:
        lossy = _bytes(image, "WEBP", quality=86, method=4)
        found = lossy if len(lossy) < 0.6 * len(found) else found
    return (data_uri(found, "webp") if len(found) < len(data) else data_uri(data, "png")), *image.size


def _image(values: NDArray[Any], largest: int) -> Image:
    from PIL import Image as Pillow

    shades = np.rint(255 * np.clip(np.nan_to_num(np.asarray(values, dtype=np.float64)), 0, 1)).astype(np.uint8)
    size = (shades.shape[2], shades.shape[1])
    colour = len(shades) == 3
    flat = shades.transpose(1, 2, 0) if colour else shades[0]
    image = Pillow.frombytes("RGB" if colour else "L", size, flat.tobytes())
    if max(image.size) > largest:
        ratio = largest / max(image.size)
        size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
        image = image.resize(size, Pillow.Resampling.LANCZOS)
    return image


def _encoded(image: Image) -> str:
    """PNG, or WebP with a little loss where a picture in colour would be large."""
    from PIL import features

    data = _bytes(image, "PNG", optimize=True)
    if len(data) > 3000 and features.check("webp"):
        other = _bytes(image.convert("RGB"), "WEBP", quality=85, method=4)
        if len(other) < 0.6 * len(data):
            return data_uri(other, "webp")
    return data_uri(data, "png")


def _bytes(image: Image, kind: str, **how: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **how)
    return buffer.getvalue()
