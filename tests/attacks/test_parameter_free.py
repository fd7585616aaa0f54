"""APGD, FAB, Square and AutoAttack. Oracles: closed forms on linear networks, exact equality between batches in
float64, a spy's counts, controls (a network without gradients), and torchattacks' AutoAttack (parity)."""

import numpy as np
import pandas as pd
import pytest
import torch
import torchattacks as ta
from sklearn.datasets import load_digits

from benchmark.attacks.base import attacks
from benchmark.attacks.parameter_free.ascent import checkpoints
from benchmark.attacks.parameter_free.squares import side
from benchmark.attacks.verify import allowed, norms
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from tests.conftest import write_entry

DUAL = {"linf": 1, "l2": 2, "l1": torch.inf}
ALL = [
    *[("apgd", {"norm": norm, "loss": loss, "steps": 12}) for norm in DUAL for loss in ("ce", "dlr", "margin")],
    *[("apgd", {"norm": norm, "loss": "dlr", "steps": 8, "classes": 9, "restarts": 2}) for norm in DUAL],
    *[("fab", {"norm": norm, "steps": 8, "restarts": 2}) for norm in DUAL],
    *[("fab", {"norm": norm, "steps": 6, "classes": 0}) for norm in DUAL],
    *[("square", {"norm": norm, "queries": 70}) for norm in DUAL],
    *[("autoattack", {"norm": norm, "steps": 5, "queries": 20}) for norm in DUAL],
    ("autoattack", {"norm": "linf", "steps": 4, "queries": 5, "variant": "plus"}),
]  # fmt: skip
BUDGET = {"linf": 0.06, "l2": 0.35, "l1": 1.5}
NAMES = [f"{use}-{'-'.join(str(v) for v in params.values())}" for use, params in ALL]


def linear(classes=10, dtype=torch.float32):
    torch.manual_seed(0)
    return Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes)).to(dtype))


