"""Names to plugins: datasets, tasks, attacks, explainers, metrics.

A plugin is a frozen pydantic model whose fields are its parameters. Its file keeps torch inside functions, so that
planning and listing need no torch. Plugins are found in the packages of this repository, in installed distributions
(entry points of the group ``assay.plugins``, each naming a module) and in files given by ``--include``.

Two forms of name: ``"deepfool"`` is one class; ``"foolbox:LinfPGD"`` is a member of a family, where one class serves
every attack of a library.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import pkgutil
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.code import OURS, code_of, code_of_files
from benchmark.errors import SpecError, UnknownNameError, UsageError
from benchmark.files import file_sha256

ENTRY_POINT_GROUP = "assay.plugins"
PROCESS = f"process-{secrets.token_hex(8)}"  # stands for what cannot be read


def canonical(value: object) -> str:
    """Canonical JSON: sorted keys, no spaces, no NaN; equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: object) -> str:
    """sha256 (hex) over the canonical JSON of ``value``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@functools.cache
def library_version(distribution: str) -> str:
    """Installed version of a distribution, ``"absent"`` where it is not installed; asked once a process."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def lacking(requires: Sequence[str], extra: str) -> str:
    """Which distributions are not installed, and the command that installs them; empty where all are."""
    absent = [name for name in requires if library_version(name) == "absent"]
    if not absent:
        return ""
    checkout = Path(__file__).resolve().parents[1]
    ours = f"-e '{checkout}[{extra}]'" if (checkout / "pyproject.toml").is_file() else f"'assay-benchmark[{extra}]'"
    what = ours if extra else " ".join(absent)
    return f"needs {', '.join(absent)}, not installed here: pip install {what}"


class Plugin(BaseModel):
    """Base of everything a suite can name. Fields are the parameters; unknown ones are refused.

    Class attributes:
        use: the registered name (set by the registry).
        version: raise it by one whenever the implementation or a default changes what is computed.
        library: distribution that does the work; its version then enters the hash too.
        requires: distributions that must be there for it to work; where one is not, :meth:`lacks` says what to do.
        extra: the extra of this distribution that installs them.
        source: paper or library, shown by ``assay list``.
        borrowed: True where defaults are a library's: they may change with its version, not with ours.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    use: ClassVar[str] = ""
    version: ClassVar[int] = 1
    library: ClassVar[str] = ""
    source: ClassVar[str] = ""
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    borrowed: ClassVar[bool] = False

    @classmethod
    def lacks(cls) -> str:
        """Which of ``requires`` are not installed, and the command that installs them; empty where all are."""
        return lacking(cls.requires, cls.extra)

    @property
    def name(self) -> str:
        """The name a suite uses for this plugin, such as ``"deepfool"`` or ``"foolbox:LinfPGD"``."""
        return self.use

    def params(self) -> dict[str, Any]:
        """Parameters that differ from the defaults, JSON-able: what was given, and what the hash holds."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def settings(self) -> dict[str, Any]:
        """Every parameter with its value, defaults included."""
        return self.model_dump(mode="json", exclude={"member"})

    def as_recorded(self, params: Mapping[str, Any]) -> Self:
        """The plugin as a record says that it ran, where defaults have changed since."""
        return self

    def implementation(self) -> str:
        """Implementation version, with the library's version where a library does the work.

        A plugin that is not Assay's own enters with the digest of its code too: its author may forget the version.
        """
        parts = [str(self.version)]
        if self.library:
            parts.append(f"{self.library}=={library_version(self.library)}")
        if type(self).__module__.partition(".")[0] != OURS:
            parts.append(f"code:{foreign_code(type(self))}")
        return "+".join(parts)

    def identity(self) -> dict[str, Any]:
        """What the cell's hash holds of this plugin: name, parameters given, implementation version."""
        return {"use": self.name, "params": self.params(), "version": self.implementation()}

    def check_installed(self, where: str) -> Self:
        """Itself, where what it needs is there.

        Raises:
            UsageError: a library is not installed; says the command that installs it.
        """
        if reason := self.lacks():
            raise UsageError(f"{where}: {self.name!r} {reason}")
        return self

    def local(self) -> dict[str, Any]:
        """Parameters that only this machine understands (where a file lies): never hashed, never in a record."""
        return {}

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """Reason why this plugin cannot be applied to that model and dataset, or None."""
        return None


class Family(Plugin):
    """A plugin class that serves every member of a library: ``use = "family:Member"``."""

    member: str

    @property
    def name(self) -> str:
        return f"{self.use}:{self.member}"

    def params(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"member"})

    @classmethod
    def members(cls) -> list[str]:
        """Names of the members, found without importing torch."""
        raise NotImplementedError

    @classmethod
    def open_ended(cls) -> bool:
        """True where any member name may be tried (members() is then only a selection)."""
        return False


_registries: dict[str, Registry[Any]] = {}
_HOMES = {"task": "benchmark.tasks.base"}
P = TypeVar("P", bound=Plugin)
C = TypeVar("C", bound=type[Plugin])


