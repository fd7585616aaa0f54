"""Entries on generated data. Oracles: their READMEs' figures, and what each kind of network can and cannot learn."""

import importlib.util
import re
from functools import lru_cache

import numpy as np
import pytest
import torch

from benchmark.attacks.shortcuts.masks import region_mask
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.recipe import TrainingData, judge
from benchmark.spec.entry import RecipeData

SCENARIOS = ("linear", "multiplicative", "transrot", "xor")
TRIS = [f"tris_{s}_{n}{b}" for s in SCENARIOS for b in ("", "_correlated") for n in ("linear", "mlp", "cnn")]
STRIPES = ["stripes_cnn", "stripes_mlp", "stripes_cnn_clean"]


@lru_cache(maxsize=1)
def _data(spec, shape):
    """Three networks of a scenario look at the same samples; the training split, which names classes, is not drawn."""
    return TrainingData(RecipeData.model_validate_json(spec).model_copy(update={"train": "test"}), shape)


@pytest.mark.parametrize("name", TRIS + STRIPES)
def test_weights_reach_the_readmes_figure(name):
    """A linear network solves the linear scenario alone, whose best is 0.893 on white noise; all others reach 0.8."""
    entry = load_entry(name)
    judged = judge(build_model(entry), _data(entry.spec.recipe.data.model_dump_json(), entry.spec.input_shape), "test")
    text = (entry.folder / "README.md").read_text()
    figure = float(re.search(r"1,000\s+test\s+images[^:]*: ([0-9.]+)\.\s", text).group(1))
    assert judged.accuracy == pytest.approx(figure, abs=0.003)
    if name.startswith("tris") and "_linear" in name.removeprefix("tris_linear"):
        beyond = "tris_linear" not in name
        assert judged.accuracy < 0.55 if beyond else judged.accuracy > 0.85
    else:
        assert judged.accuracy > 0.8
    if name.startswith("tris_linear") and "correlated" not in name:
        assert judged.accuracy < 0.893 + 3 * np.sqrt(0.893 * 0.107 / 1000)


def test_the_recipe_without_the_border_masks_what_it_trains_on_and_nothing_else(tmp_path):
    from PIL import Image

    entry = load_entry("pneumonia_cnn_pool_masked")
    for split in ("train", "test"):
        for label in "ab":
            (tmp_path / split / label).mkdir(parents=True)
            Image.fromarray(np.full((64, 64), 200, np.uint8)).save(tmp_path / split / label / "0.png")
    data = TrainingData(RecipeData(use="folder", path=tmp_path), (1, 64, 64))
    spec = importlib.util.spec_from_file_location("recipe", entry.folder / "train.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    settings = {name: entry.spec.recipe.params[name] for name in ("region", "share", "fill")}
    border = torch.as_tensor(region_mask("border", 8 / 64, 64, 64))
    for split in ("train", "test"):
        ((inputs, labels),) = recipe.masked(data, **settings).batches(split, 8)
        assert (inputs[..., border] == 0).all()
        assert (inputs[..., ~border] == np.float32(200 / 255)).all()
        assert sorted(labels.tolist()) == [0, 1]
        ((plain, _),) = data.batches(split, 8)
        assert (plain == np.float32(200 / 255)).all()
