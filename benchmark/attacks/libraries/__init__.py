"""Attacks of other libraries by name, and AutoAttack's ensembles of them."""

from benchmark.attacks.libraries.advlib import AdvLib
from benchmark.attacks.libraries.art import Art
from benchmark.attacks.libraries.autoattack import AutoAttack, AutoAttackBinary
from benchmark.attacks.libraries.foolbox import Foolbox
from benchmark.attacks.libraries.torchattacks import TorchAttacks

__all__ = ["AdvLib", "Art", "AutoAttack", "AutoAttackBinary", "Foolbox", "TorchAttacks"]
