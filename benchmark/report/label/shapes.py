"""Sentences on turned and otherwise altered images, stickers, patterns that fit every image, and images of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import isnan

from benchmark.report.label.facts import Bar, Says, Sentence
from benchmark.report.label.robust import HALF, size
from benchmark.report.label.tested import Tested
from benchmark.report.probes import ProbeView
from benchmark.report.results import Condition
from benchmark.report.text import per_100
from benchmark.reported import EMPTY, Estimate
from benchmark.spec.suite import show_eps

SECTION = "shapes"
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


def structural(tested: Tested) -> Iterator[Sentence]:
    """For each family the smallest severity that breaks half in the worst case, and the average at that severity."""
    for family, modes in _families(tested).items():
        worst = modes.get("grid") or modes.get("random")
        if worst is None:
            continue
        found = {eps: tested.broken(Condition(worst.name, eps)) for eps in sorted(worst.probe.budgets)}
        eps = _smallest({e: rate for e, (_, rate) in found.items()}) or max(found)
        column, estimate = found[eps]
        says = Says(tested, f"{worst.name} at severity {eps}")
        words, values = alteration(family, int(eps))
        shown = [says.number(f"{value:.3g}", value, "(the severity's bounds)") for value in values]
        how = "the worst of all tried is taken for each image"
        if "grid" not in modes:
            how = "the worst of ten at random is taken for each image"
        text = (
            f"{words.format(*shown)} turns {says.rate(column, estimate, noun='right answers wrong')}, where {how}."
            f"{_which(estimate, len(found))}"
        )
        cells = tested.clean_cells() + tested.attack_cells(worst.name, eps)
        average = modes.get("average")
        name = f"mean_acc_{average.name}_{show_eps(eps)}" if average is not None else ""
        mean = tested.own.get(name, EMPTY)
        if average is not None and mean.n and not isnan(mean.value):
            share = says.number(per_100(mean.value), mean.value, name)
            text += f" Alterations of that range drawn at random leave {share} of 100 answers right on average."
            cells += tested.attack_cells(average.name, eps)
        yield says.done(SECTION, text, cells)


def _which(estimate: Estimate, tried: int) -> str:
    if isnan(estimate.value):
        return ""
    if estimate.value >= HALF:
        return "" if tried == 1 else " It is the smallest tested range that turns at least half of them wrong."
    return " No larger range was tested." if tried == 1 else " No tested range turned half of them wrong."


def _smallest(found: dict[Fraction, Estimate]) -> Fraction | None:
    return next((eps for eps, rate in found.items() if not isnan(rate.value) and rate.value >= HALF), None)


def _families(tested: Tested) -> dict[str, dict[str, ProbeView]]:
    families: dict[str, dict[str, ProbeView]] = {}
    for probe in tested.suite.attacks:
        if probe.use == "structural" and tested.ran(probe) and probe.name in tested.views:
            attack = tested.views[probe.name].attack
            families.setdefault(attack.family, {})[attack.mode] = tested.views[probe.name]  # type: ignore[attr-defined]
    return families


def structural_bars(tested: Tested) -> Iterator[Bar]:
    """Rotation and translation on average and in the worst case, at the severity that the sentence names."""
    modes = _families(tested).get("rotation-translation", {})
    worst, average = modes.get("grid") or modes.get("random"), modes.get("average")
    if worst is None:
        return
    found = {eps: tested.broken(Condition(worst.name, eps))[1] for eps in sorted(worst.probe.budgets)}
    eps = _smallest(found) or max(found)
    turn = f"turned by up to {6 * int(eps)} degrees and shifted"
    name = "" if average is None else f"mean_acc_{average.name}_{show_eps(eps)}"
    if average is not None and tested.own.get(name, EMPTY).n:
        mean = tested.own[name]
        source = tested.source(f"{average.name} at severity {eps}", mean.n, tested.attack_cells(average.name, eps))
        yield Bar(f"{turn.capitalize()}, at random", mean, source, name, "control")
    column, rate = tested.robust(Condition(worst.name, eps))
    source = tested.source(f"{worst.name} at severity {eps}", rate.n, tested.attack_cells(worst.name, eps))
    yield Bar(f"{turn.capitalize()}, the worst", rate, source, column)


# -- stickers ----------------------------------------------------------------------------------------------


def stickers(tested: Tested) -> Iterator[Sentence]:
    """The smallest sticker that fools in half of the views (else the one that fools most), and its control."""
    found = []
    for view in tested.views.values():
        name, own = view.name, tested.own
        control = bool(tested.results.threat(name).get("control"))
        if f"fooled_{name}" in own and own[f"fooled_{name}"].n and not control and tested.ran(view.probe):
            found.append(view)
    area, fooled = ({v.name: tested.own[f"{kind}_{v.name}"] for v in found} for kind in ("sticker_area", "fooled"))
    if not found:
        return
    enough = [v for v in found if fooled[v.name].value >= HALF]
    if enough:
        view = min(enough, key=lambda v: (area[v.name].value, v.name))
    else:
        view = max(found, key=lambda v: (fooled[v.name].value, v.name))
    says, name = Says(tested, view.name), view.name
    share = says.number(f"{100 * area[name].value:.2g}", area[name].value, f"sticker_area_{name}")
    unit = "views" if getattr(view.attack, "distances", None) else "placements"
    said = says.rate(f"fooled_{name}", fooled[name], noun="right answers wrong", unit=unit)
    which = " No tested sticker turned half of them wrong." if not enough else ""
    if enough and len(found) > 1:
        which = " It is the smallest tested sticker that turns at least half of them wrong."
    text = f"One sticker that covers {share} % of the image{_where(says, view)} turns {said}.{which}"
    cells = tested.clean_cells() + tested.attack_cells(name)
    control_name = _control_of(tested, view)
    if control_name:
        column = f"fooled_{control_name}"
        text += f" A sticker of that size and place with random colours turns {says.share(column, tested.own[column])}"
        text += " wrong."
        cells += tested.attack_cells(control_name)
    short = (
        f"one sticker on {share} % of the image turns {says.share(f'fooled_{name}', fooled[name])} right answers wrong"
    )
    yield says.done(SECTION, text, cells, short, fooled[name].value)


def _where(says: Says, view: ProbeView) -> str:
    attack = view.attack
    distances, angles = getattr(attack, "distances", None), getattr(attack, "angles", None)
    if not distances or not angles:
        return ", made once for this model to fit all images and laid on them at random places,"
    near, far = (says.number(f"{v:g}", v, "(the plan's distances)") for v in (min(distances), max(distances)))
    left, right = (says.number(f"{v:g}", v, "(the plan's angles)") for v in (min(angles), max(angles)))
    photos = says.number(str(view.results.planned(says.tested.model)), view.results.planned(says.tested.model), "n")
    return f", in simulated views of {photos} photographs from {near} to {far} metres and {left} to {right} degrees,"


def _control_of(tested: Tested, view: ProbeView) -> str:
    """The control with a sticker of the same size and place."""
    attack = view.attack
    alike = [key for key in ("mask", "area") if hasattr(attack, key)]
    for other in tested.views.values():
        control = bool(tested.results.threat(other.name).get("control"))
        same = all(getattr(other.attack, key, None) == getattr(attack, key) for key in alike)
        if control and same and tested.own.get(f"fooled_{other.name}", EMPTY).n:
            return other.name
    return ""


# -- one pattern, and images of nothing --------------------------------------------------------------------


def universal(tested: Tested) -> Iterator[Sentence]:
    """The smallest pattern, the same for all images, that changes half of the answers; and a random one."""
    for norm in ("linf", "l2"):
        found: list[tuple[Fraction, str, Estimate]] = []
        for view in tested.views.values():
            threat = tested.results.threat(view.name)
            fits = type(view.attack).fits and threat.get("norm") == norm and not threat.get("targeted")
            if not fits or not tested.ran(view.probe):
                continue
            for eps in view.probe.budgets:
                rate = tested.own.get(f"fooling_rate_{view.name}_{show_eps(eps)}", EMPTY)
                if rate.n and not isnan(rate.value):
                    found.append((eps, view.name, rate))
        if found:
            yield _pattern(tested, norm, found)


def _pattern(tested: Tested, norm: str, found: list[tuple[Fraction, str, Estimate]]) -> Sentence:
    enough = [each for each in found if each[2].value >= HALF]
    if enough:
        eps, name, rate = min(enough, key=lambda each: (each[0], -each[2].value, each[1]))
        which = " It is the smallest tested size that changes at least half of the answers."
    else:
        eps, name, rate = max(found, key=lambda each: (each[2].value, each[1]))
        which = " No tested pattern changed half of the answers."
    column = f"fooling_rate_{name}_{show_eps(eps)}"
    says = Says(tested, f"{name} at {norm} {eps}")
    text = (
        f"One and the same pattern added to every image, with {size(norm, eps, says)}, changes"
        f" {says.rate(column, rate, noun='answers')}.{which}"
    )
    cells = tested.attack_cells(name, eps)
    for probe in tested.breaking(norm, control=True):
        control = f"fooling_rate_{probe.name}_{show_eps(eps)}"
        if eps in probe.budgets and tested.own.get(control, EMPTY).n:
            text += f" A random pattern of that size changes {says.share(control, tested.own[control])}."
            cells += tested.attack_cells(probe.name, eps)
            break
    short = f"one pattern for all images changes {says.share(column, rate)} answers"
    return says.done(SECTION, text, cells, short, rate.value)


def nothing(tested: Tested) -> Iterator[Sentence]:
    """Images that show nothing, of which the model is sure."""
    best: tuple[float, str] | None = None
    for view in tested.views.values():
        rate = tested.own.get(f"fooling_99_{view.name}", EMPTY)
        control = bool(tested.results.threat(view.name).get("control"))
        if rate.n and not isnan(rate.value) and not control and (best is None or rate.value > best[0]):
            best = (rate.value, view.name)
    if best is None:
        return
    name = best[1]
    rate, column = tested.own[f"fooling_99_{name}"], f"fooling_99_{name}"
    says = Says(tested, name)
    sure = says.number("99", 0.99, "(the column's level)")
    text = (
        f"For {says.share(column, rate)} kinds of answer an image made from nothing, that shows no such thing, was"
        f" found of which the model says that it is {sure} % sure or more."
    )
    yield says.done(SECTION, text, tested.attack_cells(name, kinds=("generate",)))
