"""The recipe of the reconstruction networks. Oracles: distributions in closed form, parity, controls."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import mean_squared_error

from benchmark.data.base import Grid, datasets
from benchmark.models.recipe import TrainingData
from benchmark.mri.masks import MaskSpec, make_mask
from benchmark.mri.measurement import measure, split_sample, to_complex, truth_of
from benchmark.mri.networks.automap import AUTOMAP
from benchmark.mri.networks.cascade import DeepCascade
from benchmark.mri.reconstructor import Reconstructor
from benchmark.mri.training import ReconstructionErrors, augment, judge, simulate, train
from benchmark.spec.entry import RecipeData

SPEC = MaskSpec(fraction=0.54)
MASK = {"kind": "vd2d", "fraction": 0.54, "seed": 0}


@pytest.fixture(scope="module")
def data():
    """Few small phantoms."""
    spec = RecipeData(use="phantoms", val="val", params={"train": 32, "val": 8, "test": 300})
    return TrainingData(spec, (2, 16, 16))


def phantoms(coils=1, n=6):
    made = datasets.make("phantoms", {"coils": coils, "test": n})
    return torch.from_numpy(made.load("test", made.index("test").ids, Grid(size=(16, 16))).inputs)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def cascade():
    torch.manual_seed(0)
    return Reconstructor(DeepCascade(cascades=2, depth=3, features=8))


def fitted(model, data, **params):
    said = []
    given = {"seed": 0, "mask": MASK, "epochs": 4, "lr": 3e-3, **params}
    return train(model, data, device="cpu", progress=said.append, **given), said


def test_training_data_of_images_keep_their_channels(data):
    samples, labels = next(data.batches("train", 4))
    assert samples.shape == (4, 2, 16, 16)
    assert samples.dtype == torch.float32
    assert len(labels) == 4
    coils = RecipeData(use="phantoms", params={"coils": 2, "train": 2})
    assert next(TrainingData(coils, (2, 16, 16)).batches("train", 2))[0].shape == (2, 8, 16, 16)


@pytest.mark.parametrize("coils", [1, 3])
def test_augmented_samples_hold_the_same_values_elsewhere(coils):
    """Property: mirroring and turning permute the truth's magnitudes, a phase leaves them, maps stay maps."""
    samples = phantoms(coils)
    turned = augment(samples, seeded())
    before, after = (to_complex(truth_of(x)).abs().flatten(1).sort().values for x in (samples, turned))
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
    assert not any(torch.allclose(a, b, atol=1e-2) for a, b in zip(samples, turned, strict=True))
    maps = split_sample(turned)[1]
    if maps is not None:
        torch.testing.assert_close(maps.abs().square().sum(1), torch.ones(6, 16, 16), atol=1e-5, rtol=0)
    assert torch.equal(augment(samples, seeded()), turned)


def test_augmented_phases_are_uniform_and_all_eight_symmetries_come():
    """Kolmogorov-Smirnov against the uniform law; a single bright corner shows the flips, an L-shape all eight."""
    one = torch.zeros(2000, 2, 4, 4)
    one[:, 0, 0, 1] = 1
    image = to_complex(augment(one, seeded()))
    places = image.abs().flatten(1).argmax(1)
    angle = torch.view_as_real(image.flatten(1)[torch.arange(2000), places])
    turns = (torch.atan2(angle[:, 1], angle[:, 0]) / (2 * np.pi)) % 1
    assert stats.kstest(turns.numpy(), "uniform").pvalue > 0.01
    assert sorted(set(places.tolist())) == [1, 2, 4, 7, 8, 11, 13, 14]
    assert places.unique(return_counts=True)[1].min() > 150


@pytest.mark.parametrize("coils", [1, 2])
def test_jitter_levels_are_uniform(coils):
    """Kolmogorov-Smirnov: ||n|| / ||Ax|| of each image against U[0, 0.08] (its own spread is 1 / sqrt(2 x 138))."""
    samples = phantoms(coils, 40).repeat(15, 1, 1, 1)
    noisy = simulate(samples, SPEC, seeded(), jitter=0.08, any_mask=False)
    clean = measure(samples, torch.from_numpy(make_mask(SPEC, (16, 16))))
    levels = (noisy.y - clean.y).flatten(1).norm(dim=1) / clean.norm()
    assert stats.kstest(levels.numpy(), stats.uniform(0, 0.08).cdf).pvalue > 0.01
    assert torch.equal(noisy.sampled(noisy.y), noisy.y)
    again = simulate(samples, SPEC, seeded(), any_mask=False)
    assert torch.equal(again.y, clean.y)  # control: no jitter, no noise


