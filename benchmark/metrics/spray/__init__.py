"""Spectral relevance analysis: clusters of heatmaps."""

from benchmark.metrics.spray.spray import Spray

__all__ = ["Spray"]
