"""What ImageNet costs: 50 models x 20 attacks x 20 metrics on 1, 8 and 64 GPUs, from counted passes.

    python -m tests.speed.projection

prints the tables of docs/scale.md. Passes of attacks are those in the tracked records of results/, or what their steps
make them; passes of metrics are counted here, on a small network at 224x224. A pass costs what NVIDIA's published
throughput of ResNet-50 says; nothing here was measured on a GPU.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from benchmark.explainers.base import explainers
from benchmark.metrics.base import Explained, metrics
from benchmark.models.wrap import Model
from benchmark.seeds import Draws

RESULTS = Path(__file__).parents[2] / "results"
TRAINING = 938  # images a second, ResNet-50 at 224x224, TF32, one A100 80GB (NVIDIA DeepLearningExamples, 21.03)
UNITS = 3  # of a training step: forward, gradient of the input, gradient of the weights, each about as dear
MODELS, SAMPLES, EXPLAINED, EXPLAINERS, CHUNK = 50, 5000, 1000, 5, 100
FITS, FIT_IMAGES, EPOCHS = 3, 10_000, 10  # two universal patterns and a patch a model; a forward and a backward each
OVERHEAD = 0.008  # seconds a cell on Ray, the goal of the bench
VERIFY = 2  # forwards of the verifier a sample: the prediction, and again after 8 bits
GPUS = (1, 8, 64)

# (name, budgets, forwards, backwards a sample): from records of (suite, probe), or by their steps
RECORDED = {
    "autoattack": ("evaluation", "autoattack", 1),
    "PGD, 40 steps": ("evaluation", "pgd-40", 4),
    "PGD, 100 steps": ("evaluation", "pgd-100", 1),
    "Square, 1,000 queries": ("evaluation", "square", 1),
    "boundary, 1,500 steps": ("evaluation", "boundary", 1),
    "HopSkipJump, 20 steps": ("evaluation", "hopskipjump", 1),
    "DDN, 200 steps": ("evaluation", "ddn", 1),
    "DeepFool l2": ("evaluation", "deepfool", 1),
    "APGD, 30 steps": ("digits", "apgd", 2),
}
BY_STEPS = {
    "FGSM": (1, 1, 1),
    "noise linf": (3, 0, 0),
    "noise l2": (3, 0, 0),
    "universal, judged": (2, 0, 0),
    "rotation and shift, grid of 775": (1, 775, 0),
    "blur, JPEG, fog, light, scale (5 severities each)": (25, 0, 0),
    "patch, judged": (1, 0, 0),
    "DeepFool linf": (1, 10, 12),
    "PGD l2, 40 steps": (2, 41, 40),
    "PGD, 20 restarts of 40": (1, 820, 800),
    "random sticker": (1, 0, 0),
}
METRICS = (
    "pixel-flipping", "faithfulness-correlation", "faithfulness-estimate", "region-perturbation", "infidelity", "road",
    "sparseness", "complexity", "effective-complexity", "max-sensitivity", "avg-sensitivity", "local-lipschitz",
    "relative-input-stability", "relative-output-stability", "mprt", "efficient-mprt", "random-logit", "completeness",
    "monotonicity-correlation", "insertion",
)  # fmt: skip


def recorded(suite: str, probe: str) -> tuple[float, float]:
    """Mean (forwards, backwards) a sample of a probe in tracked records."""
    table = pd.read_parquet(RESULTS / suite / "records.parquet")
    heads = table.loc[table["json"].notna(), ["cell", "json"]]
    specs = {cell: json.loads(text)["spec"] for cell, text in zip(heads["cell"], heads["json"], strict=True)}
    wanted = {cell for cell, spec in specs.items() if spec["probe"] == probe and spec["kind"] == "attack"}
    rows = table[table["cell"].isin(wanted) & table["json"].isna()]
    assert len(rows), (suite, probe)
    return float(rows["forwards"].mean()), float(rows["backwards"].mean())


def attacks() -> dict[str, tuple[int, float, float]]:
    """Name to (budgets, forwards, backwards a sample and budget); 20 of them."""
    found = {name: (n, *recorded(suite, probe)) for name, (suite, probe, n) in RECORDED.items()}
    return found | {name: (n, float(f), float(b)) for name, (n, f, b) in BY_STEPS.items()}


def counted(use: str, size: int = 224, n: int = 2) -> tuple[float, float]:
    """(forwards, backwards) a sample and explainer of a metric with its default parameters, saliency explaining."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
    )
    x = torch.rand(n, 3, size, size)
    network(x)
    model = Model(network).eval().requires_grad_(False)
    explainer, targets = explainers.make("saliency"), model(x).argmax(1)
    given = Explained(
        model=model, inputs=x, labels=targets, targets=targets, masks=None, artefacts=None, explainer=explainer,
        attributions=explainer.explain(model, x, targets, generator=Draws(range(n))), generator=Draws(range(n)),
    )  # fmt: skip
    with model.counter.counting() as used:
        metrics.make(use).score(given)
    return used.forwards / n, used.backwards / n


