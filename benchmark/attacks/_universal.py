"""The loops that fit a universal perturbation, on tensors.

The perturbation v is projected into its budget and nowhere else: an image is clipped when it is shown to the model, v
never is (ART writes v = clip(x + v + r) - x, so that every saturated pixel erases a part of v).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch.nn import functional as F

BallNorm = Literal["linf", "l2"]
LARGEST_BLOCK = 256


def project(v: torch.Tensor, eps: float, norm: BallNorm) -> torch.Tensor:
    """The nearest point of the ball of radius ``eps``, same shape as ``v`` (P in algorithm 1 of arXiv:1610.08401).

    A length that rounding would put outside is made a hair shorter.
    """
    if norm == "linf":
        return v.clamp(-eps, eps)
    length = float(v.double().norm())
    return v if length <= eps else v * (eps / length * (1 - 1e-7))


@torch.no_grad()
def predictions(
    model: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, v: torch.Tensor | None, block: int
) -> torch.Tensor:
    """(N,) predicted classes of ``clip(x + v)``, a block at a time."""
    shown = [part if v is None else (part + v).clamp(0, 1) for part in torch.split(inputs, block)]
    return torch.cat([model(part).argmax(1) for part in shown])


def sequential(
    model: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    crossing: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    eps: float,
    norm: BallNorm,
    passes: int,
    delta: float,
    order: torch.Tensor,
) -> tuple[torch.Tensor, int]:
    """Moosavi-Dezfooli et al. 2017, algorithm 1: each image that v does not fool yet adds its minimal perturbation.

    Line numbers in the code are those of arXiv:1610.08401.

    Blockwise screening: the algorithm looks at one image after the other, but v only changes at an image that it does
    not fool. A block is therefore predicted at once, and everything up to its first such image stands; the rest is
    predicted again under the new v. The result is that of the loop over single images, with far fewer calls. The block
    follows the distance between updates (it doubles where a whole block was fooled, and shrinks to twice the distance).

    Args:
        model: (M, C, H, W) in [0, 1] to logits.
        inputs: training images (N, C, H, W).
        crossing: x + v (1, C, H, W), not clipped, and the clean class (1,), to what must be added for another class.
        eps, norm: the ball.
        passes: most passes over the images.
        delta: stop once at least a share of 1 - delta of the images is fooled.
        order: (passes, N) the order of the images in each pass.

    Returns:
        v (C, H, W) of the pass after which it fooled most images (it does not grow from pass to pass), and the passes
        made.
    """
    v = torch.zeros_like(inputs[0])  # line 3
    clean = predictions(model, inputs, None, LARGEST_BLOCK)
    best, most, made = v, -1.0, 0
    for turn in range(passes):  # line 4, at most so often
        made += 1
        at, block, images, classes = 0, 8, inputs[order[turn]], clean[order[turn]]
        while at < len(images):  # line 5, a block at a time
            part = slice(at, at + block)
            with torch.no_grad():
                same = model((images[part] + v).clamp(0, 1)).argmax(1) == classes[part]  # line 6
            if not bool(same.any()):
                at, block = at + len(same), min(2 * block, LARGEST_BLOCK)
                continue
            first = int(same.int().argmax())
            here = at + first
            step = crossing(images[here : here + 1] + v, classes[here : here + 1])[0]  # line 7
            v = project(v + step, eps, norm)  # line 8
            at, block = here + 1, max(1, min(2 * (first + 1), LARGEST_BLOCK))
        fooled = float((predictions(model, inputs, v, LARGEST_BLOCK) != clean).float().mean())
        best, most = (v, fooled) if fooled > most else (best, most)
        if fooled >= 1 - delta:  # line 4
            break
    return best, made


def stochastic(
    model: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    *,
    eps: float,
    norm: BallNorm,
    passes: int,
    batch: int,
    step: float,
    beta: float,
    target: int | None,
    order: torch.Tensor,
    start: torch.Tensor,
) -> tuple[torch.Tensor, float]:
    """Shafahi et al. 2020, algorithm 2: projected stochastic gradient on the clipped loss, one v for every batch.

    Maximises the mean of min(CE(f(x + v), c), beta) over the images (eq. 5), where c is the clean prediction; targeted:
    minimises CE(f(x + v), target). The step is ``step * eps`` along the sign (linf) or the direction (l2) of the
    batch's gradient, falling linearly to a tenth of that.

    Args:
        model, inputs, eps, norm, passes, order: as in :func:`sequential`.
        batch: images a step.
        step: first step size, as a share of eps.
        beta: the loss of one image counts up to here, so that a few images do not take over.
        target: class to aim at, None for any other class.
        start: v (C, H, W) to begin with.

    Returns:
        v (C, H, W), and the share of the images that it fools (targeted: that are taken for the target).
    """
    clean = predictions(model, inputs, None, LARGEST_BLOCK)
    v = start
    steps = [part for turn in range(passes) for part in torch.split(order[turn], batch)]
    for i, part in enumerate(steps):
        v = v.detach().requires_grad_()
        logits = model((inputs[part] + v).clamp(0, 1))
        if target is None:
            loss = F.cross_entropy(logits, clean[part], reduction="none").clamp(max=beta).mean()  # eq. 5
        else:
            loss = -F.cross_entropy(logits, torch.full_like(clean[part], target))
        gradient = torch.autograd.grad(loss, v)[0]
        size = step * eps * (1 - 0.9 * i / max(1, len(steps) - 1))
        way = gradient.sign() if norm == "linf" else gradient / gradient.norm().clamp(min=1e-12)
        v = project(v.detach() + size * way, eps, norm)
    classes = predictions(model, inputs, v, LARGEST_BLOCK)
    won = classes != clean if target is None else classes == target
    return v, float(won.float().mean())
