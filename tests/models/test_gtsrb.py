"""The shipped traffic-sign weights. Oracle: the figure in the README, on the GTSRB subset's test split."""

import re

import pytest

from benchmark import build_model, load_entry
from benchmark.data.stop_signs import CLASSES
from benchmark.models.recipe import TrainingData, judge
from benchmark.spec.entry import RecipeData


@pytest.mark.long
@pytest.mark.parametrize("name", ["gtsrb_cnn", "gtsrb_cnn_deep"])
def test_shipped_weights_reach_the_readmes_figure(name, real_data):
    entry = load_entry(name)
    data = TrainingData(RecipeData(use="folder", name="gtsrb", path=real_data("gtsrb_subset")), entry.spec.input_shape)
    judged = judge(build_model(entry), data, "test")
    figure = float(re.search(r"test crops: ([0-9.]+)\.\n", (entry.folder / "README.md").read_text()).group(1))
    assert judged.n == 1380
    assert judged.accuracy == pytest.approx(figure, abs=0.001)
    assert figure >= 0.90
    # the folder's classes are GTSRB's ids in order, so that class 14 is the stop sign of the dataset stop-signs
    assert [int(label) for label in data.classes] == list(range(len(CLASSES)))
    assert judged.recall()[14] > 0.95
