"""What a source of networks is: it finds what an entry says of a network, by the network's name there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from benchmark.errors import EntryError
from benchmark.registry import Plugin, Registry

MOST_NAMES = 1100  # classes that are named one by one in entry.toml; of more their number is


@dataclass(frozen=True)
class Found:
    """What entry.toml will say of a network.

    Attributes:
        source: the whole reference, with what was chosen by default: ``"timm:resnet50.a1_in1k"``.
        input_shape: (C, H, W) that the network takes.
        classes: names in the order of the outputs, or how many there are.
        factory, kwargs: what makes the network; an empty factory: the weights' file is the whole network.
        preprocessing: of ``[preprocessing]``.
        weights: of ``[weights]``; empty: the source has none.
        licence, paper, author, description: as the source states them, empty where it does not.
        dataset: the suite's label of the data that it was trained for.
        output_key: of the entry.
        files: further files of the entry's folder, by name.
        notes: what its user should know, a sentence each.
    """

    source: str
    input_shape: Sequence[int]
    classes: int | Sequence[str]
    factory: str = ""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    paper: str = ""
    author: str = ""
    description: str = ""
    dataset: str = ""
    output_key: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def class_count(self) -> int:
        """How many classes it has."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    def noted(self, *notes: str) -> Found:
        """The same with more notes."""
        return replace(self, notes=(*self.notes, *(note for note in notes if note)))


class Source(Plugin):
    """Base of all sources.

    Class attributes:
        form: how a network is named after the colon, such as ``"MODEL[.TAG]"``.
        factories: names after the colon that are importable factories of that package, not networks.
    """

    form: ClassVar[str] = ""
    factories: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def find(self, name: str) -> Found:
        """What an entry says of a network.

        Args:
            name: what follows the colon of ``--from``.

        Raises:
            EntryError: no such network, or what decides its architecture is not here; says where it may be put.
        """

    def refused(self, name: str, reason: str) -> EntryError:
        """An error that names the source and the network."""
        return EntryError(f"--from {self.use}:{name}: {reason}")


sources: Registry[Source] = Registry("source", "benchmark.models.sources")
