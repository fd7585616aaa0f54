"""A graph as a module of torch: every operator a named part, gradients by autograd."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from benchmark.errors import EntryError
from benchmark.models.graphs.node import WITHOUT_GRADIENT, Node, step_of
from benchmark.models.graphs.reading import Graph
from benchmark.models.graphs.shapes import Reshape

TRIED = 3  # samples of the trial that shows whether a batch may be of any size
SAME = 1e-4  # share of the largest output by which a batch may differ from its samples alone: rounding
BY_SHAPE = {"Shape", "Size"}  # what they return does not depend on the input's values


class GraphNetwork(nn.Module):
    """A graph, node by node.

    Args:
        graph: what to compute.
        input_shape: (C, H, W) of one input.

    Attributes:
        notes: what was done so that it runs here, in words.
        blocked: operators that the input's values pass through and that have no gradient, with the nodes' names.

    Raises:
        EntryError: an operator of a form that is not known, or that raises on an input of this shape.
    """

    def __init__(self, graph: Graph, input_shape: Sequence[int]) -> None:
        super().__init__()
        self.input, self.output = graph.input, graph.output
        self.nodes: list[tuple[Node, str, tuple[str, ...]]] = []
        self.parts = nn.ModuleDict()
        for node in graph.nodes:
            step, name = step_of(node), self._name(node.name)
            self.parts[name] = step.module
            self.nodes.append((node, name, step.inputs))
        self.single = False
        self.fixed: dict[str, torch.Tensor] = {}
        self.places: dict[str, str] = {}
        self._keep(graph)
        self.last = self._last_uses()
        self.blocked = self._without_gradient()
        self.notes = ["computed in float32, stored at half precision"] if graph.halves else []
        self.notes += [f"its outputs {', '.join(graph.more)} are not used"] if graph.more else []
        self.eval().requires_grad_(False)
        self._free_batch((TRIED, *input_shape))

    def _name(self, name: str) -> str:
        """A name that a module may have, and that no other has."""
        plain = re.sub(r"\W+", "_", name).strip("_") or "node"
        taken, n = plain, 1
        while taken in self.parts:
            taken, n = f"{plain}_{n}", n + 1
        return taken

    def _keep(self, graph: Graph) -> None:
        """Constants that nodes are called with: floats move with the module, shapes and indices stay on the CPU."""
        used = {name for *_, inputs in self.nodes for name in inputs} | {self.output}
        for at, name in enumerate(sorted(used & graph.values.keys())):
            value = graph.values[name]
            if not value.is_floating_point() or value.ndim == 0:
                self.fixed[name] = value
                continue
            self.places[name] = place = f"constant_{at}"
            if name in graph.learned and value.numel() > 1:
                self.register_parameter(place, nn.Parameter(value))
            else:
                self.register_buffer(place, value)

    def _last_uses(self) -> list[list[str]]:
        """Values that are needed no more after each node."""
        last = {name: at for at, (*_, inputs) in enumerate(self.nodes) for name in inputs}
        last.pop(self.output, None)
        kept = self.fixed.keys() | self.places.keys()
        done: list[list[str]] = [[] for _ in self.nodes]
        for name, at in last.items():
            if name and name not in kept:
                done[at].append(name)
        return done

    def _without_gradient(self) -> tuple[str, ...]:
        """Operators on the way from the input's values to the output that have no gradient."""
        values, found = {self.input}, []
        sources: dict[str, tuple[str, ...]] = {}
        for node, _, inputs in self.nodes:
            given = inputs[1:] if node.kind == "Where" else inputs  # a condition chooses; its branches have gradients
            if values & set(given) and node.kind not in BY_SHAPE:
                values |= set(node.outputs)
                whole = node.kind == "Cast" and node.get("to") not in (1, 10, 11, 16)
                if node.kind in WITHOUT_GRADIENT or whole:
                    found.append(node)
            sources |= dict.fromkeys(node.outputs, inputs)
        reached, todo = set(), [self.output]
        while todo:
            name = todo.pop()
            if name not in reached:
                reached.add(name)
                todo += sources.get(name, ())
        return tuple(f"{node.kind} ({node.name})" for node in found if reached & set(node.outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the graph's first output."""
        if self.single and len(x) > 1:
            return torch.cat([self.run(x[at : at + 1]) for at in range(len(x))])
        return self.run(x)

    def run(self, x: torch.Tensor) -> torch.Tensor:
        """All nodes on one batch.

        Raises:
            EntryError: a node raises; says which.
        """
        values: dict[str, Any] = {self.input: x, **self.fixed}
        values |= {name: getattr(self, place) for name, place in self.places.items()}
        for (node, part, inputs), done in zip(self.nodes, self.last, strict=True):
            try:
                result = self.parts[part](*(values[name] if name else None for name in inputs))
            except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
                if isinstance(error, torch.cuda.OutOfMemoryError):
                    raise
                line = str(error).strip().splitlines()[0]
                raise EntryError(f"operator {node.kind} (node {node.name!r}) raised {line}") from error
            parts = (result,) if isinstance(result, torch.Tensor) else result
            values.update(zip(node.outputs, parts, strict=False))
            for name in done:
                values.pop(name, None)
        output: torch.Tensor = values[self.output]
        return output

    def _free_batch(self, shape: Sequence[int]) -> None:
        """Find out whether batches of any size may be given; else free a batch that is written in, else go one by one.

        A trial decides: the outputs of a batch must be those of its samples alone.
        """
        trial = torch.rand(list(shape), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            alone = torch.cat([self.run(trial[at : at + 1]) for at in range(len(trial))])
            if self._agrees(trial, alone):
                return
            reshapes = [part for part in self.parts.values() if isinstance(part, Reshape) and part.fixed]
            written = [part for part in reshapes if part.fixed and part.fixed[0] == 1]
            kept = [part.fixed for part in written]
            for part in written:
                rest = (part.fixed or [])[1:]
                part.fixed = [0 if -1 in rest else -1, *rest]
            if written and self._agrees(trial, alone):
                word = f"{len(written)} reshape" + ("s" if len(written) > 1 else "")
                self.notes.append(f"the batch of 1 that is written into {word} was freed: outputs are the same")
                return
            for part, fixed in zip(written, kept, strict=True):
                part.fixed = fixed
        self.single = True
        self.notes.append("a batch of 1 is written into its graph: samples are computed one by one, which is slow")

    def _agrees(self, trial: torch.Tensor, alone: torch.Tensor) -> bool:
        try:
            batch = self.run(trial)
        except EntryError:
            return False
        return batch.shape == alone.shape and float((batch - alone).abs().max()) <= SAME * float(alone.abs().max())
