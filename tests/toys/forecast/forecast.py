"""A toy regression for ``--include``: the next reading from the last twelve. Judged by numbers, no answer is right.

Readings are float32 (N, 12) of any size. An attack moves each reading by at most eps; what counts is how far the
forecast moves. A linear forecast w x + b moves by at most eps ||w||_1, which the worst attack reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.data.base import Dataset, Index, datasets
from benchmark.errors import DataError, EntryError
from benchmark.models.kinds import Networks
from benchmark.registry import digest
from benchmark.reported import Column, Values, Words
from benchmark.seeds import derive
from benchmark.spec.budget import Budget
from benchmark.tasks.base import Score, Task, tasks

READINGS = "readings"
WINDOW = 12


@datasets.register("toy-readings")
class ToyReadings(Dataset):
    """Waves of random phase and height with a little noise; the label is the next reading."""

    inputs: ClassVar[str] = READINGS
    source: ClassVar[str] = "generated"
    samples: int = 40

    def _series(self, split: str, i: int) -> np.ndarray:
        rng = np.random.default_rng(derive("toy-readings", split, i))
        wave = rng.uniform(-20, 20) + rng.uniform(2, 8) * np.sin(rng.uniform(0, 6) + np.arange(WINDOW + 1) / 2)
        return np.asarray(wave + rng.normal(0, 0.3, WINDOW + 1))

    def fingerprint(self, split: str) -> str:
        if split not in ("train", "test"):
            raise DataError(f"dataset {self.name!r} has the splits 'train' and 'test', not {split!r}")
        return f"{split}:{self.samples}"

    def build_index(self, split: str) -> Index:
        series = np.stack([self._series(split, i) for i in range(self.samples)])
        return Index(
            ids=tuple(f"{split}-{i:03d}" for i in range(self.samples)),
            labels=series[:, -1],
            classes=(),
            digest=digest(np.round(series, 6).tolist()),
        )

    def read(self, split: str, ids: Sequence[str]) -> list[np.ndarray]:
        places = self.index(split).positions(ids)
        return [self._series(split, i)[:WINDOW].astype(np.float32) for i in places]


class ReadingWords(Words):
    """How series of readings are spoken of."""

    @property
    def samples(self) -> str:
        return self.sample

    def size(self, norm: str, eps: Budget) -> tuple[str, tuple[str, ...]]:
        shown = f"{eps.value:g}"
        return f"no reading changed by more than {shown}", (shown,)


class Forecasters(Networks):
    """Called with float32 (N, 12), they return (N, 1)."""

    preprocessed: ClassVar[bool] = False

    def example(self, spec: Any, count: int) -> Any:
        import torch

        return torch.randn((count, WINDOW), generator=torch.Generator().manual_seed(0))

    def misshapen(self, spec: Any, got: tuple[int, ...], count: int) -> tuple[str, str] | None:
        return None if got == (count, 1) else (f"({count}, 1)", "return one number a series")


@tasks.register("toy-forecast")
class ToyForecast(Task):
    """How far the next reading is off, and how far the forecast can be moved."""

    needs_classes: ClassVar[bool] = False
    inputs: ClassVar[str] = READINGS
    verdicts: ClassVar[bool] = False
    headline: ClassVar[str] = "moved_worst"
    outputs: ClassVar[tuple[str, ...]] = ("number",)
    words: ClassVar[Words] = ReadingWords(sample="series", element="reading")

    @classmethod
    def networks(cls) -> Networks:
        return Forecasters()

    def valid(self, inputs: Any) -> np.ndarray:
        return np.ones(len(inputs), bool)

    def clean(self, model: Any, batch: Any, spec: Any = None) -> dict[str, np.ndarray]:
        import torch

        pred = self._forecast(model, torch.as_tensor(batch.inputs, device=model.device), spec)
        label = np.asarray(batch.labels, np.float64)
        error = np.abs(pred - label)
        return {"label": label, "pred_clean": pred, "correct": np.ones(len(pred), bool), "abs_err": error}

    def targets(self, clean_rows: Any) -> np.ndarray:
        return np.zeros(len(clean_rows["pred_clean"]), np.int64)

    def verify(
        self,
        model: Any,
        inputs: Any,
        labels: Any,
        perturbed: Any,
        attack: Any,
        *,
        eps: float | None,
        clean: Any,
        **_: Any,
    ) -> dict[str, np.ndarray]:
        status, norms = self.judged(attack, inputs, perturbed, eps)
        pred, label = self._forecast(model, perturbed.inputs), labels.double().cpu().numpy()
        before = np.asarray(clean["pred_clean"], np.float64)
        return {
            "label": label,
            "pred_clean": before,
            "pred": pred,
            "status": status,
            "success": np.zeros(len(pred), bool),
            **{f"norm_{name}": values for name, values in norms.items()},
            "moved": np.abs(pred - before),
            "abs_err_after": np.abs(pred - label),
        }

    def _forecast(self, model: Any, inputs: Any, spec: Any = None) -> np.ndarray:
        import torch

        with torch.no_grad():
            output = model(inputs)
        self.check_output(output, spec, len(inputs))
        found: np.ndarray = output[:, 0].double().cpu().numpy()
        return found

    def columns(self, classes: Any) -> tuple[Column, ...]:
        return (Column("abs_err", "mean", Values("abs_err"), higher_is_better=False),)

    def scores(self) -> tuple[Score, ...]:
        return (
            Score("moved_worst", "moved", within=True),
            Score("moved_random", "moved", of="control"),
            Score("abs_err_worst", "abs_err_after"),
        )

    def reference(self) -> tuple[str, str]:
        return "persistence", "abs_err"

    def check_output(self, output: Any, spec: Any, n: int) -> None:
        if tuple(output.shape) != (n, 1):
            raise EntryError(f"the network returned shape {tuple(output.shape)}, expected ({n}, 1)")


class Moves(Attack):
    """Moves each reading by at most eps."""

    accepts: ClassVar[tuple[str, ...]] = (READINGS,)
    knowledge: ClassVar[Any] = "white-box"

    @property
    def threat(self) -> Threat:
        return Threat(norm="linf", kind="fixed", knowledge=self.knowledge, domain=READINGS)


@attacks.register("toy-tilt")
class ToyTilt(Moves):
    """A step of eps along the sign of the forecast's gradient: the worst for a linear forecast."""

    cost: ClassVar[str] = "a forward, a backward"

    def run(self, model: Any, inputs: Any, labels: Any, *, eps: Any, generator: Any, fitted: Any = None) -> Perturbed:
        import torch

        x = inputs.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(x).sum(), x)
        return Perturbed(inputs + self.budget(eps) * gradient.sign())


@attacks.register("toy-jitter")
class ToyJitter(Moves):
    """A step of eps in random directions."""

    control: ClassVar[bool] = True
    random: ClassVar[bool] = True
    knowledge: ClassVar[Any] = "none"
    cost: ClassVar[str] = "none"

    def run(self, model: Any, inputs: Any, labels: Any, *, eps: Any, generator: Any, fitted: Any = None) -> Perturbed:
        signs = generator.integers(inputs.shape[1:], 0, 2).to(inputs) * 2 - 1
        return Perturbed(inputs + self.budget(eps) * signs)
