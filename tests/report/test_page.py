"""The page of a suite: one file with everything in it, the same bytes again, nothing that came with records as markup.

Oracles: an HTML parser over the page, the leaderboard's and the records' own numbers, and a page with hostile texts.
"""

from __future__ import annotations

import json
import re
import shutil
from functools import lru_cache
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from benchmark.report.curves import curves
from benchmark.report.events import BROKEN, HELD, OPEN, WRONG
from benchmark.report.explanations import explanations
from benchmark.report.extras import extras
from benchmark.report.leaderboard import Leaderboard
from benchmark.report.page import page, write_page
from benchmark.report.page.glance import glances
from benchmark.report.page.pictures import change, diverging, outline, picture
from benchmark.report.page.samples import Samples
from benchmark.report.page.tables import of_frame, scale
from benchmark.report.rows import leaderboard
from benchmark.results.base import Results
from benchmark.store.folder import Store
from tests.conftest import REPOSITORY, UNTRACKED

VOID = {"meta", "link", "img", "input", "br", "wbr"}
MOST = 5_000_000  # bytes


class Parsed(HTMLParser):
    """Tags with their attributes, texts by tag, and whether every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.faults: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def results_of(folder) -> Results:
    return Results(Store(folder))


def made(folder, results=None) -> str:
    results = results or results_of(folder)
    return page(results, leaderboard(results), explanations(results), extras(results), curves(results))


def data_of(text: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S).group(1))


def check_page(text: str) -> Parsed:
    """What holds for every page."""
    parsed = Parsed(text)
    assert not parsed.faults
    assert not parsed.open
    assert len(text.encode()) < MOST
    assert all(attributes.get("alt") for attributes in parsed.of("img"))
    policy = next(a["content"] for a in parsed.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    for name in ("src", "href"):
        for _, attributes in parsed.tags:
            address = attributes.get(name) or "#"
            assert address.startswith(("#", "data:", "../")), address
    assert not re.search(r"https?://", text.replace("http://www.w3.org", ""))
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    return parsed


@pytest.fixture(scope="module", params=["digits", "mri_details", "stripes", "fooling"])
def tracked(request, tmp_path_factory):
    """A folder as a clone has it: without what a run of the suite left there."""
    folder = tmp_path_factory.mktemp("tracked") / request.param
    shutil.copytree(REPOSITORY / "results" / request.param, folder, ignore=shutil.ignore_patterns(*UNTRACKED))
    return folder, made(folder)


def test_a_page_of_tracked_records_is_whole(tracked):
    folder, text = tracked
    parsed = check_page(text)
    board = pd.read_csv(folder / "leaderboard.csv")
    assert set(board["model"]) <= set(re.findall(r'data-v="([^"]*)"', text))
    figures = list((folder / "figures").glob("[!c]*.png"))  # curves are drawn by the page itself
    assert sum("data:" in str(a["src"]) for a in parsed.of("img")) >= len(figures) > 0
    if folder.name == "digits":  # a clone has no artefacts: the gallery says what to do
        assert "Perturbed inputs are not tracked with the records" in text
        assert "<code>assay run digits</code>" in text


def test_a_page_of_a_run_has_its_galleries(paged):
    text = paged.page.read_text()
    parsed = check_page(text)
    assert f"page: {paged.page.relative_to(paged.place.root)}" in paged.said
    alts = [str(a["alt"]) for a in parsed.of("img")]
    assert any(alt.startswith("clean input digits-") for alt in alts)
    assert any("by fgsm, times" in alt for alt in alts)
    assert any(alt.startswith("saliency of digits-") for alt in alts)
    sheets = [cell["thumbs"] for cell in data_of(text)["cells"].values() if "thumbs" in cell]
    assert sheets
    assert all(sheet["uri"].startswith("data:image/") and sheet["n"] == len(sheet["of"]) for sheet in sheets)


def test_the_same_records_make_the_same_bytes(paged):
    results = results_of(paged.folder)
    again = write_page(results, leaderboard(results), explanations(results), extras(results))
    first = paged.page.read_bytes()
    assert again.read_bytes() == first


def test_samples_say_what_the_records_say(paged):
    """Counts of every cell against the leaderboard's own rates; order by norm, missing ones last."""
    results = results_of(paged.folder)
    samples, board = Samples(results), leaderboard(results).set_index("model")
    assert len(samples.events) == 2 * 4
    for (model, key), one in samples.events.items():
        column = "asr_" + key.replace("@", "_")
        state = np.asarray(one.columns["state"])
        right = board.loc[model, "n_correct"]
        assert (state == BROKEN).sum() / right == pytest.approx(board.loc[model, column])
        assert (state != WRONG).sum() == right
        assert not (state == OPEN).any()
        norms = one.columns["norm"]
        pairs = list(zip(norms, one.columns["margin"], strict=True))
        assert pairs == sorted(pairs)
        rows = one.rows.set_index("sample")
        for sample, norm, margin, broken in zip(
            one.samples, norms, one.columns["margin"], state == BROKEN, strict=True
        ):
            assert norm == pytest.approx(rows.loc[sample, f"norm_{'l2' if key == 'deepfool' else 'linf'}"], rel=1e-3)
            assert margin == pytest.approx(rows.loc[sample, "margin"], rel=1e-3)
            assert broken == rows.loc[sample, "success"]
        assert all(0.1 <= sure <= 1 for sure in one.columns["now"])


