"""Carlini and Wagner 2017 (arXiv:1608.04644), the l2 attack of section VI-A."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from benchmark.attacks.base import attacks
from benchmark.attacks.minimal.base import MinimalNorm

if TYPE_CHECKING:
    from benchmark.attacks.core.search import Search


@attacks.register("carlini-wagner")
class CarliniWagner(MinimalNorm):
    """Adam in tanh space on the squared norm plus c times the label's margin; c is found by bisection.

    Fields:
        norm: l2.
        steps: most steps for one c.
        rounds: values of c tried.
        step_size: of Adam.
        constant: c of the first round; ten times as much in the next, until one breaks the sample.
        abort: a sample ends its round where its loss fell by less than 0.01 % over a tenth of the steps.
    """

    source: ClassVar[str] = "Carlini and Wagner (arXiv:1608.04644, sec. VI-A)"
    cost: ClassVar[str] = "1 forward and 1 backward a step, `rounds` times `steps` at most"

    norm: Literal["l2"] = "l2"
    steps: int = Field(default=10000, ge=1)
    rounds: int = Field(default=9, ge=1)
    step_size: float = Field(default=0.01, gt=0)
    constant: float = Field(default=1e-3, gt=0)
    abort: bool = True

    def minimise(self, search: Search) -> None:
        """Rounds of Adam."""
        from benchmark.attacks.minimal.algorithms.carlini_wagner import carlini_wagner

        carlini_wagner(
            search,
            self.steps,
            rounds=self.rounds,
            step_size=self.step_size,
            constant=self.constant,
            abort=self.abort,
        )
