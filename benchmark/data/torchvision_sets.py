"""Any image classification dataset of torchvision: ``torchvision:CIFAR10``, ``torchvision:GTSRB``, …"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from benchmark.data._labels import class_labels
from benchmark.data._left_out import count, shown
from benchmark.data._pictures import DARK, dark_note, orientation_of, pixels_of, share_of_scale, turned
from benchmark.data.base import Dataset as _Dataset
from benchmark.data.base import Index, Split, datasets
from benchmark.errors import DataError
from benchmark.files import cache_folder, stamps
from benchmark.registry import Family, digest, library_version
from benchmark.seeds import derive

# those whose items are (image, class index); the others hold boxes, pairs, captions, masks or videos
# fmt: off
CLASSIFICATION = frozenset({
    "CIFAR10", "CIFAR100", "CLEVRClassification", "Caltech101", "Caltech256", "Country211", "DTD", "EMNIST",
    "EuroSAT", "FER2013", "FGVCAircraft", "FakeData", "FashionMNIST", "Flowers102", "Food101", "GTSRB",
    "ImageNet", "Imagenette", "KMNIST", "LFWPeople", "MNIST", "Omniglot", "OxfordIIITPet", "PCAM", "Places365",
    "QMNIST", "RenderedSST2", "SEMEION", "STL10", "SUN397", "SVHN", "StanfordCars", "USPS",
})
# fmt: on


@datasets.register("torchvision")
class TorchvisionSet(_Dataset, Family):
    """A dataset of torchvision in PATH (default: the user's cache folder), downloaded there where there is a network.

    The split is given as ``train`` (true or false) or as ``split``, whichever the class takes; where it takes neither,
    a fixed seeded draw makes ``train`` and ``test``. The digest is over decoded pixels, so the first use reads all.

    Attributes:
        kwargs: further arguments of the class, such as ``{ split = "letters" }`` for EMNIST.
        download: False: never try.
        test_share, split_seed: of the draw where the class knows no splits.
    """

    source: ClassVar[str] = "torchvision.datasets"
    library: ClassVar[str] = "torchvision"

    kwargs: dict[str, Any] = Field(default_factory=dict)
    download: bool = True
    test_share: float = Field(default=0.2, gt=0, lt=1)
    split_seed: int = 0

    _sets: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def members(cls) -> list[str]:
        """Classification datasets of the installed torchvision, read from its source without importing it."""
        return sorted(CLASSIFICATION & _exported())

    def fingerprint(self, split: Split) -> str:
        """The stamps of all files under the folder, and the version of torchvision."""
        files = sorted(
            (os.path.relpath(Path(folder) / name, self._root()), Path(folder) / name)
            for folder, _, names in os.walk(self._root())
            for name in names
        )
        return digest([library_version("torchvision"), stamps(file for _, file in files)])

    def build_index(self, split: Split) -> Index:
        """Names such as ``test-00007`` (the position in torchvision's dataset), labels, digest over all pixels."""
        dataset = self._open(split)
        content, labels, ids, broken = hashlib.sha256(), [], [], []
        shapes: Counter[tuple[int, int]] = Counter()
        share = 0.0
        for i in self._positions(split, len(dataset)):
            ids.append(f"{split}-{i:05d}")
            try:
                image, label = self._item(dataset, i)
            except DataError:
                label = self._label(dataset, i)  # a broken image costs its chunk, where its class is known without it
                content.update(f"unreadable {label}\n".encode())
                broken.append(ids[-1])
            else:
                content.update(f"{image.shape} {label}\n".encode() + image.tobytes())
                shapes[image.shape[0], image.shape[1]] += 1
                share = max(share, share_of_scale(image)) if share < DARK else share
            labels.append(label)
        classes = [str(name) for name in getattr(dataset, "classes", None) or getattr(dataset, "categories", [])]
        named = len(classes) > max(labels, default=0)
        if not named:
            classes = [str(i) for i in range(max(labels, default=0) + 1)]
        said = f"{count(len(broken), 'image')} that cannot be read, whose chunks fail: {shown(broken)}"
        return Index(
            ids=tuple(ids),
            labels=np.array(labels, np.int64),
            classes=tuple(_numbered(classes)),
            digest=content.hexdigest(),
            notes=(*dark_note(share), *([said] if broken else [])),
            peak=(share, ()),
            named=named,
            shapes=tuple((height, width, n) for (height, width), n in sorted(shapes.items())),
            keep=not broken,
        )

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Images (H, W) or (H, W, 3), uint8."""
        dataset = self._open(split)
        return [self._item(dataset, int(name.rpartition("-")[2]))[0] for name in ids]

    # -- torchvision --------------------------------------------------------------------------------------------

    def _root(self) -> Path:
        return Path(self.path).expanduser() if self.path is not None else cache_folder() / "torchvision" / self.member

    def _item(self, dataset: Any, i: int) -> tuple[NDArray[Any], int]:
        try:
            image, label = dataset[i]
            number = int(class_labels(np.asarray(label).reshape(1, -1), f"dataset {self.name!r}, sample {i}")[0])
            return turned(pixels_of(image), orientation_of(image)), number
        except DataError:
            raise
        except Exception as error:
            raise DataError(
                f"dataset {self.name!r}: sample {i} cannot be read as an image and a class:"
                f" {type(error).__name__}: {error}; a damaged file under {self._root()}, or not a classification set"
            ) from error

    def _label(self, dataset: Any, i: int) -> int:
        """The class of a sample whose image cannot be read.

        Raises:
            DataError: torchvision's dataset does not tell it without the image.
        """
        for name in ("targets", "_labels", "labels", "_targets"):
            known = getattr(dataset, name, None)
            if known is not None and len(known) == len(dataset):
                return int(class_labels(np.asarray(known[i]).reshape(1, -1), f"dataset {self.name!r}, sample {i}")[0])
        return self._item(dataset, i)[1]

    def _positions(self, split: Split, count: int) -> list[int]:
        if self._split_argument() is not None:
            return list(range(count))
        test = [derive(self.split_seed, i) / 2**63 < self.test_share for i in range(count)]
        return [i for i in range(count) if test[i] == (split == "test")]

    def _parameters(self) -> set[str]:
        import inspect

        return set(inspect.signature(self._class().__init__).parameters)

    def _class(self) -> Any:
        import torchvision

        return getattr(torchvision.datasets, self.member)

    def _split_argument(self) -> str | None:
        keys = [name for name in ("train", "split") if name in self._parameters() and name not in self.kwargs]
        return keys[0] if keys else None

    def _open(self, split: Split) -> Any:
        """The torchvision dataset of a split; downloads it where it is not there."""
        if split in self._sets:
            return self._sets[split]
        argument, kwargs = self._split_argument(), dict(self.kwargs)
        if argument != "split" and split not in ("train", "test"):
            raise DataError(f"dataset {self.name!r} has the splits 'train' and 'test', not {split!r}")
        if argument is not None:
            kwargs[argument] = split == "train" if argument == "train" else split
        if "root" in self._parameters() and self.member != "FakeData":
            kwargs["root"] = self._root()
        self._sets[split] = self._fetch(split, kwargs)
        return self._sets[split]

    def _fetch(self, split: Split, kwargs: dict[str, Any]) -> Any:
        can_download = "download" in self._parameters()
        try:
            return self._class()(**kwargs)
        except ValueError as error:  # torchvision's verify_str_arg: an unknown split
            raise DataError(f"dataset {self.name!r}, split {split!r}: {error}") from error
        except (RuntimeError, OSError) as error:
            if not (can_download and self.download):
                raise DataError(self._absent(error)) from error
        try:
            self._root().mkdir(parents=True, exist_ok=True)
            return self._class()(**kwargs, download=True)
        except Exception as error:
            raise DataError(self._absent(error)) from error

    def _absent(self, error: Exception) -> str:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        tried = "and could not be downloaded (is there a network?)" if self.download else "and `download` is false"
        return (
            f"dataset {self.name!r}: not found in {self._root()} {tried}: {reason};"
            f" put torchvision's files there, or say where they lie with --data NAME=PATH"
        )


def _numbered(classes: Sequence[str]) -> list[str]:
    """Class names; where all are ``"0 - zero"`` (MNIST, QMNIST) the part that says the class."""
    parts = [name.split(" - ") for name in classes]
    return (
        [part[0] for part in parts] if all(p[0] == str(i) and len(p) == 2 for i, p in enumerate(parts)) else [*classes]
    )


@cache
def _exported() -> frozenset[str]:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return frozenset()
    tree = ast.parse((Path(spec.origin).parent / "datasets" / "__init__.py").read_text(encoding="utf-8"))
    return frozenset(
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    )
