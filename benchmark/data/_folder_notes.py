"""Class folders, and what lies in and beside them that is no sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmark.data._left_out import count, debris_in, inside, is_debris, kinds, shown
from benchmark.data._pictures import SUFFIXES

TABLES = frozenset({".csv", ".tsv", ".xls", ".xlsx", ".ods"})


def class_folders(folder: Path) -> list[Path]:
    """Folders in a folder, sorted by name, without debris."""
    return [path for path in inside(folder) if path.is_dir()]


def images_in(folder: Path) -> list[Path]:
    """Files right in a folder that end as pictures do, sorted by name, without debris; links that lead nowhere too."""
    pictures = [path for path in inside(folder) if path.suffix.lower() in SUFFIXES]
    return [path for path in pictures if path.is_file() or not path.exists()]  # no folder, no pipe


def holds_classes(folder: Path) -> bool:
    """It is a folder of class folders: there are some that hold images; images beside them do not count."""
    return folder.is_dir() and any(images_in(inner) for inner in class_folders(folder))


def left_out(root: Path, folder: Path, skip: Iterable[str] = ()) -> str:
    """What lies among the samples and is none of them, as a sentence; empty where there is nothing.

    Args:
        root: the dataset's folder.
        folder: the folder of the class folders.
        skip: names of files that are read otherwise.
    """
    classes = class_folders(folder)
    debris = debris_in({root, folder, *classes})
    others = [path for inner in classes for path in sorted({*inside(inner)} - {*images_in(inner)})]
    files = [path for path in others if not path.is_dir()]
    nested = [path for inner in classes for path in inside(inner) if path.is_dir()]
    loose = [path for path in images_in(folder) if path.name not in skip]
    parts = [
        (debris, "hidden file or debris of a system", "hidden files or debris of systems", _names(debris)),
        (files, "file that is no image by its name", "files that are no images by their names", kinds(files)),
        (nested, "folder inside a class folder", "folders inside class folders", _names(nested)),
        (loose, "image outside the class folders", "images outside the class folders", _names(loose)),
    ]
    said = [f"{count(len(paths), one, many)} ({which})" for paths, one, many, which in parts if paths]
    return f"left out: {'; '.join(said)}" if said else ""


def _names(paths: Sequence[Path]) -> str:
    return shown(sorted({path.name for path in paths}))


def other_tables(root: Path, manifest: str) -> str:
    """Tables beside the data where there is no manifest, as a sentence: they may be meant; empty where there are none.

    Args:
        root: the dataset's folder.
        manifest: the manifest's name.
    """
    if (root / manifest).exists():
        return ""
    tables = [path.name for path in inside(root) if path.suffix.lower() in TABLES and path.is_file()]
    if not tables:
        return ""
    return f"not read: {shown(tables)}; groups and masks are looked for in {manifest} (parameter `manifest`)"


def without_images(folders: Sequence[Path], classes: Sequence[str]) -> str:
    """Class folders that hold no image, as a sentence; empty where there is none.

    Args:
        folders: class folders of all splits.
        classes: names of the classes.
    """
    empty = [folder for folder in folders if not images_in(folder)]
    if not empty:
        return ""
    strangers = sorted({folder.name for folder in empty} - set(classes))
    several = len({folder.parent for folder in folders}) > 1
    names = [f"{folder.parent.name}/{folder.name}" if several else folder.name for folder in empty]
    said = f"class {'folder' if len(empty) == 1 else 'folders'} without an image: {shown(names, 6)}"
    if strangers:
        said += f"; {shown(strangers, 6)} {'is' if len(strangers) == 1 else 'are'} not counted as a class"
    return said


__all__ = ["class_folders", "images_in", "is_debris", "left_out", "other_tables", "without_images"]
