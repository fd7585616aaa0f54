"""SpRAy of any model and class of a finished run, whether its suite has the metric or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UnknownNameError, UsageError
from benchmark.intervals import auc_interval
from benchmark.metrics.spray.clusters import analyse, pooled
from benchmark.metrics.spray.picture import Shown, by_suspicion, draw, of_class
from benchmark.report.text import number
from benchmark.results.base import Results
from benchmark.results.explained import attributions, samples_at_hand

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Sprayed:
    """One class of one model under one explainer: what is drawn and said of it."""

    explainer: str
    number: int
    shown: Shown

    def draw(self) -> Figure:
        """The picture."""
        return draw(self.shown)

    @property
    def words(self) -> str:
        """The picture in a sentence, which the file holds as its description."""
        return f"SpRAy of {self.shown.title}: " + "; ".join(self.lines[1:])

    @property
    def lines(self) -> list[str]:
        """What is found, for people: each cluster, then the diagnostics."""
        spectrum, carries = self.shown.spectrum, self.shown.carries
        found = [f"{self.shown.title}: {len(spectrum.clusters)} heatmaps"]
        for cluster in by_suspicion(spectrum):
            at = spectrum.clusters == cluster
            line = f"cluster {cluster}: n = {int(at.sum())}, mean suspicion {spectrum.suspicion[at].mean():.3f}"
            found.append(line if carries is None else f"{line}, {int(carries[at].sum())} carry the known artefact")
        if carries is not None and 0 < carries.sum() < len(carries):
            value, low, high = auc_interval(spectrum.suspicion, carries)
            found.append(f"detection AUC of the suspicion {number(value, low, high)}")
        found.append(
            f"diagnostics only: silhouette {spectrum.silhouette:.3f}, eigengap {spectrum.eigengap:.3f}"
            " (they do not tell a Clever Hans from an honest model)"
        )
        return found


def spray_of(
    results: Results,
    model: str,
    explainer: str = "",
    class_: str = "",
    *,
    neighbours: int = 10,
    pool: int = 16,
    where: Mapping[str, Path] | None = None,
) -> Sprayed:
    """Cluster the heatmaps of one class.

    Args:
        results: of the suite.
        model: one of its entries.
        explainer: one of its explainers; "": the first.
        class_: name or number of the explained class; "": that with the most suspicious cluster.
        neighbours, pool: see the metric ``spray``.
        where: paths given by ``--data``.

    Raises:
        UnknownNameError: no such model, explainer or class in the suite.
        UsageError: the attributions are not at hand, or no class has enough of them.
    """
    name = results.suite.name
    probes = [probe.name for probe in results.suite.explainers]
    if model not in results.models:
        raise UnknownNameError("model", model, results.models, f"suite {name}")
    if not probes:
        raise UsageError(f"suite {name!r} has no [[explainers]]: add one and run it, then spray its heatmaps")
    chosen = explainer or probes[0]
    if chosen not in probes:
        raise UnknownNameError("explainer", chosen, probes, f"suite {name}")
    known = attributions(results, model, chosen)
    if known is None:
        raise UsageError(
            f"no attributions of {model} by {chosen!r} under {results.store.artefacts}: records hold none (a clone has"
            f" only records), or their cells failed; compute them with `assay run {name} --models {model}"
            f" --only {chosen}` (with --out as here), then spray again"
        )
    classes = list(results.plan["dataset"]["classes"])
    k = _number(class_, classes, name) if class_ else _most_suspicious(known, neighbours, pool)
    batch = samples_at_hand(results, list(known[0]), where)
    carries = None
    if batch is not None and batch.artefacts is not None:
        who = np.asarray(batch.artefacts.any(axis=(1, 2, 3)), dtype=bool)
        carries = {name: bool(carried) for name, carried in zip(batch.ids, who, strict=True)}

    def inputs(samples: Sequence[str]) -> NDArray[Any] | None:
        if batch is None:
            return None
        at = {sample: i for i, sample in enumerate(batch.ids)}
        return batch.inputs[[at[sample] for sample in samples]]

    shown_class = classes[k] if k < len(classes) else str(k)
    title = f"{model}, {chosen}, class {shown_class}"
    return Sprayed(chosen, k, of_class(known, k, title, neighbours, pool, inputs, carries))


def _number(class_: str, classes: Sequence[str], suite: str) -> int:
    """A class by its name, else by its number."""
    if class_ in classes:
        return list(classes).index(class_)
    if class_.isdigit() and int(class_) < len(classes):
        return int(class_)
    raise UnknownNameError("class", class_, classes, f"suite {suite}, by name or number")


def _most_suspicious(known: tuple[Sequence[str], NDArray[Any], NDArray[Any]], neighbours: int, pool: int) -> int:
    """The class with the cluster of largest mean suspicion."""
    _, targets, relevance = known
    maps = pooled(relevance, pool)
    usable, best = np.isfinite(maps).all((1, 2)), (-1.0, -1)
    for k in np.unique(targets):
        rows = maps[usable & (targets == k)]
        if len(rows) >= 2 * neighbours:
            found = analyse(rows, neighbours, embed=False)
            first = found.suspicion[found.clusters == by_suspicion(found)[0]].mean()
            best = max(best, (float(first), int(k)))
    if best[1] < 0:
        most = max(int((targets == k).sum()) for k in np.unique(targets))
        raise UsageError(
            f"no class has {2 * neighbours} usable attributions ({most} at most), which SpRAy with {neighbours}"
            " neighbours needs; explain more samples, or take fewer --neighbours"
        )
    return best[1]
