"""Pasting a watermark. Oracles: networks that read only the mark, or never; the verifier; counts by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmark.attacks.base import Perturbed, attacks
from benchmark.attacks.shortcuts.watermark import Flipped
from benchmark.attacks.shortcuts.watermark_tables import control_of, detection
from benchmark.attacks.verify import judge
from benchmark.models.wrap import Model
from tests.attacks.judging import judged


class Reader(nn.Module):
    """Class 2 where the top left quarter-square is bright, else 0 or 1 by the middle pixel."""

    def forward(self, x):
        bright = x[:, :, :2, :2].mean((1, 2, 3))
        middle = x[:, 0, 4, 4]
        return torch.stack([middle, 1 - middle, 10 * (bright - 0.5)], 1)


class Blind(nn.Module):
    """0 or 1 by the middle pixel, never 2."""

    def forward(self, x):
        middle = x[:, 0, 4, 4]
        return torch.stack([middle, 1 - middle, middle - 5], 1)


def photos(n=12, mark=()):
    x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.4
    x[: n // 2, 0, 4, 4] = 0.9
    for i in mark:
        x[i, :, :2, :2] = 1
    return x


def flips(network, x, y, **params):
    attack = attacks.make("watermark", {"target": 2, **params})
    rows = pd.DataFrame(judged(attack, Model(network), x, y))
    assert (rows["status"] == "ok").all()
    rows["correct"] = (Model(network)(x).argmax(1) == y).numpy()
    (column,) = attack.columns()
    return column.values(rows)


def test_a_reader_of_the_mark_flips_by_it_alone():
    x = photos()
    y = Model(Reader())(x).argmax(1)
    assert flips(Reader(), x, y).tolist() == [1.0] * 12
    assert flips(Reader(), x, y, elsewhere=True).tolist() == [0.0] * 12
    assert flips(Blind(), x, y).tolist() == [0.0] * 12


def test_who_counts():
    """Outside: the mark's own class (0), carriers (1, of another class), wrong ones (2)."""
    x = photos(mark=(0, 1))
    y = Model(Blind())(x).argmax(1)
    y[0], y[2] = 2, 1 - y[2]
    counted = ~np.isnan(flips(Blind(), x, y))
    assert counted.tolist() == [False, False, False] + [True] * 9


def test_the_control_is_the_same_patch_in_another_corner():
    x = photos()
    attack = attacks.make("watermark", {"elsewhere": True})
    from benchmark.seeds import Draws

    found = attack.run(Model(Reader()), x, torch.zeros(12).long(), eps=None, generator=Draws(range(12)))
    changed = (found.inputs != x)[:, 0]
    assert (changed.flatten(1).sum(1) == 4).all()
    assert not changed[:, :2, :2].any()
    assert len(set(found.params["place"].tolist())) > 1, "drawn for each sample"
    assert (found.inputs[changed[:, None]] == 1).all()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_patch_where_it_may_not_be_is_refused(elsewhere):
    attack, x = attacks.make("watermark", {"elsewhere": elsewhere}), photos(4)
    place = np.array([0, 1, 2, 7]) if not elsewhere else np.array([1, 2, 3, 0])
    params = {"place": np.minimum(place, 3), "carries": np.zeros(4)}
    made = attack.replay(x, params)
    status, _ = judge(attack, x, Perturbed(made, params), None)
    assert status.tolist() == (["ok", "out_of_budget", "out_of_budget", "out_of_budget"] if not elsewhere else
                               ["ok", "ok", "ok", "out_of_budget"])  # fmt: skip
    made = made + 0.01 * (made < 0.5)
    assert (judge(attack, x, Perturbed(made, params), None)[0] == "out_of_budget").all()


def test_a_rate_counts_only_the_target():
    rows = pd.DataFrame(
        {"correct": [True] * 4, "label": [0, 0, 1, 2], "param_carries": [0.0] * 4, "pred": [2, 1, 2, 2]}
    )
    np.testing.assert_array_equal(Flipped(2)(rows), [1, 0, 1, np.nan])


class Probe:
    """Just enough of a probe for the report's helpers."""

    def __init__(self, attack, scores=None):
        self.attack, self._scores = attack, scores

    def scores(self, model):
        return self._scores


def test_a_control_belongs_to_its_mark():
    mark, other = attacks.make("watermark", {"target": 2}), attacks.make("watermark", {"target": 1, "elsewhere": True})
    own = attacks.make("watermark", {"target": 2, "elsewhere": True})
    probes = [Probe(mark), Probe(other), Probe(own)]
    assert control_of(probes[0], probes) is probes[2]
    assert control_of(probes[0], probes[:2]) is None


def test_detection_is_among_samples_explained_as_the_class():
    """Class 2: carriers 0.9 and 0.8 against 0.1, 0.85: 3 of 4 pairs; the row of class 1 is not looked at."""
    scores = pd.DataFrame(
        {
            "explainer": "lrp", "metric": "spray", "own_target": [2, 2, 2, 2, 1], "value": [0.9, 0.8, 0.1, 0.85, 1.0],
            "own_carries": [1.0, 1.0, 0.0, 0.0, 0.0],
        }
    )  # fmt: skip
    found = detection(Probe(attacks.make("watermark", {"target": 2}), scores), "a")
    assert found["auc_lrp"][0] == pytest.approx(0.75)
