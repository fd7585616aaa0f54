"""Robustness, randomisation and axioms against Quantus on small networks, one CPU thread, one run (``-m speed``).

Oracle: Quantus on the same float32 samples, explainer (saliency) and numbers of copies, layers and steps: time and
model passes side by side (``-s`` prints the tables), values equal where nothing is drawn. Quantus is called as its
users call it, without its own normalisation; ours is the plugin, clean outputs at hand as in a run. Timed is processor
time, the least of several rounds. Passes are forwards of the bare network, in samples; each explanation has a
backward too.

The second half is ResNet-18 at 224 on 4 images, with at most 32 passes of a batch a metric: no more passes than
Quantus, and what our code adds to the explanations and forwards (and to re-initialising the layers, 11.7 million
weights, which is timed alone) is below 10 % of the time; where a metric has a single pass, below 15 ms an image, which
is what ranking 150,528 elements twice and sharing ranks among ties costs on a busy machine.
"""

import copy
import time
import warnings
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.explainers.base import Explainer, explainers
from benchmark.metrics.base import Explained, metrics
from benchmark.metrics.functional.layers import randomised
from benchmark.models.wrap import Model
from benchmark.seeds import Draws, global_seed

with warnings.catch_warnings(), global_seed(0):
    warnings.simplefilter("ignore")
    import quantus

pytestmark = [pytest.mark.speed, pytest.mark.benchmark(timer=time.process_time)]

SAMPLES = {32: 16, 224: 4}
ROUNDS = {("assay", 32): 5, ("assay", 224): 3, ("quantus", 32): 3, ("quantus", 224): 2}
QUIET = {"normalise": False, "return_aggregate": False, "disable_warnings": True, "display_progressbar": False}
SIGNED = {"abs": False}


@dataclass(frozen=True)
class Row:
    """A plugin and Quantus' class with the same work."""

    use: str
    params: dict[str, Any]
    other: str
    options: dict[str, Any] = field(default_factory=dict)
    softmax: bool = False
    channels: int = 3
    sizes: tuple[int, ...] = (32, 224)
    same: bool = False  # the values can be compared


def rows(copies=10, classes=10, **stages):
    """With ``stages``, Quantus randomises all layers at once as we do with one stage."""
    few = {"nr_samples": copies}
    last = {"skip_layers": True} if stages else {}
    return [
        Row("max-sensitivity", few, "MaxSensitivity", few | SIGNED),
        Row("avg-sensitivity", few, "AvgSensitivity", few | SIGNED),
        Row("local-lipschitz", few, "LocalLipschitzEstimate", few | SIGNED),
        Row("relative-input-stability", few, "RelativeInputStability", few | SIGNED),
        Row("relative-output-stability", few, "RelativeOutputStability", few | SIGNED),
        Row("relative-representation-stability", few, "RelativeRepresentationStability", few | SIGNED),
        Row("continuity", {"nr_steps": copies}, "Continuity", {"nr_steps": copies} | SIGNED),
        Row("mprt", stages, "MPRT", last | SIGNED),
        Row("smooth-mprt", few | stages, "SmoothMPRT", few | last | {"layer_order": "top_down"} | SIGNED),
        Row("efficient-mprt", {}, "EfficientMPRT", SIGNED, softmax=True),
        Row("random-logit", {}, "RandomLogit", {"num_classes": classes} | SIGNED),
        Row("completeness", {}, "Completeness", SIGNED),
        # one element a step, all that Quantus can; at 224 that is 50,176 passes
        Row("non-sensitivity", {"features_in_step": 1}, "NonSensitivity", {"abs": True, "perturb_baseline": 0.0},
            channels=1, sizes=(32,), same=True),
        Row("input-invariance", {}, "InputInvariance", SIGNED),
    ]  # fmt: skip


found: dict[tuple[Any, ...], dict[str, Any]] = {}


class Passes:
    """Forwards of a network and of its copies, in samples."""

    def __init__(self, network):
        self.samples = 0
        network.register_forward_hook(self._count)

    def _count(self, module, given, output):
        self.samples += len(output)

    def __deepcopy__(self, memo):
        return self


