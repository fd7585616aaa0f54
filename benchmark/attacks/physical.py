"""Simulated physical attacks on a flat sign: RP2 (Eykholt et al. 2018) and a random sticker of the same area.

Nothing is printed: a sticker is pasted onto photos, and the views are computed (``_physical.py``). The sticker is
opaque, x (1 - M) + M s, where the authors add the perturbation and clip: paper covers what lies beneath.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from benchmark.accounts import Chapter
from benchmark.attacks._pictures import as_bytes
from benchmark.attacks._sticker import MASKS, Rectangle, mask_of_file, palette, sticker_mask
from benchmark.attacks._sticker_words import STICKERS
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.reported import Column, Extras, ProbeResults

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

TOLERANCE = 1e-9


def fooled(rows: pd.DataFrame) -> NDArray[np.float64]:
    """(N,) 1 where a view was fooled; NaN where its clean counterpart is wrong already."""
    return np.where(counted(rows), rows["success"].to_numpy(dtype=float), np.nan)


def counted(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """(N,) True where the clean counterpart is right."""
    name = "reference_correct" if "reference_correct" in rows else "correct"
    return np.asarray(rows[name].to_numpy(dtype=float) == 1)


class ReadAs:
    """(N,) 1 where a view is read as the target; NaN where its clean counterpart is wrong, or the target is right."""

    def __init__(self, target: int) -> None:
        self.target = target

    def __call__(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """One value a row."""
        inside = counted(rows) & (rows["label"].to_numpy() != self.target)
        return np.where(inside, rows["pred"].to_numpy() == self.target, np.nan)


FOOLED = "views read wrong with the sticker, of those read right without it"


def physical_columns(target: int | None, *, fits: bool) -> tuple[Column, ...]:
    """Leaderboard columns of a sticker or patch: area, success on held-out views, beside it the training success."""
    found = [
        Column("sticker_area", "mean", lambda rows: rows["param_area"].to_numpy(dtype=float), False),
        Column("views_right", "mean", lambda rows: counted(rows).astype(float)),
        Column("fooled", "mean", fooled, False, glance=FOOLED),
    ]
    if target is not None:
        found.append(Column("fooled_target", "mean", ReadAs(target), False))
    if fits:
        found.append(Column("train_success", "mean", fooled, False, "fit"))
        if target is not None:
            found.append(Column("train_target", "mean", ReadAs(target), False, "fit"))
    return tuple(found)


class Sticker(Attack):
    """What the optimised sticker and its control share: where it lies, and the views it is judged on.

    The views of one photo are every distance at every angle, ``draws`` times, each with its own light, blur, noise and
    crop; they come from other random numbers than those of the fit. A view counts where the network reads the sign
    right in the same view without the sticker.

    Args:
        mask: where the sticker is: a name (``two-bars``, 18 % of the image; ``authors-gtsrb``, ``authors-lisa``, 3 %),
            rectangles [top, left, bottom, right] as shares of height and width, or an image file (white: sticker),
            which is read into rectangles, so that its content is hashed and not its path.
        target: class that the adversary wants; None: any but the true one.
        distances: metres at which it is judged.
        angles: degrees between the line of sight and the sign's normal at which it is judged.
        draws: judged views a distance and angle.
    """

    source: ClassVar[str] = "Eykholt et al. 2018, section 3"
    random: ClassVar[bool] = True
    whole_batch: ClassVar[bool] = True  # the clean counterpart decides what counts, not the frontal photo
    library: ClassVar[str] = "kornia"
    says: ClassVar[Chapter] = STICKERS

    mask: str | tuple[Rectangle, ...] = "two-bars"
    target: int | None = Field(default=None, ge=0)
    distances: tuple[float, ...] = Field(default=(1.5, 3.0, 6.0, 9.0, 12.0), min_length=1)
    angles: tuple[float, ...] = Field(default=(-45.0, -20.0, 0.0, 20.0, 45.0), min_length=1)
    draws: int = Field(default=2, ge=1)

    @field_validator("mask")
    @classmethod
    def _known_mask(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in MASKS and Path(value).is_file():
            value = mask_of_file(Path(value))
        known = value in MASKS if isinstance(value, str) else len(value) > 0
        if not known or any(not (0 <= t < b <= 1 and 0 <= le < r <= 1) for t, le, b, r in MASKS.get(value, value)):
            raise ValueError(
                f"a mask is {', '.join(MASKS)}, an image file, or rectangles [top, left, bottom, right] in [0, 1]"
            )
        return value

    @field_validator("distances")
    @classmethod
    def _in_front(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if min(value) < 1:
            raise ValueError("distances are metres, 1 at least: nearer, the sign leaves the picture")
        return value

    @field_validator("angles")
    @classmethod
    def _visible(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if max(map(abs, value)) > 75:
            raise ValueError("angles are degrees within ±75: beyond, the sign is a line")
        return value

    def views(self) -> int:
        """Distances x angles x draws; the angle changes fastest, then the distance."""
        return len(self.distances) * len(self.angles) * self.draws

    @abstractmethod
    def stickers(
        self, shape: Sequence[int], generator: Draws, fitted: Mapping[str, NDArray[Any]] | None
    ) -> NDArray[np.float32]:
        """(N, C, H, W) in [0, 1], what each image gets inside the mask; a broadcast view where all get the same."""

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
        """See :meth:`Attack.run`; the reference is the same view of the photo as it is."""
        from benchmark.attacks import _physical as physical

        n = len(inputs)
        cell = self._view % (len(self.distances) * len(self.angles))
        distance = np.full(n, self.distances[cell // len(self.angles)])
        angle = np.full(n, self.angles[cell % len(self.angles)])
        views = physical.views_of(generator.uniform((physical.UNITS,)).double().numpy(), distance, angle)
        area = np.full(n, sticker_mask(self.mask, *inputs.shape[2:]).mean())
        params = {**views, "area": area, "sticker": self.stickers(inputs.shape, generator, fitted)}
        none = np.zeros(n, np.int64)
        reference = physical.seen(inputs, views)
        return Perturbed(self.replay(inputs, params), params, forwards=none, backwards=none, reference=reference)

    def replay(self, inputs: torch.Tensor, params: Mapping[str, NDArray[Any]]) -> torch.Tensor:
        """Paste ``sticker`` where the mask is, then take the view that the other parameters name."""
        import torch

        from benchmark.attacks import _physical as physical

        mask = torch.as_tensor(sticker_mask(self.mask, *inputs.shape[2:]), device=inputs.device)
        sticker = torch.as_tensor(np.array(params["sticker"]), dtype=inputs.dtype, device=inputs.device)
        return physical.seen(physical.paste(inputs, sticker, mask), params, fill=physical.background(inputs))

    def admissible(self, params: Mapping[str, NDArray[Any]], eps: float | None) -> NDArray[np.bool_]:
        """(N,) True where the view is one of those that are judged and the sticker's colours lie in [0, 1]."""
        from benchmark.attacks._physical import BOUNDS

        flat = params["sticker"].reshape(len(params["sticker"]), -1)
        within = (flat.min(1) >= 0) & (flat.max(1) <= 1)
        for name, known in (("distance", self.distances), ("angle", self.angles)):
            within &= (np.abs(np.asarray(params[name])[:, None] - np.array(known)) <= TOLERANCE).any(1)
        for name, (low, high) in BOUNDS.items():
            within &= (params[name] >= low - TOLERANCE) & (params[name] <= high + TOLERANCE)
        return np.asarray(within)

    def columns(self) -> tuple[Column, ...]:
        """Area, success over held-out views (a bootstrap over photos), success in training."""
        return physical_columns(self.target, fits=self.fits)

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:
        """Success by distance and angle, as a table and, where the inputs are at hand, as pictures."""
        from benchmark.attacks._physical_report import by_distance_and_angle

        return by_distance_and_angle(probes)


