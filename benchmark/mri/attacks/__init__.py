"""Attacks on reconstructions: of the measurement, of the image, of details, of how it was acquired."""

from benchmark.mri.attacks.acquisition import Sampling, Shift
from benchmark.mri.attacks.details import Details
from benchmark.mri.attacks.jacobian import Jacobian
from benchmark.mri.attacks.lesion import Lesion
from benchmark.mri.attacks.measurement import MeasurementL2, MeasurementNoise, MeasurementTransfer
from benchmark.mri.attacks.pnas import Pnas

__all__ = [
    "Details",
    "Jacobian",
    "Lesion",
    "MeasurementL2",
    "MeasurementNoise",
    "MeasurementTransfer",
    "Pnas",
    "Sampling",
    "Shift",
]
