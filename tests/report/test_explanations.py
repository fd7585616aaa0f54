"""Explanations: scores, one method, ranks, controls. Oracles: counted on paper from records written by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmark.report.explainer_ranks import control_lines, explainer_ranks, separates
from benchmark.report.explanations import groups, one_method, refused, score_rows, similarity
from benchmark.report.gallery import CAPTION, USUAL, draw, gallery, look, named, note
from benchmark.report.write import write_report
from benchmark.spec.suite import ExplainingSpec, SuiteSpec
from benchmark.store.folder import Store
from benchmark.store.record import Record, strings
from benchmark.tasks.base import tasks

N = 40
REAL, CONTROLS = ["good", "twin", "poor"], ["noise"]
BETTER = {"up": True, "down": False, "plain": None}


class Explained:
    """A results folder with two models, three explainers, a control, three metrics; in two chunks."""

    def __init__(self, folder, *, explaining=None, rho=0.999, alike=True, wrong=0, extra=0.0):
        self.store, names = Store(folder / "made"), [*REAL, *CONTROLS]
        spec = SuiteSpec(
            name="made",
            dataset={"use": "digits"},
            entries=("a", "b"),
            explainers=[{"name": name, "use": "random"} for name in names],
            metrics=[{"name": name, "use": "faithfulness-estimate"} for name in BETTER],
            explaining=explaining,
        )
        self.plan = {
            "plan_version": 1,
            "suite": spec.model_dump(mode="json"),
            "task": tasks.make("classification", {"per_class": 0}).identity(),
            "dataset": {"digest": "d", "classes": ["0", "1"], "n": N},
            "entries": {"a": "e", "b": "e"},
            "explainers": {name: {"use": "random", "control": name in CONTROLS} for name in names},
            "metrics": {
                name: {"use": "faithfulness-estimate", "higher_is_better": better} for name, better in BETTER.items()
            },
            "cells": [],
        }
        generator = np.random.default_rng(0)
        self.levels = {"good": 3.0, "twin": 3.0, "poor": 1.0, "noise": 1.0 + extra}
        for model in ("a", "b"):
            right = np.arange(N) >= (wrong if model == "a" else 30)  # b: accuracy 0.25
            for chunk in (0, 1):
                at = slice(chunk * N // 2, (chunk + 1) * N // 2)
                clean = {"label": np.zeros(N // 2, int), "pred_clean": 1 - right[at], "correct": right[at]}
                self.cell("clean", model, chunk, clean)
                for name in names:
                    self.cell("explain", model, chunk, {"status": strings(["ok"] * (N // 2))}, probe=name)
                    for metric, sign in (("up", 1), ("down", -1), ("plain", 1)):
                        values = sign * (self.levels[name] + generator.normal(0, 0.2, N // 2))
                        if metric == "down" and name == "noise":
                            values[:] = np.nan  # undefined for this control
                        self.cell("score", model, chunk, {"value": values}, probe=name, metric=metric)
                if alike:
                    self.similarity(model, chunk, rho)

    def similarity(self, model, chunk, rho):
        pairs = {"good|twin": rho, "good|poor": 0.5, "twin|poor": 0.4, "good|noise": 0.999, "poor|noise": np.nan}
        rows = {
            "sample": strings(list(pairs)),
            "value": np.array(list(pairs.values())) - (0.002 if chunk else 0),
            "lowest": np.array(list(pairs.values())) - 0.01,
            "highest": np.array(list(pairs.values())),
            "n": np.array([0 if np.isnan(value) else 5 + 10 * chunk for value in pairs.values()]),
        }
        self.cell("similarity", model, chunk, rows)

    def cell(self, kind, model, chunk, rows, *, probe="", metric=""):
        samples = [f"s{i}" for i in range(chunk * N // 2, (chunk + 1) * N // 2)]
        name = f"{kind}-{model}-{probe}-{metric}-{chunk}"
        self.plan["cells"].append(
            {"hash": name, "kind": kind, "model": model, "probe": probe, "metric": metric, "eps": None}
            | {"n": len(samples), "threat": {}}
        )
        rows = rows if "sample" in rows else {"sample": strings(samples), **rows}
        self.store.write(Record(hash=name, spec={"samples": samples, "kind": kind, "model": model}, rows=rows))

    def report(self):
        self.store.write_plan(self.plan)
        results, _, explained, self.found = write_report(self.store.folder)
        self.text = (self.store.folder / "leaderboard.md").read_text()
        return results, explained.set_index(["model", "explainer"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The plain case, reported once."""
    made = Explained(tmp_path_factory.mktemp("plain"))
    made.results, _ = made.report()
    return made


