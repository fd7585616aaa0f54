"""What must be said of the data under every table: what was left out, turned or put into another order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def data_words(plan: Mapping[str, Any]) -> list[str]:
    """The plan's notes on the data, then what was done to entries whose classes are in another order."""
    said = [f"data: {note}" for note in plan["dataset"].get("notes", [])]
    entries: dict[str, list[str]] = {}
    for name, words in plan.get("mapped", {}).items():
        entries.setdefault(words, []).append(name)
    return said + [f"{', '.join(names)}: {words}" for words, names in entries.items()]
