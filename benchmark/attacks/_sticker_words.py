"""What a label says of stickers, laid on the image or in the scene."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.accounts import Chapter, Hazard
from benchmark.reported import ProbeResults
from benchmark.sentences import HALF, Draft, ModelRecords, Sentence

SECTION = "shapes"


def stickers(model: ModelRecords, views: Sequence[ProbeResults]) -> Iterator[Sentence]:
    """The smallest sticker that fools in half of the views (else the one that fools most), and its control."""
    views = [v for v in views if f"fooled_{v.name}" in model.own and model.own[f"fooled_{v.name}"].n]
    found = [view for view in views if not model.threat(view.name).get("control")]
    area, fooled = ({v.name: model.own[f"{kind}_{v.name}"] for v in found} for kind in ("sticker_area", "fooled"))
    if not found:
        return
    enough = [v for v in found if fooled[v.name].value >= HALF]
    if enough:
        view = min(enough, key=lambda v: (area[v.name].value, v.name))
    else:
        view = max(found, key=lambda v: (fooled[v.name].value, v.name))
    draft, name = Draft(model, view.name), view.name
    share = draft.number(f"{100 * area[name].value:.2g}", area[name].value, f"sticker_area_{name}")
    unit = "views" if getattr(view.attack, "distances", None) else "placements"
    said = draft.rate(f"fooled_{name}", fooled[name], noun="right answers wrong", unit=unit)
    which = " No tested sticker turned half of them wrong." if not enough else ""
    if enough and len(found) > 1:
        which = " It is the smallest tested sticker that turns at least half of them wrong."
    text = f"One sticker that covers {share} % of the image{_where(draft, view)} turns {said}.{which}"
    cells = model.clean_cells() + model.attack_cells(name)
    control_name = _control_of(model, view, views)
    if control_name:
        column = f"fooled_{control_name}"
        text += f" A sticker of that size and place with random colours turns {draft.share(column, model.own[column])}"
        text += " wrong."
        cells += model.attack_cells(control_name)
    short = (
        f"one sticker on {share} % of the image turns {draft.share(f'fooled_{name}', fooled[name])} right answers wrong"
    )
    yield draft.done(SECTION, text, cells, short, fooled[name].value)


def _where(draft: Draft, view: ProbeResults) -> str:
    attack = view.attack
    distances, angles = getattr(attack, "distances", None), getattr(attack, "angles", None)
    if not distances or not angles:
        return ", made once for this model to fit all images and laid on them at random places,"
    near, far = (draft.number(f"{v:g}", v, "(the plan's distances)") for v in (min(distances), max(distances)))
    left, right = (draft.number(f"{v:g}", v, "(the plan's angles)") for v in (min(angles), max(angles)))
    photos = draft.number(str(draft.model.planned), draft.model.planned, "n")
    return f", in simulated views of {photos} photographs from {near} to {far} metres and {left} to {right} degrees,"


def _control_of(model: ModelRecords, view: ProbeResults, views: Sequence[ProbeResults]) -> str:
    """The control with a sticker of the same size and place."""
    attack = view.attack
    alike = [key for key in ("mask", "area") if hasattr(attack, key)]
    for other in views:
        control = bool(model.threat(other.name).get("control"))
        same = all(getattr(other.attack, key, None) == getattr(attack, key) for key in alike)
        if control and same:
            return other.name
    return ""


STICKERS = Chapter(
    20,
    (
        Hazard("patch", "a sticker laid on the image"),
        Hazard("physical", "a sticker in the scene, seen from other places"),
    ),
    stickers,
)
