"""Opening picture files. Oracles: Pillow's own exif_transpose, the arrays that were written, closed forms of masks."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from benchmark.data.base import Grid, datasets
from benchmark.data.reading.pictures import as_mask, header, read_image, turned
from benchmark.errors import DataError

GREY = np.random.default_rng(0).integers(0, 256, (9, 6), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (9, 6, 3), np.uint8)


def write(path, image, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)
    return path


def tagged(image, orientation):
    exif = image.getexif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "how"), [("png", {}), ("jpg", {"quality": 95}), ("webp", {"lossless": True}), ("tif", {})]
)
def test_orientation_is_applied_as_pillow_does(tmp_path, orientation, suffix, how):
    image = Image.fromarray(COLOUR)
    path = write(tmp_path / f"a.{suffix}", image, exif=tagged(image, orientation), **how)
    with Image.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    assert np.array_equal(read_image(path), expected)
    head = header(path.read_bytes())
    assert head.size == expected.shape[:2]
    assert head.turned == (orientation != 1)


@given(st.integers(1, 8), arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5))))
def test_every_orientation_keeps_every_pixel(orientation, pixels):
    """Property: turning is a permutation, and 5 to 8 exchange the sides; 2, 3, 4, 5 and 7 are their own inverse."""
    found = turned(pixels, orientation)
    assert sorted(found.reshape(-1)) == sorted(pixels.reshape(-1))
    assert found.shape == (pixels.shape if orientation < 5 else pixels.shape[::-1])
    if orientation in (1, 2, 3, 4, 5, 7):
        assert np.array_equal(turned(found, orientation), pixels)


MODES = [
    ("L", Image.fromarray(GREY), GREY),
    ("RGB", Image.fromarray(COLOUR), COLOUR),
    ("1", Image.fromarray(GREY > 127), (GREY > 127) * np.uint8(255)),
    ("LA", Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(255 - GREY)]), GREY),
    ("RGBA", Image.fromarray(np.dstack([COLOUR, GREY])), COLOUR),
    ("I;16", Image.fromarray(GREY.astype(np.uint16) * 257), GREY.astype(np.uint16) * 257),
]


@pytest.mark.parametrize(("mode", "image", "pixels"), MODES, ids=[mode for mode, *_ in MODES])
def test_modes_of_png_are_what_was_stored(tmp_path, mode, image, pixels):
    found = read_image(write(tmp_path / "a.png", image))
    assert found.dtype == pixels.dtype
    assert np.array_equal(found, pixels)


def test_palettes_with_and_without_transparency_become_their_colours(tmp_path):
    palette = Image.fromarray(COLOUR // 64 * 64).convert("P", palette=Image.Palette.ADAPTIVE)
    expected = np.asarray(palette.convert("RGB"))
    assert np.array_equal(read_image(write(tmp_path / "a.png", palette)), expected)
    assert np.array_equal(read_image(write(tmp_path / "b.png", palette, transparency=bytes(range(256)))), expected)
    assert np.array_equal(read_image(write(tmp_path / "c.gif", palette, transparency=3)), expected)


def test_float_and_32_bit_tiff_keep_their_numbers(tmp_path):
    values = np.array([[0.0, 0.25], [0.5, 1.0]], np.float32)
    assert np.array_equal(read_image(write(tmp_path / "f.tif", Image.fromarray(values))), values)
    integers = np.array([[0, 70000], [1, 2]], np.int32)
    assert np.array_equal(read_image(write(tmp_path / "i.tif", Image.fromarray(integers))), integers)
    big = (np.arange(4, dtype=np.uint16) * 300).reshape(2, 2)
    stored = b"P5 2 2 65535\n" + big.astype(">u2").tobytes()  # netpbm stores the high byte first
    (tmp_path / "b.pgm").write_bytes(stored)
    assert np.array_equal(read_image(tmp_path / "b.pgm"), big)


def test_cmyk_is_shown_in_colour(tmp_path):
    image = Image.fromarray(np.full((8, 8, 3), (200, 30, 90), np.uint8)).convert("CMYK")
    found = read_image(write(tmp_path / "a.jpg", image, quality=100))
    assert found.shape == (8, 8, 3)
    assert np.abs(found.astype(int) - [200, 30, 90]).max() <= 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no image that Pillow knows"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "cannot be read|no image"),
        (b"GIF89a\x00\x00\x00\x00", "cannot be read|no image"),
    ],
)
def test_what_is_no_image_is_said(tmp_path, content, said):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_image(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"gone\.png cannot be read: it does not exist"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(DataError, match="it is a folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "gif", "bmp", "ppm", "jp2"])
def test_every_cut_of_a_file_is_an_error_of_ours_or_a_picture(tmp_path, suffix):
    """Property over cuts: reading never raises anything but a DataError."""
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "JPEG2000" if suffix == "jp2" else Image.registered_extensions()[f".{suffix}"])
    whole, said = buffer.getvalue(), []
    for length in range(0, len(whole), max(1, len(whole) // 12)):
        (tmp_path / f"a.{suffix}").write_bytes(whole[:length])
        header(whole[:length])
        try:
            found = read_image(tmp_path / f"a.{suffix}")
        except DataError as error:
            said.append(str(error))
        else:
            assert found.shape[:2] == (9, 6)
    assert said
    assert all(f"a.{suffix}" in text for text in said)


def test_a_bomb_is_refused_and_a_large_picture_is_not(tmp_path, monkeypatch):
    path = write(tmp_path / "a.png", Image.fromarray(np.zeros((40, 40), np.uint8)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow warns above, refuses above twice as many
    assert read_image(path).shape == (40, 40)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    with pytest.raises(DataError, match="decompression bomb"):
        read_image(path)


# -- masks -------------------------------------------------------------------------------------------------------------


def test_masks_are_cut_at_half_of_their_range():
    for top in (1, 2, 60, 255, 65535):
        values = np.array([[0, top], [round(0.4 * top), top]], np.uint16)
        assert as_mask(values)[0].tolist() == [[False, True], [False, True]], top
    assert not as_mask(np.zeros((2, 2), np.uint8))[0].any()
    assert as_mask(np.ones((2, 2), bool))[0].all()
    assert as_mask(np.array([[0.0, 0.3, 0.9]]))[0].tolist() == [[False, False, True]]
    assert as_mask(np.dstack([np.eye(3, dtype=np.uint8) * 200] + [np.zeros((3, 3), np.uint8)] * 2))[0].sum() == 3


def test_how_much_of_a_mask_is_in_between():
    """Closed form: so many of a hundred pixels at grey; what JPEG rings at the ends does not count."""
    for n in (0, 1, 2, 50):
        values = np.full(100, 255, np.uint8)
        values[:n] = 128
        values[60:70], values[70:80] = 250, 5
        assert as_mask(values.reshape(10, 10))[1] == pytest.approx(n / 100)


@pytest.fixture
def with_masks(tmp_path):
    rng, rows = np.random.default_rng(0), ["file,mask"]
    for i in range(4):
        write(tmp_path / f"test/a/{i}.png", Image.fromarray(rng.integers(0, 256, (10, 12), np.uint8)))
        write(tmp_path / f"m/{i}.png", Image.fromarray((rng.random((10, 12)) < 0.5).astype(np.uint8) * 255))
        rows.append(f"test/a/{i}.png,m/{i}.png")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    return tmp_path


def make(root, **params):
    return datasets.make("folder", {"path": root, **params})


def test_a_mask_of_another_size_costs_its_sample(with_masks):
    write(with_masks / "m/2.png", Image.fromarray(np.zeros((12, 10), np.uint8)))
    data = make(with_masks)
    ids = data.index("test").ids
    assert any("1 mask of another size" in note and "2.png" in note for note in data.index("test").notes)
    with pytest.raises(DataError, match=r"mask of 'test/a/2\.png' has 12 rows and 10 columns"):
        data.load("test", ids, Grid(), masks=True)
    assert data.load("test", ids[:2], Grid(), masks=True).masks.shape == (2, 1, 10, 12)


def test_a_missing_mask_costs_its_sample(with_masks):
    before = make(with_masks).index("test").digest
    (with_masks / "m/3.png").unlink()
    data = make(with_masks)
    index = data.index("test")
    assert index.masks
    assert index.digest != before
    assert index.notes == ("1 mask that cannot be read, whose chunk fails: 3.png (it does not exist)",)
    assert len(data.load("test", index.ids[:3], Grid(), masks=True)) == 3
    with pytest.raises(DataError, match=r"the mask .*3\.png of 'test/a/3\.png' does not exist"):
        data.load("test", index.ids, Grid(), masks=True)


def test_a_grey_mask_is_named_and_changes_the_digest(with_masks):
    before = make(with_masks).index("test")
    assert before.notes == ()
    values = np.zeros((10, 12), np.uint8)
    values[:5], values[5:7] = 255, 100
    write(with_masks / "m/1.png", Image.fromarray(values))
    index = make(with_masks).index("test")
    assert any("1 mask with more than 1 %" in note and "1.png (20%)" in note for note in index.notes)
    assert index.digest != before.digest
    assert (
        make(with_masks).load("test", index.ids[1:2], Grid(), masks=True).masks[0, 0, :, 0].tolist()
        == [True] * 5 + [False] * 5
    )


def test_turned_photos_are_counted_with_masks_drawn_upright(tmp_path):
    """Closed form: without resizing the mean inside the mask is exactly the bright square's."""
    upright = np.full((24, 16), 60, np.uint8)
    upright[4:9, 2:6] = 220
    rows = ["file,mask"]
    for orientation, turn in (
        (6, Image.Transpose.ROTATE_90),
        (3, Image.Transpose.ROTATE_180),
        (8, Image.Transpose.ROTATE_270),
    ):
        stored = Image.fromarray(upright).transpose(turn)
        write(tmp_path / f"test/a/{orientation}.png", stored, exif=tagged(stored, orientation))
        rows.append(f"test/a/{orientation}.png,m.png")
    write(tmp_path / "m.png", Image.fromarray((upright > 200).astype(np.uint8)))
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    data = make(tmp_path)
    index = data.index("test")
    assert "3 images of 3 turned upright, as the EXIF tag says" in index.notes
    batch = data.load("test", index.ids, Grid(), masks=True)
    for image, mask in zip(batch.inputs, batch.masks, strict=True):
        assert image[0][mask[0]].tolist() == [np.float32(220 / 255)] * 20
        assert image[0][~mask[0]].max() == np.float32(60 / 255)


