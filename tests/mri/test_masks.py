"""Masks: nested families, exact shares, spacing that is equal (fastMRI#54), and the same mask on every machine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import SpecError
from benchmark.mri.masks import MaskSpec, make_mask, mask_digest

SIZE = (32, 32)


@pytest.mark.parametrize("kind", ["vd2d", "vd1d", "radial"])
@given(shares=st.lists(st.floats(0.03, 1), min_size=2, max_size=2), seed=st.integers(0, 5))
def test_families_are_nested(kind, shares, seed):
    """Property: a larger share keeps every location of a smaller one."""
    small, large = (make_mask(MaskSpec(kind=kind, fraction=f, seed=seed), SIZE) for f in sorted(shares))
    assert not (small & ~large).any()


@pytest.mark.parametrize("kind", ["vd2d", "vd1d"])
@pytest.mark.parametrize("fraction", [1 / 14, 0.25, 0.54, 1.0])
def test_share(kind, fraction):
    mask = make_mask(MaskSpec(kind=kind, fraction=fraction), SIZE)
    assert abs(mask.mean() - fraction) <= (0.5 / 1024 if kind == "vd2d" else 0.5 / 32)


@pytest.mark.parametrize("step", [2, 3, 4, 8])
def test_equispaced_is_equally_spaced(step):
    columns = make_mask(MaskSpec(kind="equispaced", fraction=1 / step, centre=0.01), (4, 96))[0]
    assert set(np.diff(np.flatnonzero(columns))) == {step}
    assert columns[48]


@pytest.mark.parametrize("kind", ["vd2d", "vd1d", "equispaced", "radial"])
def test_the_centre_is_measured_and_density_falls(kind):
    mask = make_mask(MaskSpec(kind=kind, fraction=0.25), (64, 64))
    assert mask[30:34, 30:34].all()
    assert mask[16:48, 16:48].mean() > mask.mean()


def test_the_same_on_every_machine():
    """Pinned: a mask is data that results depend on."""
    spec = MaskSpec(fraction=0.54)
    assert mask_digest(make_mask(spec, SIZE)) == mask_digest(make_mask(spec, SIZE))
    assert mask_digest(make_mask(spec, SIZE))[:12] == "8194813970c4"


def test_an_empty_mask_is_refused():
    with pytest.raises(SpecError, match="raise fraction"):
        make_mask(MaskSpec(fraction=1e-6), (8, 8))
