"""A network and a dataset that name classes in another order. Oracle: the same network with its rows in order."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import benchmark
from benchmark.data.base import Grid, datasets
from benchmark.errors import EntryError
from benchmark.models.wrap import Model
from benchmark.schedule.matching import matched, resized
from benchmark.schedule.request import Options, planned_entries, resolve
from benchmark.schedule.run import prepare
from benchmark.schedule.watcher import Watcher
from benchmark.store.folder import Store
from tests.conftest import write_entry

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ORDER = (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)  # of the second network's outputs
MODEL = """
import torch
from torch import nn

def build(order):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    with torch.no_grad():
        net[3].weight.copy_(net[3].weight[order].clone())
        net[3].bias.copy_(net[3].bias[order].clone())
    return net
"""
SUITE = """
entries = ["straight", "mixed"]
[dataset]
use = "npz"
samples = 12
{more}
[threat]
norm = "linf"
eps = "0.1"
[[attacks]]
name = "pgd"
use = "foolbox:LinfPGD"
budgets = ["0.1"]
params = {{ steps = 3, random_start = false }}
[[explainers]]
name = "lrp"
use = "lrp-epsilon"
[[explainers]]
name = "gradient"
use = "saliency"
[[metrics]]
name = "flipping"
use = "pixel-flipping"
"""


def ways(names):
    return [(name,) for name in names]


# -- which output is which class ---------------------------------------------------------------------------------------


@given(st.permutations(range(6)))
def test_the_order_undoes_any_other(order):
    """Property: an entry that names class order[j] at output j has class k at the returned output."""
    names = ["a", "b", "c", "d", "e", "f"]
    entry = [names[k] for k in order]
    found = matched("x", entry, 6, ways(names), named=True)
    assert [entry[j] for j in (found or range(6))] == names


def test_spelling_does_not_count_and_numbers_are_no_names():
    assert matched("x", ["Sea_Lion", "DOG"], 2, ways(["dog", "sea lion"]), named=True) == (1, 0)
    assert matched("x", ["dog", "cat"], 2, ways(["0", "1"]), named=False) == ()
    assert matched("x", ["1", "0"], 2, ways(["0", "1"]), named=False) == (1, 0)  # but these are the same ones
    assert matched("x", [], 3, ways(["a", "b", "c"]), named=True) == ()
    assert matched("x", [], 10, ways(["0", "1", "2"]), named=True) == ()  # their names are their indices


@pytest.mark.parametrize(
    ("classes", "count", "known", "said"),
    [
        (["cat", "dog"], 2, ["cat", "emu"], "only the entry has dog; only the dataset has emu"),
        (["cat", "dog", "emu"], 3, ["cat", "emu"], r"names 3 classes, the dataset 2.*only the entry has dog.*FILE"),
        (["cat"], 1, ["cat", "emu"], "only the dataset has emu"),
        (["cat", "Cat"], 2, ["cat", "emu"], "only the dataset has emu"),
        ([], 1000, ["n01440764", "n02123045"], 'has 1000 classes, the dataset 2 .*"imagenet-1k"'),
        ([], 10, ["0", "1", "5"], "has 10 classes, the dataset 3"),
        ([], 2, ["0", "1", "2"], "has 2 classes, the dataset 3"),
    ],
)
def test_other_classes_are_refused_by_name(classes, count, known, said):
    with pytest.raises(EntryError, match=said):
        matched("x", classes, count, ways(known), named=True)


def test_a_list_of_classes_knows_every_way_to_write_them():
    known = [("n01", "tench"), ("n02", "cat, tabby", "cat", "tabby")]
    assert matched("x", ["tabby", "tench"], 2, known, named=True) == (1, 0)


# -- the whole way -----------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch):
    digits = datasets.make("digits")
    batch = digits.load("test", digits.index("test").ids[:40], Grid())
    np.savez(tmp_path / "a.npz", x_test=batch.inputs, y_test=batch.labels, classes=np.array(NAMES))
    for name, order in (("straight", range(10)), ("mixed", ORDER)):
        folder = write_entry(tmp_path / "baselines" / name, MODEL, f"kwargs = {{ order = {list(order)} }}")
        toml = (folder / "entry.toml").read_text()
        named = json.dumps([NAMES[k].upper() for k in order])
        (folder / "entry.toml").write_text(toml.replace("classes = 10", f"classes = {named}"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(place, more="", **options):
    (place / "s.toml").write_text(SUITE.format(more=more))
    return benchmark.run("s.toml", data={"npz": place / "a.npz"}, **options)


def rows(done, model):
    store = Store(done.folder)
    plan = store.plan()
    known = store.heads(cell["hash"] for cell in plan["cells"])
    cells = [cell for cell in plan["cells"] if cell["model"] == model and cell["hash"] in known]
    return {(cell["kind"], cell["probe"], cell["metric"]): store.rows(cell["hash"]) for cell in cells}


def test_another_order_gives_the_numbers_of_the_same_network_in_order(place):
    done = run(place)
    straight, mixed = rows(done, "straight"), rows(done, "mixed")
    assert straight.keys() == mixed.keys()
    for key, columns in straight.items():
        for name, values in columns.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(mixed[key][name], values, rtol=1e-5, atol=1e-6, err_msg=f"{key} {name}")
            else:
                assert np.array_equal(values, mixed[key][name]), (key, name)
    plan = json.loads((done.folder / "plan.json").read_text())
    assert set(plan["mapped"]) == {"mixed"}
    text = (done.folder / "leaderboard.md").read_text()
    assert "mixed: names the dataset's classes in another order" in text
    assert "straight: names" not in text


def planned(place, more=""):
    """plan.json of the suite, without running it."""
    (place / "s.toml").write_text(SUITE.format(more=more))
    options = Options(data={"npz": place / "a.npz"})
    suite = resolve("s.toml", options)
    return prepare(suite, planned_entries(suite, options, Watcher()), options).plan.to_json()


def hashes(plan, model):
    return {cell["hash"] for cell in plan["cells"] if cell["model"] == model}


def test_the_order_is_in_the_key_of_the_cells(place):
    mapped = planned(place)
    entry = place / "baselines/mixed/entry.toml"
    entry.write_text(entry.read_text().replace('"THREE", "ONE"', '"ONE", "THREE"'))  # labels, no part of the digest
    renamed = planned(place)
    assert hashes(renamed, "straight") == hashes(mapped, "straight")
    assert not hashes(renamed, "mixed") & hashes(mapped, "mixed")
    assert mapped["entries"] == renamed["entries"]


def test_by_index_leaves_the_outputs_as_they_are(place):
    done = run(place, 'classes = "by-index"', only=("pgd",))
    assert "mapped" not in Store(done.folder).plan()
    straight, mixed = (rows(done, name)["clean", "", ""]["pred_clean"] for name in ("straight", "mixed"))
    assert [ORDER[j] for j in mixed] == straight.tolist()


def test_other_names_are_refused_before_anything_runs(place):
    entry = place / "baselines/mixed/entry.toml"
    entry.write_text(entry.read_text().replace('"ONE"', '"UNO"'))
    with pytest.raises(EntryError, match=r"'mixed' names 10 classes.*only the entry has UNO; only the dataset has one"):
        run(place)
    assert not (place / "results").exists()


def test_reordered_logits_are_indexed_and_nothing_else():
    net = torch.nn.Linear(4, 3)
    plain, model = Model(net), Model(net).reordered([2, 0, 1])
    x = torch.rand(5, 4)
    assert torch.equal(model(x), plain(x)[:, [2, 0, 1]])
    assert torch.equal(model.reordered([2, 0, 1])(x), plain(x)[:, [2, 0, 1]])  # said twice, done once
    assert list(model.state_dict()) == ["network.weight", "network.bias", "core.0.weight", "core.0.bias"]


def test_a_network_with_more_outputs_than_the_list_is_read_where_its_classes_are(place):
    """A list of a network's classes whose images are of three of them: labels are the list's indices."""
    (place / "list.txt").write_text("\n".join(NAMES[k] for k in ORDER))
    done = run(place, 'classes = "list.txt"', only=("pgd",))
    plan = Store(done.folder).plan()
    assert set(plan["mapped"]) == {"straight"}  # now the list's order is the dataset's
    straight, mixed = (rows(done, name)["clean", "", ""] for name in ("straight", "mixed"))
    assert straight["pred_clean"].tolist() == mixed["pred_clean"].tolist()
    assert plan["dataset"]["classes"] == [NAMES[k] for k in ORDER]


# -- what the plan says of the grid ------------------------------------------------------------------------------------


def test_images_of_other_proportions_are_counted():
    shapes = [(100, 100, 5), (50, 50, 1), (100, 150, 3), (90, 91, 2)]
    assert resized(shapes, Grid()) == []
    assert resized(shapes[:2], Grid(size=(32, 32))) == []
    (said,) = resized(shapes, Grid(size=(32, 32)))
    assert said.startswith("3 of 11 images have other proportions than the grid (32x32) and are squeezed")
    assert "lose what lies beyond" in resized(shapes, Grid(size=(32, 32), fit="crop"))[0]
    assert "black around" in resized(shapes, Grid(size=(32, 32), fit="pad"))[0]


def test_fit_and_range_are_in_the_hash_only_where_they_are_said(place):
    plain, same, other = planned(place), planned(place, 'fit = "squeeze"'), planned(place, 'fit = "crop"\nrange = 2')
    assert "fit" not in plain["suite"]["dataset"]
    assert plain == same
    assert (other["suite"]["dataset"]["fit"], other["suite"]["dataset"]["range"]) == ("crop", 2)
    assert not hashes(plain, "straight") & hashes(other, "straight")
