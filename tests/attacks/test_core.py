"""The core of iterative attacks. Oracles: SciPy's solvers (projections), autograd (losses), a spy (counts)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from benchmark.attacks.core.losses import loss
from benchmark.attacks.core.net import LEAST, Net, Placement
from benchmark.attacks.core.projections import largest, norms, project, to_hyperplane, unit
from benchmark.attacks.core.rows import Rows, targets, waves
from benchmark.attacks.core.search import Search
from benchmark.seeds import Draws

SHAPE = (1, 3, 4)


def drawn(seed, n=5):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand((n, *SHAPE), generator=generator, dtype=torch.float64)
    return x, torch.randn((n, *SHAPE), generator=generator, dtype=torch.float64)


def smallest(x, w, gap, norm):
    """Norm of the smallest d with <w, d> = gap and x + d in [0, 1], by SciPy."""
    x, w, n = x.flatten().numpy(), w.flatten().numpy(), x.numel()
    if norm == "l2":
        plane = {"type": "eq", "fun": lambda d: w @ d - gap}
        box = list(zip(-x, 1 - x, strict=True))
        return minimize(lambda d: d @ d, np.zeros(n), constraints=plane, bounds=box, tol=1e-12).fun ** 0.5
    if norm == "l1":
        box = [*((0, 1 - v) for v in x), *((0, v) for v in x)]
        return linprog(np.ones(2 * n), A_eq=[np.r_[w, -w]], b_eq=[gap], bounds=box).fun
    ball = np.vstack([np.c_[np.eye(n), -np.ones(n)], np.c_[-np.eye(n), -np.ones(n)]])
    box = [*zip(-x, 1 - x, strict=True), (0, None)]
    return linprog(
        np.r_[np.zeros(n), 1], A_ub=ball, b_ub=np.zeros(2 * n), A_eq=[np.r_[w, 0]], b_eq=[gap], bounds=box
    ).fun


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("seed", range(3))
def test_steps_to_a_hyperplane_are_the_smallest_of_the_box(norm, seed):
    x, w = drawn(seed)
    gap = torch.tensor([0.3, -0.7, 1.2, -0.05, 2.0], dtype=torch.float64)
    d = to_hyperplane(x, w, gap, norm)
    assert bool(((x + d >= -1e-12) & (x + d <= 1 + 1e-12)).all())
    torch.testing.assert_close((d * w).flatten(1).sum(1), gap, atol=1e-9, rtol=0)
    for i in range(len(x)):
        assert float(norms(d, norm)[i]) == pytest.approx(smallest(x[i], w[i], float(gap[i]), norm), abs=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_out_of_reach_it_is_the_corner_of_the_box(norm):
    x, w = drawn(0)
    d = to_hyperplane(x, w, torch.full((5,), 99.0, dtype=torch.float64), norm)
    torch.testing.assert_close(x + d, (w > 0).double())
    assert not bool(to_hyperplane(x, w, torch.zeros(5, dtype=torch.float64), norm).any())
    assert not bool(to_hyperplane(x, 0 * w, torch.ones(5, dtype=torch.float64), norm).any()), "no gradient, no step"


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), radius=st.floats(0.01, 8.0), scale=st.floats(0.05, 5.0))
def test_the_projection_on_the_l1_ball_and_the_box_is_the_nearest_point(seed, radius, scale):
    """Optimality: no point of the set is nearer; tried against the projections of other points (they lie in it)."""
    x, delta = drawn(seed)
    delta = delta * scale
    radii = torch.full((5,), radius, dtype=torch.float64)
    p = project(delta, x, radii, "l1") - x
    assert bool((norms(p, "l1") <= radius + 1e-9).all())
    assert bool(((x + p >= 0) & (x + p <= 1)).all())
    for other in (drawn(seed + k)[1] * scale for k in (1, 2)):
        q = project(other, x, radii, "l1") - x
        assert bool((((delta - p) * (q - p)).flatten(1).sum(1) <= 1e-9).all()), "obtuse: p is the projection"


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
def test_projections_stay_in_ball_and_box_and_keep_what_is_inside(norm):
    x, delta = drawn(3)
    radius = torch.tensor([0.1, 0.5, 1.0, 2.0, 3.0], dtype=torch.float64)
    y = project(delta, x, radius, norm)
    assert bool((norms(y - x, norm) <= radius + 1e-12).all())
    assert bool(((y >= 0) & (y <= 1)).all())
    torch.testing.assert_close(project(y - x, x, radius, norm), y)


def test_the_largest_elements_are_kept():
    delta = torch.tensor([[3.0, -5.0, 1.0, 4.0]])
    assert largest(delta, torch.tensor([2.0])).tolist() == [[0.0, -5.0, 0.0, 4.0]]
    assert unit(torch.zeros(1, 4), "l2").tolist() == [[0.0] * 4]


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
@pytest.mark.parametrize("aimed", [False, True])
@pytest.mark.parametrize("name", ["ce", "dlr", "margin"])
def test_gradients_of_losses_are_autograds(name, aimed, classes):
    generator = torch.Generator().manual_seed(classes)
    z = torch.randn((6, classes), generator=generator, dtype=torch.float64, requires_grad=True)
    y = torch.arange(6) % classes
    t = (y + 1) % classes if aimed else None
    top = z.sort(1, descending=True).values
    own = z.gather(1, y[:, None]).squeeze(1)
    best = z.masked_fill(torch.nn.functional.one_hot(y, classes).bool(), -torch.inf).amax(1)
    reached = best if t is None else z.gather(1, t[:, None]).squeeze(1)
    expected = reached - own
    if name == "dlr" and classes > 2:
        expected = expected / (top[:, 0] - top[:, 2 : (3 if t is None else 4)].mean(1))
    if name == "ce":
        sign, of = (1, y) if t is None else (-1, t)
        entropy = torch.nn.functional.cross_entropy(z, of, reduction="none")
        expected = sign * torch.log(torch.expm1(entropy))  # an increasing function of it
    value, gradient = loss(z.detach(), y, name, t)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), z)[0])


def test_the_cross_entropy_of_a_sure_network_has_a_direction():
    """In float32 the cross-entropy of a gap of 200 is 0, and so is its gradient."""
    z = torch.tensor([[200.0, 0.0, -50.0]])
    value, gradient = loss(z, torch.tensor([0]), "ce")
    assert value.item() == pytest.approx(-200)
    torch.testing.assert_close(gradient, torch.tensor([[-1.0, 1.0, 0.0]]))


def linear(classes=5, dtype=torch.float64):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, classes)).to(dtype)


def test_small_batches_are_padded_unless_the_model_says_otherwise():
    sizes = []

    class Spy(torch.nn.Module):
        def forward(self, x):
            sizes.append(len(x))
            return linear()(x)

    x, _ = drawn(0)
    Search.of(Spy(), x[:1], torch.zeros(1, dtype=torch.int64))
    spy = Spy()
    spy.least_batch = 1
    Search.of(spy, x[:1], torch.zeros(1, dtype=torch.int64))
    assert sizes == [LEAST, 1]
    net = Net(linear(), Placement(least=LEAST))
    graph = net.graph(x[:3])
    cotangent = torch.eye(5, dtype=torch.float64)[:3]
    torch.testing.assert_close(graph.gradient(cotangent).flatten(1), linear()[1].weight[:3].detach())


def test_rows_of_several_targets_give_what_one_after_another_gives():
    """The first target in order that breaks a sample decides, whatever the batch; later rows of it stop."""
    x, _ = drawn(1, n=4)
    model = linear()
    y = model(x).argmax(1)
    outcomes = []
    for sizes in ([4], [1, 1, 1, 1], [3, 1]):
        reached, begin = [], 0
        for size in sizes:
            search = Search.of(model, x[begin : begin + size], y[begin : begin + size])
            aims = targets(search, 4)

            def run(rows: Rows, which, aims=aims):
                part = rows.search
                at = torch.arange(len(rows.at))
                away = torch.rand(part.inputs.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
                for strength in (0.2, 0.6, 1.0):
                    at = at[rows.going(at)]
                    if len(at):
                        aim = aims[rows.at, which][at]
                        direction = model[1].weight.detach()[aim] - model[1].weight.detach()[part.labels[at]]
                        moved = (part.inputs[at] + strength * direction.view(-1, *SHAPE) + 0 * away[at]).clamp(0, 1)
                        part.keep(at, moved, part.wrong(at, part.look(at, moved)))

            waves(search, 4, run)
            reached.append(search.reached)
            begin += size
        outcomes.append(torch.cat(reached))
    assert torch.equal(outcomes[0], outcomes[1])
    assert torch.equal(outcomes[0], outcomes[2])


def test_streams_apart_depend_on_nothing_but_their_name():
    draws = Draws([5, 6, 7])
    first = draws.apart([0, 2], ["a", "a"]).normal((3,))
    draws.normal((100,))
    again = draws.apart([2, 1, 0], ["a", "a", "a"]).normal((3,))
    assert torch.equal(first[0], again[2])
    assert torch.equal(first[1], again[0])
    assert not torch.equal(first[0], draws.apart([0], ["b"]).normal((3,))[0])


@pytest.mark.parametrize(("use", "params"), [
    ("apgd", {"norm": "l1"}), ("fab", {"norm": "linf"}), ("fab", {"norm": "l2"}), ("fab", {"norm": "l1"}),
    ("square", {}), ("fmn", {"norm": "l2"}), ("pdpgd", {"norm": "l1"}), ("ddn", {}), ("sigma-zero", {}),
    ("autoattack", {"queries": 20}),
])  # fmt: skip
def test_a_network_that_computes_in_float64_on_float32_inputs(use, params):
    """Oracle: the same weights with the cast outside; logits are then the same, and so is every step."""
    from torch import nn

    from benchmark.attacks.base import attacks
    from benchmark.models.wrap import Model

    class Wide(nn.Module):
        def __init__(self, cast):
            super().__init__()
            torch.manual_seed(0)
            self.linear, self.cast = nn.Linear(12, 5).double(), cast

        def forward(self, x):
            return self.linear(x.flatten(1).double()).to(self.cast)

    x = torch.rand((3, *SHAPE), generator=torch.Generator().manual_seed(1))
    wide, narrow = (Model(Wide(cast)) for cast in (torch.float64, torch.float32))
    y, attack = narrow(x).argmax(1), attacks.make(use, {"steps": 5, **params} if use != "square" else {"queries": 20})
    eps = 0.2 if attack.threat.kind == "fixed" else None
    found = [attack.run(model, x, y, eps=eps, generator=Draws(range(3))).inputs for model in (wide, narrow)]
    assert found[0].dtype == torch.float32
    assert torch.equal(*found)
