"""The AutoAttack ensembles. Oracles: torchattacks' own class (parity), a closed form on a linear model of two classes,
and properties (who is skipped, the library's version in the hash)."""

from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
import torch
import torchattacks as ta
from sklearn.datasets import load_digits

from benchmark.attacks.base import attacks
from benchmark.models.wrap import Model
from benchmark.seeds import Draws, global_seed
from benchmark.spec.entry import EntrySpec
from tests.conftest import write_entry


def linear(classes, seed=0):
    torch.manual_seed(seed)
    return Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes)))


def samples(model, n=24):
    x = torch.rand((n, 1, 8, 8), generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    return x, model(x).argmax(1)


@pytest.mark.parametrize(("norm", "name", "eps"), [("linf", "Linf", 0.02), ("l2", "L2", 0.1)])
def test_the_standard_ensemble_is_the_librarys(norm, name, eps):
    model = linear(10)
    x, y = samples(model)
    y[:3] = (y[:3] + 1) % 10  # wrong already
    draws = Draws(range(24))
    with global_seed(3):
        found = attacks.make("autoattack", {"norm": norm, "steps": 10}).run(model, x, y, eps=eps, generator=draws)
    with global_seed(3):
        expected = ta.AutoAttack(model, norm=name, eps=eps, n_classes=10, seed=draws.batch_seed)(x, y)
    assert torch.equal(found.inputs, expected)
    broken = model(found.inputs).argmax(1) != y
    assert 3 < int(broken.sum()) < 24, "some hold, some do not, else this shows nothing"
    assert torch.equal(found.inputs[:3], x[:3])
    assert found.forwards[:3].tolist() == [1, 1, 1], "one prediction, and they leave"


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_binary_ensemble_breaks_exactly_what_can_be_broken(classes, norm):
    """A linear model breaks at margin / dual norm of the weight difference (inputs stay inside the box here)."""
    model = linear(classes)
    x, y = samples(model, 60)
    weights, logits = model.network[1].weight, model(x)
    others = [[k for k in range(classes) if k != int(label)] for label in y]
    order = 1 if norm == "linf" else 2
    distance = torch.tensor(
        [
            min(
                float((row[label] - row[k]) / torch.linalg.vector_norm(weights[label] - weights[k], order))
                for k in wrong
            )
            for row, label, wrong in zip(logits, y, others, strict=True)
        ]
    )
    eps = float(distance.median())
    clear = (distance / eps - 1).abs() > 0.02
    found = attacks.make("autoattack-binary", {"norm": norm, "queries": 50}).run(
        model, x, y, eps=eps, generator=Draws(range(60))
    )
    broken = model(found.inputs).argmax(1) != y
    assert torch.equal(broken[clear], (distance < eps)[clear])
    assert 20 < int(broken.sum()) < 40


def test_each_member_is_tried_on_what_is_left_and_costs_are_counted():
    model = linear(2)
    x, y = samples(model)
    attack = attacks.make("autoattack-binary", {"steps": 5, "queries": 7})
    with model.counter.counting() as used:
        found = attack.run(model, x, y, eps=0.005, generator=Draws(range(24)))
    broken = (model(found.inputs).argmax(1) != y).numpy()
    assert 0 < broken.sum() < 24
    assert torch.equal(found.inputs[~broken], x[~broken]), "what is not broken comes back as it was"
    assert found.forwards[broken].max() < found.forwards[~broken].min()
    np.testing.assert_allclose(found.forwards.sum(), used.forwards)
    np.testing.assert_allclose(found.backwards.sum(), used.backwards)


def entry(classes, output="logits"):
    return EntrySpec(name="m", input_shape=(1, 8, 8), classes=classes, output=output, factory="model:build")


@pytest.mark.parametrize(("classes", "output"), [(1, "logit1"), (2, "logits"), (3, "logits")])
def test_below_four_classes_the_standard_ensemble_names_the_other(classes, output):
    reason = attacks.make("autoattack").skip(None, entry(classes, output), None)
    assert "at least 4 classes" in reason
    assert "autoattack-binary" in reason
    assert attacks.make("autoattack-binary").skip(None, entry(classes, output), None) is None


def test_from_four_classes_on_the_binary_ensemble_is_refused():
    assert "use autoattack," in attacks.make("autoattack-binary").skip(None, entry(4), None)
    assert attacks.make("autoattack").skip(None, entry(4), None) is None


def test_batch_size_and_library_are_in_the_hash():
    attack = attacks.make("autoattack", {"norm": "L2", "batch_size": 50})
    assert attack.fixed_batch_size() == 50
    assert attack.identity() == {
        "use": "autoattack",
        "params": {"norm": "l2", "batch_size": 50},
        "version": f"1+torchattacks=={version('torchattacks')}",
    }


TWO_CLASSES = """
import numpy as np
import torch
from pathlib import Path
from torch import nn


def build():
    "Perceptron 64-8-2, trained here on 3 against 8."
    data = np.load(Path(__file__).parents[2] / "pair.npz")
    x, y = torch.as_tensor(data["x_train"]), torch.as_tensor(data["y_train"])
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2))
        optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
        for _ in range(100):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimiser.step()
    return net
"""
PAIR_SUITE = """
entries = ["pair_net"]
dataset = { use = "npz", path = "pair.npz", samples = 60 }
threat = { norm = "linf", eps = "0.15" }

[[attacks]]
name = "aa"
use = "autoattack"
budgets = ["0.15"]

[[attacks]]
name = "binary"
use = "autoattack-binary"
budgets = ["0.1", "0.15"]
params = { steps = 30, queries = 200 }

[[attacks]]
name = "pgd"
use = "foolbox:LinfPGD"
budgets = ["0.1", "0.15"]
params = { steps = 30, rel_stepsize = 0.1 }
"""


def test_a_real_problem_of_two_classes(workplace):
    """Three against eight. The ensemble is at least as strong as PGD; the standard one is skipped with its reason."""
    data = load_digits()
    chosen = np.isin(data.target, (3, 8))
    x = (data.images[chosen] / 16).astype(np.float32)[:, None]
    y = (data.target[chosen] == 8).astype(np.int64)
    parts = {"x_train": x[:-80], "y_train": y[:-80], "x_test": x[-80:], "y_test": y[-80:]}
    np.savez(workplace.root / "pair.npz", **parts, classes=np.array(["three", "eight"]))
    write_entry(workplace.root / "baselines" / "pair_net", TWO_CLASSES)
    entry_file = workplace.root / "baselines" / "pair_net" / "entry.toml"
    entry_file.write_text(entry_file.read_text().replace("classes = 10", "classes = 2"))
    workplace.suite("pair", PAIR_SUITE)
    done = workplace.assay("run", "pair", "--workers", 1)
    assert "autoattack needs at least 4 classes" in " ".join(done.stdout.split())
    row = pd.read_csv(workplace.root / "results/pair/leaderboard.csv").iloc[0]
    assert row["clean_acc"] > 0.9
    assert row["skipped"] == 1
    assert np.isnan(row["robust_acc_aa_0.15"])
    for eps in ("0.1", "0.15"):
        assert row[f"robust_acc_binary_{eps}"] <= row[f"robust_acc_pgd_{eps}"]
    assert 0 < row["asr_binary_0.1"] < row["asr_binary_0.15"]
