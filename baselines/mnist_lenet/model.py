"""LeNet as in Caffe's MNIST example: 20 and 50 convolutions 5x5, max pooling 2x2, a hidden layer of 500."""

from torch import nn


def build(classes: int = 10) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(50 * 4 * 4, 500),
        nn.ReLU(),
        nn.Linear(500, classes),
    )
