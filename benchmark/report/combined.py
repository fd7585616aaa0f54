"""Robustness beside explanation quality, a row a model, and whether the two go together over models.

Made from the tables that other parts of a report wrote, of one suite's folders or of several suites'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.report.correlation import FEW, correlations
from benchmark.report.soundness import confounded, direction
from benchmark.report.suite_tables import SuiteTables, read_suite_tables
from benchmark.report.tables import to_csv
from benchmark.report.text import PAGE, cell_text
from benchmark.store.atomic import write_atomic

ROBUST, N_ROBUST = "robust_acc_worst", "n_robust_acc_worst"
KEPT, NOISE = "attacked_spearman", "noise_spearman"
_SIDES = ("", "_low", "_high")
FILES = ("combined.csv", "combined_correlation.csv", "combined.md")
TITLE = "Robustness and explanation quality"
SAYS = (
    "A row a model: worst-case robust accuracy beside each metric's mean over the explainers that are no controls,"
    f" those that are one method once (an arrow says which way is better). `{KEPT}`: Spearman's correlation of"
    f" attributions before and after the attacks, where the prediction stayed; `{NOISE}`: the same of the"
    " control's noise."
)


@dataclass
class Combined:
    """Robustness and explanation quality of several models.

    Attributes:
        table: a row a suite and model. ``suite``, ``model``, ``n``, ``threat`` (such as ``linf 0.1``), ``clean_acc``
            and ``robust_acc_worst`` with ``_low`` and ``_high``; of each metric that has a direction the mean over the
            explainers that are no controls (those that are one method count once), and ``best_<metric>``, the best of
            these; ``attacked_spearman``: the correlation of attributions before and after the attacks, where the
            prediction stayed, a mean over the same explainers and all attacks that are no controls, and
            ``noise_spearman`` over the controls.
        correlation: a row a group of models (each suite; ``all``: all suites, ranks within each) and quality, see
            :func:`benchmark.report.correlation.correlations`.
        directions: quality column to whether higher is better.
        remarks: what the table must not be read as.
    """

    table: pd.DataFrame
    correlation: pd.DataFrame
    directions: dict[str, bool]
    remarks: list[str] = field(default_factory=list)


def combined(folders: Sequence[Path]) -> Combined | None:
    """Read the tables of these results folders.

    Args:
        folders: ``results/<suite>`` of one suite, of it and its parts, or of several suites; those without a
            leaderboard or of a task without verdicts are left out.

    Returns:
        None where no folder has explainers, or nothing is left to stand beside anything: one folder without attacks.
    """
    rows: list[dict[str, Any]] = []
    directions: dict[str, bool] = {}
    suites = [found for folder in dict.fromkeys(folders) if (found := read_suite_tables(folder)) and _has_rate(found)]
    for tables in suites:
        rows += suite_rows(tables, directions)
    table = pd.DataFrame(rows)
    if not directions or not len(table) or (len(set(table["suite"])) == 1 and table[ROBUST].isna().all()):
        return None
    own = [N_ROBUST] if N_ROBUST in table and (table[N_ROBUST] != table["n"]).any() else []
    heads = [
        "suite",
        "model",
        "n",
        *own,
        "threat",
        *(f"{name}{side}" for name in ("clean_acc", ROBUST) for side in _SIDES),
    ]
    qualities = [name for name in directions if name in table]
    best = [f"best_{name}" for name in qualities if f"best_{name}" in table]
    table = table.reindex(columns=[*heads, *qualities, *([NOISE] if NOISE in table else []), *best])
    correlation = correlations(table, ROBUST, {name: directions[name] for name in qualities})
    notes = [*confounded([each.suite for each in suites], len(table)), *_fewer(table)]
    return Combined(table, correlation, directions, notes)


def _has_rate(tables: SuiteTables) -> bool:
    return ROBUST in {claim.name for claim in tables.claims}


def _fewer(table: pd.DataFrame) -> list[str]:
    """Whose robust accuracy is over fewer samples than the rest of its row."""
    if N_ROBUST not in table:
        return []
    rows = table[table[N_ROBUST] != table["n"]]
    sizes = [f"{int(row[N_ROBUST])} of {int(row['n'])} on {row['suite']}" for _, row in rows.iterrows()]
    return [f"{ROBUST} is over fewer samples than the rest: {', '.join(dict.fromkeys(sizes))}."] if sizes else []


def suite_rows(tables: SuiteTables, directions: dict[str, bool]) -> list[dict[str, Any]]:
    """The rows of one suite, of a task with verdicts; adds the directions of its qualities."""
    plan, suite = tables.plan, tables.suite
    stems = ("explanations", "explanations_attacked", "explainer_ranks")
    explained, attacked, methods = (tables.table(name) for name in stems)
    known = {
        name.replace("-", "_"): better
        for name in plan["metrics"]
        if (better := direction(suite, plan["metrics"], name)) is not None
    }
    directions |= known | ({KEPT: True} if len(attacked) else {})
    controls = {
        cell["probe"]
        for cell in plan["cells"]
        if cell["kind"] == "attack" and (cell.get("threat") or {}).get("control")
    }
    threat = "" if suite.threat is None else f"{suite.threat.norm} {suite.threat.eps.printed}"
    rows = []
    for _, line in tables.board.iterrows():
        row = {"suite": tables.name, "model": line["model"], "n": line["n"], "threat": threat}
        for claim in tables.claims:
            sides = _SIDES if claim.axis else ("",)
            row |= {f"{claim.name}{side}": line.get(f"{claim.column}{side}", nan) for side in sides}
            of_robust = line.get(f"n_{claim.column}", nan)
        row[N_ROBUST] = line["n"] if pd.isna(of_robust) else int(of_robust)
        twice = _twice(methods, line["model"])
        row |= _quality(_without(explained, twice), line["model"], known)
        if not _refused(explained, line["model"]):
            row |= _kept(_without(attacked, twice), line["model"], controls)
        rows.append(row)
    return rows


def _twice(methods: pd.DataFrame, model: str) -> set[str]:
    """Explainers that are one method with another that stands before them."""
    kept: list[str] = []
    own = methods[methods["model"] == model] if len(methods) else methods
    for name, others in (
        zip(own["explainer"], own["one_method_with"].astype(object).fillna(""), strict=True) if len(own) else ()
    ):
        if not set(others.split()) & set(kept):
            kept.append(name)
    return set(own["explainer"]) - set(kept) if len(own) else set()


def _without(table: pd.DataFrame, names: set[str]) -> pd.DataFrame:
    return table[~table["explainer"].isin(names)] if len(table) else table


def _refused(explained: pd.DataFrame, model: str) -> bool:
    """Whether the suite's ``[explaining]`` leaves the model out."""
    if "not_scored" not in explained:
        return False
    return bool(explained.loc[explained["model"] == model, "not_scored"].notna().any())


