"""Faithfulness, localisation and complexity against Quantus on a small CNN, one CPU thread, one run (``-m speed``).

Oracle: Quantus on the same float32 samples with the same number of steps: values equal where nothing is drawn, time and
model passes side by side (``-s`` prints the table). Quantus is called as its users call it, without its own
normalisation; ours is the plugin, clean outputs included. Timed is processor time, the least of several rounds.
Random subsets and squares are drawn by each in its own way, in equal number.
"""

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.explainers.base import explainers
from benchmark.metrics.base import Explained, metrics
from benchmark.models.wrap import Model
from benchmark.seeds import Draws, global_seed

with warnings.catch_warnings(), global_seed(0):
    warnings.simplefilter("ignore")
    import quantus

pytestmark = [pytest.mark.speed, pytest.mark.benchmark(timer=time.process_time)]

SIZES = {32: 64, 224: 8}
QUIET = {"normalise": False, "return_aggregate": False, "disable_warnings": True, "display_progressbar": False}
FILL = {"perturb_baseline": 0.0, "abs": False}
ROUNDS = {("assay", 32): 9, ("assay", 224): 4, ("quantus", 32): 5, ("quantus", 224): 2}


@dataclass(frozen=True)
class Row:
    """A plugin and Quantus' class with the same work; ``passes``: bound by the model's forwards."""

    use: str
    params: dict[str, Any]
    other: str
    options: dict[str, Any]
    passes: bool = False
    softmax: bool = False
    channels: int = 3
    compare: Any = None  # their return value and the curve's first point to our value; None: not comparable


def area(values, start):
    curve = np.column_stack([start, np.asarray(values, dtype=float)])
    return np.trapezoid(curve, dx=1 / (curve.shape[1] - 1), axis=1)


def mean_drop(values, _start):
    drops = np.asarray(values, dtype=float)
    return drops.sum(1) / (drops.shape[1] + 1)


def same(values, _start):
    return np.asarray(values, dtype=float)


def rows(size):
    step, patch = {32: 64, 224: 3136}[size], size // 8
    steps, regions = {"features_in_step": step}, {"patch_size": patch}
    k = size * size // 20
    shares = (10, 30, 50, 70, 90)
    return [
        Row("pixel-flipping", steps, "PixelFlipping", steps | FILL, True, True, compare=area),
        Row(
            "faithfulness-correlation",
            {"nr_runs": 50, "subset_size": 224},
            "FaithfulnessCorrelation",
            {"nr_runs": 50, "subset_size": 224} | FILL,
            True,
        ),
        Row("faithfulness-estimate", steps, "FaithfulnessEstimate", steps | FILL, True, compare=same),
        Row(
            "monotonicity-correlation",
            {"features_in_step": 4 * step, "nr_samples": 4},
            "MonotonicityCorrelation",
            {"features_in_step": 4 * step, "nr_samples": 4, "perturb_baseline": "uniform", "abs": True},
            True,
            True,
        ),
        Row(
            "region-perturbation",
            {"patch": patch, "regions": 16},
            "RegionPerturbation",
            regions | {"regions_evaluation": 16} | FILL,
            True,
            True,
            compare=mean_drop,
        ),
        Row("selectivity", {"patch": patch}, "Selectivity", regions | FILL, True, True, compare=area),
        Row(
            "infidelity",
            {"patch": patch, "nr_runs": 64},
            "Infidelity",
            {"perturb_patch_sizes": [patch], "n_perturb_samples": 1} | FILL,
            True,
        ),
        Row(
            "road",
            {"percentages": shares, "noise": 0.0},
            "ROAD",
            {"percentages": list(shares), "noise": 0.0, "abs": False},
            softmax=True,
            channels=1,
        ),
        Row("relevance-rank-accuracy", {}, "RelevanceRankAccuracy", {"abs": False}, channels=1, compare=same),
        Row("relevance-mass-accuracy", {}, "RelevanceMassAccuracy", {"abs": True}, channels=1),
        Row("top-k-intersection", {"k": k}, "TopKIntersection", {"k": k, "abs": False}, channels=1, compare=same),
        Row("pointing-game", {}, "PointingGame", {"abs": False}, channels=1, compare=same),
        Row("localisation-auc", {}, "AUC", {"abs": False}, channels=1, compare=same),
        Row("sparseness", {}, "Sparseness", {"abs": True}, compare=same),
        Row("complexity", {}, "Complexity", {"abs": True}, compare=same),
        Row("effective-complexity", {"eps": 0.1}, "EffectiveComplexity", {"eps": 0.1, "abs": True}),
    ]


