"""Verdicts from made-up scores. Oracle: scores whose verdict is known by construction; a control that must score badly
(a metric that draws its scores at random is never sound)."""

import numpy as np
import pandas as pd
import pytest

from benchmark.meta.bench import CONTROLS, HALVES, REAL
from benchmark.meta.table import control_gap, fill_tau, make_table
from benchmark.metrics.base import metrics


def scores(metric, value, fills=("",)):
    """Rows of every model, seed, explainer and sample; ``value(explainer, fill, half, generator)``."""
    rows, generator = [], np.random.default_rng(0)
    for half, models in HALVES.items():
        for model, seeds in models.items():
            for seed in seeds:
                for fill in fills:
                    for explainer in (*REAL, *CONTROLS):
                        rows += [
                            {
                                "half": half,
                                "model": model,
                                "seed": seed,
                                "metric": metric,
                                "fill": fill,
                                "explainer": explainer,
                                "sample": sample,
                                "value": value(explainer, fill, half, generator),
                            }
                            for sample in range(20)
                        ]
    return pd.DataFrame(rows)


def table(metric, value, fills=("",)):
    measured = {"scores": scores(metric, value, fills), "consistency": pd.DataFrame()}
    return make_table(measured, [metric]).loc[metric]


def apart(better, worse):
    return lambda explainer, _fill, _half, g: (worse if explainer in CONTROLS else better) + 0.1 * g.normal()


def test_sound_where_every_control_is_worse_on_both_halves():
    found = table("faithfulness-estimate", apart(1.0, 0.0))
    assert found["verdict"] == "sound"
    assert min(found[f"{name}_{half}"] for name in CONTROLS for half in HALVES) > 0
    assert table("pixel-flipping", apart(0.2, 0.8))["verdict"] == "sound"  # lower is better


def test_the_wrong_direction_and_noise_fail():
    assert table("faithfulness-estimate", apart(0.0, 1.0))["verdict"] == "fails its controls"
    assert table("faithfulness-estimate", lambda *a: a[-1].normal())["verdict"] == "fails its controls"


def test_a_verdict_is_checked_on_the_half_that_it_has_not_seen():
    def only_on_the_first(explainer, _fill, half, g):
        return float(half == "set" and explainer not in CONTROLS) + 0.1 * g.normal()

    assert table("faithfulness-estimate", only_on_the_first)["verdict"] == "not confirmed"


def test_a_refused_control_is_no_fault_but_all_refused_is_nothing_measured():
    def refuses_constants(explainer, _fill, _half, g):
        return np.nan if explainer == "constant" else float(explainer in REAL) + 0.1 * g.normal()

    found = table("faithfulness-estimate", refuses_constants)
    assert found["verdict"] == "sound"
    assert np.isnan(found["constant_set"])
    nothing = table("faithfulness-estimate", lambda e, *_: np.nan if e in CONTROLS else 1.0)
    assert nothing["verdict"] == "fails its controls"


def test_what_other_families_may_be_called_at_most():
    assert table("sparseness", apart(1.0, 0.0))["verdict"] == "descriptive only"

    def stable(explainer, _fill, _half, g):
        return {"random": 2.0, "constant": 0.0}.get(explainer, 0.5) + 0.01 * g.normal()

    assert table("max-sensitivity", stable)["verdict"] == "necessary, not sufficient"

    def one_is_worse_than_random(explainer, fill, half, g):
        return 3.0 if explainer == "saliency" else stable(explainer, fill, half, g)

    assert table("max-sensitivity", one_is_worse_than_random)["verdict"] == "fails its controls"


def test_an_order_that_changes_with_the_fill_depends_on_the_baseline():
    place = {name: i for i, name in enumerate(REAL)}

    def value(explainer, fill, _half, g):
        if explainer in CONTROLS:
            return -9.0
        return (place[explainer] if fill == "black" else -place[explainer]) + 0.01 * g.normal()

    fills = ("black", "mean", "blur")
    found = table("faithfulness-estimate", value, fills)
    assert found["verdict"] == "depends on baseline"
    assert found["fill_tau"] == pytest.approx((-1 - 1 + 1) / 3)
    same = table("faithfulness-estimate", lambda e, *r: place.get(e, -9.0) + 0.01 * r[-1].normal(), fills)
    assert same["fill_tau"] == pytest.approx(1)
    assert same["verdict"] == "sound"


def test_the_gap_is_the_lower_end_of_the_interval_over_the_spread():
    made = scores("faithfulness-estimate", lambda e, *_: 1.0 if e in REAL else 0.25)
    assert control_gap(made, metrics.make("faithfulness-estimate"), "random") == pytest.approx(0.75)
    assert np.isnan(fill_tau(made))
