"""Simulated physical attacks. Oracles: hand-computed projections and scores, the authors' mask files, the verifier,
and on real photos and digits the random controls."""

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark import build_model, load_entry
from benchmark.attacks.base import attacks
from benchmark.attacks.physical import fit_sticker, views
from benchmark.attacks.physical.masks import MASKS, PALETTE, palette, sticker_mask
from benchmark.data.base import Grid, datasets
from benchmark.errors import AttackError, SpecError
from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from tests.attacks.judging import judged, photos
from tests.conftest import data_folder


def view(distance=1.5, angle=0.0, **other):
    neutral = dict.fromkeys(("shift_x", "shift_y", "blur", "noise", "noise_seed"), 0)
    neutral |= dict.fromkeys(("zoom", "brightness", "contrast"), 1)
    return {
        name: np.array([value]) for name, value in {"distance": distance, "angle": angle, **neutral, **other}.items()
    }


def network(channels=3, classes=10, side=16, seed=0):
    torch.manual_seed(seed)
    return Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(channels * side * side, classes)))


# -- what a sticker may be -----------------------------------------------------------------------------------------


def test_non_printability_is_zero_on_the_palette_and_the_product_of_distances_elsewhere():
    colours = torch.as_tensor(PALETTE)
    assert views.non_printability(colours, colours).max() < 1e-9
    other = np.array([[0.5, 0.1, 0.9], [1.0, 0.0, 0.0]])
    by_hand = np.prod(np.linalg.norm(other[:, None] - PALETTE[None], axis=2), axis=1)
    np.testing.assert_allclose(views.non_printability(torch.as_tensor(other), colours), by_hand, rtol=1e-12)


def test_the_palette_is_as_documented():
    assert PALETTE.shape == (30, 3)
    assert len(np.unique(PALETTE, axis=0)) == 30
    assert PALETTE.min() >= 0.08
    assert PALETTE.max() <= 0.93
    saturation = 1 - PALETTE.min(1) / PALETTE.max(1)
    assert saturation.max() <= 0.8 + 0.01
    assert palette(1).shape == (30, 1)
    with pytest.raises(AttackError, match="1 or 3 channels"):
        palette(2)


@pytest.mark.parametrize(
    ("name", "file", "side"),
    [
        ("authors-gtsrb", "mask_l1rectangles-less_256.png", 256),
        ("authors-lisa", "mask_l1loss_uniform_rectangles.png", 32),
    ],
)
def test_the_authors_masks_pixel_by_pixel(name, file, side):
    picture = Image.open(data_folder("stop_signs_rp2") / "masks" / file).convert("L")
    assert np.array_equal(sticker_mask(name, side, side), np.asarray(picture) > 127)
    given = attacks.make("rp2", {"mask": str(data_folder("stop_signs_rp2") / "masks" / file)})
    assert np.array_equal(sticker_mask(given.mask, side, side), np.asarray(picture) > 127)
    assert "stop_signs_rp2" not in str(given.params())  # content, not path


def test_mask_areas_on_the_suites_grid():
    areas = {name: sticker_mask(name, 128, 128).mean() for name in MASKS}
    assert areas["two-bars"] == pytest.approx(0.18, abs=0.005)
    assert areas["authors-gtsrb"] == pytest.approx(0.033, abs=0.003)
    assert areas["authors-lisa"] == pytest.approx(0.029, abs=0.003)


def test_a_mask_of_ones_own_and_what_is_refused():
    rectangle = attacks.make("rp2", {"mask": [[0.0, 0.0, 0.5, 0.25]]})
    assert sticker_mask(rectangle.mask, 8, 8).sum() == 4 * 2
    assert rectangle.params() == {"mask": [[0.0, 0.0, 0.5, 0.25]]}
    for mask in ([], [[0.5, 0.0, 0.2, 1.0]], [[0.0, 0.0, 2.0, 1.0]], "triangle"):
        with pytest.raises(SpecError, match="mask"):
            attacks.make("rp2", {"mask": mask})
    with pytest.raises(AttackError, match="holds no pixel"):
        sticker_mask(((0.0, 0.0, 0.01, 0.01),), 8, 8)


# -- views ---------------------------------------------------------------------------------------------------------


def test_the_neutral_view_is_the_photo():
    x = photos(1, side=32)
    torch.testing.assert_close(views.seen(x, view(), margin=0.0), x, atol=2e-5, rtol=0)


def test_corners_by_hand():
    # f = 400, half side 0.38 m, 2 m away, 30 degrees: x = f X cos a / (d + X sin a), y = f Y / (d + X sin a)
    expected = [[-72.73, -83.98], [60.11, -69.41], [60.11, 69.41], [-72.73, 83.98]]
    np.testing.assert_allclose(views.corners(2.0, 30.0), expected, atol=0.01)
    np.testing.assert_allclose(views.corners(1.52, 0.0), 100 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]))