def test_similarity_is_the_mean_over_all_samples_of_all_chunks(made):
    results = made.results
    table = similarity(results).set_index(["model", "a", "b"])
    row = table.loc[("a", "good", "poor")]
    assert row["rho"] == pytest.approx((5 * 0.5 + 15 * 0.498) / 20)
    assert (row["rho_lowest"], row["rho_highest"], row["n"]) == (0.49, 0.5, 20)
    assert table.loc[("a", "poor", "noise"), "n"] == 0
    assert np.isnan(table.loc[("a", "poor", "noise"), "rho"])
    written = pd.read_csv(results.store.folder / "explainer_similarity.csv")
    assert list(written) == ["model", "a", "b", "rho", "rho_lowest", "rho_highest", "n"]


def test_explainers_above_the_threshold_are_one_method_and_share_a_rank(made):
    results = made.results
    assert groups(results, "a") == [["good", "twin"], ["poor"]]  # the control is alike too, and is no method
    assert one_method(results) == ["good and twin are one method here: rho = 0.9975 on a, rho = 0.9975 on b."]
    table = explainer_ranks(results).set_index(["model", "explainer"])
    assert table.loc[("a", "twin")].to_dict() == {
        "one_method_with": "good", "mean_rank": 1.0, "rank_up": 1, "rank_down": 1,
    }  # fmt: skip
    # one method is better than poor, though two explainers are: poor comes second, not third
    assert table.loc[("a", "poor"), ["mean_rank", "rank_up", "rank_down"]].tolist() == [2.0, 2, 2]
    assert "noise" not in table.reset_index()["explainer"].tolist()
    assert "good and twin are one method here" in made.text
    assert "### Ranks of explainers" in made.text


def test_below_the_threshold_they_are_two(tmp_path):
    results, _ = Explained(tmp_path, rho=0.99).report()
    assert groups(results, "a") == [["good"], ["twin"], ["poor"]]
    table = explainer_ranks(results).set_index(["model", "explainer"])
    assert table.loc[("a", "poor"), "rank_up"] == 3
    assert one_method(results) == []


def test_a_chain_is_not_one_method(tmp_path):
    made = Explained(tmp_path)
    for cell in [cell for cell in made.plan["cells"] if cell["kind"] == "similarity"]:
        made.plan["cells"].remove(cell)
    pairs = {"good|twin": 0.995, "twin|poor": -0.995, "good|poor": -0.98}
    rows = {name: np.array(list(pairs.values())) for name in ("value", "lowest", "highest")}
    made.cell("similarity", "a", 0, {"sample": strings(list(pairs)), "n": np.array([9, 9, 9])} | rows)
    results, _ = made.report()
    assert groups(results, "a") == [["good", "twin"], ["poor"]]


def test_controls_are_told_from_the_best_explainer_or_not(made):
    results = made.results
    best, kept, undefined = separates(results, "a", "up")
    assert best in ("good", "twin")
    assert (kept, undefined) == ([], [])
    assert separates(results, "a", "down") is None  # the control has no value
    assert [line.partition(":")[0] for line in control_lines(results)] == ["up"]
    assert "every control is significantly worse than the best explainer on a" in control_lines(results)[0]


