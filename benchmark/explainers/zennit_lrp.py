"""Layer-wise relevance propagation through zennit's composites and canonizers.

Relevance starts at the target's logit and ends at the **normalised** input, where it equals the bare network's: the
entry's mean and std pass it through unchanged, its resize, luminance and repeat conserve its sum. The box rule's bounds
are 0 and 1 normalised. Residual sums are handled in torchvision's ResNet blocks; a network with a sum written in its
own ``forward``, or anything else that no rule covers, is refused with that layer's name.

The composites of zennit that differ in their rules alone are rows of :data:`COMPOSITES`; each is a plugin.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field, create_model

from benchmark.explainers.base import Explainer, explainers
from benchmark.registry import canonical

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


class Lrp(Explainer):
    """LRP, which looks once at each network whether its rules fit (``benchmark/explainers/_conserved.py``)."""

    library: ClassVar[str] = "zennit"
    unit: ClassVar[bool] = False
    own_heads: ClassVar[bool] = False

    @abstractmethod
    def composite(self, model: Model, inputs: torch.Tensor) -> Any:
        """zennit's composite for this model; ``inputs`` give the grid."""

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where the rules do not fit the network, with the first layer where they do not."""
        if model is None:
            return None
        from benchmark.explainers import _lrp
        from benchmark.explainers._captum import random_input

        probe = random_input(model, entry)
        return None if probe is None else _lrp.checked(model, self._rules(), probe).reason

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits (shares of 1 where relevance starts at 1); sums to the start less the biases' share.

        Raises:
            RefusedError: the rules do not fit the network.
        """
        from benchmark.explainers import _lrp

        return _lrp.relevance(model, inputs, targets, self._rules())

    def _rules(self) -> Any:
        from benchmark.explainers import _lrp

        return _lrp.Rules(self.name, canonical(self.identity()), self.composite, self.unit, self.own_heads)


FLAT_REASON = (
    "the flat rule in a fully connected first layer gives every input the same relevance;"
    " use lrp-epsilon or lrp-epsilon-gamma-box for networks without convolutions"
)


class Composite(NamedTuple):
    """A row of the table: which rules go where.

    Attributes:
        name: as suites name it.
        zennit: the composite of ``zennit.composites``; zennit has none for ``"Epsilon"`` alone.
        rules: where which rule is, the first line of the plugin's words.
        paper: where the rules come from.
        more: what else is to be said.
        flat: its first layer's rule is flat, so that this layer needs to be a convolution.
        gamma: it has that parameter.
    """

    name: str
    zennit: str
    rules: str
    paper: str
    more: str = ""
    flat: bool = False
    gamma: bool = False

    @property
    def words(self) -> str:
        """The plugin's docstring."""
        parameters = ["    epsilon: the stabiliser of fully connected layers."]
        if self.zennit == "Epsilon":
            parameters = ["    epsilon: the stabiliser, in units of the activations."]
        if self.gamma:
            parameters += ["    gamma: weight of positive contributions in convolutions."]
        return "\n\n".join(part for part in (self.rules, self.more, "\n".join(["Args:", *parameters])) if part)


COMPOSITES = (
    Composite(
        "lrp-epsilon",
        "Epsilon",
        "Epsilon rule in every layer (Bach et al. 2015, eq. 58).",
        "Bach et al. 2015",
        "With a small epsilon, ReLUs and an entry without mean and std this is input-x-gradient: listing both lists one"
        " thing\ntwice. A larger epsilon absorbs weak contributions.",
    ),
    Composite(
        "lrp-epsilon-plus",
        "EpsilonPlus",
        "z+ rule in convolutions, epsilon in fully connected layers (Montavon et al. 2019, section 10.3).",
        "Montavon et al. 2019",
        "Without convolutions it is lrp-epsilon.",
    ),
    Composite(
        "lrp-epsilon-plus-flat",
        "EpsilonPlusFlat",
        "Flat rule in the first layer, z+ in convolutions, epsilon in fully connected layers (Montavon et al. 2019).",
        "Montavon et al. 2019",
        flat=True,
    ),
    Composite(
        "lrp-epsilon-alpha2-beta1",
        "EpsilonAlpha2Beta1",
        "Alpha-beta rule (2, 1) in convolutions, epsilon in fully connected layers (Bach et al. 2015, eq. 60).",
        "Bach et al. 2015",
    ),
    Composite(
        "lrp-epsilon-alpha2-beta1-flat",
        "EpsilonAlpha2Beta1Flat",
        "Flat rule in the first layer, alpha-beta (2, 1) in convolutions, epsilon in fully connected layers.",
        "Bach et al. 2015",
        flat=True,
    ),
    Composite(
        "lrp-epsilon-gamma-box",
        "EpsilonGammaBox",
        "Box rule in the first layer, gamma in convolutions, epsilon in fully connected layers (Montavon et al. 2019).",
        "Montavon et al. 2019",
        "In a network that begins with a fully connected layer the box rule goes there (zennit's own has none then).",
        gamma=True,
    ),
)


class LrpComposite(Lrp):
    """LRP by a row of :data:`COMPOSITES`; the plugins are made from it below, one a row."""

    row: ClassVar[Composite]

    epsilon: float = Field(default=1e-6, gt=0)

    def composite(self, model: Model, inputs: torch.Tensor) -> Any:
        """zennit's composite, with the parameters given."""
        from benchmark.explainers import _lrp

        return _lrp.composite(self.row.zennit, model, inputs, **self.model_dump())

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where a flat rule would meet a fully connected first layer, or the rules do not fit otherwise."""
        return self._flat(model) or super().skip(model, entry, dataset)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits; sums to the target's less the biases' share.

        Raises:
            RefusedError: a flat rule would meet a fully connected first layer, or the rules do not fit otherwise.
        """
        from benchmark.errors import RefusedError

        if reason := self._flat(model):
            raise RefusedError(f"{self.name}: {reason}")
        return super().explain(model, inputs, targets, generator=generator)

    def _flat(self, model: Any) -> str | None:
        if model is None or not self.row.flat:
            return None
        from torch import nn

        from benchmark.explainers import _lrp

        return FLAT_REASON if isinstance(_lrp.first_linear(model.core), nn.Linear) else None


def _plugin(row: Composite) -> type[LrpComposite]:
    """The plugin of a row, registered."""
    gamma: dict[str, Any] = {"gamma": (float, Field(default=0.25, ge=0))} if row.gamma else {}
    plugin = create_model(f"Lrp{row.zennit}", __base__=LrpComposite, __module__=__name__, __doc__=row.words, **gamma)
    plugin.row, plugin.source = row, f"{row.paper} (zennit{'' if row.zennit == 'Epsilon' else ' ' + row.zennit})"
    return explainers.register(row.name)(plugin)


for each in COMPOSITES:
    _plugin(each)
