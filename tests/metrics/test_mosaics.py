"""Mosaics. Oracles: closed forms on a network of single pixels, a control at 1 / side^2, gradients that are right by
construction, the logits of each image alone, refusals of networks that cannot be divided."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.errors import NotApplicableError
from benchmark.explainers.base import explainers
from benchmark.metrics.base import Explained, metrics
from benchmark.metrics.functional import mosaics as functional
from benchmark.models.mosaic import apart, cell, joined, on_mosaic, partly_apart, split
from benchmark.models.wrap import Model
from benchmark.seeds import Draws

USES = ("grid-pointing-game", "difull", "dipart")


class Pixels(nn.Module):
    """Logit k is the mean over places of w_k . x: each pixel speaks for itself, at any size."""

    def __init__(self):
        super().__init__()
        self.each = nn.Conv2d(4, 4, 1, bias=False)
        self.each.weight.data = 60 * torch.eye(4).view(4, 4, 1, 1) - 10

    def forward(self, x):
        return self.each(x).mean((2, 3))


def images(n=24, size=6, seed=0):
    """Images of four colours with noise: class k has most of channel k."""
    torch.manual_seed(seed)
    labels = torch.arange(n) % 4
    noise = 0.3 * torch.rand(n, 4, size, size)
    return noise + 0.4 * torch.eye(4)[labels].view(n, 4, 1, 1), labels


def given(model, explainer="input-x-gradient", rows=slice(None), **made):
    x, labels = images(**made)
    seeds = list(range(100, 100 + len(x)))[rows]
    x, labels = x[rows], labels[rows]
    method = explainers.make(explainer)
    return Explained(model, x, labels, labels, torch.zeros_like(x), None, method, Draws(seeds), shared=seeds)


def score(use, explained, **params):
    return metrics.make(use, params).score(explained)["value"].numpy()


def network(size=8, flat=False):
    torch.manual_seed(1)
    body = [nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    head = [nn.Flatten(), nn.Linear(8 * (size // 2) ** 2, 4)] if flat else [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = nn.Sequential(*body, *head, *([] if flat else [nn.Linear(8, 4)]))
    return Model(net, mean=[0.1] * 4, std=[0.5] * 4)


def sure_of_everything(model, x, labels):
    """The network's last layer, fitted so that it is sure of these images."""
    with torch.no_grad():
        seen = model.core[:-1](model.prepared(x))
        last = model.core[-1]
        wanted = 12.0 * torch.eye(4)[labels]
        both = torch.cat([seen, torch.ones(len(seen), 1)], 1)
        fitted = torch.linalg.lstsq(both, wanted, driver="gelsd").solution.T
        last.weight.copy_(fitted[:, :-1])
        last.bias.copy_(fitted[:, -1])
    return model


@pytest.fixture(scope="module")
def pooled():
    x, labels = images(size=8)
    return sure_of_everything(network(), x, labels)


@pytest.fixture(scope="module")
def flat():
    x, labels = images(size=8)
    return sure_of_everything(network(flat=True), x, labels)


def test_cells_are_put_together_and_taken_apart():
    x = torch.arange(2 * 1 * 4 * 6).view(2, 1, 4, 6)
    assert torch.equal(joined(split(x, 2), 2), x)
    for place, (top, left) in enumerate([(0, 0), (0, 3), (2, 0), (2, 3)]):
        assert torch.equal(cell(x, 2, place), x[:, :, top : top + 2, left : left + 3])
        assert torch.equal(split(x, 2)[place], x[0, :, top : top + 2, left : left + 3])


@pytest.mark.parametrize("side", [2, 3])
def test_a_mosaic_holds_the_sample_and_other_classes(side):
    x = torch.rand(40, 1, 2, 2)
    labels, seeds = [i % 11 for i in range(40)], [7 * i for i in range(40)]
    made = functional.arranged(range(5, 40), labels, seeds, side)
    assert made.rows == tuple(range(5, 40))
    for row, place, cells in zip(made.rows, made.places, made.cells, strict=True):
        assert cells[place] == row
        assert len({labels[i] for i in cells}) == side**2
        assert min(cells) >= 5  # the network is not sure of the first five
    assert len(set(made.places)) == side**2
    mosaic, mask = made.inputs(x, [0]), made.masks(x, [0])
    assert torch.equal(mosaic[mask].view(1, 2, 2), x[5])


