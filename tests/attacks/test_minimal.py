"""Attacks that minimise a norm. Oracles: closed forms on linear networks, a spy's counts, foolbox, adv-lib."""

import itertools

import numpy as np
import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.attacks.core.projections import norms
from benchmark.attacks.minimal.algorithms.common import threshold
from benchmark.attacks.minimal.algorithms.fmn import inside
from benchmark.attacks.minimal.algorithms.pdpgd import proximal
from benchmark.data.base import Grid, datasets
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.wrap import Model
from benchmark.seeds import Draws

STEPS = 150
CASES = [
    *[("fmn", {"norm": norm, "steps": STEPS}) for norm in ("l0", "l1", "l2", "linf")],
    ("ddn", {"steps": STEPS}),
    ("sigma-zero", {"steps": STEPS}),
    *[("pdpgd", {"norm": norm, "steps": 400}) for norm in ("l0", "l1", "l2", "linf")],
    ("superdeepfool", {"steps": 20}),
    ("carlini-wagner", {"steps": 200, "rounds": 7, "step_size": 0.03, "constant": 0.01}),
    *[("minimal-norm", {"norm": norm, "steps": 200}) for norm in ("l0", "l1", "l2", "linf")],
]
ids = [f"{use}-{params.get('norm', '')}" for use, params in CASES]
cases = pytest.mark.parametrize(("use", "params"), CASES, ids=ids)


def run(use, params, network, x, y, seeds=None):
    attack = attacks.make(use, params)
    return attack.run(network, x, y, eps=None, generator=Draws(seeds or range(len(x))))


def cnn(classes=10, dtype=torch.float64):
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(216, classes)
    )
    return network.to(dtype).eval().requires_grad_(False)


def images(n=9, dtype=torch.float64):
    return torch.rand((n, 1, 8, 8), generator=torch.Generator().manual_seed(3)).to(dtype)


def linear(classes=3, d=12, n=8):
    """A linear network, points from which the boundary is nearer than the box, their labels and logits."""
    generator = torch.Generator().manual_seed(1)
    network = torch.nn.Linear(d, classes).double().requires_grad_(False)
    network.weight.copy_(torch.randn((classes, d), generator=generator))
    network.bias.copy_(-network.weight.sum(1) / 2)
    x = 0.3 + 0.4 * torch.rand((500, d), generator=generator).double()
    y = network(x).argmax(1)
    away = distances(network, y, network(x), "l1")
    x = x[(away > 0.12) & (away < 0.28)][:n]
    return network, x, network(x).argmax(1), network(x)


def distances(network, y, z, norm):
    """(N,) of a linear network: least margin over dual norm."""
    rows = torch.arange(len(y))
    gap = z[rows, y].unsqueeze(1) - z
    normal = network.weight[y].unsqueeze(1) - network.weight
    dual = torch.linalg.vector_norm(normal, ord={"linf": 1, "l2": 2, "l1": torch.inf}[norm], dim=2)
    return (gap / dual.clamp_min(1e-300)).masked_fill(gap <= 0, torch.inf).amin(1)


def count(network, x, y):
    """(N,) fewest elements that a linear network must have changed: those of largest gain at the edges, per class."""
    with torch.no_grad():
        z = network(x)
    best = torch.full((len(x),), x.shape[1] + 1)
    for i, target in itertools.product(range(len(x)), range(z.shape[1])):
        if target != y[i]:
            w = network.weight[target] - network.weight[y[i]]
            gain = torch.where(w > 0, w * (1 - x[i]), -w * x[i]).sort(descending=True).values.cumsum(0)
            enough = int((gain <= z[i, y[i]] - z[i, target]).sum()) + 1
            best[i] = min(best[i], enough)
    return best


GAPS = {"fmn-l2": 0.01, "fmn-linf": 0.02, "fmn-l1": 0.02, "ddn-": 0.15, "superdeepfool-": 0.01,
        "carlini-wagner-": 0.05, "minimal-l2": 0.002, "minimal-linf": 0.002, "minimal-l1": 0.01,
        "pdpgd-l2": 0.05, "pdpgd-linf": 0.05, "pdpgd-l1": 0.05}  # fmt: skip


@pytest.mark.parametrize(
    ("use", "params", "gap"), [(*CASES[i], GAPS[name]) for i, name in enumerate(ids) if name in GAPS]
)
def test_the_distance_of_a_linear_network_is_reached_and_not_undercut(use, params, gap):
    network, x, y, z = linear()
    norm = attacks.make(use, params).threat.norm
    exact = distances(network, y, z, norm)
    out = run(use, params, network, x, y).inputs
    assert (network(out).argmax(1) != y).all()
    found = norms(out - x, norm)
    assert (found >= exact * (1 - 1e-9)).all()
    assert (found / exact - 1).median() < gap, found / exact


