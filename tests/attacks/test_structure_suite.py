"""The stripes from end to end. Oracles: the rows of the records, the control network, data without structures."""

import pandas as pd
import pytest
from scipy.stats import binomtest

from tests.conftest import Workplace

SUITE = """
entries = ["stripes_cnn", "stripes_cnn_clean"]
dataset = { use = "stripes", samples = 120 }
run = { chunk = 50 }

[[attacks]]
name = "conflict"
use = "structure-conflict"

[[attacks]]
name = "along"
use = "structure-deepfool"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Workplace(tmp_path_factory.mktemp("structures"))


def test_reliance_follows_the_rows_and_tells_the_networks_apart(place):
    """The network that learned the shade has an interval above that of its control."""
    place.suite("small", SUITE)
    assert "failed 0, skipped 0" in place.assay("run", "small", "--workers", "1").stdout
    folder = place.root / "results" / "small"
    board = pd.read_csv(folder / "leaderboard.csv").set_index("model")
    for model in ("stripes_cnn", "stripes_cnn_clean"):
        heads = [h["hash"] for h in place.heads("small") if h["spec"]["probe"] == "conflict"]
        cells = {h["hash"]: h["spec"]["model"] for h in place.heads("small")}
        rows = pd.concat([pd.read_parquet(folder / "cells" / f"{h}.parquet") for h in heads if cells[h] == model])
        assert len(rows) == 120
        assert (rows["status"] == "ok").all()
        false, true = (rows["pred"] == rows["param_false_class"]).sum(), (rows["pred"] == rows["label"]).sum()
        interval = binomtest(int(false), int(false + true)).proportion_ci(method="wilson")
        line = board.loc[model]
        assert line["n_reliance_conflict"] == false + true
        assert line["reliance_conflict"] == pytest.approx(false / (false + true), abs=1e-5)
        assert line["reliance_conflict_low"] == pytest.approx(interval.low, abs=1e-5)
        assert line["reliance_conflict_high"] == pytest.approx(interval.high, abs=1e-5)
        assert line["reliance_other_conflict"] == pytest.approx(1 - (false + true) / 120, abs=1e-5)
        assert line["acc_conflict"] == pytest.approx(true / 120, abs=1e-5)
    learned, control = board.loc["stripes_cnn"], board.loc["stripes_cnn_clean"]
    assert learned["reliance_conflict_low"] > control["reliance_conflict_high"]
    assert learned["structure_l2_along_high"] < control["structure_l2_along_low"]


@pytest.mark.parametrize(
    "dataset", ['{ use = "digits", samples = 4 }', '{ use = "stripes", split = "train", samples = 4 }']
)
def test_where_structures_are_not_known_the_cells_are_skipped_and_say_why(place, dataset):
    entries, known = ("one", "digits") if "digits" in dataset else ("stripes_cnn", "stripes")
    place.suite("none", f"""
entries = ["{entries}"]
dataset = {dataset}

[[attacks]]
name = "absent"
use = "structure-absent"
""")  # fmt: skip
    done = place.assay("run", "none", "--workers", "1", code=None)
    assert "skipped 1" in done.stdout
    reasons = [head["reason"] for head in place.heads("none") if head.get("reason")]
    assert any(f"of {known!r} is none" in str(reason) for reason in reasons), place.heads("none")
