"""Similarities of two attributions.

Oracles: scipy (Spearman) and scikit-image (SSIM) on the same maps, sets counted in Python (top-k), closed forms and
properties (scale, self, sign).
"""

from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from benchmark.metrics.functional import spearman, structural_similarity, top_k_overlap

ALL = (spearman, top_k_overlap, structural_similarity)


def pair(seed, channels=3, ties=False):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(4, channels, 9, 8, generator=generator) for _ in range(2))
    b = 0.5 * a + b
    return (a.mul(2).round(), b.mul(2).round()) if ties else (a, b)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_spearman_is_scipys_with_and_without_ties(seed, ties):
    a, b = pair(seed, ties=ties)
    expected = [spearmanr(x.flatten(), y.flatten()).statistic for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    np.testing.assert_allclose(spearman(a, b).numpy(), expected, atol=1e-12)


@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.1, 0.5, 1.0]))
@settings(max_examples=25, deadline=None)
def test_top_k_counts_the_common_elements(seed, share):
    a, b = pair(seed)
    k = ceil(share * a[0].numel())
    expected = []
    for x, y in zip(a.flatten(1).tolist(), b.flatten(1).tolist(), strict=True):
        top = [set(sorted(range(len(v)), key=lambda i, v=v: -abs(v[i]))[:k]) for v in (x, y)]
        expected.append(len(top[0] & top[1]) / k)
    np.testing.assert_allclose(top_k_overlap(a, b, share).numpy(), expected)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_structural_similarity_is_scikit_images(seed):
    reference = pytest.importorskip("skimage.metrics").structural_similarity
    a, b = pair(seed)
    expected = []
    for x, y in zip(a.double().sum(1).numpy(), b.double().sum(1).numpy(), strict=True):
        first, second = 1 + x / np.abs(x).max(), 1 + y / np.abs(y).max()
        span = max(first.max(), second.max()) - min(first.min(), second.min())
        expected.append(reference(first, second, data_range=span))
    np.testing.assert_allclose(structural_similarity(a, b).numpy(), expected, atol=1e-9)


@given(st.integers(0, 10_000), st.floats(0.01, 100))
@settings(max_examples=15, deadline=None)
def test_scale_does_not_matter_and_an_attribution_is_like_itself(seed, scale):
    a, b = pair(seed)
    for measure in ALL:
        torch.testing.assert_close(measure(a, a), torch.ones(4, dtype=torch.float64))
        torch.testing.assert_close(measure(scale * a, b), measure(a, b), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(measure(a, b), measure(b, a))


def test_what_the_sign_means():
    """Closed forms: reversed ranks are -1; magnitudes are the same; a map against its negative is unlike it."""
    a, _ = pair(3, channels=1)
    torch.testing.assert_close(spearman(a, -a), -torch.ones(4, dtype=torch.float64))
    assert (top_k_overlap(a, -a) == 1).all()
    assert (structural_similarity(a, -a) < 0).all()


def test_disjoint_tops_share_nothing_and_silent_elements_are_never_top():
    a = torch.zeros(1, 1, 2, 10)
    b = a.clone()
    a[0, 0, 0, 0], b[0, 0, 1, 5] = 1.0, 2.0
    assert top_k_overlap(a, b).item() == 0  # k = 2: the second place is not filled with zeros
    b[0, 0, 0, 0] = -1.0
    assert top_k_overlap(a, b).item() == 0.5


@pytest.mark.parametrize("measure", ALL)
def test_undefined_samples_are_nan_and_leave_the_others_alone(measure):
    a, b = pair(5)
    known = measure(a, b)
    broken = b.clone()
    broken[0], broken[1, 0, 0, 0] = 0, torch.nan
    found = measure(a, broken)
    assert found.isnan().tolist() == [True, True, False, False]
    assert torch.equal(found[2:], known[2:])
