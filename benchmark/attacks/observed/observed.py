"""The best observed point of another attack: the measure of AttackBench (Cinà et al. 2024, arXiv:2404.19460)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.errors import SpecError
from benchmark.reported import Column, Extras, ProbeResults

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

START = {"linf": 1 / 255, "l2": 1.0, "l1": 10.0, "l0": 10.0}  # AttackBench's first budgets of fixed-budget attacks


@attacks.register("best-observed")
class BestObserved(Attack):
    """Another attack on a model that keeps each sample's nearest misclassified input of all that were asked.

    A query is one sample's forward or backward. A sample that has spent its queries is no longer looked at (its
    logits and gradients are zero), and the attack ends when all have. What is returned is the misclassified input of
    the smallest norm in the range [0, 1] that the attack asked about, whatever it would have returned itself; the
    clean input where there was none. The verifier judges it as it does any other.

    An attack of a fixed budget becomes a search of the smallest: each sample's budget doubles from ``start`` until it
    is broken, and is then bisected, all within the same queries; samples of one budget run together.

    Fields:
        attack: name of the attack, such as ``"foolbox:DDNAttack"``.
        parameters: its parameters. Its steps are to be chosen for the budget of queries: half of it, where a step is
            a forward and a backward.
        norm: that the norms are measured in; an attack that offers several runs in this one.
        queries: forwards plus backwards a sample.
        start: of a fixed-budget attack the first budget, in the norm's units; default: AttackBench's (linf 1/255, l2
            1, l1 10).
        rounds: most budgets that are tried.
    """

    source: ClassVar[str] = "AttackBench (arXiv:2404.19460)"
    cost: ClassVar[str] = "at most `queries` forwards and backwards together"
    random: ClassVar[bool] = True
    tabled: ClassVar[bool] = True

    attack: str = "deepfool"
    parameters: dict[str, Any] = Field(default_factory=dict)
    norm: Literal["linf", "l2", "l1", "l0"] = "l2"
    queries: int = Field(default=2000, ge=1)
    start: float | None = Field(default=None, gt=0)
    rounds: int = Field(default=20, ge=1)

    @model_validator(mode="after")
    def _searchable(self) -> Self:
        other = self.other
        if other.fits or other.generates or other.reads or not other.breaks or isinstance(other, BestObserved):
            raise SpecError(f"attack {self.name!r} cannot observe {self.attack!r}: it is no search on one input")
        if other.threat.norm not in (self.norm, "none"):
            raise SpecError(
                f"attack {self.name!r} measures {self.norm}, {self.attack!r} is an {other.threat.norm} attack:"
                " give both the same norm"
            )
        if other.threat.kind == "none" or other.threat.norm == "none":
            raise SpecError(f"attack {self.name!r}: {self.attack!r} has neither a budget nor a norm to make small")
        return self

    @cached_property
    def other(self) -> Attack:
        """The attack that is observed; it runs in ``norm`` where it has the choice.

        Raises:
            UnknownNameError, SpecError: no such attack, or a parameter that it does not take.
        """
        cls, _ = attacks.lookup(self.attack)
        chosen = {"norm": self.norm} if "norm" in cls.model_fields else {}
        return attacks.make(self.attack, {**chosen, **self.parameters}, f"attack {self.use!r}, parameters")

    @property
    def threat(self) -> Threat:
        """Minimal, of the norm chosen; what the adversary knows is the other attack's."""
        return Threat(norm=self.norm, kind="minimal", knowledge=self.other.threat.knowledge)

    def params(self) -> dict[str, Any]:
        """See :meth:`Plugin.params`; the other attack's are those that differ from its defaults."""
        own, theirs = super().params(), self.other.params()
        return {**own, "attack": self.attack, **({"parameters": theirs} if theirs else {})}

    def implementation(self) -> str:
        """See :meth:`Plugin.implementation`; with the other attack's."""
        return f"{self.version}+{self.other.implementation()}"

    def fixed_batch_size(self) -> int | None:
        """See :meth:`Attack.fixed_batch_size`: the other attack's."""
        return self.other.fixed_batch_size()

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """The other attack's library is not installed, or it does not apply."""
        lacking = self.other.lacks()
        return f"{self.attack} {lacking}" if lacking else self.other.skip(model, entry, dataset)

    def columns(self) -> tuple[Column, ...]:
        """Median queries, and median queries until the best point was found."""
        return (
            Column("median_queries", "median", partial(recorded, column="param_queries"), higher_is_better=False),
            Column(
                "median_found_at",
                "median",
                partial(recorded, column="param_found_at"),
                higher_is_better=False,
                of_successes=True,
            ),
        )

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:
        """Local and global optimality beside one another, and curves of each norm."""
        from benchmark.attacks.observed.tables import report

        return report(probes)

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

        ``params``: ``queries`` that were made, and ``found_at``, how many of them when the best point was asked about
        (NaN where there is none).
        """
        from benchmark.attacks.observed.bisection import search
        from benchmark.attacks.observed.model import ObservedModel, Spent

        other, observed = self.other, ObservedModel(model, inputs, labels, norm=self.norm, queries=self.queries)

        def attack(at: NDArray[Any], budget: Any) -> None:
            where = at.tolist()
            own = (inputs[where].clone(), labels[where].clone())
            with suppress(Spent):
                other.run(observed, *own, eps=budget, generator=generator.subset(where))

        search(
            observed,
            attack,
            start=self.start or START[self.norm],
            rounds=self.rounds,
            fixed=other.threat.kind == "fixed",
            apart=other.takes_budgets(),
        )
        return Perturbed(
            observed.best(),
            {"queries": observed.spent.astype(float), "found_at": observed.found_at},
            observed.forwards,
            observed.backwards,
        )


def recorded(rows: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """(N,) float64; NaN where no row has the column: nothing was found, or every sample was wrong already."""
    known = rows[column] if column in rows else pd.Series(np.nan, index=rows.index)
    return np.asarray(known, dtype=np.float64)
