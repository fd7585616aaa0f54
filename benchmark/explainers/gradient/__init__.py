"""Gradients with other rules at ReLUs, and gradients at noisy copies."""

from benchmark.explainers.gradient.backprop import BetaSmooth, Deconvolution, GuidedBackprop
from benchmark.explainers.gradient.noise import GradientShap, SmoothGrad, SmoothGradSquared, SmoothTaylor, VarGrad

__all__ = [
    "BetaSmooth",
    "Deconvolution",
    "GradientShap",
    "GuidedBackprop",
    "SmoothGrad",
    "SmoothGradSquared",
    "SmoothTaylor",
    "VarGrad",
]
