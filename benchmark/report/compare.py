"""Is the difference between two models real? Paired, with intervals, in words."""

from __future__ import annotations

from benchmark.errors import UnknownNameError
from benchmark.report.comparisons import Comparison
from benchmark.report.judgement.choice import judgement_of
from benchmark.results.base import Results


def compare(results: Results, a: str, b: str) -> list[Comparison]:
    """Every rate (or score) of two models, norms of minimal-norm attacks, every metric of explainers (no controls).

    Raises:
        UnknownNameError: a model that is not in the results.
    """
    for name in (a, b):
        if name not in results.models:
            raise UnknownNameError("model", name, results.models, str(results.store.folder))
    return judgement_of(results.task).comparisons(results, a, b)