def test_a_sample_without_a_verdict_comes_last_and_is_not_held(paged):
    results = results_of(paged.folder)
    rows = results.rows
    lost = rows.index[(rows["kind"] == "attack") & (rows["probe"] == "deepfool") & (rows["model"] == "digits_mlp")][0]
    results.rows.loc[lost, ["status", "success"]] = ["nan", False]
    one = Samples(results).events["digits_mlp", "deepfool"]
    sample, right = rows.loc[lost, "sample"], results.correct("digits_mlp")[rows.loc[lost, "sample"]]
    assert one.samples[-1] == sample
    assert one.columns["norm"][-1] is None
    assert one.columns["state"][-1] == (OPEN if right else WRONG)
    assert HELD not in one.columns["state"][-1:]


def test_records_of_an_older_version_have_no_confidence_after(paged):
    """Clean rows have a column ``confidence`` too: it must not stand for the perturbed input's."""
    results = results_of(paged.folder)
    results.rows = results.rows.drop(columns="confidence_perturbed")
    one = Samples(results).events["digits_mlp", "deepfool"]
    assert "now" not in one.columns
    assert "sure" in one.columns
    assert "<b>" in made(paged.folder, results)


def test_nothing_from_records_is_markup(tmp_path):
    """Hostile texts in every place that a stranger's records can fill; artefacts, if there are some, of other names."""
    evil = "</script><img src=x onerror=alert(1)><b>"
    shutil.copytree(REPOSITORY / "results" / "digits", tmp_path / "digits", ignore=shutil.ignore_patterns("*.html"))
    file = tmp_path / "digits" / "plan.json"
    plan = json.loads(file.read_text())
    plan["suite"]["title"] = plan["suite"]["description"] = evil
    plan["dataset"]["classes"] = [evil + str(k) for k in range(10)]
    plan["facts"] = {"digits_cnn": {"origin": evil}}
    plan["suite"]["attacks"][0]["params"] = {"steps": evil}
    file.write_text(json.dumps(plan))
    results = results_of(tmp_path / "digits")
    hash_ = results.cells["hash"].iloc[-1]
    results.heads[hash_] |= {"status": "failed", "reason": f"{evil} `{evil}`"}
    results.rows["sample"] = results.rows["sample"] + evil
    text = made(tmp_path / "digits", results)
    parsed = Parsed(text)
    assert not parsed.faults
    assert not [a for _, a in parsed.tags if "onerror" in a]
    assert text.count("onerror") > 5  # it is there, as text
    assert len(parsed.of("script")) == 2
    assert data_of(text)["classes"][3] == evil + "3"


