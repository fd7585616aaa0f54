"""Square attack: random squares, kept where the margin falls; scores alone, no gradients.

Andriushchenko, Croce, Flammarion and Hein 2020 (arXiv:1912.00049), algorithms 1 to 3; the l1 version is that of Croce
and Hein 2021 (arXiv:2103.01208, section 5). Each sample has its own squares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch

from benchmark.attacks.core.projections import NormName, norms, project, unit, wide
from benchmark.attacks.core.search import Search
from benchmark.seeds import Draws

SHARE = 0.8  # p: share of the elements in the first squares
HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # queries after which it is halved, of 10,000 (section 5)
BLOCK = 64  # queries whose random numbers are drawn together
TILES = 5  # the first perturbation of l2 and l1 has so many squares a side (appendix)


@dataclass
class _Left:
    """Samples that go on: at (M,), clean, best (M, C, H, W), its margin (M,), and what a block of queries draws.

    Attributes:
        numbers: (M, B, R) uniform.
        down, across: (M, B, H) and (M, B, W): of linf, the rows and columns that each square covers.
    """

    at: torch.Tensor
    clean: torch.Tensor
    best: torch.Tensor
    margin: torch.Tensor
    numbers: torch.Tensor
    down: torch.Tensor
    across: torch.Tensor

    def part(self, chosen: torch.Tensor) -> _Left:
        """Some of them."""
        return _Left(*[getattr(self, field.name)[chosen] for field in fields(self)])

    def draw(self, numbers: torch.Tensor, lengths: list[int]) -> None:
        """Begin a block of queries whose squares have these sides."""
        self.numbers = numbers
        sides = torch.tensor(lengths, device=numbers.device)
        self.down, self.across = (_covered(numbers[:, :, i], sides, self.clean.shape[2 + i]) for i in (0, 1))


def _covered(numbers: torch.Tensor, sides: torch.Tensor, size: int) -> torch.Tensor:
    """(M, B, size) what an interval of each side (B,) covers that begins where the numbers (M, B) say."""
    begin = (numbers * (size - sides + 1)).long()
    place = torch.arange(size, device=numbers.device)
    return (place >= begin[:, :, None]) & (place < (begin + sides)[:, :, None])


def side(query: int, shape: tuple[int, ...], norm: NormName) -> int:
    """Side of the square of a query: the schedule of p on H W elements; of l2 and l1 odd and at least 3."""
    height, width = shape[-2:]
    share = SHARE / 2 ** sum(query > place for place in HALVED)
    length = max(round(math.sqrt(share * height * width)), 1 if norm == "linf" else 3)
    if norm != "linf" and length % 2 == 0:
        length += 1
    return min(length, height, width)


def square(search: Search, draws: Draws, *, norm: NormName, eps: float, queries: int, name: str = "square") -> None:
    """Square attack on the samples of a search that are not broken; what breaks one is kept there.

    Args:
        search: of a batch of images (N, C, H, W).
        draws: N streams.
        norm, eps: the ball, linf, l2 or l1.
        queries: most queries after the first perturbation.
        name: of the random streams.
    """
    at = search.left()
    if not len(at):
        return
    own = draws.apart(at.tolist(), [name] * len(at))
    place = {int(sample): row for row, sample in enumerate(at.tolist())}
    clean = search.inputs[at]
    channels = clean.shape[1]
    best = _first(clean, own, norm, eps)
    logits = search.look(at, best)
    margin = search.margins(at, logits)
    search.keep(at, best, margin < 0)
    nothing = clean.new_zeros(len(at), 0)
    state = _Left(at, clean, best, margin, nothing, nothing, nothing).part(margin >= 0)
    for query in range(queries):
        if not len(state.at):
            return
        k = query % BLOCK
        if k == 0:
            block = own.subset([place[int(sample)] for sample in state.at.tolist()])
            lengths = [side(query + later, tuple(clean.shape), norm) for later in range(BLOCK)]
            state.draw(block.uniform((BLOCK, channels + 5)).to(clean.device), lengths)
        x = _square(state, k, eps) if norm == "linf" else _bump(state, state.numbers[:, k], lengths[k], norm, eps)
        margin = search.margins(state.at, search.look(state.at, x))
        state.best = torch.where(wide(margin < state.margin, x), x, state.best)
        state.margin = torch.minimum(margin, state.margin)
        if float(margin.min()) < 0:
            search.keep(state.at, x, margin < 0)
            state = state.part(margin >= 0)


def _signs(numbers: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(M, C) uniform numbers to signs (M, C, 1, 1)."""
    return torch.where(numbers < 0.5, -1.0, 1.0).to(like)[:, :, None, None]


def _places(number: torch.Tensor, room: int) -> torch.Tensor:
    """(M,) uniform numbers to places 0 ... room."""
    return (number * (room + 1)).long().clamp_max(room)