def test_mosaics_do_not_depend_on_the_order_of_samples():
    labels, seeds = [i % 5 for i in range(20)], [31 * i % 97 for i in range(20)]
    made = functional.arranged(range(20), labels, seeds, 2)
    turned = functional.arranged(range(20), labels[::-1], seeds[::-1], 2)
    assert [[19 - j for j in cells] for cells in turned.cells[::-1]] == [list(cells) for cells in made.cells]


@pytest.mark.parametrize("use", USES)
def test_closed_form_on_pixels(use):
    """input x gradient is w_c * x / places: the share is that of its positive part; divided networks give 1."""
    explained = given(Model(Pixels()))
    found = score(use, explained, side=2)
    weight = explained.model.network.each.weight[:, :, 0, 0]
    made = functional.arranged(range(24), explained.labels.tolist(), explained.shared, 2)
    mosaics = made.inputs(explained.inputs, range(24))
    relevance = torch.einsum("nc,nchw->nhw", weight[explained.labels], mosaics).clamp(min=0)[:, None].double()
    wanted = (relevance * made.masks(explained.inputs, range(24))).sum((1, 2, 3)) / relevance.sum((1, 2, 3))
    np.testing.assert_allclose(found, wanted if use == "grid-pointing-game" else 1.0, rtol=1e-6)
    assert 0.5 < float(wanted.mean()) < 1


@pytest.mark.parametrize("use", USES)
def test_what_does_not_look_gets_its_share_of_the_area(use, pooled):
    found = score(use, given(pooled, "random", n=200, size=8))
    assert found.mean() == pytest.approx(0.25, abs=0.02)
    assert score(use, given(pooled, "constant", size=8)) == pytest.approx(0.25)
    nine = given(Model(Pixels()), "constant")
    assert np.isnan(score("grid-pointing-game", nine)).sum() == 0
    with pytest.raises(NotApplicableError, match=r"images of 9 classes.* of 24 samples there are 4 such classes"):
        score(use, nine, side=3)


@pytest.mark.parametrize("explainer", ["saliency", "input-x-gradient", "integrated-gradients"])
def test_in_difull_whatever_asks_the_network_is_right(explainer, pooled, flat):
    """Nothing outside the cell reaches the logit; of magnitudes (saliency) as of signed relevance."""
    for model in (pooled, flat):
        np.testing.assert_array_equal(score("difull", given(model, explainer, size=8)), 1.0)
        occluded = score("difull", given(model, "occlusion", size=8))
        assert 0.6 < occluded.min() < 1  # its windows reach over the edge of the cell


def test_divided_networks_give_the_logits_of_each_image(pooled, flat):
    x, _ = images(n=4, size=8)
    mosaic = joined(x, 2)
    for model in (pooled, flat):
        alone = model(x)
        for place in range(4):
            torch.testing.assert_close(apart(model, 2, place)(mosaic), alone[place : place + 1])
            torch.testing.assert_close(apart(model, 2, place, "4")(mosaic), alone[place : place + 1])
            partly = partly_apart(model, 2, place, "4")(mosaic)
            assert partly.shape == (1, 4)
            assert float((partly - alone[place]).abs().max()) > 1e-4  # its receptive fields reach the neighbours
    whole, height = on_mosaic(pooled, x, 2)
    assert height == 8
    torch.testing.assert_close(whole(mosaic), pooled(mosaic))


def test_maps_of_the_divided_network_lie_side_by_side(pooled):
    """GradCAM in DiFull is the class's weights (of one cell) on all cells' maps, as in the paper: it can miss."""
    explained = given(pooled, "gradcam", size=8)
    found = score("difull", explained)
    made = functional.arranged(range(24), explained.labels.tolist(), explained.shared, 2)
    maps = pooled.network[:5](pooled.prepared(explained.inputs))
    weights = pooled.network[-1].weight[explained.labels]
    for m in range(3):
        own = (maps[list(made.cells[m])] * weights[m].view(1, -1, 1, 1)).sum(1, keepdim=True).relu()
        wide = nn.functional.interpolate(joined(own, 2), size=(16, 16), mode="bilinear", align_corners=False)
        wanted = functional.relevance_mass(wide, made.masks(explained.inputs, [m]))
        assert found[m] == pytest.approx(float(wanted), abs=1e-5)
    assert (found < 1).any()
    assert found.mean() > 0.3