def test_a_page_links_to_the_other_parts_of_its_suite():
    folder = REPOSITORY / "results" / "fooling"
    results = results_of(folder)
    tables = results, leaderboard(results), explanations(results), extras(results), curves(results)
    links = [a.get("href") for a in Parsed(page(*tables, others=["fooling-mnist"])).of("a")]
    assert "../fooling-mnist/report.html" in links
    assert not [link for link in links if link.startswith("..") and "mnist" not in link]


# -- what a suite is about, in words and at a glance -----------------------------------------------------------


def glance_of(name: str) -> tuple[pd.DataFrame, dict[str, dict[str, list[str]]]]:
    """The tracked leaderboard, and title of each chart to name of each strip to its texts."""
    results, board = _loaded(name)
    return board, {
        one.title: {strip.name: [text for _, text, *_ in strip.marks] for strip in one.strips}
        for one in glances(results, board)
    }


@pytest.mark.parametrize(
    ("suite", "strip", "column"),
    [
        ("structural", "rotation-translation-average at 5", "mean_acc_rotation-translation-average_5"),
        ("structural", "rotation-translation-random at 5", "robust_acc_rotation-translation-random_5"),
        ("physical", "rp2-bars", "fooled_rp2-bars"),
        ("fooling", "noise", "fooling_99_noise"),
        ("shortcuts", "border-masked", "robust_acc_border-masked"),
        ("clever_hans", "watermark", "flip_rate_watermark"),
        ("stripes", "conflict", "reliance_conflict"),
        ("stripes", "along-false", "structure_l2_along-false"),
    ],
)
def test_a_suite_without_a_headline_shows_what_its_attacks_are_about(suite, strip, column):
    """Oracle: the tracked leaderboard.csv, whose columns these are; beside them the clean accuracy."""
    board, charts = glance_of(suite)
    strips = {name: texts for chart in charts.values() for name, texts in chart.items()}
    assert [float(text) for text in strips[strip]] == pytest.approx(list(board[column]), abs=6e-4)
    assert [float(text) for text in strips["no attack"]] == pytest.approx(list(board["clean_acc"]), abs=6e-4)


def test_a_glance_says_which_way_is_better():
    charts = glance_of("stripes")[1]
    assert "Predictions that follow the false structure (lower is better)" in charts
    assert "Accuracy (higher is better)" in charts
    assert "lower is better" in glances(*_loaded("mri_sweep"))[0].series[0][1]  # amplification


def test_many_models_have_a_chart_a_measure_and_a_headline_has_its_own():
    board, charts = glance_of("mri_details")
    assert len(board) > 6
    hide = charts["Contrast of the lesion (higher is better): hide at 0.05"]
    assert [float(text[0].replace("−", "-")) for text in hide.values()] == pytest.approx(
        list(board["contrast_hide_0.05"]), abs=6e-4
    )
    headline = glances(*_loaded("digits"))
    assert len(headline) == 1
    assert [look for look, _ in headline[0].series] == ["clean", "worst"]


@lru_cache
def _loaded(name: str) -> tuple[Results, pd.DataFrame]:
    folder = REPOSITORY / "results" / name
    return results_of(folder), pd.read_csv(folder / "leaderboard.csv")


def test_words_and_footnotes_are_those_of_the_leaderboard(tracked):
    """One source: what ``leaderboard.md`` says of places and flags stands on the page too, letter by letter."""
    folder, text = tracked
    board, parsed = Leaderboard.of(results_of(folder)), Parsed(text)
    said = " ".join(piece for pieces in parsed.texts.values() for piece in pieces)
    assert board.places
    assert bool(board.notes) == (folder.name in {"digits", "mri_details"})
    for line in (*board.places, *board.pairs, *board.checks):
        assert line in said
    assert [a["id"] for a in parsed.of("li") if "id" in a] == [f"flag-{note.number}" for note in board.notes]
    for note in board.notes:
        models = {model for model, _ in note.found}
        assert all(model in said and words.replace("`", "") in said for model, words in note.found)
        assert text.count(f'href="#flag-{note.number}"') == len(models)
    assert "<em>" not in said  # emphasis in a caption is no text


