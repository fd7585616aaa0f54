"""What of a model itself makes a robustness claim doubtful, measured on each clean sample.

After AutoAttack's checks (Croce and Hein 2020, arXiv:2003.01690; its repository, ``flags_doc.md``). The report turns
them into flags (``benchmark.report.flags``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model

SUMS_TO_ONE = 1e-4


def checks(model: Model, inputs: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> dict[str, NDArray[Any]]:
    """Two forwards and one backward a sample.

    Args:
        model: in eval mode, parameters frozen.
        inputs: float32 (N, C, H, W).
        logits: (N, K) of a first prediction of these inputs.
        labels: (N,) int64 true labels.

    Returns:
        Columns (N,):

        - ``check_repeat``: largest change of a logit when the same batch is predicted again, as a share of the
          sample's largest logit (at least of 1); float64, 0 for a model that repeats itself.
        - ``check_softmax``: the outputs lie in [0, 1] and sum to 1 (within 1e-4): probabilities, not logits; bool.
        - ``check_gradient``: largest absolute element of the gradient of the cross-entropy with respect to the input,
          as float32 gives it; 0 also where the output does not depend on the input differentiably.
    """
    import torch

    with torch.no_grad():
        again = model(inputs).double()
    first = logits.double()
    scale = first.abs().amax(1).clamp(min=1)
    inside = ((first >= -SUMS_TO_ONE) & (first <= 1 + SUMS_TO_ONE)).all(1)
    return {
        "check_repeat": ((again - first).abs().amax(1) / scale).cpu().numpy(),
        "check_softmax": (inside & ((first.sum(1) - 1).abs() <= SUMS_TO_ONE)).cpu().numpy(),
        "check_gradient": _gradient(model, inputs, labels),
    }


def _gradient(model: Model, inputs: torch.Tensor, labels: torch.Tensor) -> NDArray[np.float64]:
    import torch
    from torch.nn import functional as F

    x = inputs.detach().clone().requires_grad_()
    with torch.enable_grad():
        loss = F.cross_entropy(model(x).float(), labels, reduction="sum")
    if not loss.requires_grad:
        return np.zeros(len(inputs))
    (gradient,) = torch.autograd.grad(loss, x, allow_unused=True)
    if gradient is None:
        return np.zeros(len(inputs))
    largest: NDArray[np.float64] = gradient.detach().double().flatten(1).abs().amax(1).cpu().numpy()
    return largest
