"""Does a network mean by its outputs what the dataset means by its classes: compared by name, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.data._classes import BY_INDEX, ClassList, are_positions, class_indices, same_name
from benchmark.data._left_out import shown
from benchmark.data._pictures import DARK, dark_note, scale_of
from benchmark.data.base import Dataset, Grid, Index
from benchmark.errors import DataError, EntryError
from benchmark.spec.entry import EntrySpec
from benchmark.tasks.base import Task

MAPPED = (
    "names the dataset's classes in another order: its outputs were put into the dataset's, by name (classes ="
    ' "by-index" leaves them as they are)'
)
SAME = 0.02  # proportions that differ by less are the same, up to whole pixels


def matched(
    entry: str, classes: Sequence[str], class_count: int, known_as: Sequence[tuple[str, ...]], *, named: bool
) -> tuple[int, ...]:
    """Which output of an entry is each class of the dataset.

    Args:
        entry: the entry's name, for messages.
        classes: names of the entry's classes, in the order of its outputs; empty where it names none.
        class_count: how many it has, 0 where that is not known.
        known_as: every way in which each class of the dataset is written.
        named: False where the dataset names no classes but numbers them: an entry that names the same numbers is held
            against them, another one is not.

    Returns:
        (K,) an output for each class of the dataset; empty where they are in the same order, or nothing is known.

    Raises:
        EntryError: the two mean different classes, or the dataset has only some of the entry's, whose indices nobody
            knows.
    """
    names = [ways[0] for ways in known_as]
    if not named and sorted(classes) != sorted(names):  # numbers are no names, unless the entry's are the same ones
        return ()
    if not classes:
        if class_count and class_count != len(names) and not (are_positions(names) and len(names) < class_count):
            raise EntryError(
                f"entry {entry!r} has {class_count} classes, the dataset {len(names)} ({shown(names)}): which of its"
                " outputs is which class is not known; say `classes` in the suite's [dataset]: a file with the"
                ' network\'s classes, a line each in the order of its outputs, or "imagenet-1k", "cifar10", "cifar100";'
                ' or "by-index", if output k is the k-th class'
            )
        return ()
    try:
        at = class_indices(classes, ClassList("the dataset", tuple(names), tuple(known_as)), f"entry {entry!r}")
    except DataError:
        at = []
    if len(at) != len(names):
        raise EntryError(_differing(entry, classes, known_as))
    outputs = tuple(int(j) for j in np.argsort(at))
    return () if outputs == tuple(range(len(names))) else outputs


def matched_entry(spec: EntrySpec, dataset: Dataset, split: str, asked: str) -> tuple[int, ...]:
    """:func:`matched` for an entry's spec; ``asked`` is ``classes`` of the suite's [dataset]."""
    classes = dataset.index(split).classes
    if asked == BY_INDEX or not classes:
        return ()
    names = () if isinstance(spec.classes, int) else spec.classes
    count = 2 if spec.output == "logit1" else spec.class_count
    return matched(spec.name, names, count, dataset.known_as(split), named=dataset.index(split).named)


def _differing(entry: str, classes: Sequence[str], known_as: Sequence[tuple[str, ...]]) -> str:
    """Which names the one has and the other has not."""
    theirs = {same_name(way) for ways in known_as for way in ways}
    ours = {same_name(name) for name in classes}
    only_entry = [name for name in classes if same_name(name) not in theirs]
    only_data = [ways[0] for ways in known_as if not ours & {same_name(way) for way in ways}]
    said = [f"only the entry has {shown(only_entry, 6)}"] if only_entry else []
    said += [f"only the dataset has {shown(only_data, 6)}"] if only_data else []
    return (
        f"entry {entry!r} names {len(classes)} classes, the dataset {len(known_as)}, and not the same ones:"
        f" {'; '.join(said) or 'several are written alike'}. Name them alike; or, where the data hold only some of the"
        " network's classes, say `classes = FILE` in the suite's [dataset], a line a class in the order of its"
        ' outputs; or classes = "by-index", if output k is the k-th class under another name'
    )


def check_labels(index: Index, task: Task, dataset: str) -> None:
    """A task of classes needs labels that are class indices.

    Raises:
        DataError: naming the first that is none.
    """
    if not task.needs_classes or index.labels.dtype.kind != "f":
        return
    bad = np.flatnonzero(index.labels != np.floor(index.labels))
    if len(bad):
        raise DataError(
            f"dataset {dataset!r}: expected class indices, got the label {index.labels[bad[0]]:g} of sample"
            f" {index.ids[bad[0]]!r}; correct it, or choose another task"
        )


def scaled_notes(index: Index, white: str | float) -> list[str]:
    """The index's notes; where the suite says which value is white, what is dark is dark by that.

    Args:
        index: of the split.
        white: ``range`` of the suite's [dataset].
    """
    if white == "dtype":
        return list(index.notes)
    share, kinds = index.peak
    notes = [note for note in index.notes if note not in dark_note(share, kinds)]
    scale = scale_of(np.dtype(kinds[0])) if len(kinds) == 1 else None
    share = share * scale / float(white) if scale else 1.0
    if 0 < share < DARK:
        notes.append(f"the largest value of all images is {share:.3g} of range = {white:g}, so they are dark")
    return notes


def resized(shapes: Sequence[tuple[int, int, int]], grid: Grid) -> list[str]:
    """What happens to images of other proportions than the grid's, as a sentence.

    Args:
        shapes: (height, width, how many images).
        grid: the suite's grid.
    """
    if grid.size is None or not shapes:
        return []
    wanted = grid.size[0] / grid.size[1]
    others = sum(n for height, width, n in shapes if abs(height / width / wanted - 1) > SAME)
    if not others:
        return []
    what = {
        "squeeze": 'are squeezed to them (fit = "squeeze"; "crop" and "pad" would keep theirs)',
        "crop": 'lose what lies beyond them (fit = "crop")',
        "pad": 'have black around them (fit = "pad")',
    }[grid.fit]
    total, size = sum(n for *_, n in shapes), f"{grid.size[0]}x{grid.size[1]}"
    return [f"{others:,} of {total:,} images have other proportions than the grid ({size}) and {what}"]
