"""The bench on which metrics are measured: models of a setting in two halves, explainers and controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data.base import Dataset, Grid, datasets, open_dataset
from benchmark.errors import NotApplicableError
from benchmark.explainers.base import explainers
from benchmark.meta.settings import CONTROLS, SETTINGS, SMALL, Setting
from benchmark.metrics.base import Explained, Metric
from benchmark.seeds import Draws, derive
from benchmark.spec.suite import DatasetSpec

if TYPE_CHECKING:
    import torch

    from benchmark.explainers.base import Explainer
    from benchmark.models.wrap import Model

__all__ = ["CONTROLS", "HALVES", "REAL", "Bench", "benches", "distinct", "method"]

REAL, HALVES = SMALL, SETTINGS["digits"].halves  # of the 8x8 sets, whose verdicts reports show
ALIKE = 0.99
RIGHT_AT_ONCE = 300  # samples of a forward that looks for right ones


@dataclass
class Bench:
    """One model with the samples that it classifies right, in one seed.

    Attributes:
        name: the entry.
        seed: draws the samples and every random number.
        n: samples at most.
        setting: data, models and explainers.
        path: where the setting's data lie, where they are not generated.
    """

    name: str
    seed: int
    n: int = 32
    setting: Setting = SETTINGS["digits"]
    path: Path | None = None
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
            EntryError: the model is right on fewer of the samples than the setting asks for.
        """
        import torch

        from benchmark.errors import EntryError

        dataset, split, grid = self._data()
        index = dataset.index(split)
        order = np.random.default_rng(derive("bench", self.seed)).permutation(len(index.ids))
        drawn = order[: max(4 * self.n, self.setting.drawn)]
        batch = dataset.load(split, [index.ids[i] for i in drawn], grid, masks=True)
        inputs, labels = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
        with torch.no_grad():
            right = torch.cat([self.model(part) for part in torch.split(inputs, RIGHT_AT_ONCE)]).argmax(1) == labels
        if right.float().mean() < self.setting.min_accuracy:
            raise EntryError(
                f"entry {self.name!r} is right on {right.float().mean():.0%} of its samples; an explanation of it has"
                f" nothing true to show (expected {self.setting.min_accuracy:.0%})"
            )
        at = torch.nonzero(right)[: self.n, 0]
        masks = None if batch.masks is None else torch.as_tensor(batch.masks)[at]
        return inputs[at], labels[at], masks

    def _data(self) -> tuple[Dataset, str, Grid]:
        from benchmark.models.entries import load_entry

        if self.setting.dataset is None:
            recipe = load_entry(self.name).spec.recipe
            assert recipe is not None
            return datasets.make(recipe.data.use, recipe.data.params), "test", Grid()
        spec = DatasetSpec(**self.setting.dataset)
        return open_dataset(spec.use, spec.params, path=self.path), spec.split, Grid.of(spec)

    def draws(self, label: str) -> Draws:
        """Random numbers a sample, of one purpose."""
        return Draws([derive(self.seed, label, i) for i in range(len(self.samples[0]))])

    def explain(self, name: str, model: Model | None = None) -> torch.Tensor:
        """Attributions of the clean samples for their (right) class; those of the model itself are kept."""
        inputs, labels, _ = self.samples
        if model is not None:
            return method(name, self.setting).explain(model, inputs, labels, generator=self.draws(name))
        if name not in self._attributions:
            self._attributions[name] = method(name, self.setting).explain(
                self.model, inputs, labels, generator=self.draws(name)
            )
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
            explainer=method(name, self.setting),
            generator=self.draws(f"{metric.name}:{name}:{label}"),
            shared=[derive(self.seed, "shared", i) for i in range(len(labels))],
        )
        scores = metric.score(explained)
        values: Any = scores["value"] if isinstance(scores, Mapping) else scores
        return np.asarray(values, dtype=np.float64)


def distinct(bench: Bench) -> list[str]:
    """The real explainers without those that are one method with an earlier one here (mean |rho| above 0.99)."""
    from benchmark.metrics.functional import spearman

    names: list[str] = []
    for name in bench.setting.real:
        try:
            own = bench.explain(name)
        except NotApplicableError:
            continue
        if all(float(spearman(own, bench.explain(other)).nanmean().abs()) <= ALIKE for other in names):
            names.append(name)
    return names


def method(name: str, of: Setting) -> Explainer:
    """An explainer of the setting."""
    return explainers.make(name, of.real.get(name, {}))


def benches(n: int, of: Setting = SETTINGS["digits"], path: Path | None = None) -> Iterator[tuple[str, Bench]]:
    """(half, bench) of all models and seeds."""
    for half, models in of.halves.items():
        for name, seeds in models.items():
            for seed in seeds:
                yield half, Bench(name, seed, n, of, path)
