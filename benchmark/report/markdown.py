"""leaderboard.md: every table of a suite's report on one page."""

from __future__ import annotations

import pandas as pd

from benchmark.report.columns import arrows, of_group, other_scores, own_names, query_names, shown_columns
from benchmark.report.curves import WORST, Curves, describe
from benchmark.report.drift import attacked_explanations, compact, says, shown
from benchmark.report.explainer_ranks import control_lines, explainer_ranks
from benchmark.report.explanations import explanation_remarks, one_method, scoring_lines, similarity
from benchmark.report.formats import markdown_texts, under
from benchmark.report.leaderboard import Leaderboard
from benchmark.report.settings_text import settings_lines
from benchmark.report.soundness import soundness
from benchmark.report.text import (
    MANY,
    PAGE,
    board_lines,
    cell_text,
    number,
    page_lines,
    plain_text,
    table_lines,
    transposed_lines,
)
from benchmark.reported import Extras
from benchmark.results.base import Results
from benchmark.results.heads import ROUNDED, SUCCESS
from benchmark.results.probes import published

SHOWN_ROWS = 40  # of an attack's own table, in leaderboard.md
RANKS = (
    "1 + the number of methods that are significantly better (Wilcoxon, paired over samples, Holm); `mean_rank` over"
    " the metrics that pass their controls (all with a direction, where none does). What is one method has one rank;"
    " controls have none."
)


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
    lines += [f"{name}: {plain_text(text)}." for name, text in data.get("facts", {}).items()]
    if suite.threat is not None:
        lines += [f"Headline threat model: {suite.threat.norm}, eps = {suite.threat.eps}{results.elsewhere}."]
    lines += [
        "Values in brackets are 95 % intervals; `?` marks a rate whose samples lack a verdict, with its two bounds."
    ]
    lead, names = Leaderboard.of(results, board), shown_columns(results, board)
    lines += ["", *board_lines(markdown_texts(lead, names), names), "", *under(lead)]
    others = other_scores(results, board)
    if others:
        lines += ["## At the other budgets", "", *page_lines(board, [*others, *data.get("facts", {})]), ""]
    success = of_group(results, board, SUCCESS, ROUNDED)
    if success:
        lines += ["## Attack success", "", "Of the samples that are right before the attack (`n_correct`)."]
        if of_group(results, board, ROUNDED):
            lines[-1] += " `asr_8bit`: still broken after the perturbed input is rounded to 8 bits."
        lines += [""]
        names = ["model", "n_correct", *success]
        lines += [*board_lines(markdown_texts(lead, names), names), ""]
    lines += _query_part(results, lead) + _curve_part(drawn)
    lines += _own_part(results, board, found or Extras())
    lines += [f"- {plain_text(fault)}" for fault in (found.faults if found else [])]
    for title, names in _own_tables(results, board).items():
        lines += [f"## {title}", "", *table_lines(board, ["model", *names]), ""] if len(names) <= MANY else []
    lines += _explain_part(results, explained)
    lines += _drift_part(results)
    reasons = results.reasons()
    if reasons:
        lines += ["## Failed and skipped", ""]
        lines += [f"- {label}: {status}: {plain_text(reason)}" for label, status, reason in reasons] + [""]
    lines += ["## Settings", "", *settings_lines(lead.settings[suite.name])]
    return "\n".join(lines).rstrip() + "\n"


def _own_tables(results: Results, board: pd.DataFrame) -> dict[str, list[str]]:
    """Heading to clean columns that stand in a table of their own."""
    found: dict[str, list[str]] = {}
    for column in results.task.columns(results.classes):
        if column.table and f"{column.name}_low" in board:
            found.setdefault(column.table, []).append(column.name)
    return found


def _drift_part(results: Results) -> list[str]:
    """What the attacks did to the attributions."""
    table = compact(attacked_explanations(results))
    if not len(table):
        return []
    lines = ["## Explanations under attack", "", says(table), "", *table_lines(table, shown(table)), ""]
    return [*lines, "The whole table: `explanations_attacked.csv`.", ""]


def _query_part(results: Results, lead: Leaderboard) -> list[str]:
    names = query_names(results, lead.frame)
    if not names:
        return []
    lines = ["## Queries", "", "Mean forwards a sample of the black-box attacks, over the samples right before.", ""]
    names = ["model", *names]
    return [*lines, *board_lines(markdown_texts(lead, names), names), ""]


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
        own = page_lines(board, names) if len(board) > MANY else transposed_lines(board, names)
        lines += ["## The attacks' own columns", "", *own, ""]
    beside = published(results, board)
    if len(beside):
        heads = ["model", "column", "ours", "published", "source"]
        lines += ["## Beside published figures", "", *table_lines(beside, heads), ""]
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
            lines += [*table_lines(table.head(SHOWN_ROWS), [name for name in every if name not in bounds]), ""]
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
    lines += [*table_lines(explained, ["model", "explainer", "control", *names], arrows(results)), ""]
    remarks = explanation_remarks(results)
    lines += [*[f"- {plain_text(line)}" for line in remarks], ""] if remarks else []
    lines += ["What these metrics are worth, as measured on other models (docs/metrics.md says how):", ""]
    lines += [*[f"- {line}" for line in soundness(results)], ""]
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
            lines += [*table_lines(ranked, ["model", "explainer", *columns[i : i + PAGE]], heads), ""]
    if controls:
        lines += ["### Explainers against controls", "", *[f"- {line}" for line in controls], ""]
    return lines
