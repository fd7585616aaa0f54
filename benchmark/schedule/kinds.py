"""What goes together: a suite's task with its data, entries, attacks, explainers and metrics, before anything is read.

Everything says by itself what it is or takes (:mod:`benchmark.inputs`); here no kind is known by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.attacks.base import attacks
from benchmark.data.base import datasets
from benchmark.errors import EntryError, SpecError
from benchmark.explainers.base import explainers
from benchmark.inputs import kinds, takes
from benchmark.metrics.base import metrics
from benchmark.schedule.request import PlannedEntry
from benchmark.spec.suite import SuiteSpec
from benchmark.tasks.base import tasks

Asked = tuple[str, str, str, Sequence[str]]


def check_kinds(suite: SuiteSpec, entries: Sequence[PlannedEntry]) -> None:
    """Refuse what does not fit the suite's task.

    Raises:
        EntryError: an entry made for another task.
        SpecError: a dataset of another kind than the task's, or an attack, explainer or metric that does not accept it.
        UnknownNameError: no such plugin.
    """
    for entry in entries:
        if entry.task != suite.task:
            raise EntryError(
                f"entry {entry.name!r} is made for the task {entry.task!r}, suite {suite.name!r} asks for"
                f" {suite.task!r}; leave it out with --models, or choose another suite"
            )
    inputs, data = tasks.lookup(suite.task)[0].inputs, datasets.lookup(suite.dataset.use)[0].inputs
    asks = f"the task {suite.task!r} asks with {inputs!r}"
    if data != inputs:
        raise SpecError(
            f"suite {suite.name!r}, dataset {suite.dataset.label!r}: {suite.dataset.use!r} holds {data!r}, {asks};"
            f" name a dataset that holds {inputs!r} (assay list datasets), or another task"
        )
    for kind, name, use, accepts in _probes(suite):
        if not takes(accepts, inputs):
            raise SpecError(
                f"suite {suite.name!r}, {kind} {name!r}: {use!r} accepts {kinds(accepts)}, {asks};"
                f" remove it, or use one that accepts {inputs!r} (assay list {kind}s)"
            )


def _probes(suite: SuiteSpec) -> Iterator[Asked]:
    """Kind, label, plugin and accepted inputs of everything that is given the task's inputs."""
    for attack in suite.attacks:
        yield "attack", attack.name, attack.use, attacks.lookup(attack.use)[0].accepts
    for explainer in suite.explainers:
        yield "explainer", explainer.name, explainer.use, explainers.lookup(explainer.use)[0].accepts
    for metric in suite.metrics:
        yield "metric", metric.name, metric.use, metrics.lookup(metric.use)[0].accepts
