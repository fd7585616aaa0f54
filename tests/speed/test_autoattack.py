"""AutoAttack against the authors' port (pyautoattack) and torchattacks on seven networks, one CPU thread, one run.

Oracle: the libraries themselves, on the same samples, all of them right: robust accuracies agree within 0.3 points or
one sample, and ours is never the weaker in the mean. torchattacks' members run the authors' 100 steps (its default is
10). The network of one logit is presented as two: neither library's standard ensemble takes two classes, so the
members that do are run (APGD on the cross-entropy, FAB, Square). Timed is processor time. Counted are forwards and
backwards through the model's wrapper, and of ours also those that the attack says. pyautoattack is an extra
(``pip install -e .[speed]``); the networks of MNIST and CIFAR need ASSAY_DATA, two of them onnx (of [dev]).

``python -m pytest -m speed tests/speed/test_autoattack.py -s`` prints the table of docs/speed.md.
"""

import time
import warnings

import numpy as np
import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.attacks.parameter_free.autoattack import MEMBERS
from benchmark.attacks.verify import allowed, in_range, norms
from benchmark.data.base import Grid, datasets
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.frozen import frozen
from benchmark.seeds import Draws
from tests.conftest import data_folder
from tests.models import checkpoints

pytestmark = [pytest.mark.speed, pytest.mark.benchmark(timer=time.process_time)]

CONTENDERS = ("assay", "pyautoattack", "torchattacks")
FEW, CHEAP, DEAR = 0.05, 0.1, 0.85  # where under FEW stay robust, at most CHEAP of their time; elsewhere DEAR
CIFAR = {"mean": (0.4914, 0.4824, 0.4467), "std": (0.2471, 0.2435, 0.2616)}
found: dict[tuple[str, str], dict] = {}


def right(model, dataset, n):
    batch = dataset.load("test", dataset.index("test").ids[:n], Grid())
    x, y = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    with torch.no_grad():
        chosen = model(x).argmax(1) == y
    return model, x[chosen], y[chosen]


def digits(name, n=60):
    return right(build_model(load_entry(name)), datasets.make("digits"), n)


def mnist(n=40):
    model = checkpoints.small(data_folder("weights_small"), "mnist/abcrown_cnn_a_adv.pt", 1, 1, 1568)
    return right(model, datasets.make("mnist-idx", {"path": data_folder("digits_mnist_usps_mnistm")}), n)


def cifar(model, n=42):
    return right(model, datasets.make("npz", {"path": data_folder("cifar10_subset") / "cifar10_lossless.npz"}), n)


def cifar_cnn():
    weights = data_folder("weights_small")
    return cifar(checkpoints.small(weights, "cifar10/abcrown_cnn_a_adv.pt", 3, 1, 2048, **CIFAR))


def one_logit():
    path = data_folder("chest_xray_pneumonia")
    model, dataset = build_model(load_entry("pneumonia_mlp")), datasets.make("folder", {"path": path})
    return right(model, dataset, 30)


def robust(build):
    pytest.importorskip("onnx")
    return cifar(build(data_folder("cifar10_robust")))


NETWORKS = {
    "digits_cnn_adv": (lambda: digits("digits_cnn_adv"), 0.1),
    "mnist_cnn_adv": (mnist, 0.3),
    "resnet20": (lambda: cifar(checkpoints.resnet20(data_folder("weights_small"))), 8 / 255),
    "cifar_cnn_adv": (cifar_cnn, 2 / 255),
    "sri_resnet_a": (lambda: robust(checkpoints.robust_resnet), 2 / 255),
    "vit_pgd": (lambda: robust(checkpoints.robust_vit), 2 / 255),
    "one_logit_mlp": (one_logit, 2 / 255),
}


def assay(model, x, y, eps, norm):
    return attacks.make("autoattack", {"norm": norm}).run(model, x, y, eps=eps, generator=Draws(range(len(x))))


def authors(model, x, y, eps, norm):
    pyautoattack = pytest.importorskip("pyautoattack")
    names = {"linf": "Linf", "l2": "L2", "l1": "L1"}
    two = int(model(x[:1]).shape[1]) < 4
    attack = pyautoattack.AutoAttack(
        model, norm=names[norm], eps=eps, seed=0, version="custom" if two else "standard",
        attacks=["apgd-ce", "fab", "square"] if two else None,
    )  # fmt: skip
    attack.verbose = False
    return attack.run_standard_evaluation(x, y, batch_size=len(x))[0]


