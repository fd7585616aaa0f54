"""False structures exchanged, taken away, and measured: what a network decides by when true and false disagree.

For data whose images are made of a true structure and of one that goes along with it (``Dataset.structures``). Nothing
here is an adversary but ``structure-deepfool``: the others are interventions on one factor, all else held bit by bit.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.accounts import Chapter
from benchmark.attacks._relative import column
from benchmark.attacks._structure_words import STRUCTURE
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.attacks.structural import right
from benchmark.reported import Column

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

SOURCE = "Thesing, Antun and Hansen 2019 (arXiv:1906.01478), Conjecture 1.1"


def judged(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """(N,) True where the intervention was verified and the prediction is one."""
    return np.asarray((rows["status"].to_numpy() == "ok") & (rows["pred"].to_numpy() >= 0))


def follows(rows: pd.DataFrame) -> NDArray[np.float64]:
    """(N,) 1 where the prediction is the false structure's class, 0 where it is the true one's; NaN where neither."""
    pred, false = rows["pred"].to_numpy(), column(rows, "param_false_class")
    counted = judged(rows) & ((pred == false) | (pred == rows["label"].to_numpy()))
    return np.where(counted, (pred == false).astype(float), np.nan)


def neither(rows: pd.DataFrame) -> NDArray[np.float64]:
    """(N,) 1 where the prediction is neither the false structure's class nor the true one's."""
    pred = rows["pred"].to_numpy()
    other = (pred != column(rows, "param_false_class")) & (pred != rows["label"].to_numpy())
    return np.where(judged(rows), other.astype(float), np.nan)


def accuracy(rows: pd.DataFrame) -> NDArray[np.float64]:
    """(N,) 1 where the prediction is the label; NaN where the intervention was not verified."""
    return np.where(judged(rows), right(rows), np.nan)


class Exchange(Attack):
    """What the interventions share: each image's false structure is replaced; every sample is judged."""

    source: ClassVar[str] = SOURCE
    needs_structures: ClassVar[bool] = True
    whole_batch: ClassVar[bool] = True  # a share of all images, not of those that were right
    cost: ClassVar[str] = "none"
    searches: ClassVar[bool] = False

    @property
    def threat(self) -> Threat:
        """No norm; knows nothing of the model."""
        return Threat(norm="none", kind="none", knowledge="none")

    @abstractmethod
    def others(self, labels: NDArray[np.int64], generator: Draws) -> NDArray[np.int64]:
        """(N,) classes whose false structure is put in; -1: none."""

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
        """See :meth:`Attack.run`. ``params``: ``true_class`` (of the image) and ``false_class`` (put in; -1: none)."""
        own = labels.cpu().numpy().astype(np.int64)
        params = {"true_class": own, "false_class": self.others(own, generator)}
        none = np.zeros(len(own), np.int64)
        return Perturbed(self.replay(inputs, params), params, forwards=none, backwards=none)

    def replay(self, inputs: torch.Tensor, params: Mapping[str, NDArray[Any]]) -> torch.Tensor:
        """The images with the false structure of ``false_class`` in place of that of ``true_class``."""
        import torch

        own, other = (np.asarray(params[name]).astype(np.int64) for name in ("true_class", "false_class"))
        return inputs + torch.as_tensor(self.structures.exchange(own, other), device=inputs.device)


@attacks.register("structure-conflict")
class StructureConflict(Exchange):
    """Another class's false structure in each image, drawn anew for each: true and false disagree.

    ``reliance`` = n_false / (n_false + n_true), predictions that follow the false structure over those that follow one
    of both; ``reliance_other``: the share of all that follow neither. A network that ignores the false structure has
    0, one that looks at nothing else 1.
    """

    random: ClassVar[bool] = True
    says: ClassVar[Chapter] = STRUCTURE

    def others(self, labels: NDArray[np.int64], generator: Draws) -> NDArray[np.int64]:
        """A class other than the label, each as likely."""
        classes = self.structures.classes
        steps = generator.integers((), 1, classes).numpy()
        found: NDArray[np.int64] = (labels + steps) % classes
        return found

    def admissible(self, params: Mapping[str, NDArray[Any]], eps: float | None) -> NDArray[np.bool_]:
        """(N,) True where both are classes, and not the same."""
        own, other = (np.asarray(params[name]) for name in ("true_class", "false_class"))
        return np.asarray((own != other) & (other >= 0) & (other < self.structures.classes))

    def columns(self) -> tuple[Column, ...]:
        """``reliance``, ``reliance_other``, and ``acc``, the share of all that follow the true structure."""
        return (
            Column("reliance", "rate", follows, False, glance="predictions that follow the false structure"),
            Column("reliance_other", "rate", neither, False),
            Column("acc", "rate", accuracy),
        )