NAMES = [row.use for row in rows(32)]
found: dict[tuple[int, str, str], dict[str, Any]] = {}


def cnn(channels, size):
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(channels, 16, 3, stride=1 if size == 32 else 4, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(512, 10),
    ]
    with torch.no_grad():
        layers[-1].weight.mul_(20)
    return Model(nn.Sequential(*layers), mean=[0.5] * channels, std=[0.25] * channels)


class Calls:
    """Forward calls of a model, beside its counter of samples."""

    def __init__(self, model):
        self.n = 0
        model.register_forward_hook(lambda *_: setattr(self, "n", self.n + 1))


def evidence(channels, size):
    """A model, smooth images, tie-free attributions normalised per sample, masks."""
    model, n = cnn(channels, size), SIZES[size]
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand((n, channels, 8, 8), generator=draw)
    inputs = nn.functional.interpolate(coarse, size=size, mode="bilinear")
    attributions = torch.randn(inputs.shape, generator=draw)
    attributions /= attributions.flatten(1).abs().amax(1).view(-1, 1, 1, 1)
    masks = torch.zeros((n, 1, size, size), dtype=torch.bool)
    masks[:, :, size // 4 : size // 2, size // 4 : size // 2] = True
    with torch.no_grad():
        targets = model(inputs).argmax(1)
    return model, inputs, targets, attributions, masks


def ours(row, given):
    model, inputs, targets, attributions, masks = given
    metric, explainer = metrics.make(row.use, row.params), explainers.make("saliency")

    def call():
        draws = Draws(range(len(inputs)))
        return metric.score(Explained(model, inputs, targets, targets, attributions, masks, explainer, draws))

    return call


def theirs(row, given):
    model, inputs, targets, attributions, masks = given

    def call():
        with warnings.catch_warnings(), np.errstate(all="ignore"), global_seed(0):
            warnings.simplefilter("ignore")
            metric = getattr(quantus, row.other)(**row.options, **QUIET)
            return metric(
                model=model,
                x_batch=inputs.numpy(),
                y_batch=targets.numpy(),
                a_batch=attributions.numpy().copy(),
                s_batch=masks.numpy(),
                channel_first=True,
                softmax=row.softmax,
                device="cpu",
                batch_size=len(inputs),
            )

    return call


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("contender", ["quantus", "assay"])  # one straight after the other
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SIZES)
def test_time(benchmark, contender, size, name):
    row = next(row for row in rows(size) if row.use == name)
    given = evidence(row.channels, size)
    model, inputs, targets = given[:3]
    with torch.no_grad():
        start = model(inputs).softmax(1)[torch.arange(len(inputs)), targets].numpy()
    calls = Calls(model)
    work, rounds = {"assay": ours, "quantus": theirs}[contender](row, given), ROUNDS[contender, size]
    with model.counter.counting() as used:
        values = benchmark.pedantic(work, rounds=rounds, warmup_rounds=1)
    if contender == "quantus" and row.compare is not None:
        values = row.compare(values, start)
    found[size, name, contender] = {
        "seconds": benchmark.stats.stats.min / len(inputs),
        "samples": used.forwards / len(inputs) / (rounds + 1),
        "calls": calls.n / (rounds + 1),
        "values": values,
    }


@pytest.mark.parametrize("size", SIZES)
def test_ratios(size):
    """No slower, 1.3 times as fast where the model's forwards are most of the work, the same values; see ``-s``."""
    table = [
        "| metric | ms a sample | Quantus | ratio | passes a sample | Quantus | calls | Quantus |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ratios = {}
    for row in rows(size):
        mine, other = (found.get((size, row.use, contender)) for contender in ("assay", "quantus"))
        if mine is None or other is None:
            pytest.skip(f"not measured in this run: {row.use}")
        ratios[row.use] = other["seconds"] / mine["seconds"]
        cells = [row.use, f"{mine['seconds'] * 1e3:.3g}", f"{other['seconds'] * 1e3:.3g}", f"{ratios[row.use]:.2f}"]
        cells += [f"{one[key]:g}" for key in ("samples", "calls") for one in (mine, other)]
        table.append(f"| {' | '.join(cells)} |")
        if row.compare is not None:
            np.testing.assert_allclose(np.asarray(mine["values"]), other["values"], atol=2e-4, err_msg=row.use)
    print(f"\n3 (or 1) x {size} x {size}, {SIZES[size]} samples\n\n" + "\n".join(table) + "\n")
    least = {row.use: 1.3 if row.passes else 1.0 for row in rows(size)}
    short = {name: round(ratio, 2) for name, ratio in ratios.items() if ratio < least[name]}
    assert not short, short
