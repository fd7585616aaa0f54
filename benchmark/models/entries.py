"""Model entries without torch: finding them, reading entry.toml, and the digest that every cell's hash holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.code import absent, code_of, code_of_files, environment, files_in, neighbours, sha256_or_absent
from benchmark.errors import SpecError, UnknownNameError, UsageError
from benchmark.files import cache_folder, file_sha256
from benchmark.models.places import places
from benchmark.registry import digest, registry_of
from benchmark.resources import folders
from benchmark.spec.entry import EntrySpec
from benchmark.spec.toml import read_toml

ENTRY_FILE = "entry.toml"
RECIPES = 1  # raise it when a recipe of ours trains otherwise: weights that are made, not shipped, are then made anew
CURVE_FILE = "training.csv"  # beside the weights, where those lie in the entry's folder
WORDS = ("README", "LICENCE", "LICENSE", "NOTICE", "COPYING", "CITATION")
EXECUTOR = 1  # raise it when a whole network (ONNX) is computed otherwise: its numbers are then made anew
LABELS = {"dataset", "description", "licence", "paper", "author", "classes", "weights", "recipe", "facts", "source"}


@dataclass(frozen=True)
class Entry:
    """A model entry: what entry.toml says, and the (absolute) folder that holds it."""

    spec: EntrySpec
    folder: Path

    @property
    def name(self) -> str:
        """The entry's name, which is its folder's."""
        return self.spec.name

    @property
    def is_local(self) -> bool:
        """True where the factory is a Python file (or package) in the entry's folder."""
        if not self.spec.factory:
            return False
        top = self.folder / self.spec.factory.partition(":")[0].split(".")[0]
        return top.with_suffix(".py").is_file() or (top / "__init__.py").is_file()

    def code(self) -> dict[str, str]:
        """sha256 of every .py in the folder, by relative path."""
        return {name: file_sha256(file) for name, file in self._files().items() if name.endswith(".py")}

    def helpers(self) -> dict[str, str]:
        """sha256 of what code may read in the folder: not of weights; of words and hidden files where it names them."""
        weights = self.spec.weights
        files = {name: file for name, file in self._files(hidden=True).items() if not name.endswith(".py")}
        for name in (ENTRY_FILE, weights.file if weights is not None else ""):
            files.pop(name, None)
        plain = self._files()
        passed = {name for name, file in files.items() if _is_words(file) or name not in plain}
        source = "".join(file.read_text(errors="replace") for name, file in plain.items() if name.endswith(".py"))
        kept = {name for name in files if name not in passed or files[name].name in source}  # code names what it reads
        return {name: sha256_or_absent(files[name]) for name in sorted(kept)}

    def _files(self, *, hidden: bool = False) -> dict[str, Path]:
        return {file.relative_to(self.folder).as_posix(): file for file in files_in(self.folder, hidden=hidden)}

    def digest(self) -> str:
        """sha256 over everything that decides what the model computes.

        The model's fields of entry.toml (labels such as description, licence, paper, author, dataset and class names
        are left out), every .py in the folder and the other files there (but words and the curve of a training), the
        content of the weights and of files that ``kwargs`` name, what the factory's code consists of and imports
        (:mod:`benchmark.code`), and for a factory of ours its source. Where weights lie is no part of it. Weights that
        do not exist yet enter as their recipe (or as absent), so the digest changes once they are there: call
        ``ensure_weights`` first.

        Raises:
            DataError: a file that cannot be read.
        """
        fields = _without_crop(self.spec.model_dump(mode="json", exclude=LABELS))
        fields["class_count"] = self.spec.class_count
        module = self.spec.factory.partition(":")[0]
        ours = module.partition(".")[0] == "benchmark" and not self.is_local  # a version stands for code of ours
        package = "" if self.is_local or ours or not module else code_of(module)
        parts: dict[str, Any] = {"fields": fields, "code": self.code(), "weights": self._weights(), "package": package}
        if versions := self.versions():
            parts |= versions
        elif ours:  # a network that several entries share
            parts["factory"] = file_sha256(
                Path(__file__).parents[1].joinpath(*module.split(".")[1:]).with_suffix(".py")
            )
        further: dict[str, Any] = {
            "helpers": self.helpers(),
            "imports": self._imports(module),
            "named": self._named(ours=ours),
            "executor": EXECUTOR if self.spec.is_whole else 0,
        }
        further["environment"] = environment(file for name, file in self._files().items() if name.endswith(".py"))
        return digest(parts | {key: content for key, content in further.items() if content})

    def _imports(self, module: str) -> dict[str, str]:
        """What a factory in the folder imports from elsewhere, itself and by the files that it imports relatively."""
        if not self.is_local:
            return {}
        base = self.folder.joinpath(*module.split("."))
        first = base.with_suffix(".py")
        return code_of_files(neighbours(first if first.is_file() else base / "__init__.py", self.folder))

    def beside(self) -> list[str]:
        """Modules that the factory's code imports and has loaded, though they are not found along the path."""
        return absent(self._imports(self.spec.factory.partition(":")[0]))

    def _named(self, *, ours: bool) -> dict[str, str]:
        """Content of the files and folders that ``kwargs`` name; of a factory of ours also the entries."""
        contents: dict[str, str] = {}
        for text in _strings(self.spec.kwargs):
            for place in (Path(text).expanduser(), self.folder / text):
                apart = place.is_dir() and Path.cwd().is_relative_to(place.resolve())  # "." names no files
                if ("." in text or "/" in text) and place.exists() and not apart and text not in contents:
                    files = files_in(place) if place.is_dir() else [place]
                    contents[text] = digest([[str(file.relative_to(place)), sha256_or_absent(file)] for file in files])
            if ours and text != self.name and (folder := find_entries().get(text)) is not None:
                contents[text] = read_entry(folder).digest()
        return contents

    def _weights(self) -> dict[str, Any] | None:
        path, weights = self.weights_path(), self.spec.weights
        if path is None:
            return None
        if weights is not None and weights.sha256 and (weights.url or weights.package):
            content = weights.sha256  # checked when the file is downloaded and again before it is loaded
        elif path.is_file():
            content = file_sha256(path)
        else:
            content = f"recipe:{self.recipe_digest()}" if self.from_recipe else "absent"
        reading: dict[str, Any] = weights.reading() if weights is not None else {"key": "", "strip": ""}
        return {"sha256": content, **reading}

    def facts(self) -> dict[str, str | int | float]:
        """What tables say of the model; what the task reads from the entry stands before what is written."""
        known: dict[str, str | int | float] = {**self.spec.facts, **task_of(self.spec.task).facts(self.spec)}
        return known

    def about(self) -> dict[str, str]:
        """What a fold-out says of a network of a source: where it is from, its licence, its pinned revision, how it is
        asked, which weights. Empty for an entry that names no source."""
        spec, weights = self.spec, self.spec.weights
        if not spec.source:
            return {}
        own = spec.preprocessing
        asked = ["x".join(str(size) for size in spec.input_shape)]
        asked += [f"mean {list(own.mean)}, std {list(own.std)}"] if own.mean else ["no mean and std"]
        asked += [own.interpolation, *([f"crop {own.crop:g}"] if own.crop is not None else [])]
        path = self.weights_path()
        lies = file_sha256(path) if path is not None and path.is_file() else "absent"
        from_ = weights and (weights.hub or weights.package or weights.url)
        said = {
            "source": spec.source,
            "licence": spec.licence or "none stated",
            "revision": (weights.revision or "not pinned") if weights and weights.hub else "",
            "preprocessing": ", ".join(asked),
            "output": f"its part {spec.output_key}" if spec.output_key else "",
            "weights": "untrained" if path is None else f"{f'{from_}, ' if from_ else ''}sha256 {lies}",
        }
        return {name: text for name, text in said.items() if text}

    def versions(self) -> dict[str, int]:
        """Versions of the code that all networks of the task are built from (:meth:`Task.versions`)."""
        known: dict[str, int] = task_of(self.spec.task).versions
        return known

    def check_output(self) -> None:
        """Refuse an ``output`` that the task does not know.

        Raises:
            SpecError: naming those that it knows.
        """
        known = task_of(self.spec.task).outputs
        if self.spec.output not in known:
            raise SpecError(
                f"{self.folder / ENTRY_FILE}: output = {self.spec.output!r}: expected"
                f" {' or '.join(repr(name) for name in known)} for task {self.spec.task!r}"
            )

    @property
    def from_recipe(self) -> bool:
        """True where entry.toml names no source of weights but has a recipe that makes them."""
        weights = self.spec.weights
        no_source = weights is None or not (weights.file or weights.path or weights.url)  # package, hub name a file
        return no_source and self.spec.recipe is not None

    def recipe_digest(self) -> str:
        """sha256 over what the recipe depends on: its settings, the network's, every .py in the folder.

        An importable recipe enters with what its code consists of; code of ours with a version.
        """
        recipe = self.spec.recipe
        parts = {"factory", "kwargs", "input_shape", "preprocessing", "output"}
        depends: dict[str, Any] = {
            "recipe": recipe.model_dump(mode="json") if recipe else None,
            "fields": _without_crop(self.spec.model_dump(mode="json", include=parts)),
            "code": self.code(),
        }
        if recipe is not None and recipe.is_importable:
            ours = recipe.file.partition(".")[0] == "benchmark"
            depends["package"] = RECIPES if ours else code_of(recipe.file.partition(":")[0])
        elif recipe is not None and (self.folder / recipe.file).is_file():
            depends["imports"] = code_of_files(neighbours(self.folder / recipe.file, self.folder))
        return digest(depends | self.versions())

    def weights_path(self) -> Path | None:
        """Where the weights lie or will lie; None for an entry without weights.

        A file in the folder, a path (relative to the folder), a file of an installed package, a download in the cache
        folder (:mod:`benchmark.models.places`), or what the recipe made, in the cache folder named by the recipe's
        digest. The file need not exist yet.
        """
        known = places(self.spec.weights, self.folder) if self.spec.weights is not None else []
        if known:
            return next((place for place in known if place.is_file()), known[0])
        if self.spec.recipe is not None:
            return cache_folder() / "weights" / f"{self.name}-{self.recipe_digest()[:16]}.safetensors"
        return None


