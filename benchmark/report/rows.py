"""The leaderboard: a row a model, from plan and records alone."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from benchmark import stats
from benchmark.registry import digest
from benchmark.report.flags import flag_names
from benchmark.report.judgement.choice import judgement_of
from benchmark.results.base import Results
from benchmark.results.heads import Head, Row
from benchmark.results.probes import own_columns, summary_columns


@lru_cache(maxsize=4)
def rows_of(results: Results) -> tuple[Row, ...]:
    """A row a model, in the plan's order."""
    return tuple(_row(results, model) for model in results.models)


@lru_cache(maxsize=4)
def heads_of(results: Results) -> dict[str, Head]:
    """What each column says, of those that are numbers."""
    return {name: head for row in rows_of(results) for name, head in row.heads.items()}


def leaderboard(results: Results) -> pd.DataFrame:
    """One row a model, best first: rates and norms with 95 % intervals, rank, counts, digests."""
    judgement = judgement_of(results.task)
    table = pd.DataFrame([dict(row) for row in rows_of(results)])
    ranked = stats.ranks_of(*pairs(results))
    names = flag_names(results)
    table.insert(1, "rank", pd.Series([ranked.get(model) for model in table["model"]], dtype="Int64"))
    table.insert(3, "flags", [" ".join(names.get(model, ())) for model in table["model"]])
    headline = headline_column(results)
    for name, values in judgement.across(results, table, headline).items():
        table.insert(4, name, values)
    ascending = [True, True, judgement.smallest_first, True]
    table = table.assign(_unranked=table["rank"].isna())
    table = table.sort_values(["_unranked", "rank", headline, "model"], ascending=ascending, kind="stable")
    return table.drop(columns="_unranked").reset_index(drop=True)


def headline_column(results: Results) -> str:
    """Name of the column that ranks: the worst case in the headline threat model, else the clean one."""
    return judgement_of(results.task).headline(results.suite, results.task, results.classes)


def pairs(results: Results) -> tuple[list[str], list[stats.Pair]]:
    """Models that have a rank, and every pair of them on the headline column, corrected by Holm."""
    return judgement_of(results.task).pairs(results)


def pair_words(results: Results) -> list[str]:
    """What the data decide between models, a line each; and which models have no rank."""
    return judgement_of(results.task).pair_words(results)


def _row(results: Results, model: str) -> Row:
    row = Row(model=model, n=results.planned(model), **results.facts(model))
    judgement_of(results.task).fill(results, model, row)
    for head, estimate in own_columns(results, model):
        row.put(head, estimate)
        row.count(f"n_{head.name}", estimate.n)
    for head, estimate in summary_columns(results, model):
        row.put(head, estimate)
    row |= results.counts(model)
    row["entry_digest"] = results.plan["entries"][model]
    row["dataset_digest"] = results.plan["dataset"]["digest"]
    cells = results.cells[results.cells["model"] == model]["hash"]
    row["records_digest"] = digest([[cell, cell in results.heads] for cell in cells])
    return row


def verified_words(results: Results) -> list[str]:
    """How many returned inputs the verifier judged; empty where there are none."""
    judged, outside, lost = results.verified()
    return [f"{judged:,} returned inputs verified: {outside} out of budget, {lost} not finite."] if judged else []
