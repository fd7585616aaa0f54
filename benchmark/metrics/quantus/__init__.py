"""Quantus' metrics by name."""

from benchmark.metrics.quantus.metrics import Quantus

__all__ = ["Quantus"]
