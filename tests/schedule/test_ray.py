"""The Ray engine on a real cluster of two nodes on this machine, with GPUs that do not exist.

Oracles: the records of the local engine, byte for byte but for times and memory; a log that a toy attack writes each
time it is run; the exit of processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import benchmark
from benchmark.errors import EntryError, StoreError, UsageError
from benchmark.registry import include
from benchmark.schedule.cluster import import_ray, slots_of, software, unlike
from benchmark.schedule.ray_actor import ActorSettings, NodeContext, Worker, load_shipped
from benchmark.schedule.request import Options, planned_entries, resolve
from benchmark.schedule.run import execute_plan, prepare
from benchmark.schedule.shipping import INLINE, Packer, Unpacker
from benchmark.schedule.watcher import Watcher
from benchmark.store.elsewhere import Elsewhere
from benchmark.store.encoded import bundle, unbundle
from benchmark.store.folder import Store
from tests import warm
from tests.conftest import REPOSITORY, write_entry

TOYS = REPOSITORY / "tests" / "toys"
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
NODE = {"num_cpus": 2, "num_gpus": 1, "object_store_memory": 80 << 20}
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 5}

SUITE = """
entries = ["one", "two"]

[dataset]
use = "digits"
samples = 10

[threat]
norm = "linf"
eps = "0.1"

[run]
chunk = 5

[[attacks]]
name = "fgsm"
use = "foolbox:LinfFastGradientAttack"
budgets = ["0.1"]

[[attacks]]
name = "fitted"
use = "toy-universal"
budgets = ["0.1"]
fit_samples = 20

[[explainers]]
name = "saliency"
use = "saliency"

[[explainers]]
name = "random"
use = "random"

[[metrics]]
name = "sparseness"
use = "sparseness"
"""

COUNTED = """
entries = ["one"]

[dataset]
use = "digits"
samples = {samples}

[threat]
norm = "linf"
eps = "0.1"

[run]
chunk = 1

[[attacks]]
name = "counted"
use = "toy-counted"
budgets = ["0.1"]
params = {{ log = "{log}", seconds = {seconds} }}
"""


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one GPU each; a test may kill the second and finds a new one."""
    import_ray()
    from ray.cluster_utils import Cluster

    if warm.CAN:
        os.environ["ASSAY_FORKS"] = warm.serve()
        warm.ray_workers()
    head = {**NODE, "include_dashboard": False, "_system_config": QUICK}
    found = Cluster(initialize_head=True, head_node_args=head)
    yield found
    found.shutdown()


@pytest.fixture
def two_nodes(cluster):
    if len(cluster.worker_nodes) < 1:
        cluster.add_node(**NODE)
    return cluster


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    include([TOYS / "fitted_attack.py", TOYS / "counted_attack.py"])
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def here(workplace, monkeypatch):
    monkeypatch.chdir(workplace.root)
    workplace.suite("both", SUITE)
    return workplace


class Seen(Watcher):
    """Notes what it is told; ``then`` is called with the number of cells that have ended."""

    def __init__(self, then=lambda ended: None):
        self.texts, self.ends, self.slots, self.then = [], [], [], then

    def begin(self, ledger, slots):
        self.slots = slots

    def ended(self, finished):
        self.ends.append(finished)
        self.then(len(self.ends))

    def said(self, text):
        self.texts.append(text)


def run(suite, watcher=None, **options):
    """Run a suite; returns its ledger."""
    options, watcher = Options(**options), watcher or Watcher()
    spec = resolve(suite, options)
    prepared = prepare(spec, planned_entries(spec, options, watcher), options)
    execute_plan(prepared, options, watcher)
    return prepared.ledger


def on_ray(cluster, suite, watcher=None, **options):
    return run(suite, watcher, engine="ray", address=cluster.address, **options)


