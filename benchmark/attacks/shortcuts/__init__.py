"""Probes of shortcuts: a watermark, a region, a structure that goes along with the truth."""

from benchmark.attacks.shortcuts.regions import KeepRegion, MaskRegion
from benchmark.attacks.shortcuts.structure import StructureAbsent, StructureConflict, StructureDeepFool
from benchmark.attacks.shortcuts.watermark import Watermark

__all__ = ["KeepRegion", "MaskRegion", "StructureAbsent", "StructureConflict", "StructureDeepFool", "Watermark"]
