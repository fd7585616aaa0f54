"""What each metric of a suite was found to be worth, in words: the verdicts that were measured (docs/metrics.md)."""

from __future__ import annotations

from benchmark.errors import UsageError
from benchmark.meta.verdicts import verdict
from benchmark.metrics.base import Metric, metrics
from benchmark.report.results import Results
from benchmark.spec.suite import SuiteSpec

ORDER = (
    "sound",
    "depends on baseline",
    "necessary, not sufficient",
    "axiom",
    "descriptive only",
    "not confirmed",
    "fails its controls",
    "not measured",
)


def worth(results: Results) -> list[str]:
    """One line a verdict, best first: the suite's metrics that have it."""
    found: dict[str, list[str]] = {}
    for probe in results.suite.metrics:
        found.setdefault(verdict_on(results.suite, probe.name), []).append(probe.name)
    return [f"{words}: {', '.join(found[words])}" for words in ORDER if words in found]


def metric_of(suite: SuiteSpec, name: str) -> Metric | None:
    """One of the suite's metrics; None where it has none of that name, or for a stranger's that is not here."""
    for probe in suite.metrics:
        if probe.name == name:
            try:
                return metrics.make(probe.use, probe.params)
            except UsageError:
                return None
    return None


def family_of(suite: SuiteSpec, name: str) -> str:
    """The family of one of the suite's metrics; empty where it is not known."""
    metric = metric_of(suite, name)
    return "" if metric is None else metric.family


def verdict_on(suite: SuiteSpec, name: str) -> str:
    """The verdict on one of the suite's metrics."""
    metric = metric_of(suite, name)
    return "not measured" if metric is None else verdict(metric)