@attacks.register("rp2")
class RP2(Sticker):
    """Robust Physical Perturbations: a sticker optimised over simulated views (Eykholt et al. 2018, eq. 3).

    Minimises size * |M (s - mean photo)|_p + nps * NPS + mean over views of J(f(T(x with the sticker)), target) by
    Adam, the gradient masked before Adam normalises it. Photos and views of the fit are drawn anew in each step:
    distance (log-uniform) and angle from the ranges that it is judged on, light, blur, noise and crop.

    Args:
        steps: of Adam.
        batch: views a step.
        lr: of Adam.
        size: lambda, weight of the sticker's distance from the (mean) photo beneath; ``p``: of which norm.
        nps: weight of the non-printability score, the sum over the sticker's pixels.
    """

    fits: ClassVar[bool] = True
    judges_fit: ClassVar[bool] = True
    cost: ClassVar[str] = "fit: steps x batch gradients; then 1 a view"
    tests: ClassVar[tuple[str, ...]] = ("physical",)

    steps: int = Field(default=300, ge=0)
    batch: int = Field(default=16, ge=1)
    lr: float = Field(default=0.1, gt=0)
    size: float = Field(default=0.001, ge=0)
    p: Literal[1, 2] = 2
    nps: float = Field(default=0.02, ge=0)

    @property
    def threat(self) -> Threat:
        """No norm: the mask bounds it."""
        return Threat(norm="none", kind="none", knowledge="white-box", targeted=self.target is not None)

    def fit(
        self, model: Model, inputs: torch.Tensor, labels: torch.Tensor, *, eps: float | None, generator: Draws
    ) -> dict[str, NDArray[Any]]:
        """``sticker`` (C, H, W) in [0, 1], ``mask`` (H, W), ``photo`` (C, H, W), the mean one; ``loss`` (steps,)."""
        from benchmark.attacks._rp2 import optimise

        return optimise(self, model, inputs, labels.long(), generator.batch_seed)

    def pictures(self, fitted: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.uint8]]:
        """The sticker on the mean training photo."""
        pasted = np.where(fitted["mask"], fitted["sticker"], fitted["photo"])
        return {"sticker.png": as_bytes(pasted)}

    def stickers(
        self, shape: Sequence[int], generator: Draws, fitted: Mapping[str, NDArray[Any]] | None
    ) -> NDArray[np.float32]:
        """The fitted one, for every image."""
        assert fitted is not None  # the plan fits first
        return np.broadcast_to(np.asarray(fitted["sticker"], np.float32), tuple(shape))


