"""What the adapters of attack libraries share: names and signatures read by ast, so that listing imports nothing."""

from __future__ import annotations

import ast
import importlib.util
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from benchmark.attacks.base import Attack, Kind, Knowledge, Norm, Threat
from benchmark.errors import SpecError, UnknownNameError
from benchmark.registry import Family, library_version, near_key


class Known(NamedTuple):
    """What Assay knows of a library's attack: its threat model, and whether it draws random numbers."""

    norm: Norm
    kind: Kind
    knowledge: Knowledge = "white-box"
    random: bool = False


USUAL = 2.5  # steps times their length, in budgets: of PGD as it is commonly run


class Missing:
    """Default of a parameter that has none, or whose default is not a literal."""


class Computed(float):
    """Default of a parameter that is a product or quotient of numbers."""


REQUIRED, NOT_LITERAL = Missing(), Missing()


class Source:
    """A library's public attack names, their aliases and the constructors' parameters, read from its source files.

    Args:
        package: import package of the library; nothing is read where it is not installed.
        names: module that exports the attacks, relative to the package, such as ``"attacks/__init__.py"``.
        folder: where the classes or functions are defined, such as ``"attacks"``.
    """

    def __init__(self, package: str, names: str, folder: str) -> None:
        spec = importlib.util.find_spec(package)  # finds a top-level package without importing it
        roots = list(spec.submodule_search_locations or ()) if spec else []
        self.alias: dict[str, str] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.functions: dict[str, ast.FunctionDef] = {}
        if not roots:
            return
        for node in _statements(Path(roots[0]) / names):
            for inner in node.body if isinstance(node, ast.If) else [node]:  # where another package is installed
                self._export(inner)
        where = Path(roots[0]) / folder
        for file in [*sorted(where.glob("*/*.py")), *sorted(where.glob("*.py"))]:
            for node in _statements(file):
                if isinstance(node, ast.ClassDef):
                    self.classes[node.name] = node
                elif isinstance(node, ast.FunctionDef):
                    self.functions[node.name] = node

    def _export(self, node: ast.stmt) -> None:
        if isinstance(node, ast.ImportFrom):
            self.alias |= {name.asname or name.name: name.name for name in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            value = self.alias.get(node.value.id, node.value.id)
            self.alias |= {t.id: value for t in node.targets if isinstance(t, ast.Name)}

    def parameters(self, name: str) -> dict[str, Any] | None:
        """Keyword parameters of a function or a class's constructor, with their defaults; None: they cannot be read."""
        name = self.alias.get(name, name)
        if name in self.functions:
            return _arguments(self.functions[name].args)
        if name not in self.classes:
            return None
        constructor = self._constructor(name)
        if constructor is None:
            return {}
        return None if constructor.args.kwarg else _arguments(constructor.args)

    def _constructor(self, name: str) -> ast.FunctionDef | None:
        """The nearest ``__init__`` of a class, bases from left to right."""
        node = self.classes[name]
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                return item
        bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in self.classes]
        return next((constructor for base in bases if (constructor := self._constructor(base)) is not None), None)


def _statements(file: Path) -> list[ast.stmt]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a string's escapes
        return ast.parse(file.read_text(encoding="utf-8")).body


def _arguments(args: ast.arguments) -> dict[str, Any]:
    positional = [*args.posonlyargs, *args.args]
    gap = len(positional) - len(args.defaults)
    pairs = [(arg.arg, args.defaults[i - gap] if i >= gap else None) for i, arg in enumerate(positional)]
    pairs += [(arg.arg, default) for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    return {name: _literal(default) for name, default in pairs if name != "self"}


def _literal(node: ast.expr | None) -> Any:
    """A default as it stands, or a product or quotient of numbers, such as ``2 / 255``."""
    if node is None:
        return REQUIRED
    try:
        return ast.literal_eval(node)
    except ValueError:
        pass
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Mult):
        left, right = _literal(node.left), _literal(node.right)
        if isinstance(left, int | float) and isinstance(right, int | float):
            return Computed(left / right if isinstance(node.op, ast.Div) else left * right)
    return NOT_LITERAL


@cache
def source(package: str, names: str, folder: str) -> Source:
    """:class:`Source`, read once a process."""
    return Source(package, names, folder)


