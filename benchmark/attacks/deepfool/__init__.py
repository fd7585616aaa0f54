"""DeepFool and what is measured beside it: the smallest steps that change a decision."""

from benchmark.attacks.deepfool.deepfool import DeepFool
from benchmark.attacks.deepfool.fgsm_minimal import FgsmMinimal

__all__ = ["DeepFool", "FgsmMinimal"]
