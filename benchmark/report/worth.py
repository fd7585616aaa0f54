"""What each metric of a suite was found to be worth, in words: the verdicts that were measured (docs/metrics.md)."""

from __future__ import annotations

from benchmark.errors import UsageError
from benchmark.meta.verdicts import verdict
from benchmark.metrics.base import metrics
from benchmark.report.results import Results

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
        found.setdefault(verdict_on(results, probe.name), []).append(probe.name)
    return [f"{words}: {', '.join(found[words])}" for words in ORDER if words in found]


def family_of(results: Results, name: str) -> str:
    """The family of one of the suite's metrics; empty for a stranger's that is not here."""
    probe = next(probe for probe in results.suite.metrics if probe.name == name)
    try:
        return metrics.make(probe.use, probe.params).family
    except UsageError:
        return ""


def verdict_on(results: Results, name: str) -> str:
    """The verdict on one of the suite's metrics."""
    probe = next(probe for probe in results.suite.metrics if probe.name == name)
    try:
        return verdict(metrics.make(probe.use, probe.params))
    except UsageError:  # a stranger's metric that is not here
        return "not measured"
