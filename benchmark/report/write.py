"""Writing the tables: leaderboard.csv and .md, explanations.csv, records.parquet. Same records, same bytes."""

from __future__ import annotations

import re
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.report.leaderboard import explanations, leaderboard, verdicts
from benchmark.report.results import Results
from benchmark.store.atomic import write_atomic
from benchmark.store.folder import Store

FLOAT_FORMAT = "%.6g"


def write_report(folder: Path) -> tuple[Results, pd.DataFrame, pd.DataFrame]:
    """Pack the records and write every table of a suite.

    Args:
        folder: ``results/<suite>``.

    Returns:
        the results, the leaderboard and the explanations table.

    Raises:
        NoRecordsError: there is nothing to report; nothing is written.
    """
    store = Store(folder)
    plan = store.plan()
    if plan is not None:
        store.pack([cell["hash"] for cell in plan["cells"]])
    results = Results(store)
    board, explained = leaderboard(results), explanations(results)
    write_atomic(folder / "leaderboard.csv", to_csv(board))
    write_atomic(folder / "leaderboard.md", markdown(results, board, explained).encode())
    if len(explained):
        write_atomic(folder / "explanations.csv", to_csv(explained))
    else:  # of an earlier suite
        (folder / "explanations.csv").unlink(missing_ok=True)
    return results, board, explained


def to_csv(table: pd.DataFrame) -> bytes:
    """CSV with stable floats; text can never be read as a spreadsheet formula."""
    safe = table.copy()
    for name in safe.columns:
        if safe[name].dtype == object or isinstance(safe[name].dtype, pd.StringDtype):
            safe[name] = pd.Series([_harmless(value) for value in safe[name]], dtype=object, index=safe.index)
    return safe.to_csv(index=False, float_format=FLOAT_FORMAT, lineterminator="\n").encode()


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def number(value: Any, low: Any = None, high: Any = None) -> str:
    """``0.960 [0.933, 0.976]``; a blank with its bounds where samples have no verdict; ``–`` for nothing."""
    if value is None or pd.isna(value):
        if low is None or pd.isna(low):
            return "–"
        return f"? [{low:.3f}, {high:.3f}]"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if low is None or isnan(low) else f"{text} [{low:.3f}, {high:.3f}]"


def shown_columns(board: pd.DataFrame) -> list[str]:
    """The columns that fit a page: rates and norms without their interval columns, and the counts that are not 0."""
    names = [name for name in board.columns if f"{name}_low" in board.columns and not name.startswith("asr_")]
    names = [name for name in names if not name.startswith(("precision_", "recall_"))]
    counts = [name for name in ("failed", "skipped", "missing", "nan", "out_of_budget") if board[name].sum()]
    return ["model", "rank", "n", *names, *counts]


def cell_text(row: pd.Series, name: str) -> str:
    """One table cell with its interval."""
    if f"{name}_low" in row.index:
        return number(row[name], row[f"{name}_low"], row[f"{name}_high"])
    return number(row[name])


def _table(board: pd.DataFrame, names: list[str], heads: dict[str, str] | None = None) -> list[str]:
    heads = heads or {}
    lines = ["| " + " | ".join(heads.get(name, name) for name in names) + " |", "|" + "---|" * len(names)]
    for _, row in board.iterrows():
        lines.append("| " + " | ".join(cell_text(row, name).replace("|", "\\|") for name in names) + " |")
    return lines


def arrows(results: Results) -> dict[str, str]:
    """Metric column to its heading with the direction that is better."""
    marks = {True: " ↑", False: " ↓", None: ""}
    return {
        name.replace("-", "_"): name.replace("-", "_") + marks[metric["higher_is_better"]]
        for name, metric in results.plan["metrics"].items()
    }


def markdown(results: Results, board: pd.DataFrame, explained: pd.DataFrame) -> str:
    """leaderboard.md: the table, what the data decide, the explanations, what failed, how it was made."""
    suite, data = results.suite, results.plan["dataset"]
    lines = (
        [f"# {suite.title or suite.name}", "", suite.description.strip(), ""]
        if suite.description
        else [
            f"# {suite.title or suite.name}",
            "",
        ]
    )
    lines += [f"{data['n']} samples of `{suite.dataset.label}` ({suite.dataset.split}), seed {suite.seed}."]
    if suite.threat is not None:
        lines += [f"Headline threat model: {suite.threat.norm}, eps = {suite.threat.eps}."]
    lines += [
        "Values in brackets are 95 % intervals; `?` marks a rate whose samples lack a verdict, with its two bounds."
    ]
    lines += ["", *_table(board, shown_columns(board)), "", *[f"- {line}" for line in verdicts(results)], ""]
    success = [name for name in board.columns if name.startswith("asr_") and f"{name}_low" in board.columns]
    if success:
        lines += ["## Attack success", "", "Of the samples that are right before the attack (`n_correct`).", ""]
        lines += [*_table(board, ["model", "n_correct", *success]), ""]
    classes = [name for name in board.columns if name.startswith(("precision_", "recall_")) and f"{name}_low" in board]
    if 0 < len(classes) <= 8:
        lines += ["## Per class", "", *_table(board, ["model", *classes]), ""]
    if len(explained):
        names = [name.replace("-", "_") for name in results.plan["metrics"]]
        lines += ["## Explanations", "", "Means over samples; an arrow says which direction is better.", ""]
        lines += [*_table(explained, ["model", "explainer", "control", *names], arrows(results)), ""]
    reasons = results.reasons()
    if reasons:
        lines += ["## Failed and skipped", ""]
        lines += [f"- {label}: {status}: {_plain(reason)}" for label, status, reason in reasons] + [""]
    lines += ["## Probes", ""]
    lines += [
        f"- `{probe.name}`: {probe.use}, {_settings(probe.params)}"
        + (f", budgets {', '.join(str(eps) for eps in probe.budgets)}" if probe.budgets else "")
        for probe in suite.attacks
    ]
    lines += [f"- `{probe.name}`: {probe.use}, {_settings(probe.params)}" for probe in suite.explainers]
    lines += [f"- `{metric.name}`: {metric.use}, {_settings(metric.params)}" for metric in suite.metrics]
    return "\n".join(lines) + "\n"


def _settings(params: dict[str, Any]) -> str:
    return _plain(", ".join(f"{key} = {value}" for key, value in params.items())) or "default settings"


def _plain(text: str) -> str:
    """Text that markdown and HTML show as it is."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("`", "'")
    return re.sub(r"([\\|\[\]*])", r"\\\1", text)
