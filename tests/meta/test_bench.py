"""The bench with real models and metrics. Oracles: the perturbed model and input by hand, controls that must be NaN."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.errors import EntryError, NotApplicableError
from benchmark.meta.bench import HALVES, Bench, benches
from benchmark.meta.measure import Effort, fills, measure_bench
from benchmark.meta.perturbations import noisy_inputs, noisy_model
from benchmark.meta.settings import SETTINGS, of_size
from benchmark.metrics.base import metrics
from benchmark.seeds import Draws, derive


@pytest.fixture(scope="module")
def small():
    return Bench("digits_mlp", 0, 8)


def test_the_halves_share_no_model_and_no_seed():
    models = [set(models) for models in HALVES.values()]
    seeds = [{seed for seeds in models.values() for seed in seeds} for models in HALVES.values()]
    assert not models[0] & models[1]
    assert not seeds[0] & seeds[1]
    assert len({(each.name, each.seed) for _, each in benches(4)}) == 16


def test_samples_are_right_ones(small):
    inputs, labels, _ = small.samples
    assert torch.equal(small.model(inputs).argmax(1), labels)


def test_a_model_that_is_mostly_wrong_is_refused():
    strict = replace(SETTINGS["digits"], min_accuracy=1.01)
    with pytest.raises(EntryError, match="nothing true to show"):
        Bench("digits_mlp", 0, 8, strict).samples  # noqa: B018


def test_scores_are_those_of_the_metric_itself(small):
    metric = metrics.make("faithfulness-estimate")
    assert np.isnan(small.score(metric, "constant")).all()
    assert small.score(metric, "integrated-gradients").mean() > small.score(metric, "random").mean()


def test_perturbations(small):
    x = torch.rand(3, 1, 4, 4)
    minor, disruptive = noisy_inputs(x, "minor", 5), noisy_inputs(x, "disruptive", 5)
    assert 0 < float((minor - x).abs().max()) <= 0.001
    noise = Draws([derive(5, i) for i in range(3)]).uniform((1, 4, 4), -1.0, 1.0)
    torch.testing.assert_close(disruptive, (x + 5 * noise).clamp(0, 1))
    before = {key: value.clone() for key, value in small.model.state_dict().items()}
    copy = noisy_model(small.model, "minor", 1)
    for key, value in small.model.state_dict().items():
        assert torch.equal(value, before[key])
        assert float((copy.state_dict()[key] / value - 1).abs().nan_to_num().max()) < 0.01
    assert not torch.equal(copy.network[1].weight, small.model.network[1].weight)
    far = noisy_model(small.model, "disruptive", 1)
    assert float((far.network[1].weight / small.model.network[1].weight - 1).std()) == pytest.approx(2, rel=0.2)


def test_a_metric_that_fails_costs_its_own_rows(monkeypatch):
    def broken(self, explained):
        raise ValueError("on purpose")

    monkeypatch.setattr(type(metrics.make("sparseness")), "score", broken)
    found = measure_bench("set", "digits_mlp", 1, ["sparseness", "complexity"], Effort(4, 1, 1))
    assert {row["metric"] for row in found["scores"]} == {"complexity"}
    assert [row["reason"] for row in found["faults"]] == ["ValueError: on purpose"]
    assert found["consistency"] == []  # the second seed of the model measures no consistency


def test_a_method_that_is_not_defined_costs_its_own_rows(monkeypatch):
    """GridPG on digits: the random control has rows, an explainer that refuses has none."""

    def refused(self, *args, **kwargs):
        raise NotApplicableError("on purpose")

    monkeypatch.setattr("benchmark.explainers.captum.methods.Occlusion.explain", refused)
    found = measure_bench("check", "digits_cnn", 2, ["grid-pointing-game"], Effort(24, 1, 0))
    explainers = {row["explainer"] for row in found["scores"]}
    assert "random" in explainers
    assert "occlusion" not in explainers
    assert found["faults"] == []


@pytest.mark.parametrize("name", ["gtsrb", "imagenet"])
def test_settings_of_larger_images_need_their_data_and_have_no_model_in_both_halves(name):
    setting = SETTINGS[name]
    halves = [set(models) for models in setting.halves.values()]
    assert not halves[0] & halves[1]
    assert setting.dataset
    assert setting.table.name == f"verdicts_{name}.csv"


def test_reports_of_large_images_show_the_verdicts_at_their_size():
    assert [of_size(size) for size in (None, (8, 8), (64, 64), (224, 100), (224, 224))] == ["digits"] * 4 + ["imagenet"]


def test_a_metric_takes_the_effort_of_the_setting_that_it_has():
    made = fills(metrics.make("infidelity"), SETTINGS["imagenet"])
    assert [(fill, metric.nr_runs) for fill, metric in made] == [("black", 32), ("blur", 32)]
    assert fills(metrics.make("sparseness"), SETTINGS["imagenet"])[0][1].params() == {}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--on", "imagnet"], "did you mean 'imagenet'"),
        (["--on", "imagenet"], "give --data imagenet=PATH"),
        (["--on", "digits", "--data", "x=y"], "--data x=...: --on digits takes no --data"),
    ],
)
def test_a_setting_that_lacks_its_data_or_does_not_exist_is_refused(asked, said):
    from typer.testing import CliRunner

    from benchmark.cli.main import app

    done = CliRunner().invoke(app, ["metrics", "--measure", *asked])
    assert done.exit_code != 0
    assert said in done.output + str(done.exception)
