"""README.md, CONTRIBUTING.md and docs/ say what is so: commands, code, suites, entries, tables of keys and plugins.

Oracles: the program itself (each command is run, what is shown must be in its output), and the declarations that the
tables speak of (pydantic models, registries, command line, record). The conventions are in docs/extending.md, "Pages".
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import BaseModel

from benchmark.attacks.base import attacks
from benchmark.attacks.libraries import advlib, foolbox, torchattacks
from benchmark.cli.options import RESULTS
from benchmark.cli.outcome import print_outcome, where_line
from benchmark.data.base import datasets
from benchmark.explainers.base import explainers
from benchmark.meta.page import BEGIN, END, generated
from benchmark.metrics.base import metrics
from benchmark.registry import Family
from benchmark.report.soundness import ORDER as VERDICTS
from benchmark.report.write import write_report
from benchmark.results.heads import COUNTS
from benchmark.schedule.plan import make_attack
from benchmark.schedule.request import Options
from benchmark.spec import entry as entry_spec
from benchmark.spec import suite as suite_spec
from benchmark.spec.toml import validate
from benchmark.store.record import Record
from benchmark.tasks.base import tasks
from tests import warm
from tests.conftest import UNTRACKED

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))) if path.is_file()]
MARK = re.compile(r"^<!--\s*(not run|exit|file|output|with)(?::\s*(.*?))?\s*-->$")
NUMBER = re.compile(r"\b[0-9a-f]{12,}\b|[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
START = '-c "from tests.warm import client; client(\\"$ASSAY_FORKS\\")"' if warm.CAN else "-m benchmark.cli.main"
PRELUDE = f'assay() {{ "$ASSAY_PYTHON" {START} "$@"; }}\npython() {{ "$ASSAY_PYTHON" "$@"; }}\n'


@dataclass
class Block:
    """A fenced block: its language, its text, and the marks (HTML comments) right before it."""

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    found, marks, inside = [], {}, None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if inside is not None:
            if line.rstrip() == "```":
                found.append(inside)
                inside = None
            else:
                inside.text += line + "\n"
        elif line.startswith("```"):
            inside, marks = Block(page, number, line[3:].strip(), "", marks), {}
        elif mark := MARK.match(line.strip()):
            marks[mark[1]] = mark[2] or ""
        elif line.strip():
            marks = {}
    assert inside is None, f"{page.name}:{inside.line}: the block does not end"
    return found


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """(command, lines shown under it); a command goes on after a backslash at the end of a line."""
    found: list[tuple[str, list[str]]] = []
    going_on = False
    for line in block.text.splitlines():
        if going_on:
            found[-1] = (f"{found[-1][0]}\n{line}", found[-1][1])
        elif line.startswith("$ "):
            found.append((line[2:], []))
        elif found:
            found[-1][1].append(line)
        else:
            assert not line.strip(), f"{block.place}: output before any command"
        going_on = (going_on or line.startswith("$ ")) and line.endswith("\\")
    return found


def plain(line: str) -> str:
    return " ".join(NUMBER.sub("#", line).split())


def missing(shown: list[str], real: str) -> str | None:
    """The first shown line that is not in the real output, in order.

    Numbers compare as ``#``, runs of spaces as one; ``...`` stands for anything, alone on a line for any lines.
    """
    rest = [plain(line) for line in real.splitlines()]
    for line in shown:
        if line.strip() in ("", "..."):
            continue
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in plain(line).split("...")))
        at = next((i for i, candidate in enumerate(rest) if pattern.fullmatch(candidate)), None)
        if at is None:
            return line
        rest = rest[at + 1 :]
    return None


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    extra = {"ASSAY_CACHE": str(cache), "ASSAY_PYTHON": sys.executable, "COLUMNS": "160", "OMP_NUM_THREADS": "1"}
    forks = {"ASSAY_FORKS": warm.serve()} if warm.CAN else {}
    return {**os.environ, **extra, **forks, "PYTHONPATH": str(ROOT)}


def call(args: list[str], folder: Path, environment: dict[str, str], code: int, place: str) -> str:
    if warm.CAN and args[:2] == [sys.executable, "-c"]:
        done = warm.run(warm.code, folder, args[2], timeout=240, environment=environment)
    else:
        done = subprocess.run(
            args, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    assert done.returncode == code, f"{place}: exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
    return done.stderr + done.stdout


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_code(page, tmp_path, environment):
    """Every console and python block, in order, in a folder of the page's own."""
    output = ""
    for block in blocks(page):
        if "not run" in block.marks:
            assert block.marks["not run"], f"{block.place}: say why it is not run"
            continue
        if block.marks.get("with") == "results":
            untracked = shutil.ignore_patterns(*UNTRACKED)
            shutil.copytree(ROOT / "results", tmp_path / "results", dirs_exist_ok=True, ignore=untracked)
        if "file" in block.marks:
            file = tmp_path / block.marks["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        elif block.language == "console":
            for command, shown in commands(block):
                code = int(block.marks.get("exit", "0"))
                output = call(
                    ["bash", "-c", PRELUDE + command], tmp_path, environment, code, f"{block.place}: {command}"
                )
                lost = missing(shown, output)
                assert lost is None, f"{block.place}: $ {command}\nhas no line\n{lost}\nin\n{output}"
        elif block.language == "python":
            output = call([sys.executable, "-c", block.text], tmp_path, environment, 0, block.place)
        elif "output" in block.marks:
            lost = missing(block.text.splitlines(), output)
            assert lost is None, f"{block.place}: no line\n{lost}\nin\n{output}"


def test_the_comparison_sees_what_it_should():
    """Control: made-up output."""
    real = "cells 16, known: 0\n│ clean_acc │ 0.975 [0.871, 0.996] │\nseconds 1.5e-05\nend"
    assert missing(["cells 17, known: 3", "│ clean_acc │ ... │", "...", "end"], real) is None
    assert missing(["cells 16, failed: 0"], real) == "cells 16, failed: 0"
    assert missing(["end", "cells 16, known: 0"], real) == "cells 16, known: 0"  # the order counts
    assert missing(["cells"], real) == "cells"  # a whole line, not a part of one


SUITE_BASE = {"entries": [], "dataset": {"use": "digits"}}
ENTRY_BASE = {"name": "x", "input_shape": [1, 8, 8], "factory": "model:build"}
TOML = [block for page in PAGES for block in blocks(page) if block.language == "toml" and "not run" not in block.marks]


@pytest.mark.parametrize("block", TOML, ids=lambda block: block.place)
def test_toml_is_a_suite_or_an_entry(block):
    """Whole files as they are; a fragment within the least that is valid. Plugins of a suite are made, too."""
    data = tomllib.loads(block.text)
    if set(data) <= set(suite_spec.SuiteSpec.model_fields):
        suite = validate(SUITE_BASE | data, suite_spec.SuiteSpec, block.place)
        if "file" not in block.marks:  # a file may name plugins of the page, which a command there includes
            for probe in suite.attacks:
                make_attack(probe, block.place)
            for registry, probes in ((explainers, suite.explainers), (metrics, suite.metrics)):
                for probe in probes:
                    registry.make(probe.use, probe.params)
            datasets.make(suite.dataset.use, suite.dataset.params)
            tasks.make(suite.task, suite.task_params)
    else:
        whole = "format" in data.get("weights", {})  # such a file has no factory
        base = {key: value for key, value in ENTRY_BASE.items() if not (whole and key == "factory")}
        validate(base | data, entry_spec.EntrySpec, block.place)


# -- tables --------------------------------------------------------------------------------------------------------


def rows_under(page: str, heading: str) -> list[dict[str, str]]:
    """The rows of the first table under a heading, by the names of its columns; code marks are taken off."""
    text = (DOCS / page).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"docs/{page} has no heading {heading!r}"
    lines: list[str] = []
    for line in rest.splitlines():
        if line.startswith("|"):
            lines.append(line)
        elif lines or line.startswith("#"):
            break
    cells = [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]
    assert cells, f"docs/{page}, {heading}: no table"
    return [{name: value.replace("`", "") for name, value in zip(cells[0], row, strict=True)} for row in cells[2:]]


def default(info) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel):
        return "–"
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return f"{len(value)} of them"
    return json.dumps(list(value) if isinstance(value, tuple) else value)


