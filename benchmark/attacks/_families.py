"""Families of structural perturbations: what their parameters are, and the images that these make.

A family is a box of parameters that grows with the severity (1 to 5) and holds the identity. Geometry is one affine map
(bilinear, zeros outside, kornia), corruptions follow Hendrycks and Dietterich 2019 with the parameters below.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

Points = NDArray[np.float64]
SEVERITIES = 5


class Family(ABC):
    """One kind of change.

    Class attributes:
        names: parameters, in the order of a point.
        steps: grid points along each of them.
        whole: parameters that are whole numbers.
    """

    names: ClassVar[tuple[str, ...]]
    steps: ClassVar[tuple[int, ...]]
    whole: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """Lowest and highest value of each parameter."""

    @abstractmethod
    def identity(self) -> list[float]:
        """The point that changes nothing."""

    @abstractmethod
    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """Inputs (N, C, H, W) in [0, 1], each under its own point (N, P), before clipping to [0, 1]."""

    def grid(self, severity: int) -> Points:
        """(V, P) all grid points, the identity first, then by their distance from it, the farthest first."""
        low, high = self.box(severity)
        axes = [np.linspace(a, b, n) for a, b, n in zip(low, high, self.steps, strict=True)]
        axes = [np.unique(np.round(v)) if n in self.whole else v for v, n in zip(axes, self.names, strict=True)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(self.names))
        origin = np.asarray(self.identity())
        points = np.where(np.abs(points - origin) < 1e-9, origin, points)  # rounding of linspace
        width = np.maximum(np.asarray(high) - np.asarray(low), 1e-12)
        far = (np.abs(points - origin) / width).sum(1)
        ordered = points[np.argsort(-far, kind="stable")]
        same = (ordered == origin).all(1)
        return np.concatenate([origin[None], ordered[~same]])

    def draw(self, severity: int, generator: np.random.Generator) -> Points:
        """(P,) a point uniform in the box."""
        low, high = self.box(severity)
        point = generator.uniform(low, high)
        whole = [name in self.whole for name in self.names]
        return np.where(whole, np.round(point), point)

    def inside(self, points: Points, severity: int) -> NDArray[np.bool_]:
        """(N,) True where a point lies in the box, or is the identity."""
        low, high = self.box(severity)
        within = ((points >= np.asarray(low) - 1e-9) & (points <= np.asarray(high) + 1e-9)).all(1)
        return np.asarray(within | (points == np.asarray(self.identity())).all(1))


def _affine(inputs: torch.Tensor, *, angle: Points, shift: Points, scale: Points, shear: Points) -> torch.Tensor:
    """One affine map a sample: degrees, shares of width and height, factor, degrees (x and y)."""
    from kornia.geometry.transform import get_affine_matrix2d, warp_affine

    n, _, height, width = inputs.shape
    centre = torch.tensor([[(width - 1) / 2, (height - 1) / 2]], dtype=torch.float64).expand(n, 2)
    move = torch.from_numpy(shift * [width, height])
    radians = torch.from_numpy(np.deg2rad(shear))
    matrix = get_affine_matrix2d(
        move,
        centre,
        torch.from_numpy(np.stack([scale, scale], 1)),
        torch.from_numpy(np.ascontiguousarray(angle)),
        radians[:, 0],
        radians[:, 1],
    )
    warped: torch.Tensor = warp_affine(
        inputs, matrix[:, :2].to(inputs), (height, width), mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return warped


class RotationTranslation(Family):
    """Rotation about the centre and translation (Engstrom et al. 2019): ±6° a severity, ±2 % of height and width."""

    names = ("angle", "dx", "dy")
    steps = (31, 5, 5)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """±30° and ±10 % at severity 5."""
        high = [6.0 * severity, 0.02 * severity, 0.02 * severity]
        return [-x for x in high], high

    def identity(self) -> list[float]:
        """No turn, no shift."""
        return [0.0, 0.0, 0.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """See :func:`_affine`."""
        zero = np.zeros((len(points), 2))
        return _affine(inputs, angle=points[:, 0], shift=points[:, 1:], scale=np.ones(len(points)), shear=zero)


class Scale(Family):
    """Smaller or larger about the centre: factor 1 / (1 + 0.08 s) to 1 + 0.08 s."""

    names = ("scale",)
    steps = (31,)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """Up to 1.4 at severity 5."""
        return [1 / (1 + 0.08 * severity)], [1 + 0.08 * severity]

    def identity(self) -> list[float]:
        """Factor 1."""
        return [1.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """See :func:`_affine`."""
        zero = np.zeros((len(points), 2))
        return _affine(inputs, angle=zero[:, 0], shift=zero, scale=points[:, 0], shear=zero)


class Shear(Family):
    """Shear along x and y: ±5° a severity."""

    names = ("shear_x", "shear_y")
    steps = (9, 9)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """±25° at severity 5."""
        return [-5.0 * severity] * 2, [5.0 * severity] * 2

    def identity(self) -> list[float]:
        """None."""
        return [0.0, 0.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """See :func:`_affine`."""
        zero = np.zeros((len(points), 2))
        return _affine(inputs, angle=zero[:, 0], shift=zero, scale=np.ones(len(points)), shear=points)


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
        found = torch.from_numpy(np.array(read))
    found = found[None] if found.ndim == 2 else found.permute(2, 0, 1)
    return found.to(image) / 255


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


FAMILIES: dict[str, Family] = {
    "rotation-translation": RotationTranslation(),
    "scale": Scale(),
    "shear": Shear(),
    "brightness": Brightness(),
    "contrast": Contrast(),
    "gamma": Gamma(),
    "blur": Blur(),
    "jpeg": Jpeg(),
    "fog": Fog(),
    "occlusion": Occlusion(),
}
