"""The classification task. Oracles: hand-made logits (closed form), scikit-learn's precision and recall (parity)."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import precision_score, recall_score

from benchmark.attacks.base import Perturbed, attacks
from benchmark.data.base import Batch
from benchmark.errors import EntryError
from benchmark.models.wrap import Model
from benchmark.spec.entry import EntrySpec
from benchmark.tasks.base import tasks

SPEC = EntrySpec(name="m", input_shape=(1, 1, 3), classes=3, factory="model:build")


class Pixels(torch.nn.Module):
    """The three pixels are the logits."""

    def forward(self, x):
        return x.flatten(1)


def batch(rows, labels):
    x = np.asarray(rows, dtype=np.float32).reshape(-1, 1, 1, 3)
    return Batch(tuple(f"s{i}" for i in range(len(x))), x, np.asarray(labels))


def test_clean_columns():
    task = tasks.make("classification")
    rows = task.clean(Model(Pixels()), batch([[0.9, 0.1, 0.2], [0.5, 0.4, 0.5], [0.1, 0.2, 0.3]], [0, 2, 0]), SPEC)
    assert rows["pred_clean"].tolist() == [0, 0, 2]  # the tie goes to the lower index
    assert rows["pred_clean"].dtype == np.int64
    assert rows["correct"].tolist() == [True, False, False]
    np.testing.assert_allclose(rows["margin_clean"], [0.7, 0.0, -0.2], atol=1e-7)
    np.testing.assert_allclose(rows["confidence"][0], np.exp(0.9) / np.exp([0.9, 0.1, 0.2]).sum(), rtol=1e-6)
    assert task.targets(rows).tolist() == [0, 0, 2]


def verified(clean_rows, perturbed_rows, labels, eps=0.2, use="noise-linf"):
    task, model = tasks.make("classification"), Model(Pixels())
    part = batch(clean_rows, labels)
    x = torch.as_tensor(part.inputs)
    moved = torch.as_tensor(np.asarray(perturbed_rows, dtype=np.float32).reshape(-1, 1, 1, 3))
    clean = task.clean(model, part)
    labels = torch.as_tensor(part.labels)
    return task.verify(model, x, labels, Perturbed(moved), attacks.make(use), eps=eps, clean=clean)


def test_success_needs_all_three_clean_right_status_ok_and_another_class():
    rows = verified(
        [[0.5, 0.4, 0.1]] * 4 + [[0.4, 0.5, 0.1]],
        [[0.4, 0.5, 0.1], [0.5, 0.45, 0.1], [0.2, 0.5, 0.1], [np.nan, 0.4, 0.1], [0.3, 0.9, 0.1]],
        [0, 0, 0, 0, 0],
    )
    assert rows["success"].tolist() == [True, False, False, False, False]
    assert rows["status"].tolist() == ["ok", "ok", "out_of_budget", "nan", "ok"]
    assert rows["pred"].tolist() == [1, 0, 1, -1, 1]
    np.testing.assert_allclose(rows["margin"], [-0.1, 0.05, -0.3, np.nan, -0.6], atol=1e-6)
    sure = [np.exp(max(z)) / np.exp(z).sum() for z in ([0.4, 0.5, 0.1], [0.5, 0.45, 0.1], [0.2, 0.5, 0.1])]
    np.testing.assert_allclose(rows["confidence_perturbed"][:3], sure, rtol=1e-6)
    assert np.isnan(rows["confidence_perturbed"][3])
    np.testing.assert_allclose(rows["norm_linf"][:3], [0.1, 0.05, 0.3], atol=1e-7)


def test_a_tie_is_decided_by_the_argmax():
    first = verified([[0.5, 0.45, 0.1]], [[0.5, 0.5, 0.1]], [0])
    assert first["margin"].tolist() == [0.0]
    assert not first["success"][0]
    second = verified([[0.45, 0.5, 0.1]], [[0.5, 0.5, 0.1]], [1])
    assert second["margin"].tolist() == [0.0]
    assert second["success"][0]


def test_columns_are_precision_and_recall():
    rng = np.random.default_rng(0)
    label, pred = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    rows = pd.DataFrame({"label": label, "pred_clean": pred, "correct": label == pred})
    columns = tasks.make("classification").columns(["Normal", "Viral pneumonia", "b"])
    names = [c.name for c in columns]
    assert names[0] == "clean_acc"
    assert names[3:5] == ["precision_viral_pneumonia", "recall_viral_pneumonia"]
    values = [float(np.nanmean(c.values(rows))) for c in columns]
    assert values[0] == (label == pred).mean()
    np.testing.assert_allclose(values[1::2], precision_score(label, pred, average=None))
    np.testing.assert_allclose(values[2::2], recall_score(label, pred, average=None))


def test_columns_stay_apart_and_few():
    task = tasks.make("classification")
    names = [c.name for c in task.columns(["a b", "a-b"])]
    assert len(set(names)) == len(names) == 5
    assert [c.name for c in task.columns([str(i) for i in range(1000)])] == ["clean_acc"]


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (torch.zeros(4, 2), r"shape \(4, 2\), expected logits \(4, 3\)"),
        (torch.zeros(4), r"shape \(4,\), expected logits \(4, 3\)"),
        (torch.zeros(1, 3), r"shape \(1, 3\), expected logits \(4, 3\)"),
        (torch.zeros(4, 1), "logit1"),
        (torch.tensor([[0.0, 0.0, float("nan")]] * 4), "4 of 4"),
        ((torch.zeros(4, 3),), "a tuple, expected a tensor"),
    ],
)
def test_a_wrong_output_is_an_entry_error(output, says):
    with pytest.raises(EntryError, match=says):
        tasks.make("classification").check_output(output, SPEC, 4)


def test_one_logit_entries_give_two_logits():
    spec = SPEC.model_copy(update={"output": "logit1", "classes": 1})
    tasks.make("classification").check_output(torch.zeros(4, 2), spec, 4)


def test_a_label_that_the_network_does_not_know_is_an_entry_error():
    with pytest.raises(EntryError, match=r"'s1' has label 3, but the network gives 3 logits"):
        tasks.make("classification").clean(Model(Pixels()), batch([[0, 0, 1], [0, 0, 1]], [2, 3]))


def test_flips_are_counted_apart_and_a_class_that_is_not_there_is_refused():
    """Oracle: by hand, from six samples of two classes."""
    import pandas as pd

    from benchmark.errors import UnknownNameError

    rows = pd.DataFrame(
        {
            "label": [1, 1, 1, 0, 0, 0],
            "correct": [True, True, False, True, True, True],
            "pred": [0, 1, 0, 1, 0, 1],
            "success": [True, False, False, True, False, True],
        }
    )
    task = tasks.make("classification", {"flips": ["ILL"]})
    missed, alarm = task.attack_columns(["WELL", "ILL"])
    assert (missed.name, alarm.name) == ("flips_from_ill", "flips_to_ill")
    np.testing.assert_array_equal(missed.values(rows), [1, 0, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(alarm.values(rows), [np.nan, np.nan, np.nan, 1, 0, 1])
    with pytest.raises(UnknownNameError, match="ILL"):
        task.attack_columns(["a", "b"])


class Made(torch.nn.Module):
    """The three pixels times ten, then what makes a model hard to judge."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        return self.how(10 * x.flatten(1))


