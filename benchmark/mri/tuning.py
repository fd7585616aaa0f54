"""Lambda of the classical reconstructions, found on validation samples: ``python -m benchmark.mri.tuning``.

Protocol, fixed before any number was seen: the first 100 samples of the split ``val`` of the phantoms at 32x32; the
mask vd2d, 54 %, seed 0; white measurement noise at seven levels, drawn from a seed of the sample's name, the same for
every lambda; eight lambdas a decade from 1e-4 to 1e-1; the least mean of ||f - x|| / ||x|| wins. What it prints is what
the entries ``tv``, ``tv_noise2``, ``wavelet_l1``, ``wavelet_l1_noise2`` and ``tv_oracle`` hold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmark.data.base import Grid, datasets
from benchmark.mri.masks import MaskSpec, make_mask
from benchmark.mri.measurement import measure, truth_of
from benchmark.mri.quality import relative_error
from benchmark.mri.solvers import Regularised, TotalVariation, WaveletL1
from benchmark.seeds import Draws, derive

LEVELS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08)
LAMBDAS = tuple(float(f"{10 ** (k / 8 - 4):.3g}") for k in range(25))
SIZE = (32, 32)
MASK = MaskSpec(kind="vd2d", fraction=0.54, seed=0)
# 2 levels: the third would transform 8 x 8 values with filters of 8 taps, beyond PyWavelets' dwt_max_level
METHODS: dict[str, Callable[[float], Regularised]] = {
    "tv": TotalVariation,
    "wavelet_l1": lambda lam: WaveletL1(lam, wavelet="db4", levels=2),
}


def samples(count: int) -> tuple[torch.Tensor, list[int]]:
    """The first validation phantoms (N, 2, H, W), and a seed of each for its noise."""
    phantoms = datasets.make("phantoms")
    ids = phantoms.index("val").ids[:count]
    batch = phantoms.load("val", ids, Grid(size=SIZE))
    return torch.from_numpy(batch.inputs), [derive("tuning", name) for name in ids]


@torch.no_grad()
def errors(
    make: Callable[[float], Regularised], lambdas: Sequence[float], level: float, count: int = 100
) -> list[float]:
    """Mean relative error of each lambda at a noise level ||n|| / ||Ax||."""
    inputs, seeds = samples(count)
    normal = Draws(seeds).normal(inputs.shape[1:])
    measured = measure(inputs, torch.from_numpy(make_mask(MASK, SIZE)), level=level, normal=normal)
    physics, truth = measured.physics(), truth_of(inputs)
    return [float(relative_error(make(lam)(measured.y, physics), truth).mean()) for lam in lambdas]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of each method: a row a lambda, a column a level, then the best lambda of each level."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"default: {' '.join(METHODS)}")
    parser.add_argument("--samples", type=int, default=100, help="number of phantoms (the entries: 100)")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.methods if name not in METHODS]:
        parser.error(f"unknown method {unknown[0]!r}: known are {', '.join(METHODS)}")
    for name in given.methods or METHODS:
        table = np.array([errors(METHODS[name], LAMBDAS, level, given.samples) for level in LEVELS])
        print(f"\n| {name} | {' | '.join(f'{level:.1%}' for level in LEVELS)} |\n|---|{'---|' * len(LEVELS)}")
        for lam, row in zip(LAMBDAS, table.T, strict=True):
            print(f"| {lam:g} | {' | '.join(f'{error:.4f}' for error in row)} |")
        best = [f"{LAMBDAS[i]:g}" for i in table.argmin(1)]
        print(f"| best | {' | '.join(best)} |")
        print(f"| error there | {' | '.join(f'{error:.4f}' for error in table.min(1))} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
