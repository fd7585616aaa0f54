"""Attacks without parameters to tune, and AutoAttack, their ensemble."""

from benchmark.attacks.parameter_free.apgd import Apgd
from benchmark.attacks.parameter_free.autoattack import AutoAttack
from benchmark.attacks.parameter_free.fab import Fab
from benchmark.attacks.parameter_free.square import Square

__all__ = ["Apgd", "AutoAttack", "Fab", "Square"]
