"""What `assay check` finds out about an entry: faults that otherwise spoil every number of a run without an error."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmark.data.base import Batch
from benchmark.errors import AssayError
from benchmark.files import file_sha256
from benchmark.models.build import build_model
from benchmark.models.entries import Entry
from benchmark.models.faults import last_line
from benchmark.models.kinds import Result, Trial, networks_of
from benchmark.models.tried import above, best_of, predictions, right_in_order, right_with_usual, usual_orders
from benchmark.models.watch import eager_mode
from benchmark.models.wrap import Model

NOISE = 1e-4  # differences up to this share of the largest logit are rounding: batch shapes change the order of sums


def check_entry(
    entry: Entry,
    batch: Batch | None = None,
    device: str = "cpu",
    chance: float | None = None,
    *,
    classes: Sequence[str] = (),
    outputs: Sequence[int] = (),
    effort: Effort | None = None,
) -> list[Result]:
    """Load an entry and look for faults.

    Args:
        entry: the model entry; its weights must be on disk (``ensure_weights``).
        batch: samples with labels on a suite's grid; None: random inputs, and no accuracy is judged.
        device: where to run.
        chance: accuracy of always naming the commonest class; default: from the batch.
        classes: names of the data's classes; default: their numbers.
        outputs: where the entry names its classes in another order than the data: which output each of theirs is.
        effort: how long it may take, and who is told what is looked at.

    Returns:
        One result a question, in the order of the table; after a failed build only that one.
    """
    try:
        model = build_model(entry, device)
        model = model.reordered(outputs) if outputs else model
    except AssayError as error:
        return [Result("builds and loads", "fail", str(error), "correct what the message names, then check again")]
    words = f"; {'; '.join(model.notes)}" if model.notes else ""
    made_by = entry.spec.factory or f"the {entry.spec.weights.format if entry.spec.weights else ''} file"
    finding = f"{made_by}, {parameters(model.network):,} parameters{words}"
    results = [Result("builds and loads", "note" if words else "ok", finding)]
    return [
        *results,
        check_weights(entry, model.stored),
        *check_model(entry, model, batch, device, chance, classes=classes, effort=effort),
    ]


def check_model(
    entry: Entry,
    model: Model,
    batch: Batch | None = None,
    device: str = "cpu",
    chance: float | None = None,
    *,
    classes: Sequence[str] = (),
    effort: Effort | None = None,
) -> list[Result]:
    """Look for faults of a network that is built: of an entry's, or of a module in memory.

    Args and returns: see :func:`check_entry`.
    """
    results: list[Result] = []
    effort, networks = effort or Effort(), networks_of(entry.spec.task)
    inputs = torch.from_numpy(batch.inputs) if batch is not None else networks.example(entry.spec, 32)
    inputs = inputs.to(device)
    if (few := effort.affordable(model, inputs)) < len(inputs):
        finding = f"{few} of {len(inputs)} samples are tried: {effort.cost:.2g} s a forward of one"
        results.append(Result("samples", "note", finding, f"all would take more than {effort.budget:g} s: --budget"))
        inputs = inputs[:few]
        batch = batch and Batch(batch.ids[:few], batch.inputs[:few], batch.labels[:few])
    try:
        with torch.no_grad():
            output, raw = networks.call(model, inputs)
    except Exception as error:
        todo = "correct input_shape and preprocessing, or the network's forward"
        return [*results, Result("output", "fail", f"the network raised {last_line(error)}", todo)]
    shape = check_shape(entry, raw, len(inputs))
    results.append(shape)
    if shape.status == "fail":
        return results
    if model.unwrap is not None and model.unwrap.words:
        asked = entry.spec.output_key and "cast" not in model.unwrap.words
        todo = "" if asked else "another part: output_key in entry.toml"
        results.append(Result("unwrapped", "ok" if asked else "note", model.unwrap.words, todo))
    trial = Trial(entry, model, inputs, raw, batch, classes, chance)
    for what, check in (
        *networks.first_questions(trial),
        ("eval mode", lambda: check_eval(model)),
        ("the same twice", lambda: check_repeats(model, inputs, output)),
        ("any batch", lambda: check_batches(model, inputs, output)),
        *([("the input gradient", lambda: check_gradient(model, inputs))] if networks.differentiable else []),
        *networks.last_questions(trial),
        ("cost", lambda: check_cost(model, inputs, backward=networks.differentiable)),
    ):
        effort.said(what, len(inputs))
        results.append(guarded(check))
    return results


CALLS = 25  # forwards of a sample that all questions need together, a backward for two


@dataclass
class Effort:
    """How long a check may take.

    Attributes:
        budget: seconds; of a network that would need more, fewer samples are tried, but at least two.
        said: told of each question before it is looked into, with the number of samples.
        cost: seconds of a forward of one sample, once measured.
    """

    budget: float = float("inf")
    said: Callable[[str, int], None] = lambda *_: None
    cost: float = 0.0

    def affordable(self, model: Model, inputs: torch.Tensor) -> int:
        """How many of the inputs fit the budget, by the time that two of them take; all where they cannot be run."""
        if self.budget == float("inf"):
            return len(inputs)
        try:
            with torch.no_grad():
                for _ in range(2):  # the first warms up
                    start = time.perf_counter()
                    model(inputs[:2])
                    self.cost = (time.perf_counter() - start) / len(inputs[:2])
        except Exception:  # what is wrong is said where the output is looked at
            return len(inputs)
        return min(len(inputs), max(2, int(self.budget / (CALLS * max(self.cost, 1e-9)))))


def guarded(check: Callable[[], Result]) -> Result:
    """The check's result, or a failure that names what the network raised."""
    try:
        return check()
    except Exception as error:
        return Result("network", "fail", f"raised {last_line(error)}", "make forward and backward work on any batch")


