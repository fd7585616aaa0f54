"""Building models: every failure names the entry, what came and what to do. Oracles: closed forms, controls."""

import hashlib
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from benchmark.errors import EntryError
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry

TOML = """
name = "one"
input_shape = {shape}
classes = 2
factory = "{factory}"
{more}
"""
CODE = "from torch import nn\n\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))\n"


def entry(root, more="", code=CODE, factory="model:build", shape="[1, 2, 2]"):
    folder = root / "one"
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "entry.toml").write_text(TOML.format(shape=shape, factory=factory, more=more))
    if code:
        (folder / "model.py").write_text(code)
    return load_entry("one", [root])


@pytest.fixture
def state():
    generator = torch.Generator().manual_seed(0)
    return {"1.weight": torch.randn(2, 4, generator=generator), "1.bias": torch.randn(2, generator=generator)}


def expected(state, x):
    return x.flatten(1) @ state["1.weight"].T + state["1.bias"]


def test_weights_and_preprocessing_by_the_closed_form(tmp_path, state):
    one = entry(tmp_path, '[preprocessing]\nmean = 0.3\nstd = 0.2\n[weights]\nfile = "w.safetensors"')
    save_file(state, one.folder / "w.safetensors")
    x = torch.rand(5, 1, 2, 2)
    model = build_model(one)
    assert torch.allclose(model(x), expected(state, (x - 0.3) / 0.2), atol=1e-6)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("wrap", "more"),
    [
        (lambda s: s, ""),
        (lambda s: {"epoch": 3, "net": {"ema": s}}, 'key = "net.ema"'),
        (lambda s: {"models": [{}, s]}, 'key = "models.1"'),
        (lambda s: {f"module.{k}": v for k, v in s.items()}, 'strip = "module."'),
        (lambda s: {k: v.double() for k, v in s.items()}, ""),
    ],
)
def test_state_dicts_wherever_they_lie_in_the_file(tmp_path, state, wrap, more):
    one = entry(tmp_path, f'[weights]\nfile = "w.pt"\n{more}')
    torch.save(wrap(state), one.folder / "w.pt")
    x = torch.rand(5, 1, 2, 2)
    assert torch.allclose(build_model(one)(x), expected(state, x), atol=1e-6)


def test_half_precision_weights_are_used_in_single_precision(tmp_path, state):
    one = entry(tmp_path, '[weights]\nfile = "w.safetensors"')
    save_file({k: v.half() for k, v in state.items()}, one.folder / "w.safetensors")
    model = build_model(one)
    assert next(model.parameters()).dtype == torch.float32
    assert torch.equal(model.network[1].weight, state["1.weight"].half().float())
    assert model.stored == "stored as float16"


def test_one_logit_becomes_a_pair_whose_softmax_is_the_sigmoid(tmp_path):
    code = CODE.replace("Linear(4, 2)", "Linear(4, 1)")
    model = build_model(entry(tmp_path, 'output = "logit1"', code))
    x = torch.rand(5, 1, 2, 2)
    assert torch.allclose(model(x).softmax(1)[:, 1:], torch.sigmoid(model.network(x)), atol=1e-6)


def numbers(network):
    """Every number of a network, as text."""
    return str({name: tensor.tolist() for name, tensor in network.state_dict().items()})


