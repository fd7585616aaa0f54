"""Can an attack cross its ball? Oracles: a linear model, whose signed gradient is constant, so that every step goes the
same way and what is covered can be measured; the library's own defaults; a suite of weak and of strong steps."""

import pytest
import torch
from torch import nn

import benchmark
from benchmark.attacks.base import attacks
from benchmark.errors import SpecError
from benchmark.models.wrap import Model
from benchmark.report.flags import flags
from benchmark.report.settings import settings
from benchmark.results.base import Results
from benchmark.seeds import Draws
from benchmark.store.folder import Store
from tests.conftest import REPOSITORY

FOOLBOX = [
    f"foolbox:{norm}{name}"
    for norm in ("Linf", "L2", "L1")
    for name in (
        "ProjectedGradientDescentAttack",
        "AdamProjectedGradientDescentAttack",
        "BasicIterativeAttack",
        "AdamBasicIterativeAttack",
        "MomentumIterativeFastGradientMethod",
    )
] + ["foolbox:LinfPGD", "foolbox:SparseL1DescentAttack"]
TORCHATTACKS = [
    f"torchattacks:{name}"
    for name in [
        "BIM",
        "PGD",
        "EOTPGD",
        "MIFGSM",
        "UPGD",
        "NIFGSM",
        "SINIFGSM",
        "RFGSM",
        "TPGD",
        "Jitter",
        "PGDRS",
        "DIFGSM",
        "TIFGSM",
        "VMIFGSM",
        "VNIFGSM",
        "PGDL2",
        "PGDRSL2",
        "SPSA",
    ]
]
UNBOUND = [
    "foolbox:LinfFastGradientAttack", "torchattacks:APGD", "torchattacks:FGSM", "torchattacks:Square",
    "foolbox:L2DeepFoolAttack", "deepfool", "autoattack", "noise-linf",
]  # fmt: skip


@pytest.mark.parametrize("use", FOOLBOX + TORCHATTACKS)
def test_by_default_the_steps_are_two_and_a_half_budgets_and_part_of_the_key(use):
    attack = attacks.make(use)
    for eps in (1e-3, 8 / 255, 3.0):
        assert attack.reach(eps) == pytest.approx(2.5)
    again = attacks.make(use, attack.params())
    assert again.identity() == attack.identity()
    assert attack.params() != {}
    count = next(key for key in ("steps", "nb_iter") if key in attack.signature())
    shorter = attacks.make(use, {count: 4})
    assert shorter.reach(0.1) == pytest.approx(2.5)
    assert shorter.identity() != attack.identity()
    assert shorter.settings().items() >= shorter.params().items()


def test_what_is_not_bound_by_steps_says_nothing():
    assert [attacks.make(use).reach(0.1) for use in UNBOUND] == [None] * len(UNBOUND)
    assert attacks.make("torchattacks:FFGSM").reach(0.1) == 1.25


@pytest.mark.parametrize(
    ("use", "params", "share"),
    [
        ("foolbox:LinfPGD", {"steps": 20, "rel_stepsize": 0.01 / 0.3, "random_start": False}, 2 / 3),
        ("foolbox:LinfPGD", {"steps": 20, "random_start": False}, 2.5),
        ("foolbox:LinfPGD", {"steps": 5, "abs_stepsize": 0.002, "random_start": False}, 0.1),
        ("foolbox:LinfBasicIterativeAttack", {"steps": 3, "rel_stepsize": 0.2}, 0.6),
        ("foolbox:LinfMomentumIterativeFastGradientMethod", {"steps": 3, "rel_stepsize": 0.2}, 0.6),
        ("foolbox:L2PGD", {"steps": 8, "rel_stepsize": 0.05, "random_start": False}, 0.4),
        ("foolbox:L2PGD", {"steps": 8, "random_start": False}, 2.5),
        ("torchattacks:PGD", {"steps": 10, "alpha": 0.003, "random_start": False}, 0.3),
        ("torchattacks:PGD", {"steps": 10, "alpha": "0.05 eps", "random_start": False}, 0.5),
        ("torchattacks:PGD", {"random_start": False}, 2.5),
        ("torchattacks:BIM", {"steps": 4, "alpha": 0.01}, 0.4),
        ("torchattacks:MIFGSM", {"steps": 4, "alpha": "0.1 eps"}, 0.4),
        ("torchattacks:UPGD", {"steps": 4, "alpha": "0.1 eps"}, 0.4),
        ("torchattacks:PGDL2", {"steps": 4, "alpha": 0.01, "random_start": False}, 0.4),
    ],
)
def test_what_is_said_is_what_is_covered(use, params, share):
    """On a linear model with inputs far from 0 and 1 every step goes the same way."""
    torch.manual_seed(0)
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)))
    inputs, eps = 0.4 + 0.2 * torch.rand(4, 1, 4, 4), 0.1
    labels = model(inputs).argmin(1)  # wrong already: an attack that stops at success still goes its way
    attack = attacks.make(use, params)
    assert attack.reach(eps) == pytest.approx(share)
    two = attacks.make(use, params).run(model, inputs, labels, eps=eps, generator=Draws(range(4)))
    away = (two.inputs - inputs).flatten(1)
    covered = away.norm(dim=1) if attack.threat.norm == "l2" else away.abs().amax(1)
    wanted = torch.full((4,), min(1.0, share) * eps)
    if attack.threat.norm == "l2":  # the direction of three logits turns a little
        assert bool((covered <= wanted * 1.0001).all())
        assert bool((covered >= 0.95 * wanted).all())
    else:
        torch.testing.assert_close(covered, wanted, rtol=1e-4, atol=1e-6)


