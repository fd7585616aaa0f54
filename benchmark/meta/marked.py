"""Generated parts of a page, between two lines that mark them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmark.errors import UsageError


def write_between(file: Path, begin: str, end: str, generated: Callable[[], str], what: str = "the tables go") -> None:
    """Put what is generated between its marks; a page that cannot take it is refused before the work.

    Args:
        file: the page.
        begin, end: the marks.
        generated: makes all that stands from one to the other.
        what: for the message.

    Raises:
        UsageError: the file is missing, or has no marks.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    if text.count(begin) != 1 or text.count(end) != 1:
        raise UsageError(f"{file} lacks the lines {begin!r} and {end!r}, between which {what}")
    before, after = text.split(begin)[0], text.split(end)[1]
    file.write_text(f"{before}{begin}{generated()}{end}{after}", encoding="utf-8")
