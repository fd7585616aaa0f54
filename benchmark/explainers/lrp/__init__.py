"""Layer-wise relevance propagation with zennit: composites and single rules."""

from benchmark.explainers.lrp.lrp import COMPOSITES
from benchmark.explainers.lrp.single_rules import DeepTaylor, ExcitationBackprop

__all__ = ["COMPOSITES", "DeepTaylor", "ExcitationBackprop"]