@pytest.mark.parametrize(("column", "row"), [(64, 64), (24, 32), (104, 90)])
def test_a_point_lands_where_the_pinhole_camera_puts_it(column, row):
    x = torch.zeros(1, 1, 129, 129)
    x[..., row - 2 : row + 3, column - 2 : column + 3] = 1
    seen = views.seen(x, view(distance=2.0, angle=30.0))[0, 0].double()
    grid = torch.arange(129.0, dtype=torch.float64)
    found = float((seen.sum(0) * grid).sum() / seen.sum()), float((seen.sum(1) * grid).sum() / seen.sum())
    # by hand: metres on the plane, pixels on the sensor, then the box of 1.2 x 167.96 px around the corners' middle
    across, down = ((at + 0.5) / 129 * 0.76 - 0.38 for at in (column, row))
    depth = 2 + across * 0.5
    sensor = np.array([400 * across * np.sqrt(0.75) / depth, 400 * down / depth])
    middle, side = np.array([(60.11 - 72.73) / 2, 0.0]), 1.2 * 2 * 83.98
    assert found == pytest.approx(tuple((sensor - middle) / side * 129 + 64), abs=0.4)


def test_distance_costs_resolution_and_light_is_linear():
    x = photos(1, side=64)
    near, far = (views.seen(x, view(distance=d)) for d in (1.5, 12.0))
    detail = [float((image[..., 1:] - image[..., :-1]).abs().mean()) for image in (near, far)]
    assert detail[1] < 0.5 * detail[0]
    dark = views.seen(x, view(brightness=0.7))
    torch.testing.assert_close(dark, 0.7 * near, atol=1e-5, rtol=0)
    noisy = views.seen(x.clamp(0.3, 0.7), view(noise=0.03, noise_seed=5))
    clean = views.seen(x.clamp(0.3, 0.7), view())
    assert float((noisy - clean).std()) == pytest.approx(0.03, rel=0.05)


def test_the_gradient_reaches_the_sticker_at_every_distance_and_angle():
    x, mask = photos(1), torch.as_tensor(sticker_mask("two-bars", 16, 16))
    for distance in (1.5, 6.0, 12.0):
        for angle in (-45.0, 0.0, 45.0):
            sticker = torch.full((3, 16, 16), 0.5, requires_grad=True)
            shown = views.seen(views.paste(x, sticker, mask), view(distance, angle))
            network()(shown)[0, 3].backward()
            assert (sticker.grad[:, mask] != 0).float().mean() > 0.9
            assert not sticker.grad[:, ~mask].any()


# -- RP2 and its control -------------------------------------------------------------------------------------------


def test_a_sticker_changes_only_what_lies_in_the_mask():
    x, mask = photos(), torch.as_tensor(sticker_mask("two-bars", 16, 16))
    sticker = torch.zeros(3, 16, 16)
    pasted = views.paste(x, sticker, mask)
    assert torch.equal(pasted[:, :, ~mask], x[:, :, ~mask])
    assert not pasted[:, :, mask].any()
    fitted = attacks.make("rp2", {"steps": 3, "batch": 4, "size": 0}).fit(
        network(), x, torch.zeros(4, dtype=torch.long), eps=None, generator=Draws(range(4))
    )
    changed = (fitted["sticker"] != fitted["photo"]).any(0)
    assert changed[fitted["mask"]].all()
    assert not changed[~fitted["mask"]].any()


def test_the_sticker_loses_what_the_fit_minimises():
    x, y = photos(), torch.zeros(4, dtype=torch.long)
    fitted = attacks.make("rp2", {"steps": 60, "batch": 8, "target": 7, "lr": 0.05}).fit(
        network(), x, y, eps=None, generator=Draws(range(4))
    )
    assert fitted["loss"][-5:].mean() < fitted["loss"][:5].mean()


def test_training_and_judged_views_share_nothing():
    attack, seed = attacks.make("rp2"), Draws(range(4)).batch_seed
    training = fit_sticker.training_views(attack.distances, attack.angles, seed, 1000)
    judged = [attack.at_view(v).run(network(), photos(), None, eps=None, generator=Draws([v, v + 50, v + 100, v + 150]),
              fitted={"sticker": np.zeros((3, 16, 16), np.float32)}).params for v in range(attack.views())]  # fmt: skip
    for name in ("brightness", "contrast", "blur", "noise", "shift_x", "zoom", "noise_seed"):
        assert not np.intersect1d(training[name], np.concatenate([params[name] for params in judged])).size, name
    cells = {(float(params["distance"][0]), float(params["angle"][0])) for params in judged}
    assert cells == {(d, a) for d in attack.distances for a in attack.angles}
    assert len(judged) == 2 * len(cells)


