"""A third citizen, sentences of tokens, from suite to label through the public seam: no output speaks of images.

Oracles: closed forms of a bag of words (its logits are sums), enumeration of all swaps, and the words themselves.
"""

from __future__ import annotations

import ast
import json
import re
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import benchmark
from benchmark.attacks.base import Perturbed, attacks
from benchmark.data.base import Grid, datasets
from benchmark.explainers.base import explainers
from benchmark.metrics.base import Explained, metrics
from benchmark.models.build import build_model
from benchmark.models.entries import read_entry
from benchmark.registry import include
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from tests.conftest import Workplace

TOY = Path(__file__).parent / "toys" / "words"
OWN = ("--include", TOY / "words.py")
WITH = (*OWN, "--entries", TOY / "entries")
SEAM = ("data.base", "tasks.base", "attacks.base", "explainers.base", "metrics.base", "models.kinds")
SEAM += ("reported", "spec.budget", "sentences", "registry", "seeds", "errors", "inputs")
FOREIGN = re.compile(r"\b(images?|pixels?|px|jpe?g|fog|k-space|kspace|grey|colou?rs?)\b", re.IGNORECASE)
PAD, UNKNOWN, WORDS = 0, 1, range(2, 33)


# -- one run, every output -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Name of a command or file to its text."""
    place = Workplace(tmp_path_factory.mktemp("words"))
    place.suite("topics", (TOY / "suite.toml").read_text())
    place.suite("tiny", 'entries = ["one"]\n[dataset]\nuse = "digits"\n')
    monkey = pytest.MonkeyPatch()
    monkey.setenv("ASSAY_CACHE", str(place.root / "cache"))
    monkey.setenv("COLUMNS", "200")
    found = {}
    for name, args in {
        "plan": ("run", "topics", *WITH, "--dry-run"),
        "run": ("run", "topics", *WITH, "--workers", 1),
        "page": ("report", "topics", "--html", *OWN),
        "text": ("report", "topics", "--format", "text", *OWN),
        "latex": ("report", "topics", "--format", "latex", *OWN),
        "json": ("report", "topics", "--format", "json", *OWN),
        "joined": ("leaderboard", "topics", *OWN),
        "joined latex": ("leaderboard", "topics", "--format", "latex", *OWN),
        "label": ("label", "bag", *OWN),
        "compare": ("compare", "topics", "bag", "counts", *OWN),
        "status": ("status", "topics"),
        "validate": ("validate", "results/topics", *WITH),
        "verify": ("verify", "topics", "--sample", "0.2", "--workers", 1, *WITH),
        "check": ("check", "bag", "--suite", "topics", *WITH),
        "check without data": ("check", "counts", *WITH),
        "again": ("run", "topics", *WITH, "--workers", 1),
    }.items():
        done = place.assay(*args)
        found[name] = done.stdout + done.stderr
    for file in [*place.root.glob("results/topics/*.*"), *place.root.glob("labels/bag/*")]:
        if file.suffix in (".csv", ".md", ".html", ".svg", ".yaml", ".json"):
            found[file.name] = file.read_text()
    yield found | {"root": place.root}
    monkey.undo()


def read(name: str, text: str) -> str:
    """What a reader sees or is read aloud: no style, script or tag, but the words in attributes."""
    if not name.endswith((".html", ".svg")):
        return text
    text = re.sub(r"(?s)<style.*?</style>|<script.*?</script>", "", text)
    aloud = re.findall(r'(?:alt|title|aria-label)="([^"]*)"', text)
    return " ".join([re.sub(r"(?s)<[^>]*>", " ", text), *aloud])


def test_no_output_speaks_of_images(outputs):
    texts = {name: read(name, text) for name, text in outputs.items() if name != "root"}
    assert {"leaderboard.csv", "leaderboard.md", "report.html", "label.html", "card.yaml", "plan.json"} <= set(texts)
    said = {name: sorted({m[0] for m in FOREIGN.finditer(text)}) for name, text in texts.items()}
    assert {name: words for name, words in said.items() if words} == {}


