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


@pytest.mark.parametrize("size", [32, 224])
def test_five_times_as_fast_in_total(size):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = {name: (seconds(mine, n), seconds(other, n)) for name, n, mine, other in jobs(size)}
    finally:
        torch.set_num_threads(threads)
    total = [sum(pair[i] for pair in found.values()) for i in (0, 1)]
    print(f"\n| {size}x{size}: metric | ms a sample | Quantus | ratio |\n|---|---|---|---|")
    for name, (mine, other) in [*found.items(), ("all", tuple(total))]:
        print(f"| {name} | {mine * 1e3:.3g} | {other * 1e3:.3g} | {other / mine:.2f} |")
    assert len(found) >= 20
    assert total[1] / total[0] >= 5
