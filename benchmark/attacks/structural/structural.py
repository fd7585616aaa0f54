"""Structural perturbations: rotation and translation, scale, shear, light, blur, JPEG, fog, occlusion.

The budget is a severity, 1 to 5, that bounds a family's parameters; there is no norm, and a returned image is verified
by making it again from its parameters. Three questions of one family stand side by side:

- ``mode = "grid"``, the worst case: every grid point, sample by sample; the first one that breaks a sample ends its
  search;
- ``mode = "random"``, worst of ``draws`` random points of that grid (Engstrom et al. 2019: 10);
- ``mode = "average"``: the same ``draws`` seeded random points for all samples, each judged; no worst case is taken.

foolbox searches 125 rotations and translations by default and does not say which one it chose; ART picks one for the
whole set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from benchmark.accounts import Chapter
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.attacks.structural.words import STRUCTURAL
from benchmark.errors import AttackError, SpecError
from benchmark.reported import Column, Extras, ProbeResults
from benchmark.spec.budget import Budget

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from benchmark.attacks.structural.family import Family
    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

Name = Literal[
    "rotation-translation",
    "scale",
    "shear",
    "brightness",
    "contrast",
    "gamma",
    "blur",
    "jpeg",
    "fog",
    "occlusion",
]
DRAWS = {"random": 10, "average": 32}


def right(rows: pd.DataFrame) -> NDArray[np.float64]:
    """(N,) 1 where the transformed image is classified as its label."""
    return np.asarray(rows["pred"].to_numpy() == rows["label"].to_numpy(), dtype=np.float64)


@attacks.register("structural")
class Structural(Attack):
    """Worst case, worst of ten, or average over one family of transformations, at a severity of 1 to 5.

    Fields:
        family: what is changed.
        mode: ``"grid"``, ``"random"`` or ``"average"``.
        draws: points of ``"random"`` (default 10) and ``"average"`` (default 32).
        seed: of the points of ``"average"``.
    """

    source: ClassVar[str] = "Engstrom et al. 2019 (arXiv:1712.02779), section 4; Hendrycks and Dietterich 2019"
    library: ClassVar[str] = "kornia"
    cost: ClassVar[str] = "at most 1 forward a grid point (rotation-translation: 775), `draws` forwards otherwise"
    random: ClassVar[bool] = True
    tabled: ClassVar[bool] = True
    whole_batch: ClassVar[bool] = True  # an average is over all samples
    says: ClassVar[Chapter] = STRUCTURAL

    family: Name = "rotation-translation"
    mode: Literal["grid", "random", "average"] = "grid"
    draws: int | None = Field(default=None, ge=1)
    seed: int = 0

    def hazards(self) -> tuple[str, ...]:
        """That of its family."""
        return (f"structural:{self.family}",)

    @model_validator(mode="after")
    def _draws_are_used(self) -> Structural:
        if self.draws is not None and self.mode == "grid":
            raise ValueError("mode = 'grid' takes every point: remove draws")
        return self

    @property
    def threat(self) -> Threat:
        """No norm; the severity is the budget. The average knows nothing of the model."""
        return Threat(norm="none", kind="fixed", knowledge="none" if self.mode == "average" else "score")

    def views(self) -> int:
        """The points of an average; else 1."""
        return self.points() if self.mode == "average" else 1

    def points(self) -> int:
        """Number of draws."""
        return self.draws or DRAWS.get(self.mode, 0)

    def check_budget(self, eps: Budget) -> None:
        """A severity is a whole number from 1 to 5."""
        if eps.value not in (1, 2, 3, 4, 5):
            raise SpecError(f"budget {eps} of {self.use!r}: expected a severity, a whole number from 1 to 5")

    def columns(self) -> tuple[Column, ...]:
        """Of an average: the mean accuracy over samples and points, its interval over samples."""
        return (Column("mean_acc", "mean", right, glance="accuracy"),) if self.mode == "average" else ()

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:
        """Average beside worst case, for each family."""
        from benchmark.attacks.structural.tables import report

        return report(probes)

    def replay(self, inputs: torch.Tensor, params: Mapping[str, NDArray[Any]]) -> torch.Tensor:
        """The images that the family's parameters make, clipped to [0, 1]."""
        family = self._family()
        return shown(family, inputs, np.stack([np.asarray(params[name], float) for name in family.names], axis=1))

    def admissible(self, params: Mapping[str, NDArray[Any]], eps: float | None) -> NDArray[np.bool_]:
        """(N,) True where the parameters lie in the box of the severity."""
        family = self._family()
        points = np.stack([np.asarray(params[name], float) for name in family.names], axis=1)
        return family.inside(points, self._severity(eps))

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
        """See :meth:`Attack.run`.

        Raises:
            AttackError: the budget is no severity of 1 to 5.
        """
        from benchmark.seeds import derive

        family, severity = self._family(), self._severity(eps)
        if self.mode == "average":
            drawn = np.random.default_rng(derive("structural", self.family, self.seed, self._view))
            points = np.broadcast_to(family.draw(severity, drawn), (len(inputs), len(family.names)))
            none = np.zeros(len(inputs), np.int64)
            return Perturbed(shown(family, inputs, points), _params(family, points), forwards=none, backwards=none)
        grid = family.grid(severity)
        views = np.broadcast_to(grid, (len(inputs), *grid.shape))
        if self.mode == "random":
            which = generator.integers((self.points(),), 0, len(grid)).numpy()
            views = np.concatenate([np.broadcast_to(grid[:1], (len(inputs), 1, grid.shape[1])), grid[which]], axis=1)
        return search(family, model, inputs, labels, views)

    def _family(self) -> Family:
        from benchmark.attacks.structural.families import FAMILIES

        return FAMILIES[self.family]

    def _severity(self, eps: float | None) -> int:
        if eps not in (1, 2, 3, 4, 5):
            raise AttackError(f"attack {self.name!r}: its budget is a severity, 1 to 5, got {eps}")
        return int(eps)


