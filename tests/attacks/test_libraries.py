"""Adapters. Oracles: the libraries' own class hierarchy and signatures, and their outputs when called directly."""

import inspect
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.attacks.libraries import advlib, foolbox, torchattacks
from benchmark.attacks.libraries.advlib import AdvLib
from benchmark.attacks.libraries.art import Art
from benchmark.attacks.libraries.base import REQUIRED, source
from benchmark.attacks.libraries.foolbox import Foolbox
from benchmark.attacks.libraries.torchattacks import TorchAttacks
from benchmark.errors import AttackError, SpecError, UnknownNameError
from benchmark.models.wrap import Model
from benchmark.seeds import Draws, global_seed
from benchmark.spec.entry import EntrySpec

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", r".*scipy\.ndimage\.filters.*", DeprecationWarning)
    import foolbox as fb
import torchattacks as ta


def small_model(classes=4, channels=1):
    torch.manual_seed(0)
    return Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64 * channels, classes)))


def samples(model, n=12, channels=1):
    x = torch.rand((n, channels, 8, 8), generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(1)


def test_listing_imports_no_library():
    code = (
        "import sys; from benchmark.attacks.base import attacks; attacks.names(); attacks.make('foolbox:PGD').threat;"
        "print([m for m in ('torch', 'foolbox', 'torchattacks', 'eagerpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_exported_attack_is_known_or_says_why_not():
    exported = {n for n, c in vars(fb.attacks).items() if inspect.isclass(c) and issubclass(c, fb.attacks.Attack)}
    assert set(Foolbox.members()) | set(foolbox.UNUSABLE) == exported
    assert set(TorchAttacks.members()) | set(torchattacks.UNUSABLE) == set(ta.__all__)
    for cls in (Foolbox, TorchAttacks):
        assert {cls.read().alias[m] for m in cls.members()} == set(cls.table)


@pytest.mark.filterwarnings("ignore:At the first initialisation:UserWarning")  # foolbox, where numba is installed
@pytest.mark.parametrize("member", sorted(foolbox.TABLE))
def test_foolboxs_threat_models_are_its_class_hierarchys(member):
    if "BrendelBethge" in member:
        pytest.importorskip("numba", reason="foolbox's Brendel-Bethge attacks need numba")
    cls = getattr(fb.attacks, member)
    known = foolbox.TABLE[member]
    fixed = issubclass(cls, fb.attacks.base.FixedEpsilonAttack)
    assert known.kind == ("fixed" if fixed else "minimal")
    assert fixed or issubclass(cls, fb.attacks.base.MinimizationAttack)
    if issubclass(cls, fb.attacks.base.FlexibleDistanceMinimizationAttack):
        assert known.norm == "none"
    else:
        attack = cls(steps=2) if member == "VirtualAdversarialAttack" else cls()
        assert attack.distance is getattr(fb.distances, known.norm)


@pytest.mark.parametrize("member", sorted(torchattacks.TABLE))
def test_torchattacks_budgets_are_constructor_arguments(member):
    parameters = inspect.signature(getattr(ta, member).__init__).parameters
    has_eps = "eps" in parameters or "max_epsilon" in parameters
    assert (torchattacks.TABLE[member].kind == "fixed") == has_eps
    assert (member in torchattacks.CHOOSE_NORM) == ("norm" in parameters)


@pytest.mark.parametrize(("cls", "module"), [(Foolbox, fb.attacks), (TorchAttacks, ta)])
def test_signatures_read_by_ast_are_the_imported_ones(cls, module):
    for member in cls.members():
        constructor = getattr(module, member).__init__
        if constructor is object.__init__:
            assert cls.read().parameters(member) == {}
            continue
        expected = {k: p.default for k, p in inspect.signature(constructor).parameters.items() if k != "self"}
        found = cls.read().parameters(member)
        assert list(found) == list(expected)
        for key, default in expected.items():
            assert (found[key] is REQUIRED) == (default is inspect.Parameter.empty), (member, key)


def test_unknown_keyword_member_and_norm_are_refused_at_plan_time():
    with pytest.raises(SpecError, match="unknown key 'step': did you mean 'steps'"):
        attacks.make("foolbox:LinfPGD", {"step": 3})
    with pytest.raises(SpecError, match="unknown key 'alfa': did you mean 'alpha'"):
        attacks.make("torchattacks:PGD", {"alfa": 3})
    with pytest.raises(UnknownNameError, match="foolbox:LinfPGD"):
        attacks.make("foolbox:LinfPGDD")
    with pytest.raises(UnknownNameError, match="torchattacks:APGD"):
        attacks.make("torchattacks:APGDD")
    with pytest.raises(SpecError, match="rotation has no norm"):
        attacks.make("foolbox:SpatialAttack")
    with pytest.raises(SpecError, match="'steps' is missing"):
        attacks.make("foolbox:VirtualAdversarialAttack")
    with pytest.raises(SpecError, match="is an linf attack, the probe says 'l2'"):
        _ = attacks.make("foolbox:LinfPGD", {"norm": "l2"}).threat
    with pytest.raises(SpecError, match="of kind 'fixed'"):
        _ = attacks.make("foolbox:LinfPGD", {"kind": "minimal"}).threat
    with pytest.raises(SpecError, match="offers the norms linf, l2"):
        _ = attacks.make("torchattacks:APGD", {"norm": "l1"}).threat
    with pytest.raises(SpecError, match="set norm in the probe"):
        _ = attacks.make("foolbox:GaussianBlurAttack").threat


def test_the_suite_chooses_the_norm_where_the_library_leaves_it_open():
    assert attacks.make("foolbox:GaussianBlurAttack", {"norm": "linf"}).threat.norm == "linf"
    assert attacks.make("torchattacks:APGD", {"norm": "L2"}).threat.norm == "l2"
    assert attacks.make("torchattacks:APGD").threat.norm == "linf"
    assert attacks.make("foolbox:HopSkipJumpAttack", {"constraint": "linf"}).threat.norm == "linf"
    with pytest.raises(SpecError, match="got 'l7'"):
        _ = attacks.make("foolbox:HopSkipJumpAttack", {"constraint": "l7"}).threat


def test_a_new_attack_of_the_library_needs_its_threat_model_from_the_suite(monkeypatch):
    monkeypatch.delitem(foolbox.TABLE, "DDNAttack")
    with pytest.raises(SpecError, match="set norm and kind in the probe"):
        _ = attacks.make("foolbox:DDNAttack").threat
    assert attacks.make("foolbox:DDNAttack", {"norm": "l2", "kind": "minimal"}).threat.norm == "l2"


def test_batch_size_is_fixed_only_where_numbers_are_drawn():
    assert attacks.make("foolbox:LinfPGD", {"batch_size": 64}).fixed_batch_size() == 64
    assert attacks.make("foolbox:LinfPGD", {"random_start": False}).fixed_batch_size() is None
    assert attacks.make("foolbox:L2DeepFoolAttack").fixed_batch_size() is None
    assert attacks.make("torchattacks:Square").fixed_batch_size() == 100
    assert attacks.make("torchattacks:FGSM").fixed_batch_size() is None
    assert attacks.make("foolbox:LinfPGD", {"batch_size": 64}).params() == {"batch_size": 64, "rel_stepsize": 2.5 / 40}
    assert "foolbox==" in attacks.make("foolbox:LinfPGD").implementation()


def test_foolbox_gives_what_foolbox_gives():
    model = small_model()
    x, y = samples(model)
    with global_seed(3):
        found = attacks.make("foolbox:LinfPGD", {"steps": 7}).run(model, x, y, eps=0.05, generator=Draws(range(12)))
    with global_seed(3):
        wrapped = fb.PyTorchModel(model, bounds=(0, 1), device="cpu")
        _, expected, _ = fb.attacks.LinfPGD(steps=7, rel_stepsize=2.5 / 7)(wrapped, x, y, epsilons=0.05)
    assert torch.equal(found.inputs, expected)


def test_torchattacks_gives_what_torchattacks_gives():
    model = small_model()
    x, y = samples(model)
    draws = Draws(range(12))
    with global_seed(3):
        found = attacks.make("torchattacks:APGD", {"steps": 7}).run(model, x, y, eps=0.05, generator=draws)
    with global_seed(3):
        expected = ta.APGD(model, eps=0.05, steps=7, seed=draws.batch_seed)(x, y)
    assert torch.equal(found.inputs, expected)


@pytest.mark.parametrize("restarts", [1, 2])
def test_the_queries_of_square_are_counted_for_each_sample(restarts):
    """Oracle: the model's own counter over the batch; and a sample that is wrong already asks once."""
    model = small_model()
    x, y = samples(model, 20)
    y[:2] = (y[:2] + 1) % 4
    attack = attacks.make("torchattacks:Square", {"n_queries": 40, "n_restarts": restarts})
    with model.counter.counting() as used:
        found = attack.run(model, x, y, eps=0.1, generator=Draws(range(20)))
    broken = (model(found.inputs).argmax(1) != y).numpy()
    assert 2 < broken.sum() < 20
    assert found.forwards.sum() == used.forwards
    assert found.forwards[:2].tolist() == [1, 1]
    assert (found.forwards[~broken] == 1 + restarts * 42).all()  # start, queries, check; and the first prediction
    assert found.forwards[broken].max() < 1 + restarts * 42


def test_the_number_of_classes_comes_from_the_model():
    """torchattacks would ask for 10 classes and fail on a model of 4."""
    model = small_model(classes=4)
    x, y = samples(model)
    for use in ("torchattacks:APGDT", "torchattacks:FAB"):
        found = attacks.make(use, {"steps": 3}).run(model, x, y, eps=0.2, generator=Draws(range(12)))
        assert bool((model(found.inputs).argmax(1) != y).any())


def test_members_that_do_not_apply_say_so():
    entry = EntrySpec(name="m", input_shape=(1, 8, 8), classes=1, output="logit1", factory="model:build")
    reason = attacks.make("torchattacks:AutoAttack").skip(None, entry, None)
    assert reason is not None
    assert "at least 4 classes" in reason
    assert attacks.make("torchattacks:PGD").skip(None, entry, None) is None
    model = small_model()
    x, y = samples(model)
    with pytest.raises(AttackError, match="3 channels, got 1"):
        attacks.make("torchattacks:TIFGSM").run(model, x, y, eps=0.1, generator=Draws(range(12)))


def test_parameters_that_the_library_refuses_are_an_attack_error():
    model = small_model()
    x, y = samples(model)
    for use, params in (
        ("torchattacks:AutoAttack", {"version": "slow"}),
        ("foolbox:L2FMNAttack", {"init_attack": "NoSuchAttack"}),
    ):
        with pytest.raises(AttackError, match="does not accept"):
            attacks.make(use, params).run(model, x, y, eps=0.1, generator=Draws(range(12)))
    with pytest.raises(AttackError, match="needs a budget"):
        attacks.make("torchattacks:PGD").run(model, x, y, eps=None, generator=Draws(range(12)))


def test_one_logit_models_are_attacked():
    """Raw single logits make both libraries raise or flip nothing; the pair of logits works."""
    torch.manual_seed(0)
    model = Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1)), one_logit=True)
    x, y = samples(model, 40)
    for use in ("foolbox:LinfPGD", "torchattacks:APGD", "torchattacks:PGD"):
        found = attacks.make(use, {"steps": 10}).run(model, x, y, eps=0.3, generator=Draws(range(40)))
        assert float((model(found.inputs).argmax(1) != y).float().mean()) > 0.5, use
    for use in ("deepfool", "foolbox:L2DeepFoolAttack"):
        found = attacks.make(use).run(model, x, y, eps=None, generator=Draws(range(40)))
        assert bool((model(found.inputs).argmax(1) != y).all()), use
        assert np.isfinite(found.inputs.numpy()).all()


