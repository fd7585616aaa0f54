"""What is said of a table's numbers. Oracle: records written by hand, counted on paper; every format agrees."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from benchmark.cli.console import table_console
from benchmark.cli.tables import print_leaderboard
from benchmark.intervals import wilson
from benchmark.report.compare import compare
from benchmark.report.curves import curves
from benchmark.report.extras import extras
from benchmark.report.formats import said
from benchmark.report.leaderboard import Leaderboard
from benchmark.report.page.build import page
from benchmark.report.page.glance import glances
from benchmark.report.text import number
from tests.report.test_leaderboard import L2_MINIMAL, Made, pgd


class Text(HTMLParser):
    """The words of a page, without style and script."""

    def __init__(self):
        super().__init__()
        self.words, self.skipped = [], False

    def handle_starttag(self, tag, attrs):
        self.skipped = tag in ("style", "script")

    def handle_data(self, data):
        if not self.skipped:
            self.words.append(data)


def words(html):
    parser = Text()
    parser.feed(html)
    return " ".join("".join(parser.words).split())


def formats(made, capsys):
    """The leaderboard as every format shows it; LaTeX without its escapes."""
    results, board = made.results, made.board
    lead = Leaderboard.of(results, board)
    whole = page(results, board, made.explained, extras(results), curves(results))
    console = table_console()
    print_leaderboard(console, lead)
    for line in said(lead):
        console.print(line, markup=False)
    latex = re.sub(r"\{?\\scriptsize |[{}\\$]", "", lead.to_latex())
    return {
        "terminal": " ".join(capsys.readouterr().out.split()),
        "markdown": " ".join(lead.to_markdown().split()),
        "latex": " ".join(latex.split()),
        "html": words(whole),
        "notebook": words(lead._repr_html_()),
        "json": " ".join(json.dumps(json.loads(lead.to_json()), ensure_ascii=False).split()),
        "file": " ".join((made.store.folder / "leaderboard.md").read_text().split()),
    }


def reported(made):
    made.board = made.report().reset_index()
    return made


@pytest.fixture
def fewer(tmp_path):
    """Two models; PGD on all 40 samples, the strong attack on the first 10. The last 20 are wrong from the start."""
    attacks = [pgd("1/10"), pgd("1/10", name="strong", samples=10)]
    made = Made(tmp_path, ("a", "b"), chunks=(20, 20), attacks=attacks, threat={"norm": "linf", "eps": "1/10"})
    for model, broken in (("a", 4), ("b", 5)):
        made.clean(model, [1] * 20, [0] * 20)
        made.attack(model, "pgd", "1/10", [None] * 20, [None] * 20)
        made.attack(model, "strong", "1/10", [0.1] * broken + [None] * (10 - broken))
    return reported(made)


def test_every_rate_carries_its_own_n(fewer, capsys):
    row = fewer.board.set_index("model").loc["a"]
    assert (row["clean_acc"], row["n"]) == (0.5, 40)
    assert (row["robust_acc_pgd_0.1"], row["robust_acc_strong_0.1"]) == (0.5, 0.6)
    assert (row["n_robust_acc_strong_0.1"], row["n_robust_acc_worst"], row["n_asr_strong_0.1"]) == (10, 10, 10)
    assert (row["robust_acc_worst_low"], row["robust_acc_worst_high"]) == pytest.approx(wilson(6, 10))
    assert "n_robust_acc_pgd_0.1" not in row.index
    scope = "Over 10 of the 40 samples: strong."
    ranks = "robust_acc_worst and the ranks are over 10 of the 40 samples"
    value = number(*row[["robust_acc_worst", "robust_acc_worst_low", "robust_acc_worst_high"]])
    for name, text in formats(fewer, capsys).items():
        assert scope in text, name
        assert ranks in text, name
        if name == "json":
            continue
        shown = text if name != "html" else text.replace("0.600 n 10", f"{value} (n 10)")
        assert f"{value} (n 10)" in shown, name


def test_a_pair_at_a_glance_is_of_the_same_samples(fewer):
    """On the ten that both are asked of, the model was right on all; over all forty on half."""
    glance = glances(fewer.results, fewer.board)[0]
    assert [text for _, text, *_ in glance.strips[0].marks] == ["1.000", "0.600"]
    assert [said for _, said in glance.series] == [
        "no attack, on the same 10 samples",
        "worst case over all attacks within linf 1/10, over the 10 samples that all were asked for",
    ]


def test_where_every_probe_has_every_sample_nothing_is_said(tmp_path, capsys):
    made = Made(tmp_path, chunks=(10,), attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "1/10"})
    made.clean("a", [1] * 10)
    made.attack("a", "pgd", "1/10", [0.1] * 4 + [None] * 6)
    reported(made)
    for text in formats(made, capsys).values():
        assert "(n 10)" not in text
        assert "Over 10 of" not in text


def test_one_sample_has_no_interval_in_any_format(tmp_path, capsys):
    deepfool = {"name": "deepfool", "use": "deepfool", "threat": L2_MINIMAL}
    made = Made(tmp_path, chunks=(1,), attacks=[pgd("1/10"), deepfool], threat={"norm": "linf", "eps": "1/10"})
    made.clean("a", [1])
    made.attack("a", "pgd", "1/10", [0.1])
    made.attack("a", "deepfool", None, [0.5], norm="l2")
    reported(made)
    row = made.board.iloc[0]
    bounds = [name for name in row.index if name.endswith(("_low", "_high"))]
    assert row[bounds].isna().all()
    assert np.isnan(row["median_l2_deepfool"])
    assert row["n_median_l2_deepfool"] == 1
    areas = pd.read_csv(made.store.folder / "curve_area.csv")
    assert areas[["area_low", "area_high"]].isna().all().all()
    for name, text in formats(made, capsys).items():
        assert "No interval (one sample): every number of a." in text, name
        assert "Blank (fewer than 6 successes): median_l2_deepfool of a." in text, name
        assert "nan" not in text.replace("nan ", "").lower() or name == "json", name


def test_one_group_has_no_interval(tmp_path, capsys):
    """Thirty samples of one patient say nothing of another one."""
    made = Made(tmp_path, chunks=(30,), attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "1/10"})
    made.clean("a", [1] * 25 + [0] * 5, group=[["p"] * 30])
    made.attack("a", "pgd", "1/10", [0.1] * 5 + [None] * 25)
    reported(made)
    row = made.board.iloc[0]
    assert row["clean_acc"] == pytest.approx(25 / 30)
    assert row[[name for name in row.index if name.endswith(("_low", "_high"))]].isna().all()
    points = pd.read_csv(made.store.folder / "curves.csv")
    assert points[["low", "high"]].isna().all().all()
    for name, text in formats(made, capsys).items():
        assert "No interval (one group): every number of a." in text, name


def test_groups_widen_rates_differences_and_curves(tmp_path):
    intervals = []
    for name, groups in (("alone", None), ("grouped", [[f"p{k // 6}" for k in range(60)]])):
        made = Made(
            tmp_path / name, ("a", "b"), chunks=(60,), attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "0.1"}
        )
        for model, right in (("a", 42), ("b", 30)):
            made.clean(model, [1] * right + [0] * (60 - right), group=groups)
            made.attack(model, "pgd", "1/10", [0.1] * 12 + [None] * 48)
        reported(made)
        found = [made.board.loc[0, f"{c}_high"] - made.board.loc[0, f"{c}_low"] for c in ("clean_acc", "asr_pgd_0.1")]
        found += [row.high - row.low for row in compare(made.results, "a", "b")]
        at = curves(made.results).points.query("model == 'a' and eps == 0.1").iloc[0]
        intervals.append([*found, at["high"] - at["low"]])
    assert all(grouped > 1.5 * alone for alone, grouped in zip(*intervals, strict=True))


def test_norms_of_few_are_not_compared(tmp_path):
    deepfool = {"name": "deepfool", "use": "deepfool", "threat": L2_MINIMAL}
    made = Made(tmp_path, ("a", "b"), chunks=(10,), attacks=[deepfool])
    for model, n in (("a", 5), ("b", 8)):
        made.clean(model, [1] * 10)
        made.attack(model, "deepfool", None, [1.0 + k for k in range(n)] + [None] * (10 - n), norm="l2")
    reported(made)
    line = next(row for row in compare(made.results, "a", "b") if "norm" in row.quantity)
    assert line.words == "not compared: the attack breaks both on 5 samples, fewer than 6"
    assert np.isnan(line.difference)
