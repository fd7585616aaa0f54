"""Adversarial patch (Brown et al. 2017): unrestricted content, anywhere in the image, on any dataset.

One patch for all images, put down at a random place, size and rotation (eq. 1: x with A(p, x, l, t)). It may be any
colour and is not meant to be hidden; what bounds it is its area.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.accounts import Chapter
from benchmark.attacks._pictures import as_bytes
from benchmark.attacks._sticker_words import STICKERS
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.attacks.physical import TOLERANCE, physical_columns, random_blocks
from benchmark.reported import Column, Extras, ProbeResults

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

UNITS = 4  # uniform numbers that one placement is made of


class Placed(Attack):
    """What the optimised patch and its control share: shape, area, and where it is put.

    Each sample is judged ``draws`` times, at places that the fit did not see.

    Args:
        target: class that the adversary wants; None: any but the true one.
        shape: ``circle`` or ``square``.
        area: share of the image that the patch covers, at zoom 1.
        zoom: its side is multiplied by a number from 1 / zoom to zoom (log-uniform).
        rotation: largest angle, degrees.
        draws: judged placements a sample.
    """

    source: ClassVar[str] = "Brown et al. 2017, eq. 1"
    random: ClassVar[bool] = True
    library: ClassVar[str] = "kornia"
    says: ClassVar[Chapter] = STICKERS

    target: int | None = Field(default=None, ge=0)
    shape: Literal["circle", "square"] = "circle"
    area: float = Field(default=0.1, gt=0, le=0.5)
    zoom: float = Field(default=1.2, ge=1, le=2)
    rotation: float = Field(default=22.5, ge=0, le=180)
    draws: int = Field(default=10, ge=1)

    def views(self) -> int:
        """One a draw; the random numbers of a view have seeds of their own."""
        return self.draws

    def side(self, height: int, width: int) -> int:
        """Side of the patch in pixels at the largest zoom."""
        full = self.area / (np.pi / 4 if self.shape == "circle" else 1.0)
        return max(2, int(np.ceil(np.sqrt(full * height * width) * self.zoom)))

    def places(self, unit: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Placements of (N, 4) uniform numbers: ``x``, ``y`` in [0, 1] (from one edge of the free room to the other),
        ``zoom``, a factor, and ``rotation``, degrees."""
        zoom = np.exp((2 * unit[:, 2] - 1) * np.log(self.zoom))
        return {"x": unit[:, 0], "y": unit[:, 1], "zoom": zoom, "rotation": (2 * unit[:, 3] - 1) * self.rotation}

    @abstractmethod
    def patches(
        self, shape: Sequence[int], generator: Draws, fitted: Mapping[str, NDArray[Any]] | None
    ) -> NDArray[np.float32]:
        """(N, C, S, S) in [0, 1], S as :meth:`side` says."""

    def run(
        self,
        model: Model,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        eps: float | None,
        generator: Draws,
        fitted: Mapping[str, NDArray[Any]] | None = None,
    ) -> Perturbed:
        """See :meth:`Attack.run`."""
        from benchmark.attacks._patch import covered

        params: dict[str, NDArray[Any]] = {**self.places(generator.uniform((UNITS,)).double().numpy())}
        params["patch"] = self.patches(inputs.shape, generator, fitted)
        area = covered(self, params, inputs).mean((1, 2, 3)).cpu().numpy()
        none = np.zeros(len(inputs), np.int64)
        return Perturbed(self.replay(inputs, params), params | {"area": area}, forwards=none, backwards=none)

    def replay(self, inputs: torch.Tensor, params: Mapping[str, NDArray[Any]]) -> torch.Tensor:
        """Put ``patch`` where the other parameters say."""
        import torch

        from benchmark.attacks._patch import place

        patch = torch.as_tensor(np.array(params["patch"]), dtype=inputs.dtype, device=inputs.device)
        return place(self, inputs, patch, params)

    def admissible(self, params: Mapping[str, NDArray[Any]], eps: float | None) -> NDArray[np.bool_]:
        """(N,) True where place, zoom and rotation lie within the bounds and the colours in [0, 1]."""
        flat = params["patch"].reshape(len(params["patch"]), -1)
        within = (flat.min(1) >= 0) & (flat.max(1) <= 1) & (np.abs(params["rotation"]) <= self.rotation + TOLERANCE)
        for name, low, high in (("x", 0, 1), ("y", 0, 1), ("zoom", 1 / self.zoom, self.zoom)):
            within &= (params[name] >= low - TOLERANCE) & (params[name] <= high + TOLERANCE)
        return np.asarray(within)

    def columns(self) -> tuple[Column, ...]:
        """Area, success at held-out places (a bootstrap over samples), success in training."""
        return physical_columns(self.target, fits=self.fits)


