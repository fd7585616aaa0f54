"""What the Ray engine costs a cell, on a Ray of its own on this machine (``-m speed``).

Oracle: the clock and the resident memory of this process. The machine may be noisy: measured is the best of two
repeats, and a run's time goes from the first finished cell to the last, so that starting does not count.
"""

from __future__ import annotations

import gc
import os

import psutil
import pytest

from benchmark.registry import include
from benchmark.schedule.request import Options
from tests.conftest import REPOSITORY
from tests.speed.test_scheduling import SUITE, crowd, timed

pytestmark = [pytest.mark.speed, pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(autouse=True)
def _here(workplace, monkeypatch):
    include([REPOSITORY / "tests" / "toys" / "nothing_attack.py"])
    monkeypatch.chdir(workplace.root)
    workplace.suite("empty", SUITE.replace('["0.1"]', '["0.10", "0.11", "0.12"]'))


def test_marginal_cost_of_a_cell_on_ray_is_below_8_ms(workplace, record_property, capsys):
    """2,000 short cells: seconds a cell between the first that ended and the last, planning's share included.

    The local engine runs a quarter of them in between.
    """
    best = {"ray": 9e9, "local": 9e9}
    for repeat in range(2):
        for engine, limit in (("ray", 500), ("local", 125)):
            options = Options(limit=limit, workers=1, out=workplace.root / f"{engine}{repeat}", engine=engine)
            clock, planning, running = timed(options)
            assert len(clock.times) == 4 * limit
            best[engine] = min(best[engine], (planning + running) / (4 * limit) * 1e3)
    record_property("ms_a_cell", best["ray"])
    with capsys.disabled():
        print(f"\nms a cell: { ({k: round(v, 2) for k, v in best.items()}) }, load {os.getloadavg()[0]:.1f}")
    assert best["ray"] < 8 * crowd()


def test_memory_of_the_driver_is_flat(workplace, record_property, capsys):
    """Resident memory of this process, the driver, after runs of 50, 150 and 500 samples (200, 600 and 2,000 cells)."""
    found = {}
    for limit in (50, 150, 500):
        timed(Options(limit=limit, workers=1, out=workplace.root / f"m{limit}", engine="ray"))
        gc.collect()
        found[limit] = psutil.Process().memory_info().rss / 1e6
    grown = found[500] - found[150]
    record_property("mb_grown", grown)
    with capsys.disabled():
        print(f"\nMB of the driver after runs of so many samples: { ({k: round(v) for k, v in found.items()}) }")
    assert grown < 60