def test_everything_ran_and_speaks_of_sentences(outputs):
    assert "computed 68, known 0, failed 0, skipped 0" in outputs["run"]
    assert "computed 0," in outputs["again"]
    assert "68 records of 68 cells: good" in outputs["validate"]
    assert "0 not reproduced" in outputs["verify"]
    assert "0 verdicts not confirmed" in outputs["verify"]
    assert "68 of 68 cells" in outputs["status"]
    assert "fail" not in outputs["check"]
    assert "input gradient" not in outputs["check"]  # tokens have none
    assert "how it takes to changed tokens" in outputs["compare"]
    label = outputs["label.md"]
    assert "ordinary sentences" in label
    assert "“Right answers” are" in label
    assert "at most 1 token replaced" in label
    assert "small changes of every" not in label  # a token is replaced or not
    assert "text-classification" in outputs["card.yaml"]
    assert r"\begin{tabular}" in outputs["latex"]
    assert "SSIM" not in outputs["leaderboard.md"]  # is of pictures
    assert "ssim" not in outputs["explanations_attacked.csv"]
    for section in ("What the attacks do", "Attributions are not tracked"):  # nothing there to be drawn
        assert section not in outputs["report.html"]


def test_the_numbers_of_the_leaderboard(outputs):
    """The greedy swap does at least what the control does; most sentences are read right, not all."""
    board = pd.read_csv(outputs["root"] / "results" / "topics" / "leaderboard.csv").set_index("model")
    assert board["clean_acc"].between(0.6, 0.95).all()
    assert (board["robust_acc_swap_1"] < board["robust_acc_random_1"]).all()
    assert (board["robust_acc_swap_2"] <= board["robust_acc_swap_1"]).all()
    assert (board["robust_acc_none"] == board["clean_acc"]).all()
    assert (board["n"] == 60).all()
    told = pd.read_csv(outputs["root"] / "results" / "topics" / "explanations.csv").set_index(["model", "explainer"])
    for model in ("bag", "counts"):
        for metric in ("evidence", "drop"):
            assert told.loc[(model, "leave_one_out"), metric] > told.loc[(model, "chance"), metric]


def test_a_module_in_memory_is_the_entry(outputs, monkeypatch):
    """The counting reader handed over in Python gets the entry's numbers."""
    monkeypatch.chdir(outputs["root"])
    include([TOY / "words.py"])
    module = build_model(read_entry(TOY / "entries" / "counts")).network
    run = benchmark.evaluate(module, "topics", name="mine", entries=[TOY / "entries"], out=outputs["root"] / "results")
    table = run.leaderboard.to_pandas().set_index("model")
    assert run.counts["failed"] == 0
    for column in ("clean_acc", "robust_acc_swap_1", "robust_acc_swap_2", "robust_acc_random_1"):
        assert table.loc["mine", column] == table.loc["counts", column]
    assert not FOREIGN.search(repr(run))
    assert not FOREIGN.search(read("x.html", run._repr_html_()))


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_ray_computes_the_same(outputs):
    """Oracle: the records of the local engine; the plugin file travels to the workers."""
    pytest.importorskip("ray")
    place = Workplace.__new__(Workplace)
    place.root = outputs["root"]
    args = ("--engine", "ray", "--workers", 1, "--limit", 30, "--models", "counts", "--out", "ray")
    said = place.assay("run", "topics", *WITH, *args, timeout=280)
    assert "failed 0, skipped 0" in said.stdout
    here, there = (pd.read_parquet(outputs["root"] / out / "topics" / "records.parquet") for out in ("results", "ray"))
    rows = [part[part["json"].isna() & part["cell"].isin(there["cell"])].drop(columns="json") for part in (here, there)]
    shared = [name for name in rows[1] if name in rows[0]]
    assert len(rows[1]) > 100
    a, b = (part[shared].sort_values(["cell", "sample"]).reset_index(drop=True) for part in rows)
    pd.testing.assert_frame_equal(a, b)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[[attacks]]\nname = "pgd"\nuse = "noise-linf"\nbudgets = ["0.1"]', "'noise-linf' accepts 'image', the task"),
        ('[[attacks]]\nname = "half"\nuse = "toy-swap"\nbudgets = ["0.5"]', "replaces whole tokens"),
        (
            '[[explainers]]\nname = "heat"\nuse = "gradcam"',
            "'gradcam' accepts 'image', the task 'toy-topics' asks with",
        ),
        ('[[metrics]]\nname = "flip"\nuse = "pixel-flipping"', "'pixel-flipping' accepts 'image'"),
        ('[threat]\ndomain = "image"', "attack 'swap' perturbs 'tokens': say `domain` under [threat]"),
    ],
)
def test_what_is_made_for_images_is_refused(outputs, more, said):
    place = Workplace.__new__(Workplace)
    place.root = outputs["root"]
    text = (TOY / "suite.toml").read_text()
    swapped = text.replace('domain = "tokens"', 'domain = "image"')
    place.suite("wrong", swapped if more.startswith("[threat]") else text + "\n" + more)
    done = place.assay("run", "wrong", *WITH, "--dry-run", code=2)
    assert said in done.stderr


