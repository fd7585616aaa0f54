"""Columns mean_relative_*. Oracle: the norms of the kept inputs against the dataset's images, in numpy."""

import json

import numpy as np
import pandas as pd

from benchmark.data.base import Grid, datasets

SUITE = """
title = "relative"
entries = ["one", "two"]
[dataset]
use = "digits"
fit_split = "test"
samples = 60
[threat]
norm = "l2"
eps = "1"
[run]
chunk = 30
keep_inputs = "all"
[[attacks]]
name = "paper"
use = "deepfool"
params = { variant = "paper" }
[[attacks]]
name = "foolbox"
use = "deepfool"
params = { norm = "linf" }
[[attacks]]
name = "fgsm"
use = "fgsm-90"
fit_samples = 60
"""


def test_columns_are_the_means_of_what_was_kept(workplace):
    workplace.suite("relative", SUITE)
    workplace.assay("run", "relative", "--workers", "1")
    folder = workplace.root / "results" / "relative"
    board = pd.read_csv(folder / "leaderboard.csv").set_index("model")
    plan = pd.json_normalize(json.loads((folder / "plan.json").read_text())["cells"])
    for model in ("one", "two"):
        for probe, suffix in (("paper", "_clipped"), ("foolbox", ""), ("fgsm", "_clipped")):
            cells = plan[(plan["kind"] == "attack") & (plan["model"] == model) & (plan["probe"] == probe)]["hash"]
            rows = pd.concat([pd.read_parquet(folder / "cells" / f"{cell}.parquet") for cell in cells])
            kept = [np.load(folder / "artefacts" / cell / "perturbed.npz") for cell in cells]
            samples = np.concatenate([part["samples"] for part in kept])
            inputs = np.concatenate([part["inputs"] for part in kept]).astype(np.float64)
            clean = datasets.make("digits").load("test", list(samples), Grid()).inputs.astype(np.float64)
            won = rows.set_index("sample").loc[samples, "success"].to_numpy(dtype=bool)
            assert won.any()
            for norm, order in (("l2", 2), ("linf", np.inf)):
                moves, sizes = (
                    np.linalg.norm(part.reshape(len(part), -1), ord=order, axis=1) for part in (inputs - clean, clean)
                )
                expected = (moves / sizes)[won].mean()
                assert (
                    abs(board.loc[model, f"mean_relative_{norm}{suffix}_{probe}"] / expected - 1) < 1e-5
                )  # a CSV has six digits
    assert (board["asr_unclipped_paper"] == 1).all()
    assert (board["asr_unclipped_fgsm"] >= 0.9).all()
    assert (board["mean_relative_l2_fgsm"] > board["mean_relative_l2_paper"]).all()
    assert "mean_relative_l2_clipped_foolbox" not in board
