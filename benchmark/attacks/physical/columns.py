"""What is counted of stickers and patches: views fooled, of those that are read right without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.reported import Column

if TYPE_CHECKING:
    import pandas as pd


def fooled(rows: pd.DataFrame) -> NDArray[np.float64]:
    """(N,) 1 where a view was fooled; NaN where its clean counterpart is wrong already."""
    return np.where(counted(rows), rows["success"].to_numpy(dtype=float), np.nan)


def counted(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """(N,) True where the clean counterpart is right."""
    name = "reference_correct" if "reference_correct" in rows else "correct"
    return np.asarray(rows[name].to_numpy(dtype=float) == 1)


class ReadAs:
    """(N,) 1 where a view is read as the target; NaN where its clean counterpart is wrong, or the target is right."""

    def __init__(self, target: int) -> None:
        self.target = target

    def __call__(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """One value a row."""
        inside = counted(rows) & (rows["label"].to_numpy() != self.target)
        return np.where(inside, rows["pred"].to_numpy() == self.target, np.nan)


FOOLED = "views read wrong with the sticker, of those read right without it"


def physical_columns(target: int | None, *, fits: bool) -> tuple[Column, ...]:
    """Leaderboard columns of a sticker or patch: area, success on held-out views, beside it the training success."""
    found = [
        Column("sticker_area", "mean", lambda rows: rows["param_area"].to_numpy(dtype=float), False),
        Column("views_right", "mean", lambda rows: counted(rows).astype(float)),
        Column("fooled", "mean", fooled, False, glance=FOOLED),
    ]
    if target is not None:
        found.append(Column("fooled_target", "mean", ReadAs(target), False))
    if fits:
        found.append(Column("train_success", "mean", fooled, False, "fit"))
        if target is not None:
            found.append(Column("train_target", "mean", ReadAs(target), False, "fit"))
    return tuple(found)
