"""Classification: image to logits. A sample is broken when its prediction leaves the true label."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.errors import EntryError, UnknownNameError
from benchmark.reported import Column, Words
from benchmark.seeds import derive, global_seed
from benchmark.sentences import ModelRecords, Sentence
from benchmark.spec.budget import Budget
from benchmark.tasks.base import Rows, Task, tasks
from benchmark.tasks.classification.words import IMAGES, flipped, found_and_false

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from benchmark.attacks.base import Attack, Perturbed
    from benchmark.data.base import Batch
    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws
    from benchmark.spec.entry import EntrySpec
    from benchmark.tasks.classification.networks import Classifiers


@tasks.register("classification")
class Classification(Task):
    """One label of K classes an image; the prediction is the argmax of the logits.

    Success of an attack: the clean prediction is right, the verified status is ok and the prediction on the perturbed
    input, computed again in float32 and eval mode, is another class. Where logits tie, the argmax decides (the lowest
    index): a perturbed input that ends exactly on the boundary counts only if another class comes first, so
    ``margin == 0`` may be either.

    Fields:
        per_class: precision and recall columns where there are at most this many classes.
        flips: class names whose errors are not like others (a disease): of every attack, how many samples it moves
            from and to each of them, counted apart.
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = "image to one of K classes"
    words: ClassVar[Words] = IMAGES

    @classmethod
    def networks(cls) -> Classifiers:
        """See :meth:`Task.networks`."""
        from benchmark.tasks.classification.networks import Classifiers

        return Classifiers()

    per_class: int = Field(default=10, ge=0)
    flips: tuple[str, ...] = ()

    def clean(self, model: Model, batch: Batch, spec: EntrySpec | None = None) -> dict[str, NDArray[Any]]:
        """See :meth:`Task.clean`; own columns: ``margin_clean`` (logits), ``confidence`` (softmax of the prediction).

        And ``check_*``, see :func:`benchmark.tasks.checks.checks`. Three forwards and one backward a sample; random
        numbers that the model draws are seeded by the sample ids.

        Raises:
            EntryError: also for labels outside [0, K).
        """
        import torch

        from benchmark.tasks.checks import checks

        inputs = torch.as_tensor(batch.inputs, device=model.device)
        with global_seed(derive("clean", *batch.ids)):
            logits = _logits(model, inputs)
            self._check_classes(logits, spec, batch)
            labels = np.asarray(batch.labels, dtype=np.int64)
            at = torch.as_tensor(labels, device=logits.device)
            chosen = np.array([derive("in another batch", name) % 2 == 0 for name in batch.ids], dtype=bool)
            flags = checks(model, inputs, logits, at, chosen)
        pred, margin = _predictions(logits, at)
        return {
            "label": labels,
            "pred_clean": pred,
            "correct": pred == labels,
            "margin_clean": margin,
            "confidence": logits.double().softmax(1).amax(1).cpu().numpy(),
            **flags,
        }

    def _check_classes(self, logits: torch.Tensor, spec: EntrySpec | None, batch: Batch) -> None:
        """Raise an EntryError for outputs of a wrong shape and labels outside [0, K)."""
        self.check_output(logits, spec, len(batch))
        outside = (batch.labels < 0) | (batch.labels >= logits.shape[1])
        if outside.any():
            first = int(outside.argmax())
            raise EntryError(
                f"sample {batch.ids[first]!r} has label {batch.labels[first]}, but the network gives"
                f" {logits.shape[1]} logits (classes 0 to {logits.shape[1] - 1});"
                " check `classes` in entry.toml and the suite's dataset"
            )

    def targets(self, clean_rows: Rows) -> NDArray[np.int64]:
        """(N,) the clean prediction."""
        return np.asarray(clean_rows["pred_clean"], dtype=np.int64)

    def verify(
        self,
        model: Model,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        perturbed: Perturbed,
        attack: Attack,
        *,
        eps: float | None,
        clean: Rows,
        generator: Draws | None = None,
    ) -> dict[str, NDArray[Any]]:
        """See :meth:`Task.verify`. A sample that was wrong before the attack is no success and has status ok.

        ``pred`` is -1, ``margin`` and ``confidence_perturbed`` (softmax of ``pred``) NaN where the input or the logits
        are not finite (status nan). ``success_8bit``:
        a success that is still another class after rounding to 8 bits, round(255 x) / 255, as an image file would hold
        it (foolbox#423); one more forward of each success.
        """
        from benchmark.models.frozen import frozen

        status, norms = self.judged(attack, inputs, perturbed, eps)
        with frozen(model):
            logits = _logits(model, perturbed.inputs)
        pred, margin = _predictions(logits, labels.long())
        lost = (status == "nan") | ~np.isfinite(logits.cpu().numpy()).all(1)
        pred, margin = np.where(lost, -1, pred), np.where(lost, np.nan, margin)
        sure = np.where(lost, np.nan, logits.double().softmax(1).amax(1).cpu().numpy())
        label = labels.cpu().numpy().astype(np.int64)
        correct, extra = np.asarray(clean["correct"], dtype=bool), {}
        if perturbed.reference is not None:  # what counts is the same view without the perturbation
            with frozen(model):
                correct = _predictions(_logits(model, perturbed.reference), labels.long())[0] == label
            extra["reference_correct"] = correct
        status = np.where(correct, np.where(lost, "nan", status), "ok")
        success = correct & (status == "ok") & (pred != label)
        return {
            "label": label,
            "pred_clean": np.asarray(clean["pred_clean"], dtype=np.int64),
            "pred": pred,
            "status": status,
            "success": success,
            "success_8bit": _survives_rounding(model, perturbed.inputs, label, success),
            **{f"norm_{name}": values for name, values in norms.items()},
            "margin": margin,
            "confidence_perturbed": sure,
            **extra,
        }

    def verify_generated(
        self, model: Model, targets: torch.Tensor, perturbed: Perturbed, attack: Attack
    ) -> dict[str, NDArray[Any]]:
        """See :meth:`Task.verify_generated`; ``confidence`` is the target's softmax, in float64."""
        from benchmark.attacks.verify import finite, in_range
        from benchmark.models.frozen import frozen

        with frozen(model):
            logits = _logits(model, perturbed.inputs)
        label = targets.cpu().numpy().astype(np.int64)
        good = finite(perturbed.inputs) & np.isfinite(logits.cpu().numpy()).all(1)
        status = np.where(good, np.where(in_range(perturbed.inputs), "ok", "out_of_budget"), "nan")
        pred = np.where(good, logits.argmax(1).cpu().numpy(), -1)
        confidence = logits.double().softmax(1).cpu().numpy()[np.arange(len(label)), label]
        return {
            "label": label,
            "pred": pred.astype(np.int64),
            "status": status,
            "success": (status == "ok") & (pred == label),
            "confidence": np.where(good, confidence, np.nan),
        }

    def columns(self, classes: Sequence[str]) -> tuple[Column, ...]:
        """``clean_acc``, then precision and recall of each class (``precision_pneumonia``)."""
        found = [Column("clean_acc", "rate", _accuracy, words="clean accuracy", at="no attack")]
        if len(classes) <= self.per_class:
            for k, name in enumerate(_column_names(classes)):
                for kind, of in (("precision", "pred_clean"), ("recall", "label")):
                    at = name.replace("_", " ")
                    share = _Share(of, k)
                    found.append(Column(f"{kind}_{name}", "rate", share, words=kind, at=at, table="Per class"))
        return tuple(found)

    def attack_columns(self, classes: Sequence[str]) -> tuple[Column, ...]:
        """``flips_from_<class>``: right samples of the class that are made wrong (a disease that is missed);
        ``flips_to_<class>``: right samples of other classes that are taken for it (a false alarm).

        Raises:
            UnknownNameError: ``flips`` names a class that the dataset does not have.
        """
        columns = []
        for name, column in zip(classes, _column_names(classes), strict=True):
            if name in self.flips:
                k = list(classes).index(name)
                columns.append(Column(f"flips_from_{column}", "rate", _Flips(k, away=True), higher_is_better=False))
                columns.append(Column(f"flips_to_{column}", "rate", _Flips(k, away=False), higher_is_better=False))
        unknown = [name for name in self.flips if name not in classes]
        if unknown:
            raise UnknownNameError("class", unknown[0], classes, "task_params.flips, the dataset's classes")
        return tuple(columns)

    def doubts(self, clean: pd.DataFrame, enough: int) -> Iterator[tuple[str, str]]:
        """See :func:`benchmark.tasks.doubts.doubts`."""
        from benchmark.tasks.doubts import doubts

        return doubts(clean, enough)

    def asides(self, model: ModelRecords, probe: str = "", eps: Budget | None = None) -> Iterator[Sentence]:
        """Of classes whose errors are not alike: which are missed, and which are false alarms."""
        known = len(model.classes) <= self.per_class
        columns = dict(zip(model.classes, _column_names(model.classes), strict=True)) if known else {}
        if eps is None:
            return found_and_false(model, self.flips, columns)
        return flipped(model, self.flips, columns, probe, eps)

    def check_output(self, output: torch.Tensor, spec: EntrySpec | None, n: int) -> None:
        """See :meth:`Task.check_output`: finite logits (n, K), K >= 2."""
        import torch

        known = 0 if spec is None else 2 if spec.output == "logit1" else spec.class_count
        expected = f"({n}, {known or 'K'})"
        if not isinstance(output, torch.Tensor):
            raise EntryError(f"the network returned a {type(output).__name__}, expected a tensor of logits {expected}")
        got = tuple(output.shape)
        if output.ndim == 2 and got == (n, 1) and known != 1:
            raise EntryError(f'the network returned shape {got}, expected {expected}; one logit? set output = "logit1"')
        if output.ndim != 2 or got[0] != n or got[1] < 2 or (known and got[1] != known):
            raise EntryError(f"the network returned shape {got}, expected logits {expected}")
        bad = int((~torch.isfinite(output)).any(1).sum())
        if bad:
            raise EntryError(f"the network returned NaN or infinite logits for {bad} of {n} samples")


