"""Randomisation against Quantus. Oracle: its classes on the same randomised models; where they are wrong, the paper.

Quantus re-initialises every layer from one seed (layers of one shape get equal weights); we seed each layer by its
name. Its generator of random models is replaced by ours, so that both explain the same models.
"""

from unittest import mock

import numpy as np
import pytest
import scipy.stats
import torch
from skimage.metrics import structural_similarity
from torch import nn

from benchmark.metrics.functional import efficient_mprt, histogram_entropy, mprt, random_logit, smooth_mprt
from benchmark.metrics.functional.layers import randomised
from benchmark.metrics.functional.row_similarity import ranks, ssim
from benchmark.seeds import Draws, derive
from tests.parity.conftest import ATOL, FLOAT32, QUIET, Case, make_case, quantus, theirs
from tests.parity.test_robustness import explained, for_quantus, gradient, ours

PyTorchModel = quantus.helpers.model.pytorch_model.PyTorchModel
SEEDS = range(6)


def our_models(self, order="top_down", seed=42):
    """In place of Quantus' ``get_random_layer_generator``."""
    return randomised(self.model, order=order, seed=seed)


@pytest.fixture
def case(rgb):
    return explained(rgb)


def test_spearman_is_that_of_scipy():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, (5, 60)).astype(float)  # ties
    np.testing.assert_array_equal(ranks(torch.as_tensor(values)).numpy() + 1, scipy.stats.rankdata(values, axis=1))


@pytest.mark.parametrize("side", [5, 7, 32])
def test_ssim_is_that_of_scikit_image(side):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4, 1, side, side))
    b += a
    window = min(7, side)
    wanted = [
        structural_similarity(x[0], y[0], win_size=window, data_range=max(x.max(), y.max()) - min(x.min(), y.min()))
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(ssim(torch.as_tensor(a), torch.as_tensor(b)), wanted, atol=1e-12)


def test_entropy_is_that_of_numpy():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=(5, 300)), rng.integers(-5, 5, (5, 300)) / 10, np.ones((1, 300))])
    wanted = [scipy.stats.entropy(np.histogram(row, bins=100)[0]) for row in values]
    np.testing.assert_allclose(histogram_entropy(torch.as_tensor(values), 100), wanted, atol=1e-12)


@pytest.mark.parametrize("order", ["top_down", "bottom_up"])
def test_mprt_layer_by_layer(case, order):
    with mock.patch.object(PyTorchModel, "get_random_layer_generator", our_models):
        metric = quantus.MPRT(layer_order=order, abs=False, **QUIET)
        wanted = theirs(metric, case, explain=for_quantus, a_batch=case.attributions.numpy())
    found = ours(mprt, case, order=order, per_layer=True)
    assert list(wanted) == ["original", *[name for name, _ in randomised(case.model, seed=42, order=order)]]
    np.testing.assert_allclose(found, np.array(list(wanted.values())[1:]), atol=ATOL)
    np.testing.assert_allclose(ours(mprt, case, order=order), found.mean(0), atol=1e-12)
    # two elements whose relevances are equal but for rounding change places in float32
    np.testing.assert_allclose(ours(mprt, explained(case.single()), order=order), found.mean(0), atol=5 * FLOAT32)


def test_mprt_of_quantus_has_the_untouched_model_in_its_mean(case):
    """Adebayo et al. 2018 compare with the randomised models; the original's 1.0 among L layers adds (1 - mean) / L."""
    with mock.patch.object(PyTorchModel, "get_random_layer_generator", our_models):
        metric = quantus.MPRT(return_average_correlation=True, abs=False, **QUIET)
        wanted = np.array(theirs(metric, case, explain=for_quantus, a_batch=case.attributions.numpy()))
    found, layers = ours(mprt, case), 3
    assert (wanted - found > 0.05).all()
    np.testing.assert_allclose(wanted, (1 + layers * found) / (layers + 1), atol=ATOL)


def test_quantus_gives_layers_of_one_shape_equal_weights():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)).eval()
    with torch.random.fork_rng():
        *_, (_, theirs_) = PyTorchModel(model).get_random_layer_generator("top_down", 42)
    *_, (_, twin) = randomised(model, seed=42)
    assert torch.equal(theirs_[1].weight, theirs_[3].weight)
    assert (twin[1].weight - twin[3].weight).abs().mean() > 0.05


def test_efficient_mprt(case):
    with mock.patch.object(PyTorchModel, "get_random_layer_generator", our_models):
        metric = quantus.EfficientMPRT(**QUIET)
        wanted = theirs(metric, case, softmax=True, explain=for_quantus, a_batch=case.attributions.numpy())
    found = ours(efficient_mprt, case)
    np.testing.assert_allclose(found, wanted, atol=ATOL)
    single = ours(efficient_mprt, explained(case.single()))
    np.testing.assert_allclose(single, found, atol=0.01)  # a value at a bin's edge falls into the next one


