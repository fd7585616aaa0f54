"""What of a classifier itself makes a robustness claim doubtful, in words, from what its clean rows measured.

The rows' columns ``check_*`` are of :mod:`benchmark.tasks.checks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

REPEATS = 1e-4  # relative change of a logit between two predictions that rounding does not explain
BATCHES = 1e-3  # as REPEATS, for another batch, where a GPU may choose another algorithm
TINY = 1.1754943508222875e-38  # smallest normal float32: a gradient below has underflown


def doubts(clean: pd.DataFrame, enough: int) -> Iterator[tuple[str, str]]:
    """(flag, words) from the columns ``check_*``; records without them raise none.

    Args:
        clean: rows of a model's clean predictions.
        enough: samples from which on a finding counts.
    """
    n = len(clean)
    if "check_gradient" in clean:
        right = clean[clean["correct"].astype(bool)]
        gradient = right["check_gradient"].astype(float)
        dead = int((~(gradient >= TINY)).sum())  # NaN too
        if dead >= enough:
            words = (
                f"the input gradient of the cross-entropy is zero, underflown or not finite for {dead} of"
                f" {len(right)} right samples: attacks that follow it cannot move"
            )
            yield "zero-gradient", words
    if "check_repeat" in clean:
        moved = clean["check_repeat"].astype(float)
        changed = int((~(moved <= REPEATS)).sum())
        if changed >= enough:
            words = (
                f"predicting the same input twice changes the logits of {changed} of {n} samples (by up to"
                f" {moved.max():.2g} of the largest logit): attack it with averaged gradients, and repeat the verdicts"
            )
            yield "randomised", words
    yield from _of_the_calls(clean)
    if "check_softmax" in clean and n and clean["check_softmax"].astype(bool).all():
        words = f"the outputs of all {n} samples lie in [0, 1] and sum to 1: probabilities, where attacks expect logits"
        yield "softmax-output", words


def _of_the_calls(clean: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Flags from what a call depends on besides the input, and what it leaves behind."""
    if {"check_batch", "check_repeat"} <= set(clean):
        repeats = clean[clean["check_repeat"].astype(float) <= REPEATS]  # of the others nothing can be told
        moved = repeats["check_batch"].dropna().astype(float)
        changed = int((moved > BATCHES).sum())
        if changed and changed >= min(2, len(moved)):
            raised = int((moved == float("inf")).sum())
            how = f"raises for {raised}" if raised else f"changes logits by up to {moved.max():.2g} of the largest"
            words = (
                f"of {len(moved)} samples, {changed} depend on the batch: predicting them beside another one {how};"
                " every verdict then depends on the batch size (statistics of the batch in eval mode?)"
            )
            yield "batch-dependent", words
    if "check_input" in clean and clean["check_input"].dropna().astype(bool).any():
        words = "a prediction writes into the tensor that it is given (an in-place operation): Assay hands it a copy"
        yield "changes-input", words
    if "check_state" in clean and clean["check_state"].dropna().astype(bool).any():
        words = (
            "a prediction changes parameters, buffers or attributes of the network: what it says of a sample may depend"
            " on what it was asked before, and records of two runs may differ"
        )
        yield "stateful", words
