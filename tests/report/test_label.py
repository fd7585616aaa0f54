"""The label. Oracle: the tables that ``assay report`` wrote (parsed here anew), records made by hand, huggingface_hub.

The property: no number stands in a sentence that is not in its records.
"""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from math import floor, isnan
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from benchmark.errors import NoRecordsError, UnknownNameError
from benchmark.report.label import badge, card, shapes
from benchmark.report.label.build import label, labelled
from benchmark.report.label.html import html
from benchmark.report.label.markdown import markdown
from benchmark.report.label.untested import CLASSIFICATION, RECONSTRUCTION, missing, tried
from benchmark.report.label.write import FORMS, write_label
from tests.conftest import REPOSITORY
from tests.report.test_leaderboard import Made, pgd

RESULTS = REPOSITORY / "results"
LABELS = {
    "pneumonia_cnn_pool": (),
    "digits_cnn": ("evaluation", "explanations", "fooling"),
    "digits_mlp": ("universal",),
    "gtsrb_cnn": (),
    "digits_watermarked": (),
    "stripes_cnn": (),
    "unet": (),
}
CONSTANT = {"100", "95", "255", "256"}  # of the words: "of 100", "95 % interval", "255 grey steps", "256 grey values"
DIGITS = re.compile(r"(?<![\w.-])-?\d+(?:,\d{3})*(?:\.\d+)?")


@pytest.fixture(scope="module")
def made():
    return {model: label(model, RESULTS, suites) for model, suites in LABELS.items()}


def rows(suite, file="leaderboard.csv"):
    return list(csv.DictReader(io.StringIO((RESULTS / suite / file).read_text())))


def hundredths(value):
    return floor(100 * value + 0.5 + 1e-9)


def tokens(text):
    return DIGITS.findall(re.sub(r"`[^`]*`", "", text))


@pytest.mark.parametrize("model", LABELS)
def test_every_number_of_a_sentence_is_one_of_its_records(made, model):
    for sentence in [*made[model].sentences, made[model].verdict]:
        assert sentence.sources, sentence.text
        assert all(source.cells for source in sentence.sources), sentence.text
        known = {token for number in sentence.numbers for token in tokens(number.text)} | CONSTANT
        assert set(tokens(sentence.text)) <= known, sentence.text


@pytest.mark.parametrize("model", LABELS)
def test_numbers_are_those_of_the_leaderboard(made, model):
    checked = 0
    for sentence in [*made[model].sentences, made[model].verdict]:
        boards = [next(r for r in rows(s.suite) if r["model"] == model) for s in sentence.sources]
        for number in sentence.numbers:
            if number.column.startswith("("):
                continue
            known = [board for board in boards if number.column in board]
            values = [1 - float(b[number.column]) if number.turned else float(b[number.column]) for b in known]
            same = [i for i, v in enumerate(values) if number.value == pytest.approx(v, rel=2e-5, abs=2e-6)]
            assert same, (sentence.text, number, values)
            n = known[same[0]].get(f"n_{number.column}", known[same[0]]["n"])
            assert number.text in written(values[same[0]], n), (sentence.text, number)
            checked += 1
    assert checked >= 8


def written(value, n):
    """Every honest way to write a number of the table."""
    if isnan(value):
        return set()
    ways = {str(hundredths(value)), f"{100 * value:.1f}", f"{100 * value:.2g}", f"{value:.2g}", f"{100 * value:.0f}"}
    ways |= {f"{round(value):,}", str(round(value * float(n)))}
    if 0 < value < 1:  # never 0 or 100 of a value that is neither: bounds of intervals may be
        ways |= {"fewer than 1"} if hundredths(value) == 0 else {"more than 99"} if hundredths(value) == 100 else set()
    return ways


@pytest.mark.parametrize("model", ["pneumonia_cnn_pool", "digits_cnn"])
def test_the_chart_is_that_of_the_curves(made, model):
    """Of each row of the chart: leaderboard.csv, or the point of curves.csv over every attack together."""
    curves = 0
    for bar in made[model].bars:
        if bar.column.startswith("(curve"):
            _, norm, eps = bar.column.strip("()").split()
            at = float(eval(eps))
            points = [r for r in rows(bar.source.suite, "curves.csv") if r["model"] == model and r["norm"] == norm]
            points = [r for r in points if r["attack"] == "worst" and float(r["eps"]) == pytest.approx(at, abs=1e-6)]
            found = float(points[0]["robust_acc"])
            curves += 1
        else:
            found = float(next(r for r in rows(bar.source.suite) if r["model"] == model)[bar.column])
        assert bar.estimate.value == pytest.approx(found, abs=1e-5)
    assert curves >= 3


