"""Reconstruction networks. Oracles: counts and limits in closed form, autograd against finite differences, properties.

What every one of them must do (any batch, any mask, a gradient at y) is asked of all in one table.
"""

import pytest
import torch

from benchmark.errors import NotApplicableError
from benchmark.mri.masks import MaskSpec, make_mask
from benchmark.mri.measurement import fft, measure, to_channels, to_complex
from benchmark.mri.networks.automap import ACTIVITY, AUTOMAP
from benchmark.mri.networks.cascade import DeepCascade
from benchmark.mri.networks.modl import MoDL
from benchmark.mri.networks.unet import UNet
from benchmark.mri.reconstructor import Reconstructor

SIZE = (8, 8)
SPEC = MaskSpec(fraction=0.54)

SMALL = {
    "automap": lambda: AUTOMAP(SIZE, hidden=12, features=4),
    "deep_cascade": lambda: DeepCascade(cascades=2, depth=3, features=4),
    "deep_cascade_soft": lambda: DeepCascade(cascades=2, depth=3, features=4, weight=3.0),
    "unet": lambda: UNet(channels=(4, 8, 8)),
    "modl": lambda: MoDL(iterations=2, depth=3, features=4),
}


@pytest.fixture(params=SMALL)
def network(request):
    torch.manual_seed(0)
    return SMALL[request.param]().eval()


def measured(n=3, size=SIZE, spec=SPEC, coils=1, dtype=torch.float32):
    """Measurements of random images, with coils through random maps."""
    generator = torch.Generator().manual_seed(coils)
    inputs = 0.3 * torch.randn(n, 2, *size, generator=generator, dtype=dtype)
    if coils > 1:
        parts = torch.randn(2, n, coils, *size, generator=generator, dtype=dtype)
        maps = torch.complex(*parts) / parts.square().sum((0, 2)).sqrt()[:, None]
        images = maps * to_complex(inputs)[:, None]
        inputs = torch.cat([images.real, images.imag, maps.real, maps.imag], 1)
    return measure(inputs, torch.from_numpy(make_mask(spec, size)))


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts():
    """Closed form: D5C5 is published as 565,770 parameters; AUTOMAP's layers add up."""
    assert count(DeepCascade()) == 565_770
    values = 2 * round(0.54 * 1024)
    layers = ((values + 1) * 1024, 1025 * 2048, (2 * 25 + 1) * 64, (64 * 25 + 1) * 64, 64 * 2 * 49 + 2)
    assert count(AUTOMAP((32, 32))) == sum(layers) == 3_344_770
    assert count(AUTOMAP((32, 32))) * 2 < 8 * 2**20  # stored as float16
    assert 0.5e6 < count(UNet()) < 2e6


def test_a_sample_is_reconstructed_alike_in_any_batch(network):
    whole = measured()
    output = network(whole.y, whole.physics())
    assert output.shape == (3, 2, *SIZE)
    assert torch.equal(output, network(whole.y, whole.physics()))
    assert not any(module.training for module in network.modules())
    for i in range(3):
        alone = measured()
        single = network(alone.y[i : i + 1], type(alone)(alone.y[i : i + 1], alone.mask[i : i + 1]).physics())
        torch.testing.assert_close(single[0], output[i], atol=1e-5, rtol=0)


def test_gradients_at_the_measurement_are_those_of_finite_differences(network):
    """In float64, first and second order: attacks use one, the power iteration on the Jacobian both."""
    network.double()
    small = measured(n=1, dtype=torch.float64)
    physics = small.physics()
    y = small.y.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda y: network(y, physics), (y,), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda y: network(y, physics), (y,), fast_mode=True)
    (gradient,) = torch.autograd.grad(network(y, physics).square().sum(), y)
    assert (gradient.abs().sum((2, 3)) > 0).all()


def test_what_is_not_measured_is_not_read(network):
    """Property: k-space off the mask changes nothing."""
    whole = measured()
    other = whole.y + (1 - whole.mask) * torch.randn_like(whole.y)
    torch.testing.assert_close(network(other, whole.physics()), network(whole.y, whole.physics()), atol=1e-6, rtol=0)


def test_a_wrapped_network_takes_packed_measurements(network):
    whole = measured()
    assert torch.equal(Reconstructor(network)(whole.pack()), network(whole.y, whole.physics()))


@pytest.mark.parametrize("name", ["deep_cascade", "deep_cascade_soft", "unet", "modl"])
def test_any_size_mask_and_number_of_coils(name):
    """A gradient reaches every coil's measured k-space (and none of it, by the mask, what is not measured)."""
    torch.manual_seed(0)
    network = SMALL[name]()
    whole = measured(size=(12, 16), spec=MaskSpec(kind="vd1d", fraction=0.5, seed=3), coils=3)
    y = whole.y.clone().requires_grad_(True)
    output = network(y, whole.physics())
    assert output.shape == (3, 2, 12, 16)
    (gradient,) = torch.autograd.grad(output.square().sum(), y)
    assert (gradient.abs().flatten(3).sum(3) > 0).all()
    assert torch.isfinite(gradient).all()


# -- data consistency ----------------------------------------------------------------------------------------------


