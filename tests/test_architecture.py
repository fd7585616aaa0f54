"""The floors of the house and what may be imported where (property: every import statement), and how fast it starts.

The oracle is the design: cli > (schedule, report, api) > tasks > (attacks, explainers, metrics) > (models, data) >
mri > store > (spec, registry, seeds, resources, intervals) > errors. What is under ``if TYPE_CHECKING:`` binds nothing.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "benchmark"
FLOORS = (
    ("errors",),
    (
        "spec",
        "registry",
        "seeds",
        "resources",
        "files",
        "code",
        "intervals",
        "reported",
        "sentences",
        "accounts",
        "stats",
    ),
    ("store",),
    ("mri",),
    ("models", "data"),
    ("attacks", "explainers", "metrics"),
    ("tasks", "meta"),
    ("schedule", "report", "api"),
    ("cli",),
)
LEVEL = {part: level for level, floor in enumerate(FLOORS) for part in floor}
# Rooms of one floor that still do not know each other: a report reads records and nothing that made them.
STRANGERS = {("schedule", "report"), ("report", "schedule"), ("schedule", "api"), ("report", "api")}

LIBRARIES = (
    "torch",
    "torchvision",
    "foolbox",
    "eagerpy",
    "torchattacks",
    "captum",
    "zennit",
    "quantus",
    "deepinv",
    "sigpy",
)
HEAVY = (*LIBRARIES, "sklearn", "matplotlib")
PLUGIN_PACKAGES = ("attacks", "data", "explainers", "metrics", "tasks")
# Parts that plan, list, status and report go through: no torch there, not even in helpers.
TORCH_FREE = (
    "cli",
    "errors",
    "intervals",
    "registry",
    "report",
    "reported",
    "resources",
    "seeds",
    "sentences",
    "accounts",
    "stats",
    "spec",
    "store",
)


def part_of(name: str) -> str:
    """The part of the package that a module's dotted name belongs to; the package itself is the public API."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LEVEL else "api"


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(tree: ast.AST, module: str, *, top_only: bool = False) -> list[tuple[int, str]]:
    """(line, dotted name) of each import that is executed; with ``top_only`` those at import time alone."""
    found: list[tuple[int, str]] = []
    for node in ast.iter_child_nodes(tree):
        if is_type_checking(node):
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
    for line, name in imports(ast.parse(source), module):
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
    assert upward(file.read_text(encoding="utf-8"), module_of(file)) == []


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
        ("benchmark.store.x", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import benchmark.cli.main", 0),
        ("benchmark.models.x", "from benchmark.data.base import Batch\nfrom .entries import Entry\nimport torch", 0),
        ("benchmark.cli.x", "from benchmark import run\nimport benchmark_of_others", 0),
    ],
)
def test_the_check_sees_what_it_should(module, source, count):
    """Control: made-up sources with a known number of faults."""
    assert len(upward(source, module)) == count


def heavy_at_top(file: Path, names: tuple[str, ...]) -> list[str]:
    module = module_of(file)
    found = imports(ast.parse(file.read_text(encoding="utf-8")), module, top_only=True)
    return [f"{module}:{line} imports {name}" for line, name in found if name.split(".")[0] in names]


@pytest.mark.parametrize("part", PLUGIN_PACKAGES)
def test_plugin_declarations_import_no_heavy_library(part):
    """Modules that ``assay list`` imports: each without a leading underscore in a plugin package."""
    files = [file for file in (PACKAGE / part).glob("*.py") if not file.name.startswith("_")]
    assert files
    assert [fault for file in files for fault in heavy_at_top(file, HEAVY)] == []


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


def test_after_a_run_nothing_loads_torch(workplace, tmp_path):
    """Attack cells alone, so that the report and the comparison also meet results without a single score."""
    cache = tmp_path / "cache"
    ran = watched("run", "tiny", "--only", "fgsm", cwd=workplace.root, cache=cache)
    assert ran.startswith("exit 0")
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

REPORT = [file for file in FILES if part_of(module_of(file)) == "report"]
PLAIN = {"random", "constant", "identity", "details", "shift", "sampling", "folder", "npz", "npy", "patch", "universal"}
BORROWED = {"benchmark.attacks._looks"}  # how lines look, which pictures of attacks and curves share


def constants(source: str) -> set[str]:
    return {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def switches(source: str) -> list[int]:
    """Lines that ask for a task's kind."""
    found = []
    for node in ast.walk(ast.parse(source)):
        asked = (
            isinstance(node, ast.Attribute)
            and node.attr in ("verdicts", "images")
            and "task" in ast.unparse(node.value)
        )
        kind = isinstance(node, ast.Compare) and ast.unparse(node.left).endswith((".task", ".output"))
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
    assert (known - PLAIN) & constants(file.read_text(encoding="utf-8")) == set()


def test_the_report_asks_for_the_kind_of_a_task_in_few_places():
    found = [f"{module_of(file)}:{line}" for file in REPORT for line in switches(file.read_text(encoding="utf-8"))]
    assert len(found) <= 6, found


@pytest.mark.parametrize("file", REPORT, ids=module_of)
def test_the_report_imports_nothing_private_of_other_rooms(file):
    module = module_of(file)
    names = [name for _, name in imports(ast.parse(file.read_text(encoding="utf-8")), module)]
    private = [
        n for n in names if n.startswith("benchmark.") and any(part.startswith("_") for part in n.split(".")[2:])
    ]
    others = [n for n in private if part_of(n) != "report" and not n.startswith(tuple(BORROWED))]
    assert [n for n in others if not n.endswith(".__version__")] == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("if results.task.verdicts: ...", 1),
        ("x = self.task.images and task.verdicts", 2),
        ("if spec.output == 'image': ...", 1),
        ("from benchmark.meta import verdicts\nverdicts.verdict(1)", 0),
    ],
)
def test_switches_are_seen(source, count):
    """Control: made-up sources with a known number of switches."""
    assert len(switches(source)) == count
