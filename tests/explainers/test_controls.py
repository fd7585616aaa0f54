"""Controls. Oracles: known values of the edge filter, replayed draws."""

import torch
from torch import nn

from benchmark.explainers.base import explainers
from benchmark.models.wrap import Model
from benchmark.seeds import Draws

MODEL = Model(nn.Flatten())


def explain(name, inputs, draws=None):
    draws = draws or Draws(range(len(inputs)))
    return explainers.make(name).explain(MODEL, inputs, torch.zeros(len(inputs), dtype=torch.int64), generator=draws)


def test_random_draws_per_sample_and_afresh():
    draws = Draws([1, 2])
    first, second = (explain("random", torch.zeros(2, 3, 4, 4), draws) for _ in range(2))
    alone = explain("random", torch.zeros(1, 3, 4, 4), Draws([2]))
    assert torch.equal(first[1:], alone)
    assert not torch.equal(first, second)
    assert first.min() < -0.5
    assert -1 <= first.min() < first.max() < 1


def test_sobel_of_a_vertical_edge_is_four_beside_it():
    inputs = torch.zeros(1, 3, 5, 6)
    inputs[..., 3:] = 1.0
    wanted = torch.zeros(1, 3, 5, 6)
    wanted[..., 2:4] = 4.0  # |gx| = 1 + 2 + 1 on both sides of the step, also at the replicated border
    torch.testing.assert_close(explain("sobel", inputs), wanted)


def test_sobel_reads_the_luminance():
    inputs = torch.zeros(1, 3, 4, 4)
    inputs[:, 1, :, 2:] = 1.0  # green alone
    torch.testing.assert_close(explain("sobel", inputs).max(), torch.tensor(4 * 0.587))


def test_constant_is_one_everywhere():
    assert torch.equal(explain("constant", torch.rand(2, 1, 3, 3)), torch.ones(2, 1, 3, 3))


def test_controls_say_so():
    assert [name for name in explainers.names() if explainers.make(name).control] == ["constant", "random", "sobel"]
