"""What the page says of the suite and of how its numbers were made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.report.results import Results

KEPT = ("assay", "python", "torch", "foolbox", "torchattacks", "captum", "zennit", "quantus", "deepinv", "numpy")


def facts(results: Results) -> list[tuple[str, str]]:
    """What the numbers are over: samples, data, threat model, seed."""
    suite, data = results.suite, results.plan["dataset"]
    found = [
        ("samples", f"{data['n']:,} of {suite.dataset.label}, {suite.dataset.split}"),
        ("models", str(len(results.models))),
    ]
    if suite.threat is not None:
        where = "" if suite.threat.domain == "image" else f" of the {suite.threat.domain}'s norm"
        found.append(("headline threat model", f"{suite.threat.norm}, eps = {suite.threat.eps}{where}"))
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
    """Settings needed to repeat it: for attacks, explainers and metrics a group of (name, what it uses, settings)."""
    suite, known = results.suite, results.plan.get("versions", {})

    def settings(params: Mapping[str, Any]) -> list[str]:
        return [f"{key} = {value}" for key, value in params.items()]

    def used(name: str, use: str) -> str:
        library = known.get(name, "").partition("+")[2]
        return f"{use} ({library})" if library else use

    attacks = []
    for probe in suite.attacks:
        said = settings(probe.params)
        said += [f"budgets {', '.join(str(eps) for eps in probe.budgets)}"] if probe.budgets else []
        said += [f"fitted on {probe.fit_samples} samples of {suite.dataset.fit_split}"] if probe.fit_samples else []
        said += [f"fitted on {probe.source}"] if probe.source else []
        said += ["judged on every entry"] if probe.transfer else []
        attacks.append((probe.name, used(probe.name, probe.use), "; ".join(said) or "default settings"))
    rest = [
        (
            "Explainers",
            [
                (p.name, used(p.name, p.use), "; ".join(settings(p.params)) or "default settings")
                for p in suite.explainers
            ],
        ),
        (
            "Metrics",
            [(m.name, used(m.name, m.use), "; ".join(settings(m.params)) or "default settings") for m in suite.metrics],
        ),
    ]
    return [{"title": title, "rows": rows} for title, rows in (("Attacks", attacks), *rest) if rows]


def versions(results: Results) -> list[tuple[str, str]]:
    """Versions, devices and days that the records name; several, where they were not made at once."""
    found: dict[str, set[str]] = {}
    for head in results.heads.values():
        for name, value in head.get("provenance", {}).items():
            text = str(value)[:10] if name == "date" else str(value)
            found.setdefault(name, set()).add(text)
    names = [name for name in KEPT if name in found] + [name for name in ("device",) if name in found]
    rows = [(name, ", ".join(sorted(found[name]))) for name in names]
    days = sorted(found.get("date", set()))
    if days:
        rows.append(("computed", days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"))
    return [*rows, ("dataset digest", results.plan["dataset"]["digest"][:16])]
