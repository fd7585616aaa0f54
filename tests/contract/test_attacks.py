"""Every attack class on images, and members of the libraries, through one table.

Those on reconstructions have a table of their own (test_reconstruction_attacks.py).

Oracles: the verifier, and properties of the contract (shape, dtype, range, seeds, batch size, frozen model).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest
import torch

from benchmark.attacks.base import Perturbed, attacks
from benchmark.attacks.libraries.base import LibraryAttack
from benchmark.attacks.structural.families import FAMILIES
from benchmark.attacks.structural.severities import KINDS
from benchmark.data.base import Batch
from benchmark.data.structures import Structures
from benchmark.inputs import IMAGE, takes
from benchmark.models.frozen import frozen
from benchmark.models.wrap import Model
from benchmark.registry import Family
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute, generate

BUDGET = {"linf": 0.1, "l2": 0.8, "l1": 4.0, "l0": 5, "none": 3}  # without a norm: a severity


class Row(NamedTuple):
    use: str
    params: Mapping[str, object] = MappingProxyType({})
    channels: int = 1
    classes: int = 10


S = {"steps": 3}
NORMS = ("l1", "l2", "linf")
TABLE = [
    Row("identity"),
    *[Row("explanation-manipulation", {"steps": 3, "norm": n, "method": "input-x-gradient"}) for n in ("linf", "l2")],
    Row("explanation-manipulation", {"steps": 3, "objective": "topk", "method": "integrated-gradients"}, 3),
    Row("noise-linf"),
    Row("noise-linf", {"draws": 3}),
    Row("noise-l2"),
    Row("deepfool"),
    Row("deepfool", {"norm": "linf", "keep": 0}),
    Row("deepfool", {"search": "bfloat16"}),
    *[Row("deepfool", {"variant": "paper", "norm": norm}) for norm in ("l2", "linf")],
    Row("fgsm-90"),
    *[Row(name, {**S, "norm": n}) for name in ("fmn", "pdpgd", "minimal-norm") for n in ("l0", "l1", "l2", "linf")],
    *[Row("minimal-norm", {"steps": 40, "norm": n}, 3, 2) for n in ("l0", "l1", "l2", "linf")],
    Row("ddn", {"steps": 20}),
    Row("ddn", {**S, "levels": 256}, 3),
    Row("sigma-zero", S),
    Row("superdeepfool", S),
    Row("carlini-wagner", {**S, "rounds": 2}, 3),
    Row("universal-deepfool", {"passes": 1}),
    Row("universal-deepfool", {"passes": 1, "norm": "l2"}),
    Row("universal-sgd", {"passes": 1, "restarts": 2}),
    Row("universal-sgd", {"passes": 1, "norm": "l2", "target": 3}),
    Row("universal-random"),
    Row("universal-random", {"norm": "l2"}),
    Row("fooling-gradient", {"steps": 3}),
    Row("fooling-evolution", {"generations": 3}),
    Row("fooling-noise", {"draws": 3}),
    *[Row("structural", {"family": name, "mode": "random", "draws": 4}) for name in FAMILIES],
    Row("structural", {"family": "scale"}),
    Row("structural", {"family": "fog", "mode": "average"}, 3),
    Row("structural", {"family": "jpeg", "mode": "average"}, 3),
    *[Row("corruption", {"kind": kind}, 3) for kind in KINDS],
    Row("corruption", {"kind": "frost", "parameters": "cifar", "stored": "jpeg"}),
    *[Row("pgd", {**S, "norm": norm, "restarts": 2}) for norm in ("linf", "l2", "l1")],
    Row("pgd", {**S, "loss": "dlr"}, 3),
    Row("rp2", {"steps": 3, "batch": 4}),
    Row("rp2", {"steps": 3, "batch": 4, "target": 5, "mask": [[0.2, 0.2, 0.8, 0.8]]}, 3),
    Row("sticker-random", {"mask": "authors-gtsrb"}),
    Row("patch", {"steps": 3, "batch": 4}),
    Row("patch", {"steps": 3, "batch": 4, "target": 5, "shape": "square"}, 3),
    Row("patch-random"),
    *[Row("mask-region", {"region": name, "share": 0.25}) for name in ("border", "corners", "centre")],
    Row("mask-region", {"fill": "mean", "elsewhere": True}, 3),
    Row("keep-region", {"fill": 0.5}),
    Row("structure-conflict"),
    Row("structure-absent", channels=3),
    Row("structure-deepfool", {"structure": "true"}),
    Row("structure-deepfool", {"overshoot": 0.1}, 3),
    Row("watermark", {"target": 3}),
    Row("watermark", {"corner": "bottom-right", "value": 0.5, "elsewhere": True}, 3),
    *[
        Row(f"foolbox:{prefix}{name}", S)
        for prefix in ("L1", "L2", "Linf")
        for name in ("ProjectedGradientDescentAttack", "AdamBasicIterativeAttack", "BasicIterativeAttack")
    ],
    Row("foolbox:FGSM"),
    Row("foolbox:FGM", {"random_start": True}),
    Row("foolbox:MIFGSM", S),
    Row("foolbox:VirtualAdversarialAttack", S),
    Row("foolbox:SparseL1DescentAttack", S),
    Row("foolbox:L2ContrastReductionAttack"),
    Row("foolbox:L2AdditiveGaussianNoiseAttack"),
    Row("foolbox:LinfRepeatedAdditiveUniformNoiseAttack", {"repeats": 3}),
    Row("foolbox:L2ClippingAwareRepeatedAdditiveUniformNoiseAttack", {"repeats": 3}),
    Row("foolbox:DDNAttack", S),
    Row("foolbox:L2CarliniWagnerAttack", {"steps": 5, "binary_search_steps": 2}),
    Row("foolbox:EADAttack", {"steps": 5, "binary_search_steps": 2}),
    Row("foolbox:L2DeepFoolAttack", S),
    Row("foolbox:LinfDeepFoolAttack", S),
    *[Row(f"foolbox:{name}FMNAttack", S) for name in ("L0", "L1", "L2", "LInf")],
    Row("foolbox:BoundaryAttack", {"steps": 5, "init_attack": "LinearSearchBlendedUniformNoiseAttack"}),
    Row("foolbox:HopSkipJumpAttack", {"steps": 1, "initial_gradient_eval_steps": 5, "max_gradient_eval_steps": 9}),
    Row("foolbox:SaltAndPepperNoiseAttack", {"steps": 5}),
    Row("foolbox:GaussianBlurAttack", {"steps": 5, "norm": "l2"}),
    Row("foolbox:InversionAttack", {"norm": "linf"}),
    Row("foolbox:LinearSearchContrastReductionAttack", {"steps": 5, "norm": "l1"}),
    *[Row(f"torchattacks:{name}", S) for name in ("BIM", "RFGSM", "PGD", "EOTPGD", "TPGD", "MIFGSM", "UPGD", "APGD")],
    *[Row(f"torchattacks:{name}", S) for name in ("APGDT", "DIFGSM", "Jitter", "NIFGSM", "PGDRS", "SINIFGSM", "CW")],
    *[Row(f"torchattacks:{name}", S) for name in ("VMIFGSM", "VNIFGSM", "PGDL2", "PGDRSL2", "FAB", "DeepFool")],
    Row("torchattacks:OnePixel", S),
    *[Row(f"torchattacks:{name}") for name in ("VANILA", "GN", "FGSM", "FFGSM")],
    *[Row(f"torchattacks:{name}", {"max_iterations": 10, "binary_search_steps": 1}) for name in ("EADL1", "EADEN")],
    Row("torchattacks:APGD", {**S, "norm": "l2"}),
    Row("torchattacks:AutoAttack", {"version": "rand"}),
    Row("torchattacks:Square", {"n_queries": 10}),
    *[Row("apgd", {"steps": 3, "norm": norm}) for norm in ("linf", "l2", "l1")],
    Row("apgd", {"steps": 3, "loss": "dlr", "classes": 3, "restarts": 2}, 3),
    *[Row("fab", {"steps": 3, "norm": norm, "restarts": 2}) for norm in ("linf", "l2", "l1")],
    Row("fab", {"steps": 3, "classes": 0}, 3),
    *[Row("square", {"queries": 20, "norm": norm}, 3) for norm in ("linf", "l2", "l1")],
    *[Row("autoattack", {"steps": 3, "queries": 20, "norm": norm}) for norm in ("linf", "l2", "l1")],
    *[Row("autoattack", {"steps": 3, "queries": 20}, classes=classes) for classes in (2, 3)],
    Row("autoattack", {"steps": 2, "queries": 5, "variant": "plus"}),
    Row("autoattack", {"steps": 1, "variant": "rand"}),
    Row("torchattacks:SPSA", {"nb_sample": 4}),
    Row("torchattacks:Pixle", {"restarts": 1, "max_iterations": 2}),
    Row("torchattacks:SparseFool", {"steps": 2}),
    Row("torchattacks:JSMA"),
    *[Row(f"torchattacks:{name}", {"num_iter_set": 2}, 3) for name in ("PIFGSM", "PIFGSMPP")],
    Row("torchattacks:TIFGSM", S, 3),
    Row("art:DeepFool", {"max_iter": 3}),
    Row("art:AutoProjectedGradientDescent", {"max_iter": 3, "nb_random_init": 1, "norm": "l2"}),
    Row("art:ProjectedGradientDescent", {"max_iter": 3}),
    Row("art:CarliniL2Method", {"max_iter": 3, "binary_search_steps": 2}),
    Row("art:CarliniLInfMethod", {"max_iter": 3}),
    Row("art:ElasticNet", {"max_iter": 3, "binary_search_steps": 2}),
    *[Row(f"advlib:{name}", {"n_iter": 3, "norm": norm}) for name in ("apgd", "apgd_targeted") for norm in NORMS],
    *[Row("advlib:fmn", {**S, "norm": norm}) for norm in ("l0", *NORMS)],
    *[Row("advlib:pdpgd", {"num_steps": 3, "norm": norm}) for norm in ("l0", *NORMS)],
    *[Row("advlib:fab", {"n_iter": 3, "norm": norm}) for norm in NORMS],
    *[Row("advlib:alma", {"num_steps": 3, "norm": norm}) for norm in ("l1", "l2")],
    *[Row("advlib:tr", {"iter": 3, "norm": norm}) for norm in ("l2", "linf")],
    *[Row("advlib:df", {**S, "norm": norm}) for norm in ("l2", "linf")],
    *[Row(f"advlib:{name}", {"num_steps": 3}) for name in ("pdgd", "sigma_zero")],
    *[Row(f"advlib:{name}", S) for name in ("ddn", "sdf", "pgd_linf")],
    *[Row(f"advlib:{name}", {"max_iter": 3}) for name in ("vfga", "fga")],
    Row("advlib:carlini_wagner_l2", {"max_iterations": 10, "binary_search_steps": 2}),
    Row("advlib:carlini_wagner_linf", {"max_iterations": 3}),
    Row("best-observed", {"queries": 9}),
    Row("best-observed", {"attack": "foolbox:L0FMNAttack", "norm": "l0", "queries": 9, "parameters": S}),
    Row("best-observed", {"attack": "foolbox:LinfPGD", "norm": "linf", "queries": 40, "parameters": S}, 3),
    Row("best-observed", {"attack": "advlib:apgd", "norm": "l1", "queries": 40, "parameters": {"n_iter": 3}}),
]
ids = [f"{row.use}-{i}" for i, row in enumerate(TABLE)]


def case(row, n=6):
    """A seeded small network with dropout (so that train mode would show) and samples it classifies right."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(row.channels, 4, 3, stride=2),
        torch.nn.Flatten(),
        torch.nn.Dropout(),
        torch.nn.Linear(36, row.classes),
    )
    model = Model(network)
    x = torch.rand((n, row.channels, 8, 8), generator=torch.Generator().manual_seed(1)) * 0.9
    return model, x, model(x).argmax(1)


