"""Fooling images.

Oracles: a linear model (the confidence of a corner is known in closed form), the verifier's own prediction, the control
of plain noise, and the shares recomputed from the records.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark.attacks.base import attacks
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from benchmark.store.folder import Store
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import generate

TARGETS = torch.arange(10)


def made(use, model, params=None, shape=(1, 8, 8)):
    attack = attacks.make(use, params or {})
    return generate(tasks.make("classification"), attack, model, TARGETS, shape, generator=Draws(range(10)))


@pytest.mark.parametrize("use", ["fooling-gradient", "fooling-evolution"])
def test_on_a_linear_model_every_class_that_can_be_reached_is_reached(use):
    """Closed form: a class is reachable at least where the corner that its own weights prefer is confident."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    with torch.no_grad():
        network[1].weight.mul_(8)
    model = Model(network)
    weight = network[1].weight.detach()
    corners = ((weight - weight.mean(0)) > 0).float().view(10, 1, 8, 8)
    assert (model(corners).softmax(1).diagonal() > 0.995).all()
    rows, images = made(use, model)
    assert (rows["confidence"] >= 0.99).all()
    assert rows["success"].all()
    again = model(images).double().softmax(1).diagonal().numpy()
    np.testing.assert_allclose(rows["confidence"], again, rtol=1e-12)


def test_searches_beat_noise_on_a_trained_network_and_count_their_calls():
    model = build_model(load_entry("digits_cnn_adv"))
    confident = {}
    for use in ("fooling-gradient", "fooling-evolution", "fooling-noise"):
        with model.counter.counting() as used:
            rows, images = made(use, model)
        confident[use] = float((rows["confidence"] >= 0.99).mean())
        judging = len(TARGETS)  # the verifier's own forwards
        assert rows["forwards"].sum() == used.forwards - judging
        assert rows["backwards"].sum() == used.backwards
        assert images.min() >= 0
        assert images.max() <= 1
    assert confident["fooling-gradient"] == confident["fooling-evolution"] == 1.0
    assert confident["fooling-noise"] < 0.5


@pytest.mark.parametrize("use", ["fooling-gradient", "fooling-evolution", "fooling-noise"])
def test_a_class_does_not_depend_on_those_asked_with_it(use):
    model = build_model(load_entry("digits_mlp"))
    attack, task = attacks.make(use), tasks.make("classification")
    whole = generate(task, attack, model, TARGETS, (1, 8, 8), generator=Draws(range(10)))[1]
    alone = generate(task, attack, model, TARGETS[4:5], (1, 8, 8), generator=Draws([4]))[1]
    torch.testing.assert_close(whole[4:5], alone, atol=1e-5, rtol=0)


def test_a_suite_gives_shares_evaluations_rejection_and_a_gallery(workplace):
    workplace.suite(
        "fool",
        """
        entries = ["one", "digits_mlp"]
        dataset = { use = "digits", samples = 60 }
        run = { chunk = 7 }

        [[attacks]]
        name = "up"
        use = "fooling-gradient"
        params = { steps = 60 }

        [[attacks]]
        name = "noise"
        use = "fooling-noise"
        params = { draws = 5 }
        """,
    )
    workplace.assay("run", "fool", "--workers", 1)
    folder = workplace.root / "results" / "fool"
    board = pd.read_csv(folder / "leaderboard.csv").set_index("model")
    row = board.loc["digits_mlp"]
    assert row["fooling_99_up"] > row["fooling_99_noise"]
    assert row["n_fooling_99_up"] == 10
    clean = [h for h in workplace.heads("fool") if h["spec"]["kind"] == "clean" and h["spec"]["model"] == "digits_mlp"]
    natural = np.concatenate([Store(folder).rows(head["hash"])["confidence"] for head in clean])
    assert row["natural_99_up"] == pytest.approx((natural >= 0.99).mean(), abs=1e-5)
    assert not any(name.startswith(("robust_acc", "asr")) for name in board.columns)
    with Image.open(folder / "figures" / "gallery_up.png") as image:
        assert min(image.size) > 100
    assert row["cells"] == 9 + 2 * 2
