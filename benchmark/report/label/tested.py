"""One model in one suite: what its records say, by column, and which records say it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property

import numpy as np
import pandas as pd

from benchmark.report import stats
from benchmark.report.flags import Flag, flags
from benchmark.report.label.facts import Source
from benchmark.report.probes import ProbeView, own_columns, views
from benchmark.report.results import Condition, Results
from benchmark.spec.suite import AttackProbe
from benchmark.store.record import last_line

OTHERS = ("universal", "structure")  # one change for all images, or along one known direction: said elsewhere


class Tested:
    """One model in one suite: estimates by column, and the records behind them."""

    def __init__(self, results: Results, model: str) -> None:
        self.results, self.model = results, model
        self.name = results.store.folder.name
        self.suite, self.task = results.suite, results.task
        self.cells = results.cells[results.cells["model"] == model]
        self.classes: list[str] = list(results.plan["dataset"]["classes"])

    # -- records ----------------------------------------------------------------------------------------------

    def done(self, cells: pd.DataFrame) -> list[str]:
        """Hashes of those of these cells that have a finished record."""
        heads = self.results.heads
        return [cell for cell in cells["hash"] if cell in heads and heads[cell]["status"] == "done"]

    def clean_cells(self) -> list[str]:
        """Cells with the model's clean predictions."""
        return self.done(self.cells[self.cells["kind"] == "clean"])

    def attack_cells(self, probe: str, eps: Fraction | None = None, *, kinds: Sequence[str] = ("attack",)) -> list[str]:
        """Finished cells of a probe, of one budget (None: all), with what they were fitted on."""
        found = self.cells[self.cells["kind"].isin(kinds) & (self.cells["probe"] == probe)]
        own = self.results.own_source(self.model, probe)
        found = found[(found["source"] == own) | ~found["kind"].isin(["attack"])]
        if eps is not None:
            found = found[(found["eps"] == str(eps)) | found["eps"].isna()]
        return self.done(found)

    def probe_cells(self, probe: str) -> list[str]:
        """All finished cells of a probe on this model."""
        return self.done(self.cells[self.cells["probe"] == probe])

    def source(self, probe: str, n: int, cells: Sequence[str], columns: Sequence[str] = ()) -> Source:
        """The records of these cells as a source."""
        heads = [self.results.heads[cell] for cell in dict.fromkeys(cells)]
        pairs = tuple((str(head["hash"]), str(head.get("rows", {}).get("sha256", ""))) for head in heads)
        dates = [str(head.get("provenance", {}).get("date", "")) for head in heads]
        return Source(self.name, probe, n, pairs, tuple(columns), max(dates, default=""))

    def plan_source(self, words: str) -> Source:
        """The plan itself, where a sentence speaks of what was (not) asked for."""
        content = (self.results.store.folder / "plan.json").read_bytes()
        return Source(self.name, words, 0, (("plan.json", hashlib.sha256(content).hexdigest()),), (), self.date)

    @cached_property
    def date(self) -> str:
        """Of the newest record of this model here."""
        heads = self.results.heads
        dates = [heads[c].get("provenance", {}).get("date", "") for c in self.cells["hash"] if c in heads]
        return max((str(date) for date in dates), default="")

    # -- estimates --------------------------------------------------------------------------------------------

    @cached_property
    def clean(self) -> dict[str, stats.Estimate]:
        """Clean rates by column; empty without clean records."""
        rows = self.results.clean(self.model)
        found: dict[str, stats.Estimate] = {}
        for column in self.task.columns(self.classes) if len(rows) else ():
            if column.statistic == "rate":
                values = pd.Series(np.asarray(column.values(rows), dtype=float), index=rows.index)
                found[column.name] = self.results.rate_of_known(self.model, values)
        return found

    @cached_property
    def own(self) -> dict[str, stats.Estimate]:
        """What attacks declare of their own, by column."""
        return dict(own_columns(self.results, self.model))

    def robust(self, condition: Condition) -> tuple[str, stats.Estimate]:
        """Column and rate of the samples that are right and stay so."""
        outcome = self.results.outcome(self.model, condition)
        return f"{self.task.robust_name}_{condition.suffix}", self.results.rate(self.model, outcome)

    def broken(self, condition: Condition, success: str = "success") -> tuple[str, stats.Estimate]:
        """Column and rate of the right samples that are made wrong."""
        outcome = self.results.outcome(self.model, condition, success)
        kind = "asr" if success == "success" else "asr_8bit"
        return f"{kind}_{condition.suffix}", self._of_right(outcome)

    def worst(self, norm: str, eps: Fraction) -> tuple[str, stats.Estimate]:
        """As :meth:`robust`, against every attack of a norm together."""
        rate = self.results.rate(self.model, self.results.worst(self.model, norm, eps))
        threat = self.suite.threat
        headline = threat is not None and (threat.norm, threat.eps) == (norm, eps)
        return (f"{self.task.robust_name}_worst" if headline else f"(curve {norm} {eps})"), rate

    def worst_broken(self, norm: str, eps: Fraction) -> tuple[str, stats.Estimate]:
        """As :meth:`broken`, by every attack of a norm together; of one attack, its own column."""
        probes = [p for p in self.breaking(norm) if eps in p.budgets]
        rate = self._of_right(self.results.worst(self.model, norm, eps))
        if len(probes) == 1:
            column, own = self.broken(Condition(probes[0].name, eps))
            if own == rate:
                return column, rate
        return f"(broken {norm} {eps})", rate

    def _of_right(self, outcome: pd.Series) -> stats.Estimate:
        right = self.results.correct(self.model).reindex(outcome.index)
        return self.results.rate(self.model, 1 - outcome[right != 0])

    # -- probes -----------------------------------------------------------------------------------------------

    @cached_property
    def views(self) -> dict[str, ProbeView]:
        """Probes whose plugin is known here, by name."""
        return {view.name: view for view in views(self.results)}

    def ran(self, probe: AttackProbe) -> bool:
        """Whether any record of a probe on this model is there."""
        return bool(self.probe_cells(probe.name))

    def breaking(self, norm: str, *, control: bool = False) -> list[AttackProbe]:
        """Probes of a norm that ran and search each image's own change; or the controls of that norm."""
        found = [p for p in self.results.of_norm(norm) if self.ran(p) and not p.use.startswith(OTHERS)]
        found = [p for p in found if self.results.threat(p.name).get("breaks", True)]
        return [p for p in found if bool(self.results.threat(p.name).get("control")) == control]

    @cached_property
    def flags(self) -> list[Flag]:
        """What makes a claim about this model doubtful."""
        return [flag for flag in flags(self.results) if flag.model == self.model]

    def not_done(self) -> tuple[dict[str, int], list[str]]:
        """Cells that failed, were skipped or are missing; and the first reasons."""
        heads, counts = self.results.heads, {"failed": 0, "skipped": 0, "missing": 0}
        reasons: dict[str, None] = {}
        for cell in self.cells["hash"]:
            status = str(heads[cell]["status"]) if cell in heads else "missing"
            if status != "done":
                counts[status] += 1
                if cell in heads and not heads[cell].get("blocked"):
                    reasons[last_line(str(heads[cell]["reason"]))] = None
        return counts, list(reasons)
