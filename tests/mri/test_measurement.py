"""Physics: parity with deepinv's operators, adjointness, and a packed measurement that unpacks to itself."""

import pytest
import torch
from deepinv.physics import MRI, MultiCoilMRI

from benchmark.errors import DataError
from benchmark.mri.masks import MaskSpec, make_mask
from benchmark.mri.measurement import fft, ifft, measure, split_sample, to_channels, to_complex, truth_of, unpack

SIZE = (12, 10)
MASK = torch.from_numpy(make_mask(MaskSpec(fraction=0.5), SIZE))


def samples(coils: int, n: int = 3) -> torch.Tensor:
    """Random samples; with coils, coil images that come from one image through their maps."""
    generator = torch.Generator().manual_seed(coils)
    image = torch.randn(n, 2, *SIZE, generator=generator)
    if coils == 1:
        return image
    maps = torch.randn(n, coils, *SIZE, dtype=torch.complex64, generator=generator)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    images = maps * to_complex(image)[:, None]
    return torch.cat([images.real, images.imag, maps.real, maps.imag], 1)


@pytest.mark.parametrize("coils", [1, 4])
def test_measures_as_deepinv_does(coils):
    """Oracle: deepinv's A on the same image, mask and maps."""
    inputs = samples(coils)
    measured = measure(inputs, MASK)
    truth, maps = truth_of(inputs), split_sample(inputs)[1]
    theirs = MRI(mask=MASK) if maps is None else MultiCoilMRI(mask=MASK, coil_maps=maps)
    torch.testing.assert_close(measured.y, theirs.A(truth), atol=1e-5, rtol=0)
    torch.testing.assert_close(measured.physics().A(truth), theirs.A(truth), atol=1e-6, rtol=0)


@pytest.mark.parametrize("coils", [1, 4])
def test_packs_and_unpacks(coils):
    measured = measure(samples(coils), MASK)
    packed = measured.pack()
    assert packed.shape == (3, 3 if coils == 1 else 4 * coils + 1, *SIZE)
    again = unpack(packed)
    assert torch.equal(again.y, measured.y)
    assert torch.equal(again.mask, measured.mask)
    assert (again.maps is None) == (coils == 1)
    assert torch.equal(again.pack(), packed)


@pytest.mark.parametrize("coils", [1, 4])
def test_adjoint(coils):
    """Property: <A x, y> = <x, A* y> for random x and y."""
    measured = measure(samples(coils), MASK)
    physics = measured.physics()
    x, y = torch.randn(3, 2, *SIZE), measured.sampled(torch.randn_like(measured.y))
    left, right = (physics.A(x) * y).sum(), (x * physics.A_adjoint(y)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-4, abs=1e-4)


def test_fft_is_unitary_and_centred():
    image = torch.randn(2, *SIZE, dtype=torch.complex64)
    torch.testing.assert_close(fft(image).norm(), image.norm())
    torch.testing.assert_close(ifft(fft(image)), image)
    constant = fft(torch.ones(SIZE, dtype=torch.complex64))
    assert constant.abs().argmax() == (SIZE[0] // 2) * SIZE[1] + SIZE[1] // 2
    assert torch.equal(to_complex(to_channels(image)), image)


@pytest.mark.parametrize("coils", [1, 4])
def test_noise_has_the_level_that_is_asked_for(coils):
    """Property: ||n|| / ||Ax|| is the level on average, and nothing is added where nothing is measured."""
    inputs = samples(coils, n=40)
    normal = torch.randn(40, 2 * coils, *SIZE, generator=torch.Generator().manual_seed(1))
    clean, noisy = measure(inputs, MASK), measure(inputs, MASK, level=0.02, normal=normal)
    share = (noisy.y - clean.y).flatten(1).norm(dim=1) / clean.norm()
    assert float(share.mean()) == pytest.approx(0.02, rel=0.05)
    assert torch.equal(noisy.sampled(noisy.y), noisy.y)


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_refuses_other_tensors(channels):
    with pytest.raises(DataError, match="channels"):
        unpack(torch.zeros(1, channels, 4, 4))


def test_refuses_samples_of_other_channels():
    with pytest.raises(DataError, match="4 c channels"):
        split_sample(torch.zeros(1, 3, 4, 4))
