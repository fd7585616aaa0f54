"""Attributions beyond a cap. Oracles: what lies on disk, which cells a later run computes, the same values again."""

from __future__ import annotations

import pytest


@pytest.fixture
def capped(finished, tmp_path):
    """A suite that is finished under a cap of nothing: one more metric made its runs compute something."""
    place = finished.copy(tmp_path)
    place.edit("chunk = 10", "chunk = 10\nkeep_attributions_mb = 0")
    place.edit('use = "sparseness"', 'use = "sparseness"\n[[metrics]]\nname = "complexity"\nuse = "complexity"')
    return place


def attributions(place):
    return sorted((place.root / "results" / "tiny" / "artefacts").glob("*/attributions.npz"))


def values(place, metric):
    chosen = [head for head in place.heads() if head["spec"]["kind"] == "score" and head["spec"]["metric"] == metric]
    return {head["hash"]: head["rows"]["sha256"] for head in chosen}


@pytest.mark.long
def test_a_finished_suite_keeps_the_first_and_makes_others_again_where_they_are_needed(capped):
    made, scores = attributions(capped), values(capped, "sparseness")
    assert len(made) == 8  # two models, two explainers, two chunks
    first = capped.assay("run", "tiny", "--workers", 1)
    assert "attributions beyond 0 MB are not kept" in first.stdout + first.stderr
    assert "computed 8, known 36" in first.stdout
    assert not attributions(capped)
    again = capped.assay("run", "tiny", "--workers", 1)
    assert "computed 0, known 44" in again.stdout
    capped.edit('use = "complexity"', 'use = "complexity"\n[[metrics]]\nname = "third"\nuse = "effective-complexity"')
    third = capped.assay("run", "tiny", "--workers", 1)
    assert "computed 16, known 36" in third.stdout  # eight scores, and the attributions that they need
    assert values(capped, "sparseness") == scores
    assert not attributions(capped)


def test_the_first_ones_stay_up_to_the_cap(capped):
    sizes = [file.stat().st_size for file in attributions(capped)]
    capped.edit("keep_attributions_mb = 0", f"keep_attributions_mb = {2.5 * max(sizes) / 1e6}")
    capped.assay("run", "tiny", "--workers", 1)
    kept = [file.stat().st_size for file in attributions(capped)]
    assert 2 <= len(kept) < len(sizes)
    assert sum(kept) <= 2.5 * max(sizes)
