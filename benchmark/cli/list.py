"""``assay list``: what there is, one line each."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from benchmark.cli.options import Entries, Include


class What(StrEnum):
    """The things that can be listed."""

    SUITES = "suites"
    ENTRIES = "entries"
    DATASETS = "datasets"
    ATTACKS = "attacks"
    EXPLAINERS = "explainers"
    METRICS = "metrics"
    SOURCES = "sources"


def list_(
    what: Annotated[What, typer.Argument(help="What to list.")],
    entries: Entries = [],  # noqa: B006
    include: Include = [],  # noqa: B006
) -> None:
    """List suites, entries, datasets, attacks, explainers, metrics or sources of networks, one line each."""
    from benchmark.registry import include as include_files

    include_files(include)
    rows = _suites() if what is What.SUITES else _entries(entries) if what is What.ENTRIES else _plugins(what)
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        typer.echo(f"{name:<{width}}  {text}".rstrip())


def _suites() -> list[tuple[str, str]]:
    from benchmark.errors import SpecError
    from benchmark.spec.suites import find_suites, load_suite

    rows = []
    for name in find_suites():
        try:
            rows.append((name, load_suite(name).title))
        except SpecError as error:
            rows.append((name, f"cannot be read: {str(error).splitlines()[0]}"))
    return rows


def _entries(extra: list[Any]) -> list[tuple[str, str]]:
    from benchmark.errors import SpecError
    from benchmark.models.entries import find_entries, load_entry

    rows = []
    for name in find_entries(extra):
        try:
            spec = load_entry(name, extra).spec
            shape = "x".join(str(part) for part in spec.input_shape)
            rows.append((name, f"{spec.task}, {spec.dataset or 'any data'}, {shape}: {spec.description}".strip(": ")))
        except SpecError as error:
            rows.append((name, f"cannot be read: {str(error).splitlines()[0]}"))
    return rows


def _plugins(what: What) -> list[tuple[str, str]]:
    from importlib import import_module

    package = {"datasets": "data", "sources": "models.sources"}.get(what, what.value)
    registry = getattr(import_module(f"benchmark.{package}.base"), what.value)
    rows = []
    for name, cls in registry.classes().items():
        line = (cls.__doc__ or "").strip().splitlines()[0]
        facts = _facts(cls)
        text = f"{line} {facts}".strip() + (f" [{reason}]" if (reason := cls.lacks()) else "")
        if hasattr(cls, "members"):
            rows.append((f"{name}:{getattr(cls, 'placeholder', '<Name>')}", text))
            rows += [(f"{name}:{member}", _member_facts(cls, member)) for member in cls.members()]
        elif what is What.SOURCES:
            rows.append((f"{name}:{cls.form}", text))
        else:
            rows.append((name, text))
    return rows


def _facts(cls: Any) -> str:
    from benchmark.inputs import IMAGE, kinds

    facts = []
    if hasattr(cls, "threat") and not hasattr(cls, "members"):
        facts.append(_threat(cls()))
    if hasattr(cls, "accepts") and IMAGE not in cls.accepts:
        facts.append(f"accepts {kinds(cls.accepts)}")
    if getattr(cls, "inputs", IMAGE) != IMAGE:
        facts.append(f"holds {cls.inputs!r}")
    if getattr(cls, "control", False):
        facts.append("control")
    if hasattr(cls, "higher_is_better"):
        better = None if getattr(cls, "family", "") == "complexity" else cls.higher_is_better  # as the verdict on it
        facts.append({True: "higher is better", False: "lower is better", None: "descriptive"}[better])
    if getattr(cls, "needs_masks", False):
        facts.append("needs masks")
    text = f"[{', '.join(facts)}]" if facts else ""
    notes = [f"cost: {cls.cost}" if getattr(cls, "cost", "") else "", f"source: {cls.source}" if cls.source else ""]
    return "; ".join(part for part in (text, *notes) if part)


def _member_facts(cls: Any, member: str) -> str:
    from benchmark.errors import AssayError

    try:
        plugin = cls(member=member)
        if hasattr(plugin, "higher_is_better"):
            return _facts(plugin)
        cost = f"; cost: {plugin.member_cost()}" if hasattr(plugin, "member_cost") else ""
        return _threat(plugin) + cost + f"; source: {cls.library}"
    except (AssayError, AttributeError, ValueError):
        table = getattr(cls, "table", None)  # of a library's attacks; a dataset of a library has none
        known = table.get(cls.read().alias.get(member, member)) if table else None
        if known is None:
            return ""
        norm = "norm as the suite says" if known.norm == "none" else known.norm
        return f"{norm}, {known.kind}, {known.knowledge}; source: {cls.library}"


def _threat(attack: Any) -> str:
    threat = attack.threat
    return f"{threat.norm}, {threat.kind}, {threat.knowledge}" + (", targeted" if threat.targeted else "")
