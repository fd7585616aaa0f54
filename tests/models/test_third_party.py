"""Entries around other people's checkpoints. Oracle: the clean accuracy published beside each (PROVENANCE.md)."""

import pytest
import torch

from benchmark.data.base import Grid, datasets
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry

SMALL = """
from torch import nn

def build(channels, width, padding, features):
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, stride=2, padding=padding), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=padding), nn.ReLU(),
        nn.Flatten(), nn.Linear(features, 100), nn.ReLU(), nn.Linear(100, 10),
    )
"""

RESNET = """
import torch
from torch import nn
from torch.nn import functional as F

class Block(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.stride, self.more = stride, outside - inside

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        skip = x[:, :, :: self.stride, :: self.stride]  # option A: subsample, pad with zero channels
        return F.relu(y + F.pad(skip, (0, 0, 0, 0, self.more // 2, self.more // 2)))

class ResNet(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [16, 16, 32, 64]
        for k in (1, 2, 3):
            first = Block(widths[k - 1], widths[k], 1 if k == 1 else 2)
            rest = [Block(widths[k], widths[k], 1) for _ in range(blocks - 1)]
            setattr(self, f"layer{k}", nn.Sequential(first, *rest))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        y = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(y.mean((2, 3)))
"""

TOML = """
name = "{name}"
input_shape = {shape}
classes = 10
factory = "model:{factory}"
kwargs = {kwargs}
[preprocessing]
{preprocessing}
[weights]
path = "{path}"
{weights}
"""

MNIST = {"use": "mnist-idx", "path": "digits_mnist_usps_mnistm"}
CIFAR = {"use": "npz", "path": "cifar10_subset/cifar10_lossless.npz"}
CASES = [
    pytest.param(
        "mnist/abcrown_cnn_a_adv.pt", MNIST, [1, 28, 28], SMALL, "build",
        "{ channels = 1, width = 16, padding = 1, features = 1568 }", "", "", 96.33, 10000, id="mnist-adversarial",
    ),
    pytest.param(
        "mnist/eran_conv_small_nat.pt", MNIST, [1, 28, 28], SMALL, "build",
        "{ channels = 1, width = 16, padding = 0, features = 800 }", "mean = 0.1307\nstd = 0.3081",
        'key = "state_dict.0"', 98.25, 10000, id="mnist-natural",
    ),
    pytest.param(
        "cifar10/akamaster_resnet20.th", CIFAR, [3, 32, 32], RESNET, "ResNet", "{ blocks = 3 }",
        "mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]", 'key = "state_dict"\nstrip = "module."',
        91.7, 846, id="cifar-resnet20",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "data", "shape", "code", "factory", "kwargs", "preprocessing", "weights", "percent", "count"), CASES
)
def test_published_clean_accuracy(
    real_data, tmp_path, file, data, shape, code, factory, kwargs, preprocessing, weights, percent, count
):
    folder = tmp_path / "theirs"
    folder.mkdir()
    path = real_data("weights_small") / file
    (folder / "model.py").write_text(code)
    (folder / "entry.toml").write_text(
        TOML.format(name="theirs", shape=shape, factory=factory, kwargs=kwargs, path=path,
                    preprocessing=preprocessing, weights=weights)
    )  # fmt: skip
    model = build_model(load_entry("theirs", [tmp_path]))
    dataset = datasets.make(data["use"], {"path": real_data(data["path"])})
    ids, right = dataset.index("test").ids, 0
    assert len(ids) == count
    for start in range(0, count, 500):
        batch = dataset.load("test", ids[start : start + 500], Grid())
        with torch.no_grad():
            right += int((model(torch.from_numpy(batch.inputs)).argmax(1).numpy() == batch.labels).sum())
    assert abs(100 * right / count - percent) <= 0.5
