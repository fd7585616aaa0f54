"""Spectral relevance analysis of one class: pooled heatmaps, neighbour graph, Laplacian, clusters (NumPy, SciPy,
scikit-learn)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MOST_CLUSTERS = 8
CONTRAST = 5.0


@dataclass(frozen=True)
class Spectrum:
    """What is found in the heatmaps of one class.

    Attributes:
        maps: (n, h, w) pooled heatmaps, absolute values summing to 1 each.
        clusters: (n,) int, 0 the largest.
        suspicion: (n,) in [0, 1], see :func:`suspicion`.
        embedding: (n, 2), t-SNE of ``maps``, to look at only.
        eigenvalues: of the normalised Laplacian, smallest first; at most 20.
        eigengap: the largest gap between neighbouring eigenvalues, behind which the number of clusters was read.
        silhouette: mean silhouette of the clusters in the space of the maps, [-1, 1]; NaN for a single one.
    """

    maps: Floats
    clusters: NDArray[np.int64]
    suspicion: Floats
    embedding: Floats
    eigenvalues: Floats
    eigengap: float
    silhouette: float


def pooled(attributions: NDArray[np.floating], most: int = 16) -> Floats:
    """Channels summed with their signs, pixels averaged in blocks to at most ``most`` a side, scaled to sum |R| = 1.

    Args:
        attributions: (n, C, H, W), signed.
        most: pixels a side; a side that the block does not divide loses the rest at its far end to a smaller block.

    Returns:
        (n, h, w) float64; NaN for a heatmap that is all zero or not finite.
    """
    maps = attributions.astype(np.float64).sum(1)
    for axis in (1, 2):
        block = -(-maps.shape[axis] // most)
        starts = np.arange(0, maps.shape[axis], block)
        sizes = np.diff([*starts, maps.shape[axis]])
        shape = [1, 1, 1]
        shape[axis] = len(sizes)
        maps = np.add.reduceat(maps, starts, axis=axis) / sizes.reshape(shape)
    total = np.abs(maps).sum((1, 2), keepdims=True)
    usable = np.isfinite(total) & (total > 0)
    scaled: Floats = np.divide(maps, total, out=np.full_like(maps, np.nan), where=usable)
    return scaled


def analyse(maps: Floats, neighbours: int = 10, *, embed: bool = True) -> Spectrum:
    """SpRAy of one class (Lapuschkin et al. 2019, Methods).

    The k nearest neighbours in Euclidean distance make a graph, symmetric by the larger of the two; the eigenvectors of
    its normalised Laplacian up to the largest eigengap (2 to 8 clusters), scaled to unit rows, are clustered by k-means
    (Ng, Jordan and Weiss 2002). Deterministic.

    Args:
        maps: (n, h, w) of :func:`pooled`, finite, n > neighbours.
        neighbours: k of the graph.
        embed: False leaves the t-SNE out (NaN).

    Raises:
        ValueError: too few maps for so many neighbours.
    """
    from scipy.sparse.csgraph import laplacian
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import kneighbors_graph

    n = len(maps)
    if n <= neighbours:
        raise ValueError(f"{n} heatmaps have no {neighbours} neighbours each; explain more samples of the class")
    flat = maps.reshape(n, -1)
    graph = kneighbors_graph(flat, neighbours, mode="connectivity", include_self=False)
    affinity = graph.maximum(graph.T).toarray()
    values, vectors = np.linalg.eigh(np.asarray(laplacian(affinity, normed=True)))
    gaps = np.diff(values[: MOST_CLUSTERS + 1])
    count = int(np.argmax(gaps[1:])) + 2  # a class is looked at for what splits it
    rows = vectors[:, :count]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    assigned = KMeans(count, n_init=10, random_state=0).fit_predict(rows)
    clusters = by_size(assigned)
    single = len(set(clusters.tolist())) < 2
    return Spectrum(
        maps=maps,
        clusters=clusters,
        suspicion=suspicion(maps, clusters),
        embedding=tsne(flat) if embed else np.full((n, 2), np.nan),
        eigenvalues=values[:20],
        eigengap=float(gaps[count - 1]),
        silhouette=float("nan") if single else float(silhouette_score(flat, clusters)),
    )


def by_size(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Cluster labels renamed so that 0 is the largest (of equal ones the first met)."""
    names, first, counts = np.unique(labels, return_index=True, return_counts=True)
    order = sorted(range(len(names)), key=lambda i: (-counts[i], first[i]))
    renamed = {names[i]: rank for rank, i in enumerate(order)}
    return np.asarray([renamed[label] for label in labels], dtype=np.int64)


def suspicion(maps: Floats, clusters: NDArray[np.int64], contrast: float = CONTRAST) -> Floats:
    """Share of a sample's positive relevance where its cluster looks and some other cluster of the class does not.

    A place is the cluster's own where its mean positive relevance is more than ``contrast`` times that of the cluster
    of the class that has least there. A mark that only some samples carry is such a place; a stroke that all share is
    not.

    Args:
        maps: (n, h, w).
        clusters: (n,).
        contrast: how many times more.

    Returns:
        (n,) in [0, 1]; 0 where there is one cluster, or no positive relevance.
    """
    positive = np.clip(maps.reshape(len(maps), -1), 0, None)
    total = positive.sum(1, keepdims=True)
    positive = np.divide(positive, total, out=np.zeros_like(positive), where=total > 0)
    names = sorted(set(clusters.tolist()))
    means = np.stack([positive[clusters == name].mean(0) for name in names])
    scores = np.zeros(len(maps))
    if len(names) < 2:
        return scores
    for i, name in enumerate(names):
        own = means[i] > contrast * np.delete(means, i, axis=0).min(0)
        scores[clusters == name] = positive[clusters == name][:, own].sum(1)
    return scores


def tsne(flat: Floats) -> Floats:
    """(n, 2) by scikit-learn's t-SNE, seeded; distances and sizes in it mean little."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, max(1.0, (len(flat) - 1) / 3))
    started: Floats = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(flat).astype(np.float64)
    return started
