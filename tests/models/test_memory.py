"""Keys of modules in memory. Oracle: one thing changed at a time; what computes another thing has another key."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import subprocess
import sys
import textwrap
import threading
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.models.memory import module_key

SCALE = 1.0
TABLE = {"a": [1, 2]}
HELPER = types.ModuleType("a_helper_of_the_users")


class Mode(enum.Enum):
    ONE, TWO = 1, 2


@dataclasses.dataclass
class Settings:
    gain: float = 1.0
    names: tuple = ("x",)

    def louder(self, x):
        return self.gain * x


class Slotted:
    __slots__ = ("__inner", "value")

    def __init__(self, value):
        self.value = self.__inner = value


class MyList(list):
    extra = None


Point = collections.namedtuple("Point", "x y")


class Net(nn.Module):
    def __init__(self, value=None):
        super().__init__()
        torch.manual_seed(0)
        self.f = nn.Linear(4, 3)
        self.value = value

    def forward(self, x):
        return self.f(x)


def key(module, **settings):
    return module_key(module, settings).digest


def adder(gain):
    def hook(module, args, output):
        return output + gain

    return hook


def hooked(hook, kind="register_forward_hook"):
    net = Net()
    getattr(net.f, kind)(hook)
    return net


def gained(gain):
    found = torch.ones(2)
    found.gain = gain
    return found


class Reading(Net):
    def forward(self, x):
        return SCALE * self.f(x) + len(TABLE["a"])


class ReadingModule(Net):
    def forward(self, x):
        return HELPER.GAIN * self.f(x)


class Extra(Net):
    def get_extra_state(self):
        return {"clip": self.value}

    def set_extra_state(self, state):
        self.value = state["clip"]


VALUES = {
    "integer": (1, 2), "float": (1.0, 1.0 + 1e-16 * 3), "sign of zero": (0.0, -0.0), "integer or float": (1, 1.0),
    "boolean": (True, False), "none": (None, 0), "text": ("a", "b"), "bytes": (b"a", b"b"), "complex": (1j, 2j),
    "list": ([1, [2]], [1, [3]]), "list or tuple": ([1], (1,)), "split texts": (["ab", "c"], ["a", "bc"]),
    "table": ({"a": {"b": 1}}, {"a": {"b": 2}}), "order of a table": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "set": ({1, 2}, {1, 3}), "enum": (Mode.ONE, Mode.TWO), "dataclass": (Settings(), Settings(2.0)),
    "inside a dataclass": (Settings(names=("x",)), Settings(names=("y",))), "slots": (Slotted(1), Slotted(2)),
    "array": (np.arange(3), np.array([0, 1, 3])), "type of an array": (np.zeros(2, "f4"), np.zeros(2, "f8")),
    "array of objects": (np.array([1, None], object), np.array([2, None], object)),
    "a list of modules": ([nn.Linear(2, 2)], [nn.Linear(2, 2)]), "tensor": (torch.ones(2), torch.zeros(2)),
    "dtype": (torch.float32, torch.float64),
    "partial": (functools.partial(int, base=2), functools.partial(int, base=3)),
    "function": (lambda x: x + 1, lambda x: x + 2), "default": (lambda x, y=1: x, lambda x, y=2: x),
    "method": (Settings(1.0).louder, Settings(2.0).louder), "builtin": (torch.relu, torch.sigmoid),
    "class": (nn.ReLU, nn.GELU), "named tuple": (Point(1, 2), Point(1, 3)),
    "counter": (collections.Counter("ab"), collections.Counter("aab")),
    "deque": (collections.deque([1]), collections.deque([2])),
    "simple namespace": (types.SimpleNamespace(a=1), types.SimpleNamespace(a=2)),
    "random state": (np.random.default_rng(1), np.random.default_rng(2)),
    "generator": (torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)),
    "a list of one's own": (MyList([1]), MyList([2])), "cell": (adder(1.0), adder(2.0)), "range": (range(3), range(4)),
    "masked array": (np.ma.masked_array([1, 2], [0, 1]), np.ma.masked_array([1, 2], [1, 0])),
    "attribute of a tensor": (gained(1.0), gained(2.0)),
    "sparse": (torch.eye(3).to_sparse(), (2 * torch.eye(3)).to_sparse()),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_plain_attributes_count(name):
    first, second = VALUES[name]
    assert key(Net(first)) != key(Net(second))
    assert key(Net(first)) == key(Net(first))
    assert not module_key(Net(first), {}).unread
    deep = [Net({"deep": [x]}) for x in (first, second)]
    assert key(nn.Sequential(deep[0])) != key(nn.Sequential(deep[1]))


DTYPES = [getattr(torch, name) for name in (
    "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int8", "uint8", "int16", "uint16",
    "int32", "uint32", "int64", "uint64", "bool", "complex64", "complex128") if hasattr(torch, name)]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("persistent", [True, False])
def test_buffers_of_every_dtype_count(dtype, persistent):
    def net(value):
        found = Net()
        found.register_buffer("b", torch.tensor([1.0, value]).to(dtype), persistent=persistent)
        return found

    assert key(net(0.0)) != key(net(1.0))
    assert key(net(1.0)) == key(net(1.0))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_parameters_of_reduced_precision_and_quantised_ones_count():
    assert key(Net().bfloat16()) != key(Net().half()) != key(Net())
    first, second = Net(), Net()
    with torch.no_grad():
        second.f.weight[0, 0] += 1
    assert key(first.bfloat16()) != key(second.bfloat16())
    quantised = [
        torch.ao.quantization.quantize_dynamic(nn.Sequential(net.float()), {nn.Linear}) for net in (first, second)
    ]
    compressed = [Net((s * torch.eye(3)).to_sparse_csr()) for s in (1, 2)]
    assert key(compressed[0]) != key(compressed[1])
    assert key(quantised[0]) != key(quantised[1])
    for scale in ((0.1, 0.2), (0.1, 0.1)):
        pair = [Net(torch.quantize_per_tensor(torch.ones(2), s, 0, torch.qint8)) for s in scale]
        assert (key(pair[0]) == key(pair[1])) == (scale[0] == scale[1])
    pair = [
        Net(torch.quantize_per_channel(torch.ones(2, 2), torch.tensor([s, 1.0]), torch.zeros(2), 0, torch.qint8))
        for s in (0.1, 0.2)
    ]
    assert key(pair[0]) != key(pair[1])


def test_extra_state_counts():
    assert key(Extra(1)) != key(Extra(2))


@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"])
def test_hooks_count_by_their_code_and_closure_and_not_by_their_number(kind):
    assert key(hooked(adder(1.0), kind)) == key(hooked(adder(1.0), kind))
    assert key(hooked(adder(1.0), kind)) != key(hooked(adder(2.0), kind)) != key(Net())


def test_globals_that_code_reads_count(monkeypatch):
    before = key(Reading())
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    second = key(Reading())
    monkeypatch.setitem(globals(), "TABLE", {"a": [1, 2, 3]})
    third = key(Reading())
    monkeypatch.setitem(globals(), "DTYPES", [])  # nobody reads it
    assert len({before, second, third}) == 3
    assert key(Reading()) == third


def test_values_of_a_module_that_code_reads_count(monkeypatch):
    monkeypatch.setattr(HELPER, "GAIN", 1.0, raising=False)
    monkeypatch.setattr(HELPER, "other", 1.0, raising=False)
    before = key(ReadingModule())
    monkeypatch.setattr(HELPER, "other", 2.0)
    assert key(ReadingModule()) == before
    monkeypatch.setattr(HELPER, "GAIN", 2.0)
    assert key(ReadingModule()) != before


def test_a_method_put_onto_an_instance_or_into_a_class_counts(monkeypatch):
    net, before = Net(), key(Net())
    net.forward = types.MethodType(lambda self, x: 2 * self.f(x), net)
    assert key(net) != before
    relu = key(nn.Sequential(nn.ReLU()))
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: x.clamp(min=0.1))
    assert key(nn.Sequential(nn.ReLU())) != relu


def test_settings_and_parts_in_training_mode_count():
    assert key(Net(), mean=[0.5]) != key(Net(), mean=[0.6])
    assert key(Net([nn.Dropout().eval()])) != key(Net([nn.Dropout()]))  # a part that eval() does not reach


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_scripted_traced_and_compiled_modules_count_by_what_they_compute():
    def pairs(make):
        second = Net()
        with torch.no_grad():
            second.f.weight[0, 0] += 1
        return [make(Net()), make(Net()), make(second)]

    for make in (
        torch.jit.script,
        lambda net: torch.jit.trace(net, torch.rand(1, 4)),
        lambda net: torch.compile(net, backend="eager"),
        torch.fx.symbolic_trace,
    ):
        same, again, other = (key(net) for net in pairs(make))
        assert same == again != other
    relu, gelu = (torch.jit.script(nn.Sequential(part)) for part in (nn.ReLU(), nn.GELU()))
    assert key(relu) != key(gelu)


def unreadable(tmp_path):
    scope = {"Net": Net}
    exec("class Made(Net):\n    def forward(self, x):\n        return self.f(x)\n", scope)
    return {
        "an open file": lambda: Net((tmp_path / "f").open("w")),
        "a generator": lambda: Net(i for i in range(3)),
        "code without source": scope["Made"],
        "a tensor without values": lambda: Net(torch.empty(2, device="meta")),
        "an object of C": lambda: Net(memoryview(b"abc")),
    }


@pytest.mark.parametrize(
    "what", ["an open file", "a generator", "code without source", "a tensor without values", "an object of C"]
)
def test_what_cannot_be_read_makes_the_key_a_new_one_and_is_said(tmp_path, what):
    net = unreadable(tmp_path)[what]()
    first, second = module_key(net, {}), module_key(net, {})
    assert first.digest != second.digest
    assert first.unread
    line = first.line("mine")
    assert "\n" not in line
    assert line.startswith("mine: nothing of it can be resumed, its key is new at every call: cannot read ")
    if what == "an open file":
        net.value.close()


def test_locks_and_loggers_decide_nothing():
    import logging

    assert not module_key(Net([threading.Lock(), logging.getLogger("x")]), {}).unread


def test_circles_end():
    net = Net()
    net.value = [net]
    net.value.append(net.value)
    assert key(net) == key(net)


@pytest.mark.long
def test_keys_are_the_same_in_another_process(tmp_path):
    """Property: nothing of an address, an id, a hash seed or an order of sets is in a key."""
    script = tmp_path / "keys.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(Path(__file__).parents[2])!r})
            import torch, torchvision
            from tests.models.test_memory import Net, VALUES, hooked, adder, Reading, Extra
            from benchmark.models.memory import module_key
            torch.manual_seed(0)
            apart = ("a list of modules",)
            nets = [Net(pair[0]) for name, pair in VALUES.items() if name not in apart]
            nets += [hooked(adder(3.0)), Reading(), Extra({{"a", "b", "c"}})]
            torch.manual_seed(0)
            nets.append(torchvision.models.resnet18(num_classes=3))
            for net in nets:
                print(module_key(net, {{}}).digest)
            """
        )
    )
    found = [
        subprocess.run(
            [sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        ).stdout.split()
        for seed in ("1", "2")
    ]  # fmt: skip
    assert found[0] == found[1]
    assert len(set(found[0])) > 40


def test_what_was_put_into_a_library_counts(monkeypatch):
    """A value of a library's class, another library's function under its method, a function in its module."""

    def activation():
        return nn.Sequential(nn.Softplus())

    before = key(activation())
    monkeypatch.setattr(nn.Softplus, "sign", -1.0, raising=False)
    second = key(activation())
    monkeypatch.setattr(nn.Module, "gain", 2.0, raising=False)
    third = key(activation())
    monkeypatch.setattr(nn.Softplus, "forward", nn.Softmin.forward)
    fourth = key(activation())
    monkeypatch.setattr(nn.functional, "leaky_relu", lambda x, slope=0: -x)
    assert len({before, second, third, fourth, key(activation())}) == 5


class ReadingEnvironment(Net):
    def forward(self, x):
        import os

        return float(os.environ.get("SIGN", "1")) * self.f(x)


class ReadingByText(Net):
    def forward(self, x):
        return globals()["SCALE"] * self.f(x)


class ReadingFile(Net):
    def forward(self, x):
        return float(Path(self.value).read_text()) * self.f(x)


@pytest.mark.parametrize("net", [ReadingEnvironment, ReadingByText, ReadingFile])
def test_code_that_reads_outside_of_the_object_has_a_new_key(net):
    first, second = module_key(net(), {}), module_key(net(), {})
    assert first.digest != second.digest
    assert "when it is called" in first.unread[0]


def test_a_file_that_a_path_names_counts(tmp_path):
    file = tmp_path / "scale.txt"
    file.write_text("1")
    before = key(Net(file))
    assert key(Net(file)) == before
    file.write_text("2")
    assert key(Net(file)) != before


def test_the_gradient_and_attributes_of_a_parameter_count():
    first, second = Net(), Net()
    second.f.weight.gain = 2.0
    assert key(first) != key(second)
    third = Net()
    third(torch.ones(1, 4)).sum().backward()
    assert key(third) != key(first)
