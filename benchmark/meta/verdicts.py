"""From measured scores to one verdict a metric, and the versioned table that reports and docs show.

==========================  ==========================================================================================
verdict                     meaning
==========================  ==========================================================================================
sound                       every control of its family is significantly worse than real explainers, on both halves
depends on baseline         so too, but the order of explainers changes with the fill (Kendall's tau below 0.5)
necessary, not sufficient   a stability metric that puts a freshly drawn random attribution last (a constant is optimal)
axiom                       tests a property by closed form: methods that have it are better than those that lack it
descriptive only            has no better end
not confirmed               passes on the half that sets verdicts, fails on the half that checks them
fails its controls          a control is not worse than real explainers
not measured                the bench has nothing to measure it on
==========================  ==========================================================================================
"""

from __future__ import annotations

import json
from functools import cache

import pandas as pd

from benchmark.meta.settings import SETTINGS
from benchmark.metrics.base import Metric

TABLE = SETTINGS["digits"].table
TAU = 0.5
EFFORT = {"fill", "nr_runs", "nr_samples", "features_in_step", "stages"}  # parameters with which a verdict stands
# controls that must be significantly worse than the real explainers, by family
MUST_FAIL: dict[str, tuple[str, ...]] = {
    "faithfulness": ("random", "sobel", "constant"),
    "localisation": ("random", "sobel", "constant"),
    "randomisation": ("sobel", "constant"),
    "robustness": ("random",),
}
# axioms: a method that has the property by construction, and those that lack it
HOLDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "completeness": ("integrated-gradients", ("saliency", "random")),
    "input-invariance": ("saliency", ("input-x-gradient",)),
    "non-sensitivity": ("input-x-gradient", ("random", "constant")),
}


@cache
def verdicts(on: str = "digits") -> pd.DataFrame:
    """The versioned table of a setting, by metric; empty where nothing was measured yet."""
    table = SETTINGS[on].table
    if not table.is_file():
        return pd.DataFrame(columns=["version", "verdict"])
    return pd.read_csv(table, index_col="metric", dtype={"version": str}, keep_default_na=True)


def label(metric: Metric) -> str:
    """The metric's row in the table: its name, with the parameters that make another metric of it."""
    own = {key: value for key, value in metric.params().items() if key not in EFFORT}
    return metric.name + (
        f" ({', '.join(f'{key} = {json.dumps(value)}' for key, value in own.items())})" if own else ""
    )


def verdict(metric: Metric, on: str = "digits") -> str:
    """The verdict on a metric: ``"not measured"`` where it, or its implementation, is not the one measured ``on`` data.

    More or fewer draws or steps, and another fill (whose order of explainers is part of the verdict), do not matter.
    """
    if metric.higher_is_better is None or metric.family == "complexity":
        return "descriptive only"
    known = verdicts(on)
    if label(metric) not in known.index:
        return "not measured"
    row = known.loc[label(metric)]
    return str(row["verdict"]) if str(row["version"]) == str(metric.version) else "not measured"
