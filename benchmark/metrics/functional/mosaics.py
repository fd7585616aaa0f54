"""Mosaics of images that the network is sure of: how much of the positive relevance lies in the right cell?

Rao et al. 2022, section 3: where each cell holds another class, it is known without a mask where the evidence for a
class can be. Which images stand in a mosaic follows from seeds of the samples alone: not from the batch, the order of
the samples, nor from what explains them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.errors import RefusedError
from benchmark.metrics.functional.again import Explain, bind
from benchmark.metrics.functional.common import Network, rows_per_pass, spans
from benchmark.metrics.functional.localisation import relevance_mass
from benchmark.models.mosaic import apart, joined, on_mosaic, partly_apart
from benchmark.models.wrap import Model
from benchmark.seeds import derive


@dataclass(frozen=True)
class Mosaics:
    """Which samples stand where.

    Attributes:
        side: cells a side.
        rows: the samples whose class is explained, one a mosaic.
        places: the cell of each, row by row.
        cells: (M, side^2) sample in each cell.
    """

    side: int
    rows: tuple[int, ...]
    places: tuple[int, ...]
    cells: tuple[tuple[int, ...], ...]

    def inputs(self, images: torch.Tensor, which: Sequence[int]) -> torch.Tensor:
        """(M, C, side * h, side * w) of some of the mosaics, from images (N, C, h, w)."""
        chosen = torch.tensor([self.cells[m] for m in which], device=images.device)
        return joined(images[chosen.flatten()], self.side)

    def masks(self, images: torch.Tensor, which: Sequence[int]) -> torch.Tensor:
        """Bool (M, 1, side * h, side * w): True in the cell of the explained sample."""
        own = torch.zeros(len(which), self.side**2, dtype=torch.bool, device=images.device)
        own[torch.arange(len(which)), torch.tensor([self.places[m] for m in which])] = True
        cells = own.view(-1, 1, 1, 1).expand(-1, 1, *images.shape[2:])
        return joined(cells, self.side)


def confidences(model: Network, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(N,) float64: the label's probability, 0 where another class is predicted; in parts."""
    parts = []
    with torch.no_grad():
        for at in spans(len(inputs), rows_per_pass(inputs)):
            shares = model(inputs[at]).double().softmax(1)
            own = shares.gather(1, labels[at].view(-1, 1))[:, 0]
            parts.append(torch.where(shares.argmax(1) == labels[at], own, torch.zeros_like(own)))
    return torch.cat(parts)


def arranged(sure: Sequence[int], labels: Sequence[int], seeds: Sequence[int], side: int) -> Mosaics:
    """A mosaic for each sample that the network is sure of and that has partners of other classes.

    Args:
        sure: samples that may stand in a mosaic.
        labels: (N,) of all samples.
        seeds: (N,) of all samples.
        side: cells a side.
    """
    order = sorted(sure, key=lambda i: (seeds[i], i))
    rows, places, cells = [], [], []
    for i in sure:
        draw = np.random.default_rng(derive("mosaic", seeds[i], side))
        place, others = int(draw.integers(side**2)), [i]
        for k in draw.permutation(len(order)):
            if len(others) == side**2:
                break
            if labels[order[k]] not in {labels[j] for j in others}:
                others.append(order[k])
        if len(others) == side**2:
            rows.append(i)
            places.append(place)
            cells.append((*others[1 : place + 1], i, *others[place + 1 :]))
    return Mosaics(side, tuple(rows), tuple(places), tuple(cells))


def grid_pointing_game(
    explain: Explain, model: Model, images: torch.Tensor, labels: torch.Tensor, mosaics: Mosaics
) -> tuple[torch.Tensor, int]:
    """GridPG: the share of positive relevance in the cell of the explained class (Rao et al. 2022, eq. 1).

    Args:
        explain: ``explain(model, inputs, targets) -> attributions``; channels are summed with their signs.
        model: on the suite's grid; see :func:`benchmark.models.mosaic.on_mosaic`.
        images: (N, C, h, w).
        labels: (N,) their classes.
        mosaics: of these images.

    Returns:
        (N,) float64 in [0, 1], higher is better, NaN for samples without a mosaic; and the height of a cell as the
        network sees it. What does not look gets 1 / side^2 on average.

    Raises:
        RefusedError: see :func:`benchmark.models.mosaic.on_mosaic`.
    """
    whole, height = on_mosaic(model, images, mosaics.side)
    shares = _none(images)
    _score(shares, explain, whole, images, labels, mosaics, range(len(mosaics.rows)))
    _count(model, whole, mosaics.side**2)
    return shares, height


