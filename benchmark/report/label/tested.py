"""One model in one suite: what its records say, by column, and which records say it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from math import isnan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import stats
from benchmark.accounts import Chapter
from benchmark.report.doubts import Flag
from benchmark.report.flags import flags
from benchmark.reported import Estimate, Words
from benchmark.results.base import Condition, Results, of_budget
from benchmark.results.probes import ProbeView, own_columns, views
from benchmark.results.scores import gates, score_budgets, score_columns
from benchmark.seeds import derive
from benchmark.sentences import Source
from benchmark.spec.budget import Budget
from benchmark.spec.suite import AttackProbe
from benchmark.store.record import last_line


class Tested:
    """One model in one suite: estimates by column, and the records behind them."""

    def __init__(self, results: Results, model: str) -> None:
        self.results, self.model = results, model
        self.name = results.store.folder.name
        self.suite, self.task = results.suite, results.task
        self.cells = results.cells[results.cells["model"] == model]
        self.classes: list[str] = list(results.plan["dataset"]["classes"])
        self.joined_with: tuple[Tested, ...] = ()
        self._joined: dict[tuple[str, Budget], pd.Series] = {}

    @property
    def words(self) -> Words:
        """How the task is spoken of."""
        return self.task.words

    @property
    def planned(self) -> int:
        """How many samples the plan asks of the model."""
        return self.results.planned(self.model)

    @property
    def samples(self) -> list[str]:
        """Ids of all planned samples."""
        return self.results.samples(self.model)

    @property
    def labels(self) -> NDArray[Any]:
        """(N,) true labels of the clean rows."""
        rows = self.results.clean(self.model)
        return rows["label"].to_numpy() if len(rows) else np.zeros(0)

    @property
    def data(self) -> str:
        """Digest of the data."""
        return str(self.results.plan["dataset"]["digest"])

    @property
    def reference(self) -> tuple[str, str]:
        """See :meth:`benchmark.tasks.base.Task.reference`."""
        return self.task.reference()

    @property
    def gate(self) -> tuple[bool, float, float] | None:
        """(passed, own mean, the reference's) of the accuracy gate; None without one."""
        gate = gates(self.results).get(self.model)
        return None if gate is None else (gate.passed, gate.own, gate.theirs)

    @property
    def budgets(self) -> list[Budget]:
        """Budgets of the headline threat model, smallest first."""
        return score_budgets(self.results)

    def threat(self, probe: str) -> dict[str, Any]:
        """Threat model of a probe, as the plan holds it."""
        return self.results.threat(probe)

    # -- records ----------------------------------------------------------------------------------------------

    def done(self, cells: pd.DataFrame) -> list[str]:
        """Hashes of those of these cells that have a finished record."""
        heads = self.results.heads
        return [cell for cell in cells["hash"] if cell in heads and heads[cell]["status"] == "done"]

    def clean_cells(self, model: str = "") -> list[str]:
        """Cells with the clean predictions of the model, or of another one of the suite."""
        cells = self.results.cells
        return self.done(cells[(cells["kind"] == "clean") & (cells["model"] == (model or self.model))])

    def headline_cells(self, eps: Budget) -> list[str]:
        """Clean cells, and those of every probe of the headline threat model's norm at a budget."""
        threat = self.suite.threat
        names = [p.name for p in self.results.of_norm(threat.norm)] if threat is not None else []
        cells = self.cells[(self.cells["kind"] == "attack") & self.cells["probe"].isin(names)]
        return self.clean_cells() + self.done(cells[of_budget(cells, eps)])

    def attack_cells(self, probe: str, eps: Budget | None = None, *, kinds: Sequence[str] = ("attack",)) -> list[str]:
        """Finished cells of a probe, of one budget (None: all), with what they were fitted on."""
        found = self.cells[self.cells["kind"].isin(kinds) & (self.cells["probe"] == probe)]
        own = self.results.own_source(self.model, probe)
        found = found[(found["source"] == own) | ~found["kind"].isin(["attack"])]
        if eps is not None:
            found = found[of_budget(found, eps) | of_budget(found, None)]
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
    def clean(self) -> dict[str, Estimate]:
        """Clean rates by column; empty without clean records."""
        rows = self.results.clean(self.model)
        found: dict[str, Estimate] = {}
        for column in self.task.columns(self.classes) if len(rows) else ():
            if column.statistic == "rate":
                values = pd.Series(np.asarray(column.values(rows), dtype=float), index=rows.index)
                found[column.name] = self.results.rate_of_known(self.model, values)
        return found

    @property
    def clean_column(self) -> str:
        """The column of the clean accuracy: the task's first."""
        return self.task.columns(self.classes)[0].name

    @property
    def clean_rate(self) -> Estimate | None:
        """The clean accuracy; None without clean records."""
        return self.clean.get(self.clean_column)

    @cached_property
    def means(self) -> dict[str, Estimate]:
        """Clean means, by column."""
        rows, found = self.results.clean(self.model), dict[str, Estimate]()
        for column in self.task.columns(self.classes) if len(rows) else ():
            values = np.asarray(column.values(rows), dtype=float)
            groups = self.results.groups(self.model, rows.index)
            statistic = "mean" if column.statistic == "rate" else column.statistic
            found[column.name] = stats.bootstrap(values, statistic, groups, derive("bootstrap", column.name))
        return found

    @cached_property
    def scores(self) -> dict[str, Estimate]:
        """Scores of a task without verdicts at each budget, by column."""
        return score_columns(self.results, self.model)

    @cached_property
    def own(self) -> dict[str, Estimate]:
        """What attacks declare of their own, by column."""
        return {head.name: estimate for head, estimate in own_columns(self.results, self.model)}

    def robust(self, probe: str, eps: Budget | None = None) -> tuple[str, Estimate]:
        """Column and rate of the samples that are right and stay so."""
        condition = Condition(probe, eps)
        outcome = self.results.outcome(self.model, condition)
        return f"{self.task.robust_name}_{condition.suffix}", self.results.rate(self.model, outcome)

    def broken(self, probe: str, eps: Budget | None = None, success: str = "success") -> tuple[str, Estimate]:
        """Column and rate of the right samples that are made wrong."""
        condition = Condition(probe, eps)
        outcome = self.results.outcome(self.model, condition, success)
        kind = "asr" if success == "success" else "asr_8bit"
        return f"{kind}_{condition.suffix}", self._of_right(outcome)

    def paired(self, one: NDArray[Any], other: NDArray[Any]) -> tuple[float, float]:
        """(difference, p) of two outcomes (N,), 1, 0 or NaN a planned sample: ``one`` minus ``other``."""
        found = stats.paired_rates(one, other, self.results.groups(self.model, self.samples))
        return found.difference, found.p

    # -- joined with other suites -----------------------------------------------------------------------------

    @property
    def group(self) -> tuple[Tested, ...]:
        """This suite and those that are joined with it."""
        return (self, *self.joined_with)

    def alike(self, other: Tested) -> bool:
        """Whether two suites judge one network on the same data, split, grid and domain: samples can be joined."""
        domains = {"image" if one.suite.threat is None else one.suite.threat.domain for one in (self, other)}
        same = [
            (one.results.plan["dataset"]["digest"], one.results.plan["entries"][one.model], one.suite.dataset.split)
            for one in (self, other)
        ]
        grids = [(one.suite.dataset.size, one.suite.dataset.channels, one.suite.task) for one in (self, other)]
        return same[0] == same[1] and grids[0] == grids[1] and len(domains) < 2

    def joined(self, norm: str, eps: Budget) -> pd.Series:
        """Right and broken by no attack of this norm within eps in any joined suite, of the samples of this one."""
        key = norm, eps
        if key not in self._joined:
            outcome = self.results.worst(self.model, norm, eps)
            for other in self.joined_with:
                rows = other.results.attack_rows(other.model, norm=norm)
                broken = other.results.broken(rows, eps, norm) if len(rows) else set()
                outcome[outcome.index.isin(list(broken))] = 0.0
            self._joined[key] = outcome
        return self._joined[key]

    def joined_sources(self, norm: str, eps: Budget) -> tuple[Source, ...]:
        """Records of the other suites whose attacks are joined in at a budget."""
        found = []
        for other in self.joined_with:
            probes = other.results.of_norm(norm)
            cells = [cell for probe in probes for cell in other.attack_cells(probe.name)]
            if cells:
                found.append(other.source(f"every attack at {norm} {eps}", 0, cells))
        return tuple(found)

    def speaker(self, norm: str, eps: Budget) -> Tested:
        """Of the joined suites the one whose samples a budget is told of: the worst of those with at least half as many
        samples as the largest; so that a handful of samples never outranks hundreds."""
        able = self._able(norm, eps)
        most = max((len(one.joined(norm, eps)) for one in able), default=0)
        large = [one for one in able if 2 * len(one.joined(norm, eps)) >= most]

        def order(one: Tested) -> tuple[float, int, bool, str]:
            rate = stats.rate(one.joined(norm, eps).to_numpy())
            return (rate.high if isnan(rate.value) else rate.value, -rate.n, one is not self, one.name)

        return min(large, key=order, default=self)

    def smaller(self, norm: str, eps: Budget) -> list[Tested]:
        """The joined suites that are too small to speak."""
        able = self._able(norm, eps)
        most = max((len(one.joined(norm, eps)) for one in able), default=0)
        return [one for one in able if 2 * len(one.joined(norm, eps)) < most]

    def _able(self, norm: str, eps: Budget) -> list[Tested]:
        """Joined suites that attacked at a budget."""
        return [one for one in self.group if one.results.required(norm, eps) and len(one.joined(norm, eps))]

    def own_worst(self, norm: str, eps: Budget) -> tuple[str, Estimate]:
        """As :meth:`robust`, against every attack of a norm in this suite alone."""
        threat = self.suite.threat
        headline = threat is not None and (threat.norm, threat.eps) == (norm, eps)
        column = f"{self.task.robust_name}_worst" if headline else f"(curve {norm} {eps})"
        return column, self.results.rate(self.model, self.results.worst(self.model, norm, eps))

    def worst(self, norm: str, eps: Budget) -> tuple[str, Estimate, Tested]:
        """As :meth:`robust`, against every attack of a norm in all joined suites; and whose samples it is of."""
        speaker = self.speaker(norm, eps)
        outcome = speaker.joined(norm, eps)
        if outcome.equals(speaker.results.worst(self.model, norm, eps)):
            return (*speaker.own_worst(norm, eps), speaker)
        return f"(joined {norm} {eps})", speaker.results.rate(self.model, outcome), speaker

    def worst_broken(self, norm: str, eps: Budget) -> tuple[str, Estimate, Tested]:
        """As :meth:`broken`, by every attack of a norm in all joined suites; of one attack, its own column."""
        speaker = self.speaker(norm, eps)
        probes = [p for p in speaker.breaking(norm) if eps in p.budgets]
        rate = speaker._of_right(speaker.joined(norm, eps))
        if len(probes) == 1:
            column, own = speaker.broken(probes[0].name, eps)
            if own == rate:
                return column, rate, speaker
        return f"(broken {norm} {eps})", rate, speaker

    def _of_right(self, outcome: pd.Series) -> Estimate:
        right = self.results.correct(self.model).reindex(outcome.index)
        return self.results.rate(self.model, 1 - outcome[right != 0])

    # -- probes -----------------------------------------------------------------------------------------------

    @cached_property
    def views(self) -> dict[str, ProbeView]:
        """Probes whose plugin is known here, by name."""
        return {view.name: view for view in views(self.results)}

    def ran(self, probe: str) -> bool:
        """Whether any record of a probe on this model is there."""
        return bool(self.probe_cells(probe))

    @cached_property
    def chapters(self) -> dict[Chapter, list[ProbeView]]:
        """What families of attacks say, in order, each with its probes that ran."""
        found: dict[Chapter, list[ProbeView]] = {}
        for view in self.views.values():
            if view.attack.says is not None and self.ran(view.name):
                found.setdefault(view.attack.says, []).append(view)
        return dict(sorted(found.items(), key=lambda item: item[0].order))

    def breaking(self, norm: str, *, control: bool = False) -> list[AttackProbe]:
        """Probes of a norm that ran and search each sample's own change; or the controls of that norm."""
        found = [p for p in self.results.of_norm(norm) if self.ran(p.name) and self._searches(p.name)]
        found = [p for p in found if self.results.threat(p.name).get("breaks", True)]
        return [p for p in found if bool(self.results.threat(p.name).get("control")) == control]

    def _searches(self, probe: str) -> bool:
        return probe not in self.views or self.views[probe].attack.searches

    @cached_property
    def flags(self) -> list[Flag]:
        """What makes a claim about this model doubtful."""
        return [flag for flag in flags(self.results) if flag.model == self.model]

    @property
    def doubted(self) -> bool:
        """Whether this evaluation, or one that is joined with it, is itself in doubt."""
        return any(one.flags for one in self.group)

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
