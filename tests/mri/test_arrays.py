"""NumPy's view of packed measurements. Oracle: parity with the torch operators (deepinv) that measured them."""

import numpy as np
import pytest
import torch

from benchmark.errors import DataError
from benchmark.mri.arrays import adjoint, magnitude
from benchmark.mri.measurement import Measurement


@pytest.mark.parametrize("coils", [0, 1, 3])
def test_the_adjoint_is_that_of_the_operator(coils):
    """Odd and even sizes: the shifts of a centred FFT differ there."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, 2, 7, 10) if not coils else (2, 2, coils, 7, 10)
    mask = (torch.rand(2, 1, 7, 10, generator=generator) > 0.4).float()
    maps = torch.randn(2, coils, 7, 10, dtype=torch.complex64, generator=generator) if coils else None
    whole = Measurement(torch.randn(shape, generator=generator), mask, maps)
    measured = whole.with_y(whole.sampled(whole.y))
    expected = measured.physics().A_adjoint(measured.y)
    np.testing.assert_allclose(adjoint(measured.pack().numpy()), expected, atol=1e-5)


def test_magnitude_of_three_and_four():
    image = np.stack([np.full((2, 3), 3.0), np.full((2, 3), -4.0)])
    np.testing.assert_allclose(magnitude(image), np.full((2, 3), 5.0))
    assert magnitude(image[None]).shape == (1, 2, 3)


def test_channels_of_no_measurement_are_named():
    with pytest.raises(DataError, match="got 4"):
        adjoint(np.zeros((1, 4, 8, 8)))
