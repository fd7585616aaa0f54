"""The slow run: scores of every metric on the bench, under every fill and perturbation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.errors import AssayError, NotApplicableError
from benchmark.inputs import IMAGE, takes
from benchmark.meta.bench import Bench, benches, distinct
from benchmark.meta.consistency import inter_consistency, intra_consistency
from benchmark.meta.settings import CONTROLS, SETTINGS, Setting
from benchmark.meta.verdicts import label
from benchmark.metrics.base import Metric, metrics
from benchmark.registry import Family

SPACES = ("input", "model")
STRENGTHS = ("minor", "disruptive")
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {  # parameters that make another metric of one
    "relevance-mass-accuracy": ({}, {"absolute": True}),
    "localisation-auc": ({}, {"absolute": True}),
}
TRUTH = "relevance-mass-accuracy"  # where masks are: the agreement of other metrics with it

Rows = list[dict[str, Any]]
Said = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        n: samples of a bench at most.
        perturbations: K of MetaQuantus.
        draws: repetitions of the K perturbations; 0: no perturbations.
    """

    n: int = 24
    perturbations: int = 5
    draws: int = 3


def measurable() -> list[str]:
    """Registered metrics that the bench can measure: of images, no families of a library; of those that see all samples
    at once the ones with a better end."""
    found = {name: cls for name, cls in metrics.classes().items() if takes(cls.accepts, IMAGE)}
    kept = {name: cls for name, cls in found.items() if not issubclass(cls, Family)}
    return [
        name
        for name, cls in kept.items()
        if not cls.needs_artefacts and not (cls.joint and cls.higher_is_better is None)
    ]


def measure(
    names: Sequence[str],
    effort: Effort,
    workers: int,
    said: Said,
    of: Setting = SETTINGS["digits"],
    path: Path | None = None,
) -> dict[str, pd.DataFrame]:
    """Measure metrics on every model and seed of a setting.

    Returns:
        ``scores`` (half, model, seed, metric, fill, explainer, sample, value; ``distinct``: no explainer before it is
        the same method on this model), ``consistency`` (half, model, metric, space, strength, iac, iec) and ``faults``
        (model, metric, reason).
    """
    from pebble import ProcessPool

    tables: dict[str, Rows] = {"scores": [], "consistency": [], "faults": []}
    jobs = list(benches(effort.n, of, path))
    with ProcessPool(max_workers=workers) as pool:
        futures = [
            (
                half,
                bench,
                pool.schedule(measure_bench, args=(half, bench.name, bench.seed, tuple(names), effort, of.name, path)),
            )
            for half, bench in jobs
        ]
        for done, (_, bench, future) in enumerate(futures, 1):
            for part, rows in future.result().items():
                tables[part] += rows
            said(f"{bench.name}, seed {bench.seed}: {done} of {len(jobs)}")
    return {part: pd.DataFrame(rows) for part, rows in tables.items()}


def measure_bench(
    half: str, name: str, seed: int, names: Sequence[str], effort: Effort, of: str = "digits", path: Path | None = None
) -> dict[str, Rows]:
    """All metrics on one model and seed; a metric that fails costs its own rows."""
    import torch

    torch.set_num_threads(1)
    bench = Bench(name, seed, effort.n, SETTINGS[of], path)
    first = bench.setting.first_seed(half, name) == seed  # perturbations are costly: one seed a model
    tables: dict[str, Rows] = {"scores": [], "consistency": [], "faults": []}
    where = {"half": half, "model": name, "seed": seed}
    apart = set(distinct(bench)) | set(CONTROLS)
    for metric in variants(names):
        if metric.needs_masks and bench.samples[2] is None:
            continue
        try:
            scores = [where | row for row in _scores(bench, metric)]
            tables["scores"] += [row | {"distinct": row["explainer"] in apart} for row in scores]
            if first and effort.draws and metric.higher_is_better is not None:
                tables["consistency"] += [where | row for row in _consistency(bench, metric, effort)]
        except (AssayError, RuntimeError, ValueError, AssertionError, TypeError, IndexError, KeyError) as error:
            tables["faults"].append(where | {"metric": label(metric), "reason": f"{type(error).__name__}: {error}"})
    return tables


