"""Which records were made by another version of a plugin than the one that stands here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.attacks.base import attacks
from benchmark.errors import UsageError
from benchmark.explainers.base import explainers
from benchmark.metrics.base import metrics
from benchmark.tasks.base import tasks


@dataclass(frozen=True)
class Outdated:
    """A probe, metric or task of a plan whose implementation here is another one."""

    name: str
    recorded: str
    here: str

    @property
    def words(self) -> str:
        """One line for people."""
        return (
            f"{self.name}: these records are of version {self.recorded}, here is {self.here};"
            " assay run computes them again"
        )

    @property
    def own(self) -> bool:
        """Assay's own implementation changed, not only a library's version."""
        return self.recorded.partition("+")[0] != self.here.partition("+")[0]


def outdated(plan: Mapping[str, Any]) -> list[Outdated]:
    """Probes, metrics and the task of a plan that would be computed again here, in the plan's order.

    A plugin that is unknown here (it came with ``--include``) is left out.
    """
    suite, known = plan["suite"], plan.get("versions", {})
    makers: list[tuple[str, str, Callable[[], Any]]] = []
    for probe in suite.get("attacks", ()):
        stated = {key: probe[key] for key in ("norm", "kind") if probe.get(key) is not None}
        makers.append((probe["name"], "", lambda p=probe, s=stated: attacks.make(p["use"], {**p["params"], **s})))  # type: ignore[misc]
    for registry, key in ((explainers, "explainers"), (metrics, "metrics")):
        for probe in suite.get(key, ()):
            makers.append((probe["name"], "", lambda r=registry, p=probe: r.make(p["use"], p["params"])))  # type: ignore[misc]
    task = plan.get("task", {})
    if "version" in task:
        makers.append((f"task {task['use']}", task["version"], lambda: tasks.make(task["use"], task["params"])))
    found = []
    for name, version, make in makers:
        recorded = version or known.get(name)
        try:
            here = make().implementation()
        except UsageError:
            continue
        if recorded is not None and recorded != here:
            found.append(Outdated(name, recorded, here))
    return found
