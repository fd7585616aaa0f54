"""The label. Oracle: the tables that ``assay report`` wrote (parsed here anew), records made by hand, huggingface_hub.

The property: no number stands in a sentence that is not in its records.
"""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from fractions import Fraction
from math import isnan
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from benchmark.attacks.structural.words import alteration
from benchmark.errors import NoRecordsError, UnknownNameError
from benchmark.report.label import badge, card
from benchmark.report.label.build import label, labelled
from benchmark.report.label.html import html
from benchmark.report.label.markdown import markdown
from benchmark.report.label.untested import hazards, missing, tried
from benchmark.report.label.write import FORMS, write_label
from benchmark.sentences import per_100
from benchmark.spec.budget import Budget
from benchmark.store.folder import Store
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
            area = {f"{100 * values[same[0]]:.0f}"} if number.column.startswith("area_") else set()
            assert number.text in written(values[same[0]], n) | area, (sentence.text, number)
            checked += 1
    assert checked >= 8


def written(value, n):
    """Every honest way to write a number of the table."""
    if isnan(value):
        return set()
    ways = {f"{100 * value:.{digits}f}" for digits in (1, 2, 3)} | {f"{100 * value:.2g}", f"{value:.2g}"}
    ways |= {f"{round(value):,}", str(round(value * float(n)))}
    exact = abs(100 * value - round(100 * value)) < 1e-4  # the table has six digits
    return ways | ({str(round(100 * value))} if exact else set())


@pytest.mark.parametrize("model", ["pneumonia_cnn_pool", "digits_cnn"])
def test_the_chart_is_that_of_the_curves(made, model):
    """Of each row of the chart: leaderboard.csv, or the point of curves.csv over every attack together."""
    curves = 0
    for bar in made[model].bars:
        if bar.column.startswith("(joined"):
            _, norm, eps = bar.column.strip("()").split()
            points = [r for r in rows(bar.source.suite, "curves.csv") if r["model"] == model and r["norm"] == norm]
            points = [r for r in points if r["attack"] == "worst"]
            alone = min(float(r["robust_acc"]) for r in points if float(r["eps"]) <= float(Fraction(eps)) + 1e-9)
            assert bar.estimate.value < alone, "joined with other suites it is worse than alone"
            assert len(bar.sources) > 1
            continue
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
    assert "Changing no pixel by more than 8/255 (8 of 255 grey steps)" in text
    assert "turns 68.6 of 100 right answers wrong (95 % interval 61.0 to 75.4; 188 images)" in text  # 0.68617
    assert "turns 19.7 of 100 right answers wrong (95 % interval 14.4 to 26.3; 188 images)" in text  # 0.196809
    assert "random noise of that same size turns 0 of 100 right answers wrong (95 % interval 0 to 3.5" in text
    assert "Turning the image by up to 18 degrees and shifting it by up to 6 %" in text  # severity 3
    assert "covers 4.4 % of the image" in text  # 0.0444
    assert "it is right on 50.5 of 100 (95 % interval 43.9 to 57.0; 600 images) with the rest painted in black" in text
    assert "77.3 of 100 (95 % interval 73.1 to 81.1; 600 images) with the rest painted in the image's own" in text
    assert "no check that we trust" in text
    assert made["pneumonia_cnn_pool"].verdict.text.startswith(
        "Right on 94 of 100 ordinary images; on 75.5 of 100 (200 images) once"  # not 76: 151 of 200
    )


def test_structural_words_say_what_the_families_do():
    from benchmark.attacks.structural.families import FAMILIES

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
            assert alteration(name, severity)[1] == pytest.approx(end[name](high, low)), name