def _quality(explained: pd.DataFrame, model: str, known: dict[str, bool]) -> dict[str, Any]:
    """Of each metric the mean over real explainers, and the best of them."""
    if not len(explained):
        return {}
    real = explained[(explained["model"] == model) & ~explained["control"].astype(bool)].set_index("explainer")
    row: dict[str, Any] = {}
    for name, higher in known.items():
        values = real[name].dropna() if name in real else pd.Series(dtype=float)
        row[name] = float(values.mean()) if len(values) else nan
        row[f"best_{name}"] = "" if not len(values) else str(values.idxmax() if higher else values.idxmin())
    return row


def _kept(attacked: pd.DataFrame, model: str, controls: set[str]) -> dict[str, float]:
    """Mean Spearman before and after attacks where the prediction stayed: of attacks, and of controls."""
    if not len(attacked):
        return {}
    real = attacked[(attacked["model"] == model) & ~attacked["control"].astype(bool) & (attacked["changed"] == "no")]
    by_control = real["attack"].isin(controls)
    return {KEPT: float(real[~by_control]["spearman"].mean()), NOISE: float(real[by_control]["spearman"].mean())}


def shown_columns(found: Combined) -> dict[str, str]:
    """Columns for people, and how they are headed: with the direction that is better."""
    names = ["suite", "model", "clean_acc", ROBUST, *found.directions, NOISE]
    names = [name for name in names if name in found.table and found.table[name].notna().any()]
    names = names[1:] if found.table["suite"].nunique() == 1 else names
    return {name: name + {True: " ↑", False: " ↓", None: ""}[found.directions.get(name)] for name in names}


