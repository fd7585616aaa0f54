"""The suite's grid. Oracles: closed forms, Pillow's own luminance, properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from benchmark.data.base import Grid
from benchmark.data.grid import to_grid, to_grid_mask
from benchmark.errors import DataError

images = st.tuples(st.integers(2, 9), st.integers(2, 9), st.sampled_from([1, 3, 4])).flatmap(
    lambda shape: arrays(np.uint8, shape)
)


@given(images, st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3]))
@settings(max_examples=60, deadline=None)
def test_every_image_lands_on_the_grid_in_range(image, height, width, channels):
    out = to_grid(image, Grid(size=(height, width), channels=channels))
    assert out.shape == (channels, height, width)
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    low, high = image[:, :, :3].min() / 255, image[:, :, :3].max() / 255
    assert low - 1e-6 <= out.min() <= out.max() <= high + 1e-6  # averages never leave the range


@given(images)
@settings(max_examples=40, deadline=None)
def test_own_size_and_channels_change_no_value(image):
    out = to_grid(image, Grid())
    assert np.array_equal(np.rint(out * 255).transpose(1, 2, 0), image[:, :, :3])


@given(st.floats(0, 1, width=32), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_a_constant_stays_that_constant_at_any_size(value, height, width):
    out = to_grid(np.full((7, 5), value, np.float32), Grid(size=(height, width), channels=3))
    assert np.allclose(out, value, atol=1e-6)


def test_halving_is_the_mean_of_each_block_away_from_the_border():
    ramp = np.tile(np.arange(16, dtype=np.float32) / 16, (16, 1))
    half = to_grid(ramp, Grid(size=(8, 8)))
    # a triangle filter on a linear ramp gives the value at the centre of each pair
    assert np.allclose(half[0, :, 1:-1], ((np.arange(8) * 2 + 0.5) / 16)[1:-1], atol=1e-6)


def test_luminance_is_pillows_before_rounding():
    rgb = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    ours = to_grid(rgb, Grid(channels=1))[0] * 255
    assert np.abs(ours - np.asarray(Image.fromarray(rgb).convert("L"), np.float32)).max() <= 1.0


def test_masks_are_resized_by_nearest_neighbour():
    mask = np.zeros((4, 4), bool)
    mask[1, 2] = True
    out = to_grid_mask(mask, (8, 8))
    assert out.shape == (1, 8, 8)
    assert np.array_equal(out[0], np.kron(mask, np.ones((2, 2), bool)))


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4, 2), np.uint8), np.full((4, 4), 2.0), np.full((4, 4), np.nan), np.zeros(4)]
)
def test_what_is_no_image_is_refused_by_name(bad):
    with pytest.raises(DataError, match="sample-7"):
        to_grid(bad, Grid(), "sample-7")


# -- proportions -------------------------------------------------------------------------------------------------------


def disc(height, width, radius):
    y, x = np.mgrid[:height, :width]
    return np.hypot(y - (height - 1) / 2, x - (width - 1) / 2) <= radius


def sides(mask):
    """Height and width of what is True."""
    return int(mask.any(1).sum()), int(mask.any(0).sum())


@pytest.mark.parametrize(("shape", "size"), [((60, 90), (30, 30)), ((90, 60), (45, 45)), ((40, 100), (40, 50))])
def test_a_disc_stays_round_where_it_is_cropped_or_padded(shape, size):
    mask = disc(*shape, 15)
    for fit in ("crop", "pad"):
        image = to_grid(mask.astype(np.float32), Grid(size=size, fit=fit))[0]
        for found in (image > 0.5, to_grid_mask(mask, size, fit)[0]):
            height, width = sides(found)
            assert abs(height - width) <= 1, fit
    height, width = sides(to_grid_mask(mask, size)[0])
    assert abs(height / width - (size[0] / shape[0]) / (size[1] / shape[1])) < 0.15  # control: squeezed


def test_crop_keeps_the_middle_and_pad_keeps_all():
    """Closed forms at the same scale: cropping is a slice, padding puts zeros around."""
    image = np.random.default_rng(0).random((8, 14), np.float32)
    assert np.allclose(to_grid(image, Grid(size=(8, 8), fit="crop"))[0], image[:, 3:11], atol=1e-6)
    padded = to_grid(image, Grid(size=(14, 14), fit="pad"))[0]
    assert np.allclose(padded[3:11], image, atol=1e-6)
    assert not padded[:3].any()
    assert not padded[11:].any()
    assert np.array_equal(to_grid_mask(image > 0.5, (8, 8), "crop")[0], (image > 0.5)[:, 3:11])
    assert np.array_equal(to_grid_mask(image > 0.5, (14, 14), "pad")[0][3:11], image > 0.5)


@given(images, st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_the_same_proportions_need_no_fit(image, height, width):
    """Property: where the grid is a multiple of the image all three agree, and masks lie where their image does."""
    size = (image.shape[0] * 2, image.shape[1] * 2)
    squeezed, cropped, padded = (to_grid(image, Grid(size=size, fit=fit)) for fit in ("squeeze", "crop", "pad"))
    assert np.allclose(squeezed, cropped, atol=1e-6)
    assert np.allclose(squeezed, padded, atol=1e-6)
    for fit in ("squeeze", "crop", "pad"):
        assert to_grid(image, Grid(size=(height, width), fit=fit)).shape[1:] == (height, width)
        assert to_grid_mask(image[:, :, 0] > 9, (height, width), fit).shape == (1, height, width)


@pytest.mark.parametrize("shape", [(300, 400), (417, 333), (250, 250), (100, 140)])
def test_a_share_of_the_short_side_is_torchvisions_resize_and_centre_crop(shape):
    """Oracle: torchvision's Resize(256) and CenterCrop(224), which round to 8 bits in between."""
    from PIL import Image
    from torchvision.transforms import CenterCrop, Compose, Resize

    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    ours = to_grid(image, Grid(size=(224, 224), fit="crop", crop=0.875))
    theirs = np.asarray(Compose([Resize(256), CenterCrop(224)])(Image.fromarray(image)))
    assert np.abs(ours - theirs.transpose(2, 0, 1) / 255).max() < 1.01 / 255
    mask = to_grid_mask(image[:, :, 0] > 127, (224, 224), "crop", 0.875)
    assert mask.shape == (1, 224, 224)
    assert ((ours[0] > 0.5) == mask[0]).mean() > 0.5