# -- what was not tested -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suites", [("pneumonia", "shortcuts"), ("pneumonia",), ("shortcuts",)])
def test_not_tested_is_the_complement(suites):
    every = labelled("pneumonia_cnn_pool", RESULTS, suites)
    known = hazards(every[0])
    left = {hazard.key for hazard in missing(every)}
    found = {hazard.key for hazard in known if any(tried(tested, hazard) for tested in every)}
    assert left | found == {hazard.key for hazard in known}
    assert not left & found
    of_pneumonia = {"linf", "l2", "noise", "structural:rotation-translation", "patch"}
    of_shortcuts = {"regions"}
    assert found == (of_pneumonia if "pneumonia" in suites else set()) | (
        of_shortcuts if "shortcuts" in suites else set()
    )


def test_everything_that_a_suite_asks_is_known_as_a_hazard(made):
    """Control: the tracked results leave nothing of reconstruction untested for unet; and the text follows the keys."""
    unet = labelled("unet", RESULTS)
    assert not missing(unet)
    assert len(hazards(unet[0])) >= 8
    said = next(s.text for s in made["gtsrb_cnn"].sentences if s.text.startswith("Not tested on this model:"))
    known = hazards(labelled("gtsrb_cnn", RESULTS)[0])
    assert len(known) >= 23
    for hazard in known:
        assert (hazard.words in said) == (hazard.key not in ("patch", "physical"))
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
    assert all(hazard.words in untested for hazard in hazards(labelled("a", tmp_path)[0]))
    assert not found.at("deliberate")


def test_missing_and_failed_cells_leave_bounds(tmp_path):
    made = linf(tmp_path)
    made.clean("a", [1] * 60, [1] * 60)
    made.attack("a", "pgd", "1/10", [0.1] * 30 + [None] * 30, "failed")
    made.report()
    found = label("a", tmp_path)
    attacked = found.at("deliberate")[0].text
    assert "turns between 25 and 75 of 100 (60 of the images have no valid verdict) right answers wrong" in attacked
    assert "on between 25 and 75 of 100 (120 images) once" in found.verdict.text
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
    assert "; on at most 97.5 of 100 (120 images) once" in found.verdict.text
    assert all("in doubt" in s.text for s in found.at("deliberate") if "right answers wrong" in s.text)
    assert "100 → at most 97.5 of 100" in badge.words(found)
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


# -- suites that are joined --------------------------------------------------------------------------------


def suite_of(folder, name, norms, n=100, probe="pgd", digest="d", entry="e", eps="1/10"):
    """A results folder of one suite: its attack breaks the samples that have a norm, all were right."""
    made = Made(folder / name, chunks=(n,), attacks=[pgd(eps, name=probe)], threat={"norm": "linf", "eps": eps})
    made.store = Store(folder / name)
    made.plan["suite"]["name"] = name
    made.plan["dataset"] |= {"digest": digest, "n": n}
    made.plan["entries"] = {"a": entry}
    made.clean("a", [1] * n)
    made.attack("a", probe, eps, [float(Fraction(eps)) if k in norms else None for k in range(n)])
    made.report()


def test_the_headline_is_the_worst_of_all_suites_of_the_threat_model(tmp_path):
    """Counted on paper: PGD leaves 25 of 100, AutoAttack 13, of which PGD had broken 3; no suite alone left 10."""
    suite_of(tmp_path, "many", set(range(75)))
    suite_of(tmp_path, "strong", {*range(72), *range(75, 90)}, probe="autoattack")
    for suites in ((), ("many", "strong"), ("strong", "many")):
        found = label("a", tmp_path, suites)
        assert found.verdict.text.startswith("Right on 100 of 100 ordinary images; on 10 of 100 (100 images) once")
        assert {source.suite for source in found.verdict.sources} == {"many", "strong"}
    assert label("a", tmp_path, ["strong"]).verdict.text.split("; ")[1].startswith("on 13 of 100 (100 images)")
    assert badge.words(label("a", tmp_path)).startswith("100 → 10 of 100 right")