def shown(family: Family, inputs: torch.Tensor, points: NDArray[np.float64]) -> torch.Tensor:
    """Inputs under their points; a point that is the identity gives the input bit by bit."""
    import torch

    same = (points == np.asarray(family.identity())).all(1)
    result = inputs.clone()
    if not same.all():
        at = torch.as_tensor(np.flatnonzero(~same), device=inputs.device)
        result[at] = family.apply(inputs[at], points[~same]).clamp(0, 1)
    return result


def _params(family: Family, points: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {name: np.ascontiguousarray(points[:, i]) for i, name in enumerate(family.names)}


def search(
    family: Family, model: Model, inputs: torch.Tensor, labels: torch.Tensor, views: NDArray[np.float64]
) -> Perturbed:
    """The first view that breaks each sample, else the one of smallest margin.

    Args:
        family: makes the images.
        model, inputs, labels: as an attack gets them.
        views: (N, V, P) points, tried in this order.
    """
    import torch

    from benchmark.attacks.controls import margins

    best, chosen = np.full(len(inputs), np.inf), np.zeros(len(inputs), int)
    forwards = np.zeros(len(inputs), np.int64)
    active = np.arange(len(inputs))
    for v in range(views.shape[1]):
        at = torch.as_tensor(active, device=inputs.device)
        with torch.no_grad():
            logits = model(shown(family, inputs[at], views[active, v]))
        forwards[active] += 1
        margin = margins(logits, labels[at].long()).cpu().numpy()
        wrong = (logits.argmax(1) != labels[at]).cpu().numpy()
        better = wrong | (margin < best[active])
        best[active[better]], chosen[active[better]] = margin[better], v
        active = active[~wrong]
        if not len(active):
            break
    picked = views[np.arange(len(inputs)), chosen]
    return Perturbed(
        shown(family, inputs, picked),
        _params(family, picked),
        forwards=forwards,
        backwards=np.zeros(len(inputs), np.int64),
    )