def structures(row):
    """Tiny patterns: inputs begin at 0, and what is taken away must not leave the range."""
    patterns = np.random.default_rng(0).uniform(0, 1e-9, (row.classes, 3, row.channels, 8, 8)).astype(np.float32)
    return Structures(patterns[:, :2], patterns[:, 2])


def judged(row, model, x, y, seeds):
    attack = attacks.make(row.use, row.params)
    if reason := attack.lacks() or (attack.other.lacks() if row.use == "best-observed" else ""):
        pytest.skip(reason)
    if attack.needs_structures:
        attack = attack.with_structures(structures(row))
    task = tasks.make("classification")
    batch = Batch(tuple(map(str, seeds)), x.numpy(), y.numpy())
    clean = task.clean(model, batch)
    eps = BUDGET[attack.threat.norm] if attack.threat.kind == "fixed" else None
    if attack.generates:
        return generate(task, attack, model, torch.as_tensor(list(seeds)), x.shape[1:], generator=Draws(seeds))
    fitted = None
    if attack.fits:  # on samples of its own, so that what is fitted does not depend on those that are judged
        trained, labels = case(row)[1:]
        with frozen(model):
            fitted = attack.fit(model, trained, labels, eps=eps, generator=Draws(range(6)))
    return execute(task, attack, model, x, y, clean, eps=eps, generator=Draws(seeds), fitted=fitted)