def test_a_handful_of_images_never_outranks_hundreds_but_is_said(tmp_path):
    suite_of(tmp_path, "large", set(range(200)), n=500)
    suite_of(tmp_path, "small", set(range(20)), n=20, probe="autoattack")  # all of its images, broken before too
    found = label("a", tmp_path)
    assert "on 60 of 100 (500 images) once" in found.verdict.text
    said = [text for text in texts(found) if text.startswith("On fewer images, those of `small`")]
    assert len(said) == 1
    assert "only 0 of 20 (95 % interval 0 to 16.1 of 100; 20 images) are still answered right" in said[0]
    # and where the small one breaks what the large one did not, that counts among the hundreds
    suite_of(tmp_path, "small", set(range(20)), n=20, probe="autoattack")
    suite_of(tmp_path, "large", set(range(10, 210)), n=500)
    assert "on 58 of 100 (500 images) once" in label("a", tmp_path).verdict.text


@pytest.mark.parametrize("other", [{"digest": "other"}, {"entry": "other"}, {"eps": "1/20"}])
def test_other_data_networks_and_budgets_are_not_joined(tmp_path, other):
    """Control: what differs in what was judged is no evidence on this. A smaller budget is: it lies within."""
    suite_of(tmp_path, "one", set(range(40)))
    suite_of(tmp_path, "two", set(range(30, 60)), probe="autoattack", **other)
    text = label("a", tmp_path).verdict.text
    assert ("on 40 of 100" in text) == ("eps" in other)  # 60 broken by either
    assert ("on 60 of 100" in text) == ("eps" not in other)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.755, "75.5"), (0.996, "99.6"), (0.004, "0.4"), (0.9996, "99.96"), (0.0004, "0.04"), (0.4996, "49.96")),
        *((0.5, "50"), (0.0, "0"), (1.0, "100"), (0.76, "76"), (0.29, "29"), (0.57, "57"), (0.638298, "63.8")),
        *((0.9999999, "almost 100"), (1e-7, "just above 0"), (0.5004, "50.04")),
    ],
)
def test_rates_are_not_rounded_across_none_half_and_all(value, text):
    assert per_100(value) == text


@pytest.mark.parametrize(
    ("eps", "text"),
    [
        ("8/255", "8/255"), ("5/255", "5/255"), ("0.1", "0.1"), ("0.031", "0.031"), ("1/3", "85/255"), ("0.5", "0.5"),
        ("255/255", "1"), ("51/255", "0.2"), ("1/7", "1/7"), ("3", "3"), ("1/510", "1/510"),
    ],
)  # fmt: skip
def test_budgets_are_said_as_people_write_them(eps, text):
    assert Budget.parse(eps).words == text
    assert Fraction(text) == Fraction(eps)


def test_one_image_has_no_interval(tmp_path):
    suite_of(tmp_path, "one", {0}, n=1)
    found = label("a", tmp_path)
    ordinary = found.at("ordinary")[0].text
    assert "right on 1 of 1 (no interval: one sample; 1 images)" in ordinary
    for text in (html(found), markdown(found), card.card(found), badge.svg(found)):
        assert "nan" not in text.lower().replace("<nav", "")


def test_average_and_worst_are_of_the_same_images(tmp_path):
    """Where attacks ran on the first ten alone, ordinary images are counted among these ten."""
    attacks = [pgd("1/10", samples=50)]
    made = Made(tmp_path, chunks=(50, 50), attacks=attacks, threat={"norm": "linf", "eps": "1/10"})
    made.clean("a", [1] * 50, [0] * 50)
    made.attack("a", "pgd", "1/10", [0.1] * 10 + [None] * 40)
    made.report()
    text = label("a", tmp_path).verdict.text
    assert text.startswith("Right on 100 of 100 ordinary images; on 80 of 100 (50 images) once")


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
        "94 → 75.5 of 100 right once changed on purpose (each pixel by at most 4/255"
    )
    assert said["gtsrb_cnn"].startswith("20 of 20 right; one sticker on 3.4 % of the image turns 63.9 of 100")
    assert said["digits_watermarked"].endswith("turns 14.6 of 100 other images into 8")
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
