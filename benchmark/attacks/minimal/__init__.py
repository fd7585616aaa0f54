"""Attacks that look for the smallest perturbation in a norm, by gradients."""

from benchmark.attacks.minimal.carlini_wagner import CarliniWagner
from benchmark.attacks.minimal.ddn import DDN
from benchmark.attacks.minimal.fmn import FMN
from benchmark.attacks.minimal.minimal import Minimal
from benchmark.attacks.minimal.pdpgd import PDPGD
from benchmark.attacks.minimal.sigma_zero import SigmaZero
from benchmark.attacks.minimal.superdeepfool import SuperDeepFool

__all__ = ["DDN", "FMN", "PDPGD", "CarliniWagner", "Minimal", "SigmaZero", "SuperDeepFool"]