def variants(names: Sequence[str]) -> list[Metric]:
    """The metrics with default parameters, and those whose parameters make another metric of them."""
    return [metrics.make(name, params) for name in names for params in VARIANTS.get(name, ({},))]


def _scores(bench: Bench, metric: Metric) -> Iterator[dict[str, Any]]:
    """Scores of real explainers and controls; of a metric that fills, under every fill.

    A method that is not defined there costs its own row.

    Raises:
        NotApplicableError: none is defined.
    """
    refusals = []
    for fill, variant in fills(metric, bench.setting):
        for explainer in (*bench.setting.real, *CONTROLS):
            try:
                values = bench.score(variant, explainer)
            except NotApplicableError as refusal:
                refusals.append(refusal)
                continue
            for sample, value in enumerate(values):
                yield {
                    "metric": label(metric),
                    "fill": fill,
                    "explainer": explainer,
                    "sample": sample,
                    "value": float(value),
                }
    if len(refusals) == len(bench.setting.real) + len(CONTROLS):
        raise refusals[0]


def fills(metric: Metric, of: Setting) -> list[tuple[str, Metric]]:
    """The metric under each fill, with the setting's effort; under "" where it fills nothing."""
    own = {name: value for name, value in of.effort.items() if name in type(metric).model_fields}
    if "fill" not in type(metric).model_fields:
        return [("", metrics.make(metric.name, {**metric.params(), **own}) if own else metric)]
    return [(fill, metrics.make(metric.name, {**metric.params(), **own, "fill": fill})) for fill in of.fills]


def _consistency(bench: Bench, metric: Metric, effort: Effort) -> Iterator[dict[str, Any]]:
    """IAC (mean over methods) and IEC of every draw and perturbation, averaged."""
    before = np.stack([bench.score(metric, explainer) for explainer in bench.setting.real])
    for space in SPACES:
        for strength in STRENGTHS:
            intra, inter = [], []
            for k in range(effort.draws * effort.perturbations):
                after, kept = _perturbed(bench, metric, space, strength, k)
                disruptive = strength == "disruptive"
                pairs = zip(before[:, kept], after[:, kept], strict=True)
                intra.append([intra_consistency(b, a, disruptive=disruptive) for b, a in pairs])
                better = bool(metric.higher_is_better)
                inter.append(
                    inter_consistency(before[:, kept], after[:, kept], disruptive=disruptive, higher_is_better=better)
                )
            yield {
                "metric": label(metric),
                "space": space,
                "strength": strength,
                "iac": _mean(intra),
                "iec": _mean(inter),
            }


def _mean(values: Any) -> float:
    known = np.asarray(values, dtype=np.float64)
    return float(known[np.isfinite(known)].mean()) if np.isfinite(known).any() else float("nan")


def _perturbed(
    bench: Bench, metric: Metric, space: str, strength: str, k: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(L, N) scores under a perturbation, and the samples that count: the prediction stays (minor) or changes.

    As in MetaQuantus: of a perturbed input the clean input's attributions are scored, of a perturbed model its own.
    """
    import torch

    from benchmark.meta.perturbations import noisy_inputs, noisy_model
    from benchmark.seeds import derive

    inputs, labels, _ = bench.samples
    seed = derive("meta", bench.seed, space, strength, k)
    model = noisy_model(bench.model, strength, seed) if space == "model" else bench.model
    x = noisy_inputs(inputs, strength, seed) if space == "input" else inputs
    with torch.no_grad():
        same = (model(x).argmax(1) == labels).numpy()
    scores = []
    for explainer in bench.setting.real:
        attributions = bench.explain(explainer, model) if space == "model" else bench.explain(explainer)
        scores.append(bench.score(metric, explainer, model=model, inputs=x, attributions=attributions))
    return np.stack(scores), ~same if strength == "disruptive" else same
