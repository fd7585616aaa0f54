"""What a report shows of reconstructions, on a small suite that was run.

Oracles: the kept arrays against the records' numbers; with one coil and unitary FFTs ||A^H e|| = eps ||y||; means
counted from the rows; the same bytes twice, and the same tables in a clone.
"""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from benchmark.drawing.panels import Sheet, percent, window
from benchmark.mri.arrays import magnitude
from benchmark.mri.attacks.details_tables import choose as choose_details
from benchmark.mri.attacks.details_tables import extras as details
from benchmark.mri.masks import MaskSpec, make_mask, mask_digest
from benchmark.mri.report.worst import _by_median, _Kept, choose
from benchmark.report.extras import extras
from benchmark.report.write import write_report
from benchmark.results.base import Results
from benchmark.results.task import TaskView
from benchmark.spec.budget import Budget
from benchmark.store.folder import Store
from tests.conftest import Workplace
from tests.test_architecture import watched

MODEL = """
from torch import nn


class Network(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, y, physics):
        weights = y.new_ones(y.shape)
        weights[..., 5, 6] = self.gain  # far from the centre: little is there to amplify on clean input
        return physics.A_adjoint(y * weights)


def build(gain=1.0):
    return Network(gain)
"""

SUITE = """
task = "reconstruction"
task_params = { mask = { kind = "vd2d", fraction = 0.6, seed = 3 }, against = "tv" }
entries = ["zero_filled", "tv", "loud", "loud_seed1", "loud_jitter"]

[dataset]
use = "phantoms"
size = 16
samples = 5
params = { train = 4, val = 2, test = 8 }

[threat]
norm = "l2"
eps = "0.1"
domain = "measurement"

[run]
chunk = 5
keep_inputs = "all"

[[attacks]]
name = "worst"
use = "measurement-l2"
budgets = ["0.02", "0.1"]
params = { steps = 4, starts = 1 }

[[attacks]]
name = "random"
use = "measurement-noise"
budgets = ["0.02", "0.1"]

[[attacks]]
name = "details"
use = "details"
params = { details = [{ kind = "text", size = 5, contrast = 0.5 }, { kind = "lesion", size = 3, contrast = 0.2 }] }

[[attacks]]
name = "sampling"
use = "sampling"
params = { fractions = [0.2, 0.6], mask = { kind = "vd2d", fraction = 0.6, seed = 3 } }
"""

