"""What of an evaluation makes its own robustness claim doubtful: every flag, and what it means."""

from __future__ import annotations

from functools import lru_cache

from benchmark.report.doubts import Flag
from benchmark.report.judgement.choice import judgement_of
from benchmark.results.base import Results

MEANS = {
    "black-box-stronger": "black-box attacks break what no white-box attack breaks: a stronger white-box one is needed",
    "zero-gradient": "the gradient that attacks follow is zero, underflown or not finite: they cannot move",
    "randomised": "predicting one input twice gives different logits: a verdict may be luck",
    "batch-dependent": "a sample's logits depend on the samples beside it: verdicts depend on how they are batched",
    "changes-input": "a prediction writes into the input that it is given: outside Assay, attacks then go astray",
    "stateful": "a prediction changes the network itself: a verdict may depend on what was predicted before",
    "softmax-output": "the outputs are probabilities, where attacks expect logits",
    "more-steps-gain": "more steps of an attack still break more: the number is an upper bound of robustness",
    "cannot-cross": "an attack's steps together are shorter than its budget: it cannot reach the border of the ball",
    "unbounded-fails": "attacks without an effective budget leave samples unbroken: they are stuck",
    "accuracy-gate": "clean error worse than the reference's: the row can show instability, never robustness",
}


@lru_cache(maxsize=4)
def flags(results: Results) -> tuple[Flag, ...]:
    """Every flag of a suite's results, model by model."""
    return judgement_of(results.task).flags(results)


def flag_names(results: Results) -> dict[str, list[str]]:
    """Model to its flags' names."""
    names: dict[str, list[str]] = {}
    for flag in flags(results):
        names.setdefault(flag.model, []).append(flag.name)
    return names