def test_the_table_names_every_registered_class():
    tested = {row.use.partition(":")[0] for row in TABLE}
    ours = {n: c for n, c in attacks.classes().items() if c.__module__.startswith("benchmark.")}
    own = {n for n, c in ours.items() if takes(c.accepts, IMAGE)}
    elsewhere = {"universal", "corruption-files"}  # need files: test_universal.py, data/test_published_corruptions.py
    assert own - elsewhere <= tested
    families = [n for n in own if issubclass(attacks.classes()[n], Family)]
    assert sorted(families) == ["advlib", "art", "foolbox", "torchattacks", "universal"]


def test_every_attack_says_its_threat_cost_and_source():
    for name, cls in attacks.classes().items():
        if cls.__module__.startswith("benchmark.") and not issubclass(cls, LibraryAttack):
            assert cls.cost, name
            assert cls.source, name
    for use in ("foolbox:LinfPGD", "torchattacks:Square", "art:DeepFool", "advlib:ddn"):
        assert attacks.make(use).member_cost()


@pytest.mark.parametrize("row", TABLE, ids=ids)
def test_budget_shape_frozen_model_and_seed(row):
    model, x, y = case(row)
    before, state = x.clone(), {k: v.clone() for k, v in model.state_dict().items()}
    rows, out = judged(row, model, x, y, range(6))
    assert out.shape == x.shape
    assert out.dtype == torch.float32
    assert out.device == x.device
    assert not out.requires_grad
    assert torch.equal(x, before), "the attack wrote into its inputs"
    assert (rows["status"] == "ok").all(), rows
    assert out.min() >= -6e-8
    assert out.max() <= 1 + 6e-8
    assert not any(m.training for m in model.modules())
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert (np.asarray(rows["forwards"]) >= 0).all()

    torch.rand(3)  # another global state must not matter
    again = judged(row, model, x, y, range(6))[1]
    assert torch.equal(out, again)


