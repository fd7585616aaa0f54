"""One perturbation for all images."""

from benchmark.attacks.universal.file import UniversalFile
from benchmark.attacks.universal.universal import UniversalDeepFool, UniversalRandom, UniversalSgd

__all__ = ["UniversalDeepFool", "UniversalFile", "UniversalRandom", "UniversalSgd"]