def test_the_label_of_pneumonia_cnn_pool(made):
    """Numbers copied by hand from results/pneumonia/leaderboard.csv and results/shortcuts/leaderboard.csv."""
    text = " ".join(sentence.text for sentence in made["pneumonia_cnn_pool"].sentences)
    assert "Changing no pixel by more than 8 of 255 grey steps" in text
    assert "turns 64 of 100 right answers wrong (95 % interval 57 to 70; 188 images)" in text  # 0.638298
    assert "turns 20 of 100 right answers wrong (95 % interval 15 to 26; 188 images)" in text  # 0.196809
    assert "random noise of that same size turns 0 of 100 right answers wrong (95 % interval 0 to 2" in text
    assert "Turning the image by up to 18 degrees and shifting it by up to 6 %" in text  # severity 3
    assert "covers 4.4 % of the image" in text  # 0.0444
    assert "it is right on 51 of 100 (95 % interval 47 to 54; 600 images) with the rest painted in black" in text
    assert (
        "77 of 100 (95 % interval 74 to 81; 600 images) with the rest painted in the image's own average grey" in text
    )
    assert "no check that we trust" in text
    assert made["pneumonia_cnn_pool"].verdict.text.startswith("Right on 94 of 100 ordinary images; on 76 of 100 once")


def test_structural_words_say_what_the_families_do():
    from benchmark.attacks._families import FAMILIES

    end = {"rotation-translation": lambda h, low: [h[0], 100 * h[1]], "scale": lambda h, low: [h[0]]}
    end |= {"shear": lambda h, low: [h[0]], "brightness": lambda h, low: [100 * h[0]], "fog": lambda h, low: [h[0]]}
    end |= {
        "contrast": lambda h, low: [100 * low[0]],
        "gamma": lambda h, low: [2 ** h[0]],
        "jpeg": lambda h, low: [low[0]],
    }
    end |= {"blur": lambda h, low: [100 * h[0]], "occlusion": lambda h, low: [100 * h[0]]}
    for name, family in FAMILIES.items():
        for severity in range(1, 6):
            low, high = family.box(severity)
            assert shapes.alteration(name, severity)[1] == pytest.approx(end[name](high, low)), name


# -- what was not tested -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suites", [("pneumonia", "shortcuts"), ("pneumonia",), ("shortcuts",)])
def test_not_tested_is_the_complement(suites):
    every = labelled("pneumonia_cnn_pool", RESULTS, suites)
    left = {threat.key for threat in missing(every)}
    found = {threat.key for threat in CLASSIFICATION if any(tried(tested, threat) for tested in every)}
    assert left | found == {threat.key for threat in CLASSIFICATION}
    assert not left & found
    of_pneumonia = {"linf", "l2", "noise", "structural:rotation-translation", "patch"}
    of_shortcuts = {"regions"}
    assert found == (of_pneumonia if "pneumonia" in suites else set()) | (
        of_shortcuts if "shortcuts" in suites else set()
    )


def test_everything_that_a_suite_asks_is_known_as_a_threat(made):
    """Control: the tracked results leave nothing of reconstruction untested for unet; and the text follows the keys."""
    assert not missing(labelled("unet", RESULTS)), [t.key for t in RECONSTRUCTION]
    said = next(s.text for s in made["gtsrb_cnn"].sentences if s.text.startswith("Not tested on this model:"))
    for threat in CLASSIFICATION:
        assert (threat.words in said) == (threat.key not in ("patch", "physical"))
    assert "whether explanations of its answers are true" in said


# -- records made by hand ----------------------------------------------------------------------------------


def linf(tmp_path, **more):
    return Made(tmp_path, chunks=(60, 60), attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "1/10"}, **more)


def texts(found):
    return [sentence.text for sentence in found.sentences]


def test_a_model_without_attacks(tmp_path):
    made = Made(tmp_path, chunks=(60, 60))
    made.clean("a", [1] * 60, [1] * 30 + [0] * 30)
    made.report()
    found = label("a", tmp_path)
    assert found.verdict.text == "Right on 75 of 100 ordinary images."
    assert badge.words(found) == "75 of 100 right; attacks not tested"
    untested = next(text for text in texts(found) if text.startswith("Not tested on this model:"))
    assert all(threat.words in untested for threat in CLASSIFICATION)
    assert not found.at("deliberate")