KEYS = [
    ("suites.md", "### The suite itself", suite_spec.SuiteSpec),
    ("suites.md", "### `[dataset]`", suite_spec.DatasetSpec),
    ("suites.md", "### `[threat]`", suite_spec.ThreatSpec),
    ("suites.md", "### `[run]`", suite_spec.RunSpec),
    ("suites.md", "### `[[attacks]]`", suite_spec.AttackProbe),
    ("suites.md", "### `[[explainers]]`", suite_spec.ExplainerProbe),
    ("suites.md", "### `[[metrics]]`", suite_spec.MetricProbe),
    ("suites.md", "### `[explaining]`", suite_spec.ExplainingSpec),
    ("suites.md", "### `[[published]]`", suite_spec.Published),
    ("entries.md", "### The entry itself", entry_spec.EntrySpec),
    ("entries.md", "### `[preprocessing]`", entry_spec.Preprocessing),
    ("entries.md", "### `[weights]`", entry_spec.Weights),
    ("entries.md", "### `[recipe]`", entry_spec.Recipe),
    ("entries.md", "### `[recipe.data]`", entry_spec.RecipeData),
]


@pytest.mark.parametrize(("page", "heading", "model"), KEYS, ids=lambda value: getattr(value, "__name__", None))
def test_every_key_with_its_default(page, heading, model):
    shown = {row["key"]: row["default"] for row in rows_under(page, heading)}
    assert shown == {name: default(info) for name, info in model.model_fields.items()}