def _logits(model: Model, inputs: torch.Tensor) -> torch.Tensor:
    """Logits in float32, without a graph."""
    import torch

    with torch.no_grad():
        logits = model(inputs.detach().float())
    return logits.float() if isinstance(logits, torch.Tensor) else logits


def _survives_rounding(
    model: Model, inputs: torch.Tensor, label: NDArray[np.int64], success: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(N,) which successes are of another class after rounding to 8 bits."""
    import torch

    from benchmark.models.frozen import frozen

    kept = np.zeros(len(label), dtype=bool)
    where = np.flatnonzero(success)
    if len(where):
        rounded = (inputs[torch.as_tensor(where, device=inputs.device)].clamp(0, 1) * 255).round() / 255
        with frozen(model):
            pred = _logits(model, rounded).argmax(1).cpu().numpy()
        kept[where] = pred != label[where]
    return kept


def _predictions(logits: torch.Tensor, labels: torch.Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Predicted class and margin (true logit minus best other, in float64) of logits (N, K)."""
    from benchmark.attacks.controls import margins

    pred = logits.argmax(1).cpu().numpy().astype(np.int64)
    return pred, margins(logits.double(), labels).cpu().numpy()


def _accuracy(rows: pd.DataFrame) -> NDArray[np.float64]:
    return rows["correct"].to_numpy(dtype=np.float64)


class _Share:
    """Share of right predictions among the rows whose ``column`` is class ``k`` (precision, recall)."""

    def __init__(self, column: str, k: int) -> None:
        self.column, self.k = column, k

    def __call__(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        inside = rows[self.column].to_numpy() == self.k
        return np.where(inside, rows["correct"].to_numpy(dtype=np.float64), np.nan)


class _Flips:
    """1 where an attack moves a right sample away from class ``k`` (else: from another class to it)."""

    def __init__(self, k: int, *, away: bool) -> None:
        self.k, self.away = k, away

    def __call__(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        of_class = rows["label"].to_numpy() == self.k
        right = rows["correct"].to_numpy(dtype=bool)
        won = rows["success"].to_numpy(dtype=bool)
        if self.away:
            return np.where(right & of_class, won, np.nan)
        return np.where(right & ~of_class, won & (rows["pred"].to_numpy() == self.k), np.nan)


def _column_names(classes: Sequence[str]) -> list[str]:
    """Class names as parts of column names; where two would be alike, all are numbered."""
    names = [re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") for name in classes]
    if len(set(names)) < len(names) or not all(names):
        return [f"{k}_{name}".strip("_") for k, name in enumerate(names)]
    return names
