"""Which controls a metric must put behind real explainers. Oracle: the table of docs/metrics.md, by family."""

from types import SimpleNamespace

import pytest

from benchmark.report.explainer_ranks import controls_of, directed
from benchmark.spec.suite import SuiteSpec

USES = {"ig": "integrated-gradients", "noise": "random", "edges": "sobel", "one": "constant"}
METRICS = ("pixel-flipping", "relevance-rank-accuracy", "mprt", "max-sensitivity", "completeness", "sparseness")


@pytest.fixture
def results():
    suite = SuiteSpec(
        dataset={"use": "digits"},
        entries=("digits_mlp",),
        explainers=[{"name": name, "use": use} for name, use in USES.items()],
        metrics=[{"name": name, "use": name} for name in METRICS],
    )
    plan = {
        "explainers": {name: {"use": use, "control": name != "ig"} for name, use in USES.items()},
        "metrics": {name: {"use": name, "higher_is_better": True} for name in METRICS},
    }
    return SimpleNamespace(suite=suite, plan=plan)


@pytest.mark.parametrize(
    ("metric", "controls"),
    [
        ("pixel-flipping", ["noise", "edges", "one"]),
        ("relevance-rank-accuracy", ["noise", "edges", "one"]),
        ("mprt", ["edges", "one"]),
        ("max-sensitivity", ["noise"]),
        ("completeness", []),
    ],
)
def test_controls_of_a_family(results, metric, controls):
    assert controls_of(results, metric) == controls


def test_complexity_takes_no_rank(results):
    assert directed(results) == [name for name in METRICS if name != "sparseness"]
