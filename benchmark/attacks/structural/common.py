"""The fifteen common corruptions of Hendrycks and Dietterich 2019, image by image on the CPU.

Each takes an image (H, W, C) in [0, 1], its parameters of one severity (:mod:`severities`) and a generator.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmark.attacks.structural.pixels import Image, disc, filtered, ice, ice_picture, moved, plasma, smoothed, zoomed
from benchmark.attacks.structural.severities import PARAMETERS, Set

LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
STORED = 85  # quality of ImageNet-C's JPEG files
Random = np.random.Generator


def corrupted(
    image: NDArray[np.uint8],
    kind: str,
    severity: int,
    seed: int,
    parameters: Set,
    quality: int | None,
    *,
    photographs: bool = False,
) -> NDArray[np.uint8]:
    """A corrupted image as it is stored: cut to 8 bits, and as JPEG where ``quality`` says so.

    Args:
        image: (H, W, C), C is 1 or 3.
        kind: one of :data:`severities.KINDS`.
        severity: 1 to 5.
        seed: of what is drawn.
        parameters: whose.
        quality: of the JPEG, or None.
        photographs: frost is the authors' pictures of ice instead of our texture.
    """
    generator = np.random.default_rng(seed)
    given = PARAMETERS[parameters][kind][severity - 1]
    if kind == "frost" and photographs:
        layer = ice_picture(image.shape[0], image.shape[1], generator, shrunk=parameters == "cifar")
        made = laid_over(image / 255.0, given, layer)
    else:
        made = CORRUPTIONS[kind](image / 255.0, given, generator)
    stored = (np.clip(made, 0, 1) * 255 + 1e-9).astype(np.uint8)
    return stored if quality is None else jpeg(stored, quality)


def gaussian_noise(image: Image, deviation: float, generator: Random) -> Image:
    """Normal noise of that standard deviation."""
    return image + generator.normal(size=image.shape, scale=deviation)


def shot_noise(image: Image, photons: float, generator: Random) -> Image:
    """Poisson noise of so many photons at white."""
    return generator.poisson(image * photons) / photons


def impulse_noise(image: Image, share: float, generator: Random) -> Image:
    """That share of the values becomes 0 or 1 (salt and pepper)."""
    flipped = generator.uniform(size=image.shape) < share
    white = generator.uniform(size=image.shape) < 0.5
    return np.where(flipped, white, image)


def defocus_blur(image: Image, given: tuple[float, float], generator: Random) -> Image:  # noqa: ARG001
    """A disc of that radius."""
    return filtered(image, disc(*given))


def glass_blur(image: Image, given: tuple[float, int, int], generator: Random) -> Image:
    """Blurred, pixels taken from a near place, blurred again.

    The authors' script means to exchange two pixels, but as its rows are views a pixel only takes its neighbour's
    value; so do their images, and so does this.
    """
    sigma, reach, passes = given
    soft = (smoothed(image, sigma) * 255 + 1e-9).astype(np.uint8)
    height, width, channels = soft.shape
    rows, columns = np.arange(height - reach, reach, -1), np.arange(width - reach, reach, -1)
    here = (rows[:, None] * width + columns[None]).reshape(-1)
    places = list(range(height * width))
    for _ in range(passes):
        right, down = generator.integers(-reach, reach, size=(len(here), 2)).T
        for to, near in zip(here.tolist(), (here + down * width + right).tolist(), strict=True):
            places[to] = places[near]
    shuffled = soft.reshape(-1, channels)[places].reshape(soft.shape)
    return smoothed(shuffled / 255.0, sigma)


def motion_blur(image: Image, given: tuple[int, float], generator: Random) -> Image:
    """Along a line within 45 degrees of the horizontal."""
    return moved(image, *given, angle=generator.uniform(-45, 45))


def zoom_blur(image: Image, given: tuple[float, float, float], generator: Random) -> Image:  # noqa: ARG001
    """Mean of the image and of its middle enlarged by each factor."""
    factors = np.arange(*given)
    return (image + sum(zoomed(image, factor) for factor in factors)) / (len(factors) + 1)


def snow(image: Image, given: tuple[float, ...], generator: Random) -> Image:
    """Flakes drawn along a steep line, and the same turned by 180 degrees, over a paler image."""
    mean, deviation, factor, threshold, radius, sigma, share = given
    flakes = generator.normal(size=image.shape[:2], loc=mean, scale=deviation)
    flakes = zoomed(flakes[:, :, None], factor)
    flakes = np.clip(np.where(flakes < threshold, 0, flakes), 0, 1)
    flakes = moved(flakes, int(radius), sigma, angle=generator.uniform(-135, -45))
    flakes = np.round(flakes * 255) / 255
    grey = (image @ LUMINANCE)[:, :, None] if image.shape[2] == 3 else image
    pale = share * image + (1 - share) * np.maximum(image, grey * 1.5 + 0.5)
    return pale + flakes + np.rot90(flakes, k=2)


def frost(image: Image, given: tuple[float, float], generator: Random) -> Image:
    """Ice laid over the image: a texture of ours with the statistics of the authors' pictures (:func:`pixels.ice`)."""
    return laid_over(image, given, ice(image.shape[0], image.shape[1], generator))


