"""How images of classes are spoken of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from benchmark.reported import EMPTY, Estimate, Words
from benchmark.sentences import Draft, ModelRecords, Sentence
from benchmark.spec.budget import Budget


@dataclass(frozen=True)
class ImageWords(Words):
    """Words for images in [0, 1]."""

    def size(self, norm: str, eps: Budget) -> tuple[str, tuple[str, ...]]:
        """See :meth:`Words.size`; a change of every pixel also in the 255 steps of an image file."""
        shown, grey = eps.words, eps.grey
        unit = "one pixel from black to white counts as one"
        words = {
            "linf": f"no pixel changed by more than {shown} ({grey} of 255 grey steps)",
            "l2": f"a total change of at most {shown} (the root of the summed squares of all pixel changes; {unit})",
            "l1": f"all pixel changes together at most {shown} ({unit})",
        }
        return words.get(norm, f"at most {shown} pixel values changed"), (shown, grey)

    def grid(self, height: int, width: int) -> str:
        """See :meth:`Words.grid`."""
        return f"Each was first made {height} pixels high and {width} wide."


IMAGES = ImageWords(
    sample="image",
    element="pixel",
    attribution="picture",
    filling="colour",
    titles={"shapes": "Stickers, turned images, patterns"},
    card=("image-classification", "Image classification"),
    rounding="a common image file (256 grey values)",
)


def found_and_false(model: ModelRecords, names: Sequence[str], columns: Mapping[str, str]) -> Iterator[Sentence]:
    """Of two classes what is found and what is a false alarm.

    Args:
        model: in a suite.
        names: classes whose errors are not like others.
        columns: class to how its name stands in columns.
    """
    for name in names if len(model.classes) == 2 and columns else ():
        other = next(c for c in model.classes if c != name)
        found, right = (f"recall_{columns[c]}" for c in (name, other))
        draft, each = Draft(model), model.words.samples
        text = (
            f"Of 100 {name} {each} it finds {_count(draft, found, model.clean[found])}; of 100 {other} {each} it calls"
            f" {_count(draft, right, model.clean[right], turned=True)} {name} (a false alarm)."
        )
        yield draft.done("ordinary", text, model.clean_cells())


def flipped(
    model: ModelRecords, names: Sequence[str], columns: Mapping[str, str], probe: str, eps: Budget
) -> Iterator[Sentence]:
    """Which way answers turn under a probe at a budget; arguments as :func:`found_and_false`."""
    suffix = f"{probe}_{eps.printed}"
    for name in names if columns else ():
        column = columns[name]
        away, to = (model.own.get(f"flips_{way}_{column}_{suffix}", EMPTY) for way in ("from", "to"))
        if not away.n or not to.n or isnan(away.value + to.value):
            continue
        draft = Draft(model, f"{probe} at {model.threat(probe)['norm']} {eps}")
        text = (
            f"At that size, of 100 {name} {model.words.samples} that it recognises, "
            f"{_count(draft, f'flips_from_{column}_{suffix}', away)} are no longer recognised ({name} is missed); of"
            f" 100 other {model.words.samples} that it reads right, {_count(draft, f'flips_to_{column}_{suffix}', to)}"
            f" are called {name} (a false alarm)."
        )
        yield draft.done("deliberate", text, model.clean_cells() + model.attack_cells(probe, eps))


def _count(draft: Draft, column: str, estimate: Estimate, *, turned: bool = False) -> str:
    """``95 (95 % interval 89 to 97; 111 images)``."""
    share = draft.share(column, estimate, turned=turned).removesuffix(" of 100")
    return share + draft.interval(column, estimate, turned=turned)