def test_a_mask_is_drawn_for_each_image_of_the_same_share():
    samples = phantoms()
    masks = simulate(samples, SPEC, seeded()).mask
    assert len({bytes(mask.numpy().tobytes()) for mask in masks}) == len(samples)
    assert set(masks.flatten(1).sum(1).tolist()) == {float(round(0.54 * 256))}
    fixed = simulate(samples, SPEC, seeded(), any_mask=False).mask
    assert all(torch.equal(mask[0], torch.from_numpy(make_mask(SPEC, (16, 16))).float()) for mask in fixed)


def test_judges_by_the_mean_of_each_images_error(data):
    """Oracle: NumPy in float64 and scikit-learn's mean square, over more than one batch."""
    model = cascade()
    judged = judge(model, data, "test", MASK)
    samples = torch.cat([inputs for inputs, _ in data.batches("test", 100)])
    with torch.no_grad():
        output = model(measure(samples, torch.from_numpy(make_mask(SPEC, (16, 16)))).pack())
    found, truth = (to_complex(image.double()).numpy().reshape(300, -1) for image in (output, samples))
    errors = np.linalg.norm(found - truth, axis=1) / np.linalg.norm(truth, axis=1)
    square = [mean_squared_error(abs(t), abs(f)) for t, f in zip(truth, found, strict=True)]
    decibels = 20 * np.log10(abs(truth).max(axis=1)) - 10 * np.log10(square)
    assert judged.n == 300
    assert judged.rel_err == pytest.approx(errors.mean(), rel=1e-6)
    assert judged.psnr == pytest.approx(decibels.mean(), rel=1e-6)
    assert f"{judged.rel_err:.4f}" in judged.lines()[0]


def test_weights_at_half_precision_agree_within_one_percent():
    judged = ReconstructionErrors(0.1, 30.0, 10)
    assert ReconstructionErrors(0.1009, 29.0, 10).agrees(judged)
    assert not ReconstructionErrors(0.1011, 30.0, 10).agrees(judged)


def test_training_lowers_the_error_and_keeps_the_best_epoch(data):
    model = cascade()
    before = judge(model, data, "val", MASK).rel_err
    curve, said = fitted(model, data, batch_size=2, epochs=10, lr=1e-2)
    after = judge(model, data, "val", MASK).rel_err
    errors = [row["val_rel_err"] for row in curve]
    assert after == min(errors) < 0.97 * before  # a tiny network, 160 steps
    assert [row["epoch"] for row in curve] == list(range(1, 11))
    assert all(set(row) == {"epoch", "loss", "val_rel_err"} for row in curve)
    assert said[0].startswith("epoch 1/10: training loss")
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_a_wild_last_epoch_is_not_kept(data):
    """Control: at a learning rate far too high the best epoch is kept, whichever it was."""
    model = cascade()
    curve, _ = fitted(model, data, lr=0.3)
    assert judge(model, data, "val", MASK).rel_err == min(row["val_rel_err"] for row in curve)


@pytest.mark.parametrize("params", [{}, {"jitter": 0.08}, {"any_mask": False}])
def test_the_seed_decides(data, params):
    """Nothing is drawn from global state."""
    states = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        model = cascade()
        torch.manual_seed(noise)
        fitted(model, data, seed=seed, epochs=1, **params)
        states.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_automaps_penalty_is_in_the_loss(data):
    """The loss of the first epoch without steps (lr 0) is the mean square and the penalty together."""
    torch.manual_seed(0)
    model = Reconstructor(AUTOMAP((16, 16), hidden=8, features=4))
    plain, penalised = model.network.forward, model.network.penalised
    given = {"any_mask": False, "epochs": 1, "lr": 1e-12, "batch_size": 32}
    with_penalty = fitted(model, data, **given)[0][0]["loss"]
    model.network.penalised = lambda y, physics: (plain(y, physics), 0.0)
    without = fitted(model, data, **given)[0][0]["loss"]
    generator, order = seeded_as_train("measurements"), seeded_as_train("order")
    inputs = augment(next(data.batches("train", 32, order))[0], generator)
    measured = simulate(inputs, SPEC, generator, any_mask=False)
    with torch.no_grad():
        expected = float(penalised(measured.y, measured.physics())[1])
    assert with_penalty - without == pytest.approx(expected, rel=0.02)


def seeded_as_train(part):
    from benchmark.seeds import derive

    return torch.Generator().manual_seed(derive(0, part))