@pytest.mark.parametrize("use", ["fmn", "sigma-zero", "pdpgd", "minimal-norm"])
def test_the_fewest_elements_of_a_linear_network(use):
    network, x, y, _ = linear(classes=4, d=16)
    network.weight[:, ::3] *= 3
    exact = count(network, x, network(x).argmax(1))
    y = network(x).argmax(1)
    params = {"steps": 400} | ({} if use == "sigma-zero" else {"norm": "l0"})
    found = norms(run(use, params, network, x, y).inputs - x, "l0")
    assert (found >= exact).all(), (found, exact)
    assert (found - exact).double().mean() <= (0.2 if use == "minimal-norm" else 0.7), (found, exact)


def test_the_fewest_elements_are_what_enumeration_finds():
    """Control of the oracle: every subset of seven elements at its edges."""
    network, x, y, _ = linear(classes=3, d=7)
    exact = count(network, x, y)
    for i in range(len(x)):
        least = 8
        for values in itertools.product((None, 0.0, 1.0), repeat=7):
            moved = torch.stack([x[i, j] if v is None else torch.tensor(v).double() for j, v in enumerate(values)])
            if network(moved[None]).argmax(1) != y[i]:
                least = min(least, 7 - sum(v is None for v in values))
        assert least == exact[i]


@cases
def test_float64_results_do_not_depend_on_the_batch(use, params):
    network, x = cnn(), images()
    y = network(x).argmax(1)
    y[4] = (y[4] + 1) % 10  # one that is wrong already
    params = {**params, "steps": min(params["steps"], 60)}
    whole = run(use, params, network, x, y)
    assert torch.equal(whole.inputs, run(use, params, network, x, y).inputs)
    assert torch.equal(whole.inputs[4], x[4])
    for parts in ((0, 1, 5, 9), (0, 4, 8, 9)):
        pieces = [run(use, params, network, x[i:j], y[i:j]) for i, j in itertools.pairwise(parts)]
        assert torch.equal(whole.inputs, torch.cat([piece.inputs for piece in pieces]))
        for name in ("forwards", "backwards") * (use != "superdeepfool"):  # DeepFool's count who rides along
            assert np.array_equal(getattr(whole, name), np.concatenate([getattr(piece, name) for piece in pieces]))
    order = torch.tensor([3, 8, 1, 0, 4, 7, 6, 2, 5])
    assert torch.equal(whole.inputs[order], run(use, params, network, x[order], y[order]).inputs)


@cases
def test_the_calls_are_those_of_a_spy(use, params):
    class Spy:
        least_batch = 1
        forwards = backwards = 0

        def __call__(self, x):
            Spy.forwards += len(x)
            out = network(x)
            if out.requires_grad:
                out.register_hook(lambda gradient: setattr(Spy, "backwards", Spy.backwards + len(gradient)))
            return out

    network, x = cnn(), images()
    found = run(use, {**params, "steps": 45}, Spy(), x, network(x).argmax(1))
    assert found.forwards.sum() == Spy.forwards
    assert found.backwards.sum() == Spy.backwards
    if use == "minimal-norm":
        assert (found.forwards + found.backwards).max() <= 90


@cases
@pytest.mark.parametrize("kind", ["two", "thousand", "flat", "vector"])
def test_other_networks(use, params, kind):
    network, x = cnn({"two": 2, "thousand": 1000}.get(kind, 10), torch.float32), images(3, torch.float32)
    if kind == "flat":
        network[3].weight.zero_()
    if kind == "vector":
        network, x = torch.nn.Linear(5, 3).requires_grad_(False), torch.rand(3, 5)
    y, before = network(x).argmax(1), x.clone()
    params = {**params, "steps": 45} | ({"rounds": 3} if use == "carlini-wagner" else {})
    found = run(use, params, network, x, y)
    assert torch.equal(x, before)
    assert found.inputs.dtype == x.dtype
    assert ((found.inputs >= 0) & (found.inputs <= 1)).all()
    assert not found.inputs.requires_grad
    changed = (found.inputs != x).flatten(1).any(1)
    assert ((network(found.inputs).argmax(1) != y) == changed).all()
    assert not (kind == "flat" and changed.any())


def test_one_logit_is_presented_as_two():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1))
    model, x = Model(network, one_logit=True), images(4, torch.float32)
    y = model(x).argmax(1)
    for use, params in CASES:
        found = run(use, {**params, "steps": 45}, model, x, y)
        assert (found.forwards > 1).all()


