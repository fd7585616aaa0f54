"""One look at every file of a folder: what the digest covers, and what must be said of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.data._left_out import count, shown
from benchmark.data._pictures import (
    DARK,
    UNSURE,
    Header,
    as_mask,
    dark_note,
    header,
    read_image,
    share_of_scale,
)
from benchmark.errors import DataError
from benchmark.files import FAULTS, why

UNREADABLE = "unreadable"  # stands in the digest for the content of a file that could not be read


@dataclass(frozen=True)
class Scan:
    """What was found.

    Attributes:
        images, masks: what the digest covers of them.
        notes: sentences for tables.
        shapes: (height, width, how many images).
        keep: False where a file is there but could not be read: that may change without its times.
        peak: see :class:`Index`.
    """

    images: bytes
    masks: bytes
    notes: tuple[str, ...]
    shapes: tuple[tuple[int, int, int], ...]
    keep: bool
    peak: tuple[float, tuple[str, ...]]


def scan(files: Mapping[str, tuple[Path, str]], masks: Mapping[str, Path]) -> Scan:
    """Read every file once.

    Args:
        files: sample names to (file, class).
        masks: sample names to their masks; empty where not all have one.
    """
    lines: list[str] = []
    heads: dict[str, Header] = {}
    faults: list[str] = []
    keep = True
    for name, (path, label) in files.items():
        data, fault = _bytes(path)
        facts = header(data) if data is not None else None
        line = f"\n{name}\t{label}\t{UNREADABLE if data is None else hashlib.sha256(data).hexdigest()}"
        lines.append(line + ("\tturned" if facts and facts.turned else ""))
        if facts is not None:
            heads[name] = facts
        else:
            faults.append(f"{name} ({fault or 'no image that can be opened'})")
            keep = keep and (data is not None or not path.exists())
    seen = _Masks(heads)
    for name, path in masks.items():
        seen.look(name, path)
    sizes = Counter(head.size for head in heads.values())
    peak = _peak(files)
    notes = [*_said(heads, faults), *dark_note(*peak), *seen.notes()]
    return Scan(
        "".join(lines).encode(),
        "".join(seen.lines).encode(),
        tuple(notes),
        tuple((height, width, n) for (height, width), n in sorted(sizes.items())),
        keep and seen.keep,
        peak,
    )


def _bytes(path: Path) -> tuple[bytes | None, str]:
    """A file's content, or what is wrong with it."""
    try:
        return path.read_bytes(), ""
    except FAULTS as error:
        return None, why(error, path)


def _said(heads: Mapping[str, Header], faults: list[str]) -> list[str]:
    turned = [name for name, head in heads.items() if head.turned]
    several = [name for name, head in heads.items() if head.several]
    notes = []
    if turned:
        notes.append(f"{count(len(turned), 'image')} of {len(heads):,} turned upright, as the EXIF tag says")
    if several:
        notes.append(
            f"{count(len(several), 'file')} with several frames or pages, of which the first is read: {shown(several)}"
        )
    if faults:
        notes.append(f"{count(len(faults), 'file')} that cannot be read, whose chunks fail: {shown(faults)}")
    return notes


def _peak(files: Mapping[str, tuple[Path, str]]) -> tuple[float, tuple[str, ...]]:
    """How far below white all images stay, and their types; the first bright one ends the search."""
    share, kinds = 0.0, set[str]()
    for path, _ in files.values():
        try:
            pixels = read_image(path)
        except DataError:
            continue
        kinds.add(str(pixels.dtype))
        share = max(share, share_of_scale(pixels))
        if share >= DARK:
            break
    return share, tuple(sorted(kinds))


class _Masks:
    """Looks at masks one after the other."""

    def __init__(self, heads: Mapping[str, Header]) -> None:
        self.heads, self.lines, self.keep = heads, list[str](), True
        self.between: list[str] = []
        self.other_size: list[str] = []
        self.unreadable: list[str] = []

    def look(self, name: str, path: Path) -> None:
        """One mask: its line of the digest, and whether it is of its image's size and either 0 or 1."""
        data, fault = _bytes(path)
        line = f"\nmask\t{name}\t{UNREADABLE if data is None else hashlib.sha256(data).hexdigest()}"
        try:
            values = read_image(path)
        except DataError:
            self.unreadable.append(f"{path.name} ({fault or 'no image that can be opened'})")
            self.keep = self.keep and (data is not None or not path.exists())
            self.lines.append(line)
            return
        mask, between = as_mask(values)
        flat = values.max(axis=2) if values.ndim == 3 else values
        turned = (head := header(data or b"")) is not None and head.turned
        line += "\thalf" if ((flat > 0) != mask).any() else ""  # another mask than where the file is not 0
        self.lines.append(line + ("\tturned" if turned else ""))
        if between > UNSURE:
            self.between.append(f"{path.name} ({between:.0%})")
        if name in self.heads and self.heads[name].size != mask.shape:
            self.other_size.append(path.name)

    def notes(self) -> list[str]:
        """What must be said of the masks."""
        sentences = [
            (self.between, "with more than 1 % of its pixels between black and white (cut at half)"),
            (self.other_size, "of another size than its image, whose chunk fails"),
            (self.unreadable, "that cannot be read, whose chunk fails"),
        ]
        return [f"{count(len(names), 'mask')} {what}: {shown(names)}" for names, what in sentences if names]
