"""Networks of other people's checkpoints that several tests need."""

from __future__ import annotations

from pathlib import Path

import torch

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
    """``sri_resnet_a`` of ``cifar10_robust``, with its preprocessing inside; needs onnx2torch.

    The batch of 1 that is written into its reshape is freed.
    """
    import onnx
    import onnx2torch
    from onnx import numpy_helper

    graph = onnx.load(weights / "sri_resnet_a.onnx")
    shapes = {name for node in graph.graph.node if node.op_type == "Reshape" for name in node.input[1:2]}
    for tensor in graph.graph.initializer:
        if tensor.name in shapes:
            values = numpy_helper.to_array(tensor).copy()
            if values[0] == 1:
                values[0] = -1 if -1 not in values else 0
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return _robust(onnx2torch.convert(graph))


def robust_vit(weights: Path) -> Model:
    """``vit_pgd_2_3_16`` of ``cifar10_robust``, with its preprocessing inside; needs onnx for the weights."""
    import onnx
    from onnx import numpy_helper

    initialisers = onnx.load(weights / "vit_pgd_2_3_16.onnx").graph.initializer
    return _robust(Transformer({i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in initialisers}))


def _robust(network: torch.nn.Module) -> Model:
    return Model(network, input_shape=(3, 32, 32), mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))


class Transformer(torch.nn.Module):
    """The vision transformer of that file: patches of 16, width 48, 2 layers, 3 heads, batch norm, mean pooling.

    Args:
        weights: its initialisers by name.
    """

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.names = {name: name.replace(".", "_").replace("::", "_") for name in weights}
        for name, value in weights.items():
            self.register_buffer(self.names[name], value)

    def w(self, name: str) -> torch.Tensor:
        return getattr(self, self.names[name])

    def normalised(self, x: torch.Tensor, name: str) -> torch.Tensor:
        kinds = ("running_mean", "running_var", "weight", "bias")
        mean, variance, weight, bias = (self.w(f"{name}.{kind}") for kind in kinds)
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.conv2d(x, self.w("0.projection.weight"), self.w("0.projection.bias"), stride=16)
        x = torch.cat([self.w("0.cls_token").expand(len(x), 1, -1), x.flatten(2).transpose(1, 2)], 1)
        x = x + self.w("0.positions")
        for layer, first in ((0, 209), (1, 226)):
            products = {first: "query", first + 1: "key", first + 2: "value"}
            y = self.normalised(x, f"1.{layer}.0.fn.0.norm")
            q, k, v = (
                (y @ self.w(f"onnx::MatMul_{n}") + self.w(f"1.{layer}.0.fn.1.{name}.bias"))
                .view(len(x), -1, 3, 16)
                .transpose(1, 2)
                for n, name in products.items()
            )
            y = ((q @ k.transpose(2, 3) * 0.25).softmax(3) @ v).transpose(1, 2).reshape(len(x), -1, 48)
            x = x + y @ self.w(f"onnx::MatMul_{first + 14}") + self.w(f"1.{layer}.0.fn.1.out.bias")
            y = self.normalised(x, f"1.{layer}.1.fn.0.norm")
            y = (y @ self.w(f"onnx::MatMul_{first + 15}") + self.w(f"1.{layer}.1.fn.1.0.bias")).relu()
            x = x + y @ self.w(f"onnx::MatMul_{first + 16}") + self.w(f"1.{layer}.1.fn.1.3.bias")
        return self.normalised(x.mean(1), "2.1") @ self.w("2.2.weight").T + self.w("2.2.bias")
