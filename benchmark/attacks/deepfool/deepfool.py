"""DeepFool, batched: Moosavi-Dezfooli, Fawzi, Frossard 2016 (arXiv:1511.04599), algorithm 2 and section 3.3."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.attacks.deepfool.relative import relative_columns, relative_norms
from benchmark.reported import Column

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

FOOLBOX_CANDIDATES = 10


@attacks.register("deepfool")
class DeepFool(Attack):
    """Steps to the nearest linearised class boundary until the label changes; a minimal-norm attack, l2 or linf.

    In both variants the reference class is the clean prediction, and the perturbation is (1 + overshoot) times the
    summed steps. ``"foolbox"`` is that of foolbox 3.3's ``L2DeepFoolAttack`` and ``LinfDeepFoolAttack``: candidates are
    the 10 most likely classes of the clean input, each step is 1e-4 longer, and every iterate is clipped to [0, 1].
    ``"paper"`` has all classes as candidates, steps of their exact length, and knows no range; its results are in
    ``param_relative_*_unclipped`` and ``param_fooled_unclipped``. What it returns, and what success is judged on, lies
    in the range: samples that left it are searched again with foolbox's clipped steps (to clip only the end would undo
    most successes). The paper applies its overshoot of 0.02 at the end; here, as in its authors' code, each iterate is
    tested with the overshoot on.

    Fields:
        variant: see above.
        norm: ``"l2"``, or ``"linf"`` (distance |f| / ||w||_1, steps along the sign of w).
        steps: most steps a sample.
        candidates: how many of the most likely classes are considered, the predicted one included; 0: all. Default:
            10 for ``"foolbox"``, all for ``"paper"``.
        overshoot: how far to go past the boundary, as a share of the summed perturbation.
        keep: how many candidates a step computes after the first: those nearest by this step's logits and the last
            gradient norms known. The first step leaves out candidates that are far even with 1.25 times the largest
            norm seen. 0: every candidate in every step, as the papers and libraries do.
        search: precision of the gradients; predictions, and with them success, are of float32 either way.
    """

    source: ClassVar[str] = "DeepFool (arXiv:1511.04599, Alg. 2 and sec. 3.3)"
    version: ClassVar[int] = 2
    cost: ClassVar[str] = "1 forward and `keep` backwards a step, some more in the first"

    variant: Literal["paper", "foolbox"] = "foolbox"
    norm: Literal["l2", "linf"] = "l2"
    steps: int = Field(default=50, ge=1)
    candidates: int | None = Field(default=None, ge=0)
    overshoot: float = Field(default=0.02, ge=0)
    keep: int = Field(default=1, ge=0)
    search: Literal["float32", "bfloat16"] = "float32"

    @field_validator("candidates")
    @classmethod
    def _another_class(cls, value: int | None) -> int | None:
        if value == 1:
            raise ValueError("the predicted class is one of the candidates: give 2 or more, or 0 for all")
        return value

    @property
    def threat(self) -> Threat:
        """Of the norm chosen; minimal, white box."""
        return Threat(norm=self.norm, kind="minimal")

    def columns(self) -> tuple[Column, ...]:
        """Mean of ||r|| / ||x|| over the successes, l2 and linf; of the paper's variant unclipped and clipped."""
        return relative_columns(self.variant == "paper", self.threat.norm)

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
        """See :meth:`Attack.run`; deterministic, and the batch size does not matter.

        ``params``: ``relative_l2`` and ``relative_linf`` of what is returned; of the paper's variant also
        ``relative_*_unclipped`` and ``fooled_unclipped`` (0 or 1) of what was reached without a range.

        Raises:
            AttackError: the model has fewer than two logits.
        """
        from benchmark.attacks.core.net import Placement
        from benchmark.attacks.deepfool.search import STABLE, search

        paper = self.variant == "paper"
        find = partial(
            search,
            model,
            steps=self.steps,
            candidates=self.candidates if self.candidates is not None else 0 if paper else FOOLBOX_CANDIDATES,
            overshoot=self.overshoot,
            keep=self.keep,
            norm=self.norm,
            placement=Placement.of(inputs.device, self.search),
        )
        result = find(inputs, labels, clip=not paper, stable=0.0 if paper else STABLE)
        outputs, params = result.reached, {}
        if paper:
            fooled = result.changed.cpu().numpy().astype(np.float64)
            params = relative_norms(inputs, result.reached, "_unclipped") | {"fooled_unclipped": fooled}
            left = ((outputs < 0) | (outputs > 1)).flatten(1).any(1)
            if bool(left.any()):
                inside = find(inputs[left], labels[left], clip=True, stable=STABLE)
                outputs = outputs.index_put((left,), inside.reached)
                for calls, more in ((result.forwards, inside.forwards), (result.backwards, inside.backwards)):
                    calls[left.cpu().numpy()] += more
        return Perturbed(outputs, relative_norms(inputs, outputs) | params, result.forwards, result.backwards)
