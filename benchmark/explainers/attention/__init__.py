"""Explainers that read the attention of transformers."""

from benchmark.explainers.attention.attention import Attention, AttentionRollout, GradientRollout

__all__ = ["Attention", "AttentionRollout", "GradientRollout"]
