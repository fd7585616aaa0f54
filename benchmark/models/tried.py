"""Is a network asked as it was trained: other preprocessing and other orders of its classes, held against its own.

Everything is compared on the same samples, at any accuracy: what is said is the exact test of McNemar (1947) over the
samples on which two ways of asking disagree, with its p value multiplied by the number of ways that were tried
(Bonferroni). Functions of arrays, for an entry as for a module in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.data._classes import NAMED, class_indices, class_list
from benchmark.errors import DataError
from benchmark.models.wrap import Model, Normalise

# what networks are usually trained with: tried where the entry's own preprocessing gives a low accuracy
USUAL = {
    "no normalisation": ((0.0,), (1.0,)),
    "ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CIFAR-10's mean and std": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "MNIST's mean and std (0.1307, 0.3081)": ((0.1307,), (0.3081,)),
    "inputs in [-1, 1] (mean = 0.5, std = 0.5)": ((0.5,), (0.5,)),
    "inputs in [0, 255] (mean = 0, std = 0.00392157)": ((0.0,), (1 / 255,)),
    "inputs in [0, 16] (mean = 0, std = 0.0625)": ((0.0,), (1 / 16,)),
}

SURE = 0.01  # p value, after the correction, from which a way of asking is better beyond doubt

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Best:
    """The best of several ways of asking a network, beside its own.

    Attributes:
        name: which; empty where none names more samples rightly than its own.
        accuracy: its accuracy.
        p: that it is no better than the entry's own (exact McNemar, one-sided, corrected).
        trained: it is above chance beyond doubt (exact binomial test): what is no better than guessing is no finding.
        tried: how many ways were tried.
    """

    name: str = ""
    accuracy: float = 0.0
    p: float = 1.0
    trained: bool = False
    tried: int = 0

    @property
    def sure(self) -> bool:
        """It is better beyond doubt, and not by guessing."""
        return self.p < SURE and self.trained

    def words(self, what: str) -> str:
        """What is true of the ways that were tried, such as ``"no usual preprocessing does better"``."""
        if not self.tried:
            return f"no {what} could be tried"
        if not self.name:
            return f"no {what} does better ({self.tried} tried)"
        doubt = "" if self.p < SURE else ", which may be chance"
        guess = "" if self.trained else ", no better than guessing"
        return f"with {self.name} it is {self.accuracy:.3f} (paired, p = {self.p:.2g}{doubt}{guess})"


def best_of(own: Bools, tried: Mapping[str, Bools], chance: float) -> Best:
    """The way of asking that names the most samples rightly.

    Args:
        own: (N,) which samples the network names rightly as it is asked now.
        tried: the same of other ways, by their names.
        chance: accuracy of guessing.
    """
    if not tried:
        return Best()
    name = max(tried, key=lambda key: int(tried[key].sum()))
    right = tried[name]
    if int(right.sum()) <= int(own.sum()):
        return Best(tried=len(tried))
    p = min(1.0, len(tried) * mcnemar(right, own))
    return Best(name, float(right.mean()), p, above(int(right.sum()), len(right), chance), len(tried))


def mcnemar(better: Bools, own: Bools) -> float:
    """One-sided exact p value that the first is right no more often than the second, on the same samples."""
    from scipy.special import bdtrc

    gained, lost = int((better & ~own).sum()), int((own & ~better).sum())
    return float(bdtrc(gained - 1, gained + lost, 0.5)) if gained else 1.0


def above(right: int, n: int, chance: float) -> bool:
    """So many right answers of n are more than guessing gives (one-sided exact binomial test, p below 0.01)."""
    from scipy.special import bdtrc

    return right > 0 and float(bdtrc(right - 1, n, min(max(chance, 0.0), 1.0))) < SURE


def usual_orders(classes: Sequence[str], outputs: int) -> dict[str, NDArray[np.int64]]:
    """Orders in which a network may have its classes, other than the dataset's.

    Args:
        classes: names of the dataset's classes, in its order (numbers where it names none).
        outputs: how many outputs the network has.

    Returns:
        name to (outputs,): the class of the dataset that each output is, -1 where it is none.
    """
    where = {name: i for i, name in enumerate(classes)}
    own = np.arange(outputs)
    numbers = all(name.isdecimal() for name in classes)

    def by_name(order: Sequence[str]) -> NDArray[np.int64]:
        orders = np.full(outputs, -1, np.int64)
        orders[: len(order)] = [where[name] for name in order][:outputs]
        return orders

    as_text = np.array(sorted(range(outputs), key=str))
    orders = {
        "its classes sorted by name": by_name(sorted(classes)),
        "its classes sorted by name, capitals and small letters alike": by_name(sorted(classes, key=str.casefold)),
        "its classes sorted as text (10 before 2)": as_text,
        "its classes sorted by number (2 before 10)": np.argsort(as_text),
        "its classes in reversed order": own[::-1].copy(),
        "its classes counted from 1 (output 1 is the first class)": (own - 1) % outputs,
        "its classes counted from -1 (the first class has no output)": (own + 1) % outputs,
    }
    if numbers:
        orders["its classes sorted by number (2 before 10)"] = by_name(sorted(classes, key=int))
        orders["its classes sorted as text (10 before 2)"] = by_name(sorted(classes))
        del orders["its classes sorted by name"], orders["its classes sorted by name, capitals and small letters alike"]
        if sorted(classes) == sorted(classes, key=int) == list(classes) and outputs > len(classes):
            orders["its classes sorted as text (10 before 2)"] = as_text
    orders |= _listed_orders(classes, outputs)
    kept: dict[str, NDArray[np.int64]] = {}
    for name, order in orders.items():
        if not np.array_equal(order, own) and not any(np.array_equal(order, other) for other in kept.values()):
            kept[name] = order
    return kept


def _listed_orders(classes: Sequence[str], outputs: int) -> dict[str, NDArray[np.int64]]:
    """Orders of the lists of classes that are known by name, where a network has as many outputs."""
    orders = {}
    for name in NAMED:
        known = class_list(name)
        if len(known.names) == outputs:
            try:
                at = class_indices(classes, known, name)
            except DataError:  # other classes
                continue
            orders[f'its classes as in the list "{name}" (classes = "{name}" in [dataset])'] = order = np.full(
                outputs, -1
            )
            order[at] = np.arange(len(classes))
    return orders


def right_in_order(predicted: NDArray[np.int64], labels: NDArray[np.int64], order: NDArray[np.int64]) -> Bools:
    """(N,) which predictions are right if each output is the class that ``order`` says."""
    return np.asarray(order[predicted] == labels)


@torch.no_grad()
def predictions(model: Model, inputs: torch.Tensor) -> NDArray[np.int64]:
    """(N,) the predicted class of each sample."""
    classes: NDArray[np.int64] = model(inputs).argmax(1).cpu().numpy()
    return classes


def right_with_usual(
    model: Model, inputs: torch.Tensor, labels: NDArray[Any], channels: int
) -> dict[str, NDArray[np.bool_]]:
    """Which samples a model names rightly (N,) with each of the usual normalisations instead of its own."""
    tried = {}
    for name, (mean, std) in USUAL.items():
        if len(mean) in (1, channels):
            with normalised(model, mean, std):
                tried[name] = predictions(model, inputs) == labels
    return tried


@contextmanager
def normalised(model: Model, mean: tuple[float, ...], std: tuple[float, ...]) -> Iterator[None]:
    """Another normalisation inside the block."""
    own = model.normalise
    model.normalise = Normalise(mean, std).to(model.device)
    try:
        yield
    finally:
        model.normalise = own
