"""CSV files: stable order and floats, so that a diff reads, and no text that is a spreadsheet formula."""

from __future__ import annotations

import pandas as pd

FLOAT_FORMAT = "%.6g"


def to_csv(table: pd.DataFrame) -> bytes:
    """CSV with stable floats; text can never be read as a spreadsheet formula."""
    safe = table.copy()
    for name in safe.columns:
        if safe[name].dtype == object or isinstance(safe[name].dtype, pd.StringDtype):
            safe[name] = pd.Series([_harmless(value) for value in safe[name]], dtype=object, index=safe.index)
    return safe.to_csv(index=False, float_format=FLOAT_FORMAT, lineterminator="\n").encode()


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
