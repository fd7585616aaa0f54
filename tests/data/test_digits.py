"""The embedded digits. Oracles: scikit-learn's own arrays, properties of the split."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError


def test_pixels_and_labels_are_scikit_learns():
    bunch = load_digits()
    data = datasets.make("digits")
    for split in ("train", "test"):
        ids = data.index(split).ids
        where = [int(name.removeprefix("digits-")) for name in ids]
        batch = data.load(split, ids, Grid())
        assert np.array_equal(batch.inputs[:, 0] * 16, bunch.images[where])
        assert np.array_equal(batch.labels, bunch.target[where])
        assert batch.inputs.max() == 1.0


def test_split_is_a_stratified_partition():
    data = datasets.make("digits")
    train, test = data.index("train"), data.index("test")
    assert (len(train.ids), len(test.ids)) == (1297, 500)
    assert not set(train.ids) & set(test.ids)
    assert len(set(train.ids) | set(test.ids)) == 1797
    shares = [np.bincount(i.labels, minlength=10) / len(i.labels) for i in (train, test)]
    assert np.abs(shares[0] - shares[1]).max() < 0.003
    assert train.digest != test.digest


def test_unknown_split_is_named():
    with pytest.raises(DataError, match="'train' and 'test', not 'val'"):
        datasets.make("digits").index("val")


def test_a_cached_index_needs_neither_torch_nor_scikit_learn():
    first = datasets.make("digits").index("test")  # fills the cache that the child process inherits
    code = (
        "import sys\nfrom benchmark.data.digits import Digits\nindex = Digits().index('test')\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules\nprint(index.digest)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == first.digest
