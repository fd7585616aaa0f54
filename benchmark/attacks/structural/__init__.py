"""Structural perturbations: geometry, light, blur, compression, weather, occlusion."""

from benchmark.attacks.structural.corruption import Corruption, CorruptionFiles
from benchmark.attacks.structural.structural import Structural

__all__ = ["Corruption", "CorruptionFiles", "Structural"]
