"""What an attack is: a generator of perturbed inputs under a threat model. It never decides its own success.

The verifier (``benchmark.attacks.verify``, called by the task) predicts again, checks range and budget and decides.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PrivateAttr

from benchmark.accounts import Chapter
from benchmark.data.base import Samples
from benchmark.data.structures import Structures
from benchmark.errors import AttackError
from benchmark.inputs import IMAGE
from benchmark.registry import Plugin, Registry
from benchmark.reported import Column, Extras, ProbeResults, Summary
from benchmark.spec.budget import Budget

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
        domain: where the perturbation lives: the kind of inputs that are perturbed (``"image"``, ``"measurement"``,
            ``"tokens"``); ``"acquisition"`` (mask, noise); or ``"explanation"``: on the input, but the prediction is
            to stay.
        targeted: the adversary wants one class, not any wrong one.
        relative: the budget is a share of the norm of what is perturbed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    norm: Norm
    kind: Kind
    knowledge: Knowledge = "white-box"
    domain: str = "image"
    targeted: bool = False
    relative: bool = False


@dataclass
class Perturbed:
    """What an attack returns.

    Attributes:
        inputs: perturbed inputs (N, ...), of the shape, type and order given.
        params: per-sample parameters (first axis N) by which :meth:`Attack.replay` makes the same inputs again;
            they become columns of the record with the prefix ``param_`` where they are one number a sample.
        forwards, backwards: exact calls per sample (N,), where the attack knows them; else the verifier takes the
            mean that the model wrapper counted.
        reference: (N, ...), the clean counterpart of each input where that is not the clean input itself (the same
            view without the sticker). A sample that a classifier gets
            wrong there is no success, and its column ``reference_correct`` is False.
    """

    inputs: torch.Tensor
    params: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    forwards: NDArray[Any] | None = None
    backwards: NDArray[Any] | None = None
    reference: torch.Tensor | None = None


class Attack(Plugin):
    """Base of all attacks.

    Class attributes:
        accepts: kinds of inputs that it perturbs (:mod:`benchmark.inputs`).
        control: True for a control (random noise, identity).
        descends: True where each budget starts from what was found at the next larger one: :meth:`run` gets it as
            ``fitted["larger"]``, perturbed inputs (N, ...).
        reads: True where it is handed what another probe of the suite (``of``) found on other entries (``sources``) at
            the same budget: ``fitted["found:<entry>"]``, perturbed inputs (N, ...).
        random: True where the result depends on drawn numbers.
        fits: True where :meth:`fit` must run on training samples first; its arrays reach :meth:`run` as ``fitted``.
        whole_batch: True where the attack must see every sample of the batch (third-party code that draws for the
            batch at once); else samples whose clean prediction is already wrong are left out.
        judges_fit: True where what was fitted is also judged on the training samples (a training rate).
        generates: True where :meth:`generate` makes one input a class, from nothing; :meth:`run` is then not called.
        needs_structures: True where it must know the dataset's true and false structures (:meth:`with_structures`).
        needs_samples: True where it must know which samples it is given (:meth:`with_samples`).
        breaks: False where the prediction is meant to stay (an attack on the explanation): there is then no robust
            accuracy and no success rate under it. Its threat has a domain of its own.
        searches: False where one change serves all samples, or its direction is given: what it finds says nothing of a
            search for each sample.
        says: what its family says of a model on a label, and which hazards it tests; classes may share a chapter.
        tests: keys of the hazards in its chapter that it tests; None: all of them, of a control none.
        tabled: True where :meth:`extras` has a table of all results: their columns then stand in the CSV file alone.
        cost: calls a sample in words, for ``assay list``.
    """

    accepts: ClassVar[tuple[str, ...]] = (IMAGE,)
    control: ClassVar[bool] = False
    descends: ClassVar[bool] = False
    reads: ClassVar[bool] = False
    random: ClassVar[bool] = False
    fits: ClassVar[bool] = False
    whole_batch: ClassVar[bool] = False
    judges_fit: ClassVar[bool] = False
    generates: ClassVar[bool] = False
    needs_structures: ClassVar[bool] = False
    needs_samples: ClassVar[bool] = False
    breaks: ClassVar[bool] = True
    tabled: ClassVar[bool] = False
    searches: ClassVar[bool] = True
    says: ClassVar[Chapter | None] = None
    tests: ClassVar[tuple[str, ...] | None] = None
    cost: ClassVar[str] = ""

    _view: int = PrivateAttr(default=0)
    _structures: Structures | None = PrivateAttr(default=None)
    _samples: Samples | None = PrivateAttr(default=None)

    @property
    @abstractmethod
    def threat(self) -> Threat:
        """The threat model; must not import torch."""

    def views(self) -> int:
        """How many times each sample is attacked and judged, each time under another view; a row of the record each."""
        return 1

    def at_view(self, view: int) -> Self:
        """The attack under one of its views, 0 to :meth:`views` - 1: a copy that knows it as ``_view``."""
        copy = self.model_copy()
        copy._view = view
        return copy

    def with_structures(self, structures: Structures) -> Self:
        """The attack for data whose structures are these: a copy, by which its inputs are also made again."""
        copy = self.model_copy()
        copy._structures = structures
        return copy

    @property
    def structures(self) -> Structures:
        """Those given to :meth:`with_structures`.

        Raises:
            AttackError: nothing.
        """
        if self._structures is None:
            raise AttackError(
                f"attack {self.name!r} needs the true and false structures of a dataset: call with_structures()"
            )
        return self._structures

    def with_samples(self, samples: Samples) -> Self:
        """The attack for these samples, in their order: a copy."""
        copy = self.model_copy()
        copy._samples = samples
        return copy

    @property
    def samples(self) -> Samples:
        """Those given to :meth:`with_samples`.

        Raises:
            AttackError: nothing.
        """
        if self._samples is None:
            raise AttackError(f"attack {self.name!r} needs to know its samples: call with_samples()")
        return self._samples

    def columns(self) -> tuple[Column, ...]:
        """Summary columns of its own in the leaderboard."""
        return ()

    @classmethod
    def summaries(cls, probes: Sequence[ProbeResults]) -> Sequence[Summary]:  # noqa: ARG003
        """Columns of the leaderboard over several probes of this class together."""
        return ()

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:  # noqa: ARG003
        """Tables and pictures of its own beside the leaderboard, from all of a suite's probes of this class."""
        return Extras()

    def hazards(self) -> tuple[str, ...]:
        """Keys of the hazards that it tests as it is."""
        if self.tests is not None or self.says is None:
            return self.tests or ()
        return () if self.control else tuple(hazard.key for hazard in self.says.hazards if hazard.of is None)

    def budget(self, eps: float | None) -> float:
        """The budget that :meth:`run` was given.

        Raises:
            AttackError: none.
        """
        if eps is None:
            raise AttackError(f"attack {self.name!r} needs a budget: give the probe budgets, such as ['8/255']")
        return eps

    def reach(self, eps: float) -> float | None:
        """The share of the budget that its steps can cover together; None where steps do not bound what it finds.

        Below 1 the attack cannot cross its ball: what it leaves unbroken says nothing of the border.
        """
        return None

    def effortless(self) -> dict[str, Any]:
        """Its parameters, with those that go with its effort made alike: attacks that differ in effort alone agree."""
        return self.settings()

    def longer(self, more: int) -> Self | None:
        """The attack with so many steps more, each as long; None where it has no number of steps, or no budget."""
        steps = getattr(self, "steps", None)
        judges = self.breaks and not (self.control or self.generates or self.fits or self.reads or self.descends)
        if self.threat.kind != "fixed" or not judges or not isinstance(steps, int):
            return None
        return self.model_copy(update={"steps": steps + more})

    def check_budget(self, eps: Budget) -> None:
        """Refuse a budget that this attack cannot run at, before anything is computed.

        Raises:
            SpecError: saying which budgets there are.
        """

    def fixed_batch_size(self) -> int | None:
        """Batch size that is part of the result (third-party random attacks), else None."""
        return None

    def takes_budgets(self) -> bool:
        """Whether :meth:`run` also takes a budget a sample, ``eps`` a tensor (N,)."""
        return False

    def fit(
        self, model: Model, inputs: torch.Tensor, labels: torch.Tensor, *, eps: float | None, generator: Draws
    ) -> dict[str, NDArray[Any]]:
        """Compute an artefact on training samples (all of them at once): named arrays."""
        raise AttackError(f"attack {self.name!r} has nothing to fit")

    def pictures(self, fitted: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.uint8]]:
        """Pictures of what was fitted, (H, W) or (H, W, 3) uint8, kept as PNG beside the arrays."""
        return {}

    def generate(self, model: Model, targets: torch.Tensor, shape: Sequence[int], *, generator: Draws) -> Perturbed:
        """Make inputs from nothing, one a target class.

        Args:
            model: in eval mode, parameters frozen.
            targets: (M,) int64 classes.
            shape: (C, H, W) of one input.
            generator: per-target random numbers.
        """
        raise AttackError(f"attack {self.name!r} makes no inputs from nothing")

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
            model: in eval mode, parameters frozen; call it on inputs of the kind given.
            inputs: (N, ...) on the model's device, of a kind that it ``accepts``; images are float32 (N, C, H, W) in
                [0, 1].
            labels: (N,) true labels.
            eps: the budget in the threat's norm; None for minimal-norm attacks.
            generator: per-sample random numbers.
            fitted: arrays that :meth:`fit` returned, where ``fits``; what other cells found, where it ``descends`` or
                ``reads``.
        """

    def replay(self, inputs: torch.Tensor, params: Mapping[str, NDArray[Any]]) -> torch.Tensor:
        """Make the perturbed inputs again from clean inputs and ``params``: how a threat without a norm is verified."""
        raise AttackError(f"attack {self.name!r} has no norm and cannot be replayed: write its replay method")

    def admissible(self, params: Mapping[str, NDArray[Any]], eps: float | None) -> NDArray[np.bool_]:
        """(N,) True where ``params`` lie inside what the threat allows; called for threats without a norm."""
        raise AttackError(f"attack {self.name!r} has no norm: write its admissible method")


attacks: Registry[Attack] = Registry("attack", "benchmark.attacks")
