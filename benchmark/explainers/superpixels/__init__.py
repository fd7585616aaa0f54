"""Attributions of cells of a grid: LIME, KernelSHAP."""

from benchmark.explainers.superpixels.superpixels import FeatureAblation, KernelShap, Lime, ShapleySampling

__all__ = ["FeatureAblation", "KernelShap", "Lime", "ShapleySampling"]
