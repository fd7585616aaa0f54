"""Layer-wise relevance propagation with zennit: composites and single rules."""

from benchmark.explainers.lrp.lrp import (
    LrpEpsilon,
    LrpEpsilonAlpha2Beta1,
    LrpEpsilonAlpha2Beta1Flat,
    LrpEpsilonGammaBox,
    LrpEpsilonPlus,
    LrpEpsilonPlusFlat,
)
from benchmark.explainers.lrp.single_rules import DeepTaylor, ExcitationBackprop

__all__ = [
    "DeepTaylor",
    "ExcitationBackprop",
    "LrpEpsilon",
    "LrpEpsilonAlpha2Beta1",
    "LrpEpsilonAlpha2Beta1Flat",
    "LrpEpsilonGammaBox",
    "LrpEpsilonPlus",
    "LrpEpsilonPlusFlat",
]
