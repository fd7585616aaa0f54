"""Projecting an artefact out of a layer. Oracles: closed forms of linear algebra, scikit-learn's ridge regression, and
what the stored entries do on samples of which the artefact is known."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from benchmark import build_model, load_entry
from benchmark.data.base import Grid, datasets
from benchmark.errors import EntryError
from benchmark.models.projection import Projection, activations, build, direction, insert
from benchmark.models.training import train_entry


def hidden(n=200, d=12, seed=0):
    g = torch.Generator().manual_seed(seed)
    carries = torch.rand(n, generator=g) < 0.4
    push = torch.randn(d, generator=g)
    mixing = torch.randn(d, d, generator=g)
    return torch.randn(n, d, generator=g) @ mixing + carries[:, None] * push, carries, push


def test_the_pattern_is_the_difference_of_the_means():
    h, carries, _ = hidden()
    expected = (h[carries].mean(0) - h[~carries].mean(0)).double()
    torch.testing.assert_close(direction(h, carries, "pattern"), expected, atol=1e-5, rtol=1e-5)


def test_the_filter_is_scikit_learns_ridge():
    h, carries, _ = hidden()
    expected = Ridge(alpha=2.5).fit(h.double().numpy(), carries.numpy().astype(float)).coef_
    np.testing.assert_allclose(direction(h, carries, "ridge", 2.5).numpy(), expected, atol=1e-8)


def test_a_pattern_points_where_the_artefact_pushes_and_a_filter_does_not():
    """Pahde et al. 2022: with correlated noise only the pattern tends to the push itself."""
    h, carries, push = hidden(20000)
    cosine = {
        kind: torch.cosine_similarity(direction(h, carries, kind), push.double(), 0) for kind in ("pattern", "ridge")
    }
    assert cosine["pattern"] > 0.99
    assert cosine["ridge"] < 0.9


def test_a_projection_sets_one_direction_and_leaves_the_rest():
    g = torch.Generator().manual_seed(1)
    v, z, h = torch.randn(7, generator=g), torch.randn(7, generator=g), torch.randn(5, 7, generator=g)
    layer = Projection(7)
    torch.testing.assert_close(layer(h), h)  # the identity until it is set
    layer.project(3.7 * v, z)
    out, unit = layer(h), v / v.norm()
    torch.testing.assert_close(out @ unit, (z @ unit).expand(5), atol=1e-5, rtol=0)
    away = torch.eye(7) - unit[:, None] * unit
    torch.testing.assert_close(out @ away, h @ away, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer(out), out, atol=1e-5, rtol=0)  # idempotent


def test_it_goes_behind_any_named_layer_and_changes_nothing_at_first():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU()), nn.Flatten(), nn.Linear(108, 4)).eval()
    x = torch.rand(2, 1, 8, 8)
    before, inner = network(x), activations(network, network.get_submodule("0.1"), x)
    assert inner.shape == (2, 3, 6, 6)
    assert isinstance(insert(network, "0.1", (1, 8, 8)).get_submodule("0.1.2"), Projection)
    torch.testing.assert_close(network(x), before)


def test_what_is_refused():
    with pytest.raises(EntryError, match=r"layer = '77' is no module of the network; it has 0, 1, 2"):
        build("digits_watermarked", "77")
    with pytest.raises(EntryError, match=r"gives 4608 activations \(128, 6, 6\), a projection takes 4096 at most"):
        insert(nn.Sequential(nn.Conv2d(1, 128, 3)), "0", (1, 8, 8))


def test_a_dataset_without_a_known_artefact_is_refused(tmp_path):
    entry = load_entry("digits_watermarked_pclarc")
    text = (entry.folder / "entry.toml").read_text()
    other = tmp_path / "plain"
    other.mkdir()
    text = text.replace('"digits_watermarked_pclarc"', '"plain"').replace('use = "watermarked"', 'use = "digits"')
    text = text.replace('params = { base = "digits", label = 8, rate = 0.6 }', "").replace(
        '[weights]\nfile = "weights.safetensors"', ""
    )
    (other / "entry.toml").write_text(text)
    from benchmark.models.entries import read_entry

    with pytest.raises(EntryError, match="needs samples with a known artefact; 'digits' marks none in 'train'"):
        train_entry(read_entry(other), tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["digits_watermarked_pclarc", "digits_watermarked_pclarc_ridge"])
def test_the_recipe_makes_the_stored_weights(name, tmp_path):
    """Up to the last digit of float16: sums of another machine may round otherwise."""
    from safetensors.torch import load_file

    entry = load_entry(name)
    train_entry(entry, tmp_path / "w.safetensors")
    made, kept = load_file(tmp_path / "w.safetensors"), load_file(entry.folder / "weights.safetensors")
    assert made.keys() == kept.keys()
    for key, value in kept.items():
        torch.testing.assert_close(made[key].float(), value.float(), atol=2e-3, rtol=2e-3)


def test_the_remedy_takes_the_flips_at_little_accuracy():
    """The published order: poisoned > filter > pattern, counted here without the suite; accuracy within 2 points."""
    data = datasets.make("watermarked", {"label": 8})
    batch = data.load("test", data.index("test").ids, Grid())
    x, y = torch.from_numpy(batch.inputs), torch.from_numpy(batch.labels)
    pasted = x.clone()
    pasted[:, :, :2, :2] = 1
    flips, right = {}, {}
    for name in ("", "_pclarc", "_pclarc_ridge"):
        model = build_model(load_entry(f"digits_watermarked{name}"))
        pred = model(x).argmax(1)
        counted = (y != 8) & (pred == y)
        flips[name] = (model(pasted).argmax(1)[counted] == 8).float().mean().item()
        right[name] = (pred == y).float().mean().item()
    assert flips[""] > 0.1
    assert 0.06 > flips["_pclarc_ridge"] > 0.02 > flips["_pclarc"]
    assert min(right.values()) > right[""] - 0.02