def test_a_metric_on_which_the_control_is_as_good_does_not_separate(tmp_path):
    made = Explained(tmp_path, extra=2.0)
    results, _ = made.report()
    assert separates(results, "a", "up")[1] == ["noise"]
    assert f"up: does not separate noise from {separates(results, 'a', 'up')[0]} on a" in control_lines(results)[0]
    assert "does not separate noise" in made.text


def test_records_without_comparisons_say_what_they_always_said(tmp_path):
    made = Explained(tmp_path, alike=False)
    results, explained = made.report()
    assert one_method(results) == []
    assert control_lines(results) == ()
    assert not len(explainer_ranks(results))
    assert not any("rank" in file.name or "similarity" in file.name for file in results.store.folder.glob("*.csv"))
    assert "one method" not in made.text
    assert "not_scored" not in explained
    assert not made.found.captions


def test_only_samples_that_are_right_count_where_the_suite_says_so(tmp_path):
    every, everything = Explained(tmp_path / "every", wrong=10).report()
    rule = ExplainingSpec(correct_only=True, min_accuracy=0.5)
    made = Explained(tmp_path / "right", wrong=10, explaining=rule)
    results, explained = made.report()
    rows = every.rows
    own = rows[(rows["model"] == "a") & (rows["probe"] == "good") & (rows["metric"] == "up")]
    values = own[~own["sample"].isin([f"s{i}" for i in range(10)])]["value"].to_numpy()
    assert len(values) == 30
    assert explained.loc[("a", "good"), "up"] == pytest.approx(values.mean())
    assert explained.loc[("a", "good"), "n_up"] == 30
    assert explained.loc[("a", "good"), "up"] != everything.loc[("a", "good"), "up"]
    assert explained.loc[("b", "good"), "not_scored"] == "accuracy 0.25 < 0.5"
    assert np.isnan(explained.loc[("b", "good"), "up"])
    assert explained.loc[("a", "good"), "not_scored"] == ""
    assert set(explainer_ranks(results)["model"]) == {"a"}
    assert " b (" not in " ".join(control_lines(results))
    assert "b: not scored: accuracy 0.25 &lt; 0.5." in made.text or "b: not scored: accuracy 0.25 < 0.5." in made.text
    assert "Only samples whose clean prediction is right count." in made.text


def test_the_accuracy_alone_leaves_wrong_samples_in(tmp_path):
    results, _ = Explained(tmp_path, wrong=10, explaining=ExplainingSpec(min_accuracy=0.8)).report()
    assert refused(results, "a") == "accuracy 0.75 < 0.8"
    results, explained = Explained(tmp_path, wrong=10, explaining=ExplainingSpec(min_accuracy=0.75)).report()
    assert explained.loc[("a", "good"), "n_up"] == 40
    assert len(score_rows(results)) == 40 * 4 * 3


# -- the picture -----------------------------------------------------------------------------------------------------


def kept(explainers=("x", "y"), masks=True):
    size = (6, 6)
    attributions = np.zeros((len(explainers), 2, *size), np.float32)
    attributions[0, 0, 1, 2], attributions[0, 0, 4, 4] = 2.0, -0.5
    attributions[1, 1] = np.nan
    found = {
        "samples": np.array(["s0", "s1"]),
        "explainers": np.array(explainers),
        "inputs": np.full((2, 1, *size), 128, np.uint8),
        "labels": np.array([0, 1]),
        "targets": np.array([[1, 1]] * len(explainers)),
        "attributions": attributions,
    }
    mask = np.zeros((2, 1, *size), bool)
    mask[0, 0, 1:3, 2:4] = True
    return found | ({"masks": mask} if masks else {})


def panels(figure, title):
    return [axes for axes in figure.axes if axes.get_title() == title]


