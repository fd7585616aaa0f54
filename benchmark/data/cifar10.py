"""CIFAR-10 as it is downloaded."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from benchmark.data.base import datasets
from benchmark.data.reading.cifar import Cifar, Layout


@datasets.register("cifar10")
class Cifar10(Cifar):
    """CIFAR-10: the Python batches in PATH or in PATH/cifar-10-batches-py, the archive, or a .npz.

    Sample names are positions in the whole set (``test-00007``), also of a part of it. Only arrays are built of the
    batches, which are pickles.
    """

    source: ClassVar[str] = "Krizhevsky 2009"
    endings: ClassVar[Collection[str]] = ("data_batch_1", "test_batch", "cifar-10-python.tar.gz")

    def layout(self) -> Layout:
        """Names of files and keys."""
        train = tuple(f"data_batch_{i}" for i in range(1, 6))
        batches = {"train": train, "test": ("test_batch",)}
        return Layout("cifar-10-batches-py", "cifar-10-python.tar.gz", batches, "labels", "cifar10")
