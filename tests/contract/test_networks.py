"""Network x explainer: each cell is right by its relation or refused with its reason, and the page says the same.

Oracle: ``benchmark/meta/relations.py`` computes what the definition demands beside the explainer; controls below show
that a relation fails where a heatmap is another one.
"""

import re
from pathlib import Path

import pytest
import torch

from benchmark.explainers.base import explainers
from benchmark.meta import networks
from benchmark.meta.relations import RELATIONS, SMALL, case, examined, small
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry

PAGE = Path(__file__).parents[2] / "docs" / "explainers.md"
ALL = explainers.names()
HOOKED = [
    "saliency", "integrated-gradients", "guided-backprop", "gradcam", "hirescam", "guided-gradcam", "deeplift",
    "lrp-epsilon", "excitation-backprop",
]  # fmt: skip
# what runs in the fast tests: everything where a pass is quick, else what works by hooks
QUICK = {
    "vit (patch 8, depth 2)": ALL,
    "mobilenet_v3_small": ALL,
    "densenet121": HOOKED,
    "efficientnet_b0": HOOKED,
    "convnext_tiny": ["lrp-epsilon", "gradcam", "guided-backprop", "deeplift"],
    "resnet18": ["lrp-epsilon", "excitation-backprop", "gradcam", "guided-backprop", "deeplift"],
    "vgg11_bn": ["lrp-epsilon", "gradcam"],
    "swin_t": ["lrp-epsilon", "gradcam", "guided-backprop", "deeplift"],
}
TOKENS = [
    "lrp-epsilon",
    "gradcam",
    "occlusion",
    "attention",
    "attention-rollout",
    "gradient-rollout",
    "attn-lrp",
    "cp-lrp",
]
ENTRIES = ["digits_cnn", "digits_mlp", "digits_watermarked_pclarc", "gtsrb_cnn"]


def written():
    """The page's table: network to explainer to what it says, reasons in full."""
    text = PAGE.read_text(encoding="utf-8").split(networks.BEGIN)[1].split(networks.END)[0]
    reasons = dict(re.findall(r"^(\d+)\. (.+)$", text, flags=re.M))
    groups = {
        head: re.findall(r"`([^`]+)`", names)
        for head, names in re.findall(r"^(\S+ and \d+ more): (.+)\.$", text, flags=re.M)
    }
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")
    ]
    found = {}
    for i, head in enumerate(rows[0][1:], 1):
        column = {
            row[0].strip("` "): re.sub(r"^refused \((\d+)\)$", lambda mark: reasons[mark[1]], row[i])
            for row in rows[1:]
        }
        for name in groups.get(head, re.split(r", (?![^(]*\))", head)):
            found[name] = column
    return found


def agrees(name, uses, model, entry=None):
    column = written()[name]
    for use, finding in networks.findings(model, entry, uses):
        assert finding.status in ("right", "refused"), (name, use, finding)
        assert finding.words
        assert networks.brief(use, finding) == column[use], (name, use)


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_each_cell_is_right_or_refused_with_its_reason(name):
    pytest.importorskip({"timm": "timm", "hf": "transformers"}.get(name.split()[0], "torchvision"))
    agrees(name, QUICK.get(name, TOKENS), networks.reference(name))


@pytest.mark.parametrize("name", ENTRIES)
def test_shipped_entries(name):
    entry = load_entry(name)
    agrees(name, ALL, build_model(entry), entry.spec)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_page_is_what_the_command_makes():
    text = PAGE.read_text(encoding="utf-8").split(networks.BEGIN)[1].split(networks.END)[0]
    assert text.strip() == networks.table(networks.collect()).strip()


def test_every_explainer_has_a_relation_and_every_network_a_column():
    assert set(RELATIONS) | {use for use in ALL if hasattr(explainers.make(use), "_rules")} == set(ALL)
    assert set(SMALL) <= set(ALL)
    assert set(written()) == {*networks.NETWORKS, *(entry.name for entry in networks.shipped())}


@pytest.mark.parametrize(
    ("use", "instead"),
    [
        ("saliency", "input-x-gradient"),
        ("integrated-gradients", "input-x-gradient"),
        ("gradcam", "hirescam"),
        ("hirescam", "layercam"),
        ("guided-gradcam", "gradcam"),
        ("smoothgrad", "saliency"),
        ("smoothtaylor", "smoothgrad"),
        ("deeplift", "saliency"),
        ("shapley", "saliency"),
        ("lime", "shapley"),
        ("feature-ablation", "shapley"),
        ("untrained", "saliency"),
    ],
)
def test_a_relation_fails_where_the_heatmap_is_another_methods(use, instead, monkeypatch):
    """Controls, on a network whose relations all hold."""
    of, explainer = case(build_model(load_entry("digits_cnn"))), small(use)
    assert examined(explainer, of).status == "right"
    other = small(instead)
    monkeypatch.setattr(type(explainer), "explain", lambda _self, *given, **kwargs: other.explain(*given, **kwargs))
    assert examined(explainer, of).status == "wrong"


def test_references_are_seeded_and_react_to_their_input():
    for name in ("mobilenet_v3_small", "vit (patch 8, depth 2)"):
        model, twin = networks.reference(name), networks.reference(name)
        assert all(torch.equal(value, twin.state_dict()[key]) for key, value in model.state_dict().items())
        logits = model(case(model).inputs)
        assert float((logits[0] - logits[1]).abs().max()) > 1e-2 * float(logits.abs().max())