def projection(seconds_a_pass: float = 1 / (TRAINING * UNITS)) -> dict[str, float]:
    """Passes, cells and hours of one GPU, of attacks, fits and explanations."""
    by_attack = attacks()
    attack_passes = sum(n * (f + b + VERIFY) for n, f, b in by_attack.values())
    metric_passes = sum(sum(counted(use)) for use in METRICS)
    attacked = MODELS * SAMPLES * attack_passes
    explained = MODELS * EXPLAINED * EXPLAINERS * (metric_passes + 2)
    cells = MODELS * FITS + MODELS * SAMPLES / CHUNK * (1 + sum(n for n, *_ in by_attack.values()))
    cells += MODELS * EXPLAINED / CHUNK * EXPLAINERS * (1 + len(METRICS))
    return {
        "attack_passes": attack_passes,
        "metric_passes": metric_passes,
        "attack_hours": attacked * seconds_a_pass / 3600,
        "explain_hours": explained * seconds_a_pass / 3600,
        "fit_hours": MODELS * FITS * FIT_IMAGES * EPOCHS * 2 * seconds_a_pass / 3600,
        "cells": cells,
        "overhead_hours": cells * OVERHEAD / 3600,
    }


def lines() -> list[str]:
    """The tables of docs/scale.md."""
    found = projection()
    said = ["| attack | budgets | forwards | backwards | passes a sample, with the verifier |", "|---|---|---|---|---|"]
    for name, (n, forwards, backwards) in attacks().items():
        said.append(
            f"| {name} | {n} | {forwards:,.0f} | {backwards:,.0f} | {n * (forwards + backwards + VERIFY):,.0f} |"
        )
    said += [f"| **20 attacks** | | | | **{found['attack_passes']:,.0f}** |", ""]
    said += ["| metric | forwards | backwards |", "|---|---|---|"]
    for use in METRICS:
        forwards, backwards = counted(use)
        said.append(f"| `{use}` | {forwards:,.0f} | {backwards:,.0f} |")
    said += [f"| **20 metrics** | **{found['metric_passes']:,.0f}** passes a sample and explainer | |", ""]
    said += ["| | 1 GPU | 8 GPUs | 64 GPUs |", "|---|---|---|---|"]
    whole = sum(hours for name, hours in found.items() if name.endswith("_hours"))
    for what, hours in (
        ("attacks", found["attack_hours"]),
        ("fits", found["fit_hours"]),
        ("explanations", found["explain_hours"]),
        ("the schedule's own", found["overhead_hours"]),
        ("**all**", whole),
    ):
        said.append(f"| {what} | " + " | ".join(f"{hours / gpus:,.1f} h" for gpus in GPUS) + " |")
    return said


if __name__ == "__main__":
    print("\n".join(lines()))
