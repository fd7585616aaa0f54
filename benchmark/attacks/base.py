"""What an attack is: a generator of perturbed inputs under a threat model. It never decides its own success.

The verifier (``benchmark.attacks.verify``, called by the task) predicts again, checks range and budget and decides.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from benchmark.errors import AttackError
from benchmark.registry import Plugin, Registry

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

Norm = Literal["linf", "l2", "l1", "l0", "none"]
Kind = Literal["fixed", "minimal", "none"]
Knowledge = Literal["white-box", "score", "decision", "transfer", "none"]


class Threat(BaseModel):
    """Threat model of an attack.

    Attributes:
        norm: norm of the perturbation, ``"none"`` where it has none (rotation, sticker).
        kind: ``"fixed"`` budget, ``"minimal"`` norm (no budget given), or ``"none"`` (neither: identity).
        knowledge: what the adversary knows of the model.
        domain: where the perturbation lives, ``"image"`` or ``"measurement"``.
        targeted: the adversary wants one class, not any wrong one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    norm: Norm
    kind: Kind
    knowledge: Knowledge = "white-box"
    domain: str = "image"
    targeted: bool = False


@dataclass
class Perturbed:
    """What an attack returns.

    Attributes:
        inputs: perturbed inputs, float32 (N, C, H, W), same order as given.
        params: per-sample parameters (first axis N) by which :meth:`Attack.replay` makes the same inputs again;
            they become columns of the record with the prefix ``param_`` where they are one number a sample.
        forwards, backwards: exact calls per sample (N,), where the attack knows them; else the verifier takes the
            mean that the model wrapper counted.
    """

    inputs: torch.Tensor
    params: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    forwards: NDArray[np.int64] | None = None
    backwards: NDArray[np.int64] | None = None


class Attack(Plugin):
    """Base of all attacks.

    Class attributes:
        control: True for a control (random noise, identity).
        random: True where the result depends on drawn numbers.
        fits: True where :meth:`fit` must run on training samples first; its arrays reach :meth:`run` as ``fitted``.
        whole_batch: True where the attack must see every sample of the batch (third-party code that draws for the
            batch at once); else samples whose clean prediction is already wrong are left out.
    """

    control: ClassVar[bool] = False
    random: ClassVar[bool] = False
    fits: ClassVar[bool] = False
    whole_batch: ClassVar[bool] = False

    @property
    @abstractmethod
    def threat(self) -> Threat:
        """The threat model; must not import torch."""

    def fixed_batch_size(self) -> int | None:
        """Batch size that is part of the result (third-party random attacks), else None."""
        return None

    def fit(
        self, model: Model, inputs: torch.Tensor, labels: torch.Tensor, *, eps: float | None, generator: Draws
    ) -> dict[str, NDArray[Any]]:
        """Compute an artefact on training samples (all of them at once): named arrays."""
        raise AttackError(f"attack {self.name!r} has nothing to fit")

    @abstractmethod
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
        """Perturb a batch.

        Args:
            model: in eval mode, parameters frozen; call it on inputs in [0, 1].
            inputs: float32 (N, C, H, W) in [0, 1], on the model's device.
            labels: (N,) true labels.
            eps: the budget in the threat's norm; None for minimal-norm attacks.
            generator: per-sample random numbers.
            fitted: arrays that :meth:`fit` returned, where ``fits``.
        """

    def replay(self, inputs: torch.Tensor, params: Mapping[str, NDArray[Any]]) -> torch.Tensor:
        """Make the perturbed inputs again from clean inputs and ``params``: how a threat without a norm is verified."""
        raise AttackError(f"attack {self.name!r} has no norm and cannot be replayed: write its replay method")

    def admissible(self, params: Mapping[str, NDArray[Any]], eps: float | None) -> NDArray[np.bool_]:
        """(N,) True where ``params`` lie inside what the threat allows; called for threats without a norm."""
        raise AttackError(f"attack {self.name!r} has no norm: write its admissible method")


attacks: Registry[Attack] = Registry("attack", "benchmark.attacks")