def test_no_model_of_the_spec_is_left_out():
    models = {
        cls
        for module in (suite_spec, entry_spec)
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, entry_spec.Strict) and cls is not entry_spec.Strict
    }
    assert models == {model for _, _, model in KEYS}


def own(registry) -> dict[str, type]:
    return {name: cls for name, cls in registry.classes().items() if cls.__module__.startswith("benchmark.")}


def parameters(cls) -> str:
    fields = {name: info for name, info in cls.model_fields.items() if name not in ("member", "path")}
    return ", ".join(f"{name} = {default(info)}" for name, info in fields.items()) or "–"


def yes(value: bool) -> str:
    return "yes" if value else ""


@pytest.mark.parametrize(
    ("registry", "page"),
    [(attacks, "attacks.md"), (explainers, "explainers.md"), (metrics, "metrics.md"), (datasets, "data.md")],
    ids=["attacks", "explainers", "metrics", "datasets"],
)
def test_every_plugin_with_its_parameters(registry, page):
    shown = {row["use"]: row["parameters"] for row in rows_under(page, f"## The {registry.kind}s")}
    expected = {name + (":<Name>" if issubclass(cls, Family) else ""): cls for name, cls in own(registry).items()}
    assert shown == {name: parameters(cls) for name, cls in expected.items()}


def test_the_page_of_metrics_is_what_its_command_makes():
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert text.split(BEGIN)[1].split(END)[0].strip() == generated().strip(), (
        "run: assay metrics --docs docs/metrics.md"
    )


def test_facts_of_metrics():
    rows = {row["use"]: row for row in rows_under("metrics.md", "## The metrics")}
    for name, cls in own(metrics).items():
        if issubclass(cls, Family):
            continue
        only = cls.higher_is_better is None or cls.family == "complexity"  # descriptive only: no better end
        better = "–" if only else {True: "higher", False: "lower"}[cls.higher_is_better]
        asked = [("masks", cls.needs_masks), ("artefact masks", cls.needs_artefacts), ("all samples", cls.joint)]
        needs = ", ".join(text for text, needed in asked if needed)
        row = rows[name]
        assert [row["better"], row["needs"], row["random"], row["family"]] == [
            better, needs, yes(cls.random), cls.family
        ], name  # fmt: skip


