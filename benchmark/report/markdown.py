"""leaderboard.md, and how a table's cells read, in the terminal too."""

from __future__ import annotations

import re
from math import isnan
from typing import Any

import pandas as pd

from benchmark.attacks.base import Extras
from benchmark.report.curves import WORST, Curves, describe
from benchmark.report.drift import SAYS, SHOWN, attacked_explanations, compact
from benchmark.report.explainer_ranks import control_lines, explainer_ranks
from benchmark.report.explanations import one_method, scoring_lines, similarity
from benchmark.report.flags import flags
from benchmark.report.leaderboard import verdicts
from benchmark.report.probes import declared, published, unshown
from benchmark.report.results import Results
from benchmark.report.scores import score_budgets, score_name
from benchmark.report.worth import worth
from benchmark.spec.suite import AttackProbe, SuiteSpec

WIDE = 16  # columns of a table that fit a page
MANY = 8  # models that fit beside one another
PAGE = 10  # columns of a page where there are many models
SHOWN_ROWS = 40  # of an attack's own table, in leaderboard.md
RANKS = (
    "1 + the number of methods that are significantly better (Wilcoxon, paired over samples, Holm); `mean_rank` over"
    " the metrics that pass their controls (all with a direction, where none does). What is one method has one rank;"
    " controls have none."
)


def number(value: Any, low: Any = None, high: Any = None) -> str:
    """``0.960 [0.933, 0.976]``; a blank with its bounds where samples have no verdict; ``–`` for nothing."""
    if value is None or pd.isna(value):
        if low is None or pd.isna(low):
            return "–"
        return f"? [{low:.3f}, {high:.3f}]"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    text = "0.000" if text == "-0.000" else text
    return text if low is None or isnan(low) else f"{text} [{low:.3f}, {high:.3f}]"


def shown_columns(results: Results, board: pd.DataFrame) -> list[str]:
    """The columns that fit a page: rates and norms without their interval columns, and the counts that are not 0."""
    hidden = unshown(results)
    if not results.task.verdicts:
        return score_names(results, board)
    names = [name for name in board.columns if f"{name}_low" in board.columns and not name.startswith("asr_")]
    names = [name for name in names if not name.startswith(("precision_", "recall_")) and f"n_{name}" not in board]
    names += [name for name in board.columns if name.startswith("median_") and f"{name}_low" in board.columns]
    names = [name for name in names if name not in hidden]
    counts = [name for name in ("failed", "skipped", "missing", "nan", "out_of_budget") if board[name].sum()]
    flagged = ["flags"] if board["flags"].any() else []
    return ["model", "rank", "n", *flagged, *names, *counts]


def score_names(results: Results, board: pd.DataFrame) -> list[str]:
    """Of a task that judges by numbers: rank, gate, the scores at the headline's budget, what is clean, facts."""
    threat, scores = results.suite.threat, results.task.scores()
    at = [score_name(score, threat.eps) for score in scores] if threat is not None else []
    clean = [column.name for column in results.task.columns(results.plan["dataset"]["classes"])]
    facts = [name for model in results.models for name in results.facts(model)]
    counts = [name for name in ("failed", "skipped", "missing", "nan", "out_of_budget") if board[name].sum()]
    spread = ["seed_spread"] if board["seed_spread"].notna().any() else []
    names = ["model", "rank", "gate", *at, *clean, *spread, *dict.fromkeys(facts), *counts]
    return [name for name in dict.fromkeys(names) if name in board]


def other_scores(results: Results, board: pd.DataFrame) -> list[str]:
    """Scores at the other budgets."""
    if results.task.verdicts:
        return []
    names = [score_name(score, eps) for score in results.task.scores() for eps in score_budgets(results)]
    shown = score_names(results, board)
    return [name for name in names if name in board and name not in shown]


def own_names(results: Results, board: pd.DataFrame) -> list[str]:
    """Columns that the suite's attacks declare of their own, to be shown."""
    hidden = unshown(results)
    names = dict.fromkeys(name for name, _, _, _ in declared(results))
    return [name for name in names if name in board and name not in hidden]


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


def _board(board: pd.DataFrame, names: list[str]) -> list[str]:
    """A table of the leaderboard; where it would be too wide for a page, a row a column and a column a model."""
    if len(names) <= WIDE:
        return _table(board, names)
    if len(board) > MANY:
        return _pages(board, names[1:])
    return _transposed(board, names[1:])


def _pages(board: pd.DataFrame, names: list[str]) -> list[str]:
    """Many models and many columns: some columns at a time."""
    parts = [names[i : i + PAGE] for i in range(0, len(names), PAGE)]
    return [line for part in parts for line in [*_table(board, ["model", *part]), ""]][:-1]