def _first(clean: torch.Tensor, draws: Draws, norm: NormName, eps: float) -> torch.Tensor:
    """The first perturbation: stripes of +-eps (linf), a grid of bumps (l2, l1)."""
    n, channels, height, width = clean.shape
    if norm == "linf":
        signs = _signs(draws.uniform((channels, width)).to(clean.device).flatten(1), clean)
        return (clean + eps * signs.view(n, channels, 1, width)).clamp(0, 1)
    length = max(min(height, width) // TILES, 1)
    down, across = height // length, width // length
    numbers = draws.uniform((down * across, channels + 1)).to(clean.device)
    delta = torch.zeros_like(clean)
    top, left = (height - down * length) // 2, (width - across * length) // 2
    for tile in range(down * across):
        row, column = top + tile // across * length, left + tile % across * length
        bump = _turned(_bumps(length, norm, clean), numbers[:, tile, channels] < 0.5)
        delta[:, :, row : row + length, column : column + length] = bump * _signs(numbers[:, tile, :channels], clean)
    if norm == "l2":
        return (clean + eps * unit(delta, "l2")).clamp(0, 1)
    return project(delta, clean, clean.new_full((n,), eps), "l1")


def _square(state: _Left, k: int, eps: float) -> torch.Tensor:
    """A square of one colour (algorithm 2): +-2 eps added and clipped to the ball, which is +-eps from the clean."""
    inside = state.down[:, k, None, :, None] & state.across[:, k, None, None, :]
    moved = (state.clean + eps * _signs(state.numbers[:, k, 5:], state.clean)).clamp_(0, 1)
    return torch.where(inside, moved, state.best)


def _bump(state: _Left, numbers: torch.Tensor, length: int, norm: NormName, eps: float) -> torch.Tensor:
    """Two windows (algorithm 3): one is emptied, the other takes its norm, what is unused, and a new bump."""
    n, channels, height, width = state.clean.shape
    delta = state.best - state.clean
    here, there = (
        _window(_places(numbers[:, i], height - length), _places(numbers[:, i + 1], width - length), length, state)
        for i in (0, 2)
    )
    power = 2 if norm == "l2" else 1
    mask = torch.zeros_like(delta, dtype=torch.bool)
    mask[here] = mask[there] = True
    inside = (delta * mask).abs().pow(power).sum((2, 3), keepdim=True)
    free = (eps**power - wide(norms(delta, norm), delta) ** power).clamp_min(0)
    old = delta[here]
    old = old / _length(old, power).clamp_min(1e-12)
    new = old + _turned(_bumps(length, norm, state.clean), numbers[:, 4] < 0.5) * _signs(numbers[:, 5:], state.clean)
    new = new / _length(new, power).clamp_min(1e-12) * (free / channels + inside).pow(1 / power)
    delta[there] = 0.0
    delta[here] = new
    if norm == "l2":
        return (state.clean + eps * unit(delta, "l2")).clamp(0, 1)
    return project(delta, state.clean, state.clean.new_full((n,), eps), "l1")


def _length(windows: torch.Tensor, power: int) -> torch.Tensor:
    """(M, C, 1, 1) norms of windows, a channel each."""
    return windows.abs().pow(power).sum((2, 3), keepdim=True).pow(1 / power)


def _window(row: torch.Tensor, column: torch.Tensor, length: int, state: _Left) -> tuple[torch.Tensor, ...]:
    """Indices of a window of each sample in (M, C, H, W)."""
    channels, steps = state.clean.shape[1], torch.arange(length, device=row.device)
    return (
        torch.arange(len(row), device=row.device).view(-1, 1, 1, 1),
        torch.arange(channels, device=row.device).view(1, -1, 1, 1),
        (row.view(-1, 1) + steps)[:, None, :, None],
        (column.view(-1, 1) + steps)[:, None, None, :],
    )


def _bumps(length: int, norm: NormName, like: torch.Tensor) -> torch.Tensor:
    """(s, s) the update of norm 1: pyramids of opposite sign, one above the other (eq. 2)."""
    half = length // 2
    bump = torch.cat([_pyramid(half, length, norm), -_pyramid(length - half, length, norm)])
    return unit(bump[None], norm)[0].to(like)


def _pyramid(height: int, width: int, norm: NormName) -> torch.Tensor:
    """(h, w) sum of concentric rectangles with weights 1 / k^2 (l1: 1 / k^4) from the innermost on."""
    bump = torch.zeros(height, width, dtype=torch.float64)
    row, column = height // 2, width // 2
    for k in range(max(height // 2, width // 2) + 1):
        rows, columns = slice(max(row - k, 0), row + k + 1), slice(max(column - k, 0), column + k + 1)
        bump[rows, columns] += 1.0 / (k + 1) ** (2 if norm == "l2" else 4)
    return bump


def _turned(bump: torch.Tensor, turned: torch.Tensor) -> torch.Tensor:
    """(M, 1, s, s) the bump, of some samples turned by a quarter."""
    return torch.where(turned.view(-1, 1, 1, 1), bump.T, bump)
