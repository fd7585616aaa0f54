"""The bench on which metrics are measured: 8x8 sets, models in two halves, explainers and controls.

Verdicts are set on the first half (models and seeds) and checked on the second, which they have not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data.base import Grid, datasets
from benchmark.explainers.base import explainers
from benchmark.metrics.base import Explained, Metric
from benchmark.seeds import Draws, derive

if TYPE_CHECKING:
    import torch

    from benchmark.explainers.base import Explainer
    from benchmark.models.wrap import Model

REAL: dict[str, dict[str, Any]] = {
    "saliency": {},
    "input-x-gradient": {},
    "integrated-gradients": {},
    "smoothgrad": {},
    "lrp-epsilon": {"epsilon": 0.25},
    "occlusion": {},
}
CONTROLS = ("random", "sobel", "constant")
HALVES: dict[str, dict[str, tuple[int, ...]]] = {
    "set": {
        "digits_mlp": (0, 1),
        "digits_cnn_adv": (0, 1),
        "tris_linear_mlp": (0, 1),
        "tris_multiplicative_cnn": (0, 1),
    },
    "check": {
        "digits_cnn": (2, 3),
        "digits_relu24": (2, 3),
        "tris_linear_cnn": (2, 3),
        "tris_multiplicative_mlp": (2, 3),
    },
}
ALIKE = 0.99
LEAST_SAMPLES = 300  # samples at least on which a model's accuracy is judged
MIN_ACCURACY = 0.8  # below it an explanation has nothing true to show


@dataclass
class Bench:
    """One model with the samples that it classifies right, in one seed.

    Attributes:
        name: the entry.
        seed: draws the samples and every random number.
        n: samples at most.
    """

    name: str
    seed: int
    n: int = 32
    _attributions: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def model(self) -> Model:
        from benchmark.models.build import build_model
        from benchmark.models.entries import load_entry

        return build_model(load_entry(self.name), "cpu")

    @cached_property
    def samples(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Inputs, labels and masks (where the set has them) of right samples.

        Raises:
            EntryError: the model is right on fewer than 80 % of the samples.
        """
        import torch

        from benchmark.errors import EntryError
        from benchmark.models.entries import load_entry

        recipe = load_entry(self.name).spec.recipe
        assert recipe is not None
        dataset = datasets.make(recipe.data.use, recipe.data.params)
        index = dataset.index("test")
        order = np.random.default_rng(derive("bench", self.seed)).permutation(len(index.ids))
        drawn = order[: max(4 * self.n, LEAST_SAMPLES)]
        batch = dataset.load("test", [index.ids[i] for i in drawn], Grid(), masks=True)
        inputs, labels = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
        with torch.no_grad():
            right = self.model(inputs).argmax(1) == labels
        if right.float().mean() < MIN_ACCURACY:
            raise EntryError(
                f"entry {self.name!r} is right on {right.float().mean():.0%} of its samples; an explanation of it has"
                f" nothing true to show (expected {MIN_ACCURACY:.0%})"
            )
        at = torch.nonzero(right)[: self.n, 0]
        masks = None if batch.masks is None else torch.as_tensor(batch.masks)[at]
        return inputs[at], labels[at], masks

    def draws(self, label: str) -> Draws:
        """Random numbers a sample, of one purpose."""
        return Draws([derive(self.seed, label, i) for i in range(len(self.samples[0]))])

    def explain(self, name: str, model: Model | None = None) -> torch.Tensor:
        """Attributions of the clean samples for their (right) class; those of the model itself are kept."""
        inputs, labels, _ = self.samples
        if model is not None:
            return method(name).explain(model, inputs, labels, generator=self.draws(name))
        if name not in self._attributions:
            self._attributions[name] = method(name).explain(self.model, inputs, labels, generator=self.draws(name))
        attributions: torch.Tensor = self._attributions[name]
        return attributions

    def score(
        self,
        metric: Metric,
        name: str,
        *,
        model: Model | None = None,
        inputs: torch.Tensor | None = None,
        attributions: torch.Tensor | None = None,
        label: str = "",
    ) -> NDArray[np.float64]:
        """(N,) scores of an explainer; with ``model``, ``inputs`` or ``attributions`` in place of the bench's own."""
        clean, labels, masks = self.samples
        explained = Explained(
            model=model or self.model,
            inputs=clean if inputs is None else inputs,
            labels=labels,
            targets=labels,
            attributions=self.explain(name) if attributions is None else attributions,
            masks=masks,
            explainer=method(name),
            generator=self.draws(f"{metric.name}:{name}:{label}"),
        )
        scores = metric.score(explained)
        values: Any = scores["value"] if isinstance(scores, Mapping) else scores
        return np.asarray(values, dtype=np.float64)


def distinct(bench: Bench) -> list[str]:
    """The real explainers without those that are one method with an earlier one here (mean |rho| above 0.99)."""
    from benchmark.metrics.functional import spearman

    names: list[str] = []
    for name in REAL:
        own = bench.explain(name)
        if all(float(spearman(own, bench.explain(other)).nanmean().abs()) <= ALIKE for other in names):
            names.append(name)
    return names


def method(name: str) -> Explainer:
    """An explainer of the bench."""
    return explainers.make(name, REAL.get(name, {}))


def benches(n: int) -> Iterator[tuple[str, Bench]]:
    """(half, bench) of all models and seeds."""
    for half, models in HALVES.items():
        for name, seeds in models.items():
            for seed in seeds:
                yield half, Bench(name, seed, n)
