"""Any attack of the Adversarial Robustness Toolbox by class name: ``art:DeepFool`` (Nicolae 2018, arXiv:1807.01069).

The budget is the constructor's ``eps``. A step (``eps_step``) is a number in input units, or a share of the budget as
text, ``eps_step = "0.25 eps"``; where it is not given it is 2.5 / steps of the budget (ART's own, 0.1, does not scale
with it), and of its versions of APGD the budget, which they double as their authors do.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from benchmark.attacks.base import Norm, Perturbed, attacks
from benchmark.attacks.libraries.base import Known, LibraryAttack
from benchmark.errors import AttackError, SpecError

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

_AUTO = ("AutoProjectedGradientDescent", "AutoConjugateGradient", "RescalingAutoConjugateGradient")
_GRADIENT = ("ProjectedGradientDescent", "ProjectedGradientDescentNumpy", "ProjectedGradientDescentPyTorch")
_STEPS = (*_AUTO, *_GRADIENT, "MomentumIterativeMethod", "BasicIterativeMethod", "FastGradientMethod")
# a norm "none" in this table: the suite chooses, among those of CHOOSE_NORM
TABLE: dict[str, Known] = {
    **{name: Known("none", "fixed", random=True) for name in (*_AUTO, *_GRADIENT)},
    "FastGradientMethod": Known("none", "fixed", random=True),
    "MomentumIterativeMethod": Known("none", "fixed"),
    "BasicIterativeMethod": Known("linf", "fixed"),
    "SquareAttack": Known("none", "fixed", "score", random=True),
    "VirtualAdversarialMethod": Known("l2", "fixed", random=True),
    "BrendelBethgeAttack": Known("none", "minimal", random=True),
    "CarliniL0Method": Known("l0", "minimal"),
    "CarliniL2Method": Known("l2", "minimal"),
    "CarliniLInfMethod": Known("linf", "minimal"),
    "DeepFool": Known("l2", "minimal", random=True),  # no draws, but its candidates are those of the batch together
    "ElasticNet": Known("l1", "minimal"),
    "NewtonFool": Known("l2", "minimal"),
    "SaliencyMapMethod": Known("l0", "minimal"),
    "BoundaryAttack": Known("l2", "minimal", "decision", random=True),
    "HopSkipJump": Known("none", "minimal", "decision", random=True),
    "GeoDA": Known("none", "minimal", "decision", random=True),
    "SignOPTAttack": Known("l2", "minimal", "decision", random=True),
    "SimBA": Known("l2", "minimal", "score", random=True),
    "ZooAttack": Known("l2", "minimal", "score", random=True),
}
_ALL: tuple[Norm, ...] = ("linf", "l2", "l1")
CHOOSE_NORM: dict[str, tuple[Norm, ...]] = {
    **dict.fromkeys((*_AUTO, *_GRADIENT, "FastGradientMethod", "MomentumIterativeMethod", "GeoDA"), _ALL),
    "SquareAttack": ("linf", "l2"),
    "HopSkipJump": ("linf", "l2"),
    "BrendelBethgeAttack": ("linf", "l2", "l1", "l0"),
}
NORM_VALUES: dict[Norm, float] = {"linf": np.inf, "l2": 2, "l1": 1, "l0": 0}
_SPEECH, _DETECTOR = "it attacks speech recognition", "it attacks object detectors"
_PATCH, _TABULAR = "a patch or texture has no norm: use patch or rp2", "it attacks models of tables"
_TENSORFLOW, _OTHER = "it is for TensorFlow", "it attacks models that are no networks"
UNUSABLE = {
    **dict.fromkeys(("CarliniWagnerASR", "ImperceptibleASR", "ImperceptibleASRPyTorch"), _SPEECH),
    **dict.fromkeys(("DPatch", "RobustDPatch", "OverloadPyTorch", "SNAL"), _DETECTOR),
    **dict.fromkeys(("AdversarialPatch", "AdversarialPatchNumpy", "AdversarialPatchPyTorch"), _PATCH),
    **dict.fromkeys(
        ("AdversarialTexturePyTorch", "GRAPHITEBlackbox", "GRAPHITEWhiteboxPyTorch", "LaserAttack"), _PATCH
    ),
    **dict.fromkeys(("AdversarialPatchTensorFlowV2", "ProjectedGradientDescentTensorFlowV2"), _TENSORFLOW),
    **dict.fromkeys(("FeatureAdversariesTensorFlowV2", "MalwareGDTensorFlow"), _TENSORFLOW),
    **dict.fromkeys(("FeatureAdversariesNumpy", "FeatureAdversariesPyTorch"), "it needs another input to come near to"),
    **dict.fromkeys(("DecisionTreeAttack", "HighConfidenceLowUncertainty"), _OTHER),
    **dict.fromkeys(("FrameSaliencyAttack", "OverTheAirFlickeringPyTorch"), "it attacks videos"),
    **dict.fromkeys(("PixelAttack", "ThresholdAttack"), "it wants pixels of 0 to 255"),
    **dict.fromkeys(
        ("UniversalPerturbation", "TargetedUniversalPerturbation"), "use universal-deepfool or universal-sgd"
    ),
    "AutoAttack": "use autoattack, whose members' calls are counted",
    "CompositeAdversarialAttackPyTorch": "hue, rotation and light together have no norm: use structural",
    "LowProFool": _TABULAR,
    "ShadowAttack": "it makes no norm small",
    "SpatialTransformation": "a rotation has no norm: use structural",
    "Wasserstein": "a Wasserstein ball is none of our norms",
}
SHARE = re.compile(r"\d+(\.\d+)?(e-?\d+)? eps")
FILLED = frozenset({"classifier", "estimator", "eps", "norm", "targeted", "verbose", "summary_writer"})


@attacks.register("art")
class Art(LibraryAttack):
    """An attack of the Adversarial Robustness Toolbox; ``norm`` chooses among those that its class offers."""

    source: ClassVar[str] = "Adversarial Robustness Toolbox (arXiv:1807.01069)"
    library: ClassVar[str] = "adversarial-robustness-toolbox"
    package: ClassVar[str] = "art"
    requires: ClassVar[tuple[str, ...]] = ("adversarial-robustness-toolbox",)
    extra: ClassVar[str] = "speed"
    files: ClassVar[tuple[str, str]] = ("attacks/evasion/__init__.py", "attacks/evasion")
    table: ClassVar[dict[str, Known]] = TABLE
    unusable: ClassVar[dict[str, str]] = UNUSABLE
    hidden: ClassVar[frozenset[str]] = FILLED | {"batch_size"}
    counts: ClassVar[tuple[str, ...]] = ("max_iter", "steps")

    def resolved_norm(self) -> Norm | None:
        """See :meth:`LibraryAttack.resolved_norm`; linf, or what the class offers first, where none is said.

        Raises:
            SpecError: the class does not offer that norm.
        """
        offered = CHOOSE_NORM.get(self.member)
        if offered is None:
            return super().resolved_norm()
        if self.norm is not None and self.norm not in offered:
            raise SpecError(f"attack {self.name!r} offers the norms {', '.join(offered)}, the probe says {self.norm!r}")
        return self.norm or offered[0]

    @model_validator(mode="after")
    def _check_step(self) -> Self:
        value = self.keywords().get("eps_step")
        if isinstance(value, str) and not SHARE.fullmatch(value):
            raise SpecError(
                f"attack {self.name!r}: eps_step is a number in input units or a share of the budget such as"
                f" '0.25 eps', got {value!r}"
            )
        return self

    def step_key(self) -> str:
        """``eps_step``, where the member goes by steps."""
        return "eps_step" if self.member in _STEPS else ""

    def step_of(self, share: float) -> dict[str, Any]:
        """See :meth:`LibraryAttack.step_of`."""
        return {"eps_step": f"{share:.10g} eps"}

    def default_step(self) -> float:
        """See :meth:`LibraryAttack.default_step`."""
        return 1.0 if self.member in (*_AUTO, "FastGradientMethod") else super().default_step()

    def step(self, eps: float) -> float | None:
        """See :meth:`LibraryAttack.step`."""
        value = self.keywords().get("eps_step")
        if isinstance(value, str):
            return float(value.split()[0])
        absolute = super().step(eps) if value is None else float(value)
        return None if absolute is None else absolute / eps

    def check_installed(self, where: str) -> Art:
        """Itself: without the library its cells are skipped, with the reason."""
        return self

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """The library is not installed, or numba, which one attack needs."""
        if reason := self.lacks():
            return f"{self.name} {reason}"
        if self.member == "BrendelBethgeAttack" and importlib.util.find_spec("numba") is None:
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
            AttackError: ART does not accept the parameters, or a budget is missing.
        """
        import warnings

        import torch

        from benchmark.attacks.libraries.torchattacks import class_count
        from benchmark.models.frozen import frozen

        threat, keywords = self.threat, self.keywords()
        accepted = self.read().parameters(self.member) or {}
        if threat.kind == "fixed":
            budget = self.budget(eps)
            keywords["eps"] = budget
            if isinstance(keywords.get("eps_step"), str):
                keywords["eps_step"] = float(keywords["eps_step"].split()[0]) * budget
        given = {"norm": NORM_VALUES.get(threat.norm), "targeted": False, "verbose": False, "batch_size": len(inputs)}
        keywords |= {key: value for key, value in given.items() if key in accepted}
        with frozen(model), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import art.attacks.evasion
            from art.estimators.classification import PyTorchClassifier

            classifier = PyTorchClassifier(
                model,
                loss=torch.nn.CrossEntropyLoss(),
                input_shape=tuple(inputs.shape[1:]),
                nb_classes=class_count(model, inputs),
                clip_values=(0.0, 1.0),
                device_type="gpu" if inputs.is_cuda else "cpu",
            )
            try:
                attack = getattr(art.attacks.evasion, self.member)(classifier, **keywords)
            except (TypeError, ValueError, AssertionError) as error:
                raise AttackError(f"attack {self.name!r} does not accept {keywords}: {error}") from error
            outputs = attack.generate(x=inputs.cpu().numpy(), y=labels.cpu().numpy())
        return Perturbed(torch.as_tensor(np.asarray(outputs, dtype=np.float32), device=inputs.device).clamp(0, 1))
