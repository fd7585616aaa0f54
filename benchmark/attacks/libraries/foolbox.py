"""Any attack of foolbox by class name: ``foolbox:LinfPGD`` (Rauber et al. 2020, doi:10.21105/joss.02607).

Fixed-budget attacks return foolbox's clipped inputs, minimal-norm ones the best they found. A step is ``rel_stepsize``
times the budget, or ``abs_stepsize``; where neither is given it is 2.5 / steps of the budget (foolbox's own default for
PGD is 1/30, with which 20 steps reach two thirds of the ball).
"""

from __future__ import annotations

import importlib.util
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

_NORMS: tuple[tuple[str, Norm], ...] = (("L1", "l1"), ("L2", "l2"), ("Linf", "linf"))
_GRADIENT = (
    "ProjectedGradientDescentAttack",
    "AdamProjectedGradientDescentAttack",
    "BasicIterativeAttack",
    "AdamBasicIterativeAttack",
    "MomentumIterativeFastGradientMethod",
    "FastGradientAttack",
)
_NOISE = ("Gaussian", "Uniform")
# a norm "none" in this table: the attack has no norm of its own, the suite chooses in which it is judged
TABLE: dict[str, Known] = {
    **{prefix + suffix: Known(norm, "fixed") for prefix, norm in _NORMS for suffix in _GRADIENT},
    "VirtualAdversarialAttack": Known("l2", "fixed", random=True),
    "SparseL1DescentAttack": Known("l1", "fixed"),
    "L2ContrastReductionAttack": Known("l2", "fixed", "none"),
    **{f"L2Additive{n}NoiseAttack": Known("l2", "fixed", "none", random=True) for n in _NOISE},
    **{f"L2ClippingAwareAdditive{n}NoiseAttack": Known("l2", "fixed", "none", random=True) for n in _NOISE},
    **{f"L2RepeatedAdditive{n}NoiseAttack": Known("l2", "fixed", "decision", random=True) for n in _NOISE},
    **{f"L2ClippingAwareRepeatedAdditive{n}NoiseAttack": Known("l2", "fixed", "decision", random=True) for n in _NOISE},
    "LinfAdditiveUniformNoiseAttack": Known("linf", "fixed", "none", random=True),
    "LinfRepeatedAdditiveUniformNoiseAttack": Known("linf", "fixed", "decision", random=True),
    "DDNAttack": Known("l2", "minimal"),
    "L2CarliniWagnerAttack": Known("l2", "minimal"),
    "NewtonFoolAttack": Known("l2", "minimal"),
    "EADAttack": Known("l1", "minimal"),
    "L2DeepFoolAttack": Known("l2", "minimal"),
    "LinfDeepFoolAttack": Known("linf", "minimal"),
    "L0FMNAttack": Known("l0", "minimal"),
    "L1FMNAttack": Known("l1", "minimal"),
    "L2FMNAttack": Known("l2", "minimal"),
    "LInfFMNAttack": Known("linf", "minimal"),
    "L0BrendelBethgeAttack": Known("l0", "minimal", random=True),
    "L1BrendelBethgeAttack": Known("l1", "minimal", random=True),
    "L2BrendelBethgeAttack": Known("l2", "minimal", random=True),
    "LinfinityBrendelBethgeAttack": Known("linf", "minimal", random=True),
    "BoundaryAttack": Known("l2", "minimal", "decision", random=True),
    "HopSkipJumpAttack": Known("l2", "minimal", "decision", random=True),
    "PointwiseAttack": Known("none", "minimal", "decision", random=True),
    "SaltAndPepperNoiseAttack": Known("l2", "minimal", "decision", random=True),
    "LinearSearchBlendedUniformNoiseAttack": Known("none", "minimal", "decision", random=True),
    "BinarySearchContrastReductionAttack": Known("none", "minimal", "decision"),
    "LinearSearchContrastReductionAttack": Known("none", "minimal", "decision"),
    "GaussianBlurAttack": Known("none", "minimal", "decision"),
    "InversionAttack": Known("none", "minimal", "decision"),
}
UNUSABLE = {
    "Attack": "it is foolbox's abstract base class",
    "SpatialAttack": "a rotation has no norm, and foolbox does not say which one it chose, so it cannot be verified",
    "BinarizationRefinementAttack": "it refines the adversarials of another attack",
    "DatasetAttack": "it must be fed other samples first",
    "GenAttack": "it needs a target class for each sample",
}


@attacks.register("foolbox")
class Foolbox(LibraryAttack):
    """A foolbox attack. ``init_attack`` is given by the class name of a minimal-norm attack, with its defaults."""

    source: ClassVar[str] = "foolbox (doi:10.21105/joss.02607)"
    library: ClassVar[str] = "foolbox"
    files: ClassVar[tuple[str, str]] = ("attacks/__init__.py", "attacks")
    table: ClassVar[dict[str, Known]] = TABLE
    unusable: ClassVar[dict[str, str]] = UNUSABLE
    hidden: ClassVar[frozenset[str]] = frozenset({"distance", "tensorboard"})

    def known(self) -> Known | None:
        """See :meth:`LibraryAttack.known`; HopSkipJump minimises the norm that ``constraint`` names.

        Raises:
            SpecError: ``constraint`` names another norm than l2 or linf.
        """
        known, constraint = super().known(), self.keywords().get("constraint", "l2")
        if known is None or self.member != "HopSkipJumpAttack":
            return known
        if constraint not in ("l2", "linf"):
            raise SpecError(f"attack {self.name!r}: constraint is 'l2' or 'linf', got {constraint!r}")
        return known._replace(norm=constraint)

    def step_key(self) -> str:
        """``rel_stepsize``, where the member has it."""
        return "rel_stepsize" if "rel_stepsize" in (self.signature() or {}) else ""

    def steps_given(self) -> bool:
        """See :meth:`LibraryAttack.steps_given`."""
        return super().steps_given() or self.keywords().get("abs_stepsize") is not None

    def step(self, eps: float) -> float | None:
        """See :meth:`LibraryAttack.step`; ``abs_stepsize`` goes before ``rel_stepsize``, as in foolbox."""
        absolute = self.keywords().get("abs_stepsize")
        return super().step(eps) if absolute is None else float(absolute) / eps

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """Four attacks need numba, which foolbox does not install."""
        if "BrendelBethge" in self.member and importlib.util.find_spec("numba") is None:
            return f"{self.name} needs the package numba, which is not installed (pip install numba)"
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
            AttackError: foolbox does not accept the parameters, or a budget is missing.
        """
        from benchmark.models.frozen import frozen

        foolbox = _import()
        threat = self.threat
        if threat.kind == "fixed":
            eps = self.budget(eps)
        keywords = self.keywords()
        if "distance" in (self.read().parameters(self.member) or {}):
            keywords["distance"] = getattr(foolbox.distances, threat.norm)
        try:
            if isinstance(keywords.get("init_attack"), str):
                keywords["init_attack"] = getattr(foolbox.attacks, keywords["init_attack"])()
            attack = getattr(foolbox.attacks, self.member)(**keywords)
        except (TypeError, ValueError, AssertionError, AttributeError) as error:
            raise AttackError(f"attack {self.name!r} does not accept {self.keywords()}: {error}") from error
        with frozen(model):
            wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=inputs.device)
            _, clipped, _ = attack(wrapped, inputs, labels, epsilons=eps if threat.kind == "fixed" else None)
        return Perturbed(clipped.detach())


def _import() -> Any:
    """Foolbox; it imports a SciPy name that is deprecated."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*scipy\.ndimage\.filters.*", DeprecationWarning)
        import foolbox
    return foolbox
