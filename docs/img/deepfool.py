"""Draw docs/img/deepfool.png: ``python docs/img/deepfool.py MNIST_FOLDER`` (some seconds, no GPU)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmark.attacks.base import attacks
from benchmark.data.base import Grid, datasets
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.seeds import Draws

SHOWN = 6  # images, and as many columns
FITTED = 500  # images that the eps of FGSM is found on


def main(folder: str) -> None:
    """Clean images, then for DeepFool and FGSM what is added (red: brighter, blue: darker) and the result."""
    model = build_model(load_entry("mnist_lenet"))
    dataset = datasets.make("mnist-idx", {"path": Path(folder)})
    batch = dataset.load("test", dataset.index("test").ids[:FITTED], Grid())
    x, y = torch.from_numpy(batch.inputs), torch.from_numpy(batch.labels)
    draws = Draws(range(FITTED))
    fgsm = attacks.make("fgsm-90")
    fitted = fgsm.fit(model, x, y, eps=None, generator=draws)
    first = [int((y == digit).nonzero()[0]) for digit in range(SHOWN)]
    x, y = x[first], y[first]
    found = {
        "DeepFool": attacks.make("deepfool").run(model, x, y, eps=None, generator=draws).inputs,
        "FGSM": fgsm.run(model, x, y, eps=None, generator=draws, fitted=fitted).inputs,
    }
    figure = Figure(figsize=(SHOWN * 1.05 + 0.9, 5.6))
    axes = figure.subplots(5, SHOWN)
    _row(axes[0], "image", x, model(x), signed=False)
    for at, (name, moved) in enumerate(found.items()):
        _row(axes[1 + 2 * at], f"{name}: r", moved - x, None, signed=True)
        _row(axes[2 + 2 * at], "image + r", moved, model(moved), signed=False)
    figure.subplots_adjust(left=0.15, right=0.99, top=0.95, bottom=0.01, hspace=0.3, wspace=0.08)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=80, pil_kwargs={"optimize": True})


def _row(axes: np.ndarray, name: str, images: torch.Tensor, logits: torch.Tensor | None, *, signed: bool) -> None:
    for at, (axis, image) in enumerate(zip(axes, images, strict=True)):
        colours = {"cmap": "RdBu_r", "vmin": -0.5, "vmax": 0.5} if signed else {"cmap": "gray", "vmin": 0, "vmax": 1}
        axis.imshow(image[0], interpolation="nearest", **colours)
        axis.set_xticks([])
        axis.set_yticks([])
        if logits is not None:
            axis.set_title(f"read as {int(logits[at].argmax())}", fontsize=8, pad=2)
    axes[0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")


if __name__ == "__main__":
    main(sys.argv[1])
