"""Universal perturbations.

Oracles: a linear model (the best linf perturbation is the sign of the weight difference), the loop over single images
(blockwise screening must give its result with fewer calls), the control on real digits, and the verifier.
"""

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark.attacks.base import attacks
from benchmark.attacks.universal.fit import predictions, project, sequential
from benchmark.data.base import Grid, datasets
from benchmark.errors import SpecError
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.wrap import Model
from benchmark.schedule.plan import ref
from benchmark.seeds import Draws
from tests.conftest import REPOSITORY, Workplace


def linear(seed=0):
    """Two classes on 1x4x4 inputs: logit difference w.x, so that -eps sign(w) is the best linf perturbation."""
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    inputs = 0.5 + 0.1 * (torch.rand((40, 1, 4, 4), generator=torch.Generator().manual_seed(seed)) - 0.5)
    model = Model(network)
    with torch.no_grad():  # the boundary goes through the middle of the samples, all of one class a side
        logits = model(inputs)
        network[1].bias += torch.tensor([0.0, float((logits[:, 0] - logits[:, 1]).min()) - 0.02])
    return model, inputs


def fit(use, model, inputs, eps, **params):
    attack = attacks.make(use, params)
    fitted = attack.fit(model, inputs, model(inputs).argmax(1), eps=eps, generator=Draws(range(len(inputs))))
    return attack, fitted


@pytest.mark.parametrize("use", ["universal-sgd", "universal-deepfool"])
def test_on_a_linear_model_it_is_the_sign_of_the_weights(use):
    model, inputs = linear()
    assert set(model(inputs).argmax(1).tolist()) == {0}
    _, fitted = fit(use, model, inputs, 0.1, passes=20, **({"delta": 0.0} if use.endswith("fool") else {}))
    weight = model.network[1].weight
    away = (weight[1] - weight[0]).sign().view(1, 4, 4)
    best = (model(inputs + 0.1 * away).argmax(1) == 1).float().mean()
    got = (model(inputs + torch.as_tensor(fitted["delta"])).argmax(1) == 1).float().mean()
    assert best > 0.5
    assert got >= best - 0.05
    if use == "universal-sgd":
        np.testing.assert_allclose(fitted["delta"], 0.1 * away.numpy(), atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_blockwise_screening_is_the_loop_over_single_images_with_fewer_calls(norm):
    model = build_model(load_entry("digits_cnn"))
    dataset = datasets.make("digits")
    inputs = torch.as_tensor(dataset.load("train", dataset.index("train").ids[:120], Grid()).inputs)
    order = torch.stack([torch.randperm(120, generator=torch.Generator().manual_seed(i)) for i in range(2)])
    eps = {"linf": 0.15, "l2": 0.7}[norm]

    def crossing(point, label):
        point = point.detach().requires_grad_()
        logits = model(point.clamp(0, 1))
        other = logits.detach().scatter(1, label.view(-1, 1), -torch.inf).argmax(1)
        gap = logits[0, other] - logits[0, label]
        w = torch.autograd.grad(gap.sum(), point)[0]
        return (-gap.detach() + 1e-3) * w / w.square().sum().clamp(min=1e-12)

    with model.counter.counting() as blocks:
        got, passes = sequential(model, inputs, crossing, eps=eps, norm=norm, passes=2, delta=0.0, order=order)
    clean, v = predictions(model, inputs, None, 64), torch.zeros_like(inputs[0])
    after = []
    with model.counter.counting() as single:
        for turn in range(2):
            for i in order[turn].tolist():
                point = inputs[i : i + 1] + v
                if model(point.clamp(0, 1)).argmax(1) == clean[i]:
                    v = project(v + crossing(point, clean[i : i + 1])[0], eps, norm)
            after.append((float((predictions(model, inputs, v, 64) != clean).float().mean()), turn, v))
    assert passes == 2
    best = max(after, key=lambda each: (each[0], -each[1]))[2]
    torch.testing.assert_close(got, best, atol=2e-5, rtol=0)
    calls = {"blocks": blocks.forwards, "single": single.forwards}
    assert calls["blocks"] < 6 * calls["single"], calls  # samples; what is saved are the calls of the network


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-3, 2.0), st.sampled_from(["linf", "l2"]))
def test_the_projection_stays_inside_and_leaves_what_is_inside(seed, eps, norm):
    """Property: within the ball in float64, and a projection is its own projection."""
    v = torch.randn((1, 5, 5), generator=torch.Generator().manual_seed(seed))
    inside = project(v, eps, norm)
    length = inside.double().abs().max() if norm == "linf" else inside.double().norm()
    assert length <= eps * (1 + 1e-7)
    torch.testing.assert_close(project(inside, eps, norm), inside, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.3), ("l2", 1.5)])