def samples(model, n=24):
    """Inputs well inside the box, so that it does not matter."""
    x = torch.rand((n, 1, 8, 8), generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    x = x.to(next(model.parameters()).dtype)
    return x, model(x).argmax(1)


def distances(model, x, y, norm):
    """(N,) to the nearest boundary of a linear network: margin over the dual norm of the weight difference.

    Of l1 inside the box: the steepest elements are spent first, each as far as it goes.
    """
    weights, logits = model.network[1].weight.detach().double(), model(x).detach().double()
    values = []
    for flat, z, label in zip(x.flatten(1).double(), logits, y.tolist(), strict=True):
        others = [k for k in range(len(z)) if k != label]
        margins, directions = [float(z[label] - z[k]) for k in others], [weights[k] - weights[label] for k in others]
        if norm == "l1":
            values.append(min(greedy(flat, w, margin) for w, margin in zip(directions, margins, strict=True)))
        else:
            lengths = [float(torch.linalg.vector_norm(w, DUAL[norm])) for w in directions]
            values.append(min(margin / length for margin, length in zip(margins, lengths, strict=True)))
    return torch.tensor(values)


def greedy(x, w, need):
    spent = 0.0
    for i in w.abs().argsort(descending=True).tolist():
        room = float(1 - x[i] if w[i] > 0 else x[i])
        step = min(room, need / float(w[i].abs()))
        spent, need = spent + step, need - step * float(w[i].abs())
        if need <= 1e-12:
            return spent
    return float("inf")


def smooth(dtype=torch.float64, classes=10):
    """A seeded network of smooth layers."""
    torch.manual_seed(1)
    layers = [torch.nn.Conv2d(1, 6, 3), torch.nn.ELU(), torch.nn.Flatten(), torch.nn.Linear(216, classes)]
    return Model(torch.nn.Sequential(*layers).to(dtype))


EXACT = {
    "ce-2": ("apgd", {"loss": "ce", "steps": 60}, 2),  # with more classes its direction is a mixture
    "margin-3": ("apgd", {"loss": "margin", "steps": 60}, 3),
    "targeted-10": ("apgd", {"loss": "dlr", "classes": 9, "steps": 60}, 10),
    **{f"autoattack-{k}": ("autoattack", {"queries": 20, "steps": 60}, k) for k in (2, 3, 10)},
}


@pytest.mark.parametrize("norm", list(DUAL))
@pytest.mark.parametrize(("use", "params", "classes"), EXACT.values(), ids=EXACT)
def test_what_a_linear_network_can_lose_is_lost_and_nothing_else(use, params, classes, norm):
    model = linear(classes)
    x, y = samples(model, 16)
    distance = distances(model, x, y, norm)
    eps = float(distance.median())
    clear = (distance / eps - 1).abs() > (0.2 if norm == "l1" else 0.03)
    out = attacks.make(use, {"norm": norm, **params}).run(model, x, y, eps=eps, generator=Draws(range(16)))
    broken = model(out.inputs).argmax(1) != y
    assert torch.equal(broken[clear], (distance < eps)[clear])
    assert (norms(x, out.inputs)[norm] <= allowed(eps, norm, 64)).all()
    assert torch.equal(out.inputs[~broken], x[~broken]), "what nothing broke comes back as it was"


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("aimed", [0, 9])
@pytest.mark.parametrize("norm", list(DUAL))
def test_fab_finds_the_distance_of_a_linear_network(norm, aimed, classes):
    model = linear(classes, torch.float64)
    x, y = samples(model, 12)
    out = attacks.make("fab", {"norm": norm, "classes": aimed, "steps": 30}).run(
        model, x, y, eps=None, generator=Draws(range(12))
    )
    assert bool((model(out.inputs).argmax(1) != y).all())
    ratio = norms(x, out.inputs)[norm] / distances(model, x, y, norm).numpy()
    assert ratio.min() >= 1 - 1e-9
    assert np.median(ratio) <= 1.01
    assert ratio.max() <= 1.06


def run(model, use, params, x, y, seeds):
    attack = attacks.make(use, params)
    eps = BUDGET[attack.threat.norm] if attack.threat.kind == "fixed" else None
    return attack.run(model, x, y, eps=eps, generator=Draws(seeds))


@pytest.mark.parametrize(("use", "params"), ALL, ids=NAMES)
def test_in_float64_the_batch_does_not_matter_at_all(use, params):
    model = smooth()
    x, y = samples(model, 9)
    whole = run(model, use, params, x, y, range(9))
    parts = [run(model, use, params, x[i:j], y[i:j], range(i, j)) for i, j in ((0, 1), (1, 4), (4, 9))]
    assert torch.equal(whole.inputs, torch.cat([part.inputs for part in parts]))
    order = [4, 2, 8, 0, 6]
    turned = run(model, use, params, x[order], y[order], order)
    assert torch.equal(whole.inputs[order], turned.inputs), "nor do the neighbours or the order"
    if use != "autoattack" and params.get("restarts", 1) == 1 and not params.get("classes"):
        assert whole.forwards.tolist() == np.concatenate([part.forwards for part in parts]).tolist()


@pytest.mark.parametrize(("use", "params"), ALL, ids=NAMES)
def test_in_float32_verdicts_agree_and_inputs_within_rounding(use, params):
    model = smooth(torch.float32)
    x, y = samples(model, 24)
    whole = run(model, use, params, x, y, range(24)).inputs
    parts = torch.cat(
        [run(model, use, params, x[i : i + 8], y[i : i + 8], range(i, i + 8)).inputs for i in range(0, 24, 8)]
    )
    assert torch.equal(model(whole).argmax(1), model(parts).argmax(1))
    if use == "fab" and params["norm"] == "l1":  # which element comes next may turn on the last digit
        sizes = [norms(x, inputs)["l1"] for inputs in (whole, parts)]
        np.testing.assert_allclose(*sizes, rtol=1e-3)
        return
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("use", "params"), ALL, ids=NAMES)
def test_calls_are_counted_exactly(use, params):
    model = smooth()
    model.least_batch = 1  # no padding, so that the wrapper counts what the attack does
    x, y = samples(model, 9)
    y[0] = (y[0] + 1) % 10
    with model.counter.counting() as used:
        out = run(model, use, params, x, y, range(9))
    assert out.forwards.sum() == used.forwards
    assert out.backwards.sum() == used.backwards
    assert out.forwards[0] == 1, "one prediction, and it leaves"
    assert torch.equal(out.inputs[0], x[0])


@pytest.mark.parametrize(("use", "params"), ALL, ids=NAMES)
@pytest.mark.parametrize("classes", [1, 2, 1000])
def test_one_logit_two_classes_a_thousand(use, params, classes):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))
    model = Model(network, one_logit=classes == 1)
    x, y = samples(model, 5)
    params = {**params, "classes": min(params["classes"], 2)} if params.get("classes") else params
    if classes == 1000 and (use == "autoattack" or params.get("classes") == 0):
        params = {**params, "steps": 1, "queries": 2} if use == "autoattack" else {**params, "steps": 1}
        if params.get("variant") == "plus" or use == "fab":
            x, y = x[:1], y[:1]  # untargeted FAB makes a backward for each class
    out = run(model, use, params, x, y, range(len(x)))
    assert out.inputs.shape == x.shape
    assert bool(torch.isfinite(out.inputs).all())
    assert 0 <= out.inputs.min() <= out.inputs.max() <= 1


@pytest.mark.parametrize(("use", "params"), ALL, ids=NAMES)
def test_without_a_gradient_nothing_breaks_and_nothing_is_nan(use, params):
    class Flat(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = torch.nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]))

        def forward(self, x):
            return 0 * x.flatten(1).sum(1, keepdim=True) + self.one

    model = Model(Flat())
    x, _ = samples(model, 4)
    out = run(model, use, params, x, torch.zeros(4, dtype=torch.int64), range(4))
    assert torch.equal(out.inputs, x)


