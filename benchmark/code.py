"""What code a name stands for: digests of modules outside Assay, found without importing them.

An installed distribution is its version and its RECORD; a module on the path (a checkout, an editable install, a
single file) is the content of every file of its package, and so is what it imports, down to the standard library and
installed distributions. Imports are read from the syntax tree: also inside functions, and ``import_module("a name")``;
a name that is computed when the code runs cannot be seen.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from benchmark.files import file_sha256, reading

OURS = "benchmark"  # code of Assay has version numbers of its own
GROUND = frozenset({"torch", "numpy"})  # under every number; their versions stand in each record
UNSEEN = frozenset({"__pycache__", "node_modules"})


def code_of(module: str) -> dict[str, str]:
    """What a module of the path or of an installed distribution consists of.

    Args:
        module: dotted name, as a factory names it.

    Returns:
        ``"name==version"`` to the digest of RECORD, and ``"top/file"`` to sha256 of each file; of what these import,
        too. ``{"name": "absent"}`` for what is not there. Nothing for the standard library and for Assay's own code.
    """
    digests: dict[str, str] = {}
    top = module.partition(".")[0]
    _add(top, digests, {top})
    return dict(sorted(digests.items()))


def code_of_files(files: Iterable[Path]) -> dict[str, str]:
    """What these files import, as :func:`code_of` says it; but torch and numpy, which are under every number."""
    digests: dict[str, str] = {}
    for file in files:
        for name in sorted(imported(file)):
            _add(name, digests, set())
    return dict(sorted(digests.items()))


def environment(files: Iterable[Path]) -> dict[str, str | None]:
    """Values of the environment variables that Python files read under a constant name."""
    variables: dict[str, str | None] = {}
    for file in files:
        with reading(file):
            source = file.read_bytes()
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            for name in _variables(node):
                variables[name] = os.environ.get(name)
    return dict(sorted(variables.items()))


def _variables(node: ast.AST) -> Iterator[str]:
    """``os.environ["X"]``, ``environ.get("X")``, ``os.getenv("X")``."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
        key: ast.expr | None = node.slice
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("environ.get", "getenv")) and node.args:
        key = node.args[0]
    else:
        key = None
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        yield key.value


def files_in(folder: Path, *, hidden: bool = False) -> list[Path]:
    """Every file below a folder, links followed, sorted; nothing that Python compiles, hidden ones if asked for."""
    files, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in UNSEEN)
        apart = (".pyc",) if hidden else (".pyc", ".tmp")
        kept = [name for name in names if (hidden or not name.startswith(".")) and not name.endswith(apart)]
        files += [Path(place) / name for name in kept]
    return sorted(files)


def sha256_or_absent(file: Path) -> str:
    """Digest of a file's content, ``"absent"`` of a link that leads nowhere."""
    return file_sha256(file) if file.exists() else "absent"


def absent(digests: Mapping[str, str]) -> list[str]:
    """Names that :func:`code_of` could not find but that are loaded: code that ran found them in a place of its own."""
    names = [name for name, content in digests.items() if content == "absent" and "/" not in name]
    return [name for name in names if getattr(sys.modules.get(name), "__file__", None)]


def imported(file: Path) -> set[str]:
    """Top-level names that a Python file imports absolutely, anywhere in it; none where it is not Python."""
    with reading(file):
        source = file.read_bytes()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()  # whoever imports it is told
    return {name.partition(".")[0] for node in ast.walk(tree) for name in _names(node)}


def neighbours(file: Path, top: Path) -> list[Path]:
    """The file and what it reaches by relative imports below ``top``, sorted."""
    reached: set[Path] = set()
    todo = [file]
    while todo:
        here = todo.pop()
        if here in reached or not here.is_file():
            continue
        reached.add(here)
        with reading(here):
            source = here.read_bytes()
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = here.parents[node.level - 1]
                base = base.joinpath(*(node.module or "").split(".")) if node.module else base
                for place in (base, *(base / alias.name for alias in node.names)):
                    todo += [place.with_suffix(".py"), place / "__init__.py"]
    return sorted(path for path in reached if path.is_relative_to(top))


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        yield node.module
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            yield node.args[0].value.lstrip(".") or OURS


