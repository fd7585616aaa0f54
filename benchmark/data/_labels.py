"""Labels at the door: of whatever type, they become int64 class indices, or are refused by the first bad one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import DataError

LARGEST = 2**63 - 1


def class_labels(values: NDArray[Any], what: str) -> NDArray[np.int64]:
    """Labels (N,) or (N, 1) of any dtype whose values are integers, as int64 (N,), none below 0.

    Args:
        values: bool, integers of any size and byte order, floats that are whole numbers, texts of whole numbers, or
            Python objects that are one of these.
        what: for messages, such as ``"dataset 'npz', array 'y_test'"``.

    Raises:
        DataError: naming the first value that is no class index; one-hot labels are named as such.
    """
    values = np.asarray(values)
    if values.ndim > 1 and values.size == len(values):
        values = values.reshape(-1)
    if values.ndim != 1:
        raise DataError(f"{what}: {_many(values)}")
    kind = values.dtype.kind
    if kind in "biu" and not (kind == "u" and values.size and int(values.max()) > LARGEST):
        numbers = values.astype(np.int64)
    else:
        numbers = np.fromiter(
            (_whole(value, i, what) for i, value in enumerate(values.tolist())), np.int64, len(values)
        )
    below = np.flatnonzero(numbers < 0)
    if len(below):
        raise DataError(
            f"{what}: expected class indices from 0, got {numbers[below[0]]} at sample {below[0]}; number the classes"
            " from 0, and remove samples without a class"
        )
    return numbers


def _many(values: NDArray[Any]) -> str:
    """What labels of several numbers a sample are."""
    shape = tuple(values.shape)
    if values.ndim == 2 and values.dtype.kind in "biuf":
        numbers = values.astype(np.float64)
        if np.isin(numbers, (0, 1)).all() and (numbers.sum(1) == 1).all():
            return f"expected one class index a sample, got one-hot labels of shape {shape}; store their argmax(1)"
    return (
        f"expected one class index a sample, got labels of shape {shape} (several classes a sample, or probabilities);"
        " store one class index a sample"
    )


def _whole(value: Any, i: int, what: str) -> int:
    """A value as an integer."""
    given = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    try:
        number = float(given)
        if number.is_integer() and abs(number) <= LARGEST:
            return int(given) if isinstance(given, int) else int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise DataError(f"{what}: expected class indices (whole numbers from 0), got {given!r} at sample {i}; correct it")


def is_text(values: NDArray[Any]) -> bool:
    """Labels that are names of classes: texts of which one is no number."""
    if values.dtype.kind not in "USO":
        return False
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values.reshape(-1)]
    return all(isinstance(text, str) for text in texts) and not all(_is_number(str(text)) for text in texts)


def as_texts(values: NDArray[Any]) -> list[str]:
    """Labels that are names, as texts."""
    flat = values.reshape(-1).tolist()
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in flat]


def whole_texts(texts: Sequence[str], names: Sequence[str], what: str) -> list[str]:
    """Labels of a table as names of classes: ``3.0`` (as pandas writes a column with gaps) is ``3``.

    Args:
        texts: one a row.
        names: the rows' samples, for messages.
        what: for messages.

    Raises:
        DataError: no value, or among numbers one that is not whole, with the row.
    """
    numbers = [text for text in texts if _is_number(text)]
    all_numbers = len(numbers) == len(texts) and not all(text.isdecimal() for text in texts)
    whole = []
    for text, name in zip(texts, names, strict=True):
        if not text:
            raise DataError(f"{what}: no class for {name!r}; write one, or remove the row")
        if all_numbers and not (float(text).is_integer() and float(text) >= 0):
            raise DataError(f"{what}: expected classes (whole numbers from 0, or names), got {text!r} for {name!r}")
        whole.append(str(int(float(text))) if all_numbers else text)
    return whole


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
