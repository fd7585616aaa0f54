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
from benchmark.attacks.structural.severities import KINDS

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