def test_a_lying_attack_is_out_of_budget():
    class Outside(type(attacks.make("sticker-random"))):
        """Also paints the rest of the sign."""

        def run(self, model, inputs, labels, **rest):
            found = super().run(model, inputs, labels, **rest)
            found.inputs = (found.inputs + 0.05).clamp(0, 1)
            return found

    class Elsewhere(type(attacks.make("sticker-random"))):
        """Judges itself from a distance of its own."""

        def run(self, model, inputs, labels, **rest):
            found = super().run(model, inputs, labels, **rest)
            found.params["distance"] = found.params["distance"] + 100
            found.inputs = self.replay(inputs, found.params)
            return found

    model, x = network(), photos()
    y = model(x).argmax(1)
    for cls in (Outside, Elsewhere):
        rows = judged(cls(), model, x, y)
        counted = rows["reference_correct"]
        assert counted.any()
        assert (rows["status"][counted] == "out_of_budget").all()
        assert not rows["success"].any()
    assert (judged(attacks.make("sticker-random"), model, x, y)["status"] == "ok").all()


def test_a_view_counts_only_where_its_clean_counterpart_is_right():
    model, x = network(), photos(16)
    y = model(x).argmax(1)
    y[::2] = (y[::2] + 1) % 10  # frontally wrong: still judged, by the view's own reference
    attack = attacks.make("sticker-random", {"target": 3})
    rows = judged(attack, model, x, y)
    run = attack.run(model, x, y, eps=None, generator=Draws(range(16)))
    reference = (model(run.reference).argmax(1) == y).numpy()
    assert np.array_equal(rows["reference_correct"], reference)
    assert not rows["success"][~reference].any()
    import pandas as pd

    frame = pd.DataFrame(rows)
    values = {column.name: column.values(frame) for column in attack.columns()}
    assert np.array_equal(np.isnan(values["fooled"]), ~reference)
    assert values["views_right"].mean() == reference.mean()
    assert np.allclose(values["sticker_area"], sticker_mask("two-bars", 16, 16).mean())
    assert set(values) == {"sticker_area", "views_right", "fooled", "fooled_target"}  # a control is not trained


def test_random_stickers_are_printable_and_drawn_anew():
    attack = attacks.make("sticker-random")
    found = attack.stickers((2, 3, 32, 32), Draws([1, 2]), None)
    colours = {tuple(c) for c in np.round(found.transpose(0, 2, 3, 1).reshape(-1, 3), 3)}
    assert colours <= {tuple(c) for c in np.round(PALETTE.astype(np.float32), 3)}
    assert not np.array_equal(found[0], found[1])
    assert (found[:, :, ::2] == found[:, :, 1::2]).all()  # 16 blocks of 2 pixels


def success(use, params, model, known, held_out, label):
    attack = attacks.make(use, params)
    fitted = None
    if attack.fits:
        fitted = attack.fit(
            model, known, torch.full((len(known),), label), eps=None, generator=Draws(range(len(known)))
        )
    parts = []
    for v in range(attack.views()):
        y = torch.full((len(held_out),), label)
        parts.append(judged(attack.at_view(v), model, held_out, y, fitted))
    inside = np.concatenate([part.get("reference_correct", np.ones(len(held_out), bool)) for part in parts])
    return np.concatenate([part["success"] for part in parts])[inside].mean(), inside.mean()


@pytest.mark.long
def test_on_real_photos_rp2_beats_random_stickers_and_the_small_masks_it_cannot_use():
    data = datasets.make("stop-signs", {"path": data_folder("stop_signs_rp2")})
    known, held_out = (
        torch.as_tensor(data.load(split, data.index(split).ids, Grid(size=(64, 64), channels=3)).inputs)
        for split in ("train", "test")
    )
    model = build_model(load_entry("gtsrb_cnn"))
    views = {"distances": [1.5, 9.0], "angles": [-20.0, 20.0], "draws": 1, "target": 5}
    rates = {}
    for name, use, params in (
        ("bars", "rp2", {"steps": 50}),
        ("small", "rp2", {"steps": 50, "mask": "authors-lisa"}),
        ("random", "sticker-random", {}),
    ):
        rates[name], right = success(use, views | params, model, known, held_out, 14)
        assert right > 0.9
    assert rates["bars"] > 0.8
    assert rates["bars"] > rates["random"] + 0.3
    assert rates["small"] < 0.3
