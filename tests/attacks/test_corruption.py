"""Common corruptions. Oracles: closed forms, moments of what is drawn, published errors; the batch does not matter.

Parity with another implementation, severity by severity: tests/parity/test_corruptions.py.
"""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.attacks.structural.common import CORRUPTIONS, corrupted
from benchmark.attacks.structural.errors import report, summaries
from benchmark.attacks.structural.pixels import disc, ice, moved, plasma
from benchmark.attacks.structural.severities import ALEXNET, ALEXNET_CLEAN, KINDS, PARAMETERS
from benchmark.errors import SpecError, UsageError
from benchmark.models.wrap import Model
from benchmark.registry import library_version
from benchmark.seeds import Draws
from benchmark.spec.budget import Budget

RANDOM = ("gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow", "frost", "fog",
          "elastic_transform")  # fmt: skip


def photo(side=32, channels=3, seed=0):
    """Smooth and colourful, not saturated."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    waves = [
        0.5 + 0.2 * np.sin(rng.uniform(2, 9) * y + rng.uniform(2, 9) * x + rng.uniform(0, 6)) for _ in range(channels)
    ]
    return np.rint(255 * np.stack(waves, axis=2)).astype(np.uint8)


def test_all_fifteen_have_five_severities_of_both_sets_and_a_published_error():
    assert tuple(CORRUPTIONS) == KINDS == tuple(ALEXNET)
    assert len(KINDS) == 15
    assert all(len(PARAMETERS[name][kind]) == 5 for name in PARAMETERS for kind in KINDS)
    printed = (88.6, 89.4, 92.3, 82.0, 82.6, 78.6, 79.8, 86.7, 82.7, 81.9, 56.5, 85.3, 64.6, 71.8, 60.7)  # the paper's
    assert [100 * error for error in ALEXNET.values()] == pytest.approx(printed, abs=0.06)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("parameters", "side", "channels"), [("cifar", 32, 3), ("imagenet", 64, 3), ("imagenet", 33, 1)]
)
def test_each_is_seeded_per_sample_and_larger_severities_change_more(kind, parameters, side, channels):
    image = photo(side, channels)
    made = [corrupted(image, kind, s, 1, parameters, None) for s in range(1, 6)]
    assert all(each.shape == image.shape and each.dtype == np.uint8 for each in made)
    assert np.array_equal(made[2], corrupted(image, kind, 3, 1, parameters, None))
    other = corrupted(image, kind, 5, 2, parameters, None)
    assert np.array_equal(made[4], other) != (kind in RANDOM)
    changes = [np.abs(each.astype(float) - image).mean() for each in made]
    if kind not in ("elastic_transform", "snow"):  # whose published severities do not grow on small images
        assert changes[4] > changes[0]


def test_what_is_drawn_has_the_published_moments():
    grey = np.full((64, 64, 3), 128, np.uint8)
    for s, c in enumerate(PARAMETERS["cifar"]["gaussian_noise"], start=1):
        noise = corrupted(grey, "gaussian_noise", s, 0, "cifar", None) / 255 - 128 / 255
        assert noise.std() == pytest.approx(c, rel=0.05)
    for s, c in enumerate(PARAMETERS["imagenet"]["shot_noise"], start=1):
        noise = CORRUPTIONS["shot_noise"](grey / 255, c, np.random.default_rng(s))
        assert noise.std() == pytest.approx((128 / 255 / c) ** 0.5, rel=0.05)  # a Poisson number's deviation
    for s, c in enumerate(PARAMETERS["imagenet"]["impulse_noise"], start=1):
        made = corrupted(grey, "impulse_noise", s, 0, "imagenet", None)
        assert (made != 128).mean() == pytest.approx(c, rel=0.1)
        assert (made == 255).sum() == pytest.approx((made == 0).sum(), rel=0.2)


def test_closed_forms():
    image, rng = photo() / 255, np.random.default_rng(0)
    mean = image.mean((0, 1))
    assert np.allclose(CORRUPTIONS["contrast"](image, 0.3, rng).mean((0, 1)), mean)
    assert np.allclose(CORRUPTIONS["contrast"](image, 0.3, rng).std((0, 1)), 0.3 * image.std((0, 1)))
    import colorsys

    bright = CORRUPTIONS["brightness"](image, 0.2, rng)
    for y, x in ((0, 0), (5, 20), (31, 31)):
        h, s, v = colorsys.rgb_to_hsv(*image[y, x])
        assert np.allclose(bright[y, x], colorsys.hsv_to_rgb(h, s, min(1, v + 0.2)))
    assert np.allclose(CORRUPTIONS["brightness"](np.zeros((2, 2, 3)), 0.2, rng), 0.2)
    blocks = CORRUPTIONS["pixelate"](image, 0.5, rng)
    assert np.allclose(blocks[::2, ::2], image.reshape(16, 2, 16, 2, 3).mean((1, 3)), atol=1.01 / 255)
    spot = np.zeros((33, 33, 1))
    spot[16, 16] = 1
    assert np.allclose(CORRUPTIONS["defocus_blur"](spot, (3, 0.5), rng)[8:25, 8:25, 0], disc(3, 0.5), atol=1e-12)
    assert disc(3, 0.1).max() == pytest.approx(1 / 29)  # pixels of a disc of radius 3
    line = moved(spot, 3, 2.0, 0.0)[16, :, 0]
    weights = np.exp(-(np.arange(7) ** 2) / 8)
    assert np.allclose(line[10:17][::-1], weights / weights.sum())
    assert np.allclose(CORRUPTIONS["zoom_blur"](np.full((20, 30, 3), 0.3), (1, 1.3, 0.1), rng), 0.3)
    assert np.allclose(CORRUPTIONS["elastic_transform"](image, (0, 0, 0), rng), image)
    layer = plasma(20, 30, 2, np.random.default_rng(1))
    fogged = CORRUPTIONS["fog"](image[:20, :30], (1.5, 2), np.random.default_rng(1))
    most = image[:20, :30].max()
    assert np.allclose(fogged, (image[:20, :30] + 1.5 * layer[..., None]) * most / (most + 1.5))
    assert layer.min() >= 0
    assert layer.max() <= 1


def test_ice_has_the_colours_and_the_spectrum_of_the_authors_pictures():
    made = [ice(128, 128, np.random.default_rng(seed)) for seed in range(40)]
    assert np.mean([each.mean((0, 1)) for each in made], axis=0) == pytest.approx([0.572, 0.656, 0.702], abs=0.05)
    grey = made[0].mean(2)
    power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(128) * 128, np.fft.fftfreq(128) * 128)).round().astype(int)
    rings = np.bincount(radius.ravel(), power.ravel()) / np.bincount(radius.ravel())
    slope = np.polyfit(np.log(np.arange(3, 50)), np.log(rings[3:50]), 1)[0]
    assert -2.2 < slope < -1.4


def run(kind, x, seeds, severity=3, **params):
    attack = attacks.make("corruption", {"kind": kind, "parameters": "cifar", **params})
    network = Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10)))
    left = attack.run(network, x, torch.zeros(len(x), dtype=torch.int64), eps=severity, generator=Draws(seeds))
    return attack, left


def test_the_attack_replays_and_the_batch_does_not_matter():
    x = torch.as_tensor(np.stack([photo(seed=i) for i in range(4)]).transpose(0, 3, 1, 2) / 255, dtype=torch.float32)
    attack, left = run("snow", x, range(4))
    part = run("snow", x[2:], [2, 3])[1]
    assert torch.equal(left.inputs[2:], part.inputs)
    assert torch.equal(attack.replay(x, {k: v.astype(float) for k, v in left.params.items()}), left.inputs)
    assert attack.admissible(left.params, 3).all()
    assert not attack.admissible(left.params, 2).any()
    stored = run("brightness", x, range(4), stored="jpeg")[1].inputs
    assert not torch.equal(stored, run("brightness", x, range(4))[1].inputs)
    assert (stored - run("brightness", x, range(4))[1].inputs).abs().mean() < 0.02
    with pytest.raises(SpecError, match="a whole number from 1 to 5"):
        attack.check_budget(Budget.parse("6"))


class Probe:
    """Results of one corruption in which so many of ten samples are wrong."""

    def __init__(self, kind, wrong, parameters="imagenet"):
        self.attack = attacks.make("corruption", {"kind": kind, "parameters": parameters})
        self.budgets, self.models, self.wrong = [Budget.parse(str(s)) for s in range(1, 6)], ["net"], wrong

    def rows(self, model, eps):
        wrong = self.wrong[int(eps.value) - 1]
        pred = [1] * wrong + [0] * (10 - wrong)
        return pd.DataFrame({"sample": list("abcdefghij"), "label": 0, "pred": pred, "status": "ok"})

    def clean(self, model):
        return pd.DataFrame({"sample": list("abcdefghij"), "correct": [False] + [True] * 9})


def test_mce_and_relative_mce_as_the_paper_defines_them():
    """Closed form: errors known by construction, against equations of section 4.2."""
    probes = [Probe(kind, [1, 2, 3, 4, 5 + (kind == "fog")]) for kind in KINDS]
    errors = {kind: 0.32 if kind == "fog" else 0.3 for kind in KINDS}
    found = {each.name: each.values["net"][1].mean() for each in summaries(probes)}
    assert found["mce"] == pytest.approx(np.mean([errors[kind] / ALEXNET[kind] for kind in KINDS]))
    relative = [(errors[kind] - 0.1) / (ALEXNET[kind] - ALEXNET_CLEAN) for kind in KINDS]
    assert found["relative_mce"] == pytest.approx(np.mean(relative))
    assert found["corruption_error"] == pytest.approx(np.mean(list(errors.values())))
    assert found["corruption_error_worst"] == pytest.approx(0.32)
    assert found["corruption_error_any"] == pytest.approx(0.6)
    table = report(probes).tables["corruptions"].set_index("corruption")
    assert table.loc["fog", "ce"] == pytest.approx(0.32 / ALEXNET["fog"])
    assert table.loc["fog", [f"error_{s}" for s in range(1, 6)]].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.6])


def test_without_all_fifteen_or_of_cifar_there_is_no_mce():
    for probes in ([Probe("fog", [1] * 5)], [Probe(kind, [1] * 5, "cifar") for kind in KINDS]):
        names = {each.name for each in summaries(probes)}
        assert "corruption_error" in names
        assert not names & {"mce", "relative_mce"}


def test_the_pictures_of_ice_are_asked_for_by_name():
    with pytest.raises(SpecError, match="remove it"):
        attacks.make("corruption", {"kind": "fog", "ice": "imagecorruptions"})
    attack = attacks.make("corruption", {"kind": "frost", "ice": "imagecorruptions"})
    plain = attacks.make("corruption", {"kind": "frost"})
    assert "imagecorruptions==" in attack.implementation()
    assert "imagecorruptions" not in plain.implementation()
    if library_version("imagecorruptions") == "absent":
        with pytest.raises(UsageError, match="pip install imagecorruptions"):
            attack.check_installed("suite 'x'")
