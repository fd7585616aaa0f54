"""Attacks of other libraries by name."""

from benchmark.attacks.libraries.advlib import AdvLib
from benchmark.attacks.libraries.art import Art
from benchmark.attacks.libraries.foolbox import Foolbox
from benchmark.attacks.libraries.torchattacks import TorchAttacks

__all__ = ["AdvLib", "Art", "Foolbox", "TorchAttacks"]
