"""Perturbations relative to their input, ||r|| / ||x||: per-sample parameters of an attack, and columns of a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.attacks.verify import norms
from benchmark.reported import Column

if TYPE_CHECKING:
    import pandas as pd
    import torch

Floats = NDArray[np.float64]
NORMS = ("l2", "linf")


def relative_norms(clean: torch.Tensor, perturbed: torch.Tensor, suffix: str = "") -> dict[str, Floats]:
    """``relative_l2`` and ``relative_linf`` (with ``suffix``), each (N,) float64; NaN where the input is all zero.

    Args:
        clean, perturbed: (N, C, H, W). Norms of the input are taken as it is, in [0, 1]: a network that centres its
            inputs has other ones.
        suffix: of the names.
    """
    moves, sizes = norms(clean, perturbed), norms(clean * 0, clean)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            f"relative_{norm}{suffix}": np.where(sizes[norm] > 0, moves[norm] / sizes[norm], np.nan) for norm in NORMS
        }


STRENGTH = (
    "On average that change has {} % of the image's own strength",
    "strength is the root of the summed squares of all pixels",
)


def relative_columns(unclipped: bool, norm: str) -> tuple[Column, ...]:
    """Means of ``param_relative_*`` over the successes.

    Args:
        unclipped: the attack also has what it reached before clipping to [0, 1] (``param_relative_*_unclipped``, and
            ``param_fooled_unclipped``). Then ``mean_relative_*`` is of that, over the samples that are fooled there;
            ``mean_relative_*_clipped`` stands beside it, and ``asr_unclipped``.
        norm: of the attack; a label says the l2 one alone.
    """
    if not unclipped:
        return tuple(_mean(f"mean_relative_{n}", f"param_relative_{n}", "success", norm == n == "l2") for n in NORMS)
    fooled = "param_fooled_unclipped"
    return (
        *(_mean(f"mean_relative_{n}", f"param_relative_{n}_unclipped", fooled, norm == n == "l2") for n in NORMS),
        *(_mean(f"mean_relative_{n}_clipped", f"param_relative_{n}", "success") for n in NORMS),
        Column("asr_unclipped", "rate", lambda rows: column(rows, fooled), False, table="Attack success"),
    )


def column(rows: pd.DataFrame, name: str) -> Floats:
    """A column as float64 (N,), NaN where the rows have none of that name."""
    return rows[name].to_numpy(dtype=np.float64) if name in rows else np.full(len(rows), np.nan)


def _mean(name: str, of: str, among: str, said: bool = False) -> Column:
    values: Callable[[pd.DataFrame], Floats] = lambda rows: np.where(  # noqa: E731
        column(rows, among) == 1, column(rows, of), np.nan
    )
    return Column(name, "mean", values, of_successes=True, label=STRENGTH if said else None)
