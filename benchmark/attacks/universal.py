"""Universal perturbations: one perturbation for every input, fitted on training samples and judged on others.

A sample is fooled where its prediction **changes from the clean prediction** (``fooling_rate``, over all held-out
samples; ``fooling_train`` on those that it was fitted on). The usual success (a right prediction made wrong) stands
beside it, as for any attack. Controls: a random sign (linf) or direction (l2) of the same norm.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.accounts import Chapter
from benchmark.attacks._pictures import as_picture
from benchmark.attacks._universal_words import UNIVERSAL
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.errors import AttackError
from benchmark.reported import Column, Extras, ProbeResults

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

BallNorm = Literal["linf", "l2"]


def fooled(rows: pd.DataFrame) -> NDArray[np.float64]:
    """(N,) 1 where the prediction is another than the clean one."""
    return np.asarray(rows["pred"].to_numpy() != rows["pred_clean"].to_numpy(), dtype=np.float64)


FOOLING = Column("fooling_rate", "rate", fooled, higher_is_better=False)


class Added(Attack):
    """An attack that adds one perturbation to every input, then clips the image to [0, 1]."""

    whole_batch: ClassVar[bool] = True  # fooling is over all samples, not only those that are right
    searches: ClassVar[bool] = False
    says: ClassVar[Chapter] = UNIVERSAL

    norm: BallNorm = "linf"

    @property
    def threat(self) -> Threat:
        """The norm, at a fixed budget; white box where it is fitted."""
        return Threat(norm=self.norm, kind="fixed", knowledge="none" if self.control else "white-box")

    def columns(self) -> tuple[Column, ...]:
        """The fooling rate on held-out samples."""
        return (FOOLING,)

    def add(self, inputs: torch.Tensor, v: NDArray[Any]) -> Perturbed:
        """``clip(x + v)``, without a call of the model.

        Raises:
            AttackError: v was made for inputs of another shape.
        """
        import torch

        if v.shape != tuple(inputs.shape[1:]):
            raise AttackError(
                f"attack {self.name!r}: the perturbation is of shape {v.shape}, the suite's inputs are"
                f" {tuple(inputs.shape[1:])}; give the suite the size and channels it was made for"
            )
        none = np.zeros(len(inputs), dtype=np.int64)
        delta = torch.as_tensor(v, dtype=inputs.dtype, device=inputs.device)
        return Perturbed((inputs + delta).clamp(0, 1), forwards=none, backwards=none)

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:
        """Dominant labels, learning curve, transfer matrix, and pictures of the perturbations."""
        from benchmark.attacks._universal_report import report

        return report(probes)


class Fitted(Added):
    """What the two fitted ones share.

    Fields:
        norm: ``"linf"`` or ``"l2"``.
        passes: most passes over the training samples.
    """

    fits: ClassVar[bool] = True
    judges_fit: ClassVar[bool] = True

    passes: int = Field(default=10, ge=1)

    def columns(self) -> tuple[Column, ...]:
        """Fooling rates on held-out and training samples, and what the fit cost for each training sample."""
        return (
            FOOLING,
            Column("fooling_train", "rate", fooled, higher_is_better=False, kind="fit"),
            Column(
                "fit_forwards", "mean", lambda rows: rows["fit_forwards"].to_numpy(dtype=float), False, "fit", False
            ),
            Column(
                "fit_backwards", "mean", lambda rows: rows["fit_backwards"].to_numpy(dtype=float), False, "fit", False
            ),
        )

    @abstractmethod
    def search(self, model: Model, inputs: torch.Tensor, eps: float, order: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The perturbation (C, H, W) and the passes made; ``order`` (passes, N) is the order of samples in each."""

    def fit(
        self, model: Model, inputs: torch.Tensor, labels: torch.Tensor, *, eps: float | None, generator: Draws
    ) -> dict[str, NDArray[Any]]:
        """``delta`` (C, H, W) float32, ``eps`` and ``passes``; labels are not used, only clean predictions.

        Raises:
            AttackError: no budget.
        """
        import torch

        eps = self.budget(eps)
        seeded = torch.Generator().manual_seed(generator.batch_seed)
        order = torch.stack([torch.randperm(len(inputs), generator=seeded) for _ in range(self.passes)])
        v, passes = self.search(model, inputs, eps, order.to(inputs.device))
        return {"delta": v.cpu().numpy(), "eps": np.asarray(eps), "passes": np.asarray(passes)}

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
            AttackError: nothing was fitted, or for inputs of another shape.
        """
        if fitted is None:
            raise AttackError(f"attack {self.name!r} was not fitted")
        return self.add(inputs, fitted["delta"])

    def pictures(self, fitted: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.uint8]]:
        """The perturbation, grey where it is 0 and at the ends of the scale where it is largest."""
        v = np.asarray(fitted["delta"], dtype=float)
        shown = np.clip(127.5 + 127.5 * v / max(1e-12, float(np.abs(v).max())), 0, 255).round().astype(np.uint8)
        return {"delta.png": as_picture(shown)}


@attacks.register("universal-deepfool")
class UniversalDeepFool(Fitted):
    """Each training image that is not fooled yet adds its DeepFool step (Moosavi-Dezfooli et al. 2017, algorithm 1).

    Fields:
        norm: norm of the budget, and of the single steps.
        passes: most passes over the training samples (the authors' code: without limit).
        delta: stop once 1 - delta of the training samples are fooled (paper: 0.2).
        steps, candidates, overshoot, keep: of DeepFool (the authors' code: 10, 10, 0.02 and every candidate).
    """

    source: ClassVar[str] = "Universal adversarial perturbations (arXiv:1610.08401, Alg. 1)"
    cost: ClassVar[str] = "fit: about 1 forward a training sample a pass, and DeepFool where not fooled; run: none"

    delta: float = Field(default=0.2, ge=0, lt=1)
    steps: int = Field(default=10, ge=1)
    candidates: int = Field(default=10, ge=2)
    overshoot: float = Field(default=0.02, ge=0)
    keep: int = Field(default=1, ge=0)

    def search(self, model: Model, inputs: torch.Tensor, eps: float, order: torch.Tensor) -> tuple[torch.Tensor, int]:
        """See :func:`benchmark.attacks._universal.sequential`."""
        from benchmark.attacks._deepfool import search
        from benchmark.attacks._universal import sequential

        def shown(points: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = model(points.clamp(0, 1))
            return logits

        def crossing(point: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            found = search(
                shown,
                point,
                label,
                steps=self.steps,
                candidates=self.candidates,
                overshoot=self.overshoot,
                keep=self.keep,
                norm=self.norm,
                clip=False,  # what leaves [0, 1] has no gradient: a step is made of pixels that are seen
            )
            return found.reached - point

        return sequential(
            model, inputs, crossing, eps=eps, norm=self.norm, passes=self.passes, delta=self.delta, order=order
        )


@attacks.register("universal-sgd")
class UniversalSgd(Fitted):
    """Stochastic gradient on the clipped loss of all training images at once (Shafahi et al. 2020, algorithm 2).

    Fields:
        passes: passes over the training samples.
        batch: samples a step.
        restarts: how often, the later ones from a random perturbation; the one that fools most is kept. The loss has
            several good maxima (one a dominant label), and a single descent may end in a poor one.
        step: first step, as a share of the budget; falls linearly to a tenth. Large steps leave poor maxima.
        beta: the loss of one image counts up to here (paper: 9).
        target: class to aim at; default: any class but the predicted one.
    """

    source: ClassVar[str] = "Universal adversarial training (arXiv:1811.11304, Alg. 2)"
    cost: ClassVar[str] = "fit: 1 forward and 1 backward a training sample a pass; run: none"

    batch: int = Field(default=50, ge=1)
    restarts: int = Field(default=3, ge=1)
    step: float = Field(default=0.5, gt=0)
    beta: float = Field(default=9.0, gt=0)
    target: int | None = Field(default=None, ge=0)

    @property
    def threat(self) -> Threat:
        """As for all; targeted where a target is named."""
        return Threat(norm=self.norm, kind="fixed", targeted=self.target is not None)

    def columns(self) -> tuple[Column, ...]:
        """As for all; with a target also the share of held-out samples that are taken for it."""
        if self.target is None:
            return super().columns()
        return (*super().columns(), Column("target_rate", "rate", lambda rows: _hit(rows, self.target)))

    def search(self, model: Model, inputs: torch.Tensor, eps: float, order: torch.Tensor) -> tuple[torch.Tensor, int]:
        """See :func:`benchmark.attacks._universal.stochastic`; of several starts the one that fools most is kept.

        Raises:
            AttackError: the model has no such target class.
        """
        import torch

        from benchmark.attacks._universal import project, stochastic

        with torch.no_grad():
            classes = model(inputs[:1]).shape[1]
        if self.target is not None and self.target >= classes:
            raise AttackError(f"attack {self.name!r}: target = {self.target}, the model has classes 0 to {classes - 1}")
        best, most = torch.zeros_like(inputs[0]), -1.0
        for restart in range(self.restarts):
            seeded = torch.Generator().manual_seed(restart)
            start = torch.randn(best.shape, generator=seeded).to(best) if restart else torch.zeros_like(best)
            v, won = stochastic(
                model,
                inputs,
                eps=eps,
                norm=self.norm,
                passes=self.passes,
                batch=self.batch,
                step=self.step,
                beta=self.beta,
                target=self.target,
                order=order[:, torch.randperm(len(inputs), generator=seeded)] if restart else order,
                start=project(eps * start, eps, self.norm),
            )
            best, most = (v, won) if won > most else (best, most)
        return best, self.passes * self.restarts


def _hit(rows: pd.DataFrame, target: int | None) -> NDArray[np.float64]:
    """(N,) 1 where the target is predicted, NaN where it was before."""
    hit = np.asarray(rows["pred"].to_numpy() == target, dtype=np.float64)
    return np.where(rows["pred_clean"].to_numpy() == target, np.nan, hit)


@attacks.register("universal-random")
class UniversalRandom(Added):
    """Control: one random sign (linf) or direction (l2) of length eps, the same for every sample.

    Fields:
        seed: which one.
    """

    source: ClassVar[str] = "control: random universal perturbation of the same norm"
    control: ClassVar[bool] = True
    cost: ClassVar[str] = "none"

    seed: int = 0

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
            AttackError: no budget.
        """
        from benchmark.seeds import derive

        eps = self.budget(eps)
        draw = np.random.default_rng(derive("universal-random", self.seed)).standard_normal(tuple(inputs.shape[1:]))
        v = eps * np.sign(draw) if self.norm == "linf" else eps * draw / np.sqrt((draw**2).sum())
        return self.add(inputs, v)
