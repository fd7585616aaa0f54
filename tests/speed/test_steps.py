"""What a step of our iterative attacks costs beside the calls that it makes (``-m speed``).

Oracle: a forward and a backward of the same network on the same batch, ResNet-20 and 24 images, processor time, one
thread; the best of four. A step makes at most 1.15 times its calls (linf and l2); sorts of l1, and FAB's two
projections, are reported. ``-s`` prints the table of docs/speed.md.
"""

import time

import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.attacks.core.losses import loss
from benchmark.attacks.core.search import Search
from benchmark.models.frozen import frozen
from benchmark.seeds import Draws
from tests.speed.test_deepfool import resnet20

pytestmark = [pytest.mark.speed]

STEPS, LIMIT = 20, 1.15
TINY = {"linf": 1e-4, "l2": 1e-3, "l1": 1e-2}  # budgets in which nothing breaks: all samples go on
CASES = {
    **{f"apgd {norm}": ("apgd", {"norm": norm, "steps": STEPS}) for norm in TINY},
    **{f"fab {norm}": ("fab", {"norm": norm, "steps": STEPS, "classes": 1}) for norm in TINY},
    **{f"fmn {norm}": ("fmn", {"norm": norm, "steps": STEPS}) for norm in (*TINY, "l0")},
    **{f"pdpgd {norm}": ("pdpgd", {"norm": norm, "steps": STEPS}) for norm in TINY},
    "ddn l2": ("ddn", {"steps": STEPS}),
    "sigma-zero l0": ("sigma-zero", {"steps": STEPS}),
}
HELD = ("apgd linf", "apgd l2", "fmn linf", "fmn l2", "ddn l2")  # the others are reported


@pytest.mark.parametrize("name", CASES)
def test_a_step_costs_its_calls(name):
    use, params = CASES[name]
    attack = attacks.make(use, params)
    eps = TINY[attack.threat.norm] if attack.threat.kind == "fixed" else None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, x, y = resnet20()
    x, y = x[:24], y[:24]
    ratios = []
    try:
        with frozen(model):
            for _ in range(4):
                search = Search.of(model, x, y)
                start = time.process_time()
                for _ in range(8):
                    graph = search.net.graph(x)
                    graph.gradient(loss(graph.logits, y, "ce")[1])
                both = (time.process_time() - start) / 8
                start = time.process_time()
                for _ in range(8):
                    search.net.look(x)
                forward = (time.process_time() - start) / 8
                start = time.process_time()
                out = attack.run(model, x, y, eps=eps, generator=Draws(range(len(x))))
                spent = time.process_time() - start
                forwards, backwards = float(out.forwards.mean()), float(out.backwards.mean())
                ratios.append(spent / (backwards * both + (forwards - backwards) * forward))
    finally:
        torch.set_num_threads(threads)
    print(f"\n| {name} | {forwards / STEPS:.2f} + {backwards / STEPS:.2f} | {min(ratios):.2f} |")
    if name in HELD:
        assert min(ratios) <= LIMIT
