"""The house: floors, circles, private names, faces without torch, who names whom; and how fast it starts.

The oracle is the design: cli > api > validate > report > results > wings > schedule > tasks > (attacks, explainers,
metrics) > (models, data) > (store, drawing, reported) > (spec, registry, seeds, ...) > errors. Imports for types count
as well.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "benchmark"
WINGS = ("mri",)
FLOORS = (
    ("errors",),
    ("spec", "registry", "seeds", "resources", "files", "code", "intervals", "inputs"),
    ("store", "drawing", "reported", "sentences", "accounts", "stats"),
    ("models", "data"),
    ("attacks", "explainers", "metrics"),
    ("tasks", "meta"),
    ("schedule",),
    WINGS,
    ("results",),
    ("report",),
    ("validate",),
    ("api",),
    ("cli",),
)
LEVEL = {part: level for level, floor in enumerate(FLOORS) for part in floor}
# Rooms that do not know each other: a report reads records and nothing that made them; the core names no wing.
STRANGERS = {
    ("report", "schedule"),
    ("results", "schedule"),
    *((part, wing) for part in LEVEL for wing in WINGS if part != wing),
}

LIBRARIES = (
    "torch",
    "torchvision",
    "foolbox",
    "eagerpy",
    "torchattacks",
    "art",
    "adv_lib",
    "captum",
    "zennit",
    "quantus",
    "deepinv",
    "sigpy",
)
HEAVY = (*LIBRARIES, "sklearn", "matplotlib")
# Parts that plan, list, status and report go through: no torch there, not even in helpers.
TORCH_FREE = (
    "cli",
    "errors",
    "intervals",
    "registry",
    "report",
    "reported",
    "resources",
    "results",
    "seeds",
    "sentences",
    "accounts",
    "stats",
    "spec",
    "store",
    "validate",
)


def part_of(name: str) -> str:
    """The part of the package that a module's dotted name belongs to; the package itself is the public API."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LEVEL else "api"


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


@cache
def parsed(source: str) -> ast.Module:
    """The same files are looked at by many tests."""
    return ast.parse(source)


@cache
def text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def imports(tree: ast.AST, module: str, *, top_only: bool = False) -> list[tuple[int, str]]:
    """(line, dotted name) of each import, also for types; with ``top_only`` those executed at import time alone."""
    found: list[tuple[int, str]] = []
    for node in ast.iter_child_nodes(tree):
        if top_only and is_type_checking(node):
            found += [pair for child in node.orelse for pair in imports(child, module, top_only=top_only)]
        elif top_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        elif isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *([base] if base else [])])
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
        else:
            found += imports(node, module, top_only=top_only)
    return found


def module_of(file: Path) -> str:
    """Dotted name of a file; a package's is its ``__init__``, so that one level of dots means the same for both."""
    return ".".join(("benchmark", *file.relative_to(PACKAGE).with_suffix("").parts))


def upward(source: str, module: str) -> list[str]:
    """Imports of the module's source that leave its floor upward, or go to a stranger on the same floor."""
    mine = part_of(module)
    faults = []
    for line, name in imports(parsed(source), module):
        if name.split(".")[0] != "benchmark":
            continue
        theirs = part_of(name)
        if LEVEL[theirs] > LEVEL[mine] or (mine, theirs) in STRANGERS:
            faults.append(f"{module}:{line} ({mine}) imports {name} ({theirs})")
    return faults


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_part_has_a_floor():
    parts = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in FILES}
    assert parts - {"__init__"} == set(LEVEL)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_nothing_imports_upward(file):
    """No exceptions: none is needed today."""
    assert upward(text_of(file), module_of(file)) == []


