"""A network on mosaics: images side by side on one grid, of which each cell comes to the network as it would alone.

Three networks are made from one, as Rao et al. 2022 (section 3.1) define them; none changes the network itself.

- :func:`on_mosaic`: the network sees all cells at once (GridPG). One that takes its own size alone gets cells that are
  scaled down until the mosaic has that size.
- :func:`apart` (DiFull): each cell goes through the network by itself, and the logits are those of one cell.
- :func:`partly_apart` (DiPart): the layers up to the last map see the mosaic, what follows sees one cell of that map.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from benchmark.errors import RefusedError
from benchmark.models.watch import once
from benchmark.models.wrap import Counter, Geometry, Model


def split(x: torch.Tensor, side: int) -> torch.Tensor:
    """(N, C, side * h, side * w) to cells (N * side^2, C, h, w), those of a mosaic together, row by row."""
    n, c, height, width = x.shape
    cells = x.reshape(n, c, side, height // side, side, width // side).permute(0, 2, 4, 1, 3, 5)
    return cells.reshape(n * side**2, c, height // side, width // side)


def joined(cells: torch.Tensor, side: int) -> torch.Tensor:
    """Cells (N * side^2, C, h, w) to mosaics (N, C, side * h, side * w); undoes :func:`split`."""
    rows, c, height, width = cells.shape
    parts = cells.reshape(rows // side**2, side, side, c, height, width).permute(0, 3, 1, 4, 2, 5)
    return parts.reshape(rows // side**2, c, side * height, side * width)


def cell(x: torch.Tensor, side: int, place: int) -> torch.Tensor:
    """Cell number ``place`` (row by row) of (N, C, side * h, side * w), as (N, C, h, w)."""
    height, width = x.shape[2] // side, x.shape[3] // side
    top, left = place // side * height, place % side * width
    return x[:, :, top : top + height, left : left + width]


class Split(nn.Module):
    """:func:`split` as a layer."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, side * h, side * w) to (N * side^2, C, h, w)."""
        return split(x, self.side)


class Joined(nn.Module):
    """:func:`joined` as a layer."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N * side^2, C, h, w) to (N, C, side * h, side * w)."""
        return joined(x, self.side)


class Cell(nn.Module):
    """:func:`cell` as a layer."""

    def __init__(self, side: int, place: int) -> None:
        super().__init__()
        self.side, self.place = side, place

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, side * h, side * w) to (N, C, h, w)."""
        return cell(x, self.side, self.place)


class CellByCell(nn.Module):
    """A geometry for mosaics: each cell is brought to its size by itself, so that no pixel mixes with another cell's.

    Args:
        geometry: of one cell.
        side: cells a side.
    """

    def __init__(self, geometry: nn.Module, side: int) -> None:
        super().__init__()
        self.geometry, self.side = geometry, side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, side * h, side * w) to (N, C', side * h', side * w')."""
        return x if isinstance(self.geometry, nn.Identity) else joined(self.geometry(split(x, self.side)), self.side)


def _with(model: Model, geometry: nn.Module) -> Model:
    """The model with another geometry; all else is shared, but for the counter."""
    other = copy.copy(model)
    other._modules = dict(model._modules)
    other.geometry, other.counter = geometry, Counter()
    return other


def on_mosaic(model: Model, like: torch.Tensor, side: int) -> tuple[Model, int]:
    """The model on mosaics of ``side`` x ``side`` inputs such as ``like``, and the height of a cell as it sees it.

    Args:
        model: on the suite's grid.
        like: (N, C, h, w) on that grid.

    Returns:
        a model of (N, C, side * h, side * w). A network that takes its own size alone gets each cell scaled down to
        its ``side``-th part.

    Raises:
        RefusedError: such a network, whose size ``side`` does not divide.
    """
    height, width = (int(size) for size in model.prepared(like[:1]).shape[2:])
    whole = _with(model, CellByCell(model.geometry, side))
    if once(model, f"a mosaic of {side} x {side} cells of {tuple(like.shape[1:])}", lambda: _takes(whole, like, side)):
        return whole, height
    if height % side or width % side:
        raise RefusedError(
            f"the network takes {height}x{width} alone, which {side} cells a side do not divide; choose another `side`"
        )
    given = model.geometry
    grey, kind = (given.grey, given.interpolation) if isinstance(given, Geometry) else (False, "bilinear")
    channels = given.channels if isinstance(given, Geometry) else like.shape[1]
    smaller = Geometry((channels, height // side, width // side), grey, kind).to(model.device)
    return _with(model, CellByCell(smaller, side)), height // side


def _takes(whole: Model, like: torch.Tensor, side: int) -> bool:
    """Whether the network gives a row of finite logits for a mosaic of noise."""
    shape = (1, like.shape[1], side * like.shape[2], side * like.shape[3])
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            logits = whole(noise.to(like))
    except Exception:  # code of others: whatever it raises, it does not take this size
        return False
    return logits.ndim == 2 and len(logits) == 1 and bool(logits.isfinite().all())


def apart(model: Model, side: int, place: int, layer: str = "") -> Model:
    """DiFull: the logits of one cell, through the network that it has to itself.

    Args:
        model: on the suite's grid.
        side, place: cells a side, and whose logits.
        layer: dotted name of a module of the network with output (N, K, h, w), for explainers that read its map: all
            cells then go through the layers up to it, and their maps lie side by side, as in the paper; "": what the
            logits do not depend on is not computed.

    Raises:
        RefusedError: that layer cannot be divided.
    """
    if not layer:
        geometry = model.geometry
        first = Cell(side, place)
        return _with(model, first if isinstance(geometry, nn.Identity) else nn.Sequential(first, geometry))
    other = _divided(model, side, layer, nn.Sequential(Joined(side), Cell(side, place)))
    other.network, other.core = (nn.Sequential(Split(side), part) for part in (other.network, other.core))
    other.gradcam_layer = f"1.{layer}.1.0"
    return other.eval()


def partly_apart(model: Model, side: int, place: int, layer: str) -> Model:
    """DiPart: the layers up to ``layer`` see the mosaic, what follows sees one cell of its map.

    Raises:
        RefusedError: that layer cannot be divided.
    """
    other = _divided(model, side, layer, Cell(side, place))
    other.gradcam_layer = f"{layer}.0"
    return other.eval()


def _divided(model: Model, side: int, layer: str, behind: nn.Module) -> Model:
    """A copy whose ``layer`` is followed by a module, on mosaics."""
    try:
        other = copy.deepcopy(model)
    except Exception as error:  # code of others
        raise RefusedError(f"the network cannot be copied to be divided: {type(error).__name__}: {error}") from error
    if not layer:
        raise RefusedError("the map is the network's own output, behind which nothing can be divided")
    parent, _, name = layer.rpartition(".")
    within = other.network.get_submodule(parent)
    setattr(within, name, nn.Sequential(within.get_submodule(name), behind))
    other.geometry, other.counter = CellByCell(other.geometry, side), Counter()
    other.gradcam_layout = "channels-first"
    return other