@pytest.mark.parametrize("row", TABLE, ids=ids)
def test_a_batch_of_one(row):
    model, x, y = case(row)
    rows, out = judged(row, model, x[:1], y[:1], [7])
    assert out.shape == x[:1].shape
    assert rows["status"].tolist() == ["ok"]


@pytest.mark.parametrize("row", TABLE, ids=ids)
def test_all_samples_wrong_already(row):
    model, x, y = case(row)
    rows, _ = judged(row, model, x, (y + 1) % row.classes, range(6))
    assert not rows["success"].any()
    assert (rows["status"] == "ok").all()


@pytest.mark.parametrize(
    "row",
    [r for r in TABLE if attacks.make(r.use, r.params).fixed_batch_size() is None],
    ids=lambda r: r.use,
)
def test_the_batch_size_does_not_matter_where_it_is_not_declared(row):
    model, x, y = case(row)
    whole = judged(row, model, x, y, range(6))[1]
    parts = [judged(row, model, x[i : i + 2], y[i : i + 2], range(i, i + 2))[1] for i in (0, 2, 4)]
    torch.testing.assert_close(whole, torch.cat(parts), atol=1e-5, rtol=0)


def test_wrong_samples_never_reach_an_attack_that_does_not_ask_for_them():
    seen = []

    class Spy(type(attacks.make("identity"))):
        def run(self, model, inputs, labels, *, eps, generator, fitted=None):
            seen.append((len(inputs), generator.seeds))
            return Perturbed(inputs)

    model, x, y = case(Row("identity"))
    y[2] = (y[2] + 1) % 10
    task = tasks.make("classification")
    clean = task.clean(model, Batch(tuple("abcdef"), x.numpy(), y.numpy()))
    execute(task, Spy(), model, x, y, clean, eps=None, generator=Draws(range(6)))
    assert seen == [(5, [0, 1, 3, 4, 5])]
    clean["correct"][:] = False
    execute(task, Spy(), model, x, y, clean, eps=None, generator=Draws(range(6)))
    assert len(seen) == 1
