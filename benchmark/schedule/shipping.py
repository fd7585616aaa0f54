"""What a worker on another machine lacks: entry folders with their weights, plugin files, results that a cell needs.

The driver reads a thing when the first cell that needs it is given, and keeps the most recent ones at hand as objects
of Ray's store, up to a number of bytes; so its memory does not grow with the run. A worker unpacks folders into the
cache folder of its node, named by their content, once a node.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchmark.errors import StoreError
from benchmark.files import cache_folder
from benchmark.models.entries import Entry, read_entry
from benchmark.registry import digest
from benchmark.spec.cell import Cell, PluginRef
from benchmark.spec.entry import Weights
from benchmark.store.encoded import arrays_of, columns_of, sha256
from benchmark.store.folder import Store

INLINE = 64 << 10  # bytes; what is smaller travels in the call itself, what is larger by the object store, once a node
KEPT = 512 << 20  # bytes of the object store that the driver holds on to
WEIGHTS = ".weights"  # folder within an entry's, for weights that lie outside of it
Part = Any  # bytes, or the ObjectRef of bytes


@dataclass(frozen=True)
class Folder:
    """Files by relative path, and the digest of names and contents."""

    digest: str
    files: Mapping[str, Part]


@dataclass(frozen=True)
class Order:
    """A cell, and all that its worker lacks.

    Attributes:
        entry: the entry's folder.
        files: files that the cell's plugins read, by the path that they have at the driver.
        needs: results of other cells: the rows under ``""``, artefacts by name.
        batch_size: as an earlier cell found it.
        ahead: a cell to come, whose samples are read meanwhile.
    """

    cell: Cell
    attempt: int
    entry: Folder
    files: Mapping[str, Folder]
    needs: Mapping[str, Mapping[str, Part]]
    batch_size: int | None = None
    ahead: Cell | None = None


@dataclass
class Packer:
    """The driver's side.

    Args:
        store: where needed results are read; None where workers read them themselves.
        put: moves bytes into the object store, returns their reference.
    """

    store: Store | None
    put: Callable[[bytes], Any]
    _kept: OrderedDict[tuple[str, str], tuple[Any, int]] = field(default_factory=OrderedDict)

    def order(self, cell: Cell, attempt: int, batch_size: int | None = None, ahead: Cell | None = None) -> Order:
        """What is sent for a cell.

        Raises:
            StoreError: a needed result cannot be read.
            OSError: a file of the entry cannot be read.
        """
        assert cell.folder is not None, "a module in memory does not travel"
        folder = cell.folder
        files = {path: self.folder([Path(path)]) for path in local_files(cell)}
        entry = self._once("entry", f"{cell.entry}:{folder}", lambda: self._packed(entry_files(folder)))
        wanted = cell.needs.values() if self.store is not None else ()
        needs = {need: self._once("need", need, partial(self._need, need)) for need in wanted}
        coming = None if ahead is None else with_whole_paths(ahead)
        return Order(with_whole_paths(cell), attempt, entry, files, needs, batch_size, coming)

    def folder(self, files: list[Path]) -> Folder:
        """Single files as a folder."""
        key = ":".join(str(file) for file in files)
        packed: Folder = self._once("files", key, lambda: self._packed({file.name: file for file in files}))
        return packed

    def _packed(self, files: Mapping[str, Path]) -> tuple[Folder, int]:
        parts, digests, size = {}, {}, 0
        for name, path in files.items():
            data = path.read_bytes()
            parts[name], digests[name], size = self._part(data), sha256(data), size + len(data)
        return Folder(digest(digests), parts), size

    def _need(self, cell: str) -> tuple[dict[str, Part], int]:
        assert self.store is not None
        head = self.store.head(cell)
        needed = {}
        if head is not None and "rows" in head:
            needed[""] = self.store.row_bytes(cell)
        for name, artefact in (head or {}).get("artefacts", {}).items():
            if artefact["file"].endswith(".npz"):
                needed[name] = self.store.artefact_bytes(cell, name)
        return {name: self._part(data) for name, data in needed.items()}, sum(len(data) for data in needed.values())

    def _part(self, data: bytes) -> Part:
        return data if len(data) <= INLINE else self.put(data)

    def _once(self, kind: str, key: str, make: Callable[[], tuple[Any, int]]) -> Any:
        if (kind, key) not in self._kept:
            self._kept[kind, key] = make()
            while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end((kind, key))
        return self._kept[kind, key][0]


def with_whole_paths(cell: Cell) -> Cell:
    """The cell with paths of its data from the root, where they are relative to where the driver was started."""
    if cell.dataset.path is None:
        return cell
    dataset = cell.dataset.model_copy(update={"path": cell.dataset.path.expanduser().resolve()})
    if (listed := Path(cell.dataset.classes).expanduser()).is_file():
        dataset = dataset.model_copy(update={"classes": str(listed.resolve())})
    return cell.model_copy(update={"dataset": dataset})


def entry_files(folder: Path) -> dict[str, Path]:
    """Files of an entry's folder by relative path, and its weights where they lie elsewhere."""
    files = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if file.is_file() and "__pycache__" not in name.parts and not any(part.startswith(".") for part in name.parts):
            files[name.as_posix()] = file
    weights = read_entry(folder).weights_path()
    if weights is not None and weights.is_file() and weights.resolve() not in {f.resolve() for f in files.values()}:
        files[f"{WEIGHTS}/{weights.name}"] = weights
    return files


