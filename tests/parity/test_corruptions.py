"""Common corruptions against the package imagecorruptions, severity by severity, with the same random numbers.

Its functions are called with what newer libraries took from it put back (``multichannel``, ``np.float_``). Not
compared: impulse noise (scikit-image draws by itself), frost (a texture of ours) and the elastic transform
(another one there).
"""

import functools
import sys
import types

import numpy as np
import pytest

from benchmark.attacks.structural.common import corrupted
from benchmark.attacks.structural.severities import KINDS, PARAMETERS

OTHERWISE = {"impulse_noise", "frost", "elastic_transform"}


@pytest.fixture(scope="module")
def reference():
    """Its module, whose random numbers are those of a generator that a test sets."""
    filters = pytest.importorskip("skimage.filters", reason="scikit-image is not installed")
    import scipy.ndimage

    stubs = {"pkg_resources": types.SimpleNamespace(resource_filename=lambda _, file: file)}
    stubs["scipy.ndimage.interpolation"] = types.SimpleNamespace(map_coordinates=scipy.ndimage.map_coordinates)
    before = {name: sys.modules.get(name) for name in stubs}
    sys.modules.update({name: stub for name, stub in stubs.items() if before[name] is None})  # type: ignore[misc]
    try:
        module = pytest.importorskip("imagecorruptions.corruptions", reason="pip install imagecorruptions")
    finally:
        for name, known in before.items():
            if known is None:
                sys.modules.pop(name, None)

    def gaussian(image, sigma, multichannel=False, **rest):
        return filters.gaussian(image, sigma=sigma, channel_axis=-1 if multichannel else None, **rest)

    module.gaussian = functools.wraps(filters.gaussian)(gaussian)
    return module


class Numpy:
    """numpy with the random numbers of a generator."""

    float_ = np.float64

    def __init__(self, generator):
        self.random = types.SimpleNamespace(
            normal=generator.normal, uniform=generator.uniform, poisson=generator.poisson, randint=generator.integers
        )

    def __getattr__(self, name):
        return getattr(np, name)


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in OTHERWISE])
def test_the_same_image_to_one_grey_level(reference, kind, severity):
    from PIL import Image

    side = 224 if kind in ("zoom_blur", "snow") else 64  # where both cut the enlarged middle alike
    y, x = np.mgrid[:side, :side]
    image = np.stack([127 + 100 * np.sin(x / 5 + c) * np.cos(y / (7 + c)) for c in range(3)], axis=2).astype(np.uint8)
    reference.np = Numpy(np.random.default_rng(7))
    theirs = np.uint8(getattr(reference, kind)(Image.fromarray(image), severity)).astype(int)
    ours = corrupted(image, kind, severity, 7, "imagenet", None).astype(int)
    difference = np.abs(ours - theirs)
    assert difference.max() <= 1
    assert difference.mean() < 0.1


@pytest.mark.parametrize(("parameters", "side"), [("imagenet", 224), ("imagenet", 700), ("cifar", 32)])
def test_frost_of_the_packages_pictures_is_their_sum_with_the_image(reference, parameters, side):
    """Closed form: what is left when the image's share is taken away is a part of one of the pictures."""
    from pathlib import Path

    from PIL import Image

    black = np.zeros((side, side, 3), np.uint8)
    share, weight = PARAMETERS[parameters]["frost"][0]
    layer = corrupted(black, "frost", 1, 3, parameters, None, photographs=True) / weight
    grey = corrupted(black + 100, "frost", 1, 3, parameters, None, photographs=True).astype(float)
    expected = np.clip(share * 100 + weight * layer, 0, 255)
    assert np.abs(grey - expected).max() <= 2
    folder = Path(reference.__file__).parent / "frost"
    whole = [np.asarray(Image.open(next(folder.glob(f"frost{i}.*"))).convert("RGB")).astype(float) for i in range(1, 6)]
    if side == 224:
        matches = [_found(picture, layer) for picture in whole]
        assert min(matches) <= 1 / weight + 0.01
    means = [picture.mean((0, 1)) for picture in whole]
    assert min(np.abs(mean - layer.mean((0, 1))).max() for mean in means) < 40


def _found(picture, part):
    """The smallest largest difference of a part from any place of a picture, looked for by its corner."""
    height, width = part.shape[:2]
    corner = part[0, 0]
    rows, columns = np.where(np.abs(picture[: -height + 1, : -width + 1] - corner).max(2) <= 3)
    best = np.inf
    for y, x in zip(rows, columns, strict=True):
        if np.abs(picture[y + height - 1, x + width - 1] - part[-1, -1]).max() <= 3:
            best = min(best, np.abs(picture[y : y + height, x : x + width] - part).max())
    return best
