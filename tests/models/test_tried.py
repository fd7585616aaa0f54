"""Other ways to ask a network. Oracles: scipy's exact tests, networks whose order or scale is known, enumeration."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from benchmark.data.base import Batch
from benchmark.models.check import check_accuracy, check_order
from benchmark.models.tried import Best, above, best_of, mcnemar, right_in_order, usual_orders
from benchmark.models.wrap import Model

bools = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(bools)
def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs(pairs):
    better, own = np.array(pairs).T
    gained, lost = int((better & ~own).sum()), int((own & ~better).sum())
    expected = binomtest(gained, gained + lost, 0.5, alternative="greater").pvalue if gained + lost else 1.0
    assert mcnemar(better, own) == pytest.approx(expected)


@given(st.integers(1, 200), st.floats(0.05, 0.95), st.data())
def test_above_is_the_binomial_test_against_chance(n, chance, data):
    right = data.draw(st.integers(0, n))
    assert above(right, n, chance) == (binomtest(right, n, chance, alternative="greater").pvalue < 0.01)


@given(bools, st.integers(1, 6))
def test_what_is_said_is_true(pairs, copies):
    """Property: 'no ... does better' exactly where none has more right; else the best is named with its accuracy."""
    tried, own = np.array(pairs).T
    best = best_of(own, {f"way {i}": tried for i in range(copies)}, 0.1)
    words = best.words("usual order")
    assert ("does better" in words) == (tried.sum() <= own.sum())
    if tried.sum() > own.sum():
        assert f"it is {tried.mean():.3f}" in words
        assert best.p == pytest.approx(min(1, copies * mcnemar(tried, own)))
    assert Best().words("usual order") == "no usual order could be tried"


def test_better_at_the_level_of_guessing_is_no_finding():
    """Naming always the commonest of two classes beats naming always the other one; it is guessing all the same."""
    labels = np.arange(200) < 150
    best = best_of(~labels, {"the other": labels}, 0.75)
    assert best.p < 1e-6
    assert not best.sure
    assert "no better than guessing" in best.words("usual preprocessing")


# -- orders ------------------------------------------------------------------------------------------------------------

CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PLANTED = [  # dataset's classes, what each output of the network is, the words that must name it
    (CIFAR[::-1], CIFAR, "sorted by name"),
    (CIFAR, CIFAR[::-1], "reversed"),
    (CIFAR, [CIFAR[-1], *CIFAR[:-1]], "counted from 1"),
    (CIFAR, [*CIFAR[1:], CIFAR[0]], "counted from -1"),
    ([str(k) for k in range(12)], sorted(map(str, range(12))), "as text"),
    (sorted(map(str, range(12))), [str(k) for k in range(12)], "by number"),
    (["b", "A", "c"], ["A", "b", "c"], "sorted by name"),
    (["cat", "Dog", "emu"], ["Dog", "cat", "emu"], "sorted by name"),
    (["Dog", "cat", "emu"], ["cat", "Dog", "emu"], "capitals and small letters alike"),
]


@pytest.mark.parametrize(("classes", "outputs", "words"), PLANTED)
def test_a_planted_order_is_the_one_that_works(classes, outputs, words):
    labels = np.arange(len(classes)).repeat(30)
    predicted = np.array([outputs.index(classes[k]) for k in labels])  # a network that is always right
    tried = {name: right_in_order(predicted, labels, o) for name, o in usual_orders(classes, len(outputs)).items()}
    best = best_of(predicted == labels, tried, 1 / len(classes))
    assert best.sure
    assert best.accuracy == 1
    assert words in best.name


def test_some_of_imagenets_classes_are_found_in_their_list():
    """Folders of three classes, judged by number with a network of 1,000 outputs that is always right."""
    classes, labels = ["n01440764", "n02123045", "n02510455"], np.arange(3).repeat(20)
    predicted = np.array([0, 281, 388])[labels]
    orders = usual_orders(classes, 1000)
    best = best_of(predicted == labels, {k: right_in_order(predicted, labels, o) for k, o in orders.items()}, 1 / 3)
    assert best.sure
    assert best.accuracy == 1
    assert 'classes = "imagenet-1k" in [dataset]' in best.name


@given(st.integers(2, 30), st.integers(0, 3))
def test_orders_are_permutations_of_the_outputs_and_none_is_the_datasets_own(count, more):
    names = [f"c{k:02d}" for k in range(count)]
    for order in usual_orders(names, count + more).values():
        kept = order[order >= 0]
        assert len(set(kept.tolist())) == len(kept)
        assert not np.array_equal(order, np.arange(count + more))


# -- as the check says it ----------------------------------------------------------------------------------------------


class Entry:
    """What these checks ask of an entry."""

    name = "x"

    class spec:  # noqa: N801
        class_count, input_shape = 12, (1, 4, 4)


class Level(torch.nn.Module):
    """The class is the brightness; ``order[j]`` is the class of output j, ``scale`` what it is fed."""

    def __init__(self, order, scale=1.0, keep=1.0):
        super().__init__()
        self.register_buffer("centre", torch.tensor([float(k) for k in order]) / 12)
        self.scale, self.keep = scale, keep

    def forward(self, x):
        level = x.mean((1, 2, 3))[:, None] / self.scale
        wrong = torch.arange(len(x))[:, None] % 100 >= 100 * self.keep
        return torch.where(
            wrong, torch.randn(12, generator=torch.Generator().manual_seed(0)), -((level - self.centre) ** 2)
        )


def batch(each=25):
    labels = np.tile(np.arange(12), each)
    images = np.repeat((labels / 12).astype(np.float32), 16).reshape(-1, 1, 4, 4)
    return Batch(tuple(map(str, range(len(labels)))), images, labels)


def test_check_names_the_order_that_works():
    data, names = batch(), [str(k) for k in range(12)]
    model, inputs = Model(Level([int(n) for n in sorted(names)])), torch.from_numpy(data.inputs)
    found = check_order(Entry, model, inputs, data, names, None)
    assert found.status == "fail"
    assert "as text (10 before 2) it is 1.000" in found.finding
    assert check_order(Entry, Model(Level(range(12))), inputs, data, names, None).status == "ok"


def test_a_weak_network_with_the_wrong_scale_is_found():
    """22 % right is less than three times chance, and yet beyond doubt more than what it names now."""
    data = batch(each=100)
    inputs = torch.from_numpy(data.inputs)
    weak = Model(Level(range(12), scale=255, keep=0.2))
    found = check_accuracy(Entry, weak, inputs, data, None)
    assert found.status == "fail"
    assert "with inputs in [0, 255]" in found.finding
    right = check_accuracy(Entry, Model(Level(range(12), keep=0.2)), inputs, data, None)
    assert right.status == "ok"
    assert "no usual preprocessing does better" in right.finding
