"""Run an attack on a batch as every attack is run, and have the task judge what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.attacks.base import Attack, Perturbed
from benchmark.attacks.controls import Identity
from benchmark.attacks.verify import scalar_params
from benchmark.errors import AssayError, AttackError
from benchmark.seeds import Draws, derive, global_seed
from benchmark.tasks.base import Rows, Task

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model

Columns = dict[str, NDArray[Any]]


def execute(
    task: Task,
    attack: Attack,
    model: Model,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    clean: Rows,
    *,
    eps: float | None,
    generator: Draws,
    fitted: Mapping[str, NDArray[Any]] | None = None,
    others: Mapping[str, NDArray[Any]] | None = None,
) -> tuple[Columns, torch.Tensor]:
    """Attack a batch and verify it.

    Samples that are wrong on clean input are left out, unless the attack must see the whole batch; those left out are
    judged as they stand (norm 0, no calls). Global random state is seeded around the attack and put back; the model is
    in eval mode with frozen parameters, and leaves without gradients.

    Args:
        task: judges.
        attack: perturbs.
        model: on the device of ``inputs``.
        inputs: (N, ...), of the task's kind: of images float32 (N, C, H, W) in [0, 1].
        labels: (N,) true labels.
        clean: clean columns of these samples; ``correct`` is needed.
        eps: the budget, None where there is none.
        generator: N per-sample random streams.
        fitted: what :meth:`Attack.fit` returned, where the attack fits.
        others: inputs that other cells found, (N, ...) each, where the attack descends or reads.

    Returns:
        The columns of :meth:`Task.verify` with ``forwards``, ``backwards`` (calls a sample, float64) and
        ``param_<key>`` (NaN where left out); and the perturbed inputs, as ``inputs``.

    Raises:
        AttackError: the attack raised, or returned another shape or dtype. Out of memory passes through.
    """
    import torch

    chosen = np.ones(len(inputs), bool) if attack.whole_batch else np.asarray(clean["correct"], dtype=bool)
    columns: Columns = {"forwards": np.zeros(len(inputs)), "backwards": np.zeros(len(inputs))}
    outputs = inputs.detach().clone()
    for attacked in (True, False):
        where = np.flatnonzero(chosen == attacked)
        if not len(where):
            continue
        at = torch.as_tensor(where, device=inputs.device)
        part, part_labels, part_clean = inputs[at], labels[at], {name: values[where] for name, values in clean.items()}
        by, budget, left = attack, eps, Perturbed(part)
        draws = generator.subset(where.tolist())
        with task.side_information(model, attack, eps):
            if attacked:
                given = _given(fitted, others, where)
                own = (part.clone(), part_labels.clone())
                run = partial(attack.run, model, *own, eps=eps, generator=draws, fitted=given)
                left = _called(attack, model, part, run, draws)
                outputs[at] = left.inputs
            else:
                by, budget = Identity(), None
            rows = verification(task, model, part, part_labels, left, by, part_clean, eps=budget, generator=draws)
        rows |= scalar_params(left, len(where))
        if attacked:
            rows |= {"forwards": np.asarray(left.forwards), "backwards": np.asarray(left.backwards)}
        for name, values in rows.items():
            _put(columns, name, where, values, len(inputs))
    return columns, outputs


def verification(
    task: Task,
    model: Model,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    left: Perturbed,
    attack: Attack,
    clean: Rows,
    *,
    eps: float | None,
    generator: Draws,
) -> Columns:
    """What the task says of perturbed inputs, with the draws that these samples' verdicts always have.

    Args and returns: those of :meth:`Task.verify`; ``generator`` is the attack's own.
    """
    judge = Draws([derive(seed, "verify") for seed in generator.seeds])
    with global_seed(derive("verify", generator.batch_seed)):  # a model may draw numbers itself
        return task.verify(model, inputs, labels, left, attack, eps=eps, clean=clean, generator=judge)


def _given(
    fitted: Mapping[str, NDArray[Any]] | None, others: Mapping[str, NDArray[Any]] | None, where: NDArray[np.intp]
) -> Mapping[str, NDArray[Any]] | None:
    """What an attack is handed: what was fitted, and of what other cells found these samples' part."""
    if not others:
        return fitted
    return {**(fitted or {}), **{role: inputs[where] for role, inputs in others.items()}}


def _put(columns: Columns, name: str, where: NDArray[np.intp], values: NDArray[Any], n: int) -> None:
    """Write the values of some samples into a column; elsewhere it is NaN until written."""
    if name not in columns:
        missing = np.nan if values.dtype.kind == "f" else 0
        dtype = np.dtype("<U16") if values.dtype.kind == "U" else values.dtype
        columns[name] = np.full(n, missing, dtype=dtype)
    columns[name][where] = values


def generate(
    task: Task, attack: Attack, model: Model, targets: torch.Tensor, shape: Sequence[int], *, generator: Draws
) -> tuple[Columns, torch.Tensor]:
    """Have an attack make one input a target from nothing, and have the task judge them.

    Args:
        task, attack, model: as in :func:`execute`.
        targets: (M,) int64 classes.
        shape: of one input, (C, H, W).
        generator: M per-target random streams.

    Returns:
        The columns of :meth:`Task.verify_generated` with ``forwards`` and ``backwards`` a target; and the inputs,
        float32 (M, C, H, W).

    Raises:
        AttackError: the attack raised, or returned another shape or dtype. Out of memory passes through.
    """
    import torch

    expected = torch.empty((len(targets), *shape), dtype=torch.float32, device=targets.device)
    run = partial(attack.generate, model, targets.clone(), shape, generator=generator)
    perturbed = _called(attack, model, expected, run, generator)
    rows = task.verify_generated(model, targets, perturbed, attack) | scalar_params(perturbed, len(targets))
    rows |= {"forwards": np.asarray(perturbed.forwards), "backwards": np.asarray(perturbed.backwards)}
    return rows, perturbed.inputs


def _called(
    attack: Attack, model: Model, expected: torch.Tensor, call: Callable[[], Perturbed], generator: Draws
) -> Perturbed:
    """Call the attack with the model held still; check what it returns and fill in the calls that were counted."""
    import torch

    from benchmark.models.frozen import frozen

    try:
        with frozen(model), global_seed(generator.batch_seed), model.counter.counting() as used:
            perturbed = call()
    except (AssayError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if "out of memory" in str(error).lower():
            raise  # the cell halves its batch
        raise AttackError(f"attack {attack.name!r} raised {type(error).__name__}: {error}") from error
    if not isinstance(perturbed, Perturbed) or not isinstance(perturbed.inputs, torch.Tensor):
        raise AttackError(
            f"attack {attack.name!r} returned {type(perturbed).__name__}, expected Perturbed with a tensor"
        )
    got = perturbed.inputs
    if got.shape != expected.shape or got.dtype != expected.dtype:
        raise AttackError(
            f"attack {attack.name!r} returned {got.dtype} {tuple(got.shape)},"
            f" expected {expected.dtype} {tuple(expected.shape)}"
        )
    n = len(expected)
    return replace(
        perturbed,
        inputs=got.detach().to(expected.device),
        forwards=_calls(perturbed.forwards, used.forwards, n),
        backwards=_calls(perturbed.backwards, used.backwards, n),
    )


def _calls(exact: NDArray[Any] | None, counted: int, n: int) -> NDArray[Any]:
    """Calls a sample: what the attack knows exactly, else the mean over the batch."""
    return np.full(n, counted / n) if exact is None else np.asarray(exact, dtype=np.float64)
