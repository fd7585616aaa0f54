"""DeepFool. Oracles: the closed form on linear classifiers; parity with foolbox on digits_cnn; exact call counts."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.attacks.base import attacks
from benchmark.attacks.core.net import Placement
from benchmark.attacks.deepfool.search import STABLE, search
from benchmark.data.base import Batch, Grid, datasets
from benchmark.errors import AttackError, SpecError
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute

ORD = {"l2": 2, "linf": torch.inf}
DUAL = {"l2": 2, "linf": 1}


def run(attack, model, x, y):
    return attack.run(model, x, y, eps=None, generator=Draws([0] * len(x)))


def size(moves, norm):
    return moves.double().flatten(1).norm(dim=1, p=ORD[norm]).numpy()


def linear(classes, seed, features=64):
    """A linear classifier, samples of all classes far from 0 and 1 (nothing is clipped), and their closed form."""
    torch.manual_seed(seed)
    layer = torch.nn.Linear(features, classes)
    model = Model(torch.nn.Sequential(torch.nn.Flatten(), layer))
    x = torch.rand(60, 1, 1, features) * 0.2 + 0.4
    with torch.no_grad():
        layer.bias.copy_(-(layer.weight @ x.flatten(1).mean(0)))  # all classes occur
        layer.weight.mul_(10)
        layer.bias.mul_(10)
        y = model(x).argmax(1)
    weight, z = layer.weight.detach().double(), model(x).double()
    gap = (z.gather(1, y[:, None]) - z).masked_fill(torch.nn.functional.one_hot(y, classes).bool(), torch.inf)

    def closed(norm):
        slopes = (weight[y][:, None] - weight[None]).norm(dim=2, p=DUAL[norm])
        return (gap / slopes).amin(1).numpy()

    return model, x, y, closed


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("variant", ["paper", "foolbox"])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_on_a_linear_classifier_it_is_the_closed_form_times_the_overshoot(classes, keep, variant, norm):
    model, x, y, closed = linear(classes, seed=classes)
    attack = attacks.make("deepfool", {"variant": variant, "norm": norm, "keep": keep, "candidates": 0})
    found = run(attack, model, x, y)
    fixed = STABLE if variant == "foolbox" else 0.0
    assert bool((model(found.inputs).argmax(1) != y).all())
    np.testing.assert_allclose(size(found.inputs - x, norm), 1.02 * (closed(norm) + fixed), rtol=1e-3, atol=1e-6)
    assert (found.forwards >= 2).all()
    assert (found.backwards <= classes - 1).all()
    if keep == 0:
        assert (found.forwards == 2).all()
        assert (found.backwards == classes - 1).all()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    classes=st.integers(2, 6),
    features=st.integers(8, 40),
    seed=st.integers(0, 10**6),
    norm=st.sampled_from(["l2", "linf"]),
    variant=st.sampled_from(["paper", "foolbox"]),
)
def test_closed_form_of_any_linear_classifier(classes, features, seed, norm, variant):
    """Whatever the gradients' norms, with every candidate computed; with fewer it is at least the closed form."""
    model, x, y, closed = linear(classes, seed, features)
    fixed = STABLE if variant == "foolbox" else 0.0
    for keep in (0, 1):
        found = run(attacks.make("deepfool", {"variant": variant, "norm": norm, "keep": keep}), model, x, y)
        norms, expected = size(found.inputs - x, norm), 1.02 * (closed(norm) + fixed)
        inside = closed(norm) < 0.3  # others reach the ends of the range
        if keep == 0:
            np.testing.assert_allclose(norms[inside], expected[inside], rtol=2e-3, atol=1e-5)
        assert (norms[inside] >= expected[inside] * (1 - 2e-3) - 1e-5).all()


