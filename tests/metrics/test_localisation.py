"""Localisation. Oracles: known values, Quantus called directly, the dataset's own word on masks."""

import numpy as np
import pytest
import quantus
import torch

from benchmark.data.base import Index
from benchmark.metrics.base import metrics


@pytest.fixture
def masked(linear, explain):
    """Masks of 9 pixels; attributions on them, off them, on 3 of 9, on an empty mask."""
    model, inputs, _, _ = linear
    masks = np.zeros((4, 1, 6, 6), bool)
    masks[:3, :, :3, :3] = True
    values = np.zeros((4, 1, 6, 6), np.float32)
    values[0][masks[0]], values[1][~masks[1]], values[3] = 1, 1, np.arange(36).reshape(6, 6)
    values[2, 0, 0, :3], values[2, 0, 5, :], values[2, 0, 1:3, :3] = 3, 2, -1
    return explain(model, inputs[:4], values, masks=masks)


def test_rank_accuracy_of_known_attributions(masked):
    np.testing.assert_allclose(metrics.make("relevance-rank-accuracy").score(masked), [1, 0, 1 / 3, np.nan])


@pytest.mark.filterwarnings("ignore:Return np.nan:UserWarning")
def test_parity_with_quantus(masked, cnn, explain):
    torch.manual_seed(0)
    masks = np.random.default_rng(0).random((5, 1, 8, 8)) > 0.7
    batch = explain(cnn, torch.rand(5, 1, 8, 8), masks=masks)
    direct = quantus.RelevanceRankAccuracy(abs=False, normalise=False, disable_warnings=True)
    wanted = direct(
        model=cnn,
        x_batch=batch.inputs.numpy(),
        y_batch=batch.targets.numpy(),
        a_batch=batch.attributions.numpy(),
        s_batch=masks,
        channel_first=True,
    )
    np.testing.assert_allclose(metrics.make("relevance-rank-accuracy").score(batch), wanted)


def test_channels_are_summed_before_ranking(masked):
    wanted = masked.attributions[:, 0].numpy()
    noise = np.random.default_rng(0).integers(-9, 9, wanted.shape)
    parts = np.stack([noise, wanted - noise, np.zeros_like(wanted)], 1)
    masked.attributions = torch.as_tensor(parts.astype(np.float32))
    np.testing.assert_allclose(metrics.make("relevance-rank-accuracy").score(masked), [1, 0, 1 / 3, np.nan])


def test_skips_datasets_without_masks():
    def index(masks):
        return Index(ids=("a",), labels=np.zeros(1), classes=("0",), digest="", masks=masks)

    metric = metrics.make("relevance-rank-accuracy")
    assert metric.skip(None, None, index(True)) is None
    assert "masks" in metric.skip(None, None, index(False))


def test_without_masks_every_value_is_nan(linear, explain):
    model, inputs, _, perfect = linear
    assert np.isnan(metrics.make("relevance-rank-accuracy").score(explain(model, inputs, perfect))).all()
