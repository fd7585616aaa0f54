"""``assay`` alone: what lies here, and what to do next."""

from __future__ import annotations

from pathlib import Path

from benchmark.cli.options import RESULTS

FIRST = "digits"  # the suite that needs nothing


def next_steps() -> list[str]:
    """Three lines: what is in the working directory, the command that goes on from there, where the rest stands."""
    from benchmark import __version__
    from benchmark.models.entries import find_entries
    from benchmark.spec.suites import find_suites

    ran = _ran(RESULTS)
    own = sorted(name for name, folder in find_entries().items() if folder.parent == (Path.cwd() / "baselines"))
    what = f"{len(find_suites())} suites, {len(find_entries())} model entries, results of {len(ran)} suites here"
    rest = "all commands: assay --help; what this machine has and each suite still needs: assay doctor"
    return [f"assay {__version__}: {what}", f"next: {_next(ran, own)}", rest]


def _next(ran: dict[str, Path], own: list[str]) -> str:
    """The most useful command, with its reason."""
    from benchmark.store.folder import Store

    for name, folder in ran.items():
        store = Store(folder)
        if store.holder():
            return f"assay status {name} (it runs now)"
        if store.cells.is_dir() and (missing := store.missing()):  # a clone's are packed
            return f"assay run {name} ({missing:,} of its cells have no record yet)"
    judged = {model for folder in ran.values() for model in (Store(folder).plan() or {"entries": {}})["entries"]}
    if new := [name for name in own if name not in judged]:
        return f"assay check {new[0]} (no suite has been run on it yet)"
    if not ran:
        return f"assay run {FIRST} (some minutes; needs no data, no download, no GPU)"
    latest = max(ran, key=lambda name: (ran[name] / "plan.json").stat().st_mtime)
    return f"assay report {latest}; your own network: assay new my_net"


def _ran(out: Path) -> dict[str, Path]:
    """Results folders that have a plan, by name."""
    return {plan.parent.name: plan.parent for plan in sorted(out.glob("*/plan.json"))}