def test_a_tag_changes_the_digest(tmp_path):
    image = Image.fromarray(GREY)
    write(tmp_path / "test/a/0.png", image)
    plain = make(tmp_path).index("test")
    write(tmp_path / "test/a/0.png", image, exif=tagged(image, 6))
    assert make(tmp_path).index("test").digest != plain.digest
    assert (plain.shapes, make(tmp_path).index("test").shapes) == (((9, 6, 1),), ((6, 9, 1),))


@pytest.mark.parametrize("dataset", ["folder-with-masks", "stop-signs"])
def test_other_datasets_of_pictures_turn_too(tmp_path, dataset):
    image = Image.fromarray(COLOUR)
    folder = "victim_256" if dataset == "stop-signs" else "images/test/a"
    for i in range(2):
        write(tmp_path / folder / f"{i}.png", image, exif=tagged(image, 6))
        write(tmp_path / f"masks/test/a/{i}.png", Image.fromarray((COLOUR[:, :, 0] > 99).transpose()[:, ::-1]))
    data = datasets.make(dataset, {"path": tmp_path})
    index = data.index("test")
    batch = data.load("test", index.ids, Grid(), masks=index.masks)
    assert batch.inputs.shape[2:] == (6, 9)
    assert any("turned upright" in note for note in index.notes)
    if index.masks:
        assert np.array_equal(batch.masks[0, 0], batch.inputs[0, 0] * 255 > 99)