def parameters(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in network.parameters())


def check_weights(entry: Entry, stored: str = "") -> Result:
    """Which weights are used, by digest, and as which other type they are ``stored``."""
    path, weights = entry.weights_path(), entry.spec.weights
    if path is None:
        return Result(
            "weights", "note", "none: the network is used as its factory returns it",
            "right where the factory loads its own; else add [weights] or train it",
        )  # fmt: skip
    size, digest = path.stat().st_size, file_sha256(path)
    pinned = bool(weights and weights.sha256)
    shipped = weights and weights.file and not (weights.package or weights.hub)
    todo = "" if pinned or shipped else f'pin it: sha256 = "{digest}" under [weights]'
    said = f"{', as pinned' if pinned else ''}{f'; {stored}' if stored else ''}"
    return Result("weights", "ok", f"sha256 {digest} ({size:,} bytes){said}", todo)


def check_shape(entry: Entry, raw: Any, count: int) -> Result:
    """The shape that the task wants, finite."""
    spec, name = entry.spec, "output"
    if not isinstance(raw, torch.Tensor):
        return Result(name, "fail", f"a {type(raw).__name__}, not a tensor", "return the logits alone from forward")
    got = tuple(raw.shape)
    if not torch.isfinite(raw).all():
        share = 1 - float(torch.isfinite(raw).float().mean())
        return Result(name, "fail", f"{share:.0%} of the outputs are NaN or infinite", "check weights, mean and std")
    misshapen = networks_of(spec.task).misshapen(spec, got, count)
    if misshapen is None:
        return Result(name, "ok", f"shape {got}, finite")
    expected, todo = misshapen
    return Result(name, "fail", f"shape {got}, expected {expected}", todo)


