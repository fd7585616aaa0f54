"""The fold-out under a table: every setting needed to repeat it, as Markdown and as rows of text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchmark.report.settings import Setting, Settings
from benchmark.report.text import plain_text

SUMMARY = "Every setting needed to repeat this"
COLUMNS = ("part", "name", "plugin", "version", "threat model, budgets", "every parameter", "n", "batch")


def settings_lines(found: Settings, summary: str = SUMMARY) -> list[str]:
    """Markdown that is folded away where Markdown is shown as HTML."""
    lines = [f"<details><summary>{plain_text(summary)}</summary>", "", "| setting | value |", "|---|---|"]
    lines += [f"| {plain_text(name)} | {plain_text(text)} |" for name, text in fact_rows(found)]
    lines += ["", "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(plain_text(cell) for cell in part_cells(part)) + " |" for part in found.parts]
    return [*lines, "", "</details>", ""]


def fact_rows(found: Settings) -> list[tuple[str, str]]:
    """Names and texts of what holds for the whole table, the libraries' versions last."""
    libraries = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    return [*found.facts.items(), *([("libraries", libraries)] if libraries else [])]


def part_cells(part: Setting) -> tuple[str, ...]:
    """The cells of one part, by :data:`COLUMNS`."""
    version = _joined(" ", [part.version, f"({part.library})" if part.library else ""])
    asked = _joined(", ", [threat_text(part.threat), *[f"eps {eps}" for eps in part.budgets]])
    params = {key: f"{key} = {_value(value)}" for key, value in part.params.items()}
    given = ", ".join(text for key, text in params.items() if key in part.given)
    left = ", ".join(text for key, text in params.items() if key not in part.given)
    others = ", ".join(f"{key}: {_value(value)}" for key, value in part.others.items())
    said = _joined("; ", [given, f"by default {left}" if left else "", others, part.note])
    batch = ", ".join(str(size) for size in part.batch_sizes)
    cells = (part.kind, part.name, part.use, version, asked, said)
    return (*cells, str(part.n or ""), batch)


def threat_text(threat: Mapping[str, Any]) -> str:
    """A threat model in words, such as ``linf, fixed, white-box``."""
    if not threat:
        return ""
    words = [str(threat[key]) for key in ("norm", "kind", "knowledge", "domain") if threat.get(key, "none") != "none"]
    return ", ".join([*words, *(key for key in ("targeted", "relative", "control") if threat.get(key))])


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _joined(between: str, texts: list[str]) -> str:
    return between.join(text for text in texts if text)
