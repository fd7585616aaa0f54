"""Controls. Oracles: the norm of an unclipped draw is eps (closed form); draws belong to samples (property)."""

import numpy as np
import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.attacks.controls import margins
from benchmark.attacks.verify import norms
from benchmark.errors import AttackError
from benchmark.models.wrap import Model
from benchmark.seeds import Draws


@pytest.mark.parametrize(("use", "norm"), [("noise-linf", "linf"), ("noise-l2", "l2")])
def test_noise_has_the_budgets_norm_and_belongs_to_the_sample(use, norm):
    x = torch.full((6, 1, 8, 8), 0.5)
    attack = attacks.make(use)
    whole = attack.run(None, x, torch.zeros(6).long(), eps=0.25, generator=Draws(range(6))).inputs
    np.testing.assert_allclose(norms(x, whole)[norm], 0.25, rtol=1e-6)
    parts = [
        attack.run(None, x[:2], torch.zeros(2).long(), eps=0.25, generator=Draws(range(i, i + 2))).inputs
        for i in (0, 2, 4)
    ]
    assert torch.equal(whole, torch.cat(parts))
    assert len({tuple(row.flatten().tolist()) for row in whole}) == 6


def test_noise_is_clipped_to_the_range():
    x = torch.zeros(4, 1, 8, 8)
    found = attacks.make("noise-linf").run(None, x, torch.zeros(4).long(), eps=0.3, generator=Draws(range(4))).inputs
    assert found.min() == 0
    assert set(np.unique(found.numpy()).tolist()) == {0.0, np.float32(0.3).item()}


def test_the_worst_of_several_draws_is_kept():
    torch.manual_seed(0)
    model = Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)))
    x = torch.rand(20, 1, 8, 8)
    y = model(x).argmax(1)
    best = margins(
        model(attacks.make("noise-linf", {"draws": 8}).run(model, x, y, eps=0.1, generator=Draws(range(20))).inputs), y
    )
    draws, single = Draws(range(20)), []
    for _ in range(8):
        found = attacks.make("noise-linf").run(model, x, y, eps=0.1, generator=draws)
        single.append(margins(model(found.inputs), y))
    torch.testing.assert_close(best, torch.stack(single).amin(0))


def test_misuse_is_named():
    x = torch.zeros(1, 1, 8, 8)
    with pytest.raises(AttackError, match="needs a budget"):
        attacks.make("noise-l2").run(None, x, torch.zeros(1).long(), eps=None, generator=Draws([0]))
    with pytest.raises(AttackError, match="class labels"):
        attacks.make("noise-l2", {"draws": 2}).run(None, x, torch.zeros(1), eps=0.1, generator=Draws([0]))


def test_margin_is_zero_at_a_tie():
    logits = torch.tensor([[2.0, 2.0, 0.0], [3.0, 1.0, 0.0], [0.0, 1.0, -1.0]])
    assert margins(logits, torch.tensor([0, 0, 0])).tolist() == [0.0, 2.0, -1.0]
