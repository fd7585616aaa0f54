"""Attacks of other libraries by name."""

from benchmark.attacks.libraries.foolbox import Foolbox
from benchmark.attacks.libraries.torchattacks import TorchAttacks

__all__ = ["Foolbox", "TorchAttacks"]