def test_smooth_mprt(case):
    """Quantus' fixed explainer (``quantus.explain``) is replaced by ours, its noise by ours, last copy untouched."""
    count, rows = 4, case.inputs.flatten(1)
    scale = 0.1 * (rows.amax(1) - rows.amin(1)).view(-1, 1, 1, 1).numpy()
    state = {"calls": 0}

    def fresh():
        draws = Draws([derive("smooth-mprt", seed) for seed in SEEDS])
        draws.normal(case.inputs.shape[1:])  # our first copy is untouched, theirs is the last
        return draws

    def randn(*shape):
        if state["calls"] % (count - 1) == 0:
            state["draws"] = fresh()
        state["calls"] += 1
        return state["draws"].normal(shape[1:]).numpy()

    def explain(model, inputs, targets, **_):
        return for_quantus(model, inputs, targets)

    metric = quantus.SmoothMPRT(
        nr_samples=count, layer_order="top_down", return_last_correlation=False, abs=False, **QUIET
    )
    with (
        mock.patch.object(PyTorchModel, "get_random_layer_generator", our_models),
        mock.patch("numpy.random.randn", randn),
        mock.patch("quantus.explain", explain),
    ):
        wanted = theirs(metric, case, explain=for_quantus)
    found = ours(smooth_mprt, case, generator=Draws(SEEDS), nr_samples=count, per_layer=True)
    assert scale.min() > 0.05
    np.testing.assert_allclose(found, np.array(list(wanted.values())[1:]), atol=ATOL)


def test_smooth_mprt_of_quantus_ignores_the_given_explainer(case):
    """An explanation that ignores the model has similarity 1 at every layer; Quantus explains by a gradient."""
    metric = quantus.SmoothMPRT(nr_samples=2, return_average_correlation=True, abs=False, **QUIET)
    case = case.single()

    def image(model, inputs, targets, **_):
        return np.asarray(inputs)

    wanted = theirs(metric, case, explain=image)
    found = smooth_mprt(
        lambda model, x, y: x,
        case.model,
        case.inputs,
        case.targets,
        case.inputs,
        generator=Draws(SEEDS),
        nr_samples=2,
    )
    assert np.max(wanted) < 0.9
    np.testing.assert_allclose(found, 1.0, atol=1e-12)


def test_random_logit(case):
    """Their class is drawn by NumPy; ours is replayed by its seeds: each sample's class is looked up first."""
    classes = 4
    other = Draws(SEEDS).integers((), 0, classes - 1)
    assert len(set(other.tolist())) > 1
    spearman = quantus.similarity_func.correlation_spearman  # its default is the SSIM of flattened maps
    metric = quantus.RandomLogit(num_classes=classes, similarity_func=spearman, abs=False, **QUIET)
    with mock.patch("numpy.random.randint", return_value=other.numpy()):
        wanted = theirs(metric, case, explain=for_quantus, a_batch=case.attributions.numpy())
    found = ours(random_logit, case, classes=classes, generator=Draws(SEEDS))
    np.testing.assert_allclose(found, wanted, atol=ATOL)
    single = ours(random_logit, explained(case.single()), classes=classes, generator=Draws(SEEDS))
    np.testing.assert_allclose(single, found, atol=5 * FLOAT32)


def test_random_logit_of_quantus_draws_among_a_thousand_classes(case):
    """Its default asks a model of four classes for others; and it leaves NumPy's global seed set."""
    with pytest.raises(RuntimeError, match="index"):
        theirs(quantus.RandomLogit(abs=False, **QUIET), case, explain=for_quantus, a_batch=case.attributions.numpy())
    metric = quantus.RandomLogit(num_classes=4, abs=False, **QUIET)
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    metric.explain_func, metric.explain_func_kwargs = for_quantus, {}
    metric.evaluate_batch(
        model=PyTorchModel(case.model), x_batch=case.inputs.numpy(), y_batch=case.targets.numpy(),
        a_batch=case.attributions.numpy(),
    )  # fmt: skip
    assert not np.array_equal(before, np.random.get_state()[1])


def test_ssim_of_quantus_sees_rows_of_numbers_not_images(grey):
    """``quantus.ssim`` gets flattened maps (a window of 7 in one dimension); SSIM is defined on images."""
    a = explained(grey).attributions
    b = a.roll(1, 2)
    wanted = quantus.similarity_func.ssim(a.flatten(1).numpy(), b.flatten(1).numpy(), batched=True)
    images = [
        structural_similarity(x[0], y[0], data_range=max(x.max(), y.max()) - min(x.min(), y.min()))
        for x, y in zip(a.numpy(), b.numpy(), strict=True)
    ]
    np.testing.assert_allclose(ssim(a, b), images, atol=1e-12)
    assert np.abs(np.array(wanted) - images).max() > 0.05


def test_the_case_is_not_vacuous(case):
    found = ours(mprt, case, per_layer=True)
    assert np.ptp(found) > 0.1
    assert isinstance(make_case(case.model), Case)
    assert gradient(case.model, case.inputs, case.targets).unique().numel() > 100