def check_logits(entry: Entry, raw: torch.Tensor) -> Result:
    """Logits, not probabilities: gradients of a saturated softmax vanish and attacks fail without an error."""
    name, low, high = "logits", float(raw.min()), float(raw.max())
    todo = "return what goes into the softmax or sigmoid: attacks need gradients that do not saturate"
    if not entry.spec.class_count:
        return Result(name, "skip", "not a classifier")
    if low >= 0 and high <= 1:
        if entry.spec.output == "logit1":
            return Result(name, "fail", f"all outputs lie in [{low:.3g}, {high:.3g}]: a sigmoid", todo)
        if torch.allclose(raw.sum(1), torch.ones(len(raw), device=raw.device), atol=1e-3):
            return Result(name, "fail", "rows lie in [0, 1] and sum to 1: probabilities, not logits", todo)
    if (
        high <= 0
        and raw.ndim == 2
        and torch.allclose(raw.exp().sum(1), torch.ones(len(raw), device=raw.device), atol=1e-3)
    ):
        return Result(name, "note", "log-probabilities: same predictions and cross entropy as logits", "")
    return Result(name, "ok", f"values in [{low:.3g}, {high:.3g}]")


def check_eval(model: Model) -> Result:
    """No part of the network stays in training mode."""
    training = [name or "(the network)" for name, module in model.network.named_modules() if module.training]
    if training:
        todo = "do not call train() in forward, nor override train(): dropout and batch norm must rest"
        return Result("eval mode", "fail", f"in training mode: {', '.join(training[:4])}", todo)
    return Result("eval mode", "ok", "every module rests")


def difference(first: torch.Tensor, second: torch.Tensor) -> float:
    """Largest difference, as a share of the largest value."""
    return float((first - second).abs().max() / first.abs().max().clamp_min(1e-12))


@torch.no_grad()
def check_repeats(model: Model, inputs: torch.Tensor, output: torch.Tensor) -> Result:
    """The same input twice gives the same output."""
    worst = max(difference(output, model(inputs)) for _ in range(3))
    if worst > NOISE:
        todo = (
            "switch randomness off in eval mode; a defence that is random on purpose needs attacks that average over it"
        )
        return Result("same twice", "fail", f"outputs differ by {worst:.2g} of their size", todo)
    return Result("same twice", "ok", "equal" if worst == 0 else f"equal up to rounding ({worst:.1g})")


@torch.no_grad()
def check_batches(model: Model, inputs: torch.Tensor, output: torch.Tensor) -> Result:
    """A sample's output does not depend on the batch around it."""
    single = torch.cat([model(inputs[i : i + 1]) for i in range(min(8, len(inputs)))])
    turned = model(inputs.flip(0)).flip(0)
    worst = max(difference(output[: len(single)], single), difference(output, turned))
    if worst > NOISE:
        todo = "nothing in forward may mix samples: batch norm without running statistics, a mean over axis 0"
        return Result("any batch", "fail", f"outputs differ by {worst:.2g} with batch size or order", todo)
    return Result("any batch", "ok", f"batch size and order change at most {worst:.1g}")


def check_gradient(model: Model, inputs: torch.Tensor) -> Result:
    """The gradient of the top logit at the input is there, finite and not zero."""
    name, x = "input gradient", inputs.clone().requires_grad_(True)
    if model.blocked:
        todo = "white-box attacks and explainers of gradients are skipped; score- and decision-based ones run"
        return Result(name, "note", f"none: {', '.join(model.blocked[:3])} has none", todo)
    logits = model.surrogate(inputs)(x)
    if not logits.requires_grad:
        todo = (
            "nothing in forward may detach, leave torch or run under no_grad: gradient attacks and explainers need it"
        )
        return Result(name, "fail", "none: the output does not depend on the input by autograd", todo)
    top = logits.flatten(1).max(1).values if logits.ndim > 1 else logits
    (gradient,) = torch.autograd.grad(top.sum(), x)
    zero = float((gradient.flatten(1).abs().amax(1) == 0).float().mean())
    if not torch.isfinite(gradient).all():
        return Result(name, "fail", "NaN or infinite", "look for sqrt, log or division near 0")
    if zero > 0.05:
        todo = "rounding, thresholds or saturation hide the gradient: white-box attacks then look weaker than they are"
        return Result(name, "fail" if zero > 0.5 else "note", f"exactly zero for {zero:.0%} of the samples", todo)
    return Result(name, "ok", f"median largest element {float(gradient.flatten(1).abs().amax(1).median()):.2g}")