def local_files(cell: Cell) -> list[str]:
    """Files of this machine that the cell's plugins read."""
    plugins = [plugin for plugin in (cell.plugin, cell.explainer) if plugin is not None]
    values = [value for plugin in plugins for value in plugin.local.values() if isinstance(value, str)]
    return [value for value in dict.fromkeys(values) if Path(value).is_file()]


@dataclass
class Unpacker:
    """The worker's side.

    Args:
        get: fetches what a reference stands for.
    """

    get: Callable[[Any], bytes]
    needs: Mapping[str, Mapping[str, Part]] = field(default_factory=dict)

    def cell(self, order: Order) -> Cell:
        """The cell with paths of this node; its needs are then read from here."""
        self.needs = order.needs
        assert order.cell.folder is not None
        folder = self.unpacked(order.entry, order.cell.folder.name)
        locations = {path: str(self.unpacked(packed) / Path(path).name) for path, packed in order.files.items()}
        own = {"folder": folder, "plugin": _relocated(order.cell.plugin, locations)}
        return order.cell.model_copy(update={**own, "explainer": _relocated(order.cell.explainer, locations)})

    def rows(self, cell: str) -> dict[str, NDArray[Any]]:
        """Per-sample columns of a done cell.

        Raises:
            StoreError: it has none.
        """
        return columns_of(self._need(cell, "", "rows"))

    def artefact(self, cell: str, name: str) -> dict[str, NDArray[Any]]:
        """Named arrays of an artefact.

        Raises:
            StoreError: no such artefact.
        """
        return arrays_of(self._need(cell, name, f"artefact {name!r}"))

    def _need(self, cell: str, name: str, what: str) -> bytes:
        if name not in self.needs.get(cell, {}):
            raise StoreError(f"cell {cell} has no {what}; run the suite again")
        return self._bytes(self.needs[cell][name])

    def _bytes(self, part: Part) -> bytes:
        return part if isinstance(part, bytes) else self.get(part)

    def unpacked(self, folder: Folder, name: str = "files") -> Path:
        """Where a folder lies on this node, under this name; written once, whole or not at all.

        Raises:
            StoreError: other content arrived than was sent.
        """
        root = cache_folder() / "ray" / folder.digest[:32]
        if not root.is_dir():
            files = {path: self._bytes(part) for path, part in folder.files.items()}
            if digest({path: sha256(data) for path, data in files.items()}) != folder.digest:
                raise StoreError(f"{name}: other files arrived than were sent; run the command again")
            root.parent.mkdir(parents=True, exist_ok=True)
            new = Path(tempfile.mkdtemp(dir=root.parent, prefix="."))
            for path, data in files.items():
                file = new / name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            try:
                new.rename(root)
            except OSError:  # another worker of this node was first
                shutil.rmtree(new)
        return root / name


def shipped_entry(folder: Path) -> Entry:
    """The entry in an unpacked folder; its weights are those that came with it."""
    entry = read_entry(folder)
    outside = sorted((folder / WEIGHTS).iterdir()) if (folder / WEIGHTS).is_dir() else []
    if not outside:
        return entry
    given = entry.spec.weights or Weights()
    elsewhere = {"path": None, "url": "", "package": "", "hub": "", "revision": ""}
    own = given.model_copy(update={**elsewhere, "file": outside[0].relative_to(folder).as_posix()})
    return Entry(entry.spec.model_copy(update={"weights": own}), folder)


def _relocated(plugin: PluginRef | None, locations: Mapping[str, str]) -> PluginRef | None:
    if plugin is None or not plugin.local:
        return plugin
    return plugin.model_copy(
        update={"local": {key: locations.get(str(value), value) for key, value in plugin.local.items()}}
    )
