"""Fooling images: inputs that mean nothing to people and are classified with confidence (Nguyen et al. 2015).

Nothing is perturbed: an image is made for every class, from noise, and the verifier predicts it again. The control is
noise itself. ``natural_*`` says what a threshold that rejects such confidence would cost: the share of natural test
images above it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.accounts import Chapter
from benchmark.attacks._fooling_words import FOOLING
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.errors import AttackError
from benchmark.reported import Column, Extras, ProbeResults

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

LEVELS = (0.99, 0.9)


class _Reached:
    """Rows to 1 where the target is predicted with at least ``level``."""

    def __init__(self, level: float) -> None:
        self.level = level

    def __call__(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        confident = rows["confidence"].to_numpy(dtype=float) >= self.level
        return np.asarray(confident & rows["success"].to_numpy(dtype=bool), dtype=np.float64)


class _Natural:
    """Clean rows to 1 where any class is predicted with at least ``level``."""

    def __init__(self, level: float) -> None:
        self.level = level

    def __call__(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        return np.asarray(rows["confidence"].to_numpy(dtype=float) >= self.level, dtype=np.float64)


class Fooling(Attack):
    """What the searches share: one image a class, judged by its confidence."""

    generates: ClassVar[bool] = True
    random: ClassVar[bool] = True
    says: ClassVar[Chapter] = FOOLING

    def columns(self) -> tuple[Column, ...]:
        """Shares of classes at 99 and 90 %, evaluations a class, natural images above the same confidence."""
        found = [
            Column(
                f"fooling_{level * 100:.0f}",
                "rate",
                _Reached(level),
                False,
                "generate",
                glance="" if i else f"made images taken for their class, {level * 100:.0f} % sure",
            )
            for i, level in enumerate(LEVELS)
        ]
        calls = Column("evaluations", "median", _evaluations, True, "generate")
        natural = [Column(f"natural_{level * 100:.0f}", "rate", _Natural(level), True, "clean") for level in LEVELS]
        return (*found, calls, *natural)

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:
        """A gallery of the images, with their confidence."""
        from benchmark.attacks._fooling_report import gallery

        found = Extras()
        for probe in probes:
            shown = {model: probe.artefact(model, kind="generate") for model in probe.models}
            name = f"gallery_{probe.name}"
            found.captions[name] = "One image a class and model; above each the confidence that the verifier found."
            if any(arrays is not None for arrays in shown.values()):
                found.figures[name] = lambda probe=probe, shown=shown: gallery(probe, shown)  # type: ignore[misc]
        return found

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
        """Not for this attack: see :meth:`Attack.generate`.

        Raises:
            AttackError: always.
        """
        raise AttackError(f"attack {self.name!r} makes images from nothing; it perturbs none")


def _evaluations(rows: pd.DataFrame) -> NDArray[np.float64]:
    return np.asarray(rows["forwards"], dtype=np.float64)


@attacks.register("fooling-gradient")
class FoolingGradient(Fooling):
    """Gradient ascent on a class' log-probability, from noise (Nguyen et al. 2015, section 3.4).

    Fields:
        steps: most steps a class.
        lr: step size (Adam's rule), in input units.
        confidence: where a class is done.
    """

    source: ClassVar[str] = "Nguyen et al. 2015 (arXiv:1412.1897), gradient ascent"
    cost: ClassVar[str] = "1 forward and 1 backward a step, at most `steps`"

    steps: int = Field(default=200, ge=1)
    lr: float = Field(default=0.02, gt=0)
    confidence: float = Field(default=0.995, gt=0, lt=1)

    @property
    def threat(self) -> Threat:
        """No norm, no budget; white box, targeted."""
        return Threat(norm="none", kind="none", targeted=True)

    def generate(self, model: Model, targets: torch.Tensor, shape: Sequence[int], *, generator: Draws) -> Perturbed:
        """See :meth:`Attack.generate`."""
        from benchmark.attacks._fooling import ascend

        start = generator.uniform(shape).to(targets.device)
        return ascend(model, targets, start, steps=self.steps, lr=self.lr, confidence=self.confidence)


@attacks.register("fooling-evolution")
class FoolingEvolution(Fooling):
    """Directly encoded evolution from noise (Nguyen et al. 2015, section 2.3); needs scores only.

    Fields:
        generations: most generations.
        offspring: mutants of each class' elite a generation.
        rate, halving: chance of a pixel to be mutated, and generations after which it halves.
        strength: of the polynomial mutation.
        confidence: where a class is done.
    """

    source: ClassVar[str] = "Nguyen et al. 2015 (arXiv:1412.1897), direct encoding"
    cost: ClassVar[str] = "`offspring` forwards a generation, at most `generations`"

    generations: int = Field(default=2000, ge=1)
    offspring: int = Field(default=10, ge=1)
    rate: float = Field(default=0.1, gt=0, le=1)
    halving: int = Field(default=1000, ge=1)
    strength: float = Field(default=15.0, gt=0)
    confidence: float = Field(default=0.995, gt=0, lt=1)

    @property
    def threat(self) -> Threat:
        """No norm, no budget; sees scores, targeted."""
        return Threat(norm="none", kind="none", knowledge="score", targeted=True)

    def generate(self, model: Model, targets: torch.Tensor, shape: Sequence[int], *, generator: Draws) -> Perturbed:
        """See :meth:`Attack.generate`."""
        from benchmark.attacks._fooling import evolve

        start = generator.uniform(shape).to(targets.device)
        return evolve(
            model,
            targets,
            start,
            generator.seeds,
            generations=self.generations,
            offspring=self.offspring,
            rate=self.rate,
            halving=self.halving,
            strength=self.strength,
            confidence=self.confidence,
        )


@attacks.register("fooling-noise")
class FoolingNoise(Fooling):
    """Control: the most confident of ``draws`` images of uniform noise."""

    source: ClassVar[str] = "control: uniform noise"
    cost: ClassVar[str] = "`draws` forwards"
    control: ClassVar[bool] = True

    draws: int = Field(default=100, ge=1)

    @property
    def threat(self) -> Threat:
        """No norm, no budget; knows nothing."""
        return Threat(norm="none", kind="none", knowledge="none", targeted=True)

    def generate(self, model: Model, targets: torch.Tensor, shape: Sequence[int], *, generator: Draws) -> Perturbed:
        """See :meth:`Attack.generate`."""
        import torch

        from benchmark.attacks._fooling import confidences

        best, highest = torch.zeros((len(targets), *shape), device=targets.device), None
        for _ in range(self.draws):
            images = generator.uniform(shape).to(targets.device)
            with torch.no_grad():
                found = confidences(model(images), targets)
            better = torch.ones_like(found, dtype=torch.bool) if highest is None else found > highest
            best[better] = images[better]
            highest = found if highest is None else torch.where(better, found, highest)
        calls = np.full(len(targets), self.draws, dtype=np.int64)
        return Perturbed(best, forwards=calls, backwards=np.zeros_like(calls))
