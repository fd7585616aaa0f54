"""What attacks that minimise a norm share: they start from the samples classified right, and the smallest is kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from benchmark.attacks.base import Attack, Norm, Perturbed, Threat

if TYPE_CHECKING:
    import torch

    from benchmark.attacks.core.search import Search
    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


class MinimalNorm(Attack):
    """Deterministic; of each sample the smallest misclassified input seen is returned, the clean one without any.

    Inputs may have any shape (N, ...) with values in [0, 1]; in float64 results do not depend on the batch.
    """

    cost: ClassVar[str] = "1 forward and 1 backward a step"

    norm: str

    @property
    def threat(self) -> Threat:
        """Of the norm chosen; minimal, white box."""
        norm: Norm = self.norm  # type: ignore[assignment]  # each class narrows the field
        return Threat(norm=norm, kind="minimal")

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
        """See :meth:`Attack.run`; a sample that is wrong already is returned as it is.

        Raises:
            AttackError: the model has fewer than two logits.
        """
        from benchmark.attacks.core.search import Search

        search = Search.of(model, inputs, labels)
        if len(search.left()):
            self.minimise(search)
        return search.perturbed()

    def fields(self) -> dict[str, Any]:
        """Its parameters, defaults included: what its algorithm takes as keywords."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    @abstractmethod
    def minimise(self, search: Search) -> None:
        """Look for small perturbations of the samples that are left (there are some), and keep them in ``search``."""
