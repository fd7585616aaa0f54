"""Networks of every source through the command line: one suite, one leaderboard. Oracles: tables and what they say."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmark.models.cifar import preact_resnet18
from benchmark.models.entries import read_entry

SUITE = """
title = "zoo"
entries = ["timm_net", "torchvision_net", "hf_net", "robust_net", "onnx_net"]

[dataset]
use = "digits"
samples = 4
classes = "by-index"

[threat]
norm = "linf"
eps = "0.1"

[[attacks]]
name = "fgsm"
use = "foolbox:LinfFastGradientAttack"
budgets = ["0.1"]

[[attacks]]
name = "noise"
use = "noise-linf"
budgets = ["0.1"]
"""


def save_vit(folder):
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48, image_size=32, patch_size=8,
        num_labels=10,
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def onnx_file(path):
    """Rounded pixels into a linear layer: no gradient, so that a white-box attack says why it is skipped."""
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(0).normal(size=(64, 10)).astype("f")
    nodes = [helper.make_node("Mul", ["x", "s"], ["m"]), helper.make_node("Round", ["m"], ["r"], name="levels"),
             helper.make_node("Flatten", ["r"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]  # fmt: skip
    kept = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.float32(16), "s")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])
    graph = helper.make_graph(nodes, "g", [x], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])], kept)
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())


@pytest.fixture
def zoo(assay, workplace, monkeypatch, tmp_path_factory):
    """Five entries, each made by one command from an object made here."""
    for name in ("timm", "transformers", "onnx"):
        pytest.importorskip(name)
    import timm
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path_factory.mktemp("cache")))
    root = workplace.root
    said, _ = assay("new", "timm_net", "--from", "timm:test_vit")
    place = read_entry(root / "baselines" / "timm_net").weights_path()
    assert str(place) in said
    place.parent.mkdir(parents=True)
    save_file(timm.create_model("test_vit").state_dict(), place)
    assay("new", "torchvision_net", "--from", "torchvision:squeezenet1_1", "--untrained")
    save_vit(root / "saved")
    assay("new", "hf_net", "--from", "hf:saved")
    assay("new", "robust_net", "--from", "robustbench:Wong2020Fast")
    torch.manual_seed(0)
    state = {f"module.{name}": value for name, value in preact_resnet18().state_dict().items()}
    torch.save({"state_dict": state}, root / "baselines" / "robust_net" / "Wong2020Fast.pt")
    onnx_file(root / "net.onnx")
    assay("new", "onnx_net", "--from", "onnx:net.onnx")
    workplace.suite("zoo", SUITE)
    return workplace


@pytest.mark.long
def test_entries_of_every_source_stand_in_one_leaderboard_with_their_facts(assay, zoo):
    for name in ("timm_net", "torchvision_net", "hf_net"):
        assay("check", name, "--suite", "zoo", "--samples", 2)
    assay("run", "zoo", "--workers", 1)
    folder = zoo.root / "results" / "zoo"
    with (folder / "leaderboard.csv").open() as stream:
        rows = {row["model"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 5
    assert all(row["failed"] == "0" for row in rows.values())
    assert rows["onnx_net"]["skipped"] == "1"
    assert rows["onnx_net"]["robust_acc_noise_0.1"] != ""
    text = (folder / "leaderboard.md").read_text()
    assert re.search(r"needs the network's gradient, which Round \(levels\)", text)
    facts = dict(re.findall(r"^\| network (\w+) \| (.*) \|$", text, flags=re.M))
    assert facts.keys() == rows.keys()
    for name, parts in {
        "timm_net": ["source: timm:test_vit.r160_in1k", "licence: apache-2.0", "3x160x160", "crop 0.95", "sha256"],
        "torchvision_net": ["source: torchvision:squeezenet1_1:IMAGENET1K_V1", "mean [0.485, ", "weights: untrained"],
        "hf_net": ["source: hf:saved", "licence: none stated", "its part logits", "ImageClassifierOutput"],
        "robust_net": ["source: robustbench:Wong2020Fast:cifar10:Linf", "std [0.2471, "],
        "onnx_net": ["source: onnx:net.onnx", "no mean and std"],
    }.items():
        for part in parts:
            assert part in facts[name].replace("\\", ""), (name, part)
    assay("report", "zoo", "--html")
    page = (folder / "report.html").read_text()
    assert "Networks" in page
    assert "timm:test_vit.r160_in1k" in page
