"""The battery of suites/explanations.toml against Quantus: both on the same small CNN, one CPU thread, one run.

Oracle: Quantus on the same samples, explainer and numbers of steps, copies and layers (the rows of the two other speed
tests of metrics, where values are compared and passes counted). Here only the total counts: every metric of the suite
that Quantus has, once on each of the suite's work loads, at 32x32 and 224x224. Timed is processor time.
"""

import time

import pytest
import torch

from benchmark.explainers.base import explainers
from benchmark.spec.suites import load_suite
from tests.speed import test_metrics_faithfulness as once
from tests.speed import test_metrics_robustness as again

pytestmark = pytest.mark.speed


def jobs(size):
    """(metric, samples, ours, Quantus') of every metric of the suite that Quantus has."""
    suite = {metric.use for metric in load_suite("explanations").metrics}
    for row in once.rows(size):
        if row.use in suite:
            given = once.evidence(row.channels, size)
            yield row.use, len(given[1]), once.ours(row, given), once.theirs(row, given)
    for row in again.rows():
        if row.use in suite and size in row.sizes:
            n = 4 if row.use == "non-sensitivity" else again.SAMPLES[size]
            given = again.evidence(again.cnn(row.channels, size), row.channels, size, n, explainers.make("saliency"))
            yield row.use, n, again.ours(row, given), again.theirs(row, given)


def seconds(work, n):
    """Processor seconds a sample, the less of two runs after one that warms up."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken[1:]) / n


def test_five_times_as_fast_in_total():
    """Both sizes together; each alone at least 2.

    ``non-sensitivity`` is left to its own test: Quantus takes one element a step alone, 1,024 passes a sample.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    totals = {}
    try:
        for size in (32, 224):
            found = {name: (seconds(a, n), seconds(b, n)) for name, n, a, b in jobs(size) if name != "non-sensitivity"}
            totals[size] = mine, other = tuple(sum(pair[i] for pair in found.values()) for i in (0, 1))
            print(f"\n| {size}x{size}: metric | ms a sample | Quantus | ratio |\n|---|---|---|---|")
            for name, (a, b) in [*found.items(), ("all", totals[size])]:
                print(f"| {name} | {a * 1e3:.3g} | {b * 1e3:.3g} | {b / a:.2f} |")
            assert len(found) >= 20
            assert other / mine >= 2
    finally:
        torch.set_num_threads(threads)
    assert sum(other for _, other in totals.values()) / sum(mine for mine, _ in totals.values()) >= 5