@attacks.register("patch")
class Patch(Placed):
    """Adversarial patch: one image optimised over places, sizes, rotations and samples (Brown et al. 2017).

    Maximises the mean log probability of the target (without one: minimises that of the label) by Adam, clipped to
    [0, 1]; samples and placements are drawn anew in each step.

    Args:
        steps: of Adam.
        batch: samples a step.
        lr: of Adam.
    """

    fits: ClassVar[bool] = True
    judges_fit: ClassVar[bool] = True
    cost: ClassVar[str] = "fit: steps x batch gradients; then 1 a draw"
    tests: ClassVar[tuple[str, ...]] = ("patch",)

    steps: int = Field(default=300, ge=0)
    batch: int = Field(default=16, ge=1)
    lr: float = Field(default=0.05, gt=0)

    @property
    def threat(self) -> Threat:
        """No norm: the area bounds it."""
        return Threat(norm="none", kind="none", knowledge="white-box", targeted=self.target is not None)

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:
        """The patches, and held-out inputs that carry them, where the inputs were kept."""
        from benchmark.attacks._patch_report import gallery

        return gallery(probes)

    def fit(
        self, model: Model, inputs: torch.Tensor, labels: torch.Tensor, *, eps: float | None, generator: Draws
    ) -> dict[str, NDArray[Any]]:
        """``patch`` (C, S, S) in [0, 1] and ``loss`` (steps,)."""
        from benchmark.attacks._patch import optimise

        return optimise(self, model, inputs, labels.long(), generator.batch_seed)

    def pictures(self, fitted: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.uint8]]:
        """The patch."""
        return {"patch.png": as_bytes(fitted["patch"])}

    def patches(
        self, shape: Sequence[int], generator: Draws, fitted: Mapping[str, NDArray[Any]] | None
    ) -> NDArray[np.float32]:
        """The fitted one, for every sample."""
        assert fitted is not None  # the plan fits first
        patch = np.asarray(fitted["patch"], np.float32)
        return np.broadcast_to(patch, (shape[0], *patch.shape))


@attacks.register("patch-random")
class PatchRandom(Placed):
    """Control: a patch of the same shape and area, in blocks of random printable colours, drawn anew for each view.

    Args:
        blocks: blocks along the patch's side.
    """

    control: ClassVar[bool] = True
    source: ClassVar[str] = "control: random printable colours in a patch of the same area"
    cost: ClassVar[str] = "none"

    blocks: int = Field(default=6, ge=1)

    @property
    def threat(self) -> Threat:
        """No norm: the area bounds it; knows nothing."""
        return Threat(norm="none", kind="none", knowledge="none", targeted=self.target is not None)

    def patches(
        self, shape: Sequence[int], generator: Draws, fitted: Mapping[str, NDArray[Any]] | None
    ) -> NDArray[np.float32]:
        """Colours of the palette, a block each."""
        side = self.side(shape[2], shape[3])
        return random_blocks(generator, self.blocks, (shape[0], shape[1], side, side))