def _transposed(board: pd.DataFrame, names: list[str]) -> list[str]:
    """A row a column of the leaderboard, and a column a model."""
    rows = [[name, *[cell_text(row, name) for _, row in board.iterrows()]] for name in names]
    lines = ["| column | " + " | ".join(board["model"]) + " |", "|" + "---|" * (len(board) + 1)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def arrows(results: Results) -> dict[str, str]:
    """Metric column to its heading with the direction that is better."""
    marks = {True: " ↑", False: " ↓", None: ""}
    return {
        name.replace("-", "_"): name.replace("-", "_") + marks[metric["higher_is_better"]]
        for name, metric in results.plan["metrics"].items()
    }


def markdown(
    results: Results,
    board: pd.DataFrame,
    explained: pd.DataFrame,
    found: Extras | None = None,
    drawn: Curves | None = None,
) -> str:
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
    lines += [f"{name}: {_plain(text)}." for name, text in data.get("facts", {}).items()]
    if suite.threat is not None:
        lines += [f"Headline threat model: {suite.threat.norm}, eps = {suite.threat.eps}{_where(suite)}."]
    lines += [
        "Values in brackets are 95 % intervals; `?` marks a rate whose samples lack a verdict, with its two bounds."
    ]
    lines += ["", *_board(board, shown_columns(results, board)), "", *[f"- {line}" for line in verdicts(results)], ""]
    lines += _flag_part(results)
    others = other_scores(results, board)
    if others:
        lines += ["## At the other budgets", "", *_pages(board, [*others, *data.get("facts", {})]), ""]
    hidden = unshown(results)
    success = [name for name in board.columns if name.startswith("asr_") and f"{name}_low" in board.columns]
    success = [name for name in success if name not in hidden]
    if success:
        lines += ["## Attack success", "", "Of the samples that are right before the attack (`n_correct`)."]
        if any(name.startswith("asr_8bit_") for name in success):
            lines[-1] += " `asr_8bit`: still broken after the perturbed input is rounded to 8 bits."
        lines += [""]
        lines += [*_board(board, ["model", "n_correct", *success]), ""]
    lines += _query_part(results, board) + _curve_part(drawn)
    lines += _own_part(results, board, found or Extras())
    lines += [f"- {_plain(fault)}" for fault in (found.faults if found else [])]
    classes = [name for name in board.columns if name.startswith(("precision_", "recall_")) and f"{name}_low" in board]
    if 0 < len(classes) <= 8:
        lines += ["## Per class", "", *_table(board, ["model", *classes]), ""]
    lines += _explain_part(results, explained)
    lines += _drift_part(results)
    reasons = results.reasons()
    if reasons:
        lines += ["## Failed and skipped", ""]
        lines += [f"- {label}: {status}: {_plain(reason)}" for label, status, reason in reasons] + [""]
    lines += ["## Probes", ""]
    lines += [
        f"- `{probe.name}`: {probe.use}{_library(results, probe.name)}, {_settings(probe.params)}"
        + (f", budgets {', '.join(str(eps) for eps in probe.budgets)}" if probe.budgets else "")
        + _fitted_on(probe, suite)
        for probe in suite.attacks
    ]
    lines += [f"- `{probe.name}`: {probe.use}, {_settings(probe.params)}" for probe in suite.explainers]
    lines += [f"- `{metric.name}`: {metric.use}, {_settings(metric.params)}" for metric in suite.metrics]
    return "\n".join(lines) + "\n"


def _where(suite: SuiteSpec) -> str:
    """Where else than on the image the perturbation lives."""
    domain = suite.threat.domain if suite.threat is not None else "image"
    return "" if domain == "image" else f" of the {domain}'s norm"


def _fitted_on(probe: AttackProbe, suite: SuiteSpec) -> str:
    """What an attack was fitted on, where the suite says so."""
    said = f", fitted on {probe.fit_samples} samples of `{suite.dataset.fit_split}`" if probe.fit_samples else ""
    said += f", fitted on {probe.source}" if probe.source else ""
    return said + (", judged on every entry" if probe.transfer else "")


def _flag_part(results: Results) -> list[str]:
    raised = flags(results)
    if not raised:
        return []
    lines = ["Flags: what in this evaluation makes a robustness claim doubtful.", ""]
    return [*lines, *[f"- {flag.model}: **{flag.name}**: {_plain(flag.words)}" for flag in raised], ""]


def _drift_part(results: Results) -> list[str]:
    """What the attacks did to the attributions."""
    table = compact(attacked_explanations(results))
    if not len(table):
        return []
    lines = ["## Explanations under attack", "", SAYS, "", *_table(table, list(SHOWN)), ""]
    return [*lines, "The whole table: `explanations_attacked.csv`.", ""]


def query_names(results: Results, board: pd.DataFrame) -> list[str]:
    """Columns of mean queries, to be shown."""
    names = [name for name in board.columns if name.startswith("queries_") and f"{name}_low" in board.columns]
    hidden = unshown(results)
    return [name for name in names if name not in hidden]


def _query_part(results: Results, board: pd.DataFrame) -> list[str]:
    names = query_names(results, board)
    if not names:
        return []
    lines = ["## Queries", "", "Mean forwards a sample of the black-box attacks, over the samples right before.", ""]
    return [*lines, *_board(board, ["model", *names]), ""]


def _curve_part(drawn: Curves | None) -> list[str]:
    """Pictures, then areas and optimality: a row an attack, two columns a model."""
    if drawn is None or not len(drawn.areas):
        return []
    lines = ["## Accuracy against budget", ""]
    for stem in drawn.figures:
        lines += [f"![{stem.replace('_', ' ')}](figures/{stem}.png)", ""]
    lines += ["Area under the curve; in italics the optimality against the best of all attacks run (1: as good). "]
    lines[-1] += " ".join(describe(drawn.areas))
    models = list(dict.fromkeys(drawn.areas["model"]))
    lines += ["", "| norm | attack | " + " | ".join(models) + " |", "|" + "---|" * (len(models) + 2)]
    for (norm, attack), part in drawn.areas.groupby(["norm", "attack"], sort=False):
        row = part.set_index("model")
        cells = [f"{cell_text(row.loc[m], 'area')}, *{number(float(row.loc[m, 'optimality']))}*" for m in models]
        lines += [f"| {norm} | {'all together' if attack == WORST else attack} | " + " | ".join(cells) + " |"]
    return [*lines, ""]


def _own_part(results: Results, board: pd.DataFrame, found: Extras) -> list[str]:
    """Attacks' own columns (transposed: there may be many), published figures, tables and pictures."""
    lines: list[str] = []
    names = own_names(results, board)
    if names:
        names += list(results.plan["dataset"].get("facts", {}))
        own = _pages(board, names) if len(board) > MANY else _transposed(board, names)
        lines += ["## The attacks' own columns", "", *own, ""]
    beside = published(results, board)
    if len(beside):
        heads = ["model", "column", "ours", "published", "source"]
        lines += ["## Beside published figures", "", *_table(beside, heads), ""]
    for stem in dict.fromkeys([*found.tables, *found.captions, *found.figures]):  # the same order in a clone
        kept = results.store.folder / "figures" / f"{stem}.png"  # a clone has the picture, not what it is drawn from
        picture = stem in found.figures or kept.is_file()
        if not picture and stem not in found.tables:
            continue
        lines += [f"## {stem.replace('_', ' ').capitalize()}", "", found.captions.get(stem, ""), ""]
        lines += [f"![{stem.replace('_', ' ')}](figures/{stem}.png)", ""] if picture else []
        if stem in found.tables:
            table = found.shown.get(stem, found.tables[stem])
            every = [str(name) for name in table]
            bounds = {f"{name}_{side}" for name in every for side in ("low", "high")}
            lines += [*_table(table.head(SHOWN_ROWS), [name for name in every if name not in bounds]), ""]
            short = len(table) > SHOWN_ROWS or stem in found.shown
            lines += [f"The whole table: `{stem}.csv`.", ""] if short else []
    return lines


def _explain_part(results: Results, explained: pd.DataFrame) -> list[str]:
    """Scores, which explainers are one method, their ranks, and which metrics tell them from the controls."""
    if not len(explained):
        return []
    names = [name.replace("-", "_") for name in results.plan["metrics"]]
    lines = ["## Explanations", "", "Means over samples; an arrow says which direction is better.", ""]
    for said in scoring_lines(results):
        lines[2] += f" {said}"
    lines += [*_table(explained, ["model", "explainer", "control", *names], arrows(results)), ""]
    lines += ["What these metrics are worth, as measured on other models (docs/metrics.md says how):", ""]
    lines += [*[f"- {line}" for line in worth(results)], ""]
    alike, ranked, controls = one_method(results), explainer_ranks(results), control_lines(results)
    if len(similarity(results)):
        lines += [f"- {line}" for line in alike or ["No two explainers are one method here."]]
        lines += ["", "Mean rank correlation of their attributions (Spearman) above 0.99, either sign: one method."]
        lines[-1] += " All pairs: `explainer_similarity.csv`."
        lines += [""]
    if len(ranked):
        heads = {str(name): str(name).removeprefix("rank_") for name in ranked}
        lines += ["### Ranks of explainers", "", RANKS, ""]
        columns = [str(name) for name in ranked if name not in ("model", "explainer")]
        for i in range(0, len(columns), PAGE):
            lines += [*_table(ranked, ["model", "explainer", *columns[i : i + PAGE]], heads), ""]
    if controls:
        lines += ["### Explainers against controls", "", *[f"- {line}" for line in controls], ""]
    return lines


def _library(results: Results, name: str) -> str:
    """The library that does the work with its version, in brackets; empty for own code."""
    library = results.plan.get("versions", {}).get(name, "").partition("+")[2]
    return f" ({library})" if library else ""


def _settings(params: dict[str, Any]) -> str:
    return _plain(", ".join(f"{key} = {value}" for key, value in params.items())) or "default settings"


def _plain(text: str) -> str:
    """Text that markdown and HTML show as it is."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("`", "'")
    return re.sub(r"([\\|\[\]*])", r"\\\1", text)
