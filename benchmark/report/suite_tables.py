"""A suite's plan and leaderboard as files that a report wrote: enough to join and compare, without records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.report.judgement.base import Claim
from benchmark.report.judgement.choice import judgement_of
from benchmark.spec.suite import SuiteSpec
from benchmark.tasks.base import Task, tasks


@dataclass(frozen=True)
class SuiteTables:
    """What stands in ``results/<suite>``."""

    folder: Path
    plan: dict[str, Any]
    suite: SuiteSpec
    task: Task
    board: pd.DataFrame

    @property
    def name(self) -> str:
        """The suite's name, which is the folder's."""
        return self.folder.name

    @property
    def classes(self) -> list[str]:
        """Class names of the dataset."""
        return list(self.plan["dataset"]["classes"])

    @property
    def lead(self) -> str:
        """The column that ranks."""
        return judgement_of(self.task).headline(self.suite, self.task, self.classes)

    @property
    def claims(self) -> list[Claim]:
        """Columns that stand in a table over several suites."""
        return judgement_of(self.task).claims(self.suite, self.task, self.classes)

    def table(self, name: str) -> pd.DataFrame:
        """Another table of the folder, such as ``"explanations"``; empty where there is none."""
        return read_table(self.folder / f"{name}.csv")


def read_suite_tables(folder: Path) -> SuiteTables | None:
    """The files of a results folder; None where it has no plan or no leaderboard."""
    if not (folder / "leaderboard.csv").is_file() or not (folder / "plan.json").is_file():
        return None
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    suite = SuiteSpec.model_validate(plan["suite"])
    task = tasks.make(suite.task, suite.task_params)
    return SuiteTables(folder, plan, suite, task, pd.read_csv(folder / "leaderboard.csv", keep_default_na=True))


def read_table(file: Path) -> pd.DataFrame:
    """A CSV file, empty where there is none."""
    return pd.read_csv(file) if file.is_file() else pd.DataFrame()