def check_accuracy(
    entry: Entry, model: Model, inputs: torch.Tensor, batch: Batch | None, chance: float | None
) -> Result:
    """Accuracy against chance, with the entry's preprocessing and with the usual others."""
    name = "preprocessing"
    if batch is None or not entry.spec.class_count:
        todo = "name data with labels: --suite NAME, and --data NAME=PATH where they are not built in"
        return Result(name, "skip", "no labelled samples: accuracy not judged", todo)
    labels, chance = np.asarray(batch.labels), guessing(batch) if chance is None else chance
    own = predictions(model, inputs) == labels
    best = best_of(own, right_with_usual(model, inputs, labels, entry.spec.input_shape[0]), chance)
    own_text = f"accuracy {own.mean():.3f} (n = {len(labels)}; chance {chance:.3f})"
    words = best.words("usual preprocessing")
    if best.sure:
        todo = f"set mean and std under [preprocessing] to it, if {entry.name} was trained so"
        return Result(name, "fail", f"{own_text}; {words}", todo)
    if not above(int(own.sum()), len(own), chance):
        todo = "fine for an untrained network; else check weights, order of classes, mean and std"
        return Result(name, "note", f"{own_text}: no better than chance; {words}", todo)
    return Result(name, "ok", f"{own_text}; {words}")


def check_order(
    entry: Entry, model: Model, inputs: torch.Tensor, batch: Batch | None, classes: Sequence[str], chance: float | None
) -> Result:
    """Accuracy if the network had its classes in one of the usual other orders."""
    name = "order of classes"
    if batch is None or not entry.spec.class_count:
        return Result(name, "skip", "no labelled samples: not judged", "name data with labels: --suite NAME")
    classes = classes or [str(i) for i in range(entry.spec.class_count)]
    labels, chance = np.asarray(batch.labels), guessing(batch) if chance is None else chance
    with torch.no_grad():
        outputs = model(inputs[:1]).shape[1]
    predicted = predictions(model, inputs)
    tried = {k: right_in_order(predicted, labels, order) for k, order in usual_orders(classes, outputs).items()}
    own = predicted == labels
    best = best_of(own, tried, chance)
    said = f"accuracy {own.mean():.3f}; {best.words('usual order')}"
    if best.sure:
        todo = "name `classes` in entry.toml in the order of the outputs: the data's are then matched by name"
        return Result(name, "fail", said, todo)
    return Result(name, "ok", said)


def guessing(batch: Batch) -> float:
    """Accuracy of always naming the commonest class of a batch."""
    return float(np.bincount(np.asarray(batch.labels, np.int64)).max() / len(batch))


def check_cost(model: Model, inputs: torch.Tensor, *, backward: bool = True) -> Result:
    """Seconds a sample for a forward and, where inputs have a gradient, a backward pass, and the activations kept."""
    sizes: list[int] = []

    def note(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            sizes.append(output.numel() * output.element_size())

    leaves = [m for m in model.modules() if not list(m.children()) and not isinstance(m, torch.jit.ScriptModule)]
    hooks = [module.register_forward_hook(note) for module in leaves]
    try:
        with torch.no_grad(), eager_mode():
            model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    x, n, start = inputs.clone().requires_grad_(backward), len(inputs), time.perf_counter()
    logits = model.surrogate(inputs)(x)
    synchronise(model)
    took, start = time.perf_counter() - start, time.perf_counter()
    found = f"forward {took / n * 1e3:.3g} ms"
    if backward:
        torch.autograd.grad(logits.sum(), x)
        synchronise(model)
        found += f", backward {(time.perf_counter() - start) / n * 1e3:.3g} ms"
    megabytes = sum(p.numel() * p.element_size() for p in model.parameters()) / 2**20
    found += f" a sample (batch of {n}); about {sum(sizes) / n / 2**20:.2g} MB a sample"
    return Result("cost", "ok", f"{found}, {megabytes:.3g} MB of parameters")


def synchronise(model: Model) -> None:
    """Wait for the GPU, where there is one."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
