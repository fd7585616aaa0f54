"""DeepFool (l2) against foolbox, torchattacks and ART on four networks, one CPU thread, one run (``-m speed``).

Oracle: the libraries themselves, on the same samples. They are called as their users call them, on a module whose
parameters require gradients (torch's default); foolbox is timed on frozen parameters too, which is how our adapter
runs it. ``assay`` is the plugin as it comes, ``assay-exact`` with ``keep = 0``, ``assay-all`` with all 1,000 classes as
candidates. Timed is processor time, so that other work on the machine does not count; compared are seconds a sample.
torchattacks and ART loop over samples, so they get fewer of them (``COUNTS``): the first ones, on which our success
and median norm are taken too when they are compared. Counted are the wrapper's forwards and backwards, in samples.
ART is an extra (``pip install -e .[speed]``); the networks of MNIST and CIFAR need ASSAY_DATA.
"""

import copy
import time
import warnings

import numpy as np
import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.data.base import Grid, datasets
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from tests.conftest import data_folder
from tests.models import checkpoints

pytestmark = [pytest.mark.speed, pytest.mark.benchmark(timer=time.process_time)]

STEPS, OVERSHOOT = 50, 0.02
CONTENDERS = ("assay", "assay-exact", "assay-all", "foolbox", "foolbox-frozen", "torchattacks", "art")
ROUNDS = {"assay": 5, "assay-exact": 1, "assay-all": 2, "foolbox": 2, "foolbox-frozen": 2, "torchattacks": 1, "art": 1}
COUNTS = {
    "digits_cnn": {"torchattacks": 60, "art": 40},
    "mnist_lenet": {"torchattacks": 30, "art": 20},
    "resnet20": {"torchattacks": 40, "art": 10},
    "thousand": {"torchattacks": 2, "art": 6},
}
# smallest ratios accepted; docs/speed.md has what was seen. The goal is 5, 30 and 30, on every network; less is asked
# where the ratio seen is near it, or where foolbox is not called as it comes.
LEAST = {
    "digits_cnn": {"foolbox": 5, "foolbox-frozen": 4, "torchattacks": 30, "art": 30},
    "mnist_lenet": {"foolbox": 5, "foolbox-frozen": 4, "torchattacks": 30, "art": 30},
    "resnet20": {"foolbox": 5, "foolbox-frozen": 4, "torchattacks": 15, "art": 30},
    "thousand": {"foolbox": 4, "foolbox-frozen": 2, "torchattacks": 30, "art": 30},
}
found: dict[tuple[str, str], dict[str, float]] = {}
norms: dict[tuple[str, str], np.ndarray] = {}


def from_dataset(model, dataset, n):
    batch = dataset.load("test", dataset.index("test").ids[:n], Grid())
    x, y = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    right = model(x).argmax(1) == y
    return model, x[right], y[right]


def digits_cnn():
    return from_dataset(build_model(load_entry("digits_cnn")), datasets.make("digits"), 500)


def mnist_lenet():
    folder = data_folder("digits_mnist_usps_mnistm")
    return from_dataset(build_model(load_entry("mnist_lenet")), datasets.make("mnist-idx", {"path": folder}), 200)


def cifar_images(n):
    path = data_folder("cifar10_subset") / "cifar10_lossless.npz"
    dataset = datasets.make("npz", {"path": path})
    return torch.as_tensor(dataset.load("test", dataset.index("test").ids[:n], Grid()).inputs)


def resnet20():
    images = data_folder("cifar10_subset") / "cifar10_lossless.npz"
    return from_dataset(checkpoints.resnet20(data_folder("weights_small")), datasets.make("npz", {"path": images}), 100)


