"""How a label speaks of models that make an image from a measurement: errors, and worst-case noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, ClassVar

from benchmark.accounts import Account, Hazard
from benchmark.mri.attacks.words import percent
from benchmark.reported import Estimate, Words
from benchmark.sentences import Bar, Draft, ModelRecords, Sentence


@dataclass(frozen=True)
class MeasurementWords(Words):
    """Words for measurements of images."""

    def grid(self, height: int, width: int) -> str:
        """See :meth:`Words.grid`."""
        return f"Each was first made {height} pixels high and {width} wide."


MEASUREMENTS = MeasurementWords(
    sample="image",
    element="pixel",
    attribution="picture",
    titles={
        "ordinary": "On ordinary measurements",
        "deliberate": "When the measurement carries noise",
        "shapes": "Details and lesions",
    },
    card=("image-to-image", "Image reconstruction"),
    flags={
        "accuracy-gate": "it is worse on ordinary measurements than the method without learning, so nothing here can"
        " show that it is the more stable one"
    },
)


class Errors(Account):
    """The error of the image as a share of the true one's strength, clean and under the worst noise."""

    chart: ClassVar[tuple[str, str, str]] = (
        "error (% of the image)",
        "Error in percent of the image",
        "Error in % of the image; less is better.",
    )
    explained: ClassVar[bool] = False

    def hazards(self) -> tuple[Hazard, ...]:
        """None: attacks on measurements name theirs."""
        return ()

    def standing(self, model: ModelRecords) -> tuple[int, float]:
        """The suite with most attacks in its headline threat model speaks."""
        threat = model.suite.threat
        if threat is None or not model.breaking(threat.norm):
            return 0, 1.0
        return model.planned, -float(len(model.breaking(threat.norm)))

    def sentences(self, model: ModelRecords, first: ModelRecords) -> Iterator[Sentence]:
        """The clean error and the worst noise, of the suite that speaks."""
        if model is first:
            yield from ordinary(model)
            yield from deliberate(model)

    def bars(self, first: ModelRecords) -> Iterator[Bar]:
        """See :func:`bars`."""
        yield from bars(first)

    def headline(self, first: ModelRecords, bars: Sequence[Bar]) -> list[Bar]:
        """Ordinary measurements, and the worst noise at the headline's budget."""
        threat = first.suite.threat
        name = f"rel_err_worst_{threat.eps.printed}" if threat is not None else ""
        ordinary = [bar for bar in bars if bar.kind == "ordinary"][:1]
        return ordinary + [bar for bar in bars if (bar.column == name if name else bar.headline)][:1]

    def verdict(self, first: ModelRecords, bars: Sequence[Bar], sentences: Sequence[Sentence]) -> Sentence:
        """See :meth:`Account.verdict`."""
        top, draft = self.headline(first, bars), Draft(first)
        if not top:
            source = first.plan_source("what the plan asks for")
            return Sentence("verdict", "No valid answer on ordinary images is on record.", (source,))
        text = f"Its images are off by {_share(draft, top[0])} % of the true image's strength on ordinary measurements"
        if len(top) > 1 and first.suite.threat is not None:
            eps = first.suite.threat.eps
            at = draft.number(eps.percent, eps.value, "(the plan's budget)")
            worst = _share(draft, top[1])
            text += f"; by {worst} % under the worst noise that was found, {at} % as strong as the measurement"
        return Sentence("verdict", text + ".", tuple(bar.source for bar in top), tuple(draft.numbers))

    def metrics(self, model: ModelRecords) -> Iterator[tuple[str, str, Estimate, str, dict[str, Any]]]:
        """Every bar of the chart."""
        for bar in bars(model):
            yield f"Relative error ({bar.name.lower()})", "relative_error", bar.estimate, bar.column, {}

    def shown(self, bar: Bar) -> str:
        """``14.5 %``."""
        return self.interval(bar) if isnan(bar.estimate.value) else f"{100 * bar.estimate.value:.1f} %"

    def interval(self, bar: Bar) -> str:
        """``12.1 to 16.9``."""
        ends = (bar.estimate.low, bar.estimate.high)
        return "–" if any(isnan(end) for end in ends) else " to ".join(f"{100 * end:.1f}" for end in ends)

    def aloud(self, bar: Bar) -> str:
        """``14.5 % (95 % interval 12.1 to 16.9 %)``."""
        text = self.shown(bar)
        return text if isnan(bar.estimate.value) else f"{text} (95 % interval {self.interval(bar)} %)"

    def badge(self, bars: Sequence[Bar], verdict: str) -> str:
        """``error 14.5 → 40.1 % under the worst noise``."""
        numbers = [self.shown(bar).removesuffix(" %") for bar in bars]
        return f"error {' → '.join(numbers)} %" + (" under the worst noise" if len(bars) > 1 else "")


