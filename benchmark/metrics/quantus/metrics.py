"""Any metric of Quantus by class name: ``quantus:Selectivity`` (Hedström et al. 2023, JMLR 24:1).

The constructor's parameters are the probe's ``params``; a function is given by its name in Quantus
(``similarity_func = "ssim"``). What Quantus does wrongly outside of a metric's own formula is kept out: see
:class:`Quantus`. What is wrong in the formula stays as it is; our own metrics beside it do not share it.
"""

from __future__ import annotations

import ast
import importlib.util
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ConfigDict, model_validator

from benchmark.errors import SpecError, UnknownNameError
from benchmark.metrics.base import Metric, metrics
from benchmark.metrics.quantus.table import TABLE
from benchmark.registry import Family, library_version, near_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmark.metrics.base import Explained


UNUSABLE = {
    "SensitivityN": "it correlates over the samples of its first batch, one value a step: it has no value of a sample",
    "Focus": "it needs attributions of mosaics of four images, which no dataset here has",
}
OURS = frozenset(
    {
        "normalise_func",
        "normalise_func_kwargs",
        "return_aggregate",
        "aggregate_func",
        "default_plot_func",
        "disable_warnings",
        "display_progressbar",
        "return_auc_per_sample",
        "return_sample_correlation",
        "return_average_correlation",
        "return_last_correlation",
        "compute_extra_scores",
    }
)


class _OfMember:
    """A class attribute of a metric that is the member's on an instance."""

    def __init__(self, name: str, default: object) -> None:
        self.name, self.default = name, default

    def __get__(self, instance: Any, owner: type) -> Any:
        return self.default if instance is None else getattr(TABLE[instance.member], self.name)


@cache
def signature(member: str) -> tuple[str, ...] | None:
    """Names of a class's constructor parameters, read from Quantus' source; None where they cannot be read."""
    spec = importlib.util.find_spec("quantus")  # finds a top-level package without importing it
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(root).glob("metrics/*/*.py")):
            text = file.read_text(encoding="utf-8")
            if f"class {member}(" not in text:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # escape sequences in its docstrings
                tree = ast.parse(text)
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and node.name == member:
                    for item in node.body:
                        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                            named = [*item.args.args, *item.args.kwonlyargs]
                            return tuple(arg.arg for arg in named if arg.arg != "self")
    return None


@metrics.register("quantus")
class Quantus(Metric, Family):
    """A metric of Quantus; one that fails becomes an error that names it, and its cell fails alone.

    - Samples are scored one by one, seeded by the sample, and global random state is put back (classes that compare
      samples see all of them).
    - Attributions (also those of noisy inputs or random models) are divided by their own largest magnitude where the
      class normalises by default, or ``normalise = true``; Quantus divides by that of the batch.
    - A constant, all-zero or non-finite attribution is NaN, alone; so is an empty mask.
    - Masks are of one channel: localisation metrics get channels summed with their signs.
    - NumPy's removed names are there during the call; SmoothMPRT uses the explainer under test; RandomLogit draws among
      the model's classes, by the sample's seed.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    library: ClassVar[str] = "quantus"
    source: ClassVar[str] = "Quantus (Hedström et al. 2023)"
    higher_is_better: ClassVar[Any] = _OfMember("higher_is_better", None)
    random: ClassVar[Any] = _OfMember("random", False)
    needs_masks: ClassVar[Any] = _OfMember("needs_masks", False)
    joint: ClassVar[Any] = _OfMember("joint", False)
    family: ClassVar[Any] = _OfMember("family", "")

    @model_validator(mode="after")
    def _check_parameters(self) -> Self:
        if self.member in UNUSABLE:
            raise SpecError(f"metric {self.name!r} cannot be used: {UNUSABLE[self.member]}")
        if self.member not in TABLE:
            where = f"quantus {library_version('quantus')}"
            raise UnknownNameError("metric", self.name, [f"quantus:{name}" for name in TABLE], where)
        known = signature(self.member)
        for key in self.keywords():
            if key in OURS:
                raise SpecError(f"metric {self.name!r}: {key!r} is set by Assay: one value a sample, normalised alone")
            if known is not None and key not in known:
                raise SpecError(
                    f"metric {self.name!r}: unknown key {key!r}{near_key(key, [k for k in known if k not in OURS])}"
                )
        return self

    @classmethod
    def members(cls) -> list[str]:
        """Every class that can be used."""
        return sorted(TABLE)

    @classmethod
    def open_ended(cls) -> bool:
        """True: the plugin itself says why a name cannot be used."""
        return True

    def keywords(self) -> dict[str, Any]:
        """The constructor's parameters that were given."""
        return dict(self.__pydantic_extra__ or {})

    def score(self, explained: Explained) -> NDArray[Any]:
        """(N,) float64.

        Raises:
            AssayError: Quantus failed, or gave something else than one value a sample.
        """
        from benchmark.metrics.quantus.calls import score

        return score(self.member, TABLE[self.member], self.keywords(), explained)
