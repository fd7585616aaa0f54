"""Classical reconstructions. Oracles: sigpy's and deepinv's solutions, FISTA, optimality conditions, finite
differences, closed forms, and properties (scale, batches, amplification)."""

import numpy as np
import pytest
import torch

from benchmark.errors import NotApplicableError, SpecError
from benchmark.mri.masks import MaskSpec, make_mask
from benchmark.mri.measurement import Measurement, fft, measure, to_channels, to_complex, truth_of
from benchmark.mri.priors import Differences, Wavelets
from benchmark.mri.quality import relative_error
from benchmark.mri.reconstructor import Reconstructor
from benchmark.mri.solvers import OracleTotalVariation, TotalVariation, WaveletL1, ZeroFilled

SIZE = (32, 32)
LAM = 5e-3
MAKERS = {
    "tv": lambda **more: TotalVariation(LAM, **more),
    "tv-anisotropic": lambda **more: TotalVariation(LAM, isotropic=False, **more),
    "wavelet": lambda **more: WaveletL1(LAM, levels=2, **more),
}
every_method = pytest.mark.parametrize("method", MAKERS)


def heads(n=4, coils=1, size=SIZE, real=False):
    """Nested ellipses with a smooth phase and texture, in the layout of a dataset's samples."""
    generator = np.random.default_rng(coils)
    y, x = np.meshgrid(*(np.linspace(-1, 1, k) for k in size), indexing="ij")
    images = []
    for _ in range(n):
        image = np.zeros(size)
        for value in (0.5, 0.3, -0.4, 0.2, 0.3):
            centre, axes = generator.uniform(-0.25, 0.25, 2), generator.uniform(0.15, 0.55, 2)
            image += value * (((x - centre[0]) / axes[0]) ** 2 + ((y - centre[1]) / axes[1]) ** 2 < 1)
        image = np.clip(image, 0, None) * (1 + 0.05 * np.cos(9 * x + 7 * y))
        phase = 0 if real else sum(generator.uniform(-0.7, 0.7) * term for term in (x, y, x * y))
        images.append(image * np.exp(1j * phase) / image.max())
    truth = torch.from_numpy(np.stack(images))
    if coils == 1:
        return to_channels(truth).float()
    angles = 2 * np.pi * np.arange(coils) / coils
    maps = np.stack(
        [np.exp(-((x - np.cos(a)) ** 2 + (y - np.sin(a)) ** 2) / 1.5 + 1j * (a + x * np.cos(a))) for a in angles]
    )
    maps = torch.from_numpy(maps / np.sqrt((np.abs(maps) ** 2).sum(0))).expand(n, -1, -1, -1)
    coil_images = maps * truth[:, None]
    return torch.cat([coil_images.real, coil_images.imag, maps.real, maps.imag], 1).float()


def measured(coils=1, n=4, level=0.02, fraction=0.5, size=SIZE, double=False):
    """Noisy measurements of heads, and the truth."""
    inputs = heads(n, coils, size)
    normal = torch.randn(n, 2 * coils, *size, generator=torch.Generator().manual_seed(0))
    mask = torch.from_numpy(make_mask(MaskSpec(fraction=fraction), size))
    found = measure(inputs.double() if double else inputs, mask, level=level, normal=normal)
    if double and found.maps is not None:  # single-precision maps have a sum of squares of 1 to 1e-7 only
        maps = found.maps / found.maps.abs().square().sum(1, keepdim=True).sqrt()
        found = Measurement(found.y, found.mask, maps)
    return found, truth_of(inputs)


def converged(network):
    network.iterations, network.tolerance = 5000, 1e-8
    return network


def norms(x):
    return torch.linalg.vector_norm(x.flatten(1), dim=1)


