"""SpRAy. Oracles: scikit-learn (AUC, silhouette), graph theory (components), heatmaps whose clusters are known,
closed forms, and controls: attributions without any structure."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, silhouette_score
from torch import nn

from benchmark.errors import UsageError
from benchmark.intervals import auc_interval as auc
from benchmark.metrics.base import metrics
from benchmark.metrics.spray.clusters import analyse, by_size, pooled, suspicion
from benchmark.metrics.spray.picture import by_suspicion, draw, of_class
from benchmark.models.wrap import Model


def strategies(n=30, marked=12, seed=0):
    """Heatmaps of one class: noise, a stroke in the middle that all share, and a corner that some use besides."""
    r = np.random.default_rng(seed)
    maps = 0.05 * r.random((n, 1, 8, 8))
    maps[:, 0, 2:6, 4] += 1 + 0.2 * r.random((n, 4))
    who = np.arange(n) < marked
    maps[who, 0, :2, :2] += 0.8
    return maps, who


def test_a_known_cluster_is_found_and_suspected():
    maps, who = strategies()
    found = analyse(pooled(maps))
    names = found.clusters[who]
    assert len(set(names)) == 1
    assert not (found.clusters[~who] == names[0]).any()
    assert found.suspicion[who].min() > 0.3
    assert found.suspicion[~who].max() < 0.1
    assert roc_auc_score(who, found.suspicion) == 1.0
    assert by_suspicion(found)[0] == names[0]
    flat = found.maps.reshape(len(maps), -1)
    assert found.silhouette == pytest.approx(silhouette_score(flat, found.clusters))


def test_eigenvalues_of_separate_components_are_zero():
    """Spectral graph theory: as many zeros as components; three far groups of 15 are three components at k = 10."""
    r = np.random.default_rng(0)
    maps = np.zeros((45, 1, 4, 4))
    for i in range(45):
        maps[i, 0, i // 15] = 1 + 0.01 * r.random(4)
    found = analyse(pooled(maps))
    assert np.allclose(found.eigenvalues[:3], 0, atol=1e-9)
    assert found.eigenvalues[3] > 0.1
    assert [len(set(found.clusters[i : i + 15])) for i in (0, 15, 30)] == [1, 1, 1]
    assert len(set(found.clusters)) == 3
    assert found.eigengap == pytest.approx(found.eigenvalues[3] - found.eigenvalues[2])


def test_scale_and_order_do_not_matter():
    maps, _ = strategies()
    whole = analyse(pooled(maps), embed=False)
    scaled = analyse(pooled(maps * np.random.default_rng(1).uniform(0.1, 9, (30, 1, 1, 1))), embed=False)
    np.testing.assert_allclose(scaled.suspicion, whole.suspicion, atol=1e-12)
    order = np.random.default_rng(2).permutation(30)
    mixed = analyse(pooled(maps[order]), embed=False)
    np.testing.assert_allclose(mixed.suspicion, whole.suspicion[order], atol=1e-12)


def test_suspicion_in_closed_form():
    """Two clusters: one has a quarter of its relevance where the other has none; negative relevance does not count."""
    maps = np.zeros((4, 2, 2))
    maps[:2, 0] = (3, 1)
    maps[2:, 0] = (4, 0)
    maps[:, 1, 1] = -1
    np.testing.assert_allclose(suspicion(maps, np.array([0, 0, 1, 1])), [0.25, 0.25, 0, 0])
    np.testing.assert_allclose(suspicion(maps, np.zeros(4, int)), 0)
    maps[2:, 0] = (3, 0.5)  # a seventh there: 1/4 is less than 5 times as much
    np.testing.assert_allclose(suspicion(maps, np.array([0, 0, 1, 1])), 0)


def test_control_of_attributions_without_structure():
    """Random heatmaps carry nothing: detection stays within the noise of the AUC, over 10 draws."""
    who = np.arange(40) < 20
    found = []
    for seed in range(10):
        maps = np.random.default_rng(seed).normal(size=(40, 1, 8, 8))
        found.append(auc(analyse(pooled(maps), embed=False).suspicion, who)[0])
    assert abs(np.mean(found) - 0.5) < 0.08  # sd of one AUC of 20 against 20 is 0.09


def test_pooling_sums_channels_and_keeps_signs():
    a = np.zeros((2, 3, 4, 6))
    a[0, :, :2, :2] = 1  # one block of 2x2, three channels
    a[0, 0, 2:, 4:] = -1
    maps = pooled(a, most=3)
    assert maps.shape == (2, 2, 3)
    np.testing.assert_allclose(maps[0], [[0.75, 0, 0], [0, 0, -0.25]])
    assert np.isnan(maps[1]).all()  # all zero
    ragged = pooled(np.ones((1, 1, 5, 5)), most=3)  # blocks of 2, 2 and 1: means are means of what is there
    np.testing.assert_allclose(ragged[0], np.full((3, 3), 1 / 9))


def test_clusters_are_named_by_size():
    assert by_size(np.array([5, 2, 2, 9, 2, 9])).tolist() == [2, 0, 0, 1, 0, 1]


@pytest.mark.parametrize("shift", [0.0, 0.7, 2.0])
def test_auc_is_scikit_learns(shift):
    r = np.random.default_rng(3)
    who = np.arange(60) < 25
    values = np.round(r.normal(size=60) + shift * who, 1)  # with ties
    estimate, low, high = auc(values, who)
    assert estimate == pytest.approx(roc_auc_score(who, values))
    assert low < estimate < high
    assert auc(-values, who) == pytest.approx((1 - estimate, 1 - high, 1 - low))  # symmetry


def test_the_interval_of_the_auc_holds_the_truth():
    """Coverage where the truth is known: two normals a unit apart have AUC Phi(1/sqrt 2) = 0.7602."""
    r, who = np.random.default_rng(4), np.arange(40) < 20
    inside = 0
    for _ in range(400):
        _, low, high = auc(r.normal(size=40) + who, who)
        inside += low <= 0.760250 <= high
    assert 0.92 <= inside / 400 <= 0.99
    estimate, low, high = auc(np.arange(40.0), np.arange(40) >= 20)
    assert (estimate, high) == (1.0, 1.0)
    assert 0.8 < low < 0.95
    assert np.isnan(auc(np.arange(4.0), np.zeros(4, bool))).all()


def model():
    return Model(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))


def test_the_metric_keeps_classes_apart(explain):
    """Class 0 has the two strategies, class 1 another place, class 2 too few samples: NaN; so is a zero attribution."""
    maps, who = strategies(40, 15)
    other = np.roll(strategies(40, 15, seed=5)[0], 3, axis=3)
    attributions = np.concatenate([maps, other, maps[:5]])
    attributions[20] = 0
    targets = [0] * 40 + [1] * 40 + [2] * 5
    given = explain(model(), np.zeros((85, 1, 8, 8)), attributions, targets=targets)
    given.artefacts = torch.zeros(85, 1, 8, 8, dtype=torch.bool)
    given.artefacts[:15, :, :2, :2] = True
    found = metrics.make("spray").score(given)
    assert np.isnan(found["value"][80:]).all()
    assert np.isnan(found["value"][20])
    rest = np.delete(np.arange(40), 20)
    alone = explain(model(), np.zeros((39, 1, 8, 8)), maps[rest], targets=[0] * 39)
    np.testing.assert_array_equal(metrics.make("spray").score(alone)["value"], found["value"][rest])
    assert found["carries"].tolist() == [1.0] * 15 + [0.0] * 70
    assert found["target"].tolist() == targets
    assert len(set(found["silhouette"][rest])) == 1
    assert found["silhouette"][0] != found["silhouette"][40]
    assert np.isfinite(found["x"][:20]).all()
    assert roc_auc_score(who[rest], found["value"][rest]) == 1.0


def test_without_known_artefacts_there_is_no_truth(explain):
    maps, _ = strategies(24, 10)
    found = metrics.make("spray").score(explain(model(), np.zeros((24, 1, 8, 8)), maps, targets=[1] * 24))
    assert "carries" not in found
    assert np.isfinite(found["value"]).all()


def test_too_few_of_a_class_say_what_would_do():
    maps, _ = strategies(24, 10)
    known = ([f"s{i}" for i in range(24)], np.array([1] * 21 + [0] * 3), maps)
    with pytest.raises(UsageError, match=r"3 usable attributions, SpRAy with 10 neighbours needs 20;.*\[1\]"):
        of_class(known, 0, "model, lrp, class 0", 10, 16, lambda _: None, None)


def test_the_picture_shows_every_cluster_and_carrier():
    maps, who = strategies()
    known = ([f"s{i}" for i in range(30)], np.zeros(30, int), maps)
    carries = {f"s{i}": bool(w) for i, w in enumerate(who)}
    shown = of_class(known, 0, "a title", 10, 16, lambda names: np.zeros((len(names), 1, 8, 8)), carries)
    figure = draw(shown)
    scatter = figure.subfigs[0].axes[0].collections
    clusters = len(set(shown.spectrum.clusters))
    assert sum(len(points.get_offsets()) for points in scatter[:clusters]) == 30
    assert len(scatter[clusters].get_offsets()) == who.sum()
    blocks = figure.subfigs[1].subfigs
    assert len(blocks) == clusters
    assert "12 carry the mark" in blocks[0].get_suptitle()
