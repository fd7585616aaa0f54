"""What a label says of a mark that went along with one class in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.accounts import Chapter, Hazard
from benchmark.reported import EMPTY, ProbeResults
from benchmark.sentences import Draft, ModelRecords, Sentence

SECTION = "shortcuts"


def watermark(model: ModelRecords, views: Sequence[ProbeResults]) -> Iterator[Sentence]:
    """A mark that went along with one class in training, and the same patch elsewhere."""
    for view in views:
        column = f"flip_rate_{view.name}"
        rate = model.own.get(column, EMPTY)
        if view.attack.elsewhere or not rate.n:
            continue
        target = int(view.attack.target)
        name = model.classes[target] if target < len(model.classes) else str(target)
        draft = Draft(model, view.name)
        text = (
            f"Pasting a mark into a corner makes it take {draft.rate(column, rate, noun='right images of other kinds')}"
            f" for {draft.number(name, target, '(class)') if name.isdigit() else name}"
        )
        short = f"a mark pasted into a corner turns {draft.share(column, rate)} other images into {name}"
        cells = model.clean_cells() + model.attack_cells(view.name)
        twin = next(
            (v for v in views if v.attack == view.attack.model_copy(update={"elsewhere": True})),
            None,
        )
        if twin is not None:
            other = model.own[f"flip_rate_{twin.name}"]
            text += f"; the same patch in another corner, {draft.share(f'flip_rate_{twin.name}', other)}"
            _, low, _ = view.minus("flip_rate", twin, model.model)
            real = low > 0
            text += ": it goes by the mark." if real else ": the test does not show that it goes by the mark."
            cells += model.attack_cells(twin.name)
        else:
            text += "."
        yield draft.done(SECTION, text, cells, short, rate.value)


WATERMARK = Chapter(51, (Hazard("watermark", "shortcuts by a mark"),), watermark)