# -- libraries of the extra [speed] -----------------------------------------------------------------------------------


def theirs(cls):
    """The module that holds a library's attacks, where it is installed."""
    if reason := cls.lacks():
        pytest.skip(reason)
    if cls is AdvLib:
        return advlib._import()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.attacks import evasion
    return evasion


@pytest.mark.parametrize("cls", [AdvLib, Art])
def test_a_library_that_is_not_there_is_listed_and_skipped_with_the_command(cls, monkeypatch):
    monkeypatch.setattr("benchmark.registry.library_version", lambda name: "absent")
    monkeypatch.setattr("benchmark.attacks.libraries.base.source", lambda *files: source("no_such_package", *files[1:]))
    assert cls.members() == sorted(set(cls.table) - set(cls.unusable))
    assert f"needs {cls.library}, not installed here: pip install" in cls.lacks()
    member = cls.members()[0]
    attack = attacks.make(f"{cls.use}:{member}", {"batch_size": 8, "anything": 3})
    assert attack.check_installed("suite") is attack
    assert "pip install" in attack.skip(None, None, None)
    assert attack.model_copy(update={"norm": "l2"}).threat.kind
    with pytest.raises(UnknownNameError):
        attacks.make(f"{cls.use}:{member}x")


@pytest.mark.parametrize("cls", [AdvLib, Art])
def test_every_attack_of_theirs_is_known_or_says_why_not(cls):
    theirs(cls)
    known = set(cls.table) | set(cls.unusable)
    assert {cls.read().alias[name] for name in cls.read().alias} <= known
    assert {cls.read().alias[m] for m in cls.members()} <= set(cls.table)
    for name, reason in cls.unusable.items():
        with pytest.raises(SpecError, match="cannot be used"):
            attacks.make(f"{cls.use}:{name}")
        assert reason


