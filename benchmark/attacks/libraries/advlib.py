"""Any attack of adv-lib by function name: ``advlib:ddn`` (Rony et al., github.com/jeromerony/adversarial-library).

A budget is the function's own parameter for it; ``norm`` chooses where a function offers several. adv-lib requires
visdom, a plotting server that cannot be built beside a new setuptools, for pictures that nobody asks for here: install
adv-lib alone (``pip install --no-deps adv-lib``), and an empty module stands in for visdom while it is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from benchmark.attacks.base import Norm, Perturbed, attacks
from benchmark.attacks.libraries.base import Known, LibraryAttack
from benchmark.errors import AttackError, SpecError

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

# a norm "none" in this table: the function offers several, CHOOSE_NORM says which
TABLE: dict[str, Known] = {
    "alma": Known("none", "minimal"),
    "apgd": Known("none", "fixed", random=True),
    "apgd_targeted": Known("none", "fixed", random=True),
    "carlini_wagner_l2": Known("l2", "minimal"),
    "carlini_wagner_linf": Known("linf", "minimal", random=True),  # no draws, but it ends for the batch together
    "ddn": Known("l2", "minimal"),
    "df": Known("none", "minimal"),
    "fab": Known("none", "minimal", random=True),
    "fga": Known("l0", "minimal", random=True),
    "fmn": Known("none", "minimal"),
    "pdgd": Known("l2", "minimal", random=True),
    "pdpgd": Known("none", "minimal", random=True),
    "pgd_linf": Known("linf", "fixed", random=True),
    "sdf": Known("l2", "minimal"),
    "sigma_zero": Known("l0", "minimal"),
    "tr": Known("none", "minimal"),
    "vfga": Known("l0", "minimal", random=True),
}
UNUSABLE = {
    "perc_al": "it makes a distance between colours small, which is no norm",
    "str_attack": "it makes a norm of groups of pixels small, which is none of ours",
}
CHOOSE_NORM: dict[str, tuple[str, dict[Norm, Any]]] = {  # function: its parameter, and the value of each norm
    "alma": ("distance", {"l1": "l1", "l2": "l2"}),
    **{name: ("norm", {"l1": 1, "l2": 2, "linf": float("inf")}) for name in ("apgd", "apgd_targeted", "fab")},
    "df": ("norm", {"l2": 2, "linf": float("inf")}),
    **{name: ("norm", {"l0": 0, "l1": 1, "l2": 2, "linf": float("inf")}) for name in ("fmn", "pdpgd")},
    "tr": ("p", {"l2": 2, "linf": float("inf")}),
}
BUDGET = {"apgd": "eps", "apgd_targeted": "eps", "pgd_linf": "ε"}
FILLED = frozenset({"model", "inputs", "labels", "targeted", "callback", "penalty", "starting_points"})


@attacks.register("advlib")
class AdvLib(LibraryAttack):
    """An adv-lib attack; ``norm`` chooses among those that its function offers."""

    source: ClassVar[str] = "adv-lib (github.com/jeromerony/adversarial-library)"
    library: ClassVar[str] = "adv-lib"
    package: ClassVar[str] = "adv_lib"
    requires: ClassVar[tuple[str, ...]] = ("adv-lib",)
    files: ClassVar[tuple[str, str]] = ("attacks/__init__.py", "attacks")
    table: ClassVar[dict[str, Known]] = TABLE
    unusable: ClassVar[dict[str, str]] = UNUSABLE
    counts: ClassVar[tuple[str, ...]] = ("steps", "num_steps", "n_iter", "iter", "max_iter", "max_iterations")

    @classmethod
    def lacks(cls) -> str:
        """See :meth:`Plugin.lacks`; without what it requires, since visdom cannot be built beside a new setuptools."""
        return super().lacks().replace("pip install ", "pip install --no-deps ")

    def signature(self) -> dict[str, Any] | None:
        """See :meth:`LibraryAttack.signature`; without what the adapter fills in."""
        known, filled = super().signature(), {CHOOSE_NORM.get(self.member, ("",))[0], BUDGET.get(self.member, "")}
        return None if known is None else {k: v for k, v in known.items() if k not in FILLED | filled}

    def resolved_norm(self) -> Norm | None:
        """See :meth:`LibraryAttack.resolved_norm`.

        Raises:
            SpecError: the function does not offer that norm.
        """
        offered = CHOOSE_NORM.get(self.member, ("", {}))[1]
        if offered and self.norm is not None and self.norm not in offered:
            raise SpecError(f"attack {self.name!r} offers the norms {', '.join(offered)}, the probe says {self.norm!r}")
        return super().resolved_norm()

    def takes_budgets(self) -> bool:
        """See :meth:`Attack.takes_budgets`: every one that has a budget."""
        return self.member in BUDGET

    def check_installed(self, where: str) -> AdvLib:
        """Itself: without the library its cells are skipped, with the reason."""
        return self

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """The library is not installed, or there are too few classes for a loss on three of them."""
        if reason := self.lacks():
            return f"{self.name} {reason}"
        classes = 2 if getattr(entry, "output", "") == "logit1" else getattr(entry, "class_count", 0)
        losses = self.member in ("apgd", "apgd_targeted") and self.keywords().get("loss_function", "dlr") == "dlr"
        needed = (4 if self.member == "apgd_targeted" else 3) if losses else 0
        if 0 < classes < needed:
            return (
                f"{self.name} needs at least {needed} classes (its loss looks at the largest), this model has {classes}"
            )
        return None

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
        """See :meth:`Attack.run`.

        Raises:
            AttackError: adv-lib does not accept the parameters, or a budget is missing.
        """
        import torch

        from benchmark.models.frozen import frozen

        threat, keywords = self.threat, self.keywords()
        if self.member in CHOOSE_NORM:
            key, values = CHOOSE_NORM[self.member]
            keywords[key] = values[threat.norm]
        if self.member in BUDGET:
            keywords[BUDGET[self.member]] = self.budget(eps)
        with torch.no_grad(), model.counter.paused():
            if bool((model(inputs).argmax(1) != labels).all()):  # fmn in l0 cannot do with nothing to do
                return Perturbed(inputs)
        with frozen(model):
            try:
                outputs: torch.Tensor = getattr(_import(), self.member)(
                    model, inputs, labels, targeted=False, **keywords
                )
            except (TypeError, AssertionError) as error:
                raise AttackError(f"attack {self.name!r} does not accept {self.keywords()}: {error}") from error
        return Perturbed(outputs.detach().clamp(0, 1))


def _import() -> Any:
    """``adv_lib.attacks``; without visdom an empty module takes its place meanwhile."""
    import importlib.util
    import sys
    import types
    import warnings

    absent = "visdom" not in sys.modules and importlib.util.find_spec("visdom") is None
    if absent:
        sys.modules["visdom"] = types.ModuleType("visdom")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import adv_lib.attacks
    finally:
        if absent:
            sys.modules.pop("visdom", None)
    return adv_lib.attacks