def test_on_digits_it_fools_held_out_samples_and_the_control_does_not(norm, eps):
    model, dataset = build_model(load_entry("digits_cnn")), datasets.make("digits")
    train = torch.as_tensor(dataset.load("train", dataset.index("train").ids[:200], Grid()).inputs)
    test = torch.as_tensor(dataset.load("test", dataset.index("test").ids, Grid()).inputs)
    clean, rates = model(test).argmax(1), {}
    for use in ("universal-sgd", "universal-deepfool", "universal-random"):
        attack, fitted = attacks.make(use, {"norm": norm}), None
        if attack.fits:
            attack, fitted = fit(use, model, train, eps, norm=norm)
        shown = attack.run(model, test, clean, eps=eps, generator=Draws(range(len(test))), fitted=fitted).inputs
        rates[use] = float((model(shown).argmax(1) != clean).float().mean())
    assert rates["universal-sgd"] > rates["universal-deepfool"] > 2 * rates["universal-random"], rates
    assert rates["universal-sgd"] > 0.7, rates


def test_a_target_is_what_held_out_samples_become():
    model, dataset = build_model(load_entry("digits_mlp")), datasets.make("digits")
    train = torch.as_tensor(dataset.load("train", dataset.index("train").ids[:400], Grid()).inputs)
    _, fitted = fit("universal-sgd", model, train, 0.3, target=3)
    test = torch.as_tensor(dataset.load("test", dataset.index("test").ids, Grid()).inputs)
    shown = (test + torch.as_tensor(fitted["delta"])).clamp(0, 1)
    assert float((model(shown).argmax(1) == 3).float().mean()) > 0.7
    assert attacks.make("universal-sgd", {"target": 3}).threat.targeted


# -- in a suite ----------------------------------------------------------------------------------------------------

