"""The cell: unit of work, of resume and of failure. Its hash says what is computed, and nothing else."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from pydantic import Field

from benchmark.registry import digest
from benchmark.spec.budget import Budget
from benchmark.spec.entry import Strict

CellKind = Literal["clean", "fit", "attack", "generate", "explain", "score", "similarity", "drift"]


class Kind(NamedTuple):
    """What is true of every cell of a kind.

    Attributes:
        words: what such a cell computes.
        plugin: where its ``plugin`` is registered; "" of one that has none, or none of a registry.
        runs: it runs that plugin (a drift cell names the attack whose inputs it reads).
        needs: roles of the cells that it may read, each once or, as ``role:name``, several times.
        optional: those that may end badly: without their results it runs all the same.
        columns: what its rows have, whatever the task and the plugin.
        labelled: people are told its kind, since its probe does not say it.
    """

    words: str
    plugin: Literal["", "attack", "metric"]
    needs: tuple[str, ...]
    columns: tuple[str, ...]
    runs: bool = True
    optional: tuple[str, ...] = ()
    labelled: bool = False


CALLS = ("forwards", "backwards")
KINDS: dict[CellKind, Kind] = {
    "clean": Kind("predictions", "", (), ("sample", "label", "pred_clean", "correct"), labelled=True),
    "fit": Kind(
        "an artefact from training samples", "attack", (), ("sample", "fit_forwards", "fit_backwards"), labelled=True
    ),
    "attack": Kind(
        "perturbed inputs, verified",
        "attack",
        ("clean", "fit", "larger", "found"),
        ("sample", "label", "status", "success", *CALLS),
    ),
    "generate": Kind(
        "inputs from nothing, one a class",
        "attack",
        (),
        ("sample", "label", "pred", "status", "success", "confidence", *CALLS),
    ),
    "explain": Kind("attributions", "", ("clean",), ("sample", "status", "target")),
    "score": Kind("one metric of one explainer", "metric", ("explain",), ("sample", "status", "value")),
    "similarity": Kind(
        "rank correlations between explainers",
        "",
        ("clean", "explain"),
        ("sample", "value", "lowest", "highest", "n"),
        optional=("explain",),
        labelled=True,
    ),
    "drift": Kind(
        "attributions of clean against perturbed inputs, of one explain cell and one attack cell",
        "attack",
        ("clean", "explain", "attack"),
        ("sample", "status", "value"),
        runs=False,
    ),
}  # in the order in which people are told of them
assert set(KINDS) == set(get_args(CellKind))
HASH_VERSION = 1  # raise when the meaning of a hashed field changes
USUAL = ("squeeze", 1.0, "dtype")  # how an image comes to the grid where the suite says nothing


class PluginRef(Strict):
    """A plugin by name, with the parameters given and its implementation version.

    ``local`` is what this machine needs besides (where a file lies): it makes the plugin, and is never hashed.
    """

    use: str
    params: dict[str, Any] = Field(default_factory=dict)
    version: str = "1"
    local: dict[str, Any] = Field(default_factory=dict)

    def hashed(self) -> dict[str, Any]:
        """What enters a cell's hash."""
        return self.model_dump(exclude={"local"})

    def arguments(self) -> dict[str, Any]:
        """Parameters that make the plugin here."""
        return {**self.params, **self.local}


class DatasetRef(Strict):
    """A split of a dataset on the suite's grid."""

    name: str
    plugin: PluginRef
    path: Path | None = None
    split: str
    size: tuple[int, int] | None = None
    channels: Literal[1, 3] | None = None
    fit: Literal["squeeze", "crop", "pad"] = "squeeze"
    crop: float = 1.0
    range: Literal["dtype"] | float = "dtype"
    classes: str = ""
    digest: str

    def hashed(self) -> list[Any]:
        """What enters a cell's hash; the list of classes is in the digest."""
        given = (("fit", self.fit), ("crop", self.crop), ("range", self.range))
        grid = {key: value for (key, value), usual in zip(given, USUAL, strict=True) if value != usual}
        return [self.digest, self.split, self.size, self.channels, *([grid] if grid else [])]


class Cell(Strict):
    """What to compute, on which samples.

    Attributes:
        kind: one of :data:`KINDS`, which says what each computes, reads and leaves.
        entry: digest of the model entry.
        samples: sample ids, in order; of a generate cell ``class-0``, ``class-1``, …
        plugin: the attack, explainer or metric.
        explainer: of a score cell: the explainer, for metrics that explain again.
        eps: the budget, None where there is none.
        target: explained class, the clean ``prediction`` or the ``label``.
        needs: role (``clean``, ``fit``, ``explain``, …) to the hash of the cell whose result is read; of a similarity
            cell ``explain:<probe>``, whose names stand in its rows.
        outputs: where entry and dataset order their classes differently: which of the network's logits is that of each
            class of the dataset.

    The rest is not hashed: labels (``model``, ``probe``, ``metric``: of a drift cell the attack's name; ``source``:
    the entry that an attack was fitted on), where things lie, and how to run.
    """

    kind: CellKind
    task: PluginRef
    entry: str
    dataset: DatasetRef
    samples: tuple[str, ...]
    plugin: PluginRef | None = None
    explainer: PluginRef | None = None
    eps: Budget | None = None
    target: str | None = None
    seed: int = 0
    dtype: str = "float32"
    needs: dict[str, str] = Field(default_factory=dict)
    outputs: tuple[int, ...] = ()

    model: str
    probe: str = ""
    metric: str = ""
    source: str = ""
    folder: Path | None = None
    threat: dict[str, Any] = Field(default_factory=dict)
    batch_size: int = 100
    time_limit: float = 600.0
    keep_inputs: Literal["none", "broken", "all"] = "broken"
    keep_inputs_mb: float = 16.0

    def hashed(self) -> dict[str, Any]:
        """The fields that decide the result."""
        return {
            "hash_version": HASH_VERSION,
            "kind": self.kind,
            "task": self.task.hashed(),
            "entry": self.entry,
            "dataset": self.dataset.hashed(),
            "samples": list(self.samples),
            "plugin": self.plugin and self.plugin.hashed(),
            "explainer": self.explainer and self.explainer.hashed(),
            "eps": self.eps and self.eps.text,
            "target": self.target,
            "seed": self.seed,
            "dtype": self.dtype,
            "needs": self.needs,
            **({"outputs": list(self.outputs)} if self.outputs else {}),
        }

    @cached_property
    def hash(self) -> str:
        """sha256 (hex) over the canonical JSON of :meth:`hashed`."""
        return digest(self.hashed())

    @property
    def optional(self) -> frozenset[str]:
        """Needs that may end badly: without their results it runs all the same."""
        optional = KINDS[self.kind].optional
        return frozenset(need for role, need in self.needs.items() if role.partition(":")[0] in optional)

    @property
    def label(self) -> str:
        """How people are told of this cell."""
        parts = [self.model, self.kind if KINDS[self.kind].labelled else "", self.probe, self.metric]
        parts += [f"from {self.source}"] if self.source not in ("", self.model) else []
        return " · ".join(part for part in parts if part) + (f" @ {self.eps}" if self.eps else "")
