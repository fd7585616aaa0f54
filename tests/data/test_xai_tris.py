"""XAI-TRIS. Oracles: scipy's Gaussian filter, closed forms of the optimal accuracy, independence by construction."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from benchmark.data.base import Grid, datasets
from benchmark.data.synthetic.tetrominoes import ALPHA, CORNERS, SIGMA, Recipe, smoothing
from benchmark.errors import DataError

SCENARIOS = ("linear", "multiplicative", "transrot", "xor")
N = 2000


def load(split="test", n=N, **params):
    data = datasets.make("xai-tris", {"train": n, "val": n, "test": n, **params})
    return data, data.load(split, data.index(split).ids, Grid(), masks=True)


def place(shape, top, left):
    found = np.zeros((8, 8), bool)
    found[top : top + 3, left : left + 2] = shape
    return found


T = place([[1, 0], [1, 1], [1, 0]], 1, 1)
L = place([[1, 0], [1, 0], [1, 1]], 4, 5)


@pytest.mark.parametrize(("size", "sigma"), [(8, 3.0), (64, 10.0), (64, 1.5)])
def test_smoothing_is_scipys_gaussian_filter(size, sigma):
    image = np.random.default_rng(0).normal(size=(size, size))
    matrix = smoothing(size, sigma)
    np.testing.assert_allclose(matrix @ image @ matrix.T, gaussian_filter(image, sigma), atol=1e-12)


@pytest.mark.parametrize("background", ["white", "correlated"])
def test_the_linear_scenario_shows_its_tetrominoes_in_the_class_means(background):
    """The difference of class means is alpha / (|S| m) times L - T halves, within 5 standard errors."""
    data, batch = load(background=background)
    recipe = data.recipe()
    x = batch.inputs[:, 0].astype(float)
    difference = x[batch.labels == 1].mean(0) - x[batch.labels == 0].mean(0)
    expected = (L.astype(float) - T) * recipe.alpha / 2 / (2 * recipe.largest)  # |S| = sqrt(4) = 2
    error = 2 * x[batch.labels == 0].std(0) / np.sqrt(N)
    assert (np.abs(difference - expected) < 5 * error).all()
    if background == "white":
        assert (np.abs(difference[T | L]) > 10 * error[T | L]).all()
    assert all(np.array_equal(mask[0], T | L) for mask in batch.masks)


def test_the_optimal_accuracy_of_the_linear_scenario():
    """The likelihood ratio of two Gaussians, Phi(|difference of means| / 2 deviations): 0.893 at alpha = 0.18."""
    data, batch = load()
    recipe = data.recipe()
    deviation = (1 - recipe.alpha) / 8  # white noise of Frobenius norm 1 has 1/8 a pixel
    distance = np.sqrt(8) * recipe.alpha / 2
    optimal = norm.cdf(distance / 2 / deviation)
    assert abs(optimal - 0.893) < 5e-4
    score = batch.inputs[:, 0, L].sum(1) - batch.inputs[:, 0, T].sum(1)
    accuracy = ((score > 0) == batch.labels).mean()
    assert abs(accuracy - optimal) < 4 * np.sqrt(optimal * (1 - optimal) / N)


def test_no_pixel_of_xor_tells_the_class_but_two_together_do():
    """Every pixel's mean and variance agree over the classes within 5 standard errors; products at T and L do not."""
    _, batch = load(scenario="xor")
    x = batch.inputs[:, 0].astype(float) - 0.5
    same, different = x[batch.labels == 0], x[batch.labels == 1]
    for power in (1, 2):
        difference = (same**power).mean(0) - (different**power).mean(0)
        assert (np.abs(difference) < 5 * (x**power).std(0) * 2 / np.sqrt(N)).all()
    product = x[:, T].sum(1) * x[:, L].sum(1)
    assert ((product < 0) == batch.labels).mean() > 0.95
    assert all(np.array_equal(mask[0], T | L) for mask in batch.masks)


def test_the_multiplicative_scenario_differs_in_variance_alone():
    """Noise at a tetromino is (1 - 0.7) times that elsewhere; means agree within 5 standard errors."""
    _, batch = load(scenario="multiplicative")
    x = batch.inputs[:, 0].astype(float) - 0.5
    for label, mine, other in ((0, T, L), (1, L, T)):
        of_class = x[batch.labels == label]
        assert (np.abs(of_class.mean(0)) < 5 * of_class.std(0) / np.sqrt(N / 2)).all()
        ratio = of_class[:, mine].std() / of_class[:, ~(mine | other)].std()
        assert abs(ratio - 0.3) < 0.01
        assert abs(of_class[:, other].std() / of_class[:, ~(mine | other)].std() - 1) < 0.03