def test_a_record_without_a_step_had_the_librarys_own():
    attack = attacks.make("foolbox:LinfPGD", {"steps": 20})
    assert attack.as_recorded({"steps": 20}).reach(0.1) == pytest.approx(20 * 0.01 / 0.3)
    assert attack.as_recorded(attack.params()).reach(0.1) == pytest.approx(2.5)
    assert attack.as_recorded({"steps": 20, "abs_stepsize": 0.01}).reach(0.1) == pytest.approx(2.0)
    assert attacks.make("torchattacks:PGD").as_recorded({}).reach(8 / 255) == pytest.approx(10 * 2 / 8)
    assert attacks.make("torchattacks:PGD").as_recorded({}).reach(1.0) == pytest.approx(20 / 255)


def test_a_step_is_a_number_or_a_share_of_the_budget():
    for wrong in ("a lot", "0.25", "eps", "-1 eps"):
        with pytest.raises(SpecError, match=r"alpha is a number in input units or a share.*0\.25 eps"):
            attacks.make("torchattacks:PGD", {"alpha": wrong})


@pytest.mark.parametrize("use", ["foolbox:LinfPGD", "torchattacks:PGD", "torchattacks:APGD", "autoattack"])
def test_longer_has_more_steps_of_the_same_length(use):
    attack = attacks.make(use)
    longer = attack.longer(10)
    before, after = attack.settings(), longer.settings()
    assert after["steps"] == before["steps"] + 10
    assert {key: value for key, value in after.items() if key != "steps"} == {
        key: value for key, value in before.items() if key != "steps"
    }
    for without in ("noise-linf", "foolbox:LinfFastGradientAttack", "deepfool", "foolbox:L2CarliniWagnerAttack"):
        assert attacks.make(without).longer(10) is None


SUITE = """
entries = ["digits_mlp"]
dataset = { use = "digits", samples = 40 }
threat = { norm = "linf", eps = "0.15" }

[[attacks]]
name = "weak"
use = "foolbox:LinfPGD"
budgets = ["0.15"]
params = { steps = 2, rel_stepsize = 0.1 }

[[attacks]]
name = "usual"
use = "foolbox:LinfPGD"
budgets = ["0.15"]
params = { steps = 20 }

[[attacks]]
name = "absolute"
use = "torchattacks:PGD"
budgets = ["0.05", "0.15"]
params = { steps = 10, alpha = 0.01 }
"""


@pytest.fixture
def results(workplace, monkeypatch):
    workplace.suite("crossing", SUITE)
    monkeypatch.chdir(workplace.root)
    benchmark.run("crossing", entries=[str(REPOSITORY / "baselines")])
    return Results(Store(workplace.root / "results" / "crossing"))


def test_a_suite_flags_what_cannot_cross_and_measures_what_ten_more_steps_gain(results):
    """Two steps of a tenth: 0.2 of the budget, and ten more reach 1.2. Control: the usual steps are not flagged."""
    crossing = [flag.words for flag in flags(results) if flag.name == "cannot-cross"]
    assert len(crossing) == 2
    assert "at linf 0.15, the steps of weak together cover 0.2 of the budget" in crossing[0]
    assert "at linf 0.15, the steps of absolute together cover 0.67 of the budget" in crossing[1]
    gains = [flag.words for flag in flags(results) if flag.name == "more-steps-gain"]
    assert len(gains) == 1
    assert "ten more steps of weak break" in gains[0]
    rows = results.attack_rows("digits_mlp", "weak")
    right = set(results.clean("digits_mlp").query("correct").index)
    left = rows[rows["sample"].isin(right) & ~rows["success"].astype(bool)]
    tried = rows[rows["more_steps"].notna()]
    assert len(tried) == -(-len(left) // 20)
    assert set(tried["sample"]) <= set(left["sample"])
    shown = {part.name: part for part in settings(results).parts}
    assert shown["usual"].params["rel_stepsize"] == 0.125
    assert "rel_stepsize" not in shown["usual"].given
    assert shown["absolute"].params["alpha"] == 0.01
