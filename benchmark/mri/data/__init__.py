"""Datasets of measurements, measured or simulated."""

from benchmark.mri.data.fastmri import FastMri
from benchmark.mri.data.kspace_npz import KspaceNpz
from benchmark.mri.data.nifti import Nifti
from benchmark.mri.data.npy import Npy
from benchmark.mri.data.phantoms import Phantoms

__all__ = ["FastMri", "KspaceNpz", "Nifti", "Npy", "Phantoms"]
