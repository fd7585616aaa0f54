"""Every attack on reconstructions through one table.

Oracles: the judge, and properties of the contract (shape, dtype, mask, seeds, batch size, coils, frozen model).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.data.base import Batch
from benchmark.mri.measurement import unpack
from benchmark.mri.reconstructor import Reconstructor
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute

N, SIZE, EPS = 4, 16, 0.05


class Row(NamedTuple):
    use: str
    params: Mapping[str, object] = MappingProxyType({})
    other_mask: bool = False  # measures anew


TABLE = [
    Row("measurement-l2", {"steps": 4}),
    Row("measurement-l2", {"steps": 4, "moment": "coordinate", "starts": 1}),
    Row("measurement-transfer"),
    Row("measurement-noise"),
    Row("pnas", {"steps": 5}),
    Row("pnas", {"steps": 5, "towards": "truth"}),
    Row("lesion", {"steps": 4}),
    Row("lesion", {"steps": 4, "mode": "create"}),
    Row("details"),
    Row("jacobian", {"iterations": 3}),
    Row("sampling", {"fractions": [0.2, 0.4]}, True),
    Row("shift", {}, True),
]
ids = [f"{row.use}-{i}" for i, row in enumerate(TABLE)]


class Network(torch.nn.Module):
    """Zero-filling and a seeded convolution with dropout, so that train mode would show."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        first, last = torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.Conv2d(4, 2, 3, padding=1)
        self.body = torch.nn.Sequential(first, torch.nn.Tanh(), torch.nn.Dropout(), last)

    def forward(self, y, physics):
        x = physics.A_adjoint(y)
        return x + self.body(x)


def samples(coils):
    generator = torch.Generator().manual_seed(3)
    image = 0.1 * torch.randn(N, 2, SIZE, SIZE, generator=generator)
    image[:, 0, 3:13, 3:13] += 1
    image = image / image.square().sum(1).sqrt().amax((1, 2)).view(-1, 1, 1, 1)
    if coils == 1:
        return image
    maps = torch.randn(N, coils, SIZE, SIZE, dtype=torch.complex64, generator=generator)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    parts = maps * torch.complex(image[:, 0], image[:, 1])[:, None]
    return torch.cat([parts.real, parts.imag, maps.real, maps.imag], 1)


def judged(row, which=slice(None), coils=1):
    task = tasks.make("reconstruction", {"mask": {"fraction": 0.5}, "draws": 2})
    names = tuple(f"s{i}" for i in range(N))
    batch = task.present(Batch(names, samples(coils).numpy(), np.zeros(N)))
    batch = Batch(names[which], batch.inputs[which], batch.labels[which])
    model, attack = Reconstructor(Network()), attacks.make(row.use, row.params)
    inputs, truth = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    eps = EPS if attack.threat.kind == "fixed" else None
    draws = Draws(list(range(N))[which])
    found = None
    if attack.reads:
        other = unpack(inputs)
        found = {"found:other": other.with_y(1.2 * other.y).pack().numpy()}
    state = {name: value.clone() for name, value in model.state_dict().items()}
    last, clean = attack.at_view(attack.views() - 1), task.clean(model, batch)
    rows, out = execute(task, last, model, inputs, truth, clean, eps=eps, generator=draws, others=found)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    return rows, out, inputs


def test_the_table_names_every_attack_on_reconstructions():
    assert {row.use for row in TABLE} == {n for n, c in attacks.classes().items() if "measurement" in c.accepts}


@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize("row", TABLE, ids=ids)
def test_verdict_shape_mask_and_seed(row, coils):
    rows, out, inputs = judged(row, coils=coils)
    assert (rows["status"] == "ok").all(), rows
    assert out.shape == inputs.shape
    assert out.dtype == torch.float32
    assert not out.requires_grad
    assert torch.equal(unpack(out).mask, unpack(inputs).mask) != row.other_mask
    assert np.isfinite(rows["rel_err"]).all()
    assert np.isfinite(rows["ssim"]).all()
    torch.rand(3)  # another global state must not matter
    assert torch.equal(out, judged(row, coils=coils)[1])


@pytest.mark.parametrize("row", TABLE, ids=ids)
def test_the_batch_size_does_not_matter(row):
    whole = judged(row)
    parts = [judged(row, slice(i, i + 1)) for i in range(N)]
    torch.testing.assert_close(whole[1], torch.cat([part[1] for part in parts]), atol=1e-4, rtol=0)
    for name in ("rel_err", "amp", "amp_noise", "psnr"):
        one = np.concatenate([part[0][name] for part in parts])
        np.testing.assert_allclose(whole[0][name], one, rtol=2e-3, err_msg=name)
