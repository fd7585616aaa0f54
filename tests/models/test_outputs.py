"""Networks that return objects, dicts, tuples or half precision. Oracle: the tensor inside, as the network made it."""

from __future__ import annotations

import copy
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from benchmark.errors import EntryError
from benchmark.models.outputs import taken, unwrapped
from benchmark.models.wrap import Model

Pair = namedtuple("Pair", "features logits")


@dataclass
class Output:
    logits: torch.Tensor
    hidden: torch.Tensor | None = None


class Net(nn.Module):
    def __init__(self, form) -> None:
        super().__init__()
        self.linear, self.form = nn.Linear(4, 3), form

    def forward(self, x):
        return self.form(self.linear(x.flatten(1)))


def model_of(form, key=""):
    torch.manual_seed(0)
    network = Net(form)
    hook = unwrapped(network, key)
    model = Model(network)
    model.unwrap = hook
    return model, network


FORMS = [
    (Output, "", "of type Output: its logits is used"),
    (lambda z: {"logits": z, "aux": z * 2}, "", "of type dict: its logits is used"),
    (lambda z: {"out": z}, "", "of type dict: its out is used"),
    (lambda z: (z, z * 2), "", "of type tuple: its first tensor is used"),
    (lambda z: Pair(z * 2, z), "", "of type Pair: its logits is used"),
    (lambda z: {"a": z * 2, "heads": [z * 3, z]}, "heads.1", "of type dict: its heads.1 is used"),
    (lambda z: z.half(), "", "outputs are cast from float16 to float32"),
    (
        lambda z: Output(z.bfloat16()),
        "",
        "its logits is used; outputs are cast from bfloat16 to float32",
    ),
]


@pytest.mark.parametrize(("form", "key", "said"), FORMS)
def test_the_output_is_taken_out_and_said(form, key, said):
    model, network = model_of(form, key)
    x = torch.rand(2, 1, 2, 2)
    expected = network.linear(x.flatten(1))
    logits = model(x)
    assert logits.dtype == torch.float32
    assert torch.allclose(logits, expected, atol=0.01)
    assert said in model.notes[0]
    assert torch.equal(copy.deepcopy(model)(x), logits)
    assert model.core(model.prepared(x)).shape == (2, 3), "explainers call the parts"
    assert model.counter.forwards == 2


def test_a_tensor_is_left_alone_and_the_hook_goes():
    model, network = model_of(lambda z: z)
    assert len(network._forward_hooks) == 1
    model(torch.rand(2, 1, 2, 2))
    assert not network._forward_hooks
    assert model.notes == ()


@pytest.mark.parametrize(
    ("returned", "key", "said"),
    [
        ({"a": torch.zeros(1), "b": torch.zeros(1)}, "", "returned a dict of a, b, expected a tensor"),
        ("text", "", "returned a str, expected a tensor"),
        (None, "", "returned a NoneType"),
        ({"a": torch.zeros(1)}, "b", "nothing under output_key = 'b': it holds a"),
        ({"a": "text"}, "a", "leads to a str, expected a tensor"),
    ],
)
def test_what_cannot_be_told_is_refused(returned, key, said):
    with pytest.raises(EntryError, match=said):
        taken(returned, key)
