"""What each metric of a suite was found to be worth, in words: the verdicts that were measured (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmark.errors import UsageError
from benchmark.meta.settings import of_size
from benchmark.meta.verdicts import verdict
from benchmark.metrics.base import Metric, metrics
from benchmark.results.base import Results
from benchmark.spec.suite import SuiteSpec
from benchmark.tasks.base import tasks

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


CONFOUNDED = (
    "Faithfulness scores compare explainers on one network. Between networks they confound the network (how it takes to"
    " changed {}) with the explanation."
)


def direction(suite: SuiteSpec, stated: Mapping[str, Mapping[str, Any]], name: str) -> bool | None:
    """Whether higher is better by one of the suite's metrics; None where nothing is: its verdict is descriptive only.

    Args:
        suite: that has the metric.
        stated: the plan's metrics by name.
        name: of the metric.
    """
    better: bool | None = stated[name]["higher_is_better"]
    return None if verdict_on(suite, name) == "descriptive only" else better


def confounded(suites: Iterable[SuiteSpec], networks: int) -> list[str]:
    """The note that stands beside scores of several networks where some are of faithfulness; else nothing."""
    of = [suite for suite in suites if any(family_of(suite, m.name) == "faithfulness" for m in suite.metrics)]
    return [CONFOUNDED.format(tasks.lookup(of[0].task)[0].words.elements)] if networks > 1 and of else []


def soundness(results: Results) -> list[str]:
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
    """The verdict on one of the suite's metrics: for images of its size, else for 8x8 ones."""
    metric = metric_of(suite, name)
    if metric is None:
        return "not measured"
    here = verdict(metric, of_size(suite.dataset.size))
    return verdict(metric) if here == "not measured" else here