def main_columns(found: Combined, most: int = 7) -> dict[str, str]:
    """Those of :func:`shown_columns` that most models have, as many as fit a terminal."""
    heads = shown_columns(found)
    keys = ["model"]
    names = [name for name in heads if name not in ("suite", "model")]
    share = found.table[names].notna().mean()
    first = sorted(names, key=lambda name: (-float(share[name]), names.index(name)))[: most - len(keys)]
    return {name: heads[name] for name in [*keys, *(name for name in names if name in first)]}


def cell(row: pd.Series, name: str) -> str:
    """A cell with its interval, and with its n where that is not the row's."""
    fewer = name == ROBUST and N_ROBUST in row.index and row[N_ROBUST] != row["n"]
    return cell_text(row, name) + (f" (n {int(row[N_ROBUST])})" if fewer and not pd.isna(row[name]) else "")


def combined_markdown(found: Combined) -> str:
    """combined.md: the table and what the correlations allow to say."""
    heads = shown_columns(found)
    keys = [name for name in ("suite", "model") if name in heads]
    lines = [f"# {TITLE}", "", SAYS, ""]
    names = [name for name in heads if name not in keys]
    for start in range(0, len(names), PAGE):
        lines += [*_table(found, keys, names[start : start + PAGE], heads), ""]
    lines += [f"{line}\n" for line in found.remarks]
    best = [str(name) for name in found.table if str(name).startswith("best_")]
    if best:
        lines += ["## The best explainer of each metric", ""]
        for start in range(0, len(best), PAGE):
            part = best[start : start + PAGE]
            lines += [*_table(found, keys, part, {name: name.removeprefix("best_") for name in part}), ""]
    lines += ["## Do they go together?", ""]
    lines += [
        "Spearman's correlation over models, turned so that positive means: the more robust, the better explained."
    ]
    lines += ["", *[f"- {line}" for line in words(found)], *[f"- {line}" for line in found.remarks]]
    return "\n".join(lines) + "\n"


def _table(found: Combined, keys: Sequence[str], names: Sequence[str], heads: dict[str, str]) -> list[str]:
    """A Markdown table of some columns; rows without any of them are left out."""
    shown = [*keys, *names]
    lines = ["| " + " | ".join(heads.get(name, name) for name in shown) + " |", "|" + "---|" * len(shown)]
    for _, row in found.table.iterrows():
        if row[list(names)].replace("", None).notna().any():
            lines.append("| " + " | ".join(cell(row, name) for name in shown) + " |")
    return lines


def words(found: Combined) -> list[str]:
    """What the correlations allow to say: a line a quality over all models, one for those that cannot be decided."""
    several = found.table["suite"].nunique() > 1
    lines = [line for line in found.correlation.to_dict("records") if not several or line["over"] == "all"]
    decided = [line for line in lines if line["n"] >= FEW and "does not vary" not in str(line["words"])]
    open_ = [str(line["quality"]) for line in lines if line not in decided]
    rest = f"nothing can be decided (fewer than {FEW} models, or one of the two does not vary): {', '.join(open_)}"
    return [str(line["words"]) for line in decided] + ([rest] if open_ else [])


def write_combined(folders: Sequence[Path], into: Path | None = None) -> Combined | None:
    """Write ``combined.csv``, ``combined_correlation.csv`` and ``combined.md``, or remove those of an earlier suite.

    Args:
        folders: see :func:`combined`.
        into: where the files go; default: the first folder.
    """
    found, into = combined(folders), into or folders[0]
    if found is None:
        for name in FILES:
            (into / name).unlink(missing_ok=True)
        return None
    contents = (to_csv(found.table), to_csv(found.correlation), combined_markdown(found).encode())
    for name, content in zip(FILES, contents, strict=True):
        write_atomic(into / name, content)
    return found
