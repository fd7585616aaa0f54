"""Layer-wise relevance propagation: zennit's composites and single rules, and rules at torch's functions."""

from benchmark.explainers.lrp.attn_lrp import AttnLrp, CpLrp
from benchmark.explainers.lrp.lrp import COMPOSITES
from benchmark.explainers.lrp.single_rules import DeepTaylor, ExcitationBackprop

__all__ = ["COMPOSITES", "AttnLrp", "CpLrp", "DeepTaylor", "ExcitationBackprop"]