def test_missing_and_failed_cells_leave_bounds(tmp_path):
    made = linf(tmp_path)
    made.clean("a", [1] * 60, [1] * 60)
    made.attack("a", "pgd", "1/10", [0.1] * 30 + [None] * 30, "failed")
    made.report()
    found = label("a", tmp_path)
    attacked = found.at("deliberate")[0].text
    assert "turns between 25 and 75 of 100 (60 of the images have no valid verdict) right answers wrong" in attacked
    assert "on between 25 and 75 of 100 once" in found.verdict.text
    unfinished = next(text for text in texts(found) if "count for nothing here" in text)
    assert unfinished.startswith("In `made`, of 4 steps planned for this model 1 failed;")
    page, readme = html(found), markdown(found)
    assert "<b>boom" not in page  # the reason of a failed cell, which anybody may have written
    assert "&lt;b&gt;boom" in page
    assert r"\<b\>boom" in readme
    assert r"\[link\]" in readme


def test_a_flagged_claim_is_not_plain(tmp_path):
    made = linf(tmp_path)
    for chunk in range(2):
        right = np.ones(60, bool)
        rows = {"label": np.zeros(60, int), "pred_clean": np.zeros(60, int), "correct": right, "check_softmax": right}
        made.cell("clean", "a", chunk, rows)
    made.attack("a", "pgd", "1/10", [0.1] * 3 + [None] * 57, [None] * 60)
    made.report()
    found = label("a", tmp_path)
    assert found.at("first")[0].text.startswith("In `made` the test itself is in doubt: the model gives probabilities")
    assert "; on at most 98 of 100 once" in found.verdict.text
    assert all("in doubt" in s.text for s in found.at("deliberate") if "right answers wrong" in s.text)
    assert "100 → at most 98 of 100" in badge.words(found)
    page = html(found)
    assert page.index("Read this first") < page.index('class="verdict"')
    assert found.metrics[1]["args"]["in_doubt"] == ["softmax-output"]


def test_names_are_escaped(tmp_path):
    made = linf(tmp_path)
    made.plan["dataset"]["classes"] = ["<script>alert(1)</script>", "a_b*c*|[x](y)"]
    made.clean("a", [1] * 60, [1] * 60)
    made.attack("a", "pgd", "1/10", [0.1] * 60, [None] * 60)
    made.report()
    found = label("a", tmp_path)
    assert "<script" not in html(found)
    assert "&lt;script&gt;" in html(found)
    assert r"a\_b\*c\*\|\[x\](y)" in markdown(found)


# -- files -------------------------------------------------------------------------------------------------


def test_same_records_same_bytes_and_the_date_is_a_record_s(made, tmp_path):
    again = label("gtsrb_cnn", RESULTS)
    first = [file.read_bytes() for file in write_label(made["gtsrb_cnn"], tmp_path / "one")]
    assert first == [file.read_bytes() for file in write_label(again, tmp_path / "two")]
    assert len(first) == len(FORMS)
    assert again.date == max(source.date for source in again.sources)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]+Z", again.date)


@pytest.mark.parametrize("model", LABELS)
def test_markdown_and_page_name_every_record(made, model):
    page, readme = html(made[model]), markdown(made[model])
    for i, source in enumerate(made[model].sources, 1):
        assert f'id="r{i}"' in page
        assert f"[^{i}]: `{source.suite}`" in readme
        assert all(cell in page and rows in page for cell, rows in source.cells)
    assert set(re.findall(r'href="#(r\d+)"', page)) == set(re.findall(r'id="(r\d+)"', page))
    assert set(re.findall(r"\[\^(\d+)\](?!:)", readme)) == set(re.findall(r"^\[\^(\d+)\]:", readme, re.MULTILINE))


@pytest.mark.parametrize("model", LABELS)
def test_the_badge_is_an_image_twice(made, model):
    drawn = ElementTree.fromstring(badge.svg(made[model]))
    assert drawn.find("{*}title").text == f"assay, {model}: {badge.words(made[model])}"
    picture = Image.open(io.BytesIO(badge.png(made[model])))
    picture.load()
    assert picture.size == tuple(badge.SCALE * int(drawn.get(side)) for side in ("width", "height"))
    right = picture.getpixel((picture.width - 9, 9))[:3]
    assert "#{:02x}{:02x}{:02x}".format(*right) == badge.colour(made[model])


