"""Families that change values: light, blur, JPEG, fog, occlusion (after Hendrycks and Dietterich 2019)."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import torch

from benchmark.attacks._family import SEVERITIES, Family, Points


def _each(values: Points, inputs: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(values, dtype=inputs.dtype, device=inputs.device).view(-1, 1, 1, 1)


class Brightness(Family):
    """x + b: ±0.1 a severity."""

    names = ("brightness",)
    steps = (21,)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """±0.5 at severity 5."""
        return [-0.1 * severity], [0.1 * severity]

    def identity(self) -> list[float]:
        """b = 0."""
        return [0.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """See the class."""
        return inputs + _each(points[:, 0], inputs)


class Contrast(Family):
    """(x - mean) c + mean, the mean of the image: c from 1 down to 0.75, 0.5, 0.4, 0.3, 0.15 (CIFAR-10-C)."""

    names = ("contrast",)
    steps = (21,)
    lowest = (0.75, 0.5, 0.4, 0.3, 0.15)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """Down to 0.15."""
        return [self.lowest[severity - 1]], [1.0]

    def identity(self) -> list[float]:
        """c = 1."""
        return [1.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """See the class."""
        mean = inputs.mean((1, 2, 3), keepdim=True)
        return (inputs - mean) * _each(points[:, 0], inputs) + mean


class Gamma(Family):
    """x ** g: log2 g within ±0.3 a severity."""

    names = ("log2_gamma",)
    steps = (21,)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """g between 0.35 and 2.8 at severity 5."""
        return [-0.3 * severity], [0.3 * severity]

    def identity(self) -> list[float]:
        """g = 1."""
        return [0.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """See the class."""
        return inputs ** _each(2.0 ** points[:, 0], inputs)


class Blur(Family):
    """Gaussian blur: sigma up to 1 % of the image's height a severity (0.3 to 1.6 pixels at 32)."""

    names = ("sigma",)
    steps = (11,)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """Up to 5 %."""
        return [0.0], [0.01 * severity]

    def identity(self) -> list[float]:
        """No blur."""
        return [0.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """See the class."""
        from kornia.filters import gaussian_blur2d

        result, sigma = inputs.clone(), points[:, 0] * inputs.shape[2]
        at = torch.as_tensor(np.flatnonzero(sigma > 1e-6), device=inputs.device)
        if len(at):
            # the widest kernel of the family, so that a sample does not depend on those beside it
            radius = min(int(np.ceil(4 * 0.01 * SEVERITIES * inputs.shape[2])), min(inputs.shape[2:]) - 1)
            chosen = torch.as_tensor(sigma[sigma > 1e-6], dtype=inputs.dtype, device=inputs.device)
            size = (2 * radius + 1, 2 * radius + 1)
            result[at] = gaussian_blur2d(inputs[at], size, torch.stack([chosen, chosen], 1))
        return result


class Jpeg(Family):
    """JPEG, 4:2:0: quality down to 75, 60, 45, 30, 15; 101 stands for no compression."""

    names = ("quality",)
    steps = (18,)
    whole = ("quality",)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """Down to 15."""
        return [90.0 - 15 * severity], [100.0]

    def identity(self) -> list[float]:
        """Not compressed."""
        return [101.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """See :func:`jpeg`."""
        result = inputs.clone()
        for i, quality in enumerate(points[:, 0].tolist()):
            if quality <= 100:
                result[i] = jpeg(inputs[i], round(quality))
        return result


def jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    """(C, H, W) in [0, 1] written as JPEG (Pillow, chroma at half resolution) and read again; C is 1 or 3."""
    from PIL import Image

    pixels = (image.detach().cpu() * 255).round().to(torch.uint8)
    array = pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    options = {} if len(pixels) == 1 else {"subsampling": 2}
    Image.fromarray(array).save(buffer, format="JPEG", quality=quality, **options)
    with Image.open(buffer) as read:
        decoded = torch.from_numpy(np.array(read))
    decoded = decoded[None] if decoded.ndim == 2 else decoded.permute(2, 0, 1)
    return decoded.to(image) / 255


class Fog(Family):
    """A plasma fractal laid over the image: (x + t f) m / (m + t), m the image's maximum (Hendrycks and Dietterich).

    t up to 0.3 a severity (theirs: 1.5 at severity 5); ``cloud`` says which of eight fractals.
    """

    names = ("thickness", "cloud")
    steps = (7, 8)
    whole = ("cloud",)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """Up to 1.5; eight clouds."""
        return [0.0, 0.0], [0.3 * severity, 7.0]

    def identity(self) -> list[float]:
        """No fog."""
        return [0.0, 0.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """See the class."""
        height, width = inputs.shape[2:]
        clouds = torch.stack([cloud(int(k), height, width) for k in points[:, 1].tolist()]).to(inputs)
        t, most = _each(points[:, 0], inputs), inputs.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
        return (inputs + t * clouds) * most / (most + t)


@cache
def cloud(seed: int, height: int, width: int) -> torch.Tensor:
    """A plasma fractal (1, height, width) in [0, 1] by the diamond-square algorithm (kornia), on the CPU."""
    from kornia.contrib import diamond_square

    generator = torch.Generator().manual_seed(seed)

    def drawn(*args: object, **options: object) -> torch.Tensor:
        return torch.rand(*args, generator=generator, **options)  # type: ignore[call-overload, no-any-return]

    made: torch.Tensor = diamond_square(
        (1, 1, max(height, 3), max(width, 3)), roughness=0.5, random_fn=drawn, normalize_range=(0.0, 1.0)
    )
    return made[0, :, :height, :width]


class Occlusion(Family):
    """A grey square (0.5): its side up to 10 % of the image's a severity, anywhere."""

    names = ("side", "x", "y")
    steps = (3, 7, 7)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """Up to half of the side."""
        return [0.0, 0.0, 0.0], [0.1 * severity, 1.0, 1.0]

    def identity(self) -> list[float]:
        """No square."""
        return [0.0, 0.0, 0.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """``x`` and ``y`` in [0, 1] move the square from one edge to the other."""
        result, (height, width) = inputs.clone(), inputs.shape[2:]
        for i, (side, x, y) in enumerate(points.tolist()):
            h, w = round(side * height), round(side * width)
            top, left = round(y * (height - h)), round(x * (width - w))
            result[i, :, top : top + h, left : left + w] = 0.5
        return result
