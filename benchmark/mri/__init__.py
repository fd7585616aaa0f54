"""MRI: masks, measurements, solvers and networks that turn undersampled k-space into images.

Images are complex, held as two real channels (N, 2, H, W); k-space is centred and its FFT unitary; what a network is
called with is deepinv's convention, ``network(y, physics) -> image``.
"""

from __future__ import annotations

EXTRA = "mri"  # of the distribution: what installs the libraries
LIBRARIES = ("deepinv", "sigpy", "nibabel", "h5py", "pywavelets", "torchmetrics")
MEASUREMENT = "measurement"  # kind of inputs: samples become packed measurements (:mod:`benchmark.mri.measurement`)
VERSION = 1  # raise it when physics, masks, solvers or networks here compute otherwise: it enters every entry's digest
