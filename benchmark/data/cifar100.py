"""CIFAR-100 as it is downloaded."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from benchmark.data.base import datasets
from benchmark.data.reading.cifar import Cifar, Layout


@datasets.register("cifar100")
class Cifar100(Cifar):
    """CIFAR-100, fine classes: the Python batches in PATH or in PATH/cifar-100-python, the archive, or a .npz.

    As ``cifar10``.
    """

    source: ClassVar[str] = "Krizhevsky 2009"
    endings: ClassVar[Collection[str]] = ("cifar-100-python.tar.gz",)

    def layout(self) -> Layout:
        """Names of files and keys."""
        batches = {"train": ("train",), "test": ("test",)}
        return Layout("cifar-100-python", "cifar-100-python.tar.gz", batches, "fine_labels", "cifar100")
