"""Interventions on a false structure. Oracles: networks that look at one structure only, and closed forms."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmark.attacks.base import attacks
from benchmark.attacks.shortcuts.structure import follows, neither
from benchmark.data.base import Grid, datasets
from benchmark.data.synthetic import stripe_patterns as made
from benchmark.errors import AttackError
from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute

N = 80


@pytest.fixture(scope="module")
def data():
    found = datasets.make("stripes", {"train": 10, "val": 10, "test": N})
    return found, found.load("test", found.index("test").ids, Grid(), masks=True)


class Matched(nn.Module):
    """The class whose patterns fit best: the largest mean under any place of a class's pattern."""

    def __init__(self, patterns):
        super().__init__()
        self.register_buffer("patterns", torch.as_tensor(patterns).float().flatten(2))

    def forward(self, x):
        fit = torch.einsum("nd,kvd->nkv", x.flatten(1) - x.mean(), self.patterns) / self.patterns.sum(-1)
        return 50 * fit.amax(2)


def run(use, network, data, **params):
    source, batch = data
    attack = attacks.make(use, params).with_structures(source.structures("test", Grid()))
    model, task = Model(network), tasks.make("classification")
    clean = task.clean(model, batch)
    rows, outputs = execute(
        task, attack, model, torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels), clean,
        eps=None, generator=Draws(range(N)),
    )  # fmt: skip
    frame = pd.DataFrame({**rows, "correct": clean["correct"]})
    return {c.name: c.values(frame) for c in attack.columns()}, rows, outputs


def test_a_network_of_the_true_structure_alone_has_no_reliance(data):
    columns, rows, _ = run("structure-conflict", Matched(made.stripes()), data)
    assert (rows["status"] == "ok").all()
    assert np.nanmean(columns["reliance"]) == 0
    assert columns["acc"].mean() == 1
    assert run("structure-absent", Matched(made.stripes()), data)[0]["acc"].mean() == 1


def test_a_network_of_the_false_structure_alone_follows_it(data):
    """A shade is 28 levels above noise whose mean over nine pixels deviates by 6: nearly always found."""
    network = Matched(made.shades()[:, None])
    columns, rows, _ = run("structure-conflict", network, data)
    assert np.nanmean(columns["reliance"]) > 0.9
    assert columns["acc"].mean() < 0.1
    assert (rows["param_false_class"] != data[1].labels).all()
    assert len(set(rows["param_false_class"])) == 4
    absent = run("structure-absent", network, data)[0]["acc"].mean()
    assert abs(absent - 0.25) < 0.2  # chance: the stripe and the noise decide


def test_only_corners_change(data):
    _, _, outputs = run("structure-conflict", Matched(made.stripes()), data)
    changed = outputs.numpy() != data[1].inputs
    assert (changed.sum((1, 2, 3)) == 2 * made.CORNER**2).all()
    assert (changed <= data[1].artefacts).all()


def test_columns_count_what_they_say():
    """Six made-up rows: two follow the false class, one the true one, one another, one of each is not verified."""
    rows = pd.DataFrame(
        {
            "label": [0, 0, 0, 0, 0, 0],
            "pred": [1, 1, 0, 2, 1, -1],
            "param_false_class": [1.0] * 6,
            "status": ["ok", "ok", "ok", "ok", "out_of_budget", "ok"],
        }
    )
    assert np.nansum(follows(rows)) == 2
    assert np.isfinite(follows(rows)).sum() == 3
    assert np.nansum(neither(rows)) == 1
    assert np.isfinite(neither(rows)).sum() == 4


def test_a_false_claim_is_out_of_budget(data):
    """The verifier makes the input again: a changed pixel, or a class that is none, is refused."""
    source, batch = data
    attack = attacks.make("structure-conflict").with_structures(source.structures("test", Grid()))
    params = {"true_class": np.array([0, 1, 2]), "false_class": np.array([0, 5, 3])}
    assert attack.admissible(params, None).tolist() == [False, False, True]

    class Liar(type(attack)):
        def run(self, *args, **kwargs):
            found = super().run(*args, **kwargs)
            found.inputs[0, 0, 8, 8] += 0.01
            return found

    liar = Liar().with_structures(source.structures("test", Grid()))
    model, task = Model(Matched(made.stripes())), tasks.make("classification")
    rows, _ = execute(
        task, liar, model, torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels), task.clean(model, batch),
        eps=None, generator=Draws(range(N)),
    )  # fmt: skip
    assert rows["status"].tolist() == ["out_of_budget"] + ["ok"] * (N - 1)


class Affine(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.layer = nn.Linear(256, 4)
        self.layer.weight.data = torch.as_tensor(weight, dtype=torch.float32)
        self.layer.bias.data.zero_()

    def forward(self, x):
        return self.layer(x.flatten(1))


@pytest.mark.parametrize("structure", ["true", "false"])
def test_deepfool_along_a_structure_is_the_closed_form_of_a_linear_network(data, structure):
    """min over classes of |f_k - f_own| / ||P (w_k - w_own)||, times 1 + overshoot, P made by least squares here."""
    weight = np.random.default_rng(0).normal(size=(4, 256))
    network = Affine(weight)
    _, batch = data
    patterns = made.stripes().reshape(64, 256) if structure == "true" else made.shades().reshape(4, 256)
    per_class = len(patterns) // 4
    span = np.stack([a - b for i, a in enumerate(patterns * 1.0) for j, b in enumerate(patterns * 1.0)
                     if i // per_class != j // per_class])  # fmt: skip
    projector = np.linalg.pinv(span, rcond=1e-8) @ span
    columns, rows, outputs = run("structure-deepfool", network, data, structure=structure, overshoot=0.02)
    logits = batch.inputs.reshape(N, 256).astype(np.float64) @ weight.T
    own = logits.argmax(1)
    right = own == batch.labels
    gaps = logits[np.arange(N), own][:, None] - logits
    slopes = np.linalg.norm((weight[None] - weight[own][:, None]) @ projector, axis=2)
    distance = np.where(np.arange(4) == own[:, None], np.inf, gaps / np.maximum(slopes, 1e-300)).min(1)
    assert right.sum() > 5
    np.testing.assert_allclose(rows["param_structure_l2"][right], 1.02 * distance[right], rtol=2e-4)
    assert (rows["param_changed"][right] == 1).all()
    moved = (outputs.numpy() - batch.inputs).reshape(N, 256).astype(float)
    np.testing.assert_allclose(moved @ projector, moved, atol=1e-5)  # it never leaves the subspace
    kept = ~(moved != 0).any(1)
    assert not rows["success"][kept].any()
    assert np.isnan(columns["structure_l2"][~right]).all()


def test_deepfool_along_a_structure_that_the_network_does_not_see(data):
    """Control: weights are zero where the shades are, so nothing is found along them."""
    weight = np.random.default_rng(0).normal(size=(4, 256)) * ~made.shades().any(0).reshape(256)
    columns, rows, outputs = run("structure-deepfool", Affine(weight), data, structure="false")
    assert not rows["success"].any()
    assert np.isnan(columns["structure_l2"]).all()
    assert np.nanmax(columns["structure_changed"]) == 0
    assert np.array_equal(outputs.numpy(), data[1].inputs)


def test_an_attack_that_was_told_nothing_says_so(data):
    with pytest.raises(AttackError, match="call with_structures"):
        attacks.make("structure-absent").structures  # noqa: B018
