"""Every error Assay raises on purpose.

AssayError                 what went wrong, what was expected, what to do
├── UsageError             the request cannot be carried out as written (exit code 2)
│   ├── UnknownNameError   a suite, entry or plugin of that name does not exist
│   ├── SpecError          a suite.toml or entry.toml that cannot be read
│   ├── LockedError        another run holds the results folder
│   └── NoRecordsError     nothing has been computed yet, so there is nothing to report
├── DataError              a dataset is missing, empty or holds something unreadable
├── EntryError             a model entry cannot be built, loaded or called
├── NotApplicableError     a plugin or a network does not apply to what it was given (the cell is skipped)
├── AttackError            an attack could not be run
├── ExplainerError         an attribution could not be computed
│   └── RefusedError       an explainer's own check says that it does not fit a network; also a NotApplicableError
├── PoisonedError          the process' CUDA context is lost: nothing more can run in this process
└── StoreError             a record cannot be written or read
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AssayError(Exception):
    """Base of all errors that Assay raises on purpose; its text is meant for the user, and can always be printed."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(arg) if isinstance(arg, str) else arg for arg in args))


def printable(text: str) -> str:
    """A text that can be written as UTF-8: bytes of a file's name that are none become ``\\xff``."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair, which no file's name has
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


class UsageError(AssayError):
    """The request cannot be carried out as written; the command line exits with 2."""


class UnknownNameError(UsageError):
    """No suite, entry or plugin of that name exists.

    Args:
        kind: what was looked for, such as ``"attack"``.
        name: the name that was given.
        known: the names that exist.
        where: where they were looked for.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        known = sorted(set(known))
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        text = f"unknown {kind} {name!r}"
        if near:
            text += f": did you mean {' or '.join(repr(n) for n in near)}?"
        elif known:
            text += f": known are {', '.join(known[:12])}{', …' if len(known) > 12 else ''}"
        if where:
            text += f" (looked in {where})"
        super().__init__(text)
        self.kind, self.name, self.near = kind, name, near

    def __reduce__(self) -> tuple[object, ...]:
        return (UsageError, (str(self),))  # the worker pool pickles errors; the text is what matters


class SpecError(UsageError):
    """A suite.toml or entry.toml that cannot be read; the text names the line and the key."""


class LockedError(UsageError):
    """Another run holds the results folder."""


class NoRecordsError(UsageError):
    """Nothing has been computed yet, so there is nothing to report."""


class DataError(AssayError):
    """A dataset is missing, empty or holds something unreadable."""


class EntryError(AssayError):
    """A model entry cannot be built, loaded or called."""


class NotApplicableError(AssayError):
    """A plugin or a network says that it does not apply; the cell is skipped with this reason, nothing has failed."""


class AttackError(AssayError):
    """An attack could not be run."""


class ExplainerError(AssayError):
    """An attribution could not be computed."""


class RefusedError(NotApplicableError, ExplainerError):
    """An explainer's own check says that the method does not fit this network; the cell is skipped with this reason."""


class PoisonedError(AssayError):
    """The process' CUDA context is lost (a device-side assertion, an illegal access); only a new process helps."""


class StoreError(AssayError):
    """A record cannot be written or read."""