@pytest.mark.parametrize("cls", [AdvLib, Art])
def test_signatures_of_theirs_read_by_ast_are_the_imported_ones(cls):
    module = theirs(cls)
    for member in cls.members():
        if not hasattr(module, member):  # ART's Brendel-Bethge, without numba
            continue
        found = getattr(module, member)
        signature = inspect.signature(found.__init__ if inspect.isclass(found) else found)
        expected = [key for key in signature.parameters if key != "self"]
        assert list(cls.read().parameters(member)) == expected, member
        given = set(cls(member=member, **required(cls, member)).signature())
        budget = "eps" if cls is Art else advlib.BUDGET.get(member, "model")
        assert not given & {"model", "inputs", "labels", "targeted", budget}, member


def required(cls, member):
    """A value for each parameter that has no default."""
    hidden = cls.model_construct(member=member).signature()
    return {key: 3 for key, default in hidden.items() if default is REQUIRED}


def test_advlib_gives_what_advlib_gives():
    module, model = theirs(AdvLib), small_model()
    x, y = samples(model)
    found = attacks.make("advlib:ddn", {"steps": 20}).run(model, x, y, eps=None, generator=Draws(range(12)))
    assert torch.equal(found.inputs, module.ddn(model, x, y, steps=20))
    found = attacks.make("advlib:fmn", {"steps": 20, "norm": "linf"}).run(model, x, y, eps=None, generator=Draws([0]))
    assert torch.equal(found.inputs, module.fmn(model, x, y, norm=float("inf"), steps=20))
    with global_seed(1):
        attack = attacks.make("advlib:apgd", {"n_iter": 5, "norm": "l2"})
        found = attack.run(model, x, y, eps=torch.linspace(0.1, 0.5, 12), generator=Draws(range(12)))
    with global_seed(1):
        expected = module.apgd(model, x, y, eps=torch.linspace(0.1, 0.5, 12), norm=2, n_iter=5)
    assert torch.equal(found.inputs, expected)
    assert "visdom" not in sys.modules


