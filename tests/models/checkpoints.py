"""Networks of other people's checkpoints that several tests need."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmark.models.graphs.network import GraphNetwork
from benchmark.models.graphs.reading import read_graph
from benchmark.models.wrap import Model
from tests.models.test_third_party import RESNET, SMALL


def resnet20(weights: Path) -> Model:
    """The CIFAR-10 ResNet-20 of the development data, with its preprocessing inside."""
    namespace: dict[str, type[torch.nn.Module]] = {}
    exec(RESNET, namespace)
    network = namespace["ResNet"](3)
    state = torch.load(weights / "cifar10" / "akamaster_resnet20.th", weights_only=True, map_location="cpu")
    network.load_state_dict({key.removeprefix("module."): value for key, value in state["state_dict"].items()})
    return Model(network, input_shape=(3, 32, 32), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def small(weights: Path, file: str, channels: int, padding: int, features: int, **preprocessing: tuple) -> Model:
    """A convolutional network of alpha-beta-CROWN's, such as ``cifar10/abcrown_cnn_a_adv.pt``."""
    namespace: dict = {}
    exec(SMALL, namespace)
    network = namespace["build"](channels, 16, padding, features)
    state = torch.load(weights / file, weights_only=True, map_location="cpu")
    network.load_state_dict(state.get("state_dict", state))
    size = 28 if channels == 1 else 32
    return Model(network, input_shape=(channels, size, size), **preprocessing)


def robust_resnet(weights: Path) -> Model:
    """``sri_resnet_a`` of ``cifar10_robust``, with its preprocessing inside; needs onnx."""
    return _robust(weights / "sri_resnet_a.onnx")


def robust_vit(weights: Path) -> Model:
    """``vit_pgd_2_3_16`` of ``cifar10_robust``, with its preprocessing inside; needs onnx."""
    return _robust(weights / "vit_pgd_2_3_16.onnx")


def _robust(file: Path) -> Model:
    network = GraphNetwork(read_graph(file), (3, 32, 32))
    return Model(network, input_shape=(3, 32, 32), mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