SUITE = """
entries = ["one", "two"]
dataset = { use = "digits", samples = 40 }
threat = { norm = "linf", eps = "0.2" }
run = { chunk = 20 }

[[attacks]]
name = "uap"
use = "universal-sgd"
budgets = ["0.1", "0.2"]
params = { passes = 3, restarts = 1 }
fit_samples = 60
transfer = true

[[attacks]]
name = "uap-20"
use = "universal-sgd"
budgets = ["0.2"]
params = { passes = 3, restarts = 1 }
fit_samples = 20

[[attacks]]
name = "random"
use = "universal-random"
budgets = ["0.2"]
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    workplace = Workplace(tmp_path_factory.mktemp("universal"))
    workplace.suite("uni", SUITE)
    workplace.assay("run", "uni", "--workers", 1)
    return workplace


def test_a_suite_gives_rates_matrix_curve_labels_and_the_artefact(ran):
    folder = ran.root / "results" / "uni"
    board = pd.read_csv(folder / "leaderboard.csv").set_index("model")
    matrix = pd.read_csv(folder / "transfer_uap_0.2.csv").set_index("computed_on")
    for model in ("one", "two"):
        assert matrix.loc[model, model] == pytest.approx(board.loc[model, "fooling_rate_uap_0.2"])
    assert (board["fooling_rate_uap_0.2"] > board["fooling_rate_random_0.2"]).all()
    assert board["fooling_train_uap_0.2"].between(0, 1).all()
    assert (board["n_fooling_train_uap_0.2"] == 60).all()
    assert (board["fit_backwards_uap_0.2"] == 3).all()
    curve = pd.read_csv(folder / "learning_curve_uap_0.2.csv")
    assert sorted(set(curve["fit_samples"])) == [20, 60]
    assert "labels" in pd.read_csv(folder / "dominant_labels_universal-sgd.csv")
    for picture in ("transfer_uap_0.2", "learning_curve_uap_0.2", "perturbations_universal-sgd"):
        with Image.open(folder / "figures" / f"{picture}.png") as image:
            assert min(image.size) > 100
    assert "could not" not in (folder / "leaderboard.md").read_text()
    where = pd.read_csv(folder / "fitted.csv")
    assert set(where["artefact"]) == {"fitted", "delta.png"}
    assert all((folder / file).is_file() for file in where["file"])
    fits = [head for head in ran.heads("uni") if head["spec"]["kind"] == "fit"]
    assert len(fits) == 6, "two models, two budgets, and one more number of images"
    for head in fits:
        png = folder / "artefacts" / head["artefacts"]["delta.png"]["file"]
        assert hashlib.sha256(png.read_bytes()).hexdigest() == head["artefacts"]["delta.png"]["sha256"]
        with Image.open(png) as image:
            assert image.size == (8, 8)


def test_the_worst_case_counts_transferred_perturbations_too(ran):
    """Truth 2: any verified success within the budget breaks a sample, wherever the perturbation was computed."""
    rows = pd.read_parquet(ran.root / "results" / "uni" / "records.parquet")
    board = pd.read_csv(ran.root / "results" / "uni" / "leaderboard.csv").set_index("model")
    assert (board["robust_acc_worst"] <= board["robust_acc_uap_0.2"]).all()
    assert (rows["status"].dropna() == "ok").all()


def test_the_artefact_is_reused_from_its_file_and_hashed_by_content(ran, tmp_path):
    ran = ran.copy(tmp_path)
    fits = [head for head in ran.heads("uni") if head["spec"]["kind"] == "fit" and head["spec"]["eps"] == "1/5"]
    chosen = next(h for h in fits if h["spec"]["model"] == "one" and len(h["spec"]["samples"]) == 60)
    kept = ran.root / "results/uni/artefacts" / chosen["artefacts"]["fitted"]["file"]
    (ran.root / "delta.npz").write_bytes(kept.read_bytes())
    probe = '\n[[attacks]]\nname = "again"\nuse = "universal:file=delta.npz"\nbudgets = ["0.2"]\n'
    ran.suite("uni", SUITE + probe)
    ran.assay("run", "uni", "--workers", 1)
    board = pd.read_csv(ran.root / "results/uni/leaderboard.csv").set_index("model")
    matrix = pd.read_csv(ran.root / "results/uni/transfer_uap_0.2.csv").set_index("computed_on")
    assert board.loc["two", "fooling_rate_again_0.2"] == pytest.approx(matrix.loc["one", "two"])
    assert str(ran.root) not in "".join(str(head["spec"]) for head in ran.heads("uni"))
    (ran.root / "moved.npz").write_bytes(kept.read_bytes())
    here, moved = (attacks.make(f"universal:file={ran.root / name}.npz") for name in ("delta", "moved"))
    assert ref(here).hashed() == ref(moved).hashed()


def test_a_file_that_is_none_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", v=np.zeros((1, 8, 8)))
    np.savez(tmp_path / "flat.npz", delta=np.zeros(64))
    for name in ("missing.npz", "other.npz", "flat.npz"):
        with pytest.raises(SpecError, match=name):
            attacks.make(f"universal:file={tmp_path / name}")
    with pytest.raises(SpecError, match="file=PATH"):
        attacks.make("universal:delta")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("fit_samples = 60", "fit_samples = 60000", "the split 'train' has 1297 samples"),
        ("restarts = 1 }", "restarts = 1, target = 12 }", "the dataset has the classes 0 to 9"),
    ],
)
def test_what_the_data_cannot_give_is_refused_before_anything_runs(workplace, old, new, words):
    workplace.suite("uni", SUITE.replace(old, new, 1))
    said = workplace.assay("run", "uni", "--dry-run", code=2).stderr
    assert "attack 'uap'" in said
    assert words in said


def test_the_shipped_suite_has_every_part_of_the_protocol():
    text = (REPOSITORY / "suites" / "universal.toml").read_text()
    for part in ("transfer = true", "target =", "universal-random", "universal-deepfool", "fit_samples"):
        assert part in text
