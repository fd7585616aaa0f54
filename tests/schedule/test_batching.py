"""Batch sizes found once and remembered, models kept by bytes. Oracles: sizes and memory that are written down."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import benchmark
from benchmark.models.wrap import Model
from benchmark.registry import include
from benchmark.schedule.batching import FILE, BatchSizes, batch_key, estimate
from benchmark.schedule.context import Context, size_of
from benchmark.schedule.faults import out_of_memory, poisons
from benchmark.store.folder import Store
from tests.schedule.test_queue import cell

HUNGRY = '''
from pathlib import Path

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks


@attacks.register("hungry")
class Hungry(Attack):
    """Needs more memory than there is for more than five samples at once; notes how many it was given."""

    whole_batch = True

    @property
    def threat(self):
        return Threat(norm="linf", kind="fixed")

    def run(self, model, inputs, labels, *, eps, generator, fitted=None):
        import torch

        with Path("sizes.txt").open("a") as file:
            file.write(f"{len(inputs)}\\n")
        if len(inputs) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return Perturbed(inputs)
'''


def test_a_batch_size_is_found_once_and_remembered(workplace, monkeypatch):
    monkeypatch.chdir(workplace.root)
    (workplace.root / "hungry.py").write_text(HUNGRY)
    include([workplace.root / "hungry.py"])
    text = workplace.root / "suites" / "tiny.toml"
    text.write_text(text.read_text() + '\n[[attacks]]\nname = "hungry"\nuse = "hungry"\nbudgets = ["0.1"]\n')
    run = benchmark.run("tiny", models="one", only="hungry")
    assert run.counts["failed"] == 0
    sizes = [int(line) for line in (workplace.root / "sizes.txt").read_text().split()]
    assert sizes == [10, 5, 5, 5, 5]  # halved once, in the first of two cells
    assert {head["spec"]["kind"]: head["batch_size"] for head in workplace.heads()} == {"clean": 100, "attack": 5}
    found = json.loads((run.folder / FILE).read_text())
    assert list(found.values()) == [5]
    (workplace.root / "sizes.txt").unlink()
    benchmark.run("tiny", models="one", only="hungry", limit=30)  # a new cell of a later run starts there
    assert (workplace.root / "sizes.txt").read_text().split() == ["5", "5"]


def test_damaged_memory_is_found_again(tmp_path):
    (tmp_path / FILE).write_text('{"a": ')
    sizes, one = BatchSizes(Store(tmp_path)), cell("attack", "p")
    assert sizes.of(one, "cpu") is None
    sizes.keep(one, "cpu (x86_64)", one.batch_size)  # the suite's own size on a CPU says nothing new
    assert sizes.of(one, "cpu (x86_64)") is None
    sizes.keep(one, "NVIDIA H100", one.batch_size)  # on a GPU it is what the estimate found
    sizes.keep(one, "cpu (x86_64)", 25)
    again = BatchSizes(Store(tmp_path))
    assert (again.of(one, "NVIDIA H100"), again.of(one, "cpu (x86_64)")) == (one.batch_size, 25)
    assert len({batch_key(one, "a"), batch_key(one, "b"), batch_key(cell("attack", "q"), "a")}) == 3


def linear():
    torch.manual_seed(0)
    return Model(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))


@pytest.mark.parametrize(("free", "expected"), [(1000, 70), (10**9, 100), (5, 1)])
def test_an_estimate_is_what_fits(free, expected):
    """A network that takes 7 bytes and 10 more a sample: 0.7 of the free memory, by hand."""
    inputs, calls = np.zeros((20, 1, 8, 8), np.float32), []

    def peak(call):
        call()
        calls.append(1)
        return 7 + 10 * len(calls)

    assert estimate(linear(), inputs, 100, peak, free) == expected
    assert len(calls) == 2


def test_a_network_that_cannot_be_measured_gets_the_suites_size():
    def broken(call):
        raise RuntimeError("no gradient")

    assert estimate(linear(), np.zeros((20, 1, 8, 8), np.float32), 100, broken, 10) == 100


class Loads:
    """A loader that counts."""

    def __init__(self):
        self.loads = []

    def __call__(self, cell, device):
        self.loads.append(cell.model)
        return linear(), None


def test_models_stay_loaded_while_there_is_room_the_longest_unused_goes_first(tmp_path):
    one = size_of(linear())
    assert one == (64 * 10 + 10) * 4
    loads = Loads()
    context = Context(Store(tmp_path), "cpu", loads, model_bytes=2 * one)
    a, b, c = (cell("clean", model=name) for name in "abc")
    for of in (a, b, a, b, a, c):  # c needs the room of b, which was used longest ago
        context.model(of)
    assert loads.loads == ["a", "b", "c"]
    assert context.loaded() == ["a:a", "c:c"]
    context.evidence["x"] = object()
    context.model(b)
    assert (loads.loads[-1], context.loaded(), len(context.evidence)) == ("b", ["c:c", "b:b"], 0)


def test_a_model_larger_than_the_room_is_kept_alone(tmp_path):
    loads = Loads()
    context = Context(Store(tmp_path), "cpu", loads, model_bytes=1)
    for name in "aab":
        context.model(cell("clean", model=name))
    assert (loads.loads, context.loaded()) == (["a", "b"], ["b:b"])


def test_a_model_that_finds_no_memory_is_loaded_once_the_others_are_gone(tmp_path):
    context = Context(Store(tmp_path), "cpu", Loads())
    context.model(cell("clean", model="a"))

    def full(cell, device):
        if context.loaded():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return linear(), None

    context.loader = full
    context.model(cell("clean", model="b"))
    assert context.loaded() == ["b:b"]


def test_what_memory_and_what_poison_says():
    """Texts as torch raises them."""
    memory = RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried")
    lost = RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported")
    wrapped = ValueError("attack raised")
    wrapped.__cause__ = lost
    assert out_of_memory(memory)
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not out_of_memory(lost)
    assert poisons(lost)
    assert poisons(wrapped)
    assert not poisons(memory)
    assert not poisons(RuntimeError("CUDA error: out of memory; CUDA out of memory"))
    assert not poisons(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