@pytest.mark.filterwarnings("ignore")
def test_art_gives_what_art_gives():
    module, model = theirs(Art), small_model()
    from art.estimators.classification import PyTorchClassifier

    x, y = samples(model)
    loss, shape = torch.nn.CrossEntropyLoss(), (1, 8, 8)
    wrapped = PyTorchClassifier(
        model, loss=loss, input_shape=shape, nb_classes=4, clip_values=(0, 1), device_type="cpu"
    )
    attack = attacks.make("art:ProjectedGradientDescent", {"max_iter": 5, "norm": "l2", "eps_step": "0.5 eps"})
    found = attack.run(model, x, y, eps=0.4, generator=Draws(range(12)))
    reference = module.ProjectedGradientDescent(wrapped, norm=2, eps=0.4, eps_step=0.2, max_iter=5, verbose=False)
    np.testing.assert_allclose(found.inputs.numpy(), reference.generate(x=x.numpy(), y=y.numpy()), atol=1e-6)
    model.eval().requires_grad_(False)
    found = attacks.make("art:DeepFool", {"max_iter": 9}).run(model, x, y, eps=None, generator=Draws(range(12)))
    reference = module.DeepFool(wrapped, max_iter=9, batch_size=12, verbose=False)
    np.testing.assert_allclose(found.inputs.numpy(), reference.generate(x=x.numpy()), atol=1e-6)


def test_steps_and_norms_of_theirs():
    assert attacks.make("art:AutoProjectedGradientDescent").reach(0.1) is not None or Art.lacks()
    with pytest.raises(SpecError, match="share of the budget"):
        attacks.make("art:ProjectedGradientDescent", {"eps_step": "a quarter"})
    with pytest.raises(SpecError, match="offers the norms l1, l2, the probe says 'linf'"):
        _ = attacks.make("advlib:alma", {"norm": "linf"}).threat
    with pytest.raises(SpecError, match="offers the norms linf, l2, the probe says 'l1'"):
        _ = attacks.make("art:HopSkipJump", {"norm": "l1"}).threat
    assert attacks.make("art:SquareAttack").threat.knowledge == "score"
    assert attacks.make("advlib:apgd", {"norm": "l1"}).takes_budgets()
    assert not attacks.make("advlib:ddn").takes_budgets()
    assert attacks.make("advlib:apgd", {"norm": "l1", "batch_size": 7}).fixed_batch_size() == 7
    entry = EntrySpec(name="binary", input_shape=(1, 8, 8), factory="model:build", output="logit1")
    if not AdvLib.lacks():
        assert "at least 3 classes" in attacks.make("advlib:apgd", {"norm": "l2"}).skip(None, entry, None)
        assert attacks.make("advlib:apgd", {"norm": "l2", "loss_function": "ce"}).skip(None, entry, None) is None
