"""Networks of other people's checkpoints that several tests need."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmark.models.wrap import Model
from tests.models.test_third_party import RESNET


def resnet20(weights: Path) -> Model:
    """The CIFAR-10 ResNet-20 of the development data, with its preprocessing inside."""
    namespace: dict[str, type[torch.nn.Module]] = {}
    exec(RESNET, namespace)
    network = namespace["ResNet"](3)
    state = torch.load(weights / "cifar10" / "akamaster_resnet20.th", weights_only=True, map_location="cpu")
    network.load_state_dict({key.removeprefix("module."): value for key, value in state["state_dict"].items()})
    return Model(network, input_shape=(3, 32, 32), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
