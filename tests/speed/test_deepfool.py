"""DeepFool against foolbox and torchattacks on digits_cnn, on one CPU thread, in one run (``-m speed``).

Oracle: the libraries themselves, on the same samples. They are called as their users call them, on a module whose
parameters require gradients (torch's default); foolbox is timed on frozen parameters too, which is how our adapter
runs it. Timed is processor time, so that other work on the machine does not count; compared is the best round of each.
Beside the times (``extra_info``, and printed with ``-s``): success, median norm, forwards and backwards a sample.
"""

import time
import warnings

import numpy as np
import pytest
import torch

from benchmark.attacks._deepfool import deepfool
from benchmark.data.base import Grid, datasets
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry

pytestmark = [pytest.mark.speed, pytest.mark.benchmark(timer=time.process_time)]

# a round of torchattacks takes half a minute, which a warm-up does not change
ROUNDS = {"assay": 9, "foolbox": 5, "foolbox-frozen": 7, "torchattacks": 1}
found: dict[str, dict[str, float]] = {}


@pytest.fixture(scope="module")
def case():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = build_model(load_entry("digits_cnn"))
    dataset = datasets.make("digits")
    batch = dataset.load("test", dataset.index("test").ids, Grid())
    x, y = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    right = model(x).argmax(1) == y
    yield model, x[right], y[right]
    torch.set_num_threads(threads)


def contender(name, model, x, y):
    if name == "assay":
        return lambda: deepfool(model, x, y, steps=50, candidates=10, overshoot=0.02).inputs
    if name == "torchattacks":
        import torchattacks

        attack = torchattacks.DeepFool(model, steps=50, overshoot=0.02)
        return lambda: attack(x, y)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*scipy\.ndimage\.filters.*", DeprecationWarning)
        import foolbox
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    return lambda: foolbox.attacks.L2DeepFoolAttack(steps=50, overshoot=0.02)(wrapped, x, y, epsilons=None)[0]


@pytest.mark.parametrize("name", ROUNDS)
def test_time(benchmark, case, name):
    model, x, y = case
    model.requires_grad_(name in ("foolbox", "torchattacks"))
    attack = contender(name, model, x, y)
    rounds = ROUNDS[name]
    with model.counter.counting() as used:
        outputs = benchmark.pedantic(attack, rounds=rounds, warmup_rounds=min(1, rounds - 1)).detach()
    model.requires_grad_(False)
    model.zero_grad()
    calls = len(x) * (rounds + min(1, rounds - 1))
    won = (model(outputs).argmax(1) != y).numpy()
    norms = (outputs - x).double().flatten(1).norm(dim=1).numpy()
    found[name] = {
        "seconds": benchmark.stats.stats.min,
        "success": float(won.mean()),
        "median_norm": float(np.median(norms[won])),
        "forwards": used.forwards / calls,
        "backwards": used.backwards / calls,
    }
    benchmark.extra_info.update(found[name])
    print(f"\n{name:<15}" + ", ".join(f"{key} {value:.4g}" for key, value in found[name].items()))


def test_ratios(case):
    """At least 3 times faster than foolbox and 20 times faster than torchattacks, with foolbox's result."""
    if set(found) != set(ROUNDS):
        pytest.skip("the times were not all measured in this run")
    seconds = {name: row["seconds"] for name, row in found.items()}
    ratios = {name: round(seconds[name] / seconds["assay"], 2) for name in ROUNDS}
    print(ratios)
    assert found["assay"]["success"] == pytest.approx(found["foolbox"]["success"], rel=0.005)
    assert found["assay"]["median_norm"] == pytest.approx(found["foolbox"]["median_norm"], rel=0.005)
    assert ratios["foolbox"] >= 3, ratios
    assert ratios["foolbox-frozen"] >= 2, ratios  # 2.5 to 3.7 were seen; the promise is for foolbox as it comes
    assert ratios["torchattacks"] >= 20, ratios