def test_lists_say_what_is_accepted(outputs):
    place = Workplace.__new__(Workplace)
    place.root = outputs["root"]
    lines = {what: place.assay("list", what, *OWN).stdout for what in ("attacks", "explainers", "metrics", "datasets")}
    assert re.search(r"toy-swap .*accepts 'tokens'", lines["attacks"])
    assert re.search(r"toy-leave-one-out .*accepts 'tokens'", lines["explainers"])
    assert re.search(r"toy-evidence .*accepts 'tokens'", lines["metrics"])
    assert re.search(r"toy-sentences .*holds 'tokens'", lines["datasets"])
    assert not re.search(r"gradcam .*accepts", lines["explainers"])
    wrong = place.assay("check", "bag", "--suite", "tiny", *WITH, code=2).stderr
    assert "asks with 'tokens', dataset 'digits' holds 'image'" in wrong
    for args in (("bag",), ("bag", "--only", "toy-leave-one-out")):
        assert "images" in place.assay("explainers", *args, *WITH, code=2).stderr


# -- the plugins ---------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _included(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    include([TOY / "words.py"])


@pytest.fixture
def bag():
    """The bag of words, its weights (V, K), and the sentences of the test split."""
    model = build_model(read_entry(TOY / "entries" / "bag"))
    data = datasets.make("toy-sentences", {"samples": 60})
    return model, model.network.weights.weight.double(), data.load("test", data.index("test").ids, Grid(), masks=True)


def lowest_margin(weights, tokens, label, budget):
    """Of all sentences with at most ``budget`` tokens replaced, by enumeration."""

    def margin(sentence):
        logits = weights[sentence].sum(0)
        return float(logits[label] - torch.cat([logits[:label], logits[label + 1 :]]).max())

    found, free = margin(tokens), [i for i in range(len(tokens)) if tokens[i] != PAD]
    for places in combinations(free, budget):
        trials = tokens.repeat(len(WORDS) ** budget, 1)
        trials[:, list(places)] = torch.tensor(list(product(WORDS, repeat=budget)))
        logits = weights[trials].sum(1)
        others = logits.clone()
        others[:, label] = -torch.inf
        found = min(found, float((logits[:, label] - others.amax(1)).min()))
    return found


