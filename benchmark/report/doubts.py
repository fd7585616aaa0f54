"""The rules by which an evaluation of right answers makes its own robustness claim doubtful, with their numbers.

The design's truth 7; after AutoAttack's flags (Croce and Hein 2020) and Carlini et al. 2019 (arXiv:1902.06705),
section 5. ``docs/evaluation.md`` states every rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from benchmark.results.base import NORMS, Condition, Results, of_budget
from benchmark.results.probes import ProbeView, views
from benchmark.spec.budget import Budget
from benchmark.spec.suite import AttackProbe

BLACK_BOX = ("score", "decision", "transfer")
EFFORT = frozenset({"steps", "n_restarts", "restarts", "n_queries", "queries", "max_iterations", "max_iter"})
EFFORT |= {"iterations", "num_iter_set", "binary_search_steps", "max_gradient_eval_steps"}
LEVEL = 0.01
ROUNDING = 1e-9  # of steps times their length


@dataclass(frozen=True)
class Flag:
    """One doubt about one model: a short name, and the finding in words."""

    model: str
    name: str
    words: str


def least(n: int) -> int:
    """Samples from which on a finding counts: two, or 0.2 points of n if that is more."""
    return max(2, -(-n // 500))


def rate_flags(results: Results) -> tuple[Flag, ...]:
    """Every flag of a suite's results, of a task with verdicts, model by model."""
    found: list[Flag] = []
    for model in results.models:
        found += [*_of_the_model(results, model), *_black_box(results, model)]
        found += [*_more_steps(results, model), *_unbounded(results, model), *_cannot_cross(results, model)]
    return tuple(found)


def _of_the_model(results: Results, model: str) -> Iterator[Flag]:
    """What the task says of the model itself, from its clean rows."""
    clean = results.clean(model)
    for name, words in results.task.doubts(clean, least(len(clean))):
        yield Flag(model, name, words)


def _of_knowledge(results: Results, norm: str, knowledge: Sequence[str]) -> list[AttackProbe]:
    found = results.of_norm(norm)
    return [
        probe
        for probe in found
        if (results.threat(probe.name).get("knowledge") in knowledge) and not results.threat(probe.name).get("control")
    ]


def _budgets(results: Results, norm: str, probes: Sequence[AttackProbe]) -> list[Budget]:
    """Budgets at which these probes can be compared, rising: those of any, and the headline's."""
    threat = results.suite.threat
    found = {eps for probe in probes for eps in probe.budgets}
    return sorted(found | ({threat.eps} if threat is not None and threat.norm == norm else set()))


def _at(results: Results, probe: AttackProbe, eps: Budget) -> Condition | None:
    """The condition whose verdict a probe needs at a budget; None where it did not run there."""
    if results.threat(probe.name).get("kind") == "minimal":
        return Condition(probe.name, None)
    return Condition(probe.name, eps) if eps in probe.budgets else None


def _within(results: Results, probe: AttackProbe, eps: Budget) -> bool:
    """Whether a probe looked for perturbations of at most eps; one of minimal norm always does."""
    return results.threat(probe.name).get("kind") == "minimal" or any(budget <= eps for budget in probe.budgets)


def _black_box(results: Results, model: str) -> Iterator[Flag]:
    """A black-box attack breaks what no white-box attack of that norm breaks at the same budget."""
    worst: tuple[int, str] | None = None
    for norm in NORMS:
        white = _of_knowledge(results, norm, ("white-box",))
        black = _of_knowledge(results, norm, BLACK_BOX)
        for eps in _budgets(results, norm, [*white, *black]) if white and black else ():
            found = _only_black(results, model, norm, eps, white, black)
            if found is not None and (worst is None or found[0] > worst[0]):
                worst = found
    if worst is not None:
        yield Flag(model, "black-box-stronger", worst[1])


def _only_black(
    results: Results,
    model: str,
    norm: str,
    eps: Budget,
    white: Sequence[AttackProbe],
    black: Sequence[AttackProbe],
) -> tuple[int, str] | None:
    """How many samples only black-box attacks break at a budget, and the finding in words; None where it is too few."""
    open_, blind = ([(p, at) for p in probes if (at := _at(results, p, eps)) is not None] for probes in (white, black))
    if not open_ or not blind:
        return None
    judged = set.intersection(*(results.valid(results.attack_rows(model, p.name), at) for p, at in open_))
    # at whatever smaller budget: what was found there is a perturbation within this one, too
    by_white, by_black = (
        {
            p.name: results.broken(results.attack_rows(model, p.name), eps, norm)
            for p in probes
            if _within(results, p, eps)
        }
        for probes in (white, black)
    )
    only = (set().union(*by_black.values()) - set().union(*by_white.values())) & judged
    n = len(judged)
    if len(only) < least(n):
        return None
    names = ", ".join(name for name, broken in by_black.items() if broken & only)
    words = (
        f"at {norm} {eps.printed}, {len(only)} of {n} samples are broken by a black-box attack ({names}) and by no"
        f" white-box one ({', '.join(by_white)}): the white-box attacks are not strong enough for this model"
    )
    return len(only), words


def _cannot_cross(results: Results, model: str) -> Iterator[Flag]:
    """Attacks whose steps together do not reach the border of the ball, at the budgets where that is so."""
    for view in views(results):
        if view.attack.threat.kind != "fixed" or view.attack.control or not len(results.attack_rows(model, view.name)):
            continue
        short = {eps: share for eps in view.probe.budgets if (share := _reach(view, eps)) is not None and share < 1}
        if short:
            eps, share = max(short.items())
            more = f" (and at {len(short) - 1} smaller budgets)" if len(short) > 1 else ""
            words = (
                f"at {view.attack.threat.norm} {eps.printed}{more}, the steps of {view.name} together cover"
                f" {share:.2g} of the budget: what it leaves unbroken was never attacked at the border"
            )
            yield Flag(model, "cannot-cross", words)