def test_a_sample_that_is_broken_costs_no_more():
    model = linear()
    x, y = samples(model, 40)
    out = attacks.make("apgd", {"norm": "linf", "steps": 100}).run(
        model, x, y, eps=float(distances(model, x, y, "linf").median()), generator=Draws(range(40))
    )
    broken = (model(out.inputs).argmax(1) != y).numpy()
    assert set(out.forwards[~broken]) == {102}, "a prediction, the start, and a hundred steps"
    assert out.forwards[broken].max() < 60
    assert set(out.backwards[~broken]) == {101}


def test_checkpoints_and_squares_follow_the_papers():
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    sides = [side(query, (1, 32, 32), "linf") for query in (0, 10, 11, 51, 201, 501, 1001, 2001, 4001)]
    expected = [round((0.8 / 2**k * 1024) ** 0.5) for k in (0, 0, 1, 2, 3, 4, 5, 6, 7)]
    assert sides == expected
    assert side(9999, (1, 32, 32), "l2") == 3
    assert side(0, (1, 28, 28), "l1") % 2 == 1


@pytest.mark.parametrize(("norm", "name", "eps"), [("linf", "Linf", 0.05), ("l2", "L2", 0.4)])
def test_autoattack_agrees_with_torchattacks_and_is_cheaper(norm, name, eps):
    model = build_model(load_entry("digits_mlp"))
    data = load_digits()
    x = torch.as_tensor((data.images[:24] / 16).astype(np.float32)[:, None])
    y = torch.as_tensor(data.target[:24])
    chosen = model(x).argmax(1) == y
    x, y = x[chosen], y[chosen]
    out = attacks.make("autoattack", {"norm": norm, "queries": 200, "steps": 50}).run(
        model, x, y, eps=eps, generator=Draws(range(len(x)))
    )
    theirs = ta.AutoAttack(model, norm=name, eps=eps, n_classes=10, seed=0)
    for member in theirs._autoattack.attacks:
        if hasattr(member, "steps"):
            member.steps = 15
        if hasattr(member, "n_queries"):
            member.n_queries = 200
    with model.counter.counting() as used:
        other = theirs(x, y)
    ours, their = (int((model(z).argmax(1) == y).sum()) for z in (out.inputs, other))
    assert 3 < ours < len(x) - 3, "some hold, some do not, else this shows nothing"
    assert ours <= their + 1
    assert out.forwards.sum() + out.backwards.sum() < 3.4 * (used.forwards + used.backwards)  # 50 steps, theirs 15


def test_members_say_what_they_broke_and_cost():
    model = linear()
    x, y = samples(model, 24)
    eps = float(distances(model, x, y, "linf").median())
    out = attacks.make("autoattack", {"steps": 10, "queries": 30}).run(model, x, y, eps=eps, generator=Draws(range(24)))
    broken = (model(out.inputs).argmax(1) != y).numpy()
    assert ((out.params["member"] > 0) == broken).all()
    calls = sum(out.params[f"calls_{i}"] for i in range(1, 5))
    assert (calls + 1 == out.forwards + out.backwards).all()
    assert (out.params["calls_4"][broken & (out.params["member"] < 4)] == 0).all()


def test_expectation_over_randomness_breaks_a_network_that_draws():
    """Control: one evaluation a step follows the noise; the mean of twenty follows the network."""

    class Noisy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = smooth(torch.float32).network

        def forward(self, x):
            return self.network(x + 0.3 * torch.randn_like(x))

    model, still = Model(Noisy()), smooth(torch.float32)
    x, y = samples(still, 30)
    torch.manual_seed(0)
    out = attacks.make("autoattack", {"variant": "rand", "steps": 20}).run(
        model, x, y, eps=0.15, generator=Draws(range(30))
    )
    assert float((still(out.inputs).argmax(1) != y).float().mean()) > 0.5
    assert out.forwards.max() > 20


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
budgets = ["0.1", "0.15"]
params = { steps = 30, queries = 200 }

[[attacks]]
name = "pgd"
use = "foolbox:LinfPGD"
budgets = ["0.1", "0.15"]
params = { steps = 30, rel_stepsize = 0.1 }
"""


def test_a_real_problem_of_two_classes(workplace):
    """Three against eight. The ensemble is at least as strong as PGD."""
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
    workplace.assay("run", "pair", "--workers", 1)
    row = pd.read_csv(workplace.root / "results/pair/leaderboard.csv").iloc[0]
    assert row["clean_acc"] > 0.9
    for eps in ("0.1", "0.15"):
        assert row[f"robust_acc_aa_{eps}"] <= row[f"robust_acc_pgd_{eps}"]
    assert 0 < row["asr_aa_0.1"] < row["asr_aa_0.15"]
    assert row["broken_by_apgd_ce_aa_0.1"] > 0