def _without_crop(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a spec less what a dataset does, not the model."""
    fields["preprocessing"].pop("crop", None)
    return fields


def task_of(name: str) -> Any:
    """A task's class by its name.

    Raises:
        UnknownNameError: no such task.
    """
    return registry_of("task").lookup(name)[0]


def find_entries(extra: Sequence[Path] = ()) -> dict[str, Path]:
    """Folders that hold an entry.toml, by name: those in ``extra`` first, then the resolver's ``baselines/``.

    Args:
        extra: folders given by ``--entries``, each an entry's folder or a folder of them.

    Raises:
        UsageError: a folder in ``extra`` does not exist or holds no entry.
    """
    entries: dict[str, Path] = {}
    for given in extra:
        root = Path(given).expanduser().resolve()
        inside = _entries_in(root)
        if not inside:
            what = "holds no entry.toml, nor do its subfolders" if root.is_dir() else "is no folder"
            raise UsageError(f"--entries {given}: {what}; make an entry with `assay new NAME --into {given}`")
        for folder in inside:
            entries.setdefault(folder.name, folder)
    for root in folders("baselines"):
        for folder in _entries_in(root):
            entries.setdefault(folder.name, folder)
    return dict(sorted(entries.items()))


def _entries_in(root: Path) -> list[Path]:
    if (root / ENTRY_FILE).exists():
        return [root]
    if not root.is_dir():
        return []
    return sorted(folder for folder in root.iterdir() if (folder / ENTRY_FILE).exists())


def load_entry(name: str, extra: Sequence[Path] = ()) -> Entry:
    """Read an entry by name.

    Raises:
        UnknownNameError: no entry of that name, with the near matches and where it was looked for.
        SpecError: entry.toml cannot be read, or its name is not its folder's.
    """
    known = find_entries(extra)
    if name not in known:
        where = [str(folder) for folder in [*extra, *folders("baselines")]] or ["./baselines, which does not exist"]
        raise UnknownNameError("entry", name, known, ", ".join(where))
    return read_entry(known[name])


def read_entry(folder: Path) -> Entry:
    """Read the entry in that folder.

    Raises:
        SpecError: entry.toml cannot be read, or its name is not its folder's.
    """
    folder = folder.resolve()
    spec = read_toml(folder / ENTRY_FILE, EntrySpec)
    if spec.name != folder.name:
        raise SpecError(
            f"{folder / ENTRY_FILE}: name = {spec.name!r}, but the folder is {folder.name!r};"
            " give both the same name, by which suites refer to the entry"
        )
    return Entry(spec, folder)


def _is_words(file: Path) -> bool:
    """A file for people, or the curve of a training."""
    plain = file.suffix.lower() in ("", ".md", ".txt", ".rst")
    return file.suffix.lower() == ".md" or (plain and file.name.upper().startswith(WORDS)) or file.name == CURVE_FILE


def _strings(value: object) -> Iterator[str]:
    """Every string in nested lists and tables."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
