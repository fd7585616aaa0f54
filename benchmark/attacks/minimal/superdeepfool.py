"""SuperDeepFool: Abdollahpoorrostam, Abroshan, Moosavi-Dezfooli 2023 (arXiv:2303.12481)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from benchmark.attacks.base import attacks
from benchmark.attacks.minimal.base import MinimalNorm

if TYPE_CHECKING:
    from benchmark.attacks.core.search import Search


@attacks.register("superdeepfool")
class SuperDeepFool(MinimalNorm):
    """DeepFool to the boundary, then a projection of the clean input's way there on the boundary's normal, repeated.

    A sample is done when what is projected is misclassified, or a round makes the norm smaller by less than 0.1 %. The
    point kept is then brought to the boundary by bisection of the line to the clean input, as the authors do. This is
    SDF(inf, 1), the paper's choice.

    Fields:
        norm: l2.
        steps: most projections.
        deepfool_steps: most steps of DeepFool before each.
        candidates, keep, overshoot: of DeepFool (:class:`benchmark.attacks.deepfool.deepfool.DeepFool`).
        bisections: of the line at the end.
    """

    source: ClassVar[str] = "SuperDeepFool (arXiv:2303.12481, Alg. 2)"
    cost: ClassVar[str] = "DeepFool's, 1 forward and 1 backward a step, `bisections` forwards"

    norm: Literal["l2"] = "l2"
    steps: int = Field(default=100, ge=1)
    deepfool_steps: int = Field(default=100, ge=1)
    candidates: int = Field(default=10, ge=0)
    keep: int = Field(default=1, ge=0)
    overshoot: float = Field(default=0.02, ge=0)
    bisections: int = Field(default=10, ge=0)

    def minimise(self, search: Search) -> None:
        """Algorithm 2."""
        from benchmark.attacks.minimal.algorithms.superdeepfool import superdeepfool

        fields = self.fields()
        fields.pop("norm")  # there is one
        superdeepfool(search, **fields)
