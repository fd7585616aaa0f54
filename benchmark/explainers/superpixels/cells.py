"""A grid of cells over images, switched on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmark.explainers.captum.gradients import rows_per_forward

if TYPE_CHECKING:
    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

FEWEST = 4  # images of a forward, however large: fewer are slower each


class Cells:
    """Inputs (N, C, H, W) cut into F cells, of which some may be off.

    Args:
        inputs: on the suite's grid.
        grid: cells a side, at most one a pixel.
        baseline: value of what is off, in input units.
    """

    def __init__(self, inputs: torch.Tensor, grid: int, baseline: float) -> None:
        self.inputs, self.baseline = inputs.detach(), baseline
        height, width = inputs.shape[2:]
        rows, columns = min(grid, height), min(grid, width)
        down = torch.arange(height, device=inputs.device) * rows // height
        across = torch.arange(width, device=inputs.device) * columns // width
        self.of = down[:, None] * columns + across[None]  # (H, W) cell of each pixel
        self.n = rows * columns

    def outputs(self, model: Model, targets: torch.Tensor, on: torch.Tensor) -> torch.Tensor:
        """The target's logit, float64 (N, M), with the cells that ``on`` (N, M, F) bool says."""
        n, m = on.shape[:2]
        sample = torch.arange(n, device=on.device).repeat_interleave(m)
        chosen, parts, room = on.flatten(0, 1), [], max(FEWEST, rows_per_forward(self.inputs))
        with torch.no_grad():
            for start in range(0, n * m, room):
                at = slice(start, start + room)
                shown = chosen[at][:, self.of][:, None]
                images = torch.where(shown, self.inputs[sample[at]], torch.full_like(self.inputs[:1], self.baseline))
                parts.append(model(images).gather(1, targets[sample[at]].view(-1, 1))[:, 0])
        return torch.cat(parts).double().view(n, m)

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Values of the cells (N, F) to elements, float32 (N, C, H, W); a cell's elements share its value equally."""
        elements = torch.bincount(self.of.flatten(), minlength=self.n) * self.inputs.shape[1]
        shares = (values / elements).to(self.inputs.dtype)
        return shares[:, self.of][:, None].expand(self.inputs.shape).clone()

    def ablation(self, model: Model, targets: torch.Tensor) -> torch.Tensor:
        """(N, F): the drop of the logit when one cell is off."""
        on = torch.ones(self.n + 1, self.n, dtype=torch.bool, device=self.inputs.device)
        on[1:].fill_diagonal_(False)
        logits = self.outputs(model, targets, on.expand(len(self.inputs), -1, -1))
        return logits[:, :1] - logits[:, 1:]

    def shapley(self, model: Model, targets: torch.Tensor, generator: Draws, orders: int) -> torch.Tensor:
        """(N, F): the mean rise of the logit when a cell is switched on, over random orders in mirrored pairs."""
        total = torch.zeros(len(self.inputs), self.n, dtype=torch.float64, device=self.inputs.device)
        steps = torch.arange(1, self.n, device=self.inputs.device).view(1, -1, 1)
        ends = torch.zeros(len(self.inputs), 2, self.n, dtype=torch.bool, device=self.inputs.device)
        ends[:, 1] = True
        off, on = torch.split(self.outputs(model, targets, ends), 1, dim=1)  # of every order alike
        order = torch.zeros(0)
        for i in range(orders):
            drawn = (
                generator.uniform((self.n,)).argsort(dim=1, stable=True).to(self.inputs.device) if i % 2 == 0 else None
            )
            order = order.flip(1) if drawn is None else drawn
            position = order.argsort(1)  # when each cell is switched on
            between = self.outputs(model, targets, position[:, None] < steps) if self.n > 1 else off[:, :0]
            logits = torch.cat([off, between, on], 1)
            total += logits.diff(dim=1).gather(1, position)
        return total / orders

    def kernel_shap(self, model: Model, targets: torch.Tensor, generator: Draws, coalitions: int) -> torch.Tensor:
        """(N, F): least squares over coalitions drawn by the Shapley kernel, constrained to the right sum."""
        pairs, n, device = -(-coalitions // 2), len(self.inputs), self.inputs.device
        sizes = torch.arange(1, self.n, dtype=torch.float64)
        chance = (1 / (sizes * (self.n - sizes))).cumsum(0)
        drawn = generator.uniform((pairs,)).double() * chance[-1]
        size = torch.searchsorted(chance, drawn, right=True).clamp_max(self.n - 2) + 1
        on = generator.uniform((pairs, self.n)).argsort(dim=2, stable=True).argsort(2) < size[..., None]
        ends = torch.zeros(n, 2, self.n, dtype=torch.bool)
        ends[:, 1] = True
        on = torch.cat([ends, on, ~on], 1).to(device)
        logits = self.outputs(model, targets, on)
        whole, z = logits[:, 1] - logits[:, 0], on[:, 2:].double()
        rise = logits[:, 2:] - logits[:, :1]
        # the last cell's value is what the others leave of the sum
        free, last = z[..., :-1] - z[..., -1:], z[..., -1] * whole[:, None]
        weights = least_squares(free, rise - last, torch.ones_like(rise), 1e-9)
        return torch.cat([weights, (whole - weights.sum(1))[:, None]], 1)

    def lime(
        self, model: Model, targets: torch.Tensor, generator: Draws, perturbations: int, width: float, ridge: float
    ) -> torch.Tensor:
        """(N, F): slopes of a weighted ridge regression on which cells are on."""
        on = (generator.uniform((perturbations, self.n)) < 0.5).to(self.inputs.device)
        logits, z = self.outputs(model, targets, on), on.double()
        distance = 1 - (z.sum(2) / self.n).sqrt()  # the cosine of z and all ones is sqrt(|z| / F)
        weights = (-(distance**2) / width**2).exp()
        share = weights / weights.sum(1, keepdim=True)
        centred = z - (share[..., None] * z).sum(1, keepdim=True)
        return least_squares(centred, logits - (share * logits).sum(1, keepdim=True), weights, ridge)


def least_squares(x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor, ridge: float) -> torch.Tensor:
    """(N, F) minimisers of sum_m w_m (y_m - x_m b)^2 + ridge |b|^2, for x (N, M, F), y and weights (N, M)."""
    weighted = x * weights[..., None]
    squares = weighted.transpose(1, 2) @ x
    squares = squares + ridge * torch.eye(x.shape[2], dtype=x.dtype, device=x.device)
    solution: torch.Tensor = torch.linalg.solve(squares, (weighted * y[..., None]).sum(1))
    return solution