class Registry(Generic[P]):
    """Names to plugin classes of one kind.

    Args:
        kind: the word used in messages, such as ``"attack"``.
        package: package whose modules register plugins when imported.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._classes: dict[str, type[P]] = {}
        self._loaded = False
        _registries[kind] = self

    def register(self, name: str) -> Callable[[C], C]:
        """Class decorator: make the class known under ``name`` (a family: under its prefix)."""

        def decorate(cls: C) -> C:
            known = self._classes.get(name)
            if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                raise UsageError(
                    f"{self.kind} {name!r} is registered twice: by {known.__module__} and {cls.__module__}"
                )
            cls.use = name
            self._classes[name] = cls  # type: ignore[assignment]
            return cls

        return decorate

    def load(self) -> None:
        """Import every module that may register a plugin (once)."""
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self.package)
        for info in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{info.name}")
        load_entry_points()

    def names(self) -> list[str]:
        """All names, members of families included."""
        self.load()
        names: list[str] = []
        for name, cls in self._classes.items():
            if issubclass(cls, Family):
                names += [f"{name}:{member}" for member in cls.members()]
            else:
                names.append(name)
        return sorted(names)

    def classes(self) -> dict[str, type[P]]:
        """Registered classes by name or family prefix."""
        self.load()
        return dict(sorted(self._classes.items()))

    def lookup(self, name: str) -> tuple[type[P], str | None]:
        """Class (and family member) of a name.

        Raises:
            UnknownNameError: no such plugin, with the near matches.
        """
        self.load()
        prefix, colon, member = name.partition(":")
        cls = self._classes.get(prefix)
        if cls is None or bool(colon) != issubclass(cls, Family):
            raise UnknownNameError(self.kind, name, self.names(), f"{self.package}, entry points, --include")
        if colon and issubclass(cls, Family) and not cls.open_ended() and member not in cls.members():
            raise UnknownNameError(self.kind, name, self.names(), f"{prefix} {library_version(cls.library)}")
        return cls, member if colon else None

    def make(self, name: str, params: Mapping[str, Any] | None = None, where: str = "") -> P:
        """Plugin of that name with these parameters.

        Raises:
            UnknownNameError: no such plugin.
            SpecError: a parameter that the plugin does not know or accept.
        """
        cls, member = self.lookup(name)
        given = dict(params or {})
        if member is not None:
            given["member"] = member
        try:
            return cls(**given)
        except ValidationError as error:
            raise SpecError(explain_validation(error, f"{where or self.kind + ' ' + name}", cls)) from None


def registry_of(kind: str) -> Registry[Any]:
    """The registry of a kind of plugin, such as ``"task"``: how a lower floor asks a plugin that a name stands for."""
    if kind not in _registries:
        importlib.import_module(_HOMES[kind])
    return _registries[kind]


def explain_validation(error: ValidationError, where: str, cls: type[BaseModel]) -> str:
    """One line for each fault of a pydantic validation: the key, what was expected, what came, the near match."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown key {key!r}{near_key(str(fault['loc'][-1]), cls.model_fields)}")
        elif fault["type"] == "missing":
            lines.append(f"{where}: {key!r} is missing")
        else:
            lines.append(f"{where}: {key!r}: {fault['msg']}, got {fault.get('input')!r}")
    return "\n".join(lines)


def near_key(key: str, known: Iterable[str]) -> str:
    """``": did you mean 'x'?"`` or the list of known keys, for an unknown key."""
    text = str(UnknownNameError("key", key, [k for k in known if k != "member"]))
    return text.removeprefix(f"unknown key {key!r}")


_seen_entry_points = False
_included: dict[Path, str] = {}
_libraries: dict[str, None] = {}  # in order
_code: dict[str, str] = {}


def load_entry_points() -> None:
    """Import the modules that installed distributions offer under ``assay.plugins`` (once)."""
    global _seen_entry_points
    if not _seen_entry_points:
        _seen_entry_points = True
        for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
            _libraries.update(dict.fromkeys(getattr(point.load(), "LIBRARIES", ())))
            if point.module.partition(".")[0] != OURS:  # a wing of ours is covered by its plugins' versions
                _code.setdefault(point.module, _short(code_of(point.module)))


def include(files: Iterable[Path]) -> None:
    """Import plugin files given by ``--include``; this runs the code in them.

    Raises:
        UsageError: the file does not exist or raises when imported.
    """
    for file in files:
        path = Path(file).resolve()
        if path in _included:
            continue
        if not path.is_file():
            raise UsageError(f"--include {file}: no such file")
        content = _short([file_sha256(path), code_of_files([path])])
        name = f"assay_include_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise UsageError(f"--include {file}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise UsageError(f"--include {file}: {type(error).__name__}: {error}") from error
        _included[path] = name
        _code[name] = content


def foreign_code(cls: type) -> str:
    """Digest of the code of a class that is not Assay's: of its file or package and what that imports.

    Of a class without a file (a notebook's) of its source; without either it is new in every process. What is imported
    is looked at once a process: it is that which runs.
    """
    module = cls.__module__
    if module not in _code:
        file = getattr(sys.modules.get(module), "__file__", None)
        if module == "__main__" and file is None:
            return _short(inspect.getsource(cls)) if _has_source(cls) else PROCESS
        alone = [Path(file)] if module == "__main__" and file is not None else []
        _code[module] = _short([[file_sha256(f) for f in alone], code_of_files(alone)] if alone else code_of(module))
    return _code[module]


def _has_source(cls: type) -> bool:
    try:
        return bool(inspect.getsource(cls))
    except (OSError, TypeError):
        return False


def _short(value: object) -> str:
    return digest(value)[:16]


def plugin_code() -> dict[str, str]:
    """Digests of the code of all plugins that were included or that installed distributions bring."""
    load_entry_points()
    return dict(sorted(_code.items()))


def wing_libraries() -> tuple[str, ...]:
    """Distributions that do the work of installed wings (``LIBRARIES`` of the module that an entry point names)."""
    load_entry_points()
    return tuple(_libraries)


def included_files() -> list[Path]:
    """Files included so far, so that a worker process can include them too."""
    return list(_included)


__all__ = [
    "Family",
    "Plugin",
    "Registry",
    "Self",
    "canonical",
    "digest",
    "explain_validation",
    "include",
    "included_files",
    "library_version",
    "near_key",
    "registry_of",
    "wing_libraries",
]