def torchattackss(model, x, y, eps, norm):
    import torchattacks

    if int(model(x[:1]).shape[1]) < 4:
        pytest.skip("torchattacks' ensemble needs four classes")
    attack = torchattacks.AutoAttack(model, norm={"linf": "Linf", "l2": "L2"}[norm], eps=eps, seed=0, n_classes=10)
    for member in attack._autoattack.attacks:
        if hasattr(member, "steps"):
            member.steps = 100
    attack.set_device(x.device)
    return attack(x, y)


OTHERS = {  # network: budgets in l2 and l1 at which some samples hold
    "digits_cnn_adv": (0.5, 1.5), "mnist_cnn_adv": (1.5, 8.0), "resnet20": (0.1, 1.0), "cifar_cnn_adv": (0.25, 4.0),
    "sri_resnet_a": (0.25, 4.0), "vit_pgd": (0.25, 4.0),
}  # fmt: skip
RUN = {"assay": assay, "pyautoattack": authors, "torchattacks": torchattackss}
built: dict[str, tuple] = {}


def case(network):
    if network not in built:
        build, eps = NETWORKS[network]
        built[network] = (*build(), eps)
    return built[network]


@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_time(benchmark, network, name):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, x, y, eps = case(network)
    try:
        with frozen(model), warnings.catch_warnings(), model.counter.counting() as used:
            warnings.simplefilter("ignore")
            out = benchmark.pedantic(RUN[name], args=(model, x, y, eps, "linf"), rounds=1)
        result, out = (out, out.inputs) if name == "assay" else (None, out)
        with torch.no_grad():
            broken = (model(out).argmax(1) != y).numpy()
        valid = in_range(out) & (norms(x, out)["linf"] <= allowed(eps, "linf", x[0].numel()))
    finally:
        torch.set_num_threads(threads)
    found[network, name] = row = {
        "n": len(x),
        "robust": int((~(broken & valid)).sum()),
        "calls": used.forwards + used.backwards,
        "seconds": benchmark.stats.stats.min,
    }
    if result is not None:
        row["said"] = int(result.forwards.sum() + result.backwards.sum())
        row["shares"] = [float(result.params[f"calls_{i}"].sum()) for i, _ in enumerate(MEMBERS["standard"], 1)]
    benchmark.extra_info.update(row)


@pytest.mark.parametrize("network", NETWORKS)
def test_ratios(network):
    if (network, "assay") not in found or (network, "pyautoattack") not in found:
        pytest.skip("both were not run")
    ours = found[network, "assay"]
    for name in CONTENDERS:
        if (network, name) not in found:
            continue
        row = found[network, name]
        share = f"{row['calls'] / ours['calls']:.2f} x calls, {row['seconds'] / ours['seconds']:.2f} x time"
        print(f"\n{network} {name}: {row['robust']} of {row['n']} robust, {row['calls']:,} calls,", end=" ")
        print(f"{row['seconds']:.1f} s ({share}){' ' + str(row['shares']) if name == 'assay' else ''}", end="")
    theirs = found[network, "pyautoattack"]
    assert ours["robust"] <= theirs["robust"] + 1
    assert ours["said"] <= theirs["calls"]
    if NETWORKS[network][0] is one_logit:
        return  # theirs are three members, not four
    few = ours["robust"] < FEW * ours["n"]
    assert ours["seconds"] <= (CHEAP if few else DEAR) * theirs["seconds"]


def holds(model, x, y, out, eps, norm):
    """(M,) whether a sample is still classified rightly, or its perturbed input is beyond the budget."""
    with torch.no_grad():
        broken = model(out).argmax(1) != y
    valid = in_range(out) & (norms(x, out)[norm] <= allowed(eps, norm, x[0].numel()))
    return ~(broken & torch.as_tensor(valid))


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("network", OTHERS)
def test_the_same_verdicts_in_other_norms(network, norm):
    """Oracle: the authors' port, on the first twenty samples."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, x, y, _ = case(network)
    x, y, eps = x[:20], y[:20], OTHERS[network][norm == "l1"]
    try:
        with frozen(model), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours, theirs = assay(model, x, y, eps, norm), authors(model, x, y, eps, norm)
    finally:
        torch.set_num_threads(threads)
    left = [int(holds(model, x, y, out, eps, norm).sum()) for out in (ours.inputs, theirs)]
    print(f"\n{network}, {norm} {eps}: {len(x)} right; ours leaves {left[0]}, the authors' {left[1]}", end="")
    assert left[0] <= left[1] + 1


def test_never_weaker_in_the_mean():
    both = [(found[n, "assay"], found[n, "pyautoattack"]) for n in NETWORKS if (n, "pyautoattack") in found]
    if not both:
        pytest.skip("nothing was compared")
    assert np.mean([a["robust"] / a["n"] - b["robust"] / b["n"] for a, b in both]) <= 0