@pytest.mark.parametrize(
    ("module", "source", "count"),
    [
        ("benchmark.store.x", "from benchmark.data.base import Dataset", 1),
        ("benchmark.store.x", "def f():\n    if 1:\n        import benchmark.schedule.run", 1),
        ("benchmark.store.x", "class A:\n    try:\n        from ..tasks import base\n    except ImportError: ...", 1),
        ("benchmark.store.__init__", "from ..tasks import base", 1),
        ("benchmark.errors", "from . import registry", 1),
        ("benchmark.data.x", "from benchmark import run_cell", 1),
        ("benchmark.report.x", "from benchmark.schedule.plan import Plan", 1),
        ("benchmark.store.x", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import benchmark.cli.main", 1),
        ("benchmark.cli.x", "from benchmark.mri.masks import MaskSpec", 1),
        ("benchmark.mri.x", "from benchmark.mri.masks import MaskSpec\nimport benchmark.tasks.base", 0),
        ("benchmark.models.x", "from benchmark.data.base import Batch\nfrom .entries import Entry\nimport torch", 0),
        ("benchmark.cli.x", "from benchmark import run\nimport benchmark_of_others", 0),
    ],
)
def test_the_check_sees_what_it_should(module, source, count):
    """Control: made-up sources with a known number of faults."""
    assert len(upward(source, module)) == count


def heavy_at_top(file: Path, names: tuple[str, ...]) -> list[str]:
    module = module_of(file)
    found = imports(parsed(text_of(file)), module, top_only=True)
    return [f"{module}:{line} imports {name}" for line, name in found if name.split(".")[0] in names]


MODULES = {module_of(file).removesuffix(".__init__"): file for file in FILES}


def known(name: str) -> str:
    """The module that a dotted name lies in."""
    while name not in MODULES and "." in name:
        name = name.rpartition(".")[0]
    return name


def circle(edges: dict[str, set[str]]) -> list[str]:
    """A circle among modules, empty where there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_there_is_no_circle():
    """Of all imports: at import time, inside functions, for types."""
    edges: dict[str, set[str]] = defaultdict(set)
    for module, file in MODULES.items():
        named = imports(parsed(text_of(file)), module_of(file))
        edges[module] = {known(name) for _, name in named if name.startswith("benchmark.")} - {module}
    assert circle(edges) == []


def test_the_search_sees_a_circle():
    """Control."""
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()})) == {"a", "b", "c"}


def private(source: str, module: str) -> list[str]:
    """Imports of another room's private names."""
    return [
        f"{module}:{line} imports {name}"
        for line, name in imports(parsed(source), module)
        if name.startswith("benchmark.")
        and part_of(name) != part_of(module)
        and any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
    ]


def test_no_room_imports_anothers_private_names():
    files = {module_of(file): text_of(file) for file in FILES}
    assert [fault for module, source in files.items() for fault in private(source, module)] == []
    assert len(private("from benchmark.data.base import _x", "benchmark.cli.x")) == 1, "control"


def test_no_module_hides_behind_an_underscore():
    """What needs torch is not said by a name: the declaration is its folder's face."""
    assert [str(file) for file in FILES if file.name.startswith("_") and file.name != "__init__.py"] == []


FACES = (
    "benchmark.attacks.base",
    "benchmark.data.base",
    "benchmark.explainers.base",
    "benchmark.metrics.base",
    "benchmark.tasks.base",
    *(f"benchmark.{wing}.plugins" for wing in WINGS),
)
REGISTRIES = ("attacks", "data.datasets", "explainers", "metrics", "tasks")
LOADED = """
import importlib, sys
for name in {modules!r}:
    importlib.import_module(name)
for name in {registries!r}:
    room, _, attribute = name.partition(".")
    getattr(importlib.import_module("benchmark." + room + ".base"), attribute or room).load()
print([name for name in {heavy!r} if name in sys.modules])
"""


def loaded(modules: list[str], heavy: tuple[str, ...] = HEAVY, registries: tuple[str, ...] = ()) -> str:
    """Heavy libraries that a fresh interpreter has loaded after importing these modules and filling the registries."""
    code = LOADED.format(modules=modules, heavy=heavy, registries=registries)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    return done.stdout.strip() or done.stderr


def test_faces_load_no_heavy_library():
    """Every plugin of every registry is declared, wings included, and nothing that computes is there."""
    assert loaded(list(FACES), registries=REGISTRIES) == "[]"


def test_report_store_and_spec_load_no_torch():
    modules = [
        name for name in MODULES if part_of(name) in ("report", "results", "validate", "store", "spec", "drawing")
    ]
    assert len(modules) > 40
    assert loaded(modules, LIBRARIES) == "[]"
    assert loaded(["benchmark.models.wrap"], LIBRARIES) == "['torch']", "control"


@pytest.mark.parametrize("part", TORCH_FREE)
def test_parts_that_need_no_torch(part):
    files = [file for file in FILES if part_of(module_of(file)) == part]
    assert files
    assert [fault for file in files for fault in heavy_at_top(file, LIBRARIES)] == []


WATCHED = """
import sys
sys.argv = ["assay", *sys.argv[1:]]
from benchmark.cli.main import main
code = 0
try:
    main()
except SystemExit as stop:
    code = stop.code
heavy = [name for name in {libraries!r} if name in sys.modules]
print("exit", code, "heavy", heavy, file=sys.stderr)
"""


def watched(*args: str, cwd: Path, cache: Path, before: str = "") -> str:
    """Last line on stderr of one command in a process of its own: its exit code and the heavy libraries it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", before + WATCHED.format(libraries=LIBRARIES), *args],
        cwd=cwd,
        env={**os.environ, "ASSAY_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "run --help",
        "show digits",
        "run digits --dry-run --no-estimate",
        "list suites",
        "list entries",
        "list datasets",
        "list attacks",
        "list explainers",
        "list metrics",
    ],
)
def test_planning_and_listing_load_no_torch(command, tmp_path):
    """With an empty cache, so that reading a dataset's labels and digest is among it."""
    assert watched(*command.split(), cwd=tmp_path, cache=tmp_path / "cache") == "exit 0 heavy []"


@pytest.mark.long
def test_after_a_run_nothing_loads_torch(workplace, tmp_path, monkeypatch):
    """Attack cells alone, so that the report and the comparison also meet results without a single score."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("ASSAY_CACHE", str(cache))
    workplace.assay("run", "tiny", "--only", "fgsm", "--workers", 1)
    for command in (("status", "tiny"), ("report", "tiny"), ("compare", "tiny", "one", "two")):
        assert watched(*command, cwd=workplace.root, cache=cache) == "exit 0 heavy []", command
    again = watched("run", "tiny", "--only", "fgsm", cwd=workplace.root, cache=cache)
    assert again == "exit 0 heavy []", "a finished run"


def test_the_watch_sees_torch(tmp_path):
    """Control: torch loaded in the same way is reported."""
    seen = watched("show", "digits", cwd=tmp_path, cache=tmp_path, before="import torch")
    assert seen == "exit 0 heavy ['torch']"


def test_help_is_quick():
    """Best of five, since other processes share the machine."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "benchmark.cli.main", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5, f"assay --help took {min(seconds):.2f} s at best"


# -- the report names nobody ---------------------------------------------------------------------------------------

REPORT = [file for file in FILES if part_of(module_of(file)) in ("results", "report", "validate")]
PLAIN = {"random", "constant", "identity", "details", "shift", "sampling", "folder", "npz", "npy", "patch", "universal"}
BORROWED = {"benchmark.drawing.looks"}  # how lines look, which pictures of attacks and curves share


def constants(source: str) -> set[str]:
    return {
        node.value
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def switches(source: str) -> list[int]:
    """Lines that ask for a task's kind."""
    found = []
    for node in ast.walk(parsed(source)):
        asked = (
            isinstance(node, ast.Attribute)
            and node.attr in ("verdicts", "images")
            and "task" in ast.unparse(node.value)
        )
        kind = isinstance(node, ast.Compare) and ast.unparse(node.left).endswith((".task", ".output", ".inputs"))
        if asked or kind:
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("file", REPORT, ids=module_of)
def test_no_plugin_is_named_in_the_report(file):
    """Whole quoted strings; names that are words of their own (``PLAIN``) say nothing of whom they mean."""
    from benchmark.attacks.base import attacks
    from benchmark.data.base import datasets
    from benchmark.explainers.base import explainers
    from benchmark.metrics.base import metrics
    from benchmark.tasks.base import tasks

    known = {name for registry in (attacks, datasets, explainers, metrics, tasks) for name in registry.classes()}
    assert (known - PLAIN) & constants(text_of(file)) == set()


def test_the_report_asks_for_the_kind_of_a_task_in_few_places():
    found = [f"{module_of(file)}:{line}" for file in REPORT for line in switches(text_of(file))]
    assert len(found) <= 4, found


@pytest.mark.parametrize("file", REPORT, ids=module_of)
def test_the_report_imports_nothing_private_of_other_rooms(file):
    module = module_of(file)
    names = [name for _, name in imports(parsed(text_of(file)), module)]
    private = [
        n for n in names if n.startswith("benchmark.") and any(part.startswith("_") for part in n.split(".")[2:])
    ]
    others = [n for n in private if part_of(n) != part_of(module) and not n.startswith(tuple(BORROWED))]
    assert [n for n in others if not n.endswith(".__version__")] == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("if results.task.verdicts: ...", 1),
        ("x = self.task.images and task.verdicts", 2),
        ("if spec.output == 'image': ...", 1),
        ("if results.task.inputs != IMAGE: ...", 1),
        ("from benchmark.meta import verdicts\nverdicts.verdict(1)", 0),
    ],
)
def test_switches_are_seen(source, count):
    """Control: made-up sources with a known number of switches."""
    assert len(switches(source)) == count