def test_no_attack_of_a_norm_is_undone_by_more_steps():
    network, x = cnn(), images()
    y = network(x).argmax(1)
    for norm in ("l2", "linf", "l1"):
        few, many = (
            norms(run("minimal-norm", {"norm": norm, "steps": n}, network, x, y).inputs - x, norm) for n in (50, 400)
        )
        assert many.mean() <= few.mean() * 1.001


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_our_composition_is_no_weaker_than_the_papers_attacks(norm):
    network, x = cnn(), images(16)
    y = network(x).argmax(1)
    ours = norms(run("minimal-norm", {"norm": norm, "steps": 300}, network, x, y).inputs - x, norm).mean()
    for use in ("fmn", "pdpgd"):
        out = run(use, {"norm": norm, "steps": 300}, network, x, y).inputs
        theirs = torch.where(network(out).argmax(1) != y, norms(out - x, norm), torch.inf).mean()
        assert ours <= theirs * 1.005, use


def test_projection_and_proximal_operators():
    generator = torch.Generator().manual_seed(0)
    delta = torch.randn((20, 30), generator=generator).double()
    radius = torch.rand(20, generator=generator).double() * 4 + 0.1
    t = threshold(delta.abs(), radius)
    torch.testing.assert_close((delta.abs() - t[:, None]).clamp_min(0).sum(1), radius)
    assert (threshold(delta.abs(), 1e3 * radius) == 0).all()
    for norm in ("l1", "l2", "linf"):
        assert (norms(inside(delta, radius, norm), norm) <= radius * (1 + 1e-12)).all()
    assert torch.equal(norms(inside(delta, torch.arange(20).double(), "l0"), "l0"), torch.arange(20).double())

    def value(z, norm):
        penalty = z.abs().pow(2 / 3).sum(1) if norm == "l0" else norms(z, norm)
        return (z - delta).square().sum(1) / 2 + radius * penalty

    for norm in ("l0", "l1", "l2", "linf"):  # no point near the operator's, and not zero, is better
        z = proximal(delta, radius, norm)
        for scale in (1e-4, 1e-2, 1):
            noise = scale * torch.randn((20, 30), generator=generator).double() * (torch.rand(20, 30) < 0.2)
            assert (value(z, norm) <= value(z + noise, norm) + 1e-9).all()
        assert (value(z, norm) <= value(torch.zeros_like(z), norm) + 1e-9).all()


FOOLBOX = [("fmn", "l1", "L1FMNAttack"), ("fmn", "linf", "LInfFMNAttack"), ("ddn", "l2", "DDNAttack")]


@pytest.mark.parametrize(("use", "norm", "theirs"), FOOLBOX)
def test_foolbox_is_not_stronger(use, norm, theirs):
    pytest.importorskip("foolbox")
    network, x = cnn(dtype=torch.float32), images(20, torch.float32)
    model, y = Model(network), network(x).argmax(1)
    ours = run(use, {"norm": norm, "steps": 100}, model, x, y).inputs
    peer = run(f"foolbox:{theirs}", {"steps": 100}, model, x, y).inputs
    found = [torch.where(model(z).argmax(1) != y, norms(z - x, norm), torch.inf).median() for z in (ours, peer)]
    assert found[0] <= 1.01 * found[1], found


def test_adv_lib_is_not_stronger():
    lib = pytest.importorskip("adv_lib.attacks")
    network, x = cnn(dtype=torch.float32), images(20, torch.float32)
    y = network(x).argmax(1)
    for use, norm, order in (("fmn", "linf", float("inf")), ("fmn", "l1", 1), ("pdpgd", "l2", 2)):
        ours = run(use, {"norm": norm, "steps": 200}, network, x, y).inputs
        peer = getattr(lib, use)(network, x, y, norm=order, **{"steps" if use == "fmn" else "num_steps": 200})
        found = [torch.where(network(z).argmax(1) != y, norms(z - x, norm), torch.inf).median() for z in (ours, peer)]
        assert found[0] <= 1.01 * found[1], (use, found)


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_fmn_that_knows_the_box_breaks_what_the_papers_leaves(norm):
    """Digits are black and white: the paper's step is spent on pixels that cannot move. Control: ``box = False``."""
    model = build_model(load_entry("digits_cnn"))
    batch = datasets.make("digits")
    batch = batch.load("test", batch.index("test").ids[:16], Grid())
    x, y = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    right = model(x).argmax(1) == y
    x, y = x[right], y[right]
    broken = {}
    for box in (True, False):
        attack = attacks.make("fmn", {"norm": norm, "steps": 80, "box": box})
        out = attack.run(model, x, y, eps=None, generator=Draws(range(len(x))))
        broken[box] = int((model(out.inputs).argmax(1) != y).sum())
    assert broken[True] == len(x)
    assert broken[False] < len(x)
