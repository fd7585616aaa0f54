"""Our own composition of the pieces of minimal-norm attacks that work best."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from benchmark.attacks.base import attacks
from benchmark.attacks.minimal.base import MinimalNorm

if TYPE_CHECKING:
    from benchmark.attacks.core.search import Search


@attacks.register("minimal-norm")
class Minimal(MinimalNorm):
    """Several short runs with different losses and towards different classes, then a long one from the smallest found.

    In linf, l2 and l1 the runs are steps on a sphere that follows the boundary, aware of the box; in l0 sigma-zero and
    PDPGD, after each swaps of the elements changed. All together make at most twice ``steps`` calls a sample; with
    fewer than 40 steps there is one run.

    Fields:
        norm: minimised.
        steps: of all runs together.
    """

    source: ClassVar[str] = "Assay; pieces of arXiv:2102.12827, 1811.09600, 2402.01879, 2106.01538"

    norm: Literal["l0", "l1", "l2", "linf"] = "l2"
    steps: int = Field(default=1000, ge=2)

    def minimise(self, search: Search) -> None:
        """Runs one after another."""
        from benchmark.attacks.minimal.algorithms.minimal import minimal, minimal_count

        if self.norm == "l0":
            minimal_count(search, self.steps)
        else:
            minimal(search, self.norm, self.steps)
