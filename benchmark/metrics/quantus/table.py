"""What Assay knows of Quantus' classes: true directions, what they return, what they need."""

from __future__ import annotations

from typing import Literal, NamedTuple

Shape = Literal["value", "curve", "layers"]


class Known(NamedTuple):
    """What Assay knows of a class of Quantus.

    Attributes:
        family: of the metric.
        higher_is_better: the true direction of the number that we take from it.
        shape: what it returns for a sample: a value, a curve (we take its area, divided by its length) or values by
            layer (we take their mean, without the untouched model's).
        random: it draws random numbers.
        needs_masks: it needs masks of the evidence.
        joint: it compares samples with one another.
    """

    family: str
    higher_is_better: bool
    shape: Shape = "value"
    random: bool = False
    needs_masks: bool = False
    joint: bool = False


TABLE: dict[str, Known] = {
    "FaithfulnessCorrelation": Known("faithfulness", True, random=True),
    "FaithfulnessEstimate": Known("faithfulness", True),
    "PixelFlipping": Known("faithfulness", False, "curve"),
    "RegionPerturbation": Known("faithfulness", True, "curve", random=True),
    "Monotonicity": Known("faithfulness", True),
    "MonotonicityCorrelation": Known("faithfulness", True, random=True),
    "Selectivity": Known("faithfulness", False, "curve"),
    "IROF": Known("faithfulness", True),
    "ROAD": Known("faithfulness", False, "curve", random=True),
    "Infidelity": Known("faithfulness", False, random=True),
    "Sufficiency": Known("faithfulness", True, joint=True),
    "Continuity": Known("robustness", False),
    "LocalLipschitzEstimate": Known("robustness", False, random=True),
    "MaxSensitivity": Known("robustness", False, random=True),
    "AvgSensitivity": Known("robustness", False, random=True),
    "Consistency": Known("robustness", True, joint=True),
    "RelativeInputStability": Known("robustness", False, random=True),
    "RelativeOutputStability": Known("robustness", False, random=True),
    "RelativeRepresentationStability": Known("robustness", False, random=True),
    "PointingGame": Known("localisation", True, needs_masks=True),
    "TopKIntersection": Known("localisation", True, needs_masks=True),
    "RelevanceMassAccuracy": Known("localisation", True, needs_masks=True),
    "RelevanceRankAccuracy": Known("localisation", True, needs_masks=True),
    "AttributionLocalisation": Known("localisation", True, needs_masks=True),
    "AUC": Known("localisation", True, needs_masks=True),
    "Sparseness": Known("complexity", True),
    "Complexity": Known("complexity", False),
    "EffectiveComplexity": Known("complexity", False),
    "MPRT": Known("randomisation", False, "layers", random=True),
    "SmoothMPRT": Known("randomisation", False, "layers", random=True),
    "EfficientMPRT": Known("randomisation", True, random=True),
    "RandomLogit": Known("randomisation", False, random=True),
    "Completeness": Known("axiomatic", True),
    "NonSensitivity": Known("axiomatic", False),
    "InputInvariance": Known("axiomatic", True),
}