@attacks.register("structure-absent")
class StructureAbsent(Exchange):
    """Each image without its false structure: what is right then is so by the true one (or by chance)."""

    def others(self, labels: NDArray[np.int64], generator: Draws) -> NDArray[np.int64]:
        """-1: none."""
        return np.full_like(labels, -1)

    def admissible(self, params: Mapping[str, NDArray[Any]], eps: float | None) -> NDArray[np.bool_]:
        """(N,) True where nothing was put in."""
        return np.asarray(np.asarray(params["false_class"]) == -1)

    def columns(self) -> tuple[Column, ...]:
        """``acc``: the share of all that is right without the false structure."""
        return (Column("acc", "rate", accuracy),)


def found_norm(rows: pd.DataFrame) -> NDArray[np.float64]:
    """(N,) norm at which the prediction changes; NaN where it was wrong before, or never changes."""
    return np.where(column(rows, "param_changed") == 1, column(rows, "param_structure_l2"), np.nan)


@attacks.register("structure-deepfool")
class StructureDeepFool(Attack):
    """DeepFool along one structure: the smallest l2 norm, within the space that its class differences span.

    Gradients are projected on that space (|f| / ||P w|| for a linear network). The images' range [0, 1] is no bound of
    it: ``structure_l2`` is the norm of what was found, and what left the range is no success and leaves the image as it
    was. A network that does not look at a structure needs a large norm along it, or is never changed
    (``structure_changed``).

    Fields:
        structure: which one.
        steps, overshoot: see :class:`benchmark.attacks.deepfool.DeepFool`.
    """

    source: ClassVar[str] = "DeepFool (arXiv:1511.04599, Alg. 2) within a subspace; ours"
    needs_structures: ClassVar[bool] = True
    cost: ClassVar[str] = "1 forward and a backward a class a step"
    searches: ClassVar[bool] = False

    structure: Literal["true", "false"] = "false"
    steps: int = Field(default=50, ge=1)
    overshoot: float = Field(default=0.02, ge=0)

    @property
    def threat(self) -> Threat:
        """l2, minimal, white box."""
        return Threat(norm="l2", kind="minimal")

    def columns(self) -> tuple[Column, ...]:
        """Median norm over the images that were right and whose prediction changed, and how many those are."""
        return (
            Column(
                "structure_l2",
                "median",
                found_norm,
                glance="median l2 norm that changes the prediction",
                of_successes=True,
            ),
            Column("structure_changed", "rate", lambda rows: column(rows, "param_changed"), False),
        )

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
        """See :meth:`Attack.run`; ``params``: ``structure_l2``, ``changed`` (0 or 1), both without regard to range."""
        import torch

        from benchmark.attacks._deepfool import search
        from benchmark.attacks.verify import norms

        basis = torch.as_tensor(self.structures.basis(self.structure), dtype=inputs.dtype, device=inputs.device)
        found = search(
            model, inputs, labels.long(), steps=self.steps, candidates=0, overshoot=self.overshoot,
            clip=False, stable=0.0, basis=basis,
        )  # fmt: skip
        inside = ((found.reached >= 0) & (found.reached <= 1)).flatten(1).all(1)
        outputs = torch.where(inside.view(-1, 1, 1, 1), found.reached, inputs)
        changed = found.changed.cpu().numpy().astype(np.float64)
        params = {"structure_l2": norms(inputs, found.reached)["l2"], "changed": changed}
        return Perturbed(outputs, params, found.forwards, found.backwards)
