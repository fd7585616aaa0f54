"""Controls. Oracles: known values of the edge filter, replayed draws."""

import pytest
import torch
from torch import nn

from benchmark.errors import ExplainerError, UnknownNameError
from benchmark.explainers.base import explainers
from benchmark.models.wrap import Model
from benchmark.seeds import Draws, global_seed

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
    controls = [name for name in explainers.names() if explainers.make(name).control]
    assert controls == ["constant", "random", "sobel", "untrained"]


def network(seed=0):
    torch.manual_seed(seed)
    first = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*first, nn.Linear(144, 8), nn.ReLU(), nn.Linear(8, 3))


def untrained(model, inputs, **params):
    targets = torch.zeros(len(inputs), dtype=torch.int64)
    return explainers.make("untrained", params).explain(model, inputs, targets, generator=Draws(range(len(inputs))))


def test_untrained_explains_the_network_as_its_layers_draw_it():
    """Oracle: the same architecture built anew under the same seed. It knows nothing of the trained parameters."""
    inputs = torch.rand(3, 1, 8, 8)
    fresh = network(5)
    with global_seed(7):
        for module in fresh:
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    fresh = Model(fresh)
    wanted = explainers.make("saliency").explain(
        fresh, inputs, torch.zeros(3, dtype=torch.int64), generator=Draws(range(3))
    )
    for seed in (0, 1):
        torch.testing.assert_close(untrained(Model(network(seed)), inputs, seed=7), wanted)
    assert (untrained(Model(network()), inputs, seed=8) - wanted).abs().max() > 1e-3


def test_untrained_leaves_the_model_and_the_global_state_alone():
    model = Model(network())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    inputs, state = torch.rand(2, 1, 8, 8), torch.get_rng_state()
    untrained(model, inputs, of="untrained", of_params={"of": "gradient-shap"})
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.counter.forwards == 0


class Bare(nn.Module):
    """A parameter that no layer draws."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(1, 3, 48).view(3, 16))

    def forward(self, x):
        return x.flatten(1) @ self.weight.T


def test_untrained_draws_parameters_that_no_layer_resets():
    model = Model(Bare())
    found = untrained(model, torch.rand(1, 1, 4, 4))[0].flatten()
    assert abs(float(torch.corrcoef(torch.stack([found, model.network.weight[0]]))[0, 1])) < 0.9
    assert not torch.equal(found, model.network.weight[0])


def test_untrained_one_logit_models_keep_their_pair():
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(16, 1)), one_logit=True)
    inputs = torch.rand(1, 1, 4, 4)
    make = explainers.make("untrained")
    first, second = (make.explain(model, inputs, torch.tensor([target]), generator=Draws([0])) for target in (0, 1))
    torch.testing.assert_close(first, -second)


def test_untrained_passes_on_what_its_explainer_says():
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), input_shape=(1, 8, 8))
    assert "gradcam needs" in explainers.make("untrained", {"of": "gradcam"}).skip(model, None, None)
    with pytest.raises(UnknownNameError, match="saliency"):
        untrained(model, torch.rand(1, 1, 8, 8), of="salency")
    with pytest.raises(ExplainerError, match="no parameters"):
        untrained(MODEL, torch.rand(1, 1, 8, 8))