def content(folder):
    """Everything that a run left, but for what differs from run to run."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if name.startswith(("cells/", "artefacts/")) and file.is_file():
            found[name] = file.read_bytes()
            if name.endswith(".json"):
                head = json.loads(found[name])
                found[name] = {k: v for k, v in head.items() if k not in ("seconds", "peak_memory_mb", "provenance")}
    return found


def counts(log):
    """How often each cell was begun and ended, and who did it last."""
    lines = [line.split() for line in Path(log).read_text().splitlines()] if Path(log).exists() else []
    starts, ends = (Counter(key for kind, key, _ in lines if kind == what) for what in ("start", "end"))
    return starts, ends, [int(pid) for kind, _, pid in lines if kind == "start"]


# -- the same records ----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_records_equal_those_of_the_local_engine(here, two_nodes):
    """Both GPUs are taken; what was fitted and explained reaches the other node."""
    benchmark.run("both", out="local")
    seen = Seen()
    ledger = on_ray(two_nodes, "both", seen)
    assert ledger.counts()["done"] == ledger.total > 20
    assert seen.slots == ["GPU on Ray"] * 2
    assert any("torch sees none: it computes on the CPU" in text for text in seen.texts)
    expected = content(here.root / "local/both")
    assert any(name.startswith("artefacts/") and "fitted" in name for name in expected)
    assert content(here.root / "results/both") == expected
    assert on_ray(two_nodes, "both").total == 0


@pytest.mark.parametrize("records", ["shared", "url"])
def test_workers_write_the_records(here, two_nodes, records):
    benchmark.run("both", out="local", models="one")
    where = f"file://{here.root}/elsewhere" if records == "url" else records
    own = {"records": where, "models": ("one",), "workers": 1, "device": "cpu"}
    assert on_ray(two_nodes, "both", **own).counts()["done"] > 10
    expected = content(here.root / "local/both")
    assert content(here.root / "results/both") == expected
    if records == "url":  # a driver on another disk: nothing is computed again
        shutil.rmtree(here.root / "results")
        seen = Seen()
        ledger = on_ray(two_nodes, "both", seen, **own)
        assert (ledger.total, seen.ends) == (0, [])
        assert any("fetched from file://" in text for text in seen.texts)
        assert content(here.root / "results/both") == expected


# -- what dies -----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_node_that_dies_loses_nothing(here, two_nodes):
    """Its actors are unavailable first; its cell is computed by another worker, and no attempt is counted."""
    log, lost = here.root / "log", []
    here.suite("counted", COUNTED.format(samples=40, log=log, seconds=0.2))

    def kill(ended):
        if ended == 50 and not lost:
            lost.extend(two_nodes.worker_nodes)
            two_nodes.remove_node(lost[0], allow_graceful=False)

    seen = Seen(kill)
    ledger = on_ray(two_nodes, "counted", seen)
    assert lost
    assert ledger.counts() == {"known": 0, "done": 80, "failed": 0, "skipped": 0}
    starts, ends, pids = counts(log)
    assert len(starts) == len(ends) == 40
    assert len(set(pids)) == 2
    assert sum(starts.values()) <= 41  # what was in flight there
    assert max(ends.values()) == 1 or sum(ends.values()) == 41  # it may have been at its last line
    assert {head["attempts"] for head in here.heads("counted")} == {1}
    assert any("is unavailable; asking again" in text for text in seen.texts)
    assert any("its node died; it is given to another worker" in text for text in seen.texts)


@pytest.mark.long
def test_actors_that_die_and_cells_over_their_time(here, cluster):
    """An actor that is killed costs its cell an attempt; what kills every worker, or never ends, fails in the words of
    the local engine; all others are computed once."""
    log, killed = here.root / "log", []
    text = COUNTED.format(samples=6, log=log, seconds=0.2)
    text += '\n[[attacks]]\nname = "stuck"\nuse = "toy-counted"\nbudgets = ["0.1"]\n'
    text += "params = { seconds = 60 }\nsamples = 1\ntime_limit = 1\n"
    text += '\n[[attacks]]\nname = "deadly"\nuse = "toy-counted"\nbudgets = ["0.1"]\n'
    text += "params = { dies = true }\nsamples = 1\n"
    here.suite("hostile", text)

    def kill(ended):
        if not killed and counts(log)[1].total() == 3:
            killed.append(counts(log)[2][-1])
            os.kill(killed[0], signal.SIGKILL)

    seen = Seen(kill)
    ledger = on_ray(cluster, "hostile", seen, workers=1)
    assert ledger.counts() == {"known": 0, "done": 12, "failed": 2, "skipped": 0}
    starts, ends, pids = counts(log)
    assert set(ends.values()) == {1}
    assert sum(starts.values()) - len(starts) <= 1  # it may have been killed between two cells
    assert killed[0] in pids[:-1]
    heads = {(head["spec"]["probe"], *head["spec"]["samples"]): head for head in here.heads("hostile")}
    done = [head for head in heads.values() if head["status"] == "done"]
    assert Counter(head["attempts"] for head in done) == {1: 11, 2: 1}
    failed = {head["spec"]["probe"]: head for head in heads.values() if head["status"] == "failed"}
    assert failed["stuck"]["reason"] == "time limit: the cell did not end within 1 s"
    assert failed["deadly"]["reason"].startswith("the worker process died (The actor is dead because its worker")
    assert failed["deadly"]["reason"].endswith(", 2 times")
    assert (failed["stuck"]["attempts"], failed["deadly"]["attempts"]) == (1, 2)
    assert sum("the worker process died" in text and "once more" in text for text in seen.texts) == 2


@pytest.mark.long
def test_a_lost_cuda_context_costs_a_worker_and_a_share_of_a_gpu_is_a_slot(here, cluster):
    """The toy loses its process by chance, once: all cells are done, the one that did it with a second attempt."""
    include([TOYS / "poison_attack.py"])
    text = COUNTED.format(samples=2, log=here.root / "log", seconds=0.2).replace("toy-counted", "toy-poison")
    here.suite("poison", text.replace(", seconds = 0.2", ", once = true"))
    seen = Seen()
    ledger = on_ray(cluster, "poison", seen, slots_per_device=2)
    assert ledger.counts() == {"known": 0, "done": 4, "failed": 0, "skipped": 0}
    assert sorted(head["attempts"] for head in here.heads("poison")) == [1, 1, 1, 2]
    assert any("device-side assertions" in text and "once more" in text for text in seen.texts)
    nodes = 1 + len(cluster.worker_nodes)
    assert len(seen.slots) == min(4, 2 * nodes)


@pytest.mark.long
def test_a_driver_that_is_killed_and_started_again(here, cluster):
    """Its actors end with it; nothing that has a record is computed again."""
    log = here.root / "log"
    here.suite("counted", COUNTED.format(samples=20, log=log, seconds=0.2))
    args = ("run", "counted", "--engine", "ray", "--address", cluster.address, "--workers", 1)
    args += ("--include", TOYS / "counted_attack.py")
    driver = subprocess.Popen(here.command(*args), cwd=here.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(here.times("counted")) < 30:
        assert driver.poll() is None
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    kept = here.times("counted")
    _, finished, pids = counts(log)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pids[-1]}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{pids[-1]}").exists()
    done = here.assay(*args)
    assert f"computed {40 - len(kept)}, known {len(kept)}, failed 0" in done.stdout
    assert done.stdout.count("(raylet)") == 0
    assert {name: at for name, at in here.times("counted").items() if name in kept} == kept
    starts, ends, _ = counts(log)
    assert len(ends) == 20
    assert sum(starts.values()) <= 21
    assert sum(ends.values()) - len(ends) <= len(finished) - (len(kept) - 20)  # at most what had no record yet


# -- wrong requests ------------------------------------------------------------------------------------------------


def test_wrong_requests(here, cluster):
    for options, words in [
        ({"engine": "rey"}, "expected local or ray"),
        ({"records": "shared"}, "are for --engine ray"),
        ({"engine": "ray", "records": "elsewhere"}, "expected driver, shared, or a URL"),
        ({"engine": "ray", "records": "nosuch://x"}, "nosuch"),
        ({"engine": "ray", "address": "nowhere"}, "expected auto or HOST:PORT"),
        ({"engine": "ray", "address": "ray://127.0.0.1:10001"}, "Ray Client is not supported"),
        ({"engine": "ray", "address": cluster.address, "device": "cuda:0"}, "expected auto, cuda or cpu"),
    ]:
        with pytest.raises(UsageError, match=words):
            run("both", **options)
    done = here.assay("run", "tiny", "--engine", "ray", "--address", "127.0.0.1:1", code=2)
    assert "assay: --address 127.0.0.1:1: no Ray cluster answers there" in done.stderr
    assert not here.heads()


def test_a_cell_whose_data_are_not_on_the_node_fails_with_that_reason(here):
    from benchmark.errors import DataError

    spec = resolve("both", Options())
    cell = prepare(spec, planned_entries(spec, Options(), Watcher()), Options()).ledger.cells[0]
    away = cell.model_copy(update={"dataset": cell.dataset.model_copy(update={"path": here.root / "away"})})
    with pytest.raises(DataError, match=r"away does not exist on node .*every node needs them"):
        NodeContext(Store(here.root)).dataset(away)


def test_slots_and_versions():
    assert slots_of({"CPU": 8, "GPU": 2}, "auto", 1).count == 2
    assert (slots_of({"CPU": 8, "GPU": 2}, "auto", 1, 2).count, slots_of({"GPU": 2}, "cuda", 1, 2).gpu) == (4, 0.5)
    assert (slots_of({"CPU": 8, "GPU": 2}, "cpu", 2).count, slots_of({"CPU": 8}, "auto", 2).gpu) == (4, 0.0)
    with pytest.raises(UsageError, match="has no GPU"):
        slots_of({"CPU": 8}, "cuda", 1)
    here = software()
    assert unlike(here, here) == []
    assert unlike({"torch": "2.6.0+cu124", "python": "3.11.7"}, {"torch": "2.6.0+cpu", "python": "3.11.9"}) == []
    assert unlike({"torch": "2.6.0"}, {"torch": "2.7.0"}) == ["torch 2.7.0 there, 2.6.0 here"]
    assert unlike(here, {**here, "Assay's source": "0"})


# -- what travels --------------------------------------------------------------------------------------------------


class Box:
    """Stands for a reference into the object store."""

    def __init__(self, data):
        self.data = data


def test_an_entry_travels_with_weights_that_lie_elsewhere(here):
    """Oracle: the digest that the plan holds, and the outputs of the model where it came from."""
    import numpy as np
    import torch
    from safetensors.numpy import save_file

    weights = {"1.weight": np.random.default_rng(0).normal(size=(10, 64)).astype(np.float32)}
    save_file(
        {**weights, "1.bias": np.zeros(10, np.float32), "pad": np.zeros(INLINE // 8)}, here.root / "w.safetensors"
    )
    model = "from .parts import build\n"
    folder = write_entry(here.root / "baselines/two", model, '[weights]\npath = "../../w.safetensors"')
    (folder / "parts.py").write_text(
        "import torch\n\ndef build():\n"
        "    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
        f"    net.register_buffer('pad', torch.zeros({INLINE // 8}, dtype=torch.float64))\n    return net\n"
    )
    spec = resolve("both", Options(models=("two",)))
    cells = prepare(spec, planned_entries(spec, Options(), Watcher()), Options(models=("two",))).ledger.cells
    cell = next(cell for cell in cells if cell.model == "two")
    inputs = torch.rand(3, 1, 8, 8)
    expected = benchmark.build_model(benchmark.load_entry("two"))(inputs)
    order = Packer(None, Box).order(cell, 1)
    assert any(isinstance(part, Box) for part in order.entry.files.values())
    shutil.rmtree(folder)
    (here.root / "w.safetensors").unlink()
    inbox = Unpacker(lambda box: box.data)
    moved = inbox.cell(order)
    found, _ = load_shipped(moved, "cpu")
    assert torch.equal(found(inputs), expected)
    (moved.folder / "parts.py").write_text("def build(): ...")
    with pytest.raises(EntryError, match="has changed"):
        load_shipped(moved, "cpu")
    torn = replace(order, entry=replace(order.entry, digest="0" * 64))
    with pytest.raises(StoreError, match="other files arrived"):
        inbox.cell(torn)


def test_samples_of_the_cell_to_come_are_read_meanwhile(here):
    """Oracle: what the actor holds after a cell is the batch that the next one asks for."""
    spec = resolve("both", Options(models=("two",)))
    cells = prepare(spec, planned_entries(spec, Options(), Watcher()), Options(models=("two",))).ledger.cells
    cell, other = [each for each in cells if each.kind == "clean"][:2]
    assert cell.samples != other.samples
    order = Packer(None, Box).order(cell, 1, ahead=other)
    worker = Worker(ActorSettings(gpu=0, threads=1, include=(), records="driver", folder=here.root / "results"))
    worker.inbox, worker.elsewhere = Unpacker(lambda box: box.data), None
    worker.context = NodeContext(worker.inbox, "cpu", load_shipped)
    assert worker.run(order).status == "done"
    read = worker.context._ahead.result()
    assert read is worker.context.batch(other)
    assert read.ids == other.samples


def test_what_the_driver_holds_is_bounded(tmp_path, monkeypatch):
    """Property: whatever is asked for, no more than the limit (or one thing) is kept, and it is the last."""
    from benchmark.schedule import shipping

    monkeypatch.setattr(shipping, "KEPT", 1000)
    packer = Packer(None, Box)
    for number in range(50):
        (tmp_path / f"f{number}").write_bytes(bytes(300))
        packer.folder([tmp_path / f"f{number}"])
    assert len(packer._kept) == 3
    assert list(packer._kept)[-1] == ("files", str(tmp_path / "f49"))


@pytest.mark.parametrize("url", ["file://{}/records", "memory://records"])
def test_half_a_record_elsewhere_is_none(here, url):
    place = Elsewhere(url.format(here.root))
    assert place.cells() == set()
    benchmark.run("tiny", models="one", only="deepfool")
    store = Store(here.root / "results/tiny")
    cell = next(name for name in store.recorded() if store.head(name)["artefacts"])
    head = store.head(cell)
    names = [f"artefacts/{each['file']}" for each in head["artefacts"].values()]
    names += [f"cells/{cell}.parquet", f"cells/{cell}.json"]
    files = {name: (store.folder / name).read_bytes() for name in names}
    place.put(cell, files)
    assert place.cells() == {cell}
    assert place.get(cell) == (head, files)
    assert place.get("0" * 64) is None
    data = bundle(files)
    for torn in (data[: len(data) // 2], b"", data.replace(files[names[0]][-40:], bytes(40), 1)):
        place._fs.pipe_file(place._file(cell), torn)
        assert place.get(cell) is None
    with pytest.raises(StoreError, match="no whole record"):
        unbundle(bundle(files), "0" * 64, "x")
    for path in (f"{cell}/../../../evil", "/evil", "other/x.npz"):  # a JSON that names a file outside of its own
        evil = {"evil": {"file": path, "sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1}}
        hostile = json.dumps({**head, "artefacts": evil}).encode()
        with pytest.raises(StoreError, match="no whole record"):
            unbundle(bundle({**files, f"artefacts/{path}": b"x", names[-1]: hostile}), cell, "x")
    strange = {**files, f"artefacts/{cell}/../../../evil": b"x"}
    assert unbundle(bundle(strange), cell, "x")[1] == files  # only what the record names is taken


# -- the page ------------------------------------------------------------------------------------------------------


def test_the_files_of_the_page_are_what_they_say(tmp_path):
    """docs/cluster.md cannot be run here as a whole: its YAML parses, its script is bash, its commands are known."""
    import re
    import shlex

    import typer.main
    import yaml
    from ray.scripts.symmetric_run import curate_and_validate_ray_start_args

    from benchmark.cli.main import app

    text = (REPOSITORY / "docs/cluster.md").read_text(encoding="utf-8")
    job = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    script = tmp_path / "assay.sbatch"
    script.write_text(re.search(r"```bash\n(#!.*?)```", text, re.DOTALL)[1])
    subprocess.run(["bash", "-n", script], check=True)
    joined = text.replace("\\\n", " ")
    started = re.findall(r"ray symmetric-run (.*?) -- (assay .*)", joined)
    assert len(started) == 2
    for options, _ in started:
        args = shlex.split(options.replace("$", ""))
        assert "--num-cpus" in curate_and_validate_ray_start_args(args)
    commands = [job["spec"]["entrypoint"], *re.findall(r"(?:\$|--) +(assay run .*)", joined)]
    assert len(commands) >= 6
    for command in commands:
        run_command = typer.main.get_command(app).commands["run"]
        assert run_command.make_context("run", shlex.split(command)[2:]).params["engine"] == "ray", command