class LibraryAttack(Attack, Family):
    """An attack of a library by class name; further keys are the keyword parameters of its constructor.

    Every member runs on the whole batch, samples that are already wrong included, so that the numbers it draws do not
    depend on the model.

    Fields:
        batch_size: samples a call; it is part of the result of a random member, and then never changed by the run.
        norm, kind: threat model, where Assay does not know the member's (they must agree where it does).
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    borrowed: ClassVar[bool] = True
    random: ClassVar[bool] = True
    whole_batch: ClassVar[bool] = True
    package: ClassVar[str] = ""  # import package of the library, where it is not called like its distribution
    files: ClassVar[tuple[str, str]]
    table: ClassVar[dict[str, Known]]
    unusable: ClassVar[dict[str, str]]
    hidden: ClassVar[frozenset[str]] = frozenset()  # parameters that the adapter fills in itself
    counts: ClassVar[tuple[str, ...]] = ("steps", "nb_iter")  # parameters that say how many steps there are

    batch_size: int = Field(default=100, ge=1)
    norm: Norm | None = None
    kind: Kind | None = None

    @field_validator("norm", "kind", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_parameters(self) -> Self:
        if self.member in self.unusable:
            raise SpecError(f"attack {self.name!r} cannot be used: {self.unusable[self.member]}")
        if self.member not in self.read().alias and not (self.lacks() and self.member in self.table):
            where = f"{self.library} {library_version(self.library)}"
            raise UnknownNameError("attack", self.name, [f"{self.use}:{name}" for name in self.members()], where)
        known = self.signature()
        for key in self.keywords():
            if known is not None and key not in known:
                shown = [*known, "batch_size", "norm", "kind"]
                raise SpecError(f"attack {self.name!r}: unknown key {key!r}{near_key(key, shown)}")
        for key, default in (known or {}).items():
            if default is REQUIRED and key not in self.keywords():
                raise SpecError(f"attack {self.name!r}: {key!r} is missing; give it under params")
        return self

    @model_validator(mode="after")
    def _cross(self) -> Self:
        """A step that is not given is the field's 2.5 eps / steps (Madry et al. 2018's code), and part of the key.

        The library's own are fixed numbers that need not reach the border of the ball.
        """
        if self.step_key() and not self.steps_given() and self.count():
            assert self.__pydantic_extra__ is not None
            self.__pydantic_extra__ |= self.step_of(self.default_step())
        return self

    def step_key(self) -> str:
        """The parameter that says how long a step is, as a share of the budget or in units of it; "" without one."""
        return ""

    def step_of(self, share: float) -> dict[str, Any]:
        """Parameters by which a step is this share of the budget."""
        return {self.step_key(): share}

    def steps_given(self) -> bool:
        """Whether the length of a step was said."""
        return self.step_key() in self.keywords()

    def step(self, eps: float) -> float | None:
        """Length of a step as a share of the budget; None where none is known."""
        value = self.keywords().get(self.step_key())
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def count(self) -> int:
        """How many steps there are; 1 for a member that makes one, 0 where it is not known."""
        signature = self.signature() or {}
        key = next((key for key in self.counts if key in signature), "")
        value = self.keywords().get(key, signature.get(key)) if key else 1
        return value if isinstance(value, int) and value > 0 else 0

    def reach(self, eps: float) -> float | None:
        """Steps times their length against the budget, where the member goes by steps."""
        step = self.step(eps) if self.step_key() else None
        return None if step is None else self.count() * step

    def settings(self) -> dict[str, Any]:
        """See :meth:`Plugin.settings`; with the parameters of its class."""
        own = super().settings()
        read = {key: value for key, value in (self.signature() or {}).items() if not isinstance(value, Missing)}
        computed = {key: float(value) for key, value in read.items() if isinstance(value, Computed) and key not in own}
        return {key: value for key, value in read.items() if not isinstance(value, Computed)} | own | computed

    def effortless(self) -> dict[str, Any]:
        """See :meth:`Attack.effortless`; a step of 2.5 / steps of the budget goes with the effort."""
        settings = self.settings()
        return settings | self.step_of(0.0) if self.usual() else settings

    def usual(self) -> bool:
        """Whether its steps are as long as they are by default."""
        share = self.reach(1.0)
        return share is not None and abs(share - self.count() * self.default_step()) < 1e-9

    def default_step(self) -> float:
        """Length of a step that is not given, as a share of the budget."""
        return USUAL / max(1, self.count())

    def as_recorded(self, params: Mapping[str, Any]) -> Self:
        """The attack as a record says that it ran: without a step in it, the library's own default held."""
        order = {key: params[key] for key in self.keywords() if key in params}  # as the suite gave them
        attack = type(self)(member=self.member, **{"norm": self.norm, "kind": self.kind, **order, **params})
        default = (self.signature() or {}).get(self.step_key())
        said = set(params) & {self.step_key(), *self.step_of(1.0), "abs_stepsize"}
        if self.step_key() and not said and isinstance(default, int | float):
            assert attack.__pydantic_extra__ is not None
            attack.__pydantic_extra__[self.step_key()] = float(default)
        return attack

    def longer(self, more: int) -> Self | None:
        """See :meth:`Attack.longer`."""
        key = next((key for key in self.counts if key in (self.signature() or {})), "")
        if self.threat.kind != "fixed" or self.threat.knowledge == "none" or not key or not self.count():
            return None
        given = self.model_dump() | {key: self.count() + more}
        return type(self)(**given)

    @classmethod
    def read(cls) -> Source:
        """Names and signatures of the library."""
        return source(cls.package or cls.library, *cls.files)

    @classmethod
    def members(cls) -> list[str]:
        """Every exported attack that can be used, aliases included; those that we know where it is not installed."""
        return sorted(name for name in cls.read().alias or cls.table if name not in cls.unusable)

    @classmethod
    def open_ended(cls) -> bool:
        """True: the plugin itself says why a name cannot be used."""
        return True

    def keywords(self) -> dict[str, Any]:
        """The constructor's keyword parameters that were given."""
        return dict(self.__pydantic_extra__ or {})

    def signature(self) -> dict[str, Any] | None:
        """Parameters that may be given, with their defaults; None where the source does not tell."""
        parameters = self.read().parameters(self.member)
        return None if parameters is None else {k: v for k, v in parameters.items() if k not in self.hidden}

    def known(self) -> Known | None:
        """The table's row of this member."""
        return self.table.get(self.read().alias.get(self.member, self.member))

    @property
    def threat(self) -> Threat:
        """Threat model from the table, else as the suite says.

        Raises:
            SpecError: unknown and not said, or said otherwise than it is.
        """
        known = self.known()
        norm, kind = self.resolved_norm(), self.kind or (known.kind if known else None)
        if norm is None or kind is None:
            what = " and ".join(key for key, value in (("norm", norm), ("kind", kind)) if value is None)
            raise SpecError(
                f"attack {self.name!r}: its threat model is not known; set {what} in the probe"
                " (norm = 'linf', 'l2', 'l1' or 'l0'; kind = 'fixed' or 'minimal')"
            )
        if known and kind != known.kind:
            raise SpecError(f"attack {self.name!r} is of kind {known.kind!r}, the probe says {kind!r}; remove `kind`")
        return Threat(norm=norm, kind=kind, knowledge=known.knowledge if known else "white-box")

    def member_cost(self) -> str:
        """Calls in words, for ``assay list``; the records hold the numbers."""
        costs = {"none": "no calls", "score": "forwards only (queries)", "decision": "forwards only (queries)"}
        return costs.get(self.threat.knowledge, "forwards and backwards in every step")

    def resolved_norm(self) -> Norm | None:
        """The norm that holds.

        Raises:
            SpecError: the probe says another than the library's.
        """
        known = self.known()
        if known is None or known.norm == "none":  # "none" in the table: the suite chooses
            return self.norm
        if self.norm not in (None, known.norm):
            raise SpecError(f"attack {self.name!r} is an {known.norm} attack, the probe says {self.norm!r}")
        return known.norm

    def draws_numbers(self) -> bool:
        """True where this member draws random numbers with these parameters."""
        known, signature = self.known(), self.signature() or {}
        if known is None or known.random:
            return True
        start = self.keywords().get("random_start", signature.get("random_start", False))
        return start is not False

    def fixed_batch_size(self) -> int | None:
        """The declared batch size where random numbers are drawn for the batch at once."""
        return self.batch_size if self.draws_numbers() else None