CHECKS = {
    "plain": (lambda z: z, (False, False, False)),
    "one pixel in eight levels": (lambda z: (z * 0.7).round(), (False, False, True)),
    "saturated": (lambda z: z * 1e4, (False, False, True)),
    "softmax": (lambda z: z.softmax(1), (False, True, False)),
    "random": (lambda z: z + 0.1 * torch.rand_like(z), (True, False, False)),
    "no gradient at all": (lambda z: z.detach(), (False, False, True)),
}


@pytest.mark.parametrize("name", CHECKS)
def test_checks_of_the_model(name):
    how, (random, softmax, zero) = CHECKS[name]
    part = batch([[0.9, 0.1, 0.2], [0.5, 0.35, 0.3]], [0, 0])
    model, task = Model(Made(how)), tasks.make("classification")
    with model.counter.counting() as used:
        rows = task.clean(model, part, SPEC)
    assert ((rows["check_repeat"] > 1e-4) == random).all()
    assert (rows["check_softmax"] == softmax).all()
    assert ((rows["check_gradient"] == 0) == zero).all()
    chosen = rows["check_batch"].size - int(np.isnan(rows["check_batch"]).sum())
    assert used.forwards == 4 + 2 * chosen, "two that are counted a sample, and two of those in another batch"
    again = task.clean(model, part, SPEC)
    for column, values in rows.items():
        np.testing.assert_array_equal(values, again[column], column)  # a model that draws is seeded


def test_the_checked_gradient_is_that_of_the_cross_entropy():
    """Closed form for linear logits 10 x: 10 (softmax - one hot)."""
    part = batch([[0.3, 0.2, 0.1]], [1])
    found = tasks.make("classification").clean(Model(Made(lambda z: z)), part, SPEC)["check_gradient"]
    z = 10 * part.inputs.reshape(3).astype(np.float64)
    p = np.exp(z) / np.exp(z).sum()
    np.testing.assert_allclose(found, [np.abs(10 * (p - np.array([0, 1, 0]))).max()], rtol=1e-5)


def test_a_success_may_not_survive_an_image_file():
    """0.5005 and 0.501 are the same grey value of 255 (128): the tie then goes to the lower index, which is right."""
    rows = verified(
        [[0.5, 0.45, 0.1], [0.5, 0.45, 0.1], [0.5, 0.45, 0.1]],
        [[0.5005, 0.501, 0.1], [0.45, 0.5, 0.1], [0.5, 0.4, 0.1]],
        [0, 0, 0],
    )
    assert rows["success"].tolist() == [True, True, False]
    assert rows["success_8bit"].tolist() == [False, True, False]