def laid_over(image: Image, given: tuple[float, float], layer: Image) -> Image:
    """Shares of the image and of a layer (H, W, 3) added up; of grey images its luminance."""
    layer = (layer @ LUMINANCE)[:, :, None] if image.shape[2] == 1 else layer
    return given[0] * image + given[1] * layer


def fog(image: Image, given: tuple[float, float], generator: Random) -> Image:
    """A plasma fractal added, and all scaled back to the image's maximum."""
    thickness, decay = given
    most = image.max()
    layer = plasma(image.shape[0], image.shape[1], decay, generator)[:, :, None]
    return np.asarray((image + thickness * layer) * most / (most + thickness))


def brightness(image: Image, added: float, generator: Random) -> Image:  # noqa: ARG001
    """The value of HSV raised: colours are scaled alike, so hue and saturation stay; black becomes grey."""
    value = image.max(axis=2, keepdims=True)
    raised = np.clip(value + added, 0, 1)
    return np.asarray(np.where(value > 0, image * raised / np.maximum(value, 1e-12), raised))


def contrast(image: Image, factor: float, generator: Random) -> Image:  # noqa: ARG001
    """Towards the mean of each channel."""
    mean = image.mean(axis=(0, 1), keepdims=True)
    return np.asarray((image - mean) * factor + mean)


def elastic_transform(image: Image, given: tuple[float, float, float], generator: Random) -> Image:
    """Three corners moved (an affine map), then every pixel by a smooth field; bilinear, mirrored beyond the edges."""
    height, width = image.shape[:2]
    side = min(height, width)
    stretch, sigma, corners = (share * side for share in given)
    centre, arm = np.array([width // 2, height // 2], dtype=np.float64), side // 3
    before = centre + np.array([[arm, arm], [arm, -arm], [-arm, -arm]])
    after = before + generator.uniform(-corners, corners, size=before.shape)
    solved = np.linalg.solve(np.c_[after, np.ones(3)], before)  # from places of the result back to the image
    y, x = np.mgrid[:height, :width].astype(np.float64)
    back = np.stack([x, y, np.ones_like(x)], axis=-1) @ solved
    turned = _sampled(image, back[..., 1], back[..., 0], "mirror")
    right, down = (
        ndimage.gaussian_filter(generator.uniform(-1, 1, size=(height, width)), sigma, mode="reflect", truncate=3)
        for _ in range(2)
    )
    return _sampled(turned, y + down * stretch, x + right * stretch, "reflect")


def _sampled(
    image: Image, y: NDArray[np.float64], x: NDArray[np.float64], beyond: Literal["mirror", "reflect"]
) -> Image:
    planes = [ndimage.map_coordinates(image[:, :, c], (y, x), order=1, mode=beyond) for c in range(image.shape[2])]
    return np.stack(planes, axis=2)


def pixelate(image: Image, factor: float, generator: Random) -> Image:  # noqa: ARG001
    """Shrunk by the mean over boxes, and enlarged again."""
    from PIL import Image as Pictures

    height, width = image.shape[:2]
    picture = _picture(np.round(image * 255).astype(np.uint8))
    small = picture.resize((max(1, int(width * factor)), max(1, int(height * factor))), Pictures.Resampling.BOX)
    return _array(small.resize((width, height), Pictures.Resampling.BOX)) / 255.0


def jpeg_compression(image: Image, quality: int, generator: Random) -> Image:  # noqa: ARG001
    """JPEG, 4:2:0."""
    return jpeg(np.round(image * 255).astype(np.uint8), quality) / 255.0


def jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """(H, W, C) uint8 written as JPEG by Pillow and read again."""
    from PIL import Image as Pictures

    buffer = io.BytesIO()
    _picture(image).save(buffer, format="JPEG", quality=quality)
    with Pictures.open(buffer) as read:
        return _array(read)


def _picture(image: NDArray[np.uint8]) -> Any:
    from PIL import Image as Pictures

    return Pictures.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def _array(picture: Any) -> NDArray[np.uint8]:
    pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


CORRUPTIONS: dict[str, Callable[[Image, Any, Random], Image]] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "defocus_blur": defocus_blur,
    "glass_blur": glass_blur,
    "motion_blur": motion_blur,
    "zoom_blur": zoom_blur,
    "snow": snow,
    "frost": frost,
    "fog": fog,
    "brightness": brightness,
    "contrast": contrast,
    "elastic_transform": elastic_transform,
    "pixelate": pixelate,
    "jpeg_compression": jpeg_compression,
}