# -- against libraries -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sigpy's and numba's
def test_total_variation_reaches_sigpys_objective(coils):
    """Oracle: ``TotalVariationRecon`` after 2,000 iterations, whose objective is the anisotropic one."""
    from sigpy.mri.app import TotalVariationRecon

    m, _ = measured(coils, n=2)
    network = TotalVariation(LAM, isotropic=False)
    problem = network.problem(m.y, m.physics())
    ours = to_complex(network(m.y, m.physics())) / problem.scale
    theirs = []
    for i in range(2):
        y = to_complex(m.y)[i].reshape(coils, *SIZE).numpy()
        maps = np.ones((1, *SIZE), np.complex64) if m.maps is None else m.maps[i].numpy()
        lam = LAM * float(problem.scale[i])
        weights = m.mask[i, 0].numpy()
        theirs.append(TotalVariationRecon(y, maps, lam, weights=weights, max_iter=2000, show_pbar=False).run())
    theirs = torch.from_numpy(np.stack(theirs)).to(ours.dtype) / problem.scale
    best = problem.objective(theirs)
    assert (problem.objective(ours) <= 1.001 * best).all()
    assert (problem.objective(ours) >= 0.99 * best).all()  # sigpy converged as well
    assert (norms(ours - theirs) < 0.01 * norms(theirs)).all()


def test_total_variation_agrees_with_deepinv_where_both_pose_the_same_problem():
    """Oracle: deepinv's FISTA with ``TVPrior``, each solution under both objectives.

    Its prior treats real and imaginary part apart and ends at the border, ours takes the complex modulus and goes
    around. They are one problem for a real image that is zero near its border, and a mask that is symmetric about the
    zero frequency (the solution is then real): to 1 % each solution is as good as the other's.
    """
    from deepinv.optim import FISTA, L2, TVPrior

    inputs = heads(2, size=(33, 33), real=True)  # odd: every frequency has its mirror image in the grid
    half = torch.from_numpy(make_mask(MaskSpec(fraction=0.5), (33, 33)))
    m = measure(inputs, half | half.flip(-2, -1))
    network = TotalVariation(LAM)
    problem = network.problem(m.y, m.physics())
    ours = network(m.y, m.physics())
    theirs = []
    for i in range(2):  # one at a time: lambda is relative to each image's scale
        y, physics = m.y[i : i + 1], Measurement(m.y[i : i + 1], m.mask[i : i + 1]).physics()
        prior = TVPrior(n_it_max=50)
        solver = FISTA(L2(), prior, lambda_reg=LAM * float(problem.scale[i]), max_iter=150)
        theirs.append(solver(y, physics))
    theirs = torch.cat(theirs)
    assert float(ours[:, 1].abs().max()) < 1e-3  # the solution is real

    def under_theirs(image):
        misfit = (m.physics().A(image) - m.y).square().flatten(1).sum(1) / 2
        return misfit + LAM * problem.scale.flatten() * TVPrior().fn(image)

    def under_ours(image):
        return problem.objective(to_complex(image) / problem.scale)

    for objective in (under_ours, under_theirs):
        assert (objective(ours) / objective(theirs) - 1).abs().max() < 0.01