@pytest.mark.parametrize(("budget", "count"), [(1, 60), (2, 6)])
def test_the_greedy_swap_is_optimal_for_a_bag_of_words(bag, budget, count):
    model, weights, batch = bag
    tokens, labels = torch.as_tensor(batch.inputs[:count]), torch.as_tensor(batch.labels[:count])
    left = attacks.make("toy-swap").run(model, tokens, labels, eps=budget, generator=Draws(range(count)))
    assert ((left.inputs != tokens).sum(1) <= budget).all()
    logits = weights[left.inputs].sum(1)
    others = logits.scatter(1, labels.view(-1, 1), -torch.inf).amax(1)
    found = logits.gather(1, labels.view(-1, 1))[:, 0] - others
    best = [lowest_margin(weights, tokens[i], int(labels[i]), budget) for i in range(count)]
    np.testing.assert_allclose(found.numpy(), best, atol=1e-5)


def test_leave_one_out_is_the_weight_itself(bag):
    model, weights, batch = bag
    tokens, targets = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    found = explainers.make("toy-leave-one-out").explain(model, tokens, targets, generator=Draws(range(60)))
    expected = weights[tokens].gather(2, targets.view(-1, 1, 1).expand(-1, tokens.shape[1], 1))[..., 0]
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)
    assert (found[tokens == PAD] == 0).all()


def test_metrics_are_their_closed_forms(bag):
    model, _, batch = bag
    tokens, targets = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    explainer, draws = explainers.make("toy-leave-one-out"), Draws(range(60))
    relevance = explainer.explain(model, tokens, targets, generator=draws)
    explained = Explained(model, tokens, targets, targets, relevance, torch.as_tensor(batch.masks), explainer, draws)
    drop = metrics.make("toy-drop").score(explained)
    np.testing.assert_allclose(drop.numpy(), relevance.amax(1).numpy(), atol=1e-5)  # of a sum: the largest weight
    positive = relevance.clamp(min=0).double().numpy()
    share = (positive * batch.masks).sum(1) / positive.sum(1)
    np.testing.assert_allclose(metrics.make("toy-evidence").score(explained).numpy(), share, atol=1e-9)


def test_the_control_keeps_its_budget_and_the_padding(bag):
    model, _, batch = bag
    tokens, labels = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    left = attacks.make("toy-random-swap").run(model, tokens, labels, eps=2.0, generator=Draws(range(60))).inputs
    assert ((left != tokens).sum(1) <= 2).all()
    assert ((left == PAD) == (tokens == PAD)).all()
    assert (left != tokens).any(1).float().mean() > 0.9


def test_the_verifier_refuses_what_is_no_token_and_too_many_swaps(bag):
    model, _, batch = bag
    task, attack = tasks.make("toy-topics"), attacks.make("toy-swap")
    tokens = torch.as_tensor(batch.inputs[:3])
    wrong = tokens.clone()
    wrong[0, 0], wrong[1, :3] = 33, UNKNOWN
    clean = {"pred_clean": batch.labels[:3], "correct": np.ones(3, bool)}
    labels = torch.as_tensor(batch.labels[:3])
    rows = task.verify(model, tokens, labels, Perturbed(wrong), attack, eps=1.0, clean=clean)
    assert rows["status"].tolist() == ["out_of_budget", "out_of_budget", "ok"]
    assert rows["norm_l0"].tolist() == [1, 3, 0]
    assert not rows["success"][:2].any()


def test_masks_are_the_words_of_the_topic(bag):
    *_, batch = bag
    assert batch.inputs.dtype == np.int64
    assert batch.masks.shape == batch.inputs.shape
    topic = (batch.inputs - 15) // 6
    assert (batch.masks == ((topic == batch.labels[:, None]) & (batch.inputs >= 15))).all()
    assert batch.masks.any(1).all()


def test_the_folder_uses_the_public_seam_alone():
    for file in TOY.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                part = name.removeprefix("benchmark.")
                assert not name.startswith("benchmark") or part in SEAM, f"{file.name} imports {name}"


def test_a_plan_says_what_is_perturbed(outputs):
    plan = json.loads(outputs["plan.json"])
    assert {cell["threat"]["domain"] for cell in plan["cells"] if cell["threat"]} == {"tokens"}