def test_facts_of_explainers():
    rows = {row["use"]: row for row in rows_under("explainers.md", "## The explainers")}
    for name, cls in own(explainers).items():
        assert [rows[name]["random"], rows[name]["control"]] == [yes(cls.random), yes(cls.control)], name


def test_facts_of_attacks():
    rows = {row["use"]: row for row in rows_under("attacks.md", "## The attacks")}
    for name, cls in own(attacks).items():
        if not issubclass(cls, Family):
            threat = cls().threat
            assert rows[name]["threat"] == f"{threat.norm}, {threat.kind}, {threat.knowledge}", name


def test_refused_library_attacks():
    for library in (advlib, foolbox, torchattacks):
        prefix = library.__name__.rpartition(".")[2]
        shown = {row["attack"] for row in rows_under("attacks.md", "## What is refused")}
        assert {f"{prefix}:{name}" for name in library.UNUSABLE} <= shown


def test_every_verdict_is_explained():
    shown = [row["verdict"] for row in rows_under("metrics.md", "## What a verdict means")]
    assert shown == list(VERDICTS)


# -- words ---------------------------------------------------------------------------------------------------------


def test_the_keys_of_a_record_and_the_counts_of_a_row():
    text = (DOCS / "records.md").read_text()
    for key in [*Record("", {}).head(), "rows", "artefacts"]:
        assert f"| `{key}` |" in text, key
    for column in [*COUNTS, "entry_digest", "dataset_digest", "records_digest"]:
        assert f"`{column}`" in text, column


def test_every_command_and_option():
    import typer.main

    from benchmark.cli.main import app

    listed, running = (DOCS / "index.md").read_text(), (DOCS / "running.md").read_text()
    for name, command in typer.main.get_command(app).commands.items():
        assert f"`assay {name}" in listed, name
        if name == "run":
            options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
            assert [option for option in options if f"`{option}" not in running] == []


def test_every_suite_is_in_the_readme():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## The suites\n")[2].partition("\n## ")[0]
    rows = {name for line in table.splitlines() for name in re.findall(r"`([^`]+)`", line.strip("|").split("|")[0])}
    assert {file.stem for file in (ROOT / "suites").glob("*.toml")} <= rows


def test_the_readme_shows_the_end_of_a_first_run(tmp_path, monkeypatch, capsys):
    """Oracle: what a run prints of the tracked records, where nobody says how wide a line is."""
    kept = shutil.ignore_patterns(*UNTRACKED)
    shutil.copytree(ROOT / "results" / "digits", tmp_path / "results" / "digits", ignore=kept)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    results, board, _, _ = write_report(RESULTS / "digits")
    cells = len(results.plan["cells"])
    print_outcome(results, board)
    print(f"computed {cells}, known 0, failed 0, skipped 0")
    print(where_line(RESULTS / "digits", RESULTS))
    real = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    text = next(block.text for block in blocks(ROOT / "README.md") if "Handwritten digits" in block.text)
    assert text.splitlines() == real
    assert max(map(len, real)) <= 100


def test_python_options():
    text = (DOCS / "python.md").read_text()
    assert [name for name in Options.__dataclass_fields__ if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
        assert (page.parent / target).exists(), target


def test_every_page_is_on_the_map():
    listed = (DOCS / "index.md").read_text()
    assert [page.name for page in DOCS.glob("*.md") if page.name != "index.md" and f"({page.name})" not in listed] == []


def test_the_numbers_of_the_explanations_page_are_those_of_the_results():
    rows = rows_under("explanations.md", "## What came out")
    assert len(rows) == 8
    for row in rows:
        part = "explanations-" + row["network"].replace("_cnn", "")
        with (ROOT / "results" / part / "explanations.csv").open(encoding="utf-8") as stream:
            table = [each for each in csv.DictReader(stream) if each["model"] == row["network"]]
        known = {f"`{each['explainer']}`": each["relevance_mass_absolute"] for each in table}
        known |= {f"suppressors: `{each['explainer']}`": each.get("artefact_relevance_mass", "") for each in table}
        for name, shown in row.items():
            if name not in ("network", "accuracy"):
                assert shown == (f"{float(known[name]):.2f}" if known[name] else "–"), (row["network"], name)
