"""Whether two columns go together over models: rank correlation within groups, permutation test, and it in words."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from math import factorial, isnan, nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import stats
from benchmark.seeds import derive

DRAWS = 9999
FEW = 5  # models below which no correlation is claimed
LEVEL = 0.05
Floats = NDArray[np.float64]


def correlations(table: pd.DataFrame, robust: str, directions: Mapping[str, bool]) -> pd.DataFrame:
    """Spearman's correlation over models between a robustness and each quality.

    Args:
        table: a row a suite and model: ``suite``, the column ``robust`` (higher is better) and the qualities.
        robust: column.
        directions: quality column to whether higher is better.

    ``rho`` is turned so that positive means: the more robust, the better explained. ``p`` is a two-sided permutation
    test (exact up to 7 models, else 9,999 seeded draws), ``p_holm`` after Holm over the qualities of the group. Over
    several suites models are ranked within their own suite, and permuted within it, so that data that are hard for
    every model make no correlation.

    Returns:
        Columns ``over`` (a suite, or ``all``), ``quality``, ``higher_is_better``, ``n`` (models), ``rho``, ``p``,
        ``p_holm``, ``words``.
    """
    groups = {str(suite): part for suite, part in table.groupby("suite", sort=False)}
    if len(groups) > 1:
        groups["all"] = table
    rows = []
    for over, part in groups.items():
        if part[robust].isna().all():
            continue
        found: list[dict[str, Any]] = []
        for quality, higher in directions.items():
            both = part[["suite", robust, quality]].dropna()
            n, rho, p = rank_correlation(
                both[robust].to_numpy(dtype=float),
                both[quality].to_numpy(dtype=float) * (1 if higher else -1),
                both["suite"].to_numpy(dtype=object),
            )
            row: dict[str, Any] = {
                "over": over,
                "quality": quality,
                "higher_is_better": higher,
                "n": n,
                "rho": rho,
                "p": p,
            }
            found.append(row)
        for row, p in zip(found, stats.holm([1.0 if isnan(row["p"]) else row["p"] for row in found]), strict=True):
            rows.append({**row, "p_holm": nan if isnan(row["p"]) else p, "words": _words(row, p)})
    return pd.DataFrame(rows)


def _words(row: dict[str, Any], p: float) -> str:
    """What a correlation allows to say."""
    n, name = row["n"], row["quality"]
    if isnan(row["rho"]):
        return f"{name}: over {n} models nothing can be decided: one of the two does not vary"
    if n < FEW:
        return f"{name}: over {n} models nothing can be decided"
    said = f"rho = {row['rho']:.2f} over {n} models, p = {p:.2g} after Holm"
    if p >= LEVEL:
        return f"{name}: the data do not decide whether it goes with robustness ({said})"
    return f"{name}: more robust models are explained {'better' if row['rho'] > 0 else 'worse'} by it ({said})"


def rank_correlation(a: Floats, b: Floats, groups: NDArray[Any]) -> tuple[int, float, float]:
    """(n, rho, two-sided permutation p) of Spearman's correlation of ranks within groups; NaN where one is constant.

    Args:
        a, b: (N,) values without NaN.
        groups: (N,) labels; a group of one says nothing and is left out.
    """
    sizes = pd.Series(groups).map(pd.Series(groups).value_counts()).to_numpy() if len(groups) else np.zeros(0)
    a, b, groups = a[sizes > 1], b[sizes > 1], groups[sizes > 1]
    x, y = (_within_ranks(values, groups) for values in (a, b))
    scale = float(np.sqrt((x @ x) * (y @ y)))
    if scale == 0:
        return len(a), nan, nan
    rho = round(float(x @ y) / scale, 12) + 0.0  # the rounding of a sum differs between machines: 0, not 1e-17
    return len(a), rho, _permutation_p(x, y, groups, scale * (abs(rho) - 1e-9))


def _within_ranks(values: Floats, groups: NDArray[Any]) -> Floats:
    """Average ranks within each group, centred; a larger group does not weigh more a model."""
    ranks = pd.Series(values).groupby(groups.astype(str)).rank()
    sizes = ranks.groupby(groups.astype(str)).transform("size")
    centred: Floats = ((ranks - (sizes + 1) / 2) / sizes).to_numpy(dtype=float)
    return centred


def _permutation_p(x: Floats, y: Floats, groups: NDArray[Any], close: float) -> float:
    """Share of permutations of ``y`` within groups whose product with ``x`` reaches ``close``; the observed one counts.

    ``close`` lies a rounding below the observed product, measured by the scale: a correlation of 0 is 0 or 1e-17.
    """
    labels = list(dict.fromkeys(groups.tolist()))
    if len(labels) == 1 and factorial(len(y)) <= DRAWS:
        products = np.array([x @ np.array(order) for order in permutations(y)])
        return float((np.abs(products) >= close).mean())
    generator = np.random.default_rng(derive("permutation", len(x)))
    total = np.zeros(DRAWS)
    for label in labels:
        at = groups == label
        total += np.array([x[at] @ generator.permutation(y[at]) for _ in range(DRAWS)])
    return float(((np.abs(total) >= close).sum() + 1) / (DRAWS + 1))
