"""Attacks of other libraries by name, and AutoAttack's ensembles of them."""

from benchmark.attacks.libraries.autoattack import AutoAttack, AutoAttackBinary
from benchmark.attacks.libraries.foolbox import Foolbox
from benchmark.attacks.libraries.torchattacks import TorchAttacks

__all__ = ["AutoAttack", "AutoAttackBinary", "Foolbox", "TorchAttacks"]