def test_turned_and_moved_tetrominoes_are_where_the_mask_is():
    """At alpha = 1 nothing but the signal is left: the mask is where the image leaves 1/2, in every turn and place."""
    _, batch = load(scenario="transrot", alpha=1.0, n=4000)
    assert np.array_equal(batch.inputs > 0.5, batch.masks)
    assert (batch.masks.sum((1, 2, 3)) == 4).all()
    shapes = {(int(k), m.tobytes()) for k, m in zip(batch.labels, batch.masks, strict=True)}
    assert len(shapes) == 2 * 2 * (6 * 7 + 7 * 6)  # classes, turns by half, places: all are drawn
    plain = [np.rot90(shape, k) for shape in (T[1:4, 1:3], L[4:7, 5:7]) for k in range(4)]
    for mask in batch.masks[:, 0]:
        rows, columns = np.nonzero(mask)
        cut = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert any(np.array_equal(cut, shape) for shape in plain)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_suppressors_tell_nothing_alone_but_the_noise_of_a_tetromino(scenario):
    """At alpha = 0 a suppressor's squared correlation with an informative pixel is 0.9 or more, others' less."""
    _, batch = load(scenario=scenario, background="correlated", alpha=0.0, n=1500)
    x = batch.inputs[:, 0].reshape(1500, -1).astype(float)
    squared = np.corrcoef(x.T) ** 2
    assert not (batch.artefacts & batch.masks).any()
    assert batch.artefacts.any((1, 2, 3)).all()
    for mask, artefact in list(zip(batch.masks, batch.artefacts, strict=True))[:40]:
        inside, found = mask.reshape(-1), artefact.reshape(-1)
        best = squared[:, inside].max(1)
        assert best[found].min() > 0.88
        assert best[~found & ~inside].max() < 0.92


def test_a_white_background_has_no_suppressors():
    data, batch = load(n=10)
    assert batch.artefacts is None
    assert not any(mask.any() for mask in data.read_artefacts("test", data.index("test").ids))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_large_images(scenario):
    """The signal of 64x64 is the authors': tetrominoes of 8 (4) pixels a block, smoothed by scipy with 1.5."""
    recipe = Recipe(scenario, correlated=True, size=64, alpha=1.0)
    signal = recipe.signal(0, np.random.default_rng(0))
    scale = 4 if scenario == "transrot" else 8
    if scenario == "linear":
        block = np.kron(T[1:4, 1:3], np.ones((8, 8)))
        expected = np.zeros((64, 64))
        expected[8 : 8 + 24, 8 : 8 + 16] = block
        np.testing.assert_allclose(signal, gaussian_filter(expected, 1.5), atol=1e-12)
    assert abs(np.abs(signal).sum() - 4 * scale**2 * (2 if scenario == "xor" else 1)) < 1e-9
    _, batch = load(scenario=scenario, background="correlated", size=64, n=6)
    assert batch.inputs.shape == (6, 1, 64, 64)
    assert batch.inputs.min() > 0
    assert batch.inputs.max() < 1
    assert (batch.masks.sum((1, 2, 3)) > 4 * scale**2).all()  # soft edges


def test_values_lie_in_range_and_are_nearly_never_clipped():
    for scenario in SCENARIOS:
        for background in ("white", "correlated"):
            x = load(scenario=scenario, background=background, n=400)[1].inputs
            assert ((x == 0) | (x == 1)).mean() < 1e-4
            assert 0.05 < x.std() < 0.15


def test_the_authors_settings():
    """data_config_8by8.json and data_config.json of github.com/braindatalab/xai-tris, where every key is."""
    assert ALPHA[8, "linear"] == (0.18, 0.0125)
    assert ALPHA[64, "transrot"] == (0.575, 0.375)
    assert len(ALPHA) == 8
    assert (SIGMA, CORNERS[8]) == ({8: 3.0, 64: 10.0}, ((1, 1), (4, 5)))


def test_digest_follows_every_parameter_and_splits_are_disjoint():
    base = {"n": 20}
    variants = [{}, {"scenario": "xor"}, {"background": "correlated"}, {"seed": 1}, {"alpha": 0.3}, {"size": 64}]
    digests = [load("test", **base, **v)[0].index("test").digest for v in variants]
    suppressor = load("test", **base, background="correlated", suppressor=0.5)[0].index("test").digest
    assert len({*digests, suppressor}) == len(variants) + 1
    assert load("test", **base)[0].index("test").digest == digests[0]
    images = {image.tobytes() for split in ("train", "val", "test") for image in load(split, n=50)[1].inputs}
    assert len(images) == 150
    with pytest.raises(DataError, match="'train', 'val' and 'test', not 'dev'"):
        load("dev")


def test_a_sample_does_not_depend_on_the_others():
    assert np.array_equal(load(n=30)[1].inputs[:10], load(n=10)[1].inputs)
