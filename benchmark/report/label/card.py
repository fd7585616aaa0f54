"""Evaluation results in the form of a Hugging Face model card: the YAML block ``model-index`` at the top of a README.

The form is that of the hub's ``modelcard.md``; ``huggingface_hub`` reads it back in the tests and is not needed here.
Every string is written as JSON writes it, which YAML reads alike.
"""

from __future__ import annotations

import json
from typing import Any

from benchmark.report.label.build import Label


def model_index(label: Label) -> list[dict[str, Any]]:
    """The block as plain lists and dicts: one result a data set and split, one metric a number."""
    kind, name = label.words.card
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for metric in label.metrics:
        entry = {"type": metric["type"], "value": metric["value"], "name": metric["name"], "args": metric["args"]}
        groups.setdefault((metric["dataset"], metric["split"]), []).append(entry)
    results = [
        {
            "task": {"type": kind, "name": name},
            "dataset": {"name": data, "type": data, "split": split},
            "metrics": metrics,
        }
        for (data, split), metrics in groups.items()
    ]
    return [{"name": label.model, "results": results}]


def card(label: Label) -> str:
    """The front matter of a README, between its two lines of dashes; empty results are left out."""
    found: dict[str, Any] = {"model_name": label.model}
    if label.licence:
        found = {"license": label.licence.lower(), **found}
    if label.metrics:
        found["model-index"] = model_index(label)
    return "\n".join(["---", *_yaml(found), "---", ""])


def _yaml(value: Any, indent: str = "") -> list[str]:
    """Lines of a dict or list."""
    lines = []
    pairs = value.items() if isinstance(value, dict) else ((None, each) for each in value)
    for key, each in pairs:
        head = "-" if key is None else f"{key}:"
        if isinstance(each, dict | list) and each:
            inner = _yaml(each, indent + "  ")
            if key is None:  # the first line of an item stands behind its dash
                lines += [f"{indent}- {inner[0].strip()}", *inner[1:]]
            else:
                lines += [f"{indent}{head}", *inner]
        else:
            lines.append(f"{indent}{head} {json.dumps(each, ensure_ascii=False)}")
    return lines
