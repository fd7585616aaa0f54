"""Which cell comes next. Oracles: chains whose length is written down; Graham's bound against the best of all."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.schedule.costs import Costs
from benchmark.schedule.ledger import Ledger
from benchmark.schedule.queue import group_of
from benchmark.spec.cell import Cell, DatasetRef, PluginRef

DATA = DatasetRef(name="d", plugin=PluginRef(use="digits"), split="test", digest="0")


def cell(kind, probe="", metric="", *, needs=None, samples=("s",), model="m"):
    return Cell(
        kind=kind,
        task=PluginRef(use="classification"),
        entry=model,
        dataset=DATA,
        samples=samples,
        plugin=PluginRef(use=metric or probe or kind),
        explainer=PluginRef(use=probe) if kind in ("explain", "score") else None,
        needs={role: need.hash for role, need in (needs or {}).items()},
        model=model,
        probe=probe,
        metric=metric,
    )


def learnt(*seconds):
    """Costs that know these (cell, seconds)."""
    costs = Costs()
    for of, took in seconds:
        costs.learn(of.model_copy(update={"samples": ("before",)}), took)
    return costs


def order(ledger):
    found = []
    while (taken := ledger.take("m")) is not None:
        ledger.attempts[taken.hash] += 1
        found.append(taken)
        ledger.finish(taken, "done", seconds=1.0)
    return found


def test_the_longest_chain_begins_first():
    clean, short, long = cell("clean"), cell("attack", "short"), cell("attack", "long")
    fit = cell("fit", "uni")
    judged = cell("attack", "uni", needs={"fit": fit})
    times = [(clean, 1.0), (short, 2.0), (long, 4.0), (fit, 3.0), (judged, 3.0)]
    ledger = Ledger([clean, short, long, judged, fit], {}, costs=learnt(*times))
    assert order(ledger) == [fit, long, judged, short, clean]  # 3 + 3 behind it, then 4, 3, 2, 1


def test_metrics_of_one_explain_cell_follow_one_another_longest_first():
    """Two chunks of one explainer: a slot that scores the first chunk stays with it, although both are ready."""
    a, b = (cell("explain", "e", samples=(name,)) for name in "ab")
    scores = [cell("score", "e", m, needs={"explain": e}, samples=e.samples) for m in ("slow", "fast") for e in (a, b)]
    costs = learnt((scores[0], 5.0), (scores[2], 1.0))
    known = {each.hash: {"status": "done", "attempts": 1, "seconds": 1} for each in (a, b)}
    ledger = Ledger([a, b, *scores], known, costs=costs)
    first = ledger.take("m")
    second = ledger.take("m", (), group_of(first))
    assert (first.metric, second.metric) == ("slow", "fast")
    assert first.needs == second.needs


def test_what_one_model_taught_is_expected_of_another_and_a_run_learns():
    seen, other = cell("attack", "p", samples=("1", "2")), cell("attack", "p", model="new", samples=("1",) * 6)
    costs = Costs()
    assert costs.seconds(other) is None
    costs.learn(seen, 4.0)
    assert costs.seconds(other) == pytest.approx(12.0)  # 2 s a sample
    costs.learn(other, 6.0)
    assert costs.seconds(other) == pytest.approx(6.0)  # its own word counts more
    assert costs.seconds(seen) == pytest.approx(4.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=7), st.integers(1, 3))
def test_with_known_seconds_the_run_is_within_grahams_bound(seconds, slots):
    """Longest first ends within 4/3 - 1/(3 m) of the best of all assignments (Graham 1969), found by trying all."""
    cells = [cell("attack", f"p{i}") for i in range(len(seconds))]
    took = {each.hash: time for each, time in zip(cells, seconds, strict=True)}
    ledger = Ledger(cells, {}, costs=learnt(*zip(cells, seconds, strict=True)))
    busy = [0.0] * slots
    while (taken := ledger.take("m")) is not None:
        busy[busy.index(min(busy))] += took[taken.hash]
    best = min(
        max(sum(time for time, at in zip(seconds, where, strict=True) if at == slot) for slot in range(slots))
        for where in product(range(slots), repeat=len(seconds))
    )
    assert max(busy) <= (4 / 3 - 1 / (3 * slots)) * best + 1e-9


def test_keys_that_wait_for_one_another_do_not_go_round():
    """An attack that descends: each budget waits for the next larger one of the same probe."""
    large = cell("attack", "p")
    small = cell("attack", "p", needs={"larger": large}, samples=("t",))
    assert order(Ledger([small, large], {})) == [large, small]


@pytest.mark.long
def test_a_large_queue_is_quick():
    """Counted, not timed: taking 3,000 cells makes the estimates anew only a few times."""
    cells = [cell("attack", f"p{i % 60}", samples=(str(i),)) for i in range(3000)]
    ledger = Ledger(cells, {})
    walks = 0
    walk = ledger._queue._walk

    def counted(*args):
        nonlocal walks
        walks += 1
        return walk(*args)

    ledger._queue._walk = counted
    assert len(order(ledger)) == 3000
    assert walks < 60 * 60


def test_the_samples_ahead_are_another_chunks_of_the_same_model():
    now, same = cell("clean", samples=("a",)), cell("attack", "z", samples=("a",))
    short, long = cell("attack", "x", samples=("b",)), cell("attack", "y", samples=("c",))
    other = cell("clean", samples=("d",), model="n")
    times = [(now, 1.0), (same, 9.0), (short, 1.0), (long, 2.0), (other, 9.0)]
    ledger = Ledger([now, same, short, long, other], {}, costs=learnt(*times))
    assert ledger.ahead(now) == long
    assert Ledger([now, same, other], {}, costs=learnt(*times)).ahead(now) is None