def cnn(channels, size):
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(channels, 16, 3, stride=1 if size == 32 else 4),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(512, 10),
    ]
    return Model(nn.Sequential(*layers))


def evidence(model, channels, size, n, explainer):
    """Smooth images, their predictions and attributions."""
    coarse = torch.rand((n, channels, 8, 8), generator=torch.Generator().manual_seed(0))
    inputs = nn.functional.interpolate(coarse, size=size, mode="bilinear")
    with torch.no_grad():
        logits = model(inputs)
        targets = logits.argmax(1)
    attributions = explainer.explain(model, inputs, targets, generator=Draws(range(n)))
    known = {"logits": logits}
    return Explained(model, inputs, targets, targets, attributions, None, explainer, Draws(range(n)), _known=known)


def ours(row, given):
    metric = metrics.make(row.use, row.params)

    def call():
        return metric.score(Explained(**{**vars(given), "generator": Draws(given.generator.seeds)})).numpy()

    return call


def theirs(row, given):
    def explain(model, inputs, targets, **_):
        x, y = torch.as_tensor(np.asarray(inputs), dtype=torch.float32), torch.as_tensor(targets)
        return given.explainer.explain(model, x, y, generator=Draws(range(len(x)))).numpy()

    model = given.model.network if row.use == "input-invariance" else given.model

    def call():
        with warnings.catch_warnings(), np.errstate(all="ignore"), global_seed(0):
            warnings.simplefilter("ignore")
            metric = getattr(quantus, row.other)(**{**QUIET, **row.options})
            with mock.patch("quantus.explain", explain):  # SmoothMPRT's own explainer
                scores = metric(
                    model=model,
                    x_batch=given.inputs.numpy(),
                    y_batch=given.targets.numpy(),
                    a_batch=given.attributions.numpy().copy(),
                    channel_first=True,
                    explain_func=explain,
                    softmax=row.softmax,
                    device="cpu",
                    batch_size=len(given.inputs),
                )
            for name in ("_get_last_softmax_layer_index", "_get_model_with_linear_top"):
                getattr(quantus.helpers.model.pytorch_model.PyTorchModel, name).cache_clear()
            return scores

    return call


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


CASES = [(size, row) for size in SAMPLES for row in rows() if size in row.sizes]


@pytest.mark.parametrize(("size", "row"), CASES, ids=[f"{size}-{row.use}" for size, row in CASES])
@pytest.mark.parametrize("contender", ["quantus", "assay"])
def test_time(benchmark, contender, size, row):
    n = 4 if row.use == "non-sensitivity" else SAMPLES[size]
    given = evidence(cnn(row.channels, size), row.channels, size, n, explainers.make("saliency"))
    if row.same:  # ours are shares of the largest
        given.attributions /= given.attributions.flatten(1).abs().amax(1).view(-1, 1, 1, 1)
    passes = Passes(given.model.network)
    work, rounds = {"assay": ours, "quantus": theirs}[contender](row, given), ROUNDS[contender, size]
    values = benchmark.pedantic(work, rounds=rounds, warmup_rounds=1)
    found[size, row.use, contender] = {
        "seconds": benchmark.stats.stats.min / n,
        "passes": passes.samples / n / (rounds + 1),
        "values": values,
    }
    benchmark.extra_info["passes a sample"] = found[size, row.use, contender]["passes"]