def test_samples_of_a_task_without_verdicts_are_sorted_worst_first():
    """By amplification; what perturbs nothing (all norms 0) has no cell: it measures the network alone."""
    samples = Samples(results_of(REPOSITORY / "results" / "mri_sweep"))
    assert samples.events
    for one in samples.events.values():
        assert one.by == "amp"
        assert one.columns["amp"] == sorted(one.columns["amp"], reverse=True)
    results, first = results_of(REPOSITORY / "results" / "mri_sweep"), samples.attacks[0].view.name
    results.rows.loc[results.rows["probe"] == first, ["norm_l2", "norm_linf"]] = 0.0
    still = {key.partition("@")[0] for _, key in Samples(results).events}
    assert still == {each.view.name for each in samples.attacks} - {first}


def test_an_unknown_folder_writes_nothing(workplace):
    done = workplace.assay("report", "tiny", "--html", code=2)
    assert "no records" in done.stderr
    assert not (workplace.root / "results").exists()


# -- pieces --------------------------------------------------------------------------------------------------


def test_bars_lie_where_the_interval_is():
    table = pd.DataFrame({"m": ["a", "b"], "x": [2.0, 4.0], "x_low": [1.0, 3.0], "x_high": [3.0, 8.0]})
    grid = of_frame("t", table)
    assert [head.key for head in grid.heads] == ["m", "x"]
    assert [(c.low, c.high, c.at) for c in (row[1] for row in grid.rows)] == [(12.5, 37.5, 25), (37.5, 100, 50)]
    assert scale(table["x_low"] / 8, table["x_high"] / 8) == (0, 1)
    open_ = of_frame("t", table.assign(x=np.nan)).rows[0][1]
    assert (open_.sort, open_.at, open_.text) == ("", None, "1.000 to 3.000?")


def test_change_and_its_factor_give_the_perturbation_back():
    clean, delta = np.full((1, 4, 4), 0.5), np.linspace(-0.1, 0.1, 16).reshape(1, 4, 4)
    shown, factor = change(clean, clean + delta)
    assert factor == 5
    np.testing.assert_allclose((shown - 0.5) / factor, delta, atol=1e-12)
    same, one = change(clean, clean)
    assert (same == 0.5).all()
    assert one == 1


def pixels(uri: str):
    import base64
    import io

    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_maps_are_blue_below_zero_and_red_above():
    uri, top = diverging(np.array([[-2.0, 0.0], [1.0, 2.0]]))
    found = pixels(uri)
    assert top == 2
    assert tuple(found[0, 0]) == (5, 48, 97)
    assert tuple(found[0, 1]) == (247, 247, 247)
    assert tuple(found[1, 1]) == (103, 0, 31)
    assert found[1, 0, 0] > found[1, 0, 2]
    assert (pixels(diverging(np.zeros((2, 2)))[0]) == 247).all()


def test_a_picture_holds_the_pixels_it_was_given():
    values = np.arange(12).reshape(3, 2, 2) / 11
    np.testing.assert_array_equal(pixels(picture(values)), np.rint(255 * values.transpose(1, 2, 0)))


def test_the_outline_goes_around_the_mask():
    """A block of 1 x 2 pixels at row 1, column 1: its perimeter is 6, every edge on its border."""
    mask = np.zeros((4, 4), bool)
    mask[1, 1:3] = True
    edges = set(re.findall(r"M\d+ \d+[hv]1", outline(mask)))
    assert edges == {"M1 1h1", "M2 1h1", "M1 2h1", "M2 2h1", "M1 1v1", "M3 1v1"}
