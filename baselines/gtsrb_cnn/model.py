"""Three blocks of 3x3 convolution, batch norm, ReLU and 2x2 max pooling, then two linear layers."""

from torch import nn


def build(classes: int = 43) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Dropout(0.3), nn.Linear(128 * 4 * 4, 256), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(*layers, *head, nn.Linear(256, classes))
