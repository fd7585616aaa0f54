"""``benchmark.evaluate``: a module gets what an entry gets. Oracle: the same network as an entry; torch itself."""

from __future__ import annotations

import copy
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

import benchmark
from benchmark.errors import EntryError, UsageError
from benchmark.schedule.numerics import default_numerics
from tests.conftest import write_entry

CODE = """
import torch
from torch import nn

def build():
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
"""
WITH_GRADCAM = '\n[[explainers]]\nname = "gradcam"\nuse = "gradcam"\n'


def network(outputs=10):
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, outputs))


class Raises(nn.Module):
    def forward(self, x):
        raise ValueError("expected 3 channels")


class Ambiguous(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x):
        return {"a": self.net(x), "b": self.net(x)}


class NoBackward(nn.Module):
    """Predicts, but has no gradient to give."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise RuntimeError("no gradient here")

    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x):
        return self.net(self.Function.apply(x))


class Noting(nn.Module):
    def __init__(self, file):
        super().__init__()
        self.net, self.file = network(), file

    def forward(self, x):
        return self.net(x)


@pytest.fixture
def place(workplace, monkeypatch):
    monkeypatch.chdir(workplace.root)
    monkeypatch.setenv("ASSAY_CACHE", str(workplace.root / "cache"))
    workplace.suite("tiny", (workplace.root / "suites" / "tiny.toml").read_text() + WITH_GRADCAM)
    write_entry(workplace.root / "baselines" / "as_entry", CODE)
    return workplace


def rows(run, model):
    """Rows of all done records of a model, by probe and kind."""
    found = {}
    for head in sorted((run.folder / "cells").glob("*.json")):
        spec = json.loads(head.read_text())
        if spec["spec"]["model"] == model and spec["status"] == "done":
            s = spec["spec"]
            key = (s["kind"], s["probe"], s["metric"], s["eps"], tuple(s["samples"]))
            found[key] = pq.read_table(head.with_suffix(".parquet")).to_pydict()
    return found


def reasons(run, model):
    heads = [json.loads(file.read_text()) for file in (run.folder / "cells").glob("*.json")]
    heads = [head for head in heads if head["spec"]["model"] == model and head["reason"]]
    return {(head["spec"]["kind"], head["spec"]["probe"], head["reason"]) for head in heads}


def assert_same(first, second):
    """Every column of every record, NaN for NaN."""
    assert first.keys() == second.keys()
    assert len(first) > 10
    for key, columns in first.items():
        for name, values in columns.items():
            np.testing.assert_array_equal(np.asarray(values), np.asarray(second[key][name]), err_msg=f"{key} {name}")


def test_a_module_and_an_entry_of_one_network_leave_the_same_rows_and_skip_the_same(place):
    entry = benchmark.run("tiny", models="as_entry")
    given = benchmark.evaluate(network(), "tiny", name="given")
    assert_same(rows(entry, "as_entry"), rows(given, "given"))
    assert reasons(entry, "as_entry") == reasons(given, "given") != set()
    assert given.counts["failed"] == 0


@pytest.mark.parametrize(
    ("dtype", "cast"), [(torch.float64, True), (torch.bfloat16, True), (torch.bfloat16, False), (torch.float64, False)]
)
def test_other_types_are_cast_with_a_word_or_run_as_they_are(place, dtype, cast):
    """Oracle: the network's own logits, after the cast or before it."""
    module = network().to(dtype)
    run = benchmark.evaluate(module, "tiny", name="given", only=["fgsm"], cast=cast)
    words = "cast from {} to float32" if cast else "run as it is, in {}: inputs are cast, outputs are float32"
    assert any(words.format(str(dtype).removeprefix("torch.")) in note for note in run.notes)
    from benchmark.data.base import Grid, datasets

    data = datasets.make("digits")
    found = [columns for (kind, *_), columns in rows(run, "given").items() if kind == "clean"]
    clean = {s: m for c in found for s, m in zip(c["sample"], c["margin_clean"], strict=True)}
    batch = data.load("test", list(clean), Grid())
    own = copy.deepcopy(module).float() if cast else module
    with torch.no_grad():
        logits = own(torch.tensor(batch.inputs).to(next(own.parameters()).dtype)).float().double()
    right = logits.gather(1, torch.tensor(batch.labels)[:, None])[:, 0]
    best = logits.scatter(1, torch.tensor(batch.labels)[:, None], -torch.inf).amax(1)
    np.testing.assert_allclose(list(clean.values()), (right - best).numpy(), atol=1e-6 if cast else 2e-2)
    assert next(module.parameters()).dtype == dtype  # left as it was


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (network(7), r"module 'given': it gives 7 logits, the suite's data have 10 classes"),
        (network(1), "one logit of class 1 is said with one_logit=True"),
        (
            Raises(),
            r"module 'given' raised ValueError: expected 3 channels on the suite's inputs, float32 \(20, 1, 8, 8\)",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(32, 10)), "module 'given' raised RuntimeError"),
        (nn.LSTM(8, 10), "raised|returned a tuple, expected a tensor"),
        (Ambiguous(), "module 'given': the network returned a dict of a, b, expected a tensor"),
        (nn.Identity(), r"it returned shape \(20, 1, 8, 8\), expected logits \(N, K\)"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_runs(place, module, words):
    with pytest.raises(EntryError, match=words):
        benchmark.evaluate(module, "tiny", name="given")
    assert not (place.root / "results").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "make",
    [torch.jit.script, lambda net: torch.jit.trace(net, torch.rand(2, 1, 8, 8)), torch.fx.symbolic_trace],
    ids=["scripted", "traced", "fx"],
)
def test_networks_in_other_wrappings_are_evaluated_and_known_again(place, make):
    """Oracle: the plain network's own rows."""
    plain = rows(benchmark.evaluate(network(), "tiny", name="given", only=["fgsm"], out="plain"), "given")
    first, second = (benchmark.evaluate(make(network()), "tiny", name="given", only=["fgsm"]) for _ in range(2))
    assert first.counts["failed"] == 0
    assert second.counts["done"] == 0
    found = rows(first, "given")
    for key, columns in plain.items():
        name = "margin_clean" if key[0] == "clean" else "margin"
        np.testing.assert_allclose(columns[name], found[key][name], atol=1e-5)


