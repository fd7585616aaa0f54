"""What names the classes of ImageNet's flat validation images, in the forms in which it comes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from benchmark.data.reading.classes import WNID, class_list
from benchmark.data.reading.faults import reading
from benchmark.data.reading.manifest import read_table
from benchmark.errors import DataError

ROOTS = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "CLS-LOC")  # as Kaggle's archive unpacks
DEVKIT = "ILSVRC2012_devkit_t12/data"


def above(root: Path) -> tuple[Path, ...]:
    """Where what goes with the images may lie: in the folder that was given, and the archive's own inside it."""
    return (root, root / "ILSVRC", root / "data")


def wnids_of(root: Path, place: Path, split: str, what: str) -> dict[str, str]:
    """Image names without ending to WordNet ids, of the first of: Kaggle's CSV, the devkit, Caffe's list, XML files.

    Args:
        root: the folder that was given.
        place: the folder of the images.
        split: whose names stand in those of the files.
        what: for messages.

    Raises:
        DataError: a file of them that cannot be read.
    """
    for folder in above(root):
        if (file := folder / f"LOC_{split}_solution.csv").is_file():
            return {name: words[0] for name, words in solution(file, what)}
    for folder in above(root):
        if (folder / DEVKIT).is_dir():
            return _devkit(folder / DEVKIT, what)
    for file in (*(folder / f"{split}.txt" for folder in above(root)), place / f"{split}.txt"):
        if file.is_file():
            return _caffe(file, what)
    return {name: wnid for name, (wnid, _) in annotated(root, split, what).items()}


def solution(file: Path, what: str) -> Iterator[tuple[str, list[str]]]:
    """Rows of Kaggle's CSV: an image, and the words ``wnid x0 y0 x1 y1 wnid x0 ...``.

    Raises:
        DataError: other columns, or a row without a class.
    """
    table = read_table(file, ["ImageId", "PredictionString"], what)
    if not {"ImageId", "PredictionString"} <= set(table.columns):
        raise DataError(f"{what}: {file} has the columns {', '.join(table.columns)}, not ImageId and PredictionString")
    for row, line in zip(table.rows, table.lines, strict=True):
        words = row["PredictionString"].split()
        if len(words) % 5 or not words or not all(WNID.fullmatch(word) for word in words[::5]):
            raise DataError(f"{what}: {file}, line {line}: expected `wnid x0 y0 x1 y1` once or more; correct it")
        yield row["ImageId"], words


def _devkit(folder: Path, what: str) -> dict[str, str]:
    """The devkit numbers its classes otherwise than networks do: meta.mat says which WordNet id each number is."""
    truth, meta = folder / "ILSVRC2012_validation_ground_truth.txt", folder / "meta.mat"
    for file in (truth, meta):
        if not file.is_file():
            raise DataError(f"{what}: {file} does not exist; unpack the whole ILSVRC2012_devkit_t12")
    from scipy.io import loadmat

    try:
        synsets = loadmat(meta, squeeze_me=True)["synsets"]
        wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
        numbers = [int(line) for line in truth.read_text().split()]
        return {f"ILSVRC2012_val_{i:08d}": wnids[number] for i, number in enumerate(numbers, start=1)}
    except Exception as error:  # loadmat raises whatever a damaged file makes it stumble over
        raise DataError(
            f"{what}: {folder} is no devkit of ILSVRC 2012: {type(error).__name__}: {error}; unpack it again"
        ) from error


def _caffe(file: Path, what: str) -> dict[str, str]:
    """Lines ``ILSVRC2012_val_00000001.JPEG 65`` (the usual index) or ``... n01751748``."""
    known = class_list("imagenet-1k").names
    found = {}
    with reading(what, file):
        text = file.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        label = words[1] if len(words) == 2 else ""
        index = int(label) if label.isdecimal() else -1
        if not (WNID.fullmatch(label) or 0 <= index < len(known)):
            raise DataError(f"{what}: {file}, line {number}: expected an image and its class, 0 to 999, got {line!r}")
        found[Path(words[0]).stem] = label if WNID.fullmatch(label) else known[index]
    return found


def annotated(root: Path, split: str, what: str) -> dict[str, tuple[str, list[tuple[float, ...]]]]:
    """Image names to WordNet id and (x0, y0, x1, y1, width, height of the picture), from the XML files.

    Raises:
        DataError: a file that is no such XML.
    """
    folders = [
        folder / inner for folder in above(root) for inner in (f"Annotations/CLS-LOC/{split}", "bbox", "Annotations")
    ]
    folders += [folder / f"bbox/{split}" for folder in above(root)]
    files = next((found for folder in folders if (found := sorted(folder.glob("*.xml")))), [])
    files = files or next((found for folder in folders if (found := sorted(folder.glob("n????????/*.xml")))), [])
    return {file.stem: _annotation(file, what) for file in files}


def _annotation(file: Path, what: str) -> tuple[str, list[tuple[float, ...]]]:
    try:
        tree = ET.fromstring(file.read_bytes())
        size = [float(tree.findtext(f"size/{key}", "0")) for key in ("width", "height")]
        names = [item.findtext("name", "") for item in tree.iter("object")]
        boxes = [
            (*(float(item.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")), *size)
            for item in tree.iter("object")
        ]
        return names[0], boxes
    except (ET.ParseError, OSError, ValueError, IndexError) as error:
        raise DataError(
            f"{what}: {file} is no annotation of ImageNet: {type(error).__name__}: {error}; replace it"
        ) from error


@cache
def robustbench_images() -> tuple[str, ...]:
    """Names without ending of the 5,000 validation images over which RobustBench's ImageNet figures are."""
    text = (files("benchmark.data.reading") / "lists" / "robustbench-imagenet.txt").read_text(encoding="utf-8")
    numbers = [word for line in text.splitlines() if not line.startswith("#") for word in line.split()]
    return tuple(f"ILSVRC2012_val_{int(number):08d}" for number in numbers)


def named_images(file: Path, what: str) -> list[str]:
    """Names of image files from a list, a line each; folders before them do not count.

    Raises:
        DataError: no such file, or a name twice.
    """
    with reading(what, file, "put the list there, or leave `ids` out"):
        text = file.read_text(encoding="utf-8")
    names = [line.strip().replace("\\", "/").rpartition("/")[2] for line in text.splitlines() if line.strip()]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice or not names:
        raise DataError(f"{what}: {file} names {twice[0] + ' twice' if twice else 'no image'}; correct it")
    return names