@attacks.register("sticker-random")
class StickerRandom(Sticker):
    """Control: the same area in blocks of random printable colours, drawn anew for each view.

    Args:
        blocks: blocks along the image's width; fine enough to hold a pattern, coarse enough to survive the resize.
    """

    control: ClassVar[bool] = True
    source: ClassVar[str] = "control: random printable colours in the same mask"
    cost: ClassVar[str] = "none"

    blocks: int = Field(default=16, ge=1)

    @property
    def threat(self) -> Threat:
        """No norm: the mask bounds it; knows nothing."""
        return Threat(norm="none", kind="none", knowledge="none", targeted=self.target is not None)

    def stickers(
        self, shape: Sequence[int], generator: Draws, fitted: Mapping[str, NDArray[Any]] | None
    ) -> NDArray[np.float32]:
        """Colours of the palette, a block each."""
        return random_blocks(generator, self.blocks, shape)


def random_blocks(generator: Draws, blocks: int, shape: Sequence[int]) -> NDArray[np.float32]:
    """(N, C, H, W) images of blocks x blocks random printable colours."""
    colours = palette(shape[1]).astype(np.float32)
    chosen = colours[generator.integers((blocks, blocks), 0, len(colours)).numpy()]
    rows, columns = (np.arange(side) * blocks // side for side in shape[2:])
    found: NDArray[np.float32] = chosen[:, rows][:, :, columns].transpose(0, 3, 1, 2)
    return found
