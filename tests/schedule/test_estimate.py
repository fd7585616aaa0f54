"""The estimate before a first run. Oracle: forwards and backwards that an attack is known to make."""

import torch

from benchmark.data.base import Grid, datasets
from benchmark.schedule.estimate import SAMPLES, counted, stand_in
from benchmark.spec.suites import load_suite

SUITE = """
entries = ["one"]
dataset = { use = "digits", samples = 20 }
attacks = [
  { name = "square", use = "square", budgets = ["0.0001"], params = { queries = 30 } },
  { name = "fmn", use = "fmn", params = { norm = "l2", steps = 12 } },
]
"""


def test_the_stand_in_is_right_about_the_samples_that_it_is_counted_on():
    dataset = datasets.make("digits")
    batch = dataset.load("test", dataset.index("test").ids[:SAMPLES], Grid())
    model, _ = stand_in(batch, 10)
    assert model(torch.as_tensor(batch.inputs)).argmax(1).tolist() == batch.labels.tolist()


def test_an_attack_is_counted_as_one_on_samples_that_are_right(workplace):
    """Wrong samples are not attacked: each query and each step would count as nothing."""
    calls = {key[1]: value for key, value in counted(load_suite(str(workplace.suite("mine", SUITE))), 10).items()}
    assert calls["square"][0] > 30
    assert calls["fmn"][:2] >= (12, 12)


MOSAICS = """
entries = ["one"]
seed = 4
dataset = { use = "digits", samples = 20 }
explainers = [{ name = "saliency", use = "saliency" }]
metrics = [{ name = "grid", use = "grid-pointing-game" }, { name = "mass", use = "sparseness" }]
"""


def test_a_metric_of_several_samples_is_counted_on_as_many_as_it_needs(workplace):
    """A sample alone, its share of a look at one mosaic, and its own mosaic of 4 images: 1 + 1 + 4."""
    calls = {key[1:3]: value for key, value in counted(load_suite(str(workplace.suite("mine", MOSAICS))), 10).items()}
    assert calls["saliency", "grid"][:2] == (6, 4)
    assert calls["saliency", "mass"][:2] == (0, 0)