def test_more_classes_than_the_data_have_are_noted(place):
    run = benchmark.evaluate(network(12), "tiny", name="given", only=["fgsm"])
    assert any("it gives 12 logits, 2 more than the data have classes" in note for note in run.notes)


class Wrapped(torch.nn.Module):
    """Returns its logits in a dict, as networks of other libraries do."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        return {"logits": self.inner(x), "aux": x.mean()}


def test_outputs_of_other_libraries_are_unwrapped_with_a_word(place):
    """Oracle: the rows of the network inside."""
    plain = rows(benchmark.evaluate(network(), "tiny", name="given", only=["fgsm"], out="plain"), "given")
    run = benchmark.evaluate(Wrapped(), "tiny", name="given", only=["fgsm"], out="wrapped")
    found = rows(run, "given")
    assert found.keys() == plain.keys()
    for key, columns in plain.items():
        np.testing.assert_array_equal(columns["pred" if key[0] == "attack" else "pred_clean"],
                                      found[key]["pred" if key[0] == "attack" else "pred_clean"])  # fmt: skip
    assert "of type dict: its logits is used" in " ".join(run.notes)
    again = benchmark.evaluate(Wrapped(), "tiny", name="given", only=["fgsm"], out="wrapped")
    assert again.counts["done"] == 0


def test_cells_that_fail_say_why(place, capsys):
    run = benchmark.evaluate(NoBackward(), "tiny", name="given")
    assert run.counts["failed"] > 0
    assert any("no gradient here" in reason for reason in run.failures)
    assert "no gradient here" in repr(run)
    assert "no gradient here" in capsys.readouterr().err


def test_what_cannot_be_copied_is_shared_and_a_key_that_cannot_be_repeated_is_said(place, tmp_path):
    with (tmp_path / "log.txt").open("w") as file:
        module = Noting(file)
        first = benchmark.evaluate(module, "tiny", name="given", only=["fgsm"])
        second = benchmark.evaluate(module, "tiny", name="given", only=["fgsm"])
        assert module.file is file
    notes = "\n".join(first.notes)
    assert "shared with the original, not copied: file" in notes
    assert "its key is new at every call: cannot read Noting.file (an open TextIOWrapper)" in notes
    assert first.counts == second.counts
    assert second.counts["known"] == 0


def test_an_unchanged_module_is_known(place):
    assert benchmark.evaluate(network(), "tiny", name="given").counts["done"] > 0
    assert benchmark.evaluate(network(), "tiny", name="given").counts["done"] == 0
    assert benchmark.evaluate(network(), "tiny", name="given", mean=(0.1,), std=(1.0,)).counts["done"] > 0


def test_a_name_of_the_suites_is_refused(place):
    with pytest.raises(UsageError, match="has an entry 'one'"):
        benchmark.evaluate(network(), "tiny", name="one")


def test_the_callers_numerical_settings_neither_count_nor_change(place):
    """Default dtype, determinism, precision, gradient mode, autocast: every cell has torch's own."""
    plain = rows(benchmark.evaluate(network(), "tiny", name="given", out="a"), "given")
    module = network()
    try:
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_float32_matmul_precision("medium")
        torch.backends.cudnn.deterministic = True
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            other = benchmark.evaluate(module, "tiny", name="given", out="b")
            assert not torch.is_grad_enabled()
            assert torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() == torch.float64
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.cudnn.deterministic
    finally:
        torch.set_default_dtype(torch.float32)
        torch.use_deterministic_algorithms(False)
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.deterministic = False
    assert_same(rows(other, "given"), plain)
    assert other.counts["failed"] == 0


def test_default_numerics_are_those_of_a_fresh_process():
    with torch.device("meta"), default_numerics():
        assert torch.rand(1).device.type == "cpu"
    with torch.inference_mode(), default_numerics():
        x = torch.ones(2, requires_grad=True)
        (x * x).sum().backward()
    assert x.grad.tolist() == [2, 2]