def thousand():
    """A seeded convolutional network of 1,000 classes on smooth random images of 3x64x64; labels: its predictions."""
    torch.manual_seed(0)
    layers = [(3, 32, 5), (32, 64, 3), (64, 128, 3)]
    parts = [m for i, o, k in layers for m in (torch.nn.Conv2d(i, o, k, 2, k // 2), torch.nn.ReLU())]
    network = torch.nn.Sequential(*parts, torch.nn.Flatten(), torch.nn.Linear(128 * 8 * 8, 1000))
    for layer in network:
        if hasattr(layer, "weight"):
            torch.nn.init.kaiming_normal_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    model = Model(network, mean=[0.5] * 3, std=[0.25] * 3)
    coarse = torch.rand((64, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    x = torch.nn.functional.interpolate(coarse, size=64, mode="bilinear")
    return model, x, model(x).argmax(1)


NETWORKS = {"digits_cnn": digits_cnn, "mnist_lenet": mnist_lenet, "resnet20": resnet20, "thousand": thousand}


@pytest.fixture(scope="module", params=NETWORKS)
def case(request):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield request.param, *NETWORKS[request.param]()
    torch.set_num_threads(threads)


def ours(model, x, y, **params):
    attack = attacks.make("deepfool", {"steps": STEPS, "overshoot": OVERSHOOT, **params})
    return lambda: attack.run(model, x, y, eps=None, generator=Draws([0] * len(x))).inputs


def foolboxs(model, x, y):
    import foolbox

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.L2DeepFoolAttack(steps=STEPS, overshoot=OVERSHOOT)
    return lambda: attack(wrapped, x, y, epsilons=None)[0]


def torchattackss(model, x, y):
    import torchattacks

    attack = torchattacks.DeepFool(model, steps=STEPS, overshoot=OVERSHOOT)
    return lambda: attack(x, y)


def arts(model, x, y):
    pytest.importorskip("art", reason="ART is not installed: pip install -e .[speed]")
    from art.attacks.evasion import DeepFool
    from art.estimators.classification import PyTorchClassifier

    with torch.no_grad():
        classes = model(x[:1]).shape[1]
    wrapped = PyTorchClassifier(
        model,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=tuple(x.shape[1:]),
        nb_classes=classes,
        clip_values=(0, 1),
        device_type="cpu",
    )
    attack = DeepFool(wrapped, max_iter=STEPS, verbose=False)
    return lambda: torch.from_numpy(attack.generate(x.numpy()))


def contender(name, model, x, y):
    makers = {"foolbox": foolboxs, "torchattacks": torchattackss, "art": arts}
    if name.startswith("assay"):
        return ours(model, x, y, **{"assay-exact": {"keep": 0}, "assay-all": {"candidates": 0}}.get(name, {}))
    return makers[name.removesuffix("-frozen")](model, x, y)


@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.filterwarnings("ignore")  # theirs
def test_time(benchmark, case, name):
    network, model, x, y = case
    if name == "assay-all" and network != "thousand":
        pytest.skip("all ten classes are candidates already")
    n, rounds = COUNTS[network].get(name, len(x)), ROUNDS[name]
    x, y = x[:n], y[:n]
    model = copy.deepcopy(model)  # ART moves and wraps it
    model.requires_grad_(name in ("foolbox", "torchattacks", "art"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attack = contender(name, model, x, y)
    warmup = int(rounds > 1)
    with model.counter.counting() as used:
        outputs = benchmark.pedantic(attack, rounds=rounds, warmup_rounds=warmup).detach()
    model.eval().requires_grad_(False)
    calls = n * (rounds + warmup)
    won = (model(outputs).argmax(1) != y).numpy()
    moved = (outputs - x).double().flatten(1).norm(dim=1).numpy()
    norms[network, name] = np.where(won, moved, np.nan)
    found[network, name] = {
        "samples": n,
        "seconds": benchmark.stats.stats.min / n,
        "success": float(won.mean()),
        "median": float(np.median(moved[won])) if won.any() else float("nan"),
        "forwards": used.forwards / calls,
        "backwards": used.backwards / calls,
    }
    benchmark.extra_info.update(found[network, name])


def median(network, name):
    """Our median norm on the samples that a contender broke."""
    theirs = norms[network, name]
    return float(np.median(norms[network, "assay"][: len(theirs)][np.isfinite(theirs)]))


def table(network):
    lines = [
        "| contender | samples | ms a sample | ratio | success | median norm | ours on these | forwards | backwards |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    fastest = found[network, "assay"]["seconds"]
    for name in CONTENDERS:
        if (network, name) in found:
            row = found[network, name]
            cells = [name, row["samples"], f"{row['seconds'] * 1e3:.3g}", f"{row['seconds'] / fastest:.1f}"]
            cells += [f"{row['success']:.3f}", f"{row['median']:.4f}", f"{median(network, name):.4f}"]
            cells += [f"{row['forwards']:.1f}", f"{row['backwards']:.1f}"]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


@pytest.mark.parametrize("network", NETWORKS)
def test_ratios(network):
    """At least as successful, at an equal or smaller median norm, and faster; printed with ``-s``."""
    missing = [name for name in CONTENDERS if name not in ("art", "assay-all") and (network, name) not in found]
    if missing:
        pytest.skip(f"not measured in this run: {', '.join(missing)}")
    print(f"\n{network}\n\n{table(network)}\n")
    mine = norms[network, "assay"]
    for name in CONTENDERS[1:]:
        if (network, name) not in found:
            continue
        theirs = norms[network, name]
        same = mine[: len(theirs)]
        assert np.isfinite(same).sum() >= np.isfinite(theirs).sum(), name
        broken = np.isfinite(theirs)  # an attack that fails on the hard ones must not look closer for it
        # ART's overshoot is 1e-6 to our 0.02
        assert median(network, name) <= np.median(theirs[broken]) * (1.025 if name == "art" else 1.005), name
    fastest = found[network, "assay"]["seconds"]
    ratios = {name: found[network, name]["seconds"] / fastest for name in LEAST[network] if (network, name) in found}
    short = {name: ratio for name, ratio in ratios.items() if ratio < LEAST[network][name]}
    assert not short, ratios
