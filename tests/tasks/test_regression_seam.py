"""A task without classes runs through the same contract. Oracle: the mean image is linear, so noise of sign s and size
eps shifts the prediction by eps * mean(s) exactly (closed form)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.data.base import Grid, datasets
from benchmark.models.build import build_model
from benchmark.models.entries import read_entry
from benchmark.registry import include
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute

TOYS = Path(__file__).parents[1] / "toys"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))


def test_noise_moves_the_prediction_by_its_mean_and_breaks_what_leaves_the_tolerance():
    include([TOYS / "regression_task.py"])
    task, dataset = tasks.make("toy-regression", {"tolerance": 0.02}), datasets.make("toy-brightness")
    entry = read_entry(TOYS / "entries" / "toy_linear")
    model = build_model(entry)
    batch = dataset.load("test", dataset.index("test").ids, Grid())
    clean = task.clean(model, batch, entry.spec)
    assert clean["correct"].all()
    rows, outputs = execute(
        task,
        attacks.make("noise-linf"),
        model,
        torch.as_tensor(batch.inputs),
        torch.as_tensor(batch.labels),
        clean,
        eps=0.15,
        generator=Draws(range(len(batch))),
    )
    shift = 0.15 * np.sign(outputs.numpy() - batch.inputs).reshape(len(batch), -1).mean(1)
    np.testing.assert_allclose(rows["pred"] - clean["pred_clean"], shift, atol=1e-6)
    np.testing.assert_array_equal(rows["success"], np.abs(shift) > 0.02)
    assert 0 < rows["success"].sum() < len(batch)
    assert (rows["status"] == "ok").all()


def test_columns_name_no_class_and_say_their_direction():
    include([TOYS / "regression_task.py"])
    within, mae = tasks.make("toy-regression").columns(())
    rows = pd.DataFrame({"label": [0.5, 0.6], "pred_clean": [0.5, 0.8], "correct": [True, False]})
    assert within.values(rows).tolist() == [1.0, 0.0]
    np.testing.assert_allclose(mae.values(rows), [0.0, 0.2])
    assert not mae.higher_is_better
