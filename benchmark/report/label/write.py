"""Writing a label: one file a form. Same records, same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmark.report.label.badge import png, svg
from benchmark.report.label.build import Label
from benchmark.report.label.card import card
from benchmark.report.label.html import html
from benchmark.report.label.markdown import markdown
from benchmark.store.atomic import write_atomic

FORMS: dict[str, tuple[str, Callable[[Label], str | bytes]]] = {
    "html": ("label.html", html),
    "md": ("label.md", markdown),
    "svg": ("badge.svg", svg),
    "png": ("badge.png", png),
    "yaml": ("card.yaml", card),
}


def write_label(label: Label, folder: Path, forms: Sequence[str] = tuple(FORMS)) -> list[Path]:
    """Write a label in these forms.

    Returns:
        the files, in the order of the forms.
    """
    found = []
    for form in forms:
        name, make = FORMS[form]
        content = make(label)
        write_atomic(folder / name, content if isinstance(content, bytes) else content.encode())
        found.append(folder / name)
    return found
