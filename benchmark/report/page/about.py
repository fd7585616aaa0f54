"""What the page says of the suite and of how its numbers were made."""

from __future__ import annotations

from typing import Any

from benchmark.report.settings import networks, settings
from benchmark.results.base import Results

KINDS = {"attack": "Attacks", "explainer": "Explainers", "metric": "Metrics", "task": "Task", "dataset": "Dataset"}
FIRST, APART = ("assay", "python"), ("device", "date")  # of a record's provenance; the others are libraries


def facts(results: Results) -> list[tuple[str, str]]:
    """What the numbers are over: samples, data, threat model, seed."""
    suite, data = results.suite, results.plan["dataset"]
    found = [
        ("samples", f"{data['n']:,} of {suite.dataset.label}, {suite.dataset.split}"),
        ("models", str(len(results.models))),
    ]
    if suite.threat is not None:
        found.append(("headline threat model", f"{suite.threat.norm}, eps = {suite.threat.eps}{results.elsewhere}"))
    attacks = sum(not results.threat(probe.name).get("control") for probe in suite.attacks)
    controls = len(suite.attacks) - attacks
    if suite.attacks:
        found.append(("attacks", f"{attacks}" + (f", and {controls} as control" if controls else "")))
    if suite.explainers:
        control = sum(bool(results.plan["explainers"][p.name]["control"]) for p in suite.explainers)
        found.append(
            ("explainers", f"{len(suite.explainers) - control}" + (f", and {control} as control" if control else ""))
        )
        found.append(("metrics", str(len(suite.metrics))))
    found.append(("seed", str(suite.seed)))
    return [*found, *[(name, str(text)) for name, text in data.get("facts", {}).items()]]


def made(results: Results) -> list[dict[str, Any]]:
    """Every setting needed to repeat it: for each kind of plugin a group of (name, what it uses, settings)."""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for each in settings(results).parts:
        about = ", ".join(part for part in (f"version {each.version}" if each.version else "", each.library) if part)
        said = [f"{key} = {value}" for key, value in each.params.items()]
        said += [f"budgets {', '.join(each.budgets)}"] if each.budgets else []
        said += [f"{key} = {value}" for key, value in each.others.items()]
        said += [f"n = {each.n}"] if each.n else []
        said += [each.note] if each.note else []
        row = (each.name, f"{each.use} ({about})" if about else each.use, "; ".join(said) or "no settings")
        groups.setdefault(KINDS.get(each.kind, each.kind), []).append(row)
    known = networks(results.plan, results.heads.values())
    if known:
        digests = results.plan["entries"]
        groups["Networks"] = [(name, digests[name], "; ".join(lines)) for name, lines in known.items()]
    return [{"title": title, "rows": rows} for title, rows in groups.items()]


def versions(results: Results) -> list[tuple[str, str]]:
    """Versions, devices and days that the records name; several, where they were not made at once."""
    found: dict[str, set[str]] = {}
    for head in results.heads.values():
        for name, value in head.get("provenance", {}).items():
            text = str(value)[:10] if name == "date" else str(value)
            found.setdefault(name, set()).add(text)
    libraries = sorted(set(found) - {*FIRST, *APART})
    names = [name for name in (*FIRST, *libraries, "device") if name in found]
    rows = [(name, ", ".join(sorted(found[name]))) for name in names]
    days = sorted(found.get("date", set()))
    if days:
        rows.append(("computed", days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"))
    return [*rows, ("dataset digest", results.plan["dataset"]["digest"])]
