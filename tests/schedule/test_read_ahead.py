"""Samples read while a cell is computed. Oracles: the same batch as without, a faulty set, a bound on what waits."""

import numpy as np
import pytest

from benchmark.data.base import datasets
from benchmark.errors import DataError
from benchmark.schedule import context as contexts
from benchmark.schedule.context import Context
from benchmark.spec.cell import Cell, DatasetRef, PluginRef


def cell(samples, digest):
    data = DatasetRef(name="digits", plugin=PluginRef(use="digits"), split="test", digest=digest)
    task = PluginRef(use="classification")
    return Cell(kind="clean", task=task, entry="m", dataset=data, samples=tuple(samples), model="m")


@pytest.fixture(scope="module")
def index():
    return datasets.make("digits").index("test")


def test_what_was_read_ahead_is_what_would_be_read(index):
    one, two = cell(index.ids[:5], index.digest), cell(index.ids[5:9], index.digest)
    ahead, plain = Context(None), Context(None)
    ahead.batch(one)
    ahead.read_ahead(two)
    ahead.read_ahead(two)  # once is enough
    reading = ahead._ahead
    got = ahead.batch(two)
    assert got is reading.result()
    assert np.array_equal(got.inputs, plain.batch(two).inputs)
    assert ahead._ahead is None
    ahead.read_ahead(one)  # it is here
    assert ahead._ahead is None


def test_a_fault_ahead_is_told_by_the_cell_that_needs_the_samples(index):
    bad = cell(index.ids[:3], "another digest")
    context = Context(None)
    context.read_ahead(bad)
    assert context._ahead.result() is None
    with pytest.raises(DataError, match="has changed since this run was planned"):
        context.batch(bad)


def test_what_is_kept_is_bounded_by_bytes_not_by_the_data(index, monkeypatch):
    chunks = [cell(index.ids[i : i + 10], index.digest) for i in range(0, 100, 10)]
    size = Context(None).batch(chunks[0]).inputs.nbytes
    monkeypatch.setattr(contexts, "BATCH_BYTES", 2 * size)
    context = Context(None)
    for chunk in chunks:
        context.batch(chunk)
        assert len(context._batches) <= 2
    monkeypatch.setattr(contexts, "BATCH_BYTES", 0)
    context.batch(chunks[0])
    assert list(context._batches) == [contexts._batch_key(chunks[0])]
