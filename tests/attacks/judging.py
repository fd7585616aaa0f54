"""What the tests of stickers and patches share: random images, and an attack that is run and verified on some."""

import torch

from benchmark.data.base import Batch
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute


def photos(n=4, channels=3, side=16):
    return torch.rand((n, channels, side, side), generator=torch.Generator().manual_seed(1))


def judged(attack, model, x, y, fitted=None):
    clean = tasks.make("classification").clean(model, Batch(tuple(map(str, range(len(x)))), x.numpy(), y.numpy()))
    task, draws = tasks.make("classification"), Draws(range(len(x)))
    return execute(task, attack, model, x, y, clean, eps=None, generator=draws, fitted=fitted)[0]
