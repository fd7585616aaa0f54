"""Classes by name: their order in folders, and lists that give each its index."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from benchmark.data._faults import reading
from benchmark.data._left_out import shown
from benchmark.errors import DataError

BY_INDEX = "by-index"
NAMED = ("imagenet-1k", "cifar10", "cifar100")
WNID = re.compile(r"n\d{8}")
Order = Literal["text", "number"]


@dataclass(frozen=True)
class ClassList:
    """Classes in the order of a network's outputs.

    Attributes:
        source: where it is from, for messages.
        names: one name a class.
        known_as: every way in which each is written (a WordNet id, synonyms).
    """

    source: str
    names: tuple[str, ...]
    known_as: tuple[tuple[str, ...], ...]


def same_name(name: str) -> str:
    """A class's name as it is compared: no case, no punctuation, one space between words."""
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()


def class_list(name: str) -> ClassList:
    """A list by name (:data:`NAMED`), or from a file: a line a class, or JSON as ``imagenet_class_index.json``.

    A line may begin with a WordNet id (``n01440764 tench, Tinca tinca``); its synonyms then count as well.

    Raises:
        DataError: no such list or file, an empty one, or one with a class twice.
    """
    if name in NAMED:
        return _named(name)
    path = Path(name).expanduser()
    if not path.exists() and not path.is_symlink():
        raise DataError(
            f"[dataset] classes = {name!r} is neither {', '.join(map(repr, NAMED))} nor a file; name a file with a"
            f' class a line, or say "{BY_INDEX}"'
        )
    with reading("[dataset] classes", path, "name a text file with a class a line"):
        text = path.read_bytes().decode("utf-8-sig")
    return _parsed(text, str(path))


@cache
def _named(name: str) -> ClassList:
    text = (files("benchmark.data") / "lists" / f"{name}.txt").read_text(encoding="utf-8")
    return _parsed("\n".join(line for line in text.splitlines() if not line.startswith("#")), name)


def _parsed(text: str, source: str) -> ClassList:
    entries = _from_json(text, source) if text.lstrip()[:1] in ("[", "{") else _from_lines(text)
    if not entries:
        raise DataError(f"{source} lists no class; write a class a line")
    names = tuple(entry[0] for entry in entries)
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice:
        raise DataError(f"{source} lists the class {twice[0]!r} twice; an index could not be told from its name")
    return ClassList(source, names, tuple(tuple(entry) for entry in entries))


def _from_lines(text: str) -> list[list[str]]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [_ways(line) for line in lines]


def _ways(line: str) -> list[str]:
    """A line's name, then every other way to write the class."""
    wnid = WNID.match(line)
    if not wnid:
        return [line]
    rest = line[wnid.end() :].strip(" \t,:")
    return list(
        dict.fromkeys([wnid[0], *([rest] if rest else []), *(part.strip() for part in rest.split(",") if part)])
    )


def _from_json(text: str, source: str) -> list[list[str]]:
    try:
        data: Any = json.loads(text)
        if isinstance(data, dict):
            data = [data[key] for key in sorted(data, key=int)]
        return [[str(part) for part in item] if isinstance(item, list) else _ways(str(item)) for item in data]
    except (ValueError, TypeError) as error:
        raise DataError(f"{source} cannot be read as JSON of classes: {error}; write a class a line") from error


def class_indices(classes: Sequence[str], known: ClassList, what: str) -> list[int]:
    """The index of each class in a list: by the name as it stands, else without case and punctuation.

    Args:
        classes: names, such as those of folders.
        known: the list.
        what: for messages, such as ``"dataset 'folder'"``.

    Raises:
        DataError: names that are not in the list, or that several of its classes have; two names of one class.
    """
    exact, loose = _ways_to(known.known_as, str), _ways_to(known.known_as, same_name)
    candidates = [exact.get(name) or loose.get(same_name(name), frozenset()) for name in classes]
    while sure := {next(iter(indices)) for indices in candidates if len(indices) == 1}:  # the other of two alike
        narrowed = [indices if len(indices) == 1 else indices - sure for indices in candidates]
        if narrowed == candidates:
            break
        candidates = narrowed
    unknown = [name for name, indices in zip(classes, candidates, strict=True) if len(indices) != 1]
    if unknown:
        raise DataError(
            f"{what}: {shown(unknown, 5)} {'is' if len(unknown) == 1 else 'are'} not in the list of classes"
            f" {known.source} ({len(known.names)} classes, such as {' or '.join(known.known_as[0][:2])!r}), or several"
            " of its classes are called so; rename the classes, or name another list in [dataset] classes"
        )
    indices = [next(iter(each)) for each in candidates]
    twice = [i for i, n in Counter(indices).items() if n > 1]
    if twice:
        same = [name for name, index in zip(classes, indices, strict=True) if index == twice[0]]
        raise DataError(f"{what}: {shown(same)} are one class of {known.source}; put them in one")
    return indices


def _ways_to(known_as: Sequence[Sequence[str]], key: Callable[[str], str]) -> dict[str, frozenset[int]]:
    """Each way to write a class to those that are written so; a class's own name is its own alone."""
    sets: dict[str, set[int]] = {}
    for index, ways in enumerate(known_as):
        for way in ways:
            sets.setdefault(key(way), set()).add(index)
    own = Counter(key(ways[0]) for ways in known_as)
    for index, ways in enumerate(known_as):
        if own[key(ways[0])] == 1:
            sets[key(ways[0])] = {index}
    return {way: frozenset(indices) for way, indices in sets.items()}


def in_order(names: Iterable[str], order: Order | None, what: str) -> list[str]:
    """Names of class folders, sorted as text or by number.

    Args:
        names: of folders.
        order: as the suite says; None: as text, where that is the same by number.
        what: for messages.

    Raises:
        DataError: all are numbers, the two orders differ, and the suite does not say which; or by number where one is
            none.
    """
    as_text = sorted(set(names))
    numbers = all(name.isdecimal() for name in as_text)  # also digits of other scripts
    if order == "number" and not numbers:
        odd = next(name for name in as_text if not name.isdecimal())
        raise DataError(
            f'{what}: order = "number", but the class {odd!r} is no number; rename it, or say order = "text"'
        )
    if order == "text" or not numbers:
        return as_text
    by_number = sorted(as_text, key=lambda name: (int(name), name))
    if order is None and by_number != as_text:
        one = next(i for i, (a, b) in enumerate(zip(as_text, by_number, strict=True)) if a != b)
        raise DataError(
            f"{what}: the classes are numbers whose order as text differs from that as numbers (class {one} would be"
            f' {as_text[one]!r} or {by_number[one]!r}), and a network knows only one of them: say order = "text" (as'
            ' torchvision\'s ImageFolder) or order = "number" in [dataset]'
        )
    return by_number


def are_positions(classes: Sequence[str]) -> bool:
    """The names are their own indices: 0, 1, 2, ..."""
    return all(name == str(i) for i, name in enumerate(classes))
