"""suite.toml: which entries and probes on which dataset, in which threat model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from benchmark.spec.budget import Budget
from benchmark.spec.entry import Strict, check_name


class DatasetSpec(Strict):
    """The suite's dataset, and the grid that every input is brought to.

    Attributes:
        name: label that ``--data name=PATH`` refers to; default: ``use``.
        use: dataset plugin, such as ``"digits"`` or ``"folder"``.
        path: where it lies (relative to the working directory), if the plugin needs one.
        split: split that is judged; ``fit_split``: split that artefacts are fitted on.
        size: (height, width) of the suite's grid; one number for a square; default: the dataset's own.
        channels: 1 or 3; default: the dataset's own.
        fit: how an image of other proportions comes to ``size``: squeezed, its borders cut off, or black around it.
        crop: with ``fit = "crop"`` the share of the short side that is kept: 0.875 is 224 of 256.
        range: the value that becomes 1: of the stored type the largest (``"dtype"``), or a number, such as 4095.
        classes: a list of classes that gives each of the data's its index: ``"imagenet-1k"``, ``"cifar10"``,
            ``"cifar100"``, or a file; ``"by-index"``: the data's names are not held against those of the entries.
        order: of class folders whose names are numbers: as ``"text"`` (10 before 2) or by ``"number"``.
        samples: how many (a prefix of a seeded permutation); default: all.
        params: parameters of the plugin.
    """

    use: str
    name: str = ""
    path: Path | None = None
    split: str = "test"
    fit_split: str = "train"
    size: tuple[int, int] | None = None
    channels: Literal[1, 3] | None = None
    fit: Literal["squeeze", "crop", "pad"] = "squeeze"
    crop: float = Field(default=1.0, gt=0, le=1)
    range: Literal["dtype"] | Annotated[float, Field(gt=0, allow_inf_nan=False)] = "dtype"
    classes: str = ""
    order: Literal["text", "number"] | None = None
    samples: int | None = Field(default=None, ge=1)
    params: dict[str, Any] = Field(default_factory=dict)

    @field_validator("size", mode="before")
    @classmethod
    def _square(cls, value: object) -> object:
        return (value, value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _cropped(self) -> Self:
        if self.crop != 1 and (self.fit != "crop" or self.size is None):
            raise ValueError(f'crop = {self.crop:g} is a share of what fit = "crop" keeps of a `size`; say both')
        return self

    @property
    def label(self) -> str:
        """The name for ``--data``."""
        return self.name or self.use.replace(":", "-").lower()


class ThreatSpec(Strict):
    """The headline threat model: ``robust_acc_worst`` is the accuracy under all attacks of this norm within eps.

    ``domain`` is where the perturbation lives, such as the task's kind of inputs; attacks in another domain are another
    threat model.
    """

    norm: Literal["linf", "l2", "l1", "l0"]
    eps: Budget
    domain: str = "image"


class AttackProbe(Strict):
    """An attack with its budgets.

    Attributes:
        name: unique label in this suite, part of the column names.
        use: attack plugin.
        budgets: for a fixed-budget attack each is run; for a minimal-norm attack they are thresholds of one run.
        params: parameters of the plugin.
        norm, kind: threat model of a library attack that Assay does not know.
        source: entry whose artefact is used, for attacks that fit on training samples (default: the entry itself).
        of, sources: for attacks that read what others found: the probe that found it, and the entries it was found on.
        fit_samples: how many training samples such an attack sees.
        transfer: judge what was fitted on every entry of the suite on each of them (a square matrix).
        samples: at most this many of the suite's samples.
        time_limit: seconds a cell, instead of the suite's.
    """

    name: str
    use: str
    budgets: tuple[Budget, ...] = ()
    params: dict[str, Any] = Field(default_factory=dict)
    norm: Literal["linf", "l2", "l1", "l0", "none"] | None = None
    kind: Literal["fixed", "minimal", "none"] | None = None
    source: str = ""
    of: str = ""
    sources: tuple[str, ...] = ()
    fit_samples: int | None = Field(default=None, ge=1)
    transfer: bool = False
    samples: int | None = Field(default=None, ge=1)
    time_limit: float | None = Field(default=None, gt=0)

    _names = field_validator("name")(check_name)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        shown = [eps.printed for eps in self.budgets]
        twice = sorted({text for text in shown if shown.count(text) > 1})
        if twice:
            raise ValueError(f"two budgets print alike as {twice[0]}; columns could not be told apart")
        if self.transfer and self.source:
            raise ValueError("transfer fits on every entry: leave source out")
        if bool(self.of) != bool(self.sources):
            raise ValueError("of (a probe) and sources (entries) belong together")
        return self


class MetricProbe(Strict):
    """An attribution metric with its parameters."""

    name: str
    use: str
    params: dict[str, Any] = Field(default_factory=dict)

    _names = field_validator("name")(check_name)


class ExplainerProbe(Strict):
    """An explainer with its metrics.

    Attributes:
        name: unique label in this suite.
        use: explainer plugin.
        params: parameters of the plugin.
        metrics: names of the suite's metrics to score it by; default: all of them.
        attacked: names of attack probes whose perturbed inputs are explained too, to see what an attack, at each of
            its budgets, does to the attribution.
        target: the explained class: the clean ``"prediction"`` or the ``"label"``.
        samples: at most this many of the suite's samples.
        time_limit: seconds a cell, instead of the suite's.
    """

    name: str
    use: str
    params: dict[str, Any] = Field(default_factory=dict)
    metrics: tuple[str, ...] | None = None
    attacked: tuple[str, ...] = ()
    target: Literal["prediction", "label"] = "prediction"
    samples: int | None = Field(default=None, ge=1)
    time_limit: float | None = Field(default=None, gt=0)

    _names = field_validator("name")(check_name)


class Published(Strict):
    """A figure that others published, to stand beside a leaderboard column.

    Attributes:
        model, column: row and column of the leaderboard.
        value: the published number, in the column's units.
        source: paper and table.
    """

    model: str
    column: str
    value: float
    source: str


class ExplainingSpec(Strict):
    """On what explanations are scored; it is applied by the report, to records that hold all samples.

    Attributes:
        correct_only: leave out samples whose clean prediction is wrong.
        min_accuracy: score no model whose clean accuracy on the suite's samples is below this.
    """

    correct_only: bool = False
    min_accuracy: float = Field(default=0.0, ge=0, le=1)


class RunSpec(Strict):
    """How cells are run; none of it is in a hash but ``chunk`` (through the sample ids).

    Attributes:
        chunk: samples a cell.
        batch_size: samples a forward (a third-party random attack has its own, hashed).
        time_limit: seconds a cell, from when the model is loaded.
        keep_inputs: which perturbed inputs to keep as artefacts.
        keep_inputs_mb: at most this many megabytes of them a cell.
        keep_attributions_mb: at most this many megabytes of attributions once the suite is finished.
    """

    chunk: int = Field(default=100, ge=1)
    batch_size: int = Field(default=100, ge=1)
    time_limit: float = Field(default=600.0, gt=0)
    keep_inputs: Literal["none", "broken", "all"] = "broken"
    keep_inputs_mb: float = Field(default=16.0, ge=0)
    keep_attributions_mb: float = Field(default=1000.0, ge=0)


class SuiteSpec(Strict):
    """The contents of suites/NAME.toml (``name`` is the file's stem).

    A variant is the same suite on other data: the keys under ``[variants.LABEL]`` take the place of the suite's where
    ``--data LABEL=PATH`` is given, and the results go to ``NAME-LABEL``. A part (``[parts.LABEL]``) is a variant that
    always runs, after the suite itself: other data that need no path, results in ``NAME-LABEL`` too.
    """

    name: str = ""
    title: str = ""
    description: str = ""
    task: str = "classification"
    task_params: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    dataset: DatasetSpec
    threat: ThreatSpec | None = None
    entries: tuple[str, ...]
    attacks: tuple[AttackProbe, ...] = ()
    explainers: tuple[ExplainerProbe, ...] = ()
    metrics: tuple[MetricProbe, ...] = ()
    published: tuple[Published, ...] = ()
    explaining: ExplainingSpec | None = None
    run: RunSpec = RunSpec()
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        probes: list[AttackProbe | ExplainerProbe] = [*self.attacks, *self.explainers]
        for kind, names in (
            ("probe", [probe.name for probe in probes]),
            ("metric", [metric.name for metric in self.metrics]),
            ("entry", list(self.entries)),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two {kind} names are {twice[0]!r}; each needs its own")
        for label in self.parts:
            if label in self.variants:
                raise ValueError(f"{label!r} is a variant and a part; each needs its own name")
        known = {metric.name for metric in self.metrics}
        attacks = {attack.name for attack in self.attacks}
        for probe in self.explainers:
            for name in probe.attacked:
                if name not in attacks:
                    raise ValueError(f"explainer {probe.name!r}: attacked names {name!r}, which has no [[attacks]]")
            for name in probe.metrics or ():
                if name not in known:
                    raise ValueError(f"explainer {probe.name!r} names the metric {name!r}, which has no [[metrics]]")
        return self