def test_wavelets_are_pywavelets():
    """Oracle: ``wavedec2`` with periodisation; the inverse and the norm."""
    import pywt

    image = torch.randn(3, 64, 80, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    wavelets = Wavelets("db4", 3)
    found = wavelets.apply(image)
    theirs = pywt.wavedec2(image.numpy(), "db4", mode="periodization", level=3, axes=(-2, -1))
    array, _ = pywt.coeffs_to_array(theirs, axes=(-2, -1))
    np.testing.assert_allclose(found[:, 0].numpy(), array, atol=1e-12)
    torch.testing.assert_close(wavelets.adjoint(found), image)
    torch.testing.assert_close(norms(found), norms(image))


@pytest.mark.parametrize("prior", [Differences(), Wavelets("db4", 2)])
def test_transforms_have_their_adjoint_and_gram(prior):
    """Property: <G x, z> = <x, G^H z>, and G^H G is what ``gram`` says in k-space."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 8, 12, dtype=torch.complex128, generator=generator)
    z = torch.randn(prior.apply(x).shape, dtype=torch.complex128, generator=generator)
    torch.testing.assert_close((prior.apply(x).conj() * z).sum(), (x.conj() * prior.adjoint(z)).sum())
    again = torch.fft.ifft2(prior.gram(x) * torch.fft.fft2(x))
    torch.testing.assert_close(prior.adjoint(prior.apply(x)), again)


# -- optimality ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coils", [1, 4])
def test_wavelet_solution_is_optimal(coils):
    """Oracle: FISTA's objective after 3,000 iterations (Beck and Teboulle 2009), and the optimality conditions:
    W A^H (y - A x) is lambda times the phase of each coefficient, and at most lambda in modulus where one is 0."""
    m, _ = measured(coils, n=2, double=True)
    network = converged(MAKERS["wavelet"]())
    problem, physics = network.problem(m.y, m.physics()), m.physics()
    scale = problem.scale
    x = to_complex(network(m.y, physics)) / scale

    def pull(image):  # A^H (y - A x) in units of scale
        return to_complex(physics.A_adjoint(m.y - physics.A(to_channels(image * scale)))) / scale

    prior = network.prior
    coefficients, force = prior.apply(x), prior.apply(pull(x))
    assert float(force.abs().max()) < LAM * 1.001
    kept = coefficients.abs() > 1e-4
    assert kept.any()
    torch.testing.assert_close(force[kept], LAM * torch.sgn(coefficients[kept]), rtol=0, atol=0.01 * LAM)

    slow = momentum = torch.zeros_like(x)
    t = 1.0
    for _ in range(3000):
        z = prior.apply(momentum + pull(momentum))
        moved = prior.adjoint(z * (1 - LAM / z.abs().clamp_min(1e-30)).clamp_min(0))
        t, before = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
        momentum, slow = moved + (before - 1) / t * (moved - slow), moved
    torch.testing.assert_close(problem.objective(x), problem.objective(slow), rtol=1e-5, atol=0)


@pytest.mark.parametrize("isotropic", [True, False])
def test_denoising_of_two_levels_has_a_closed_form(isotropic):
    """Closed form: a full mask and a half of ones, whose edges around the torus are 16 pixels each. TV moves each half
    towards the other by lambda * perimeter / area = lambda * 32 / (16 * 16)."""
    lam = 0.5
    truth = torch.zeros(1, 2, 16, 32)
    truth[:, 0, :, :16] = 1
    m = measure(truth, torch.ones(16, 32, dtype=torch.bool))
    found = converged(TotalVariation(lam, isotropic=isotropic))(m.y, m.physics())
    shift = lam * 2 * 16 / (16 * 16)
    expected = truth.clone()
    expected[:, 0] = truth[:, 0] * (1 - 2 * shift) + shift
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("coils", [1, 4])
@every_method
def test_full_sampling_and_a_vanishing_lambda_give_the_truth(method, coils):
    m, truth = measured(coils, level=0, fraction=1)
    network = MAKERS[method]()
    network.lam = 1e-6
    assert float(relative_error(network(m.y, m.physics()), truth).max()) < 1e-3


@every_method
def test_beats_zero_filling(method):
    """Control: the point of it all."""
    m, truth = measured(level=0)
    ours = relative_error(MAKERS[method]()(m.y, m.physics()), truth).mean()
    assert float(ours) < 0.7 * float(relative_error(ZeroFilled()(m.y, m.physics()), truth).mean())


# -- properties ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coils", [1, 4])
@every_method
def test_scales_with_the_data(method, coils):
    """Property: f(a y) = a f(y), per sample."""
    m, _ = measured(coils)
    network = MAKERS[method]()
    factors = torch.tensor([1e-4, 0.5, 3.0, 1e5]).view(-1, *[1] * (m.y.ndim - 1))
    once, scaled = network(m.y, m.physics()), network(factors * m.y, m.physics())
    factors = factors.view(-1, 1, 1, 1)
    torch.testing.assert_close(scaled / factors, once, atol=1e-3, rtol=0)


@pytest.mark.parametrize("coils", [1, 4])
@every_method
def test_a_batch_is_its_samples(method, coils):
    """Property: N at once are N alone, masks that differ among them; samples stop at different iterations."""
    m, _ = measured(coils, n=3)
    masks = [make_mask(MaskSpec(fraction=f, seed=i), SIZE) for i, f in enumerate((0.3, 0.5, 0.9))]
    mask = torch.from_numpy(np.stack(masks))[:, None].float()
    kspace = torch.cat([m.y[:1] * 0, m.y[1:]])  # and one of zeros
    m = Measurement(Measurement(kspace, mask, m.maps).sampled(kspace), mask, m.maps)
    network = MAKERS[method]()
    together, state = network(m.y, m.physics()), network.warm(m.y, m.physics())
    near = network.unrolled(m.y, m.physics(), state)
    for i in range(3):
        part = slice(i, i + 1)
        alone = Measurement(m.y[part], m.mask[part], None if m.maps is None else m.maps[part])
        torch.testing.assert_close(network(alone.y, alone.physics()), together[part], atol=2e-4, rtol=0)
        started = network.warm(alone.y, alone.physics())
        torch.testing.assert_close(network.unrolled(alone.y, alone.physics(), started), near[part], atol=2e-4, rtol=0)
    assert not together[0].any()


def test_one_coil_of_ones_is_no_coil():
    """Property: the second split changes the way, not the solution."""
    m, _ = measured()
    coil = Measurement(m.y[:, :, None], m.mask, torch.ones(4, 1, *SIZE, dtype=torch.complex64))
    for make in MAKERS.values():
        once, again = make()(m.y, m.physics()), make()(coil.y, coil.physics())
        torch.testing.assert_close(once, again, atol=1e-3, rtol=0)


def test_zero_filling_amplifies_by_exactly_one():
    """Closed form: ||f(y + e) - f(y)|| = ||e|| for e on the mask, one coil."""
    m, _ = measured(double=True)
    e = m.sampled(torch.randn(m.y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    network, physics = ZeroFilled(), m.physics()
    change = network(m.y + e, physics) - network(m.y, physics)
    torch.testing.assert_close(norms(change), norms(e), rtol=1e-12, atol=0)


def test_values_outside_the_mask_are_ignored():
    m, _ = measured()
    for network in (ZeroFilled(), *(make() for make in MAKERS.values())):
        once, again = network(m.y, m.physics()), network(torch.where(m.mask > 0, m.y, 1), m.physics())
        assert torch.equal(once, again)


# -- what attacks differentiate --------------------------------------------------------------------------------------


@pytest.mark.parametrize("coils", [1, 2])
@every_method
def test_gradient_of_the_iterations(method, coils):
    """Oracle: numerical differentiation in float64, steps after the solution."""
    m, _ = measured(coils, n=1, size=(8, 8), double=True)
    network = MAKERS[method](unrolled=4)
    network.lam = 0.05
    physics, state = m.physics(), network.warm(m.y, m.physics())
    assert torch.autograd.gradcheck(lambda y: network.unrolled(y, physics, state), m.y.requires_grad_(), atol=1e-6)


@pytest.mark.parametrize("coils", [1, pytest.param(4, marks=pytest.mark.long)])
@every_method
def test_iterations_stay_at_the_solution_and_have_its_gradient(method, coils):
    """Oracle: the directional derivative of the converged solution by central differences in float64.

    Along the gradient g of ||f - x||^2 the loss rises by ||g|| a unit where g is right. 400 iterations are, to 3 %; the
    30 of the default are within 12 % of theirs (wavelets with coils; the rest is below 6 %), with a cosine above 0.99.
    """
    m, truth = measured(coils, n=1, double=True)
    physics, network = m.physics(), converged(MAKERS[method]())
    state = network.warm(m.y, physics)
    near = network.unrolled(m.y, physics, state)

    def gradient(steps):
        network.steps, y = steps, m.y.clone().requires_grad_()
        (found,) = torch.autograd.grad((network.unrolled(y, physics, state) - truth).square().sum(), y)
        return found

    g, exact = gradient(30), gradient(400)
    assert (norms(g) > 0).all()
    assert ((g * exact).flatten(1).sum(1) / norms(g) / norms(exact) > 0.995).all()
    assert (norms(g - exact) < 0.12 * norms(exact)).all()
    step = 1e-5 * exact / norms(exact).view(-1, *[1] * (exact.ndim - 1))
    solution, *moved = network(torch.cat([m.y, m.y + step, m.y - step]), physics).split(1)  # at once: once the wait
    assert not solution.requires_grad
    torch.testing.assert_close(near, solution, atol=1e-6, rtol=0)
    ahead, behind = (norms(image - truth).square() for image in moved)
    torch.testing.assert_close((ahead - behind) / 2e-5, norms(exact), rtol=0.03, atol=0)


def test_attacks_reach_it_through_the_wrapper():
    """The surrogate at the point itself is the reconstruction, in single precision; forward has no gradient."""
    m, _ = measured()
    model = Reconstructor(MAKERS["tv"]())
    packed = m.pack().requires_grad_()
    assert not model(packed).requires_grad
    near = model.surrogate(packed.detach())(packed)
    torch.testing.assert_close(near, model(packed), atol=2e-4, rtol=0)
    (found,) = torch.autograd.grad(near.square().sum(), packed)
    assert (norms(found[:, :2]) > 0).all()


# -- settings --------------------------------------------------------------------------------------------------------


def test_the_oracle_is_told_the_level():
    """log(lambda) is interpolated, and held beyond the table; the wrapper tells it, and tells nobody else."""
    m, _ = measured(n=1)
    oracle = OracleTotalVariation([0.0, 0.02, 0.04], [1e-4, 1e-2, 1e-1])
    found = [oracle.weight(m.physics(level)) for level in (0, 0.01, 0.02, 0.03, 0.5)]
    assert found == pytest.approx([1e-4, 1e-3, 1e-2, 10**-1.5, 1e-1])
    model = Reconstructor(oracle)
    model.level = 0.02
    torch.testing.assert_close(model(m.pack()), TotalVariation(1e-2)(m.y, m.physics()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TotalVariation(0), "lam: expected a number above 0"),
        (lambda: TotalVariation(1, unrolled=0), "unrolled"),
        (lambda: WaveletL1(0.1, levels=0), "levels"),
        (lambda: WaveletL1(0.1, wavelet="db99"), "db99"),
        (lambda: WaveletL1(0.1, wavelet="bior2.2"), "orthogonal"),
        (lambda: OracleTotalVariation([0.1, 0.1], [1, 1]), "rising"),
        (lambda: OracleTotalVariation([0.1], [1, 1]), "one for each"),
        (lambda: OracleTotalVariation([0.1], [-1]), "lams"),
    ],
)
def test_refuses_other_numbers(make, message):
    with pytest.raises(SpecError, match=message):
        make()


def test_wavelets_refuse_a_size_that_does_not_halve():
    inputs = heads(1, size=(20, 32))
    m = measure(inputs, torch.ones(20, 32, dtype=torch.bool))
    with pytest.raises(NotApplicableError, match="multiples of 8 pixels, got 20 x 32"):
        Reconstructor(WaveletL1(LAM, levels=3))(m.pack())
    assert Reconstructor(WaveletL1(LAM, levels=2))(m.pack()).shape == (1, 2, 20, 32)


def test_a_mask_without_the_zero_frequency_gives_a_finite_image():
    """Property: TV says nothing about the mean; where no datum does either it is 0."""
    inputs = heads(1)
    mask = torch.from_numpy(make_mask(MaskSpec(fraction=0.5), SIZE))
    mask[SIZE[0] // 2, SIZE[1] // 2] = False
    m = measure(inputs, mask)
    found = TotalVariation(LAM)(m.y, m.physics())
    assert found.isfinite().all()
    assert float(fft(to_complex(found))[0, SIZE[0] // 2, SIZE[1] // 2].abs()) < 1e-4