def test_hirescam_is_right_where_the_head_sees_one_cell(pooled):
    """Its map is zero outside the cell but for the bilinear edge."""
    for use in ("difull", "dipart"):
        assert np.nanmin(score(use, given(pooled, "hirescam", size=8))) > 0.8


def test_a_network_of_one_size_gets_smaller_cells(flat):
    x, _ = images(n=8, size=8)
    found = metrics.make("grid-pointing-game", {"confidence": 0.01}).score(given(flat, size=8))
    assert set(found["cell_height"].tolist()) == {4.0}
    whole, height = on_mosaic(flat, x, 2)
    assert height == 4
    small = nn.functional.interpolate(x[:4], size=(4, 4), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(whole(joined(x[:4], 2)), flat(joined(small, 2)))
    with pytest.raises(NotApplicableError, match="takes 8x8 alone, which 3 cells a side do not divide"):
        on_mosaic(flat, x, 3)


def test_a_map_that_does_not_grow_is_refused():
    fixed = nn.Sequential(nn.Conv2d(4, 4, 1), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 4))
    explained = given(Model(fixed), size=8)
    made = functional.arranged(range(24), explained.labels.tolist(), explained.shared, 2)
    given_ = (explained.model, explained.inputs, explained.labels, made)
    with pytest.raises(NotApplicableError, match=r"'1'\) is \(4, 4\) for an image and \(4, 4\) for 2x2"):
        functional.dipart(lambda *_: None, *given_, "1", (4, 4))


def test_what_goes_around_the_layer_is_refused():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 4)

        def forward(self, x):
            return self.head(self.body(x).mean((2, 3)) + x.mean((2, 3)).sum() / 100)

    explained = given(Model(Around()), size=8)
    made = functional.arranged(range(24), explained.labels.tolist(), explained.shared, 2)
    given_ = (explained.model, explained.inputs, explained.labels, made)
    with pytest.raises(NotApplicableError, match="gives other logits for a cell than for the image"):
        functional.difull(lambda *_: None, *given_, "body")


def test_only_images_that_the_network_is_sure_of(pooled):
    explained = given(pooled, size=8)
    explained.labels = explained.labels.clone()
    explained.labels[3] = (explained.labels[3] + 1) % 4
    found = metrics.make("grid-pointing-game").score(explained)
    assert np.flatnonzero(found["value"].isnan()).tolist() == [3]
    assert found["confidence"][3] == 0
    assert found["place"].isnan().tolist() == found["value"].isnan().tolist()


def test_calls_are_counted_in_images_of_the_suite(pooled):
    explained = given(pooled, "saliency", size=8)
    before = pooled.counter.forwards, pooled.counter.backwards
    score("grid-pointing-game", explained)
    # 24 clean ones, one look at a mosaic of noise at most, and 24 mosaics of 4 images
    assert pooled.counter.forwards - before[0] in {24 + 4 * 24, 24 + 4 * 25}
    assert pooled.counter.backwards - before[1] == 4 * 24


def test_the_model_is_left_as_it_was(pooled):
    names, geometry = [name for name, _ in pooled.named_modules()], pooled.geometry
    for use in USES:
        score(use, given(pooled, "gradcam", size=8))
    assert [name for name, _ in pooled.named_modules()] == names
    assert pooled.geometry is geometry
    assert (pooled.gradcam_layer, pooled.gradcam_layout) == ("", "")


@pytest.mark.parametrize("use", USES[:2])
def test_float64_agrees(use, pooled):
    single = score(use, given(pooled, size=8))
    explained = given(Model(pooled.network, mean=[0.1] * 4, std=[0.5] * 4).double(), size=8)
    explained.inputs = explained.inputs.double()
    np.testing.assert_allclose(score(use, explained), single, rtol=1e-4)
    pooled.float()
