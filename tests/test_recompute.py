"""What is computed again after which change: one thing changed at a time, and the cells whose hash is another one.

The table stands in docs/records.md; ``python -m tests.test_recompute`` writes it. Oracle: the plan before and after.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.registry import include
from benchmark.schedule.plan import Plan
from benchmark.schedule.planner import make_plan
from benchmark.schedule.request import Options, planned_entries, resolve
from benchmark.schedule.watcher import Watcher
from benchmark.spec.cell import Cell
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "records.md"
START, END = "<!-- recompute: start -->\n", "<!-- recompute: end -->\n"
SUITE = """
entries = ["local", "on_path"]
seed = 1
[dataset]
use = "folder"
path = "data"
split = "test"
size = 8
channels = 1
samples = 8
[run]
chunk = 4
[[attacks]]
name = "pgd"
use = "foolbox:LinfPGD"
budgets = ["0.1", "0.2"]
params = { steps = 10, rel_stepsize = 0.25 }
[[attacks]]
name = "noise"
use = "noise-linf"
budgets = ["0.1"]
[[explainers]]
name = "saliency"
use = "saliency"
[[explainers]]
name = "smooth"
use = "smoothgrad"
[[metrics]]
name = "rank"
use = "relevance-rank-accuracy"
[[metrics]]
name = "sparse"
use = "sparseness"
"""
ENTRY = 'name = "{0}"\ninput_shape = [1, 8, 8]\nclasses = ["a", "b"]\nfactory = "{1}"\ndescription = "x"\n'
NET = "from torch import nn\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))\n"


def put(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def build(root: Path) -> None:
    """A suite on a folder with masks and groups, one entry with its own code, one whose factory lies on the path."""
    put(root, "suites/small.toml", SUITE)
    put(root, "baselines/local/entry.toml", ENTRY.format("local", "model:build"))
    put(root, "baselines/local/model.py", NET)
    put(root, "baselines/local/scale.json", "1")
    put(root, "baselines/on_path/entry.toml", ENTRY.format("on_path", "recompute_pkg.nets:build"))
    put(root, "recompute_pkg/__init__.py", "SCALE = 1\n")
    put(root, "recompute_pkg/nets.py", NET)
    rows = ["file,mask,patient"]
    for k in range(8):
        name = f"test/{'ab'[k % 2]}/{k}.png"
        for place, value in ((name, 10 * k + 5), (f"m/{k}.png", 255)):
            (root / "data" / place).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), value, np.uint8)).save(root / "data" / place)
        rows.append(f"{name},m/{k}.png,p{k // 2}")
    put(root, "data/manifest.csv", "\n".join(rows) + "\n")


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new, 1))

    return change


def pixel(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        with Image.open(root / "data" / name) as image:
            values = np.array(image)
        values[0, 0] ^= 255
        Image.fromarray(values).save(root / "data" / name)

    return change


def moved(root: Path) -> None:
    (root / "data").rename(root / "elsewhere")
    edit("suites/small.toml", 'path = "data"', 'path = "elsewhere"')(root)


def suite(old: str, new: str) -> Callable[[Path], None]:
    return edit("suites/small.toml", old, new)


CHANGES: dict[str, Callable[[Path], None] | str] = {
    "a helper file in an entry's folder": edit("baselines/local/scale.json", "1", "2"),
    "`model.py`": edit("baselines/local/model.py", "Flatten()", "Flatten(), nn.ReLU()"),
    "a constant in the package that a factory on the path lies in": edit("recompute_pkg/__init__.py", "1", "2"),
    "an entry's description": edit("baselines/local/entry.toml", '"x"', '"y"'),
    "an entry's mean and std": edit(
        "baselines/local/entry.toml", "input_shape", "preprocessing = {mean = 0.1, std = 1}\ninput_shape"
    ),
    "the order in which an entry names its classes": edit("baselines/local/entry.toml", '["a", "b"]', '["b", "a"]'),
    "one pixel of one image": pixel("test/a/0.png"),
    "one pixel of one mask": pixel("m/0.png"),
    "one group of the manifest": edit("data/manifest.csv", "p0", "p9"),
    "the data moved to another folder": moved,
    "`size` of the grid": suite("size = 8", "size = 16"),
    "`channels`": suite("channels = 1", "channels = 3"),
    "`fit`": suite("size = 8", 'size = 8\nfit = "pad"'),
    "`range`": suite("size = 8", "size = 8\nrange = 100"),
    "`samples`, larger by a chunk": suite("samples = 8", "samples = 4"),
    "`chunk`": suite("chunk = 4", "chunk = 8"),
    "`seed` of the suite": suite("seed = 1", "seed = 2"),
    "a budget added": suite('["0.1", "0.2"]', '["0.1", "0.2", "0.3"]'),
    "a parameter of an attack": suite("steps = 10", "steps = 20"),
    "a parameter of an explainer": suite('use = "smoothgrad"', 'use = "smoothgrad"\nparams = { samples = 3 }'),
    "a parameter of a metric": suite('use = "sparseness"', 'use = "complexity"'),
    "the name of a probe": suite('name = "noise"', 'name = "hiss"'),
    "a time limit, a batch size": suite("chunk = 4", "chunk = 4\ntime_limit = 9\nbatch_size = 2"),
    "the version of foolbox": "foolbox",
    "the version of torch, of NumPy": "numpy",
    "torch's determinism, precision, default dtype": "flags",
    "the dtype of cells": "dtype",
}


@contextmanager
def another_version(name: str):
    from importlib import metadata

    from benchmark.registry import library_version

    real = metadata.version
    library_version.cache_clear()  # asked once a process
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metadata, "version", lambda which: "999" if which == name else real(which))
        yield
    library_version.cache_clear()


@contextmanager
def other_flags():
    import torch

    torch.use_deterministic_algorithms(True)
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_default_dtype(torch.float32)


def planned() -> Plan:
    importlib.invalidate_caches()
    options = Options()
    small = resolve("small", options)
    return make_plan(small, planned_entries(small, options, Watcher()))


def words(before: Plan, after: list[Cell]) -> str:
    """Which cells of a plan are new, in the fewest words that say it."""
    known = {cell.hash for cell in before.cells}
    new = [cell for cell in after if cell.hash not in known]
    kinds = {cell.kind for cell in new} - {"similarity"}
    models, clean = {cell.model for cell in new}, {cell.samples for cell in new if cell.kind == "clean"}
    probes = {cell.probe for cell in new if cell.kind == "attack"}
    budgets = {cell.eps for cell in new if cell.kind == "attack"}
    all_budgets = {cell.eps for cell in after if cell.kind == "attack" and cell.probe in probes}
    said = {
        "nothing": not new,
        "everything": len(new) == len(after),
        "that entry's cells": len(models) == 1 and len(new) == sum(cell.model in models for cell in after),
        "the new chunk's cells": len(clean) == 1,
        "that budget's cells": bool(budgets) and budgets < all_budgets,
        f"that attack's cells ({', '.join(sorted(probes))})": kinds == {"attack"},
        "that metric's scores": kinds == {"score"},
        "its attributions, their scores and likenesses": kinds == {"explain", "score"},
    }
    return next(text for text, holds in said.items() if holds)


def rows(place: Path) -> list[str]:
    """The table: a change, and what it computes again."""
    found = ["| a change of | computes again |", "|---|---|"]
    for k, (name, change) in enumerate(CHANGES.items()):
        root = place / str(k)
        build(root)
        os.chdir(root)
        sys.path.insert(0, str(root))
        try:
            before = planned()
            if name.startswith("`samples`"):  # fewer first: what is new is what a larger number adds
                after = before.cells
                change(root)
                before = planned()
            elif change == "dtype":
                after = [
                    Cell(**{name: getattr(cell, name) for name in Cell.model_fields} | {"dtype": "float64"})
                    for cell in before.cells
                ]
            elif isinstance(change, str):
                with other_flags() if change == "flags" else another_version(change):
                    after = planned().cells
            else:
                change(root)
                after = planned().cells
            found.append(f"| {name} | {words(before, after)} |")
        finally:
            sys.path.remove(str(root))
            for loaded in [m for m in sys.modules if m.partition(".")[0] == "recompute_pkg"]:
                del sys.modules[loaded]
    return found


def test_the_page_says_what_is_computed_again(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    table = PAGE.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    assert table.splitlines() == rows(tmp_path)


def test_an_edit_of_an_included_plugin_computes_its_cells_again(tmp_path, monkeypatch):
    """Also where nobody raised its version; a file beside it that it imports counts."""
    from benchmark.attacks.base import attacks

    monkeypatch.syspath_prepend(str(tmp_path))
    text = (REPOSITORY / "tests/toys/nothing_attack.py").read_text()
    found = set()
    for k, (body, helper) in enumerate((("", "A = 1\n"), ("# edited\n", "A = 1\n"), ("# edited\n", "A = 2\n"))):
        name = f"toy-edited-{k}"
        put(tmp_path, "recompute_helper.py", helper)
        own = text.replace("toy-nothing", name).replace("toy-busy", f"toy-busy-{k}")
        put(tmp_path, f"{k}/mine.py", own.replace("import time\n", "import recompute_helper\nimport time\n") + body)
        include([tmp_path / f"{k}" / "mine.py"])
        found.add(attacks.make(name).implementation().partition("code:")[2])
    assert len(found) == 3


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        os.environ["ASSAY_CACHE"] = str(Path(place) / "cache")
        table = "\n".join(rows(Path(place))) + "\n"
        os.chdir(REPOSITORY)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(before + START + table + END + rest.partition(END)[2], encoding="utf-8")
