"""Pictures of the page for a suite on data of one's own. Oracle: the pixels of the files, and which files are there."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from benchmark.data.base import datasets
from tests.conftest import Workplace

SUITE = """
title = "own"
entries = ["one"]

[dataset]
name = "mine"
use = "folder"
path = "pictures"
split = "test"
samples = 12

[threat]
norm = "linf"
eps = "0.3"

[run]
chunk = 12
keep_inputs = "all"

[[attacks]]
name = "fgsm"
use = "foolbox:LinfFastGradientAttack"
budgets = ["0.3"]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A finished run on a folder of pictures that the suite names by its path."""
    found = Workplace(tmp_path_factory.mktemp("own"))
    digits = datasets.make("digits")
    names = digits.index("test").ids[:60]
    for name, label, image in zip(names, digits.index("test").labels, digits.read("test", names), strict=False):
        file = found.root / "pictures" / "test" / f"{int(label)}" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(255 * np.asarray(image).reshape(8, 8)).astype(np.uint8)).save(file)
    found.suite("own", SUITE)
    found.assay("run", "own", "--workers", "1")
    return found


def shots(place, *more):
    place.assay("report", "own", "--html", *more)
    page = (place.root / "results" / "own" / "report.html").read_text(encoding="utf-8")
    gallery = page[page.index('id="gallery"') : page.index('id="made"')]
    return re.findall(r'<figure class="shot">', gallery), '"clean":{' in page


def test_pictures_are_found_by_the_path_of_the_suite(place):
    figures, clean = shots(place)
    assert figures
    assert clean


def test_pictures_are_found_where_data_says(place, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(place.root / "pictures", moved)
    try:
        assert shots(place) == ([], False), "the control: they are not there any more"
        figures, clean = shots(place, "--data", f"mine={moved}")
        assert figures
        assert clean
    finally:
        shutil.move(moved, place.root / "pictures")


def test_a_dataset_that_the_results_do_not_have_is_refused(place):
    done = place.assay("report", "own", "--data", "min=there", code=2)
    assert "unknown dataset 'min'" in done.stderr
    assert "mine" in done.stderr


def test_other_pictures_are_not_shown(place):
    """A picture that is not the one that was attacked would be a wrong picture."""
    file = next((place.root / "pictures" / "test").rglob("*.png"))
    content = file.read_bytes()
    Image.new("L", (8, 8), 255).save(file)
    try:
        assert shots(place) == ([], False)
    finally:
        file.write_bytes(content)
