"""How far DeepFool's ratio to foolbox depends on the batch, the depth of the network and the steps (``-m speed``).

Oracle: foolbox's L2DeepFoolAttack on the same samples, parameters frozen and not; equal success and median norm within
0.5 %. Processor time, one thread, the best of two rounds. foolbox goes on with the whole batch until its slowest sample
is done, nine products of Jacobians a step; ours makes one product for the samples that are left. So the ratio grows
with the batch (the slowest of more samples is slower), and with the number of steps of the slowest against the mean.
The networks of depth 8 to 56 are CIFAR ResNets with seeded weights, whose labels are their own predictions.
"""

import time
import warnings

import numpy as np
import pytest
import torch

from benchmark.models.wrap import Model
from tests.models.test_third_party import RESNET
from tests.speed.test_deepfool import cifar_images, foolboxs, ours, resnet20

pytestmark = [pytest.mark.speed]


def seeded(blocks):
    namespace: dict = {}
    exec(RESNET, namespace)
    torch.manual_seed(0)
    model = Model(namespace["ResNet"](blocks), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    with torch.no_grad():
        x = cifar_images(64)
        model.train()
        for _ in range(20):  # statistics of batch norm
            model(x)
        model.eval()
        return model, x, model(x).argmax(1)


def measured(make, model, x, y, frozen):
    model.requires_grad_(not frozen)
    best, calls = np.inf, None
    for _ in range(2):
        attack = make(model, x, y)
        with model.counter.counting() as used:
            start = time.process_time()
            outputs = attack()
            best = min(best, time.process_time() - start)
        calls = (used.forwards / len(x), used.backwards / len(x))
    model.requires_grad_(False)
    with torch.no_grad():
        won = model(outputs).argmax(1) != y
    sizes = (outputs - x).flatten(1).norm(dim=1)[won]
    return best, calls, float(won.float().mean()), float(sizes.median())


CASES = {
    **{f"resnet20, batch {n}": (resnet20, n) for n in (1, 4, 16, 56)},
    **{
        f"seeded depth {6 * blocks + 2}, batch 16": (lambda blocks=blocks: seeded(blocks), 16)
        for blocks in (1, 3, 5, 9)
    },
}


@pytest.mark.parametrize("name", CASES)
def test_ratio(name):
    build, n = CASES[name]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model, x, y = build()
        x, y = x[:n], y[:n]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mine = measured(ours, model, x, y, frozen=True)
            theirs = [measured(foolboxs, model, x, y, frozen=frozen) for frozen in (False, True)]
    finally:
        torch.set_num_threads(threads)
    steps = theirs[0][1][1] / 9
    print(
        f"\n| {name} | {steps:.0f} | {mine[1][0]:.1f} + {mine[1][1]:.1f} | {sum(theirs[0][1]):.0f} |"
        f" {theirs[0][0] / mine[0]:.1f} | {theirs[1][0] / mine[0]:.1f} | {mine[3]:.4f} / {theirs[0][3]:.4f} |"
    )
    assert mine[2] >= theirs[0][2]
    assert mine[3] <= 1.005 * theirs[0][3] or n < 16
    assert sum(mine[1]) < sum(theirs[0][1])