def test_hard_data_consistency_is_exact():
    """A f(y) = y to float32 for one coil, of an untrained network."""
    torch.manual_seed(0)
    whole = measured(size=(32, 32))
    with torch.no_grad():
        output = DeepCascade(features=8)(whole.y, whole.physics())
    torch.testing.assert_close(whole.physics().A(output), whole.y, atol=1e-6, rtol=0)
    assert not torch.allclose(output, whole.physics().A_adjoint(whole.y), atol=1e-2)


def test_soft_data_consistency_is_the_papers_equation_9():
    """Closed form: (own + lambda measured) / (1 + lambda) where measured, the image's own elsewhere."""
    whole, image = measured(), torch.randn(3, 2, *SIZE)
    found = DeepCascade(cascades=1, features=4, weight=3.0).consistent(image, whole.y, whole.physics())
    own = to_channels(fft(to_complex(image)))
    expected = torch.where(whole.mask.bool(), (own + 3 * whole.y) / 4, own)
    torch.testing.assert_close(to_channels(fft(to_complex(found))), expected, atol=1e-5, rtol=0)


def test_data_consistency_with_coils_keeps_the_truth_and_moves_others_towards_it():
    """Property: the true image is a fixed point; fully sampled k-space gives the truth from any image."""
    network = DeepCascade(cascades=1, features=4)
    whole = measured(coils=4)
    full = measured(coils=4, spec=MaskSpec(fraction=1))
    truth = full.physics().A_adjoint(full.y)
    kept = network.consistent(truth, whole.y, whole.physics())
    torch.testing.assert_close(kept, truth, atol=1e-5, rtol=0)
    other = torch.randn_like(truth)
    torch.testing.assert_close(network.consistent(other, full.y, full.physics()), truth, atol=1e-5, rtol=0)
    nearer = network.consistent(other, whole.y, whole.physics())
    assert (nearer - truth).norm() < (other - truth).norm()


# -- each on its own -----------------------------------------------------------------------------------------------


def test_a_denoiser_that_does_nothing_leaves_the_zero_filled_image():
    """Closed form: the zero-filled image solves the proximal step that starts at it, and the U-Net adds 0."""
    whole = measured(size=(16, 16))
    zero_filled = whole.physics().A_adjoint(whole.y)
    modl, unet = MoDL(iterations=3, depth=3, features=4), UNet(channels=(4, 8))
    for layer in (modl.network.prior[0].denoiser.out_conv, unet.network.Conv_1x1):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    with torch.no_grad():
        torch.testing.assert_close(modl(whole.y, whole.physics()), zero_filled, atol=1e-5, rtol=0)
        torch.testing.assert_close(unet(whole.y, whole.physics()), zero_filled, atol=1e-6, rtol=0)


def test_modl_shares_its_denoiser_between_turns():
    """Closed form: more turns add step sizes (three numbers a turn), no convolutions."""
    assert count(MoDL(iterations=5)) - count(MoDL(iterations=3)) == 2 * 3


def test_automap_refuses_what_it_was_not_trained_for():
    network = AUTOMAP(SIZE, hidden=4, features=2)
    assert network.refuses(measured().physics()) is None
    for other, words in (
        (measured(spec=SPEC.model_copy(update={"seed": 1})), "another mask"),
        (measured(spec=SPEC.at(0.6)), "another mask"),
        (measured(size=(8, 10)), "is 8x10"),
        (measured(coils=3), "has 3 coils"),
    ):
        reason = network.refuses(other.physics())
        assert reason.startswith("trained for one mask (vd2d, 54 %, seed 0) at 8x8")
        assert words in reason
        for call in (lambda m: network(m.y, m.physics()), lambda m: Reconstructor(network)(m.pack())):
            with pytest.raises(NotApplicableError, match="trained for one mask"):
                call(other)


def test_automaps_penalty_is_on_the_second_convolution():
    """Oracle: the layer's output seen by a hook."""
    network, whole, seen = AUTOMAP(SIZE, hidden=4, features=2), measured(), []
    network.conv2.register_forward_hook(lambda module, inputs, output: seen.append(output.relu().abs().mean()))
    with torch.no_grad():
        image, penalty = network.penalised(whole.y, whole.physics())
        assert torch.equal(image, network(whole.y, whole.physics()))
    assert float(penalty) == pytest.approx(ACTIVITY * float(seen[0]), rel=1e-6)
    assert "mask" not in network.state_dict()  # it follows from the entry's kwargs


def test_modls_step_is_how_much_the_measurement_counts():
    """Closed form: a turn of a denoiser that does nothing makes (own + step measured) / (1 + step) of another image."""
    network, whole, other = MoDL(iterations=1, depth=3, features=4, step=3.0), measured(), torch.randn(3, 2, *SIZE)
    torch.nn.init.zeros_(network.network.prior[0].denoiser.out_conv.weight)
    torch.nn.init.zeros_(network.network.prior[0].denoiser.out_conv.bias)
    with torch.no_grad():
        found = network.network(whole.y, whole.physics(), init=(other, other))
    own = to_channels(fft(to_complex(other)))
    expected = torch.where(whole.mask.bool(), (own + 3 * whole.y) / 4, own)
    torch.testing.assert_close(to_channels(fft(to_complex(found))), expected, atol=1e-5, rtol=0)
