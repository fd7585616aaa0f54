"""Any attack of torchattacks by class name: ``torchattacks:APGD`` (Kim 2020, arXiv:2010.01950).

The budget is the constructor's ``eps``. A step (``alpha``; ``lr`` of SPSA) is a number in input units, or a share of
the budget as text, ``alpha = "0.25 eps"``; where it is not given it is 2.5 / steps of the budget (the library's own,
often 2/255, does not scale with it), of FFGSM 1.25 (Wong et al. 2020). Preprocessing is inside the model, so
torchattacks' own normalisation stays off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from benchmark.attacks._library import Known, LibraryAttack
from benchmark.attacks.base import Norm, Perturbed, attacks
from benchmark.errors import AttackError, SpecError

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

TABLE: dict[str, Known] = {
    "VANILA": Known("linf", "none", "none"),
    "GN": Known("l2", "none", "none", random=True),
    **{name: Known("linf", "fixed") for name in ("FGSM", "BIM", "PGD", "EOTPGD", "MIFGSM", "UPGD", "NIFGSM")},
    **{name: Known("linf", "fixed") for name in ("SINIFGSM",)},
    **{name: Known("linf", "fixed", random=True) for name in ("RFGSM", "FFGSM", "TPGD", "Jitter", "PGDRS")},
    **{name: Known("linf", "fixed", random=True) for name in ("DIFGSM", "TIFGSM", "VMIFGSM", "VNIFGSM")},
    **{name: Known("linf", "fixed", random=True) for name in ("PIFGSM", "PIFGSMPP", "APGD", "APGDT", "FAB")},
    "AutoAttack": Known("linf", "fixed", random=True),
    "Square": Known("linf", "fixed", "score", random=True),
    "SPSA": Known("linf", "fixed", "score", random=True),
    "PGDL2": Known("l2", "fixed"),
    "PGDRSL2": Known("l2", "fixed", random=True),
    "CW": Known("l2", "minimal"),
    "DeepFool": Known("l2", "minimal"),
    "EADEN": Known("l2", "minimal"),
    "EADL1": Known("l1", "minimal"),
    "SparseFool": Known("l0", "minimal"),
    "JSMA": Known("l0", "minimal"),
    "OnePixel": Known("l0", "minimal", "score", random=True),
    "Pixle": Known("l0", "minimal", "score", random=True),
}
UNUSABLE = {
    "MultiAttack": "it combines attacks that are objects; give the suite one probe each, the report combines them",
    "LGV": "it trains a surrogate model on a data loader",
}
CHOOSE_NORM = ("APGD", "APGDT", "FAB", "AutoAttack", "Square")
NORM_NAMES: dict[Norm, str] = {"linf": "Linf", "l2": "L2", "l1": "L1"}
NEEDS_CLASSES = {
    "APGDT": (4, "its loss looks at the four largest logits"),
    "AutoAttack": (4, "its loss looks at the four largest logits"),
    "JSMA": (10, "it aims at class (label + 1) modulo 10"),
}
SHARE = re.compile(r"\d+(\.\d+)?(e-?\d+)? eps")
STEPPING = frozenset(
    """
    BIM PGD EOTPGD MIFGSM UPGD NIFGSM SINIFGSM RFGSM FFGSM TPGD Jitter PGDRS DIFGSM TIFGSM VMIFGSM VNIFGSM PGDL2 PGDRSL2
    SPSA
    """.split()  # noqa: SIM905
)
NEEDS_COLOUR = ("PIFGSM", "PIFGSMPP", "TIFGSM")  # their fixed kernels have three channels


@attacks.register("torchattacks")
class TorchAttacks(LibraryAttack):
    """A torchattacks attack. ``norm`` chooses linf or l2 (FAB: also l1) where the library's class has the choice."""

    source: ClassVar[str] = "torchattacks (arXiv:2010.01950)"
    library: ClassVar[str] = "torchattacks"
    files: ClassVar[tuple[str, str]] = ("__init__.py", "attacks")
    table: ClassVar[dict[str, Known]] = TABLE
    unusable: ClassVar[dict[str, str]] = UNUSABLE
    hidden: ClassVar[frozenset[str]] = frozenset({"model", "eps", "max_epsilon", "norm", "n_classes", "verbose"})

    def resolved_norm(self) -> Norm | None:
        """See :meth:`LibraryAttack.resolved_norm`.

        Raises:
            SpecError: the class does not offer that norm.
        """
        if self.member not in CHOOSE_NORM or self.norm is None:
            return super().resolved_norm()
        offered = [norm for norm in NORM_NAMES if norm != "l1" or self.member == "FAB"]
        if self.norm not in offered:
            raise SpecError(f"attack {self.name!r} offers the norms {', '.join(offered)}, the probe says {self.norm!r}")
        return self.norm

    @model_validator(mode="after")
    def _check_step(self) -> Self:
        value = self.keywords().get(self.step_key())
        if isinstance(value, str) and not SHARE.fullmatch(value):
            raise SpecError(
                f"attack {self.name!r}: {self.step_key()} is a number in input units or a share of the budget such as"
                f" '0.25 eps', got {value!r}"
            )
        return self

    def step_key(self) -> str:
        """``alpha`` of the attacks that go by its signed or normalised steps, ``lr`` of SPSA."""
        return {"SPSA": "lr"}.get(self.member, "alpha") if self.member in STEPPING else ""

    def step_of(self, share: float) -> dict[str, Any]:
        """See :meth:`LibraryAttack.step_of`."""
        return {self.step_key(): f"{share:.10g} eps"}

    def default_step(self) -> float:
        """See :meth:`LibraryAttack.default_step`; FFGSM's is that of Wong et al. 2020."""
        return 1.25 if self.member == "FFGSM" else super().default_step()

    def step(self, eps: float) -> float | None:
        """See :meth:`LibraryAttack.step`."""
        value = self.keywords().get(self.step_key())
        if isinstance(value, str):
            return float(value.split()[0])
        absolute = super().step(eps)
        return None if absolute is None else absolute / eps

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """Too few classes for a targeted attack."""
        classes = 2 if getattr(entry, "output", "") == "logit1" else getattr(entry, "class_count", 0)
        needed, why = NEEDS_CLASSES.get(self.member, (0, ""))
        if 0 < classes < needed:
            return f"{self.name} needs at least {needed} classes ({why}), this model has {classes}"
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
            AttackError: torchattacks does not accept the parameters, a budget is missing, or a member that is made for
                colour images gets grey ones.
        """
        import warnings

        import torchattacks

        from benchmark.attacks._frozen import frozen

        threat = self.threat
        if self.member in NEEDS_COLOUR and inputs.shape[1] != 3:
            raise AttackError(
                f"attack {self.name!r} is made for images of 3 channels, got {inputs.shape[1]};"
                " set channels = 3 in the suite's [dataset]"
            )
        accepted = self.read().parameters(self.member) or {}
        keywords = self.keywords()
        if threat.kind == "fixed":
            eps = self.budget(eps)
            keywords["max_epsilon" if "max_epsilon" in accepted else "eps"] = eps
            if isinstance(keywords.get(self.step_key()), str):
                keywords[self.step_key()] = float(keywords[self.step_key()].split()[0]) * eps
        if "norm" in accepted:
            keywords["norm"] = NORM_NAMES[threat.norm]
        if "n_classes" in accepted:
            keywords["n_classes"] = class_count(model, inputs)
        if "seed" in accepted:  # its defaults are 0 or the clock
            keywords.setdefault("seed", generator.batch_seed)
        with frozen(model), warnings.catch_warnings():
            # SparseFool hands a tensor to NumPy
            warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
            try:
                attack = getattr(torchattacks, self.member)(model, **keywords)
            except (TypeError, ValueError, AssertionError) as error:
                raise AttackError(f"attack {self.name!r} does not accept {keywords}: {error}") from error
            attack.set_device(inputs.device)
            queries = _Queries(model, attack, inputs, labels) if self.member == "Square" else None
            outputs: torch.Tensor = attack(inputs, labels)
        return Perturbed(outputs.detach(), forwards=None if queries is None else queries.made)


class _Queries:
    """Exact queries of each sample in a Square attack, which counts them and throws the counts away.

    Attributes:
        made: (N,) forwards: the first prediction; of each restart its queries and the check of what it found.
    """

    def __init__(self, model: Model, attack: Any, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        self.model, self.single_run = model, attack.attack_single_run
        self.made = np.ones(len(inputs), dtype=np.int64)
        self.active = self._right(inputs, labels).nonzero()[0]
        attack.attack_single_run = self

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """In the place of the library's ``attack_single_run``."""
        queries, adversarial = self.single_run(x, y)
        self.made[self.active] += queries.cpu().numpy().astype(np.int64) + 1
        self.active = self.active[self._right(adversarial, y)]
        return queries, adversarial

    def _right(self, inputs: torch.Tensor, labels: torch.Tensor) -> NDArray[np.bool_]:
        """(N,) whether the prediction is right; the call is not counted as the attack's."""
        import torch

        with torch.no_grad(), self.model.counter.paused():
            right = self.model(inputs).argmax(1) == labels
        return np.asarray(right.cpu().numpy())


def class_count(model: Model, inputs: torch.Tensor) -> int:
    """Number of logits; the call is not counted as the attack's."""
    import torch

    with torch.no_grad(), model.counter.paused():
        return int(model(inputs[:1]).shape[1])