@pytest.fixture(scope="module")
def digits():
    model = build_model(load_entry("digits_cnn"))
    dataset = datasets.make("digits")
    batch = dataset.load("test", dataset.index("test").ids[:150], Grid())
    x, y = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    right = model(x).argmax(1) == y
    return model, x[right], y[right]


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("overshoot", [0.02, 0.5])
@pytest.mark.parametrize(("norm", "name"), [("l2", "L2DeepFoolAttack"), ("linf", "LinfDeepFoolAttack")])
def test_success_and_norms_are_foolboxs(digits, norm, name, overshoot, keep):
    model, x, y = digits
    ours = run(attacks.make("deepfool", {"norm": norm, "overshoot": overshoot, "keep": keep}), model, x, y).inputs
    theirs = run(attacks.make(f"foolbox:{name}", {"overshoot": overshoot}), model, x, y).inputs
    won, won_too = model(ours).argmax(1) != y, model(theirs).argmax(1) != y
    assert torch.equal(won, won_too)
    a, b = (size(z[won] - x[won], norm) for z in (ours, theirs))
    assert abs(np.median(a) / np.median(b) - 1) < 0.005
    assert abs(a.mean() / b.mean() - 1) < 0.005


@pytest.mark.parametrize(("norm", "name"), [("l2", "L2DeepFoolAttack"), ("linf", "LinfDeepFoolAttack")])
def test_few_steps_are_foolboxs_too(digits, norm, name):
    model, x, y = digits
    attack = attacks.make("deepfool", {"norm": norm, "steps": 2, "candidates": 3, "keep": 0})
    theirs = run(attacks.make(f"foolbox:{name}", {"steps": 2, "candidates": 3}), model, x, y).inputs
    torch.testing.assert_close(run(attack, model, x, y).inputs, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("params", [{}, {"keep": 0}, {"keep": 2}, {"steps": 1}, {"variant": "paper"}])
def test_calls_are_counted_a_sample(digits, params):
    """The wrapper's counter agrees in sum; in a batch a sample rides along in at most ``keep`` products more."""
    model, x, y = digits
    attack = attacks.make("deepfool", params)
    with model.counter.counting() as used:
        found = run(attack, model, x, y)
    assert used.forwards == found.forwards.sum()
    assert used.backwards == found.backwards.sum()
    if attack.variant == "paper":
        return  # steps to exactly the boundary: the last one hangs on rounding, which differs between batches
    alone = [run(attack, model, x[i : i + 1], y[i : i + 1]) for i in range(10)]
    assert [int(a.forwards[0]) for a in alone] == found.forwards[:10].tolist()
    more = found.backwards[:10] - [int(a.backwards[0]) for a in alone]
    assert set(more.tolist()) <= ({0} if attack.keep == 0 else {0, attack.keep})


def test_one_forward_and_one_backward_a_step(digits):
    """With two candidates nothing is left to choose: s steps are s + 1 forwards and s backwards."""
    model, x, y = digits
    found = run(attacks.make("deepfool", {"candidates": 2}), model, x[:1], y[:1])
    assert found.forwards[0] == found.backwards[0] + 1


def test_many_classes_need_few_products():
    """1,000 classes, all of them candidates: the result of computing all 999 gradients, at a tenth of the products."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(192, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1000)
    )
    model, x = Model(network), torch.rand(12, 3, 8, 8) * 0.4 + 0.3  # nothing is clipped
    y = model(x).argmax(1)
    lazy = run(attacks.make("deepfool", {"variant": "paper"}), model, x, y)
    full = run(attacks.make("deepfool", {"variant": "paper", "keep": 0}), model, x, y)
    assert bool((model(lazy.inputs).argmax(1) != y).all())
    a, b = size(lazy.inputs - x, "l2"), size(full.inputs - x, "l2")
    assert np.median(a) <= np.median(b) * 1.005
    assert (full.backwards >= 999).all()
    assert lazy.backwards.mean() < 99.9


@pytest.mark.parametrize("variant", ["paper", "foolbox"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_padding_and_layout_change_nothing(digits, variant, norm):
    """The private switches of a GPU, on the CPU. The batch sizes that the network sees are powers of two."""
    model, x, y = digits
    x, y = x[:37], y[:37]
    sizes = []

    def spied(z):
        sizes.append(len(z))
        return model(z)

    common = {
        "steps": 50, "candidates": 10, "overshoot": 0.02, "keep": 1, "norm": norm, "clip": variant == "foolbox",
    }  # fmt: skip
    plain = search(model, x, y, **common)
    placed = search(spied, x, y, **common, placement=Placement(pad=True, channels_last=True))
    torch.testing.assert_close(placed.reached, plain.reached, atol=1e-4, rtol=0)
    assert torch.equal(placed.changed, plain.changed)
    assert {n & (n - 1) for n in sizes} == {0}
    assert max(sizes) == 64
    np.testing.assert_array_equal(placed.forwards, plain.forwards)


def test_bfloat16_search_is_confirmed_in_float32(digits):
    """Gradients of 8 bits: every success holds in float32, and the norms are those of float32 within 2 %."""
    model, x, y = digits
    seen = set()

    def spied(z):
        out = model(z)
        seen.add((out.dtype, out.requires_grad))
        return out

    run(attacks.make("deepfool", {"search": "bfloat16"}), spied, x, y)
    assert seen == {(torch.float32, False), (torch.bfloat16, True)}
    rough = run(attacks.make("deepfool", {"search": "bfloat16"}), model, x, y).inputs
    exact = run(attacks.make("deepfool"), model, x, y).inputs
    assert bool((model(rough).argmax(1) != y).all())
    a, b = size(rough - x, "l2"), size(exact - x, "l2")
    assert abs(np.median(a) / np.median(b) - 1) < 0.02


@pytest.mark.parametrize("variant", ["paper", "foolbox"])
def test_params_are_true_of_what_is_returned(digits, variant):
    """Recomputed from the inputs; unclipped ones from the search itself."""
    model, x, _ = digits
    x = torch.cat([x[:40], x[40:80] * 0.02 + 0.4])  # the grey ones stay in the range
    y = model(x).argmax(1)
    attack = attacks.make("deepfool", {"variant": variant, "overshoot": 0.5})
    batch = Batch(tuple(map(str, range(len(x)))), x.numpy(), y.numpy())
    clean = tasks.make("classification").clean(model, batch)
    rows, out = execute(
        tasks.make("classification"), attack, model, x, y, clean, eps=None, generator=Draws(range(len(x)))
    )
    for norm in ("l2", "linf"):
        np.testing.assert_allclose(rows[f"param_relative_{norm}"], size(out - x, norm) / size(x, norm), rtol=1e-6)
        np.testing.assert_allclose(rows[f"norm_{norm}"], size(out - x, norm), rtol=1e-6)
    if variant == "foolbox":
        assert not [name for name in rows if "unclipped" in name]
        return
    found = search(
        model, x, y, steps=50, candidates=0, overshoot=0.5, keep=1, clip=False, stable=0.0
    )  # fmt: skip
    inside = ((found.reached >= 0) & (found.reached <= 1)).flatten(1).all(1)
    assert 0 < int(inside.sum()) < len(x)
    torch.testing.assert_close(out[inside], found.reached[inside])
    clipped = search(model, x, y, steps=50, candidates=0, overshoot=0.5, keep=1, clip=True).reached
    torch.testing.assert_close(out[~inside], clipped[~inside])
    np.testing.assert_allclose(rows["param_relative_l2_unclipped"], size(found.reached - x, "l2") / size(x, "l2"))
    fooled = (model(found.reached).argmax(1) != y).numpy()
    np.testing.assert_array_equal(rows["param_fooled_unclipped"], fooled)


def test_a_sample_that_is_wrong_already_does_not_move(digits):
    model, x, y = digits
    found = run(attacks.make("deepfool"), model, x, (y + 1) % 10)
    assert torch.equal(found.inputs, x)
    assert (found.forwards == 1).all()
    assert not found.backwards.any()


@pytest.mark.parametrize("params", [{}, {"keep": 0}, {"norm": "linf"}, {"variant": "paper"}])
def test_a_flat_model_ends_where_it_began(params):
    """Zero gradients: no division by zero, no NaN."""
    model = Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)))
    with torch.no_grad():
        model.network[1].weight.zero_()
        model.network[1].bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    x = torch.rand(5, 1, 2, 2)
    found = run(attacks.make("deepfool", params), model, x, torch.zeros(5, dtype=torch.int64))
    torch.testing.assert_close(found.inputs, x)


def test_a_black_image_has_no_relative_norm():
    model, x, _, _ = linear(3, seed=0)
    x = torch.zeros_like(x)
    found = run(attacks.make("deepfool"), model, x, model(x).argmax(1))
    assert np.isnan(found.params["relative_l2"]).all()


def test_what_is_refused():
    with pytest.raises(AttackError, match="K >= 2"):
        run(attacks.make("deepfool"), lambda x: x.flatten(1)[:, :1], torch.rand(2, 1, 2, 2), torch.zeros(2).long())
    with pytest.raises(SpecError, match="candidates"):
        attacks.make("deepfool", {"candidates": 1})