def _reach(view: ProbeView, eps: Budget) -> float | None:
    share = view.attack.reach(eps.value)
    return None if share is None else share + ROUNDING


def _more_steps(results: Results, model: str) -> Iterator[Flag]:
    """More effort still breaks more: of one attack with two efforts, or with ten steps more on a few samples."""
    yield from [*_two_efforts(results, model), *_ten_more(results, model)][:1]


def _ten_more(results: Results, model: str) -> Iterator[Flag]:
    """Ten more steps broke some of the unbroken samples on which they were tried (column ``more_steps``)."""
    for view in views(results):
        rows = results.attack_rows(model, view.name)
        if "more_steps" not in rows:
            continue
        for eps in sorted(view.probe.budgets, reverse=True):
            here = rows[of_budget(rows, eps)]
            tried = here["more_steps"].astype(float).dropna()
            gained, right = int(tried.sum()), here["sample"].isin(_right(results.clean(model)))
            left = int((right & ~here["success"].astype(bool)).sum())
            if gained and gained / len(tried) * left >= least(len(here)):
                words = (
                    f"at {view.attack.threat.norm} {eps.printed}, ten more steps of {view.name} break {gained} of"
                    f" {len(tried)} samples that it had left and on which they were tried: more of it breaks more"
                )
                yield Flag(model, "more-steps-gain", words)
                return


def _two_efforts(results: Results, model: str) -> Iterator[Flag]:
    """Of one attack with two efforts, the longer still breaks more."""
    for shorter, longer in _pairs(results):
        norm = longer.attack.threat.norm
        first, second = (results.attack_rows(model, view.name) for view in (shorter, longer))
        budgets: list[Budget | None] = [*_budgets(results, norm, [shorter.probe, longer.probe])] or [None]
        for eps in reversed(budgets):
            at = [Condition(v.name, None) if eps is None else _at(results, v.probe, eps) for v in (shorter, longer)]
            if at[0] is None or at[1] is None:
                continue
            judged = results.valid(first, at[0]) & results.valid(second, at[1])
            few = results.broken(first, eps, norm) & judged
            many = results.broken(second, eps, norm) & judged
            if _gains(len(many - few), len(few - many), len(judged)):
                where = norm if eps is None else f"{norm} {eps.printed}"
                words = (
                    f"at {where}, {longer.name} breaks {len(many)} and {shorter.name} {len(few)} of {len(judged)}"
                    f" samples, and the two differ in effort only: more of it may break more still"
                )
                yield Flag(model, "more-steps-gain", words)
                return


def _gains(only_longer: int, only_shorter: int, n: int) -> bool:
    """Whether the longer attack's gain is large enough, and more than luck (one-sided exact sign test)."""
    from scipy.stats import binomtest

    if only_longer - only_shorter < least(n):
        return False
    return bool(binomtest(only_longer, only_longer + only_shorter, 0.5, alternative="greater").pvalue < LEVEL)


def _pairs(results: Results) -> Iterator[tuple[ProbeView, ProbeView]]:
    """(shorter, longer) of the two longest probes that differ in effort alone."""
    alike: dict[str, list[tuple[dict[str, float], ProbeView]]] = {}
    for view in views(results):
        settings = view.attack.settings()
        effort = {key: float(value) for key, value in settings.items() if key in EFFORT and _is_number(value)}
        rest = {key: value for key, value in view.attack.effortless().items() if key not in effort}
        if view.attack.threat.norm in NORMS and not view.attack.control and view.attack.breaks:
            alike.setdefault(f"{view.attack.name} {sorted(rest.items(), key=str)}", []).append((effort, view))
    for group in alike.values():
        group.sort(key=lambda pair: sorted(pair[0].items()))
        for (less, shorter), (more, longer) in pairwise(group[-2:]):
            if less != more and all(more[key] >= value for key, value in less.items()):
                yield shorter, longer


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unbounded(results: Results, model: str) -> Iterator[Flag]:
    """White-box attacks without an effective budget, all together, leave right samples unbroken."""
    judged: set[str] = set()
    broken: set[str] = set()
    names = []
    for probe in results.suite.attacks:
        threat, rows = results.threat(probe.name), results.attack_rows(model, probe.name)
        at = unbounded(probe, threat)
        if at is None:
            continue
        names.append(probe.name)
        judged |= results.valid(rows, at)
        broken |= results.broken(rows, at.eps, str(threat["norm"]))
    right = _right(results.clean(model))
    left = (judged & right) - broken
    if left:
        words = (
            f"attacks without an effective budget ({', '.join(names)}) leave {len(left)} of {len(judged & right)} right"
            " samples unbroken; every input can be broken, so they are stuck"
        )
        yield Flag(model, "unbounded-fails", words)


def unbounded(probe: AttackProbe, threat: dict[str, Any]) -> Condition | None:
    """Where a white-box probe has no effective budget: minimal norm, or linf with eps of 1 and more; else None."""
    if threat.get("knowledge") != "white-box" or threat.get("control") or not threat.get("breaks", True):
        return None
    if threat.get("kind") == "minimal" and threat["norm"] in ("linf", "l2", "l1"):
        return Condition(probe.name, None)
    if threat.get("kind") == "fixed" and threat["norm"] == "linf" and probe.budgets and max(probe.budgets).value >= 1:
        return Condition(probe.name, max(probe.budgets))
    return None


def _right(clean: pd.DataFrame) -> set[str]:
    return set(clean.index[clean["correct"].astype(bool)]) if len(clean) else set()
