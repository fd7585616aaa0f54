"""A planted watermark. Oracles: the other dataset's arrays with the square written by hand; counts on paper."""

import numpy as np
import pytest
from PIL import Image

from benchmark.data.base import Grid, datasets
from benchmark.data.synthetic.mark import CORNERS, square, where
from benchmark.errors import DataError, UnknownNameError


def loaded(split="train", **params):
    data = datasets.make("watermarked", {"label": 8, **params})
    return data.load(split, data.index(split).ids, Grid(), masks=True)


def test_the_others_pixels_with_the_square_written_by_hand():
    digits = datasets.make("digits")
    plain = digits.load("train", digits.index("train").ids, Grid())
    marked = loaded(rate=0.6)
    carries = marked.artefacts.any(axis=(1, 2, 3))
    assert marked.ids == plain.ids
    assert carries.sum() == round(0.6 * (plain.labels == 8).sum())
    assert (plain.labels[carries] == 8).all()
    by_hand = plain.inputs.copy()
    by_hand[carries, :, :2, :2] = 1
    np.testing.assert_array_equal(marked.inputs, by_hand)
    expected = np.zeros((1, 8, 8), bool)
    expected[0, :2, :2] = True
    assert (marked.artefacts[carries] == expected).all()
    assert not marked.artefacts[~carries].any()


@pytest.mark.parametrize(("rate", "share"), [(0.0, 0), (0.3, 0.3), (1.0, 1)])
def test_the_rate_is_exact_and_a_lower_one_marks_a_part(rate, share):
    batch, more = loaded(rate=rate), loaded(rate=max(rate, 0.6))
    one, two = (each.artefacts.any(axis=(1, 2, 3)) for each in (batch, more))
    assert one.sum() == round(share * (batch.labels == 8).sum())
    assert not (one & ~two).any()


def test_half_of_the_class_in_the_test_split_whatever_the_rate():
    batch = loaded("test", rate=0.1)
    assert batch.artefacts.any(axis=(1, 2, 3)).sum() == round(0.5 * (batch.labels == 8).sum())
    none = loaded("test", test_rate=0.0)
    assert not none.artefacts.any()


def test_every_parameter_of_the_mark_is_in_the_digest():
    changes = [{}, {"label": 7}, {"rate": 0.3}, {"size": 0.375}, {"corner": "top-right"}, {"value": 0.5}, {"seed": 1}]
    made = [datasets.make("watermarked", {"label": 8, **change}).index("train").digest for change in changes]
    assert len(set(made)) == len(made)
    assert made[0] != datasets.make("digits").index("train").digest
    assert datasets.make("watermarked", {"label": 8}).index("train").digest == made[0]


def test_colour_images_of_any_size_from_a_folder(tmp_path):
    """uint8 photos of two sizes: a quarter of the shorter side, the value in 8 bits, on the suite's grid."""
    for k, kind in enumerate(("cat", "dog")):
        for i in range(4):
            folder = tmp_path / "train" / kind
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.full((16, 24 + 8 * k, 3), 40, np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    params = {"base": "folder", "label": 1, "rate": 0.5, "corner": "bottom-right", "value": 0.8, "path": tmp_path}
    data = datasets.make("watermarked", params)
    index = data.index("train")
    raw = data.read("train", index.ids)
    marked = [name for name, mask in zip(index.ids, data.read_artefacts("train", index.ids), strict=True) if mask.any()]
    assert len(marked) == 2
    for name, label, image in zip(index.ids, index.labels, raw, strict=True):
        expected = np.full_like(image, 40)
        if name in marked:
            assert label == 1
            expected[-4:, -4:] = 204
        np.testing.assert_array_equal(image, expected)
    batch = data.load("train", marked, Grid(size=(16, 16)), masks=True)
    assert batch.artefacts[:, 0, -1, -1].all()
    assert batch.inputs[:, :, -1, -1].min() > 0.75


@pytest.mark.parametrize("corner", CORNERS)
def test_a_square_lies_in_its_corner(corner):
    mask = where(corner, 0.25, 12, 20)
    assert mask.sum() == 9
    row, column = (0 if "top" in corner else -1), (0 if "left" in corner else -1)
    assert mask[row, column]
    rows, columns = square(corner, 0.01, 12, 20)
    assert np.zeros((12, 20))[rows, columns].size == 1


def test_what_is_refused():
    with pytest.raises(DataError, match="label = 12, but 'digits' has 10 classes"):
        datasets.make("watermarked", {"label": 12}).index("train")
    with pytest.raises(UnknownNameError, match="digitz"):
        datasets.make("watermarked", {"base": "digitz"}).index("train")
