"""Captum's attributions by name."""

from benchmark.explainers.captum.methods import (
    DeepLift,
    DeepLiftShap,
    InputXGradient,
    IntegratedGradients,
    Occlusion,
    Saliency,
)

__all__ = ["DeepLift", "DeepLiftShap", "InputXGradient", "IntegratedGradients", "Occlusion", "Saliency"]