SMALL, LARGE = Budget.parse("1/50"), Budget.parse("1/10")
ENTRIES = {"zero_filled": 1.0, "tv": 1.0, "loud": 9.0, "loud_seed1": 8.0, "loud_jitter": 3.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The results folder of the suite, run once."""
    place = Workplace(tmp_path_factory.mktemp("pictures"))
    for name, gain in ENTRIES.items():
        entry = place.root / "baselines" / name
        entry.mkdir()
        (entry / "model.py").write_text(MODEL)
        (entry / "entry.toml").write_text(
            f'name = "{name}"\ntask = "reconstruction"\ndataset = "phantoms"\ninput_shape = [2, 16, 16]\n'
            f'output = "image"\nfactory = "model:build"\nkwargs = {{ gain = {gain} }}\n'
            + ('facts = { seed_of = "loud" }\n' if name == "loud_seed1" else "")
        )
    place.suite("heads", SUITE)
    place.assay("run", "heads", "--workers", 1, timeout=900)
    return place.root / "results" / "heads"


@pytest.fixture(scope="module")
def results(folder):
    return Results(Store(folder))


@pytest.fixture(scope="module")
def view(results):
    return TaskView(results)


def kept(folder):
    """Every table and picture by name."""
    files = [*folder.glob("*.csv"), *folder.glob("*.md"), *folder.glob("figures/*.png")]
    return {file.name: file.read_bytes() for file in files}


def test_every_entry_has_its_figure_and_the_report_no_fault(folder, view):
    found = extras(view.results)
    assert found.faults == []
    wanted = {f"worst_{name}" for name in ENTRIES}
    wanted |= {"error_against_budget", "amplification", "masks", "details", "sampling"}
    assert set(found.figures) == wanted
    assert wanted == {file.stem for file in (folder / "figures").glob("*.png")}
    assert wanted <= set(found.captions)


@pytest.mark.long
def test_the_same_bytes_twice(folder):
    before = kept(folder)
    write_report(folder)
    assert kept(folder) == before


def test_a_clone_has_the_same_tables_and_keeps_the_pictures(folder, tmp_path):
    before = kept(folder)
    for name in ("plan.json", "records.parquet"):
        shutil.copy(folder / name, tmp_path)
    shutil.copytree(folder / "figures", tmp_path / "figures")
    *_, found = write_report(tmp_path)
    assert not [stem for stem in found.figures if stem.startswith(("worst_", "details"))]
    assert kept(tmp_path) == before


@pytest.mark.long
def test_a_report_loads_no_torch(folder):
    place = folder.parents[1]
    assert watched("report", "heads", cwd=place, cache=place / "cache") == "exit 0 heavy []"


@pytest.mark.parametrize("model", list(ENTRIES))
def test_numbers_of_a_figure_are_those_of_its_pixels(view, model):
    case = choose(view, _Kept(view, model), None if model == "tv" else _Kept(view, "tv"))
    assert case.budgets == (None, SMALL, LARGE)
    assert len(case.own) == 3
    assert len(case.theirs) == (0 if model == "tv" else 3)
    norm = np.linalg.norm(case.truth)
    for shown in (*case.own, *case.theirs):
        np.testing.assert_allclose(np.linalg.norm(shown.output - case.truth) / norm, shown.error, rtol=1e-5)
    arrays, at = _Kept(view, model).clean(case.sample)
    y = np.linalg.norm(arrays["measured"][at][:2])
    for shown, eps in zip(case.own, (0, 0.02, 0.1), strict=True):
        np.testing.assert_allclose(np.linalg.norm(shown.change), eps * y, rtol=1e-4)
        if eps:
            moved = np.linalg.norm(shown.output - case.own[0].output) / (eps * y)
            np.testing.assert_allclose(moved, shown.amplification, rtol=1e-3)


def test_the_figure_shows_the_largest_error_of_the_attacks_and_not_the_control(view):
    case = choose(view, _Kept(view, "loud"), None)
    rows = {probe.name: probe.rows("loud", LARGE).set_index("sample")["rel_err"] for probe in view.probes[:2]}
    assert case.own[2].error == pytest.approx(rows["worst"][case.sample])
    assert rows["worst"][case.sample] > 1.3 * rows["random"][case.sample]


def test_the_image_is_that_of_the_median_score(view):
    """Five images: the median is one of them."""
    rows = view.headline()[0].rows("loud", LARGE).set_index("sample")["amp_ratio"]
    assert rows[next(_by_median(view, "loud"))] == rows.median()
    assert choose(view, _Kept(view, "loud"), None).sample == next(_by_median(view, "loud"))


def test_what_was_not_kept_is_passed_over(view):
    """Control: without one image's clean artefact the next nearest to the median is shown."""
    order = list(_by_median(view, "loud"))
    own = _Kept(view, "loud")
    arrays = dict(view.kept("loud"))
    own.cache["", None] = {key: values[arrays["samples"] != order[0]] for key, values in arrays.items()}
    assert choose(view, own, None).sample == order[1]


def test_details_are_means_of_the_rows(view, results):
    probe = next(each for each in view.probes if each.name == "details")
    table = details([probe]).tables["details"].set_index("model")
    assert list(table.columns) == ["text_5_px_0.5", "lesion_3_px_0.2", "local_ssim", "contrast_absent"]
    assert list(table.index) == list(ENTRIES)
    for model in ENTRIES:
        rows = results.rows[(results.rows["probe"] == "details") & (results.rows["model"] == model)]
        assert len(rows) == 10
        for column, at in (("text_5_px_0.5", 0), ("lesion_3_px_0.2", 1)):
            assert table.loc[model, column] == pytest.approx(rows[rows["view"] == at]["contrast"].mean())
        assert table.loc[model, "local_ssim"] == pytest.approx(rows["local_ssim"].mean())
        assert table.loc[model, "contrast_absent"] == pytest.approx(rows["contrast_absent"].mean())


def test_the_panel_of_details_shows_a_seed_a_network_and_what_was_inserted(view):
    probe = next(each for each in view.probes if each.name == "details")
    panel = choose_details(probe)
    assert list(panel.shown) == ["zero_filled", "tv", "loud", "loud_jitter"]
    assert "`loud_seed1`" in details([probe]).captions["details"]
    kept = probe.artefact("loud")
    for row, (image, recovery) in enumerate(panel.shown["loud"]):
        at = np.flatnonzero((kept["samples"] == panel.sample) & (kept["views"] == row))[0]
        np.testing.assert_allclose(image, magnitude(kept["outputs"][at]))
        rows = probe.rows("loud")
        own = rows[(rows["sample"] == panel.sample) & (rows["view"] == row)]
        assert recovery == pytest.approx(own["contrast"].item())
        top, left, height, width = panel.boxes[row]
        outside = np.ones((16, 16), bool)
        outside[max(top, 0) : top + height, max(left, 0) : left + width] = False
        truth = magnitude(kept["truth"][at])
        np.testing.assert_allclose(panel.originals[row][outside], truth[outside], rtol=1e-6)
        assert np.abs(panel.originals[row] - truth).max() > 0.1


def test_masks_can_be_made_again_from_the_table(folder):
    table = pd.read_csv(folder / "masks.csv")
    assert list(table["used_by"]) == ["task, sampling", "sampling"]
    assert list(table["fraction"]) == [0.6, 0.2]
    for row in table.itertuples():
        bits = np.frombuffer(bytes.fromhex(row.bits[2:]), np.uint8)
        mask = np.unpackbits(bits)[: row.height * row.width].reshape(row.height, row.width).astype(bool)
        spec = MaskSpec(kind=row.kind, fraction=row.fraction, seed=row.seed, centre=row.centre, decay=row.decay)
        np.testing.assert_array_equal(mask, make_mask(spec, (16, 16)))
        assert row.sha256 == mask_digest(mask)
        assert row.measured == pytest.approx(mask.mean(), abs=1e-6)


def test_without_a_headline_there_are_masks_alone(view, monkeypatch):
    monkeypatch.setattr(TaskView, "eps", "")
    found = view.results.task.extras(view)
    assert list(found.figures) == ["masks"] == list(found.tables)


# -- sheets ------------------------------------------------------------------------------------------------


def test_a_window_holds_everything_but_a_few_far_outliers():
    even = np.linspace(0, 0.311, 1000)
    found = window([even])
    assert (found.top, found.beyond, found.largest) == (pytest.approx(0.32), 0, pytest.approx(0.311))
    found = window([even, np.array([5.0])])
    assert (found.top, found.largest) == (pytest.approx(0.32, abs=0.011), 5)
    assert 1 / 1001 <= found.beyond <= 0.005
    assert window([np.zeros(4)]).top == 1


def test_a_share_is_never_rounded_away():
    assert [percent(share) for share in (0, 0.0004, 0.123)] == ["0.0 %", "less than 0.1 %", "12.3 %"]


@pytest.mark.parametrize(("size", "panel"), [((32, 32), (192, 192)), ((16, 32), (192, 96)), ((320, 320), (320, 320))])
def test_a_pixel_of_an_image_is_a_whole_number_of_the_sheets(size, panel):
    """(H, W) of an image to (width, height) of its panel."""
    assert Sheet(size, 1, 1).panel == panel