# -- range -------------------------------------------------------------------------------------------------------------


def test_twelve_bits_in_sixteen_are_named_and_scaled_by_range(tmp_path):
    values = np.array([[0, 4095], [2048, 1]], np.uint16)
    write(tmp_path / "test/a/0.png", Image.fromarray(values))
    data = make(tmp_path)
    index = data.index("test")
    (note,) = index.notes
    assert "0.0625 of the scale" in note
    assert "range = 4095" in note
    assert np.allclose(data.load("test", index.ids, Grid()).inputs[0, 0], values / 65535)
    assert np.allclose(data.load("test", index.ids, Grid(range=4095)).inputs[0, 0], values / 4095)
    with pytest.raises(DataError, match=r"values must lie in \[0, 4000\].*range = 4095"):
        data.load("test", index.ids, Grid(range=4000))


def test_one_bright_image_makes_a_set_bright(tmp_path):
    for i in range(3):
        write(tmp_path / f"test/a/{i}.png", Image.fromarray(np.full((4, 4), 20 + 70 * (i == 2), np.uint8)))
    assert make(tmp_path).index("test").notes == ()
    (tmp_path / "test/a/2.png").unlink()
    assert "largest value of all images is 0.0784" in make(tmp_path).index("test").notes[0]


def test_several_frames_are_counted_and_the_first_is_read(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), v, np.uint8)) for v in (200, 100)]
    write(tmp_path / "test/a/0.gif", frames[0], save_all=True, append_images=frames[1:])
    write(tmp_path / "test/a/1.tif", frames[0], save_all=True, append_images=frames[1:])
    write(tmp_path / "test/a/2.png", frames[0])
    data = make(tmp_path)
    index = data.index("test")
    assert any(
        note.startswith("2 files with several frames or pages, of which the first is read") for note in index.notes
    )
    assert (data.load("test", index.ids, Grid(channels=1)).inputs * 255).round().astype(int).tolist() == [
        [[[200] * 4] * 4]
    ] * 3
