"""``assay explainers``. Oracle: a network of which some explainers are right and others must refuse; wrong requests."""

from tests.conftest import write_entry

SIGMOID = """
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Sigmoid(), nn.Linear(8, 10))
"""


def test_each_explainer_is_right_or_refused_with_its_reason(workplace):
    write_entry(workplace.root / "baselines" / "curved", model=SIGMOID)
    asked = ["--only", "lrp-epsilon", "--only", "saliency", "--only", "gradcam"]
    lines = workplace.assay("explainers", "curved", *asked).stdout.splitlines()
    assert lines[0] == "curved:"
    assert [line.split()[:2] for line in lines[1:]] == [
        ["lrp-epsilon", "refused"], ["saliency", "right"], ["gradcam", "refused"],
    ]  # fmt: skip
    assert "layer '2' (Sigmoid)" in lines[1]


def test_wrong_requests_name_what_is_missing(workplace):
    assert "needs an entry" in workplace.assay("explainers", code=2).stderr
    assert "did you mean" in workplace.assay("explainers", "one", "--only", "salient", code=2).stderr
    assert "unknown entry" in workplace.assay("explainers", "onee", code=2).stderr
