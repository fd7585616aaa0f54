"""A repository of the Hugging Face hub, or a folder of the same layout on this machine: its files, one by one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import EntryError
from benchmark.files import file_sha256
from benchmark.models.places import hub_address, places
from benchmark.models.sources.pins import Pin, pinned
from benchmark.registry import lacking
from benchmark.spec.network import Weights

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
CONFIG = "config.json"


@dataclass(frozen=True)
class Repository:
    """Where files are.

    Attributes:
        name: ``OWNER/REPO``, or the folder as it was given.
        folder: on this machine; None: the hub's.
    """

    name: str
    folder: Path | None

    @classmethod
    def of(cls, name: str) -> Repository:
        """A folder where there is one of that name, else a repository.

        Raises:
            EntryError: neither a folder nor a name of a repository.
        """
        folder = Path(name).expanduser()
        if folder.is_dir():
            return cls(name, folder.resolve())
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise EntryError(f"{name!r} is no folder here, and no OWNER/REPO of {hub_address()}; check the spelling")
        return cls(name, None)

    @property
    def label(self) -> str:
        """Its name for people: of a folder without the places of this machine."""
        return self.folder.name if self.folder is not None else self.name

    def file(self, name: str, *, needed: bool = True) -> Path | None:
        """One file: in the folder, put into the cache by hand, in the hub's own cache, else asked of the hub.

        Raises:
            EntryError: it is needed and cannot be had; says where it may be put.
        """
        if self.folder is not None:
            if (self.folder / name).is_file():
                return self.folder / name
            if needed:
                raise EntryError(f"{self.folder} has no {name}: it is no folder of that layout, or not whole")
            return None
        known = places(Weights(hub=self.name, file=name), Path())
        here = next((place for place in known if place.is_file()), None)
        if here is not None or not needed:
            return here
        return self._asked(name, known[0])

    def _asked(self, name: str, place: Path) -> Path:
        reason = lacking(("huggingface-hub",), "zoo")
        if not reason:
            from huggingface_hub import hf_hub_download

            try:
                return Path(hf_hub_download(self.name, name, endpoint=hub_address()))
            except Exception as error:  # whatever stands between here and the hub
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EntryError(
            f"{name} of {self.name}, which says what the network is, cannot be had: {reason}; without a network, fetch"
            f" the repository elsewhere (`hf download {self.name} --local-dir FOLDER`) and name the folder instead,"
            f" or put {name} at {place}"
        )

    def json(self, name: str, *, needed: bool = True) -> dict[str, Any]:
        """A JSON file; empty where it is not needed and not there.

        Raises:
            EntryError: it cannot be read, or holds no table.
        """
        file = self.file(name, needed=needed)
        if file is None:
            return {}
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EntryError(f"{file} cannot be read as JSON: {error}") from None
        if not isinstance(content, dict):
            raise EntryError(f"{file} holds a {type(content).__name__}, expected a table")
        return content

    def pin(self) -> Pin:
        """What the hub says of the repository; of a folder its card's licence."""
        if self.folder is None:
            return pinned(self.name, WEIGHTS[0])
        card = self.folder / "README.md"
        text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
        found = re.match(r"---\n(?:.*\n)*?license:\s*([^\n]+)\n", text)
        return Pin(licence=found[1].strip() if found else "")

    def weights(self, pin: Pin) -> tuple[dict[str, Any], str]:
        """(keys of ``[weights]``, what is to be said of them).

        Raises:
            EntryError: the folder's weights are in several files.
        """
        if self.folder is None:
            return {"hub": self.name, "file": WEIGHTS[0], **pin.weights()}, pin.reason
        for name in WEIGHTS:
            if (self.folder / name).is_file():
                return {"path": str(self.folder / name), "sha256": file_sha256(self.folder / name)}, ""
        parts = sorted(self.folder.glob("*.index.json"))
        if parts:
            raise EntryError(
                f"{self.folder} holds its weights in several files ({parts[0].name}): save it with a larger"
                " max_shard_size, as one"
            )
        return {}, f"{self.folder} holds neither {' nor '.join(WEIGHTS)}: the network is untrained"