def difull(
    explain: Explain, model: Model, images: torch.Tensor, labels: torch.Tensor, mosaics: Mosaics, layer: str = ""
) -> torch.Tensor:
    """DiFull: as :func:`grid_pointing_game`, where each cell has the network to itself (Rao et al. 2022, section 3.1).

    Args:
        layer: see :func:`benchmark.models.mosaic.apart`.

    Returns:
        (N,) float64 in [0, 1]; 1 for whatever asks the network or its gradient alone.

    Raises:
        RefusedError: the network cannot be divided at that layer, or gives other logits for a cell than for its image.
    """
    shares = _none(images)
    for place, which in _by_place(mosaics):
        divided = apart(model, mosaics.side, place, layer)
        with torch.no_grad():
            alone = model(images[[mosaics.rows[which[0]]]])
        seen = _logits(divided, mosaics.inputs(images, which[:1]), f"each cell alone up to {layer!r}")
        if seen.shape != alone.shape or not torch.allclose(seen, alone, rtol=1e-3, atol=1e-3):
            raise RefusedError(
                f"divided at {layer!r}, its last map, the network gives other logits for a cell than for the image"
                " alone: what comes before that layer, or beside it, reaches the output too"
            )
        _score(shares, explain, divided, images, labels, mosaics, which)
        _count(model, divided, mosaics.side**2 if layer else 1)
    return shares


def dipart(
    explain: Explain,
    model: Model,
    images: torch.Tensor,
    labels: torch.Tensor,
    mosaics: Mosaics,
    layer: str,
    grid: tuple[int, int],
) -> torch.Tensor:
    """DiPart: as :func:`grid_pointing_game`, where what follows ``layer`` sees one cell of its map alone.

    Args:
        grid: size (h, w) of the layer's map of one image.

    Returns:
        (N,) float64 in [0, 1].

    Raises:
        RefusedError: the network does not take a mosaic, or that layer's map of it is not ``side`` times as large.
    """
    shares, side = _none(images), mosaics.side
    for place, which in _by_place(mosaics):
        divided = partly_apart(model, side, place, layer)
        _check_map(divided, mosaics.inputs(images, which[:1]), side, layer, grid)
        _score(shares, explain, divided, images, labels, mosaics, which)
        _count(model, divided, side**2)
    return shares


def _none(images: torch.Tensor) -> torch.Tensor:
    return torch.full((len(images),), torch.nan, dtype=torch.float64, device=images.device)


def _by_place(mosaics: Mosaics) -> list[tuple[int, list[int]]]:
    """(cell, mosaics whose explained sample lies there)."""
    return [
        (place, [m for m, own in enumerate(mosaics.places) if own == place]) for place in sorted(set(mosaics.places))
    ]


def _logits(divided: Model, mosaic: torch.Tensor, words: str) -> torch.Tensor:
    try:
        with torch.no_grad():
            logits: torch.Tensor = divided(mosaic)
    except Exception as error:  # code of others: whatever it raises, it cannot be divided
        raise RefusedError(
            f"the network cannot be divided ({words}): {type(error).__name__}: {str(error)[:200]}"
        ) from error
    return logits


def _check_map(divided: Model, mosaic: torch.Tensor, side: int, layer: str, grid: tuple[int, int]) -> None:
    """Refuse a network whose map of a mosaic is not ``side`` times that of an image, or that fails behind it."""
    sizes: list[tuple[int, ...]] = []

    def look(_module: object, _given: object, output: torch.Tensor) -> None:
        sizes.append(tuple(output.shape[2:]))

    wanted = (side * grid[0], side * grid[1])
    handle = divided.network.get_submodule(f"{layer}.0").register_forward_hook(look)
    try:
        rows = len(_logits(divided, mosaic, f"a mosaic up to {layer!r}, then one cell"))
    except RefusedError:
        if sizes in ([], [wanted]):
            raise
        rows = 0
    finally:
        handle.remove()
    if rows != 1 or sizes != [wanted]:
        raise RefusedError(
            f"the network's last map ({layer!r}) is {grid} for an image and {', '.join(map(str, sizes))} for"
            f" {side}x{side} images: no cell of it belongs to one image"
        )


def _score(
    shares: torch.Tensor,
    explain: Explain,
    network: Model,
    images: torch.Tensor,
    labels: torch.Tensor,
    mosaics: Mosaics,
    which: Sequence[int],
) -> None:
    """Fill in the shares of some mosaics."""
    step = rows_per_pass(mosaics.inputs(images, which[:1]))
    for at in spans(len(which), step):
        some = which[at]
        rows = [mosaics.rows[m] for m in some]
        attributions = bind(explain, rows, [0] * len(rows))(network, mosaics.inputs(images, some), labels[rows])
        shares[rows] = relevance_mass(attributions.detach(), mosaics.masks(images, some)).to(shares.device)


def _count(model: Model, used: Model, cells: int) -> None:
    """Add the calls of a network on mosaics to the model's own, in images of the suite's size."""
    model.counter.forwards += cells * used.counter.forwards
    model.counter.backwards += cells * used.counter.backwards