def _add(top: str, digests: dict[str, str], wanted: set[str]) -> None:
    """Put a top-level module and what it imports into ``digests``; ``wanted`` counts though it is under all numbers."""
    if top in sys.stdlib_module_names or top == OURS or (top in GROUND and top not in wanted):
        return
    places = _locations(top)
    if not places:
        digests.setdefault(top, "absent")
        return
    owner = _owner(top, places)
    if owner is not None:
        digests.update(owner)
        return
    for place in places:
        files = files_in(place) if place.is_dir() else [place]
        new = [file for file in files if f"{top}/{_below(file, place)}" not in digests]
        digests.update({f"{top}/{_below(file, place)}": sha256_or_absent(file) for file in new})
        for file in new:
            for name in sorted(imported(file)) if file.suffix == ".py" and file.exists() else ():
                if name != top:
                    _add(name, digests, wanted)


def _below(file: Path, place: Path) -> str:
    return file.relative_to(place).as_posix() if file != place else file.name


def _locations(top: str) -> list[Path]:
    """The package's folders, or the single file (an archive for what is imported from one); none where it is absent."""
    spec = _spec(top)
    if spec is None:
        loaded = sys.modules.get(top)
        file = getattr(loaded, "__file__", None) if getattr(loaded, "__spec__", None) is None else None
        return [Path(file)] if file else []
    if spec.submodule_search_locations is not None:
        places = [Path(place) for place in spec.submodule_search_locations]
    else:
        places = [Path(spec.origin)] if spec.origin and spec.has_location else []
    return list(dict.fromkeys(existing for place in places if (existing := _existing(place)) is not None))


_along: list[str] | None = None


@contextmanager
def along(path: list[str]) -> Iterator[None]:
    """Inside the block modules are looked for along this path, whatever code that ran has made of ``sys.path``."""
    global _along
    before, _along = _along, path
    try:
        yield
    finally:
        _along = before


def _spec(top: str) -> ModuleSpec | None:
    """As Python would find it, were it not loaded yet."""
    for finder in sys.meta_path:
        looks = getattr(finder, "find_spec", None)
        if looks is None:
            continue
        try:
            spec: ModuleSpec | None = looks(top, _along if finder is PathFinder else None)
        except (ImportError, ValueError, AttributeError):
            continue
        if spec is not None:
            return spec
    return None


def _existing(place: Path) -> Path | None:
    """The place, or the archive above it."""
    return next((path for path in (place, *place.parents) if path.exists()), None)


def _owner(top: str, places: list[Path]) -> dict[str, str] | None:
    """The installed distributions that have these files, by RECORD; None where others would be imported."""
    owners = _distributions(top)
    records = {name: record for name in owners if (record := _record(name)) is not None}
    known = {file for _, folders in records.values() for file in folders}
    if not records or not all(os.path.realpath(place) in known for place in places):
        return None
    return {f"{name}=={importlib.metadata.version(name)}": content for name, (content, _) in records.items()}


@cache
def _distributions(top: str) -> tuple[str, ...]:
    """Names of the distributions that may hold a top-level module."""
    try:
        distribution = importlib.metadata.distribution(top)
        if any(file.parts[0] in (top, f"{top}.py") for file in distribution.files or ()):
            return (distribution.metadata["Name"],)
    except importlib.metadata.PackageNotFoundError:
        pass
    return tuple(sorted(set(_all_distributions().get(top, []))))


@cache
def _all_distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@cache
def _record(name: str) -> tuple[str, frozenset[str]] | None:
    """Digest of a distribution's RECORD, and its top-level files and folders; None for one without hashes.

    Only what the wheel brought counts: no compiled files, nothing that the installer writes, no scripts.
    """
    distribution = importlib.metadata.distribution(name)
    text = distribution.read_text("RECORD") or ""
    rows = [
        (path, sha)
        for path, sha, *_ in (row for row in csv.reader(text.splitlines()) if len(row) >= 2)
        if sha and not path.startswith("..") and ".dist-info/" not in path and not path.endswith(".pyc")
    ]
    if not rows:
        return None
    content = hashlib.sha256("\n".join(f"{path},{sha}" for path, sha in sorted(rows)).encode()).hexdigest()
    tops = {path.partition("/")[0] for path, _ in rows}
    return content, frozenset(os.path.realpath(str(distribution.locate_file(top))) for top in tops)
