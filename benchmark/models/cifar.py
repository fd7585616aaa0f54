"""Residual networks for 32x32 images under the names of parameters that published robust checkpoints have.

ResNet: He et al. 2016 (arXiv:1512.03385), stem of 3x3 without pooling; pre-activation: He et al. 2016
(arXiv:1603.05027); WideResNet: Zagoruyko and Komodakis 2016 (arXiv:1605.07146). Names of parameters
(``layer1.0.conv1``, ``block1.layer.0.bn1``, ``linear``, ``fc``) are those of github.com/kuangliu/pytorch-cifar and of
TRADES, which most adversarially trained networks descend from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

STAGES = (64, 128, 256, 512)


def conv(inside: int, outside: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """Without bias, padded so that stride 1 keeps the size."""
    return nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    """Two or three convolutions beside a shortcut, activated after the sum.

    Args:
        widths: channels of the input, inside, and of the output.
        stride: of the 3x3 convolution that narrows.
        bottleneck: 1x1, 3x3, 1x1 in place of 3x3, 3x3.
    """

    def __init__(self, widths: tuple[int, int, int], stride: int, bottleneck: bool) -> None:
        super().__init__()
        inside, middle, outside = widths
        plan = [(inside, middle, 1, 1), (middle, middle, 3, stride), (middle, outside, 1, 1)]
        plan = plan if bottleneck else [(inside, middle, 3, stride), (middle, outside, 3, 1)]
        self.count = len(plan)
        for n, (a, b, kernel, step) in enumerate(plan, 1):
            self.add_module(f"conv{n}", conv(a, b, kernel, step))
            self.add_module(f"bn{n}", nn.BatchNorm2d(b))
            self.add_module(f"relu{n}", nn.ReLU())
        same = stride == 1 and inside == outside
        self.shortcut = nn.Sequential(*([] if same else [conv(inside, outside, 1, stride), nn.BatchNorm2d(outside)]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        y = x
        for n in range(1, self.count + 1):
            y = self.get_submodule(f"bn{n}")(self.get_submodule(f"conv{n}")(y))
            y = y + self.shortcut(x) if n == self.count else y
            y = self.get_submodule(f"relu{n}")(y)
        return y


class PreactBlock(nn.Module):
    """Two convolutions, each behind its normalisation and activation.

    Args:
        wide: the shortcut is called ``convShortcut`` and takes the activated input (WideResNet), else ``shortcut`` and
            the input itself (Wong et al. 2020).
    """

    def __init__(self, inside: int, outside: int, stride: int, wide: bool) -> None:
        super().__init__()
        self.bn1, self.relu1, self.conv1 = nn.BatchNorm2d(inside), nn.ReLU(), conv(inside, outside, 3, stride)
        self.bn2, self.relu2, self.conv2 = nn.BatchNorm2d(outside), nn.ReLU(), conv(outside, outside)
        self.wide, self.same = wide, inside == outside and (wide or stride == 1)
        if wide and not self.same:
            self.convShortcut = conv(inside, outside, 1, stride)
        elif not self.same:
            self.shortcut = nn.Sequential(conv(inside, outside, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        active = self.relu1(self.bn1(x))
        y: torch.Tensor = self.conv2(self.relu2(self.bn2(self.conv1(active))))
        if self.same:
            return y + x
        skipped: torch.Tensor = self.convShortcut(active) if self.wide else self.shortcut(x)
        return y + skipped


class Residual(nn.Module):
    """A stem, four stages, the mean over places, a linear layer."""

    def __init__(self, stages: Sequence[Sequence[nn.Module]], features: int, classes: int, preact: bool) -> None:
        super().__init__()
        self.conv1 = conv(3, 64)
        self.bn1: nn.Module = nn.Identity() if preact else nn.BatchNorm2d(64)
        self.relu: nn.Module = nn.Identity() if preact else nn.ReLU()
        for n, blocks in enumerate(stages, 1):
            self.add_module(f"layer{n}", nn.Sequential(*blocks))
        self.pool, self.linear = nn.AdaptiveAvgPool2d(1), nn.Linear(features, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 32, 32) to logits (N, classes)."""
        x = self.relu(self.bn1(self.conv1(x)))
        for n in range(1, 5):
            x = self.get_submodule(f"layer{n}")(x)
        logits: torch.Tensor = self.linear(self.pool(x).flatten(1))
        return logits


def _resnet(depths: Sequence[int], classes: int, *, bottleneck: bool) -> Residual:
    stages, inside, factor = [], 64, 4 if bottleneck else 1
    for n, (depth, width) in enumerate(zip(depths, STAGES, strict=True)):
        blocks = []
        for k in range(depth):
            stride = 2 if k == 0 and n else 1
            blocks.append(Block((inside, width, width * factor), stride, bottleneck))
            inside = width * factor
        stages.append(blocks)
    return Residual(stages, inside, classes, preact=False)


def resnet18(classes: int = 10) -> nn.Module:
    """ResNet-18 of CIFAR."""
    return _resnet((2, 2, 2, 2), classes, bottleneck=False)


def resnet50(classes: int = 10) -> nn.Module:
    """ResNet-50 of CIFAR."""
    return _resnet((3, 4, 6, 3), classes, bottleneck=True)


def preact_resnet18(classes: int = 10) -> nn.Module:
    """Pre-activation ResNet-18 of CIFAR, without a normalisation before the linear layer."""
    stages, inside = [], 64
    for n, width in enumerate(STAGES):
        stages.append([PreactBlock(inside, width, 2 if n else 1, False), PreactBlock(width, width, 1, False)])
        inside = width
    return Residual(stages, inside, classes, preact=True)


class Stage(nn.Module):
    """Blocks one after the other."""

    def __init__(self, inside: int, outside: int, count: int, stride: int) -> None:
        super().__init__()
        first = PreactBlock(inside, outside, stride, True)
        self.layer = nn.Sequential(first, *(PreactBlock(outside, outside, 1, True) for _ in range(count - 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        y: torch.Tensor = self.layer(x)
        return y


class WideResNet(nn.Module):
    """See :func:`wide_resnet`."""

    def __init__(self, depth: int, factor: int, classes: int) -> None:
        super().__init__()
        widths, count = [16, 16 * factor, 32 * factor, 64 * factor], (depth - 4) // 6
        self.conv1 = conv(3, 16)
        self.block1 = Stage(widths[0], widths[1], count, 1)
        self.block2 = Stage(widths[1], widths[2], count, 2)
        self.block3 = Stage(widths[2], widths[3], count, 2)
        self.bn1, self.relu, self.pool = nn.BatchNorm2d(widths[3]), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[3], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 32, 32) to logits (N, classes)."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        logits: torch.Tensor = self.fc(self.pool(self.relu(self.bn1(x))).flatten(1))
        return logits


def wide_resnet(depth: int = 28, factor: int = 10, classes: int = 10) -> Any:
    """WideResNet-depth-factor of CIFAR.

    Raises:
        ValueError: no depth of that family.
    """
    if (depth - 4) % 6:
        raise ValueError(f"depth = {depth}: expected 4 more than a multiple of 6, such as 28 or 34")
    return WideResNet(depth, factor, classes)
