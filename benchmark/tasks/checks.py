"""What of a model itself makes a robustness claim doubtful, measured on each clean sample.

After AutoAttack's checks (Croce and Hein 2020, arXiv:2003.01690; its repository, ``flags_doc.md``).
:mod:`benchmark.tasks.doubts` turns them into flags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.models.wrap import Model

SUMS_TO_ONE = 1e-4


def checks(
    model: Model, inputs: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor, chosen: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """Two forwards and one backward a sample, and two forwards more of those chosen.

    Args:
        model: in eval mode, parameters frozen.
        inputs: float32 (N, C, H, W).
        logits: (N, K) of a first prediction of these inputs.
        labels: (N,) int64 true labels.
        chosen: (N,) which are predicted in another batch too; not by their place in this one.

    Returns:
        Columns (N,):

        - ``check_repeat``: largest change of a logit when the same batch is predicted again, as a share of the
          sample's largest logit (at least of 1); float64, 0 for a model that repeats itself.
        - ``check_softmax``: the outputs lie in [0, 1] and sum to 1 (within 1e-4): probabilities, not logits; bool.
        - ``check_gradient``: largest absolute element of the gradient of the cross-entropy with respect to the input,
          as float32 gives it; 0 also where the output does not depend on the input differentiably.
        - ``check_batch``: change of a logit, measured as in ``check_repeat``, when the sample is predicted beside the
          other chosen ones and the mirror images of all these; else NaN; infinite where that raises.
        - ``check_input``: a prediction changed the tensor that it was given; bool, of the whole batch.
        - ``check_state``: predictions changed the network's parameters, buffers or plain attributes; bool, likewise.
    """
    import torch

    before, asked = state_of(model.network), model.prepared(inputs).clone()
    with torch.no_grad():
        given = asked.clone()
        again = model.core(given).double()
    changed = not torch.equal(given.nan_to_num(), asked.nan_to_num())
    first = logits.double()
    scale = first.abs().amax(1).clamp(min=1)
    inside = ((first >= -SUMS_TO_ONE) & (first <= 1 + SUMS_TO_ONE)).all(1)
    return {
        "check_repeat": ((again - first).abs().amax(1) / scale).cpu().numpy(),
        "check_softmax": (inside & ((first.sum(1) - 1).abs() <= SUMS_TO_ONE)).cpu().numpy(),
        "check_gradient": _gradient(model, inputs, labels),
        "check_batch": _in_another_batch(model, inputs, first, scale, chosen),
        "check_input": np.full(len(inputs), changed),
        "check_state": np.full(len(inputs), state_of(model.network) != before),
    }


def state_of(network: nn.Module) -> list[tuple[Any, ...]]:
    """What a call may leave behind: which tensors there are and how often each was written, and plain attributes."""
    from torch import nn

    state: list[tuple[Any, ...]] = []
    for name, module in network.named_modules():
        for key, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                state.append((name, key, id(tensor), 0 if tensor.is_inference() else tensor._version))
        of_class = [(f"{base.__qualname__}.{key}", value) for base in type(module).__mro__ for key, value in
                    vars(base).items() if not base.__module__.startswith(("torch.", "builtins")) and
                    not key.startswith("__")]  # fmt: skip
        for key, value in (*vars(module).items(), *of_class):
            if not isinstance(value, nn.Module) and key not in ("_parameters", "_buffers", "_modules"):
                state.append((name, key, _plain(value)))
    return sorted(state, key=lambda part: part[:2])


def _plain(value: Any) -> str:
    """A number, a text or a container of these; of anything else only its type: it may be a cache of activations."""
    if isinstance(value, bool | int | float | str | type(None)):
        return repr(value)
    if isinstance(value, list | tuple) and len(value) <= 1000:
        return repr([_plain(inner) for inner in value])
    if isinstance(value, dict) and len(value) <= 1000:
        return repr([(str(key), _plain(inner)) for key, inner in value.items()])
    return type(value).__name__


def _in_another_batch(
    model: Model, inputs: torch.Tensor, logits: torch.Tensor, scale: torch.Tensor, chosen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    import torch

    changes = np.full(len(inputs), np.nan)
    at = torch.as_tensor(np.flatnonzero(chosen), device=inputs.device)
    if not len(at):
        return changes
    x = inputs[at]
    try:
        with torch.no_grad():
            beside = model(torch.cat([x, x.flip(-1)]))[: len(x)].double()
    except torch.OutOfMemoryError:
        raise
    except Exception:  # a network that needs its batch
        changes[chosen] = np.inf
    else:
        changes[chosen] = ((beside - logits[at]).abs().amax(1) / scale[at]).cpu().numpy()
    return changes


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
