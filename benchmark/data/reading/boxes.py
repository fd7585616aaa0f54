"""Boxes around objects, as masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.reading.ilsvrc import above, annotated, solution
from benchmark.data.reading.manifest import plain_path, read_table
from benchmark.errors import DataError

Box = tuple[float, ...]  # x0, y0, x1, y1 in pixels; of XML also the width and height of the picture
COLUMNS = ("file", "x0", "y0", "x1", "y1")


def boxes_of(root: Path, split: str, files: Mapping[str, Path], what: str) -> dict[str, list[Box]]:
    """Boxes of images, from the first of: ``boxes.csv``, XML files, Kaggle's CSV; nothing where there is none.

    Args:
        root: the dataset's folder.
        split: whose names stand in those of the files.
        files: sample names to images.
        what: for messages.

    Raises:
        DataError: a file of boxes that cannot be read.
    """
    if (root / "boxes.csv").is_file():
        return _of_csv(root / "boxes.csv", what)
    by_stem = {path.stem: name for name, path in files.items()}
    xml = annotated(root, split, what)
    if xml:
        return {by_stem[stem]: list(boxes) for stem, (_, boxes) in xml.items() if stem in by_stem}
    for folder in above(root):
        if (file := folder / f"LOC_{split}_solution.csv").is_file():
            found: dict[str, list[Box]] = {}
            for stem, words in solution(file, what):
                if stem in by_stem:
                    places = [words[i + 1 : i + 5] for i in range(0, len(words), 5)]
                    found[by_stem[stem]] = [tuple(float(word) for word in place) for place in places]
            return found
    return {}


def _of_csv(file: Path, what: str) -> dict[str, list[Box]]:
    table = read_table(file, COLUMNS, what)
    lacking = [name for name in COLUMNS if name not in table.columns]
    if lacking:
        raise DataError(
            f"{what}: {file} has no column {lacking[0]!r}, it has {', '.join(table.columns)}; a row a box: file,"
            " x0, y0, x1, y1 (pixels)"
        )
    found: dict[str, list[Box]] = {}
    for row, line in zip(table.rows, table.lines, strict=True):
        try:
            box = tuple(float(row[name]) for name in COLUMNS[1:])
        except ValueError:
            raise DataError(
                f"{what}: {file}, line {line}: expected four numbers, got {dict(row)}; correct it"
            ) from None
        found.setdefault(plain_path(row["file"]), []).append(box)
    return found


def as_mask_of(boxes: Sequence[Box], size: tuple[int, int], what: str) -> NDArray[np.bool_]:
    """Mask (H, W): True where a pixel's centre lies in a box.

    Args:
        boxes: in pixels, x to the right and y down.
        size: (height, width) of the picture.
        what: for messages.

    Raises:
        DataError: boxes of a picture of another size, or that lie outside of it.
    """
    height, width = size
    mask = np.zeros(size, dtype=bool)
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    for box in boxes:
        x0, y0, x1, y1 = box[:4]
        of = (int(box[5]), int(box[4])) if len(box) == 6 else size
        if of != size and all(of):
            raise DataError(
                f"{what}: its boxes are of a picture of {of[1]}x{of[0]} pixels, the file has {width}x{height}: it was"
                " cropped or scaled; move the boxes along in a boxes.csv (file, x0, y0, x1, y1)"
            )
        if not (x0 < x1 and y0 < y1 and x1 > 0 and y1 > 0 and x0 < width and y0 < height):
            raise DataError(
                f"{what}: the box {box[:4]} lies outside of the picture of {width}x{height} pixels; correct it"
            )
        mask |= np.outer((y >= y0) & (y <= y1), (x >= x0) & (x <= x1))
    return mask