def test_zero_is_the_middle_of_every_panels_own_scale():
    figure = draw(kept(), ["cat", "dog"])
    (panel,) = panels(figure, "x")
    (image,) = panel.get_images()
    assert image.get_clim() == (-2.0, 2.0)
    assert panel.get_xlabel() == "±2"
    middle = image.cmap(image.norm(0.0))
    assert min(middle[:3]) > 0.95  # white
    more, less = image.cmap(image.norm(1.0)), image.cmap(image.norm(-1.0))
    assert more[0] > more[2]  # red for
    assert less[2] > less[0]  # blue against
    (rows,) = (axes for axes in panels(figure, "input"))
    assert rows.get_ylabel() == "cat\n→ dog"


def test_of_large_images_single_elements_do_not_set_the_scale():
    """Oracle: one element of 50,176 is a thousand times as large; the scale ends at the others'."""
    made, generator = kept(), np.random.default_rng(0)
    made["attributions"] = generator.normal(size=(2, 2, 224, 224)).astype(np.float32)
    made["attributions"][0, 0, 0, 0] = 1000
    made["inputs"], made["masks"] = np.full((2, 3, 224, 224), 128, np.uint8), np.zeros((2, 1, 224, 224), bool)
    large = look((224, 224))
    (panel,) = panels(draw(made, ["cat", "dog"], (), large), "x")
    assert panel.get_images()[0].get_clim()[1] == pytest.approx(2.81, abs=0.05)  # 99.5 % of |N(0, 1)|
    assert look((64, 64)) == look(None) == USUAL
    assert note(made, ["cat", "dog"], [], large) != note(made, ["cat", "dog"], [])


def test_classes_of_imagenet_are_shown_in_words():
    from benchmark.data.reading.classes import class_list

    names = class_list("imagenet-1k").names
    assert named(names)[:2] == ["tench", "goldfish"]
    assert named(names[:2]) == list(names[:2])


def test_the_outline_runs_along_the_masks_edge():
    (panel,) = panels(draw(kept(), ["cat", "dog"]), "x")
    segments = np.concatenate([np.asarray(part.get_segments()) for part in panel.collections])
    assert len(segments) == 8  # a mask of 2x2 pixels
    assert segments[..., 0].min() == 1.5
    assert segments[..., 0].max() == 3.5
    assert segments[..., 1].min() == 0.5
    assert segments[..., 1].max() == 2.5
    assert not panels(draw(kept(masks=False), ["cat", "dog"]), "x")[0].collections


def test_controls_come_last_and_many_explainers_go_on_below():
    names = ["noise", *[f"e{i}" for i in range(14)]]
    figure = draw(kept(names), ["cat", "dog"], ["noise"])
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[-1] == "noise\n(control)"
    assert titles.count("input") == 2
    assert len(figure.axes) == 2 * (15 + 2)
    boxes = [axes.get_position() for axes in figure.axes]
    assert all(0 <= box.x0 < box.x1 <= 1 for box in boxes)
    assert all(0 <= box.y0 < box.y1 <= 1 for box in boxes)


def test_the_note_of_a_picture_is_of_all_that_it_shows():
    first, other = note(kept(), ["cat", "dog"], []), kept()
    assert note(kept(), ["cat", "dog"], []) == first
    other["attributions"][0, 0, 0, 0] += 1
    changed = [note(other, ["cat", "dog"], []), note(kept(), ["cat", "cow"], []), note(kept(), ["cat", "dog"], ["x"])]
    assert len({first, note(kept(masks=False), ["cat", "dog"], []), *changed}) == 5


def test_a_clone_has_the_caption_without_what_the_picture_is_drawn_from(tmp_path):
    made = Explained(tmp_path)
    results, _ = made.report()
    assert gallery(results).captions == {"explanations_a": CAPTION, "explanations_b": CAPTION}
    assert gallery(results).figures == {}
    assert "explanations_a.png" not in made.text  # no picture of an earlier run either
    (results.store.folder / "figures").mkdir()
    (results.store.folder / "figures/explanations_a.png").write_bytes(b"")
    made.report()
    assert "figures/explanations_a.png" in made.text
