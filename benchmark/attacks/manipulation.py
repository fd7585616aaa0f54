"""The attack on the explanation: the attribution moves, the prediction stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from benchmark.accounts import Chapter
from benchmark.attacks._manipulation_words import MANIPULATION
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.reported import Column, Values

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


@attacks.register("explanation-manipulation")
class ExplanationManipulation(Attack):
    """Projected gradient steps that move an explanation while class and probability stay.

    Objectives, over maps of the clean prediction's logit, all with a second term gamma ||g(x') - g(x)||^2 that holds
    the softmax g where it is (Dombrowski et al. 2019, eq. 3):

    - ``"ranks"`` (own): the correlation of the map with the ranks of the clean one. It is what Spearman's coefficient
      becomes when one side keeps its values, and so can be differentiated; at the clean input it is no optimum;
    - ``"target"`` (Dombrowski et al. 2019, eq. 3): ||h(x') - h_t||^2, with h the signed map divided by its l2 norm and
      h_t the map aimed at;
    - ``"topk"`` (Ghorbani et al. 2019, algorithm 1): the share of the summed magnitude that stays in the k elements
      that were the largest in the clean map, k = ceil(share * elements).

    A ReLU network's gradient is piecewise constant, so its second derivative says nothing: the gradient of the
    objective is taken on a copy with softplus in place of each ``nn.ReLU``, beta rising from ``beta[0]`` to ``beta[1]``
    by powers (Dombrowski et al.'s code; theirs is 10 to 100). Every iterate is judged on the network itself: a step
    after which the class is another, or its probability has moved by more than ``keep``, is taken back and the sample's
    next step is half as long. Of the admissible iterates the one with the best objective, measured on the network
    itself, is returned; the clean input, where none is better.

    Attributes:
        method: the explanation that is moved; ``"integrated-gradients"`` starts at black.
        objective: see above.
        target: the map that ``"target"`` aims at: ``"turned"``, the sample's own clean map turned by 180 degrees (the
            same values elsewhere; another image's map would make a result depend on what else is in the batch), or
            ``"frame"``, all relevance on the outermost eighth of the image.
        share: the elements whose relevance ``"topk"`` drives out.
        norm: of the budget.
        steps: gradient steps.
        step: length of a step as a share of the budget (linf: of every element, by sign; l2: along the gradient).
        beta: softplus' beta at the first and the last step.
        gamma: weight of the second term.
        keep: how far the probability of the class may move.
        points: of the quadrature of ``"integrated-gradients"``.
    """

    source: ClassVar[str] = "Dombrowski et al. 2019; Ghorbani et al. 2019"
    cost: ClassVar[str] = "2 forwards and 3 backwards a step; times `points` for integrated-gradients"
    breaks: ClassVar[bool] = False
    says: ClassVar[Chapter] = MANIPULATION

    method: Literal["saliency", "input-x-gradient", "integrated-gradients"] = "saliency"
    objective: Literal["ranks", "target", "topk"] = "ranks"
    target: Literal["turned", "frame"] = "turned"
    share: float = Field(default=0.1, gt=0, lt=1)
    norm: Literal["linf", "l2"] = "linf"
    steps: int = Field(default=100, ge=1)
    step: float = Field(default=0.1, gt=0, le=2)
    beta: tuple[float, float] = (5.0, 50.0)
    gamma: float = Field(default=1.0, ge=0)
    keep: float = Field(default=0.05, ge=0, le=1)
    points: int = Field(default=8, ge=2)

    def reach(self, eps: float) -> float | None:
        """Steps times their largest length."""
        return self.steps * self.step

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not 0 < self.beta[0] <= self.beta[1]:
            raise ValueError(f"beta = {list(self.beta)}: expected two positive numbers, the first not above the second")
        return self

    @property
    def threat(self) -> Threat:
        """Fixed budget; in a domain of its own, since the prediction is to stay: no part of any robust accuracy."""
        return Threat(norm=self.norm, kind="fixed", domain="explanation")

    def columns(self) -> tuple[Column, ...]:
        """``manipulated``: attacked samples whose verified input keeps the class and has a better objective; and what
        the objective was before and after (lower is better for the attacker)."""
        return (
            Column("manipulated", "rate", _manipulated, higher_is_better=False),
            Column("objective_before", "mean", Values("param_before"), shown=False),
            Column("objective_after", "mean", Values("param_after"), shown=False),
            Column("probability_change", "mean", Values("param_change"), shown=False),
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
        """See :meth:`Attack.run`.

        Raises:
            AttackError: labels that are no classes, a ReLU that is no module, or an objective without a gradient.
        """
        from benchmark.attacks._manipulation import manipulate

        return manipulate(self, model, inputs, labels, self.budget(eps))


def _manipulated(rows: pd.DataFrame) -> NDArray[np.float64]:
    """1 where the explanation moved under a kept class, NaN where a sample was not attacked."""
    if "param_before" not in rows:  # nothing was right before the attack
        return np.full(len(rows), np.nan)
    attacked = rows["param_before"].notna().to_numpy()
    kept = (rows["pred"] == rows["pred_clean"]).to_numpy()
    better = (rows["param_after"] < rows["param_before"]).to_numpy()
    return np.where(attacked, (kept & better).astype(float), np.nan)
