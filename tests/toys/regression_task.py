"""A toy regression task and its dataset, for ``--include``: the seams name neither logits nor classes.

Images are 6x6 with values in [0.2, 0.8]; the label is their mean. A prediction is right within ``tolerance``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from benchmark.data.base import Dataset, Index, datasets
from benchmark.errors import DataError, EntryError
from benchmark.registry import digest
from benchmark.reported import Column
from benchmark.tasks.base import Task, tasks


@datasets.register("toy-brightness")
class ToyBrightness(Dataset):
    """``samples`` random 6x6 grey images a split; label: mean brightness."""

    samples: int = 24

    def _images(self, split: str) -> np.ndarray:
        if split not in ("train", "test"):
            raise DataError(f"dataset {self.name!r} has the splits 'train' and 'test', not {split!r}")
        rng = np.random.default_rng(["train", "test"].index(split))
        level = rng.uniform(0.3, 0.7, (self.samples, 1, 1))
        return (level + rng.uniform(-0.1, 0.1, (self.samples, 6, 6))).astype(np.float32)

    def fingerprint(self, split: str) -> str:
        return f"{split}:{self.samples}"

    def build_index(self, split: str) -> Index:
        images = self._images(split)
        return Index(
            ids=tuple(f"{split}-{i:04d}" for i in range(self.samples)),
            labels=images.reshape(self.samples, -1).mean(1).astype(np.float64),
            classes=(),
            digest=digest([images.tolist()]),
        )

    def read(self, split: str, ids: Any) -> list[np.ndarray]:
        images = self._images(split)
        return [images[i] for i in self.index(split).positions(ids)]


@tasks.register("toy-regression")
class ToyRegression(Task):
    """One number an image; broken when the prediction leaves the label by more than ``tolerance``."""

    needs_classes: ClassVar[bool] = False
    robust_name: ClassVar[str] = "robust_within"

    tolerance: float = 0.05

    def clean(self, model: Any, batch: Any, spec: Any = None) -> dict[str, np.ndarray]:
        import torch

        with torch.no_grad():
            output = model(torch.as_tensor(batch.inputs, device=model.device))
        self.check_output(output, spec, len(batch))
        pred = output[:, 0].double().cpu().numpy()
        return {"label": batch.labels, "pred_clean": pred, "correct": np.abs(pred - batch.labels) <= self.tolerance}

    def targets(self, clean_rows: Any) -> np.ndarray:
        return np.zeros(len(clean_rows["pred_clean"]), dtype=np.int64)

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
        import torch

        from benchmark.attacks.verify import judge

        status, norms = judge(attack, inputs, perturbed, eps)
        with torch.no_grad():
            pred = model(perturbed.inputs)[:, 0].double().cpu().numpy()
        margin = self.tolerance - np.abs(pred - labels.cpu().numpy())
        return {
            "label": labels.cpu().numpy(),
            "pred_clean": np.asarray(clean["pred_clean"]),
            "pred": pred,
            "status": status,
            "success": np.asarray(clean["correct"], dtype=bool) & (status == "ok") & (margin < 0),
            **{f"norm_{name}": values for name, values in norms.items()},
            "margin": margin,
        }

    def columns(self, classes: Any) -> tuple[Column, ...]:
        return (
            Column("clean_within", "rate", lambda rows: rows["correct"].to_numpy(dtype=np.float64)),
            Column(
                "mae",
                "mean",
                lambda rows: np.abs(rows["pred_clean"].to_numpy(float) - rows["label"].to_numpy(float)),
                higher_is_better=False,
            ),
        )

    def check_output(self, output: Any, spec: Any, n: int) -> None:
        if tuple(output.shape) != (n, 1):
            raise EntryError(f"the network returned shape {tuple(output.shape)}, expected ({n}, 1)")
