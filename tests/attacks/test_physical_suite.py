"""A suite of simulated physical attacks from end to end, on photos made here. Oracle: the rows of the records."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import binomtest

from tests.conftest import Workplace, write_entry

REDNESS = """
import torch
from torch import nn

class Red(nn.Module):
    '''Stop (14) where the picture is more red than green, else class 5.'''
    def forward(self, x):
        red = (x[:, 0] - x[:, 1]).mean((1, 2))
        logits = torch.zeros(len(x), 43, device=x.device)
        logits = logits + torch.nn.functional.one_hot(torch.tensor(14), 43) * red[:, None] * 50
        return logits - torch.nn.functional.one_hot(torch.tensor(5), 43) * red[:, None] * 50

def build():
    return Red()
"""

SUITE = """
title = "Small physical"
entries = ["red"]
dataset = { use = "stop-signs", size = 32, channels = 3 }
run = { keep_inputs = "all", chunk = 3 }

[[attacks]]
name = "rp2"
use = "rp2"
params = { target = 5, steps = 20, batch = 4, distances = [1.5, 9.0], angles = [0.0, 30.0], draws = 1 }

[[attacks]]
name = "control"
use = "sticker-random"
params = { target = 5, distances = [1.5, 9.0], angles = [0.0, 30.0], draws = 1 }

[[attacks]]
name = "patch"
use = "patch"
params = { steps = 5, batch = 4, draws = 2 }
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    workplace = Workplace(tmp_path_factory.mktemp("physical"))
    folder = workplace.root / "photos" / "victim_256"
    folder.mkdir(parents=True)
    for i in range(8):
        pixels = np.random.default_rng(i).integers(0, 90, (32, 32, 3), np.uint8)
        pixels[..., 0] += np.uint8(10 + 3 * i)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    entry = write_entry(workplace.root / "baselines" / "red", REDNESS)
    text = (
        (entry / "entry.toml").read_text().replace("[1, 8, 8]", "[3, 16, 16]").replace("classes = 10", "classes = 43")
    )
    (entry / "entry.toml").write_text(text)
    workplace.suite("physical", SUITE)
    done = workplace.assay("run", "physical", "--data", "stop-signs=photos", "--workers", "1")
    assert "failed 0, skipped 0" in done.stdout
    return workplace


def test_tables_and_pictures_follow_the_rows(ran):
    folder = ran.root / "results" / "physical"
    board = pd.read_csv(folder / "leaderboard.csv").iloc[0]
    rows = pd.read_parquet(folder / "records.parquet")
    heads = {head["hash"]: head["spec"] for head in ran.heads("physical")}
    for probe in ("rp2", "control"):
        cells = {
            kind: [h for h, spec in heads.items() if spec["probe"] == probe and spec["kind"] == kind]
            for kind in ("attack", "fit")
        }
        judged = pd.concat([pd.read_parquet(folder / "cells" / f"{h}.parquet") for h in cells["attack"]])
        assert len(judged) == 4 * 4  # photos x views
        counted = judged[judged["reference_correct"]]
        assert board[f"fooled_{probe}"] == pytest.approx(counted["success"].mean(), rel=1e-5)
        assert board[f"fooled_target_{probe}"] == pytest.approx((counted["pred"] == 5).mean(), rel=1e-5)
        assert board[f"views_right_{probe}"] == pytest.approx(judged["reference_correct"].mean(), rel=1e-5)
        table = pd.read_csv(folder / f"physical_{probe}.csv")
        assert len(table) == 4
        assert table["n"].sum() == len(counted)
        for _, line in table[table["n"] > 0].iterrows():
            at = counted[(counted["param_distance"] == line["distance"]) & (counted["param_angle"] == line["angle"])]
            assert line["n"] == len(at)
            interval = binomtest(int(at["success"].sum()), len(at)).proportion_ci(method="wilson")
            bounds = [interval.low, interval.high] if len(at) > 1 else [np.nan, np.nan]
            assert at["sample"].is_unique  # a view of each photo: over photos is over views
            assert line[["fooled", "fooled_low", "fooled_high"]].astype(float).tolist() == pytest.approx(
                [at["success"].mean(), *bounds], abs=1e-5, nan_ok=True
            )
        with Image.open(folder / "figures" / f"physical_{probe}.png") as picture:
            assert picture.width > 100
        if probe == "rp2":
            fit = pd.concat([pd.read_parquet(folder / "cells" / f"{h}.parquet") for h in cells["fit"]])
            right = fit[fit["reference_correct"]]
            assert len(fit) == 4 * 4
            assert board["train_success_rp2"] == pytest.approx(right["success"].mean(), rel=1e-5)
            assert not set(fit["sample"]) & set(judged["sample"])  # optimised on one half, judged on the other
            assert [*folder.glob("artefacts/*/*sticker.png")]
    assert board["fooled_rp2"] > board["fooled_control"]
    assert len(rows)
    assert {"fooled_patch", "train_success_patch", "sticker_area_patch"} <= set(board.index)
    assert "physical_rp2.csv" not in [path.name for path in folder.glob("figures/*")]


def test_a_report_without_the_kept_inputs_has_the_same_tables(ran):
    folder = ran.root / "results" / "physical"
    assert "(figures/physical_rp2.png)" in (folder / "leaderboard.md").read_text()
    assert "| model | distance | 0° | 30° |" in (folder / "leaderboard.md").read_text()
    before = {path.name: path.read_bytes() for path in [*folder.glob("*.csv"), folder / "leaderboard.md"]}
    for artefact in [*folder.glob("artefacts/*/*.npz"), *folder.glob("artefacts/*/*.parquet")]:
        artefact.unlink()
    ran.assay("report", "physical")
    assert {name: (folder / name).read_bytes() for name in before} == before
