"""Pictures of attacks: the clean input, the perturbation enlarged, the perturbed input, and what the model said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from benchmark.report.events import BROKEN, Events
from benchmark.report.page.pictures import change, picture
from benchmark.report.page.samples import Attacked, Samples
from benchmark.report.text import short
from benchmark.sentences import per_100

MODELS, SAMPLES = 4, 3  # shown of each attack
ROOM = 2_000_000  # bytes of all pictures together


@dataclass(frozen=True)
class Shot:
    """One sample under one attack; pictures are data URIs."""

    sample: str
    clean: str
    change: str
    perturbed: str
    factor: str
    was: str
    became: str
    words: str


@dataclass
class Shown:
    """An attack's part of the gallery: rows of (model, shots)."""

    name: str
    budget: str
    control: bool
    rows: list[tuple[str, list[Shot]]] = field(default_factory=list)


def gallery(samples: Samples) -> list[Shown]:
    """A few broken samples of each attack and model; empty where no perturbed input is at hand.

    Of a fixed-budget attack at the headline's budget, else at its largest one. The samples are those that it broke on
    most models, so that rows can be compared.
    """
    if not samples.judgement.breaks or not samples.results.pictured:
        return []
    found, used = [], 0
    for attacked in _one_budget(samples):
        kept = {model: samples.kept(model, attacked) for model in samples.results.models[:MODELS]}
        kept = {model: images for model, images in kept.items() if images}
        clean = samples.clean(sorted({name for images in kept.values() for name in _common(kept, images)}))
        shown = Shown(attacked.view.name, attacked.budget, attacked.control)
        for model, images in kept.items():
            one = samples.events[model, attacked.key]
            shots = [
                _shot(samples, one, name, clean[name], images[name])
                for name in _common(kept, images)[:SAMPLES]
                if name in clean
            ]
            used += sum(len(shot.clean) + len(shot.change) + len(shot.perturbed) for shot in shots)
            if shots and used < ROOM:
                shown.rows.append((model, shots))
        if shown.rows:
            found.append(shown)
    return found


def _one_budget(samples: Samples) -> list[Attacked]:
    """Each attack at the headline's budget, else at its largest."""
    threat = samples.results.suite.threat
    chosen: dict[str, Attacked] = {}
    for attacked in samples.attacks:
        name = attacked.view.name
        if attacked.view.attack.generates:
            continue
        headline = chosen.get(name)
        if headline is not None and threat is not None and headline.eps == threat.eps:
            continue
        chosen[name] = attacked
    return list(chosen.values())


def _common(kept: dict[str, dict[str, NDArray[Any]]], images: dict[str, NDArray[Any]]) -> list[str]:
    """Samples of a model, those first that are kept of most models; then in their own order."""
    counts = {name: sum(name in each for each in kept.values()) for name in images}
    return sorted(counts, key=lambda name: (-counts[name], name))


def _shot(samples: Samples, one: Events, name: str, clean: NDArray[Any], perturbed: NDArray[Any]) -> Shot:
    delta, factor = change(clean, perturbed)
    at = one.samples.index(name)
    column = {key: values[at] for key, values in one.columns.items()}
    classes = [str(each) for each in samples.results.plan["dataset"]["classes"]]

    def named(k: Any) -> str:
        return "–" if k is None else classes[k] if 0 <= k < len(classes) else str(k)

    was, became = _with(named(column.get("before")), column.get("sure")), named(column.get("pred"))
    became = _with(became, column.get("now"))
    words = [f"label {named(column.get('label'))}"]
    if column.get("norm") is not None:
        words.append(f"norm {short(column['norm'])}")
    if column.get("margin") is not None:
        words.append(f"margin {short(column['margin'])}")
    if column.get("state") != BROKEN:
        words.append("not broken")
    return Shot(name, picture(clean), picture(delta), picture(perturbed), f"{factor:g}", was, became, ", ".join(words))


def _with(name: str, confidence: Any) -> str:
    return name if confidence is None else f"{name} ({per_100(confidence)} %)"
