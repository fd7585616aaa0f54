"""What every view of a suite's results says, whoever it is handed to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.results.base import Results


@dataclass
class SuiteView:
    """Of one suite: its entries and classes, their clean rows and facts."""

    results: Results

    @property
    def models(self) -> Sequence[str]:
        """Entries with a row."""
        return self.results.models

    @property
    def classes(self) -> Sequence[str]:
        """Class names of the dataset."""
        return list(self.results.plan["dataset"]["classes"])

    def facts(self, model: str) -> Mapping[str, Any]:
        """Facts of an entry and of the data."""
        return self.results.facts(model)

    def clean(self, model: str) -> pd.DataFrame:
        """Clean rows of a model."""
        return self.results.clean(model)