def test_badges_say_average_and_worst(made):
    said = {model: badge.words(found) for model, found in made.items()}
    assert said["pneumonia_cnn_pool"].startswith(
        "94 → 76 of 100 right once changed on purpose (each pixel by at most 4"
    )
    assert said["gtsrb_cnn"].startswith("20 of 20 right; one sticker on 3.4 % of the image turns 64 of 100")
    assert said["digits_watermarked"].endswith("turns 15 of 100 other images into 8")
    assert said["unet"].endswith("under the worst noise")


@pytest.mark.parametrize("model", ["pneumonia_cnn_pool", "digits_cnn", "unet"])
def test_huggingface_hub_reads_the_card(made, model, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

    (tmp_path / "README.md").write_text(card.card(made[model]) + markdown(made[model]))
    index = hub.metadata_load(tmp_path / "README.md")["model-index"]
    name, results = model_index_to_eval_results(index)
    assert name == model
    assert eval_results_to_model_index(name, results) == index == card.model_index(made[model])
    assert results
    for result in results:
        row = next(r for r in rows(result.metric_args["suite"]) if r["model"] == model)
        column = result.metric_args["column"]
        for part, value in (("", result.metric_value), *((f"_{e}", result.metric_args[e]) for e in ("low", "high"))):
            assert value == pytest.approx(float(row[column + part]), rel=1e-5)
        assert result.verified is None
    assert hub.ModelCard.load(tmp_path / "README.md").data.eval_results == results


# -- the command -------------------------------------------------------------------------------------------


def test_unknown_models_and_models_without_records(tmp_path):
    with pytest.raises(UnknownNameError, match="pneumonia_cnn_pool"):
        label("pneumonia_cnn_poll", RESULTS)
    with pytest.raises(NoRecordsError, match="no records of digits_mlp in clever_hans"):
        label("digits_mlp", RESULTS, ["clever_hans"])
    with pytest.raises(UnknownNameError, match="physical"):
        label("gtsrb_cnn", RESULTS, ["physicl"])
    with pytest.raises(NoRecordsError):
        label("digits_mlp", tmp_path)


def test_the_command(tmp_path):
    def assay(*args):
        command = [sys.executable, "-m", "benchmark.cli.main", "label", *args, "--out", str(RESULTS)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    done = assay("gtsrb_cnn", "--format", "md")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(f"label: {Path('labels/gtsrb_cnn/label.md')}")
    assert "What was not tested" in done.stdout
    assert sorted(path.name for path in (tmp_path / "labels" / "gtsrb_cnn").iterdir()) == ["label.md"]
    unknown = assay("gtsrb_cn")
    assert unknown.returncode == 2
    assert "gtsrb_cnn" in unknown.stderr
    assert assay("gtsrb_cnn", "--format", "pdf").returncode == 2


# -- in a browser ------------------------------------------------------------------------------------------


def test_in_a_browser(made, tmp_path):
    """No console message, no request but the file, no sideways scroll on a phone; both badges look alike."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = Path("/usr/bin/chromium")
    if not chromium.is_file():
        pytest.skip("no chromium")
    write_label(made["pneumonia_cnn_pool"], tmp_path)
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800}, device_scale_factor=badge.SCALE)
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "label.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.locator(".chart li").count() == len(made["pneumonia_cnn_pool"].bars)
        page.locator("a[href='#r1']").first.click()
        assert page.evaluate("document.querySelector('#r1').getBoundingClientRect().top") < 800
        assert (said, asked) == ([], [(tmp_path / "label.html").as_uri()])
        page.set_viewport_size({"width": 1200, "height": 200})
        page.set_content(f"<body style='margin:0'>{(tmp_path / 'badge.svg').read_text()}")
        drawn = page.locator("svg").screenshot()
        browser.close()
    one, other = (Image.open(file).convert("L") for file in (io.BytesIO(drawn), tmp_path / "badge.png"))
    assert one.size == other.size
    inside = np.s_[12:-12, 12:-12]  # the PNG's corners are transparent
    assert np.abs(np.asarray(one, float)[inside] - np.asarray(other, float)[inside]).mean() < 12
