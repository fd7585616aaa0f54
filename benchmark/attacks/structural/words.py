"""What a label says of turned and otherwise altered images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan

from benchmark.accounts import Chapter, Hazard
from benchmark.reported import EMPTY, Estimate, ProbeResults
from benchmark.sentences import HALF, Bar, Draft, ModelRecords, Sentence, budgets, per_100
from benchmark.spec.budget import Budget

SECTION = "shapes"
FAMILIES = (
    ("rotation-translation", "turned and shifted images"),
    ("scale", "enlarged and shrunk images"),
    ("shear", "slanted images"),
    ("brightness", "brighter and darker images"),
    ("contrast", "lower contrast"),
    ("gamma", "other midtones"),
    ("blur", "blurred images"),
    ("jpeg", "images stored as JPEG"),
    ("fog", "fog"),
    ("occlusion", "a part covered"),
)
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)  # of the family, by severity
QUALITY = (75, 60, 45, 30, 15)


def alteration(family: str, severity: int) -> tuple[str, list[float]]:
    """What a family does up to a severity, in words, and the numbers in it (docs/structural.md)."""
    s = severity
    said: dict[str, tuple[str, list[float]]] = {
        "rotation-translation": (
            "Turning the image by up to {} degrees and shifting it by up to {} % of its width and height",
            [6 * s, 2 * s],
        ),
        "scale": ("Enlarging or shrinking the image by a factor of up to {}", [1 + 0.08 * s]),
        "shear": ("Slanting the image by up to {} degrees", [5 * s]),
        "brightness": ("Making the image brighter or darker by up to {} % of the range from black to white", [10 * s]),
        "contrast": ("Lowering the contrast down to {} % of what it was", [100 * CONTRAST[s - 1]]),
        "gamma": ("Changing the midtones (a gamma of up to {}, or one over that)", [2 ** (0.3 * s)]),
        "blur": ("Blurring the image by up to {} % of its height", [s]),
        "jpeg": ("Storing the image as a JPEG of quality down to {} of 100", [QUALITY[s - 1]]),
        "fog": ("Laying simulated fog over the image, of a thickness up to {}", [0.3 * s]),
        "occlusion": ("Covering a square of up to {} % of the image's width and height in grey", [10 * s]),
    }
    return said.get(family, ("Altering the image (" + family + ", severity {} of 5)", [float(s)]))


def structural(model: ModelRecords, views: Sequence[ProbeResults]) -> Iterator[Sentence]:
    """For each family the smallest severity that breaks half in the worst case, and the average at that severity."""
    for family, modes in _families(views).items():
        worst = modes.get("grid") or modes.get("random")
        if worst is None:
            continue
        found = {eps: model.broken(worst.name, eps) for eps in budgets(worst)}
        eps = _smallest({e: rate for e, (_, rate) in found.items()}) or max(found)
        column, estimate = found[eps]
        draft = Draft(model, f"{worst.name} at severity {eps}")
        words, values = alteration(family, int(eps.value))
        shown = [draft.number(f"{value:.3g}", value, "(the severity's bounds)") for value in values]
        how = "the worst of all tried is taken for each image"
        if "grid" not in modes:
            how = "the worst of ten at random is taken for each image"
        text = (
            f"{words.format(*shown)} turns {draft.rate(column, estimate, noun='right answers wrong')}, where {how}."
            f"{_which(estimate, len(found))}"
        )
        cells = model.clean_cells() + model.attack_cells(worst.name, eps)
        average = modes.get("average")
        name = f"mean_acc_{average.name}_{eps.printed}" if average is not None else ""
        mean = model.own.get(name, EMPTY)
        if average is not None and mean.n and not isnan(mean.value):
            share = draft.number(per_100(mean.value), mean.value, name)
            text += f" Alterations of that range drawn at random leave {share} of 100 answers right on average."
            cells += model.attack_cells(average.name, eps)
        yield draft.done(SECTION, text, cells)


def _which(estimate: Estimate, tried: int) -> str:
    if isnan(estimate.value):
        return ""
    if estimate.value >= HALF:
        return "" if tried == 1 else " It is the smallest tested range that turns at least half of them wrong."
    return " No larger range was tested." if tried == 1 else " No tested range turned half of them wrong."


def _smallest(found: dict[Budget, Estimate]) -> Budget | None:
    return next((eps for eps, rate in found.items() if not isnan(rate.value) and rate.value >= HALF), None)


def _families(views: Sequence[ProbeResults]) -> dict[str, dict[str, ProbeResults]]:
    """Family to mode to probe."""
    families: dict[str, dict[str, ProbeResults]] = {}
    for view in views:
        families.setdefault(view.attack.family, {})[view.attack.mode] = view
    return families


def structural_bars(model: ModelRecords, views: Sequence[ProbeResults]) -> Iterator[Bar]:
    """Rotation and translation on average and in the worst case, at the severity that the sentence names."""
    modes = _families(views).get("rotation-translation", {})
    worst, average = modes.get("grid") or modes.get("random"), modes.get("average")
    if worst is None:
        return
    found = {eps: model.broken(worst.name, eps)[1] for eps in budgets(worst)}
    eps = _smallest(found) or max(found)
    turn = f"turned by up to {6 * int(eps.value)} degrees and shifted"
    name = "" if average is None else f"mean_acc_{average.name}_{eps.printed}"
    if average is not None and model.own.get(name, EMPTY).n:
        mean = model.own[name]
        source = model.source(f"{average.name} at severity {eps}", mean.n, model.attack_cells(average.name, eps))
        yield Bar(f"{turn.capitalize()}, at random", mean, source, name, "control")
    column, rate = model.robust(worst.name, eps)
    source = model.source(f"{worst.name} at severity {eps}", rate.n, model.attack_cells(worst.name, eps))
    yield Bar(f"{turn.capitalize()}, the worst", rate, source, column)


STRUCTURAL = Chapter(
    10, tuple(Hazard(f"structural:{name}", words) for name, words in FAMILIES), structural, structural_bars
)
