"""Sentences on explanations: which methods passed which check, what cannot be checked, what bends them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmark import stats
from benchmark.report.explainer_ranks import controls_of, directed, values
from benchmark.report.explanations import LEVEL, real_explainers, refused
from benchmark.report.label.tested import Tested
from benchmark.report.soundness import metric_of, verdict_on
from benchmark.reported import Words
from benchmark.sentences import Draft, Sentence, listed

SECTION = "explanations"


def question(family: str, words: Words) -> str:
    """What a family of metrics asks of an explanation."""
    asked = {
        "faithfulness": f"do the {words.elements} that it marks as important really matter to the model?",
        "localisation": "does it point at where the evidence is known to be?",
        "randomisation": "does it change when the model behind it is scrambled?",
        "robustness": f"is it alike for {words.samples} that are nearly alike?",
        "axiomatic": "does it add up?",
    }
    return asked.get(family, "")


def why_not(verdict: str, words: Words) -> str:
    """Why a measure with this verdict says nothing on a label."""
    reasons = {
        "depends on baseline": f"which explanations look best by it depends on the {words.filling} of removed"
        f" {words.elements}",
        "necessary, not sufficient": f"a constant {words.attribution} passes it too",
        "axiom": "it tests a formula, not whether an explanation is right",
        "not confirmed": "it did not pass its own check twice",
        "fails its controls": "it cannot tell real explanations from meaningless ones",
        "not measured": "nobody has measured what it is worth",
    }
    return reasons.get(verdict, verdict)


def explained(tested: Tested, *, elsewhere: bool) -> Iterator[Sentence]:
    """Everything that a suite says of this model's explanations.

    Args:
        tested: the model in the suite.
        elsewhere: whether some suite checked its explanations by a sound metric.
    """
    tried = [name for name in real_explainers(tested.results) if tested.probe_cells(name)]
    if not tried:
        return
    reason = refused(tested.results, tested.model)
    if reason:
        text = f"Its explanations were not judged in `{tested.name}`: the model is right too rarely there."
        yield Sentence(SECTION, text, (tested.source("explanations", 0, tested.clean_cells()),))
        return
    sound = [m for m in directed(tested.results) if verdict_on(tested.suite, m) == "sound"]
    yield from _summary(tested, sound)
    yield from _checked(tested, sound)
    yield from _not_used(tested, [m for m in directed(tested.results) if m not in sound], elsewhere or bool(sound))


def passing(tested: Tested, metric: str) -> tuple[list[str], list[str], list[str]]:
    """Explainers that are significantly better than every control on a metric, those that are not, and the controls.

    Wilcoxon's signed-rank test, paired over samples, Holm over every pair of an explainer and a control.
    """
    scores = values(tested.results, tested.model, metric)
    sign = 1 if tested.results.plan["metrics"][metric]["higher_is_better"] else -1
    real = [name for name in real_explainers(tested.results) if name in scores]
    controls = [name for name in controls_of(tested.results, metric) if name in scores]
    pairs = [(name, control) for name in real for control in controls]
    tests = stats.each_paired([(scores[name], scores[control]) for name, control in pairs])
    p = dict(zip(pairs, stats.holm([test.p for test in tests]), strict=True))
    better = {pair: sign * test.difference > 0 for pair, test in zip(pairs, tests, strict=True)}
    good = [n for n in real if controls and all(p[n, c] < LEVEL and better[n, c] for c in controls)]
    return good, [name for name in real if name not in good], controls


def _meaningless(tested: Tested) -> str:
    return f"meaningless {tested.words.attribution}s"


def _cells(tested: Tested, metrics: list[str]) -> list[str]:
    cells = tested.cells
    return tested.done(cells[(cells["kind"] == "score") & cells["metric"].isin(metrics)])


def _summary(tested: Tested, sound: list[str]) -> Iterator[Sentence]:
    """Which methods passed every check, where there is more than one."""
    found = {metric: passing(tested, metric) for metric in sound}
    found = {metric: parts for metric, parts in found.items() if parts[2] and parts[0] + parts[1]}
    if len(found) < 2:
        return
    methods = list(dict.fromkeys(name for good, bad, _ in found.values() for name in good + bad))
    always = [name for name in methods if all(name in good for good, _, _ in found.values())]
    draft = Draft(tested, listed(list(found)))
    checks = draft.number(str(len(found)), len(found), "(checks)")
    total = draft.number(str(len(methods)), len(methods), "(explainers)")
    passed = draft.number(str(len(always)), len(always), "(explainers)")
    text = (
        f"Of {total} explanation methods that were tried on it, {passed} did clearly better than {_meaningless(tested)}"
        f" in every one of the {checks} checks that we trust{': ' + listed(always) if always else ''}."
    )
    yield draft.done(SECTION, text, _cells(tested, list(found)))


def _checked(tested: Tested, sound: list[str]) -> Iterator[Sentence]:
    """One sentence a sound metric."""
    for metric in sound:
        good, bad, controls = passing(tested, metric)
        if not controls or not good + bad:
            continue
        draft = Draft(tested, metric)
        scores = values(tested.results, tested.model, metric)
        draft.n = int(max(np.isfinite(scores[name]).sum() for name in good + bad))
        n = draft.number(str(draft.n), draft.n, "(samples)")
        asked = metric_of(tested.suite, metric)
        asks = "" if asked is None else asked.asks or question(asked.family, tested.words)
        lead = f"Check `{metric}` in `{tested.name}` ({asks} {n} {tested.words.samples}): "
        total = draft.number(str(len(good + bad)), len(good + bad), "(explainers)")
        passed = draft.number(str(len(good)), len(good), "(explainers)")
        if not bad:
            body = (
                f"all {total} explanation methods tried ({listed(good)}) do clearly better than {_meaningless(tested)}."
            )
        elif not good:
            body = (
                f"none of the {total} explanation methods tried ({listed(bad)}) does clearly better than meaningless"
                " pictures."
            )
        else:
            body = (
                f"{passed} of {total} explanation methods do clearly better than {_meaningless(tested)}"
                f" ({listed(good)}); these do not: {listed(bad)}."
            )
        yield draft.done(SECTION, lead + body, _cells(tested, [metric]))


def _not_used(tested: Tested, metrics: list[str], any_sound: bool) -> Iterator[Sentence]:
    """Measures that were computed and say nothing here, with the reason."""
    by_verdict: dict[str, list[str]] = {}
    for metric in metrics:
        if _cells(tested, [metric]):
            by_verdict.setdefault(verdict_on(tested.suite, metric), []).append(metric)
    if not any_sound:
        draft = Draft(tested, "explanations")
        what = listed(list(dict.fromkeys(real_explainers(tested.results))))
        text = (
            f"Explanations of its answers were made ({what}), but no check that we trust was run on them in this test:"
            " whether they are true is not known."
        )
        cells = tested.cells
        yield draft.done(SECTION, text, tested.done(cells[cells["kind"] == "explain"]))
    for verdict, names in by_verdict.items():
        draft = Draft(tested, listed(names))
        called = listed([f"`{name}`" for name in names])
        text = f"Computed, but not used here: {called}, since {why_not(verdict, tested.words)}."
        if len(names) > 1:
            text = text.replace(" by it depends", " by them depends").replace("since it ", "since each of them ")
        yield draft.done(SECTION, text, _cells(tested, names))