@pytest.mark.parametrize("size", SAMPLES)
def test_ratios(size):
    """No metric slower, none with more passes, the values equal where nothing is drawn."""
    lines = ["| metric | ms a sample | Quantus | ratio | passes | Quantus |", "|---|---|---|---|---|---|"]
    ratios, more = {}, {}
    for row in rows():
        if size not in row.sizes:
            continue
        mine, other = (found.get((size, row.use, contender)) for contender in ("assay", "quantus"))
        if mine is None or other is None:
            pytest.skip(f"not measured in this run: {row.use}")
        ratios[row.use] = other["seconds"] / mine["seconds"]
        more[row.use] = mine["passes"] - other["passes"]
        cells = [row.use, f"{mine['seconds'] * 1e3:.3g}", f"{other['seconds'] * 1e3:.3g}", f"{ratios[row.use]:.2f}"]
        cells += [f"{one['passes']:.4g}" for one in (mine, other)]
        lines.append(f"| {' | '.join(cells)} |")
        if row.same:
            np.testing.assert_allclose(mine["values"] * row.channels * size**2, other["values"], atol=1.5)
    print(f"\n{size}x{size}\n\n" + "\n".join(lines) + "\n")
    slow = {name: round(ratio, 2) for name, ratio in ratios.items() if ratio < 1}
    assert not slow, slow
    assert max(more.values()) <= 1, more  # input-invariance looks whether the network is compensated


# -- ResNet-18 at 224 ----------------------------------------------------------------------------------------------


class Timed(Explainer):
    """An explainer that adds up its time."""

    inner: Any
    clock: Any  # a Clock

    def explain(self, model, inputs, targets, *, generator):
        start, forwards = time.process_time(), self.clock.forwards
        result = self.inner.explain(model, inputs, targets, generator=generator)
        self.clock.explaining += time.process_time() - start
        self.clock.forwards = forwards  # forwards within are the explainer's
        return result


class Clock:
    """Seconds spent in the explainer, and in forwards of a model outside of it."""

    def __init__(self, model):
        self.explaining, self.forwards, self.starts = 0.0, 0.0, []
        model.register_forward_pre_hook(lambda *_: self.starts.append(time.process_time()))
        model.register_forward_hook(self._done)

    def _done(self, *_):
        self.forwards += time.process_time() - self.starts.pop()

    def __deepcopy__(self, memo):
        return self


RESNET = [
    row for row in rows(copies=6, classes=1000, stages=1) if row.use not in ("non-sensitivity", "input-invariance")
]


@pytest.mark.parametrize("explainer", ["saliency", "integrated-gradients"])
@pytest.mark.parametrize("row", RESNET, ids=[row.use for row in RESNET])
def test_resnet(row, explainer):
    """No more passes than Quantus (at most 32 a metric), our own time below 10 % of all."""
    resnet = pytest.importorskip("torchvision").models.resnet18
    torch.manual_seed(0)
    network = resnet(weights=None)
    method = explainers.make(explainer, {"steps": 4} if explainer == "integrated-gradients" else {})
    if explainer == "integrated-gradients" and "nr_samples" in row.params:  # four passes each, at most 32 in all
        few = {"nr_samples": 4 if row.use == "smooth-mprt" else 5}
        row = Row(row.use, row.params | few, row.other, row.options | few)
    given = evidence(Model(network), 3, 224, 4, method)
    passes = Passes(network)
    with global_seed(0):
        theirs(row, given)()
    other, passes.samples = passes.samples, 0

    clock = Clock(given.model)
    call = ours(row, Explained(**{**vars(given), "explainer": Timed(inner=method, clock=clock)}))
    start = time.process_time()
    call()
    total = time.process_time() - start
    bare = clock.explaining + clock.forwards
    if "mprt" in row.use:
        start = time.process_time()
        list(randomised(given.model, seed=42, stages=1))
        bare += time.process_time() - start
    share = 1 - bare / total
    print(
        f"\n| {row.use} | {explainer} | {total:.2f} s | overhead {share:.1%} "
        f"| passes {passes.samples / 4:g} | {other / 4:g} |"
    )
    assert passes.samples <= other
    assert passes.samples / 4 <= 32
    found["resnet", row.use, explainer] = {"share": share, "total": total}
    assert share < 0.10 or (passes.samples <= 8 and share * total < 0.06), (share, total)


def test_copies_share_the_count():
    """The counter itself: a forward of a copy is counted with the original's."""
    model = cnn(3, 32)
    passes = Passes(model.network)
    copy.deepcopy(model)(torch.rand(5, 3, 32, 32))
    assert passes.samples == 5