def _share(draft: Draft, bar: Bar) -> str:
    value, low, high = bar.estimate.value, bar.estimate.low, bar.estimate.high
    if isnan(value):
        ends = ((low, "_low"), (high, "_high"))
        first, last = (draft.number(f"{100 * end:.1f}", end, bar.column + side) for end, side in ends)
        return f"between {first} and {last}"
    return draft.number(f"{100 * value:.1f}", value, bar.column)


def ordinary(model: ModelRecords) -> Iterator[Sentence]:
    """The clean error, and whether it is as good as the reference's."""
    error = model.means.get("rel_err")
    if error is None or not error.n:
        return
    draft = Draft(model)
    text = (
        "On measurements as they are, the image that it makes differs from the true one by"
        f" {percent(draft, 'rel_err', error)} of the true image's strength (the root of the summed squares of all"
        " pixels)."
    )
    yield draft.done("ordinary", text, model.clean_cells())
    gate, (entry, _) = model.gate, model.reference
    if gate is not None and entry != model.model:
        draft = Draft(model, f"against {entry}")
        draft.n = error.n
        passed, *errors = gate
        ours, theirs = (draft.number(f"{100 * v:.1f}", v, "(means on the same images)") for v in errors)
        said = "That is no worse than" if passed else "That is worse than"
        text = (
            f"{said} `{entry}`, a method that learned nothing from data ({ours} against {theirs} % on the same images)."
        )
        if not passed:
            text += " Where it is said below to change little, that does not make it the better choice."
        yield draft.done("ordinary", text, model.clean_cells() + model.clean_cells(entry))


def deliberate(model: ModelRecords) -> Iterator[Sentence]:
    """Worst-case noise in the measurement against random noise of the same size."""
    for eps in model.budgets:
        at = eps.printed
        worst, chance, ratio = (model.scores.get(f"{n}_{at}") for n in ("rel_err_worst", "rel_err_random", "amp_ratio"))
        if worst is None or not worst.n or isnan(worst.value):
            continue
        draft = Draft(model, f"noise of {eps}")
        share = draft.number(eps.percent, eps.value, "(the plan's budget)")
        text = (
            f"The worst noise that was found in the measurement, {share} % as strong as the measurement, makes that"
            f" error {percent(draft, f'rel_err_worst_{at}', worst)}"
        )
        if chance is not None and chance.n and not isnan(chance.value):
            shown = draft.number(f"{100 * chance.value:.1f}", chance.value, f"rel_err_random_{at}")
            text += f"; random noise of the same size, {shown} %"
        text += "."
        if ratio is not None and ratio.n and not isnan(ratio.value):
            parts = [(ratio.value, ""), (ratio.low, "_low"), (ratio.high, "_high")]
            known = parts[:1] if isnan(ratio.low) else parts
            value, *ends = (draft.number(f"{v:.2g}", v, f"amp_ratio_{at}{end}") for v, end in known)
            text += f" The worst noise moves the image {value} times as far as random noise does"
            text += f" (95 % interval {ends[0]} to {ends[1]})." if ends else "."
        yield draft.done("deliberate", text, model.headline_cells(eps))


def bars(model: ModelRecords) -> Iterator[Bar]:
    """The error of 100: as it is, under random noise, under the worst noise."""
    error = model.means.get("rel_err")
    if error is None or not error.n:
        return
    clean = model.source("", error.n, model.clean_cells(), ["rel_err"])
    yield Bar("Measurements as they are", error, clean, "rel_err", "ordinary")
    for eps in model.budgets:
        for kind, words, column in (
            ("control", "Random noise", "rel_err_random"),
            ("worst", "Worst noise", "rel_err_worst"),
        ):
            name = f"{column}_{eps.printed}"
            estimate = model.scores.get(name)
            if estimate is not None and estimate.n and not isnan(estimate.value):
                cells = model.headline_cells(eps)
                source = model.source(f"noise of {eps}", estimate.n, cells, [name])
                yield Bar(f"{words} of {eps.percent} %", estimate, source, name, kind)
