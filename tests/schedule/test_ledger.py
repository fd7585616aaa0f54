"""Oracle: the rules of the design (retries, parking, blocking) on small graphs written by hand."""

from __future__ import annotations

from benchmark.schedule.ledger import Ledger, with_needs
from benchmark.spec.cell import Cell, DatasetRef, PluginRef

DATA = DatasetRef(name="d", plugin=PluginRef(use="digits"), split="test", digest="0")


def cell(kind, model="m", needs=(), probe=""):
    return Cell(
        kind=kind,
        task=PluginRef(use="classification"),
        entry=model,
        dataset=DATA,
        samples=("s",),
        plugin=PluginRef(use=probe) if probe else None,
        needs={str(i): need.hash for i, need in enumerate(needs)},
        model=model,
        probe=probe,
    )


def head(status, attempts=1, blocked=False, reason="why"):
    return {"status": status, "attempts": attempts, "blocked": blocked, "reason": reason}


CLEAN = cell("clean")
EXPLAIN = cell("explain", needs=[CLEAN], probe="e")
SCORE = cell("score", needs=[EXPLAIN], probe="m")
CHAIN = [CLEAN, EXPLAIN, SCORE]


def drain(ledger, outcome="done"):
    order = []
    while (taken := ledger.take()) is not None:
        ledger.attempts[taken.hash] += 1
        order.append(taken)
        ledger.finish(taken, outcome, "reason")
    return order


def test_a_cell_runs_after_what_it_needs():
    assert drain(Ledger(CHAIN[::-1], {})) == CHAIN


def test_known_cells_are_not_run_again():
    ledger = Ledger(CHAIN, {CLEAN.hash: head("done")})
    assert drain(ledger) == [EXPLAIN, SCORE]
    assert ledger.counts() == {"known": 1, "done": 2, "failed": 0, "skipped": 0}


def test_a_failure_blocks_what_needs_it_and_says_why():
    ledger = Ledger(CHAIN, {})
    taken = ledger.take()
    ledger.attempts[taken.hash] += 1
    ended = ledger.finish(taken, "failed", "boom")
    assert [(end.cell, end.blocked) for end in ended] == [(CLEAN, False), (EXPLAIN, True), (SCORE, True)]
    assert ended[2].reason == "needs m · clean: boom"
    assert ledger.left == 0


def test_a_skip_is_handed_on_as_a_skip():
    ledger = Ledger(CHAIN, {CLEAN.hash: head("done")})
    ledger.attempts[EXPLAIN.hash] += 1
    assert [end.status for end in ledger.finish(ledger.take(), "skipped", "no layer")] == ["skipped", "skipped"]


def test_a_failure_is_tried_once_by_the_next_run_then_parked_until_asked():
    assert Ledger([CLEAN], {CLEAN.hash: head("failed", 1)}).total == 1
    parked = Ledger([CLEAN], {CLEAN.hash: head("failed", 2)})
    assert (parked.total, parked.known) == (0, {CLEAN.hash: "failed"})
    assert Ledger([CLEAN], {CLEAN.hash: head("failed", 2)}, retry_failed=True).total == 1


def test_a_new_cell_behind_a_parked_failure_ends_at_once():
    ledger = Ledger(CHAIN, {CLEAN.hash: head("failed", 2)})
    assert ledger.take() is None
    assert [(end.cell, end.status) for end in ledger.start_blocked()] == [(EXPLAIN, "failed"), (SCORE, "failed")]
    assert ledger.left == 0


def test_blocked_records_are_tried_once_their_need_is_done():
    heads = {CLEAN.hash: head("done"), EXPLAIN.hash: head("failed", 2, blocked=True)}
    assert drain(Ledger([CLEAN, EXPLAIN], heads)) == [EXPLAIN]


def test_a_blocked_cell_was_never_tried_itself():
    """Its record carries the attempts of what blocked it; its own two tries are still to come."""
    heads = {CLEAN.hash: head("done"), EXPLAIN.hash: head("failed", 2, blocked=True)}
    assert Ledger([CLEAN, EXPLAIN], heads).attempts == {EXPLAIN.hash: 0}


def test_blocked_records_are_tried_when_their_need_is_tried_again():
    """The need's record was lost, so it is computed in this run; the chain behind it follows, in any order."""
    blocked = {cell.hash: head("failed", 2, blocked=True) for cell in (EXPLAIN, SCORE)}
    assert drain(Ledger(CHAIN[::-1], blocked)) == CHAIN
    parked = Ledger(CHAIN, blocked | {CLEAN.hash: head("failed", 2)})
    assert parked.total == 0


def test_a_slot_keeps_to_its_model_and_else_takes_the_longest_queue():
    a = [cell("clean", "a"), cell("attack", "a", probe="p"), cell("attack", "a", probe="q")]
    b = [cell("clean", "b"), cell("attack", "b", probe="p")]
    ledger = Ledger([*b, *a], {})
    assert ledger.take().model == "a"
    assert ledger.take("b").model == "b"
    assert ledger.take(None, avoid=["a"]).model == "b"


def test_needs_of_a_selection_come_along():
    other = cell("clean", "other")
    assert with_needs([SCORE], [other, *CHAIN]) == CHAIN


def test_labels_and_paths_are_not_in_the_hash_and_inputs_are():
    same = CLEAN.model_copy(update={"model": "renamed", "time_limit": 1.0, "batch_size": 7, "keep_inputs": "all"})
    assert Cell(**same.model_dump()).hash == CLEAN.hash
    for change in (
        {"entry": "x"},
        {"samples": ("t",)},
        {"seed": 1},
        {"dtype": "float64"},
        {"eps": "1/10"},
        {"needs": {"clean": "0"}},
        {"dataset": DATA.model_copy(update={"size": (9, 9)})},
        {"plugin": PluginRef(use="x", version="2")},
        {"task": PluginRef(use="classification", version="2")},
    ):
        assert Cell(**(CLEAN.model_dump() | change)).hash != CLEAN.hash, change