def test_untrained_networks_are_the_same_in_every_process_and_leave_the_global_state(tmp_path):
    one = entry(tmp_path)
    torch.manual_seed(7)
    drawn = torch.rand(1)
    torch.manual_seed(7)
    here = numbers(build_model(one).network)
    assert torch.equal(torch.rand(1), drawn)
    code = (
        "from pathlib import Path\nfrom benchmark.models.build import build_model\n"
        "from benchmark.models.entries import load_entry\nimport torch\ntorch.manual_seed(99)\n"
        f"network = build_model(load_entry('one', [Path({str(tmp_path)!r})])).network\n"
        "print({name: tensor.tolist() for name, tensor in network.state_dict().items()})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here


def test_model_files_of_two_entries_do_not_clash_and_may_import_their_siblings(tmp_path):
    code = "from .layers import layer\n\ndef build():\n    return layer()\n"
    found = []
    for width in (2, 3):
        one = entry(tmp_path / str(width), code=code)
        (one.folder / "layers.py").write_text(
            f"from torch import nn\n\ndef layer():\n    return nn.Sequential(nn.Flatten(), nn.Linear(4, {width}))\n"
        )
        found.append(build_model(one)(torch.rand(1, 1, 2, 2)).shape[1])
    assert found == [2, 3]


def test_a_changed_model_file_is_imported_anew_at_once(tmp_path):
    assert build_model(entry(tmp_path)).network[1].out_features == 2
    changed = entry(tmp_path, code=CODE.replace("(4, 2)", "(4, 3)"))
    assert build_model(changed).network[1].out_features == 3
    assert not (changed.folder / "__pycache__").exists()


def test_importable_factory_with_kwargs(tmp_path):
    one = entry(
        tmp_path, "kwargs = { num_classes = 2 }", code="", factory="torchvision.models:resnet18", shape="[3, 32, 32]"
    )
    model = build_model(one)
    assert model(torch.rand(2, 1, 8, 8)).shape == (2, 2)  # grey is repeated, resized inside


@pytest.mark.parametrize(
    ("code", "factory", "said"),
    [
        ("import nowhere_to_be_found", "model:build", r"needs the module 'nowhere_to_be_found'.*pip install"),
        ("def build():\n    return 1 / 0", "model:build", r"raised ZeroDivisionError: .*\(model\.py, line 2\)"),
        ("def build(:", "model:build", r"raised SyntaxError: .*line 1"),
        ("raise SystemExit(3)", "model:build", "raised SystemExit: 3"),
        ("def build():\n    return 7", "model:build", r"must return a torch\.nn\.Module, it returned a int"),
        ("def bild():\n    pass", "model:build", "model has no 'build': did you mean 'bild'"),
        ("build = 3", "model:build", "is a int, not callable"),
        ("", "no_such_package.models:net", r"needs the module 'no_such_package'.*`pip install no_such_package`"),
        ("", "torchvision.modells:resnet18", "torchvision has no such module"),
        (CODE, "model:build", None),
    ],
)
def test_code_that_fails_is_an_entry_error(tmp_path, code, factory, said):
    one = entry(tmp_path, code=code, factory=factory)
    if said is None:  # control: the same entry with good code builds
        build_model(one)
        return
    with pytest.raises(EntryError, match=said) as caught:
        build_model(one)
    assert "'one'" in str(caught.value)


def test_wrong_keyword_names_the_type_error(tmp_path):
    with pytest.raises(EntryError, match=r"model:build raised TypeError: .*unexpected keyword argument 'wide'"):
        build_model(entry(tmp_path, "kwargs = { wide = 1 }"))


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_truncated_weights_are_refused(tmp_path, state, suffix):
    one = entry(tmp_path, f'[weights]\nfile = "w.{suffix}"')
    file = one.folder / f"w.{suffix}"
    save_file(state, file) if suffix == "safetensors" else torch.save(state, file)
    build_model(one)  # control: whole, it loads
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(EntryError, match=r"bytes\) cannot be read: .*truncated, damaged"):
        build_model(one)


def test_sha256_is_checked_before_loading_and_both_digests_are_named(tmp_path, state):
    wrong, file = "0" * 64, tmp_path / "one" / "w.pt"
    one = entry(tmp_path, f'[weights]\nfile = "w.pt"\nsha256 = "{wrong}"')
    file.write_bytes(b"not a checkpoint at all")  # loading it would say something else
    with pytest.raises(EntryError, match="refused") as caught:
        build_model(one)
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    assert wrong in str(caught.value)
    assert right in str(caught.value)
    torch.save(state, file)
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    build_model(entry(tmp_path, f'[weights]\nfile = "w.pt"\nsha256 = "{right}"'))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html>Sign in</html>", "is an HTML page, not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"", "is empty"),
        (None, "weights are missing"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path, content, said):
    one = entry(tmp_path, '[weights]\nfile = "w.pt"')
    if content is not None:
        (one.folder / "w.pt").write_bytes(content)
    with pytest.raises(EntryError, match=said):
        build_model(one)


def test_pickled_code_is_not_run(tmp_path):
    one = entry(tmp_path, '[weights]\nfile = "w.pt"')
    torch.save(nn.Linear(4, 2), one.folder / "w.pt")
    with pytest.raises(EntryError, match="a pickled module is refused"):
        build_model(one)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"1.bias": None}, "missing: 1.bias"),
        ({"2.bias": torch.zeros(2)}, "unexpected: 2.bias"),
        ({"1.bias": torch.zeros(3)}, r"other shape: 1.bias is \(3,\), the network's \(2,\)"),
    ],
)
def test_keys_that_do_not_fit_are_named(tmp_path, state, change, said):
    one = entry(tmp_path, '[weights]\nfile = "w.pt"')
    torch.save({k: v for k, v in {**state, **change}.items() if v is not None}, one.folder / "w.pt")
    with pytest.raises(EntryError, match=said):
        build_model(one)


def test_nested_checkpoint_without_key_says_which_keys_there_are(tmp_path, state):
    one = entry(tmp_path, '[weights]\nfile = "w.pt"')
    torch.save({"state_dict": state, "epoch": 3}, one.folder / "w.pt")
    with pytest.raises(EntryError, match=r"the keys state_dict, epoch; say where it lies with `key`"):
        build_model(one)
    with pytest.raises(EntryError, match="nothing under key = 'net'"):
        build_model(entry(tmp_path, '[weights]\nfile = "w.pt"\nkey = "net"'))


@pytest.mark.parametrize(
    ("dtype", "cast"), [("float64", True), ("float64", False), ("bfloat16", True), ("bfloat16", False)]
)
def test_networks_of_another_type_are_cast_with_a_word_or_run_as_they_are(tmp_path, dtype, cast):
    """Oracle: the network's own logits, after the cast or before it."""
    from benchmark.models.check import check_entry

    folder = tmp_path / "typed"
    folder.mkdir()
    body = f"torch.manual_seed(0)\n    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).to(torch.{dtype})\n"
    (folder / "model.py").write_text(f"import torch\nfrom torch import nn\ndef build():\n    {body}")
    text = 'name = "typed"\ninput_shape = [1, 2, 2]\nclasses = 2\nfactory = "model:build"\n'
    (folder / "entry.toml").write_text(text + ("" if cast else "cast = false\n"))
    entry, x = load_entry("typed", [tmp_path]), torch.rand(3, 1, 2, 2)
    torch.manual_seed(0)
    own = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)).to(getattr(torch, dtype))
    expected = own.float()(x) if cast else own(x.to(getattr(torch, dtype))).float()
    model = build_model(entry)
    assert torch.equal(model(x), expected)
    assert model(x).dtype == torch.float32
    found = check_entry(entry)[0].finding
    assert (f"cast from {dtype} to float32" if cast else f"run as it is, in {dtype}") in found
