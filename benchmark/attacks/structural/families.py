"""The families of structural perturbations by name."""

from __future__ import annotations

from benchmark.attacks.structural.corruptions import Blur, Brightness, Contrast, Fog, Gamma, Jpeg, Occlusion
from benchmark.attacks.structural.family import Family
from benchmark.attacks.structural.geometry import RotationTranslation, Scale, Shear

FAMILIES: dict[str, Family] = {
    "rotation-translation": RotationTranslation(),
    "scale": Scale(),
    "shear": Shear(),
    "brightness": Brightness(),
    "contrast": Contrast(),
    "gamma": Gamma(),
    "blur": Blur(),
    "jpeg": Jpeg(),
    "fog": Fog(),
    "occlusion": Occlusion(),
}
