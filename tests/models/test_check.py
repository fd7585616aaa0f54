"""`assay check`. Oracle: networks with one planted fault each; the sound network is the control."""

import re
import shutil

import pytest
from safetensors.torch import load_file, save_file

from benchmark.data.base import Grid, datasets
from benchmark.models.check import check_entry
from benchmark.models.entries import load_entry

TOML = """
name = "one"
input_shape = [1, 8, 8]
classes = 10
factory = "model:build"
{more}
"""
# a linear classifier trained by nobody: what matters is what forward does
CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, {outputs})

    def forward(self, x):
        z = self.linear(x.flatten(1))
        {body}

def build():
    return Net()
"""


def results(root, body="return z", more="", outputs=10, batch=None):
    folder = root / "one"
    folder.mkdir(exist_ok=True)
    (folder / "model.py").write_text(CODE.format(body=body, outputs=outputs))
    (folder / "entry.toml").write_text(TOML.format(more=more))
    return {result.name: result for result in check_entry(load_entry("one", [root]), batch)}


@pytest.fixture
def batch():
    data = datasets.make("digits")
    return data.load("test", data.index("test").ids[:256], Grid())


FAULTS = [
    ("return z.softmax(1)", "", 10, "logits", "probabilities, not logits"),
    ("return z.sigmoid()", 'output = "logit1"', 1, "logits", "a sigmoid"),
    ("return z", "", 7, "output", r"shape \(32, 7\), expected \(32, 10\)"),
    ("return z", "", 1, "output", r"shape \(32, 1\)"),
    ("return z / 0", "", 10, "output", "NaN or infinite"),
    ("return {'a': z, 'b': z}", "", 10, "output", "returned a dict of a, b, expected a tensor"),
    ("return z @ z", "", 10, "output", "the network raised RuntimeError"),
    ("return z + 0.1 * torch.randn_like(z)", "", 10, "same twice", "outputs differ"),
    ("return z - z.mean(0)", "", 10, "any batch", "outputs differ"),
    ("return z + torch.arange(len(x)).view(-1, 1)", "", 10, "any batch", "outputs differ"),
    ("self.train(); return z", "", 10, "eval mode", "in training mode"),
    ("return z.detach()", "", 10, "input gradient", "none"),
    ("return self.linear(x.flatten(1).round())", "", 10, "input gradient", "exactly zero for 100%"),
    ("return z + 0 * x.flatten(1).mul(0).sqrt().sum(1, keepdim=True)", "", 10, "input gradient", "NaN or infinite"),
]


@pytest.mark.parametrize(("body", "more", "outputs", "name", "found"), FAULTS)
def test_a_planted_fault_is_found_and_says_what_to_do(tmp_path, body, more, outputs, name, found):
    result = results(tmp_path, body, more, outputs)[name]
    assert result.status == "fail"
    assert re.search(found, result.finding)
    assert result.todo


def test_a_sound_network_passes_and_an_untrained_one_is_only_noted(tmp_path, batch):
    found = results(tmp_path, batch=batch)
    assert {r.status for r in found.values()} == {"ok", "note"}
    assert {name for name, r in found.items() if r.status == "note"} == {"weights", "preprocessing"}
    assert "untrained" in found["preprocessing"].todo


def test_one_logit_without_saying_so_is_told_the_key(tmp_path):
    assert 'output = "logit1"' in results(tmp_path, outputs=1)["output"].todo


def test_log_probabilities_are_no_fault(tmp_path):
    assert results(tmp_path, "return z.log_softmax(1)")["logits"].status == "note"


def test_a_broken_entry_says_what_is_broken(tmp_path):
    found = results(tmp_path, more='[weights]\nfile = "gone.pt"')
    assert [r.status for r in found.values()] == ["fail"]
    assert "gone.pt" in found["builds and loads"].finding


def copy_of(name, root, preprocessing):
    source = load_entry(name)
    folder = root / name
    shutil.copytree(source.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / "entry.toml").read_text().split("[recipe]")[0]
    (folder / "entry.toml").write_text(text + preprocessing)
    return load_entry(name, [root])


def test_trained_networks_are_judged_on_data(tmp_path, batch):
    good = {r.name: r for r in check_entry(load_entry("digits_cnn"), batch)}
    assert all(r.status == "ok" for r in good.values())
    twice = copy_of("digits_mlp", tmp_path, "[preprocessing]\nmean = 0.5\nstd = 0.1\n")
    found = {r.name: r for r in check_entry(twice, batch)}["preprocessing"]
    assert found.status == "fail"
    assert "with no normalisation it is 0.98" in found.finding


def test_data_on_another_scale_are_found(tmp_path, batch):
    """A network for 0..255 (it divides by 255 itself) that is fed [0, 1]."""
    scaled = copy_of("digits_mlp", tmp_path, "")
    code = (scaled.folder / "model.py").read_text()
    code = code.replace("nn.Flatten(),", "Scaled(),\n        nn.Flatten(),")
    code += "\n\nclass Scaled(nn.Module):\n    def forward(self, x):\n        return (x / 255).clamp(0, 1)\n"
    (scaled.folder / "model.py").write_text(code)
    state = load_file(scaled.folder / "weights.safetensors")
    shifted = {f"{int(k.split('.')[0]) + 1}.{k.split('.')[1]}": v for k, v in state.items()}
    save_file(shifted, scaled.folder / "weights.safetensors")
    found = {r.name: r for r in check_entry(load_entry("digits_mlp", [tmp_path]), batch)}["preprocessing"]
    assert found.status == "fail"
    assert "[0, 255]" in found.finding
