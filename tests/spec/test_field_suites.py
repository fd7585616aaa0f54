"""The suites of CIFAR and ImageNet. Oracles: RobustBench's threat models; fifteen corruptions; a run on real images."""

import pandas as pd
import pytest

from benchmark.attacks.base import attacks
from benchmark.attacks.structural.severities import KINDS
from benchmark.data.base import datasets
from benchmark.spec.suites import load_suite, variant
from tests.attacks.attackbench import make_entries
from tests.conftest import data_folder

THREATS = {
    "cifar10_linf": ("linf", "8/255"),
    "cifar10_l2": ("l2", "1/2"),
    "cifar100_linf": ("linf", "8/255"),
    "imagenet_linf": ("linf", "4/255"),
}


@pytest.mark.parametrize("name", THREATS)
def test_each_asks_at_the_threat_model_of_the_field(name):
    suite, (norm, eps) = load_suite(name), THREATS[name]
    assert suite.threat.norm == norm
    assert str(suite.threat.eps) in (eps, "0.5")
    assert suite.dataset.samples == 1000
    found = {probe.name: attacks.make(probe.use, probe.params) for probe in suite.attacks}
    assert all(attack.threat.norm == norm for attack in found.values())
    assert all(probe.budgets == (suite.threat.eps,) for probe in suite.attacks)
    assert (found["autoattack"].variant, found["autoattack"].steps, found["autoattack"].queries) == (
        "standard",
        100,
        5000,
    )
    assert (found["pgd-50-10"].steps, found["pgd-50-10"].restarts) == (50, 10)
    assert {name for name, attack in found.items() if attack.control} == {"noise"}


@pytest.mark.parametrize(("name", "parameters", "label"), [
    ("cifar10_corruptions", "cifar", "cifar10-c"), ("imagenet_corruptions", "imagenet", "imagenet-c"),
])  # fmt: skip
def test_all_seventy_five_corruptions_made_or_read(name, parameters, label):
    suite = load_suite(name)
    for spec, use in ((suite, "corruption"), (variant(suite, label), "corruption-files")):
        assert [probe.params["kind"] for probe in spec.attacks] == list(KINDS)
        assert all(probe.use == use and probe.params["parameters"] == parameters for probe in spec.attacks)
        assert all([str(eps) for eps in probe.budgets] == list("12345") for probe in spec.attacks)
        assert spec.dataset.use in datasets.names()
    assert variant(suite, label).dataset.use == label


def test_a_network_of_somebody_elses_under_cifar10_linf(workplace):
    """Real images and a real robust checkpoint: 69 % clean, at most 18 % under PGD at 8/255 (its PROVENANCE)."""
    data = data_folder("cifar10_subset")
    make_entries(workplace.root / "mine", data.parent)
    done = workplace.assay(
        "run", "cifar10_linf", "--data", f"cifar10={data}", "--entries", "mine", "--models", "cifar_resnet2b",
        "--samples", 60, "--only", "pgd-50-10", "--only", "noise", "--only", "deepfool", "--workers", 1,
    )  # fmt: skip
    board = pd.read_csv(workplace.root / "results" / "cifar10_linf" / "leaderboard.csv").iloc[0]
    assert 0.5 < board["clean_acc"] < 0.85, done.stdout
    assert board["robust_acc_pgd-50-10_0.03137"] < 0.35
    assert board["robust_acc_noise_0.03137"] > board["robust_acc_pgd-50-10_0.03137"] + 0.2
    assert (
        workplace.assay("run", "cifar10_linf", "--data", f"cifar10={data}", code=2).stderr.count(
            "brings no model entries"
        )
        == 1
    )
