"""An ONNX file as nodes and tensors; ``onnx`` reads it, and nothing in it is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.errors import EntryError
from benchmark.models.graphs import elementwise, layers, reductions, shapes
from benchmark.models.graphs.node import OPERATORS, Node, step_of
from benchmark.registry import lacking

FILES = (elementwise, layers, reductions, shapes)  # they fill the table of operators
MOST = 8  # operators that an error names
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Graph:
    """A network as its file has it.

    Attributes:
        nodes: in the order of computation; constants are none of them.
        values: tensors that are known before anything runs, by name; half precision as single precision.
        learned: names of those that were trained (initialisers), not written into the graph.
        input, output: names of the one input and the first output.
        sizes: of the input, 0 where the file leaves one open.
        halves: there were tensors of half precision.
        more: names of outputs that are not used.
    """

    nodes: tuple[Node, ...]
    values: dict[str, torch.Tensor]
    learned: frozenset[str]
    input: str
    output: str
    sizes: tuple[int, ...]
    halves: bool
    more: tuple[str, ...]


def read_graph(path: Path) -> Graph:
    """The graph in a file; tensors kept beside it (external data) are read from its folder.

    Raises:
        EntryError: no ONNX file, several inputs, or operators that are not known, by their names.
    """
    if reason := lacking(("onnx",), "zoo"):
        raise EntryError(f"{path.name}, an ONNX file, {reason}")
    import onnx

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EntryError(f"{path} cannot be read as an ONNX file: {text}; export it again") from None
    graph, opset = model.graph, _opset(model, path)
    raw = {tensor.name: _tensor(tensor) for tensor in graph.initializer}
    learned = frozenset(raw)
    nodes = []
    for item in graph.node:
        attributes = {a.name: _attribute(onnx.helper.get_attribute_value(a)) for a in item.attribute}
        if item.op_type == "Constant" and item.domain in ("", "ai.onnx"):
            raw[item.output[0]] = _constant(attributes)
            continue
        nodes.append((item, attributes))
    unknown = {f"{item.domain}.{item.op_type}".strip(".") for item, _ in nodes if not _known(item)}
    if unknown:
        raise EntryError(
            f"{path.name} has operators that are not known: {', '.join(sorted(unknown)[:MOST])}"
            f"{f' and {len(unknown) - MOST} more' if len(unknown) > MOST else ''}; export it with others, or bring its"
            " code as a factory"
        )
    values = {name: value.float() if value.dtype in HALF else value for name, value in raw.items()}
    inputs = [item for item in graph.input if item.name not in values]
    if len(inputs) != 1:
        raise EntryError(f"{path.name} has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), expected one")
    made = []
    for at, (item, attributes) in enumerate(nodes):
        node = _node(item, attributes, values, opset, at)
        if known := _computed(node):
            learned |= {name for name in known if node.kind == "Identity" and node.inputs[0] in learned}
            values |= known
        else:
            made.append(node)
    return Graph(
        nodes=tuple(made),
        values=values,
        learned=learned,
        input=inputs[0].name,
        output=graph.output[0].name,
        sizes=tuple(int(axis.dim_value) for axis in inputs[0].type.tensor_type.shape.dim),
        halves=any(value.dtype in HALF for value in raw.values()),
        more=tuple(item.name for item in graph.output[1:]),
    )


def _computed(node: Node) -> dict[str, torch.Tensor]:
    """What a node gives that is called with constants alone; empty where it is not. Exporters share weights so."""
    given = [name for name in node.inputs if name]
    if not given or len(node.constants) < len(given):
        return {}
    step = step_of(node)
    at = {name: node.constants[i] for i, name in enumerate(node.inputs) if name}
    try:
        with torch.no_grad():
            result = step.module(*(at[name] if name else None for name in step.inputs))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise node.refused(f"raised {line} on its constants") from error
    parts = (result,) if isinstance(result, torch.Tensor) else result
    return dict(zip(node.outputs, parts, strict=False))


def _opset(model: Any, path: Path) -> int:
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            return int(entry.version)
    raise EntryError(f"{path.name} names no version of ONNX's own operators; export it again")


def _known(item: Any) -> bool:
    return item.domain in ("", "ai.onnx") and item.op_type in OPERATORS


def _node(item: Any, attributes: dict[str, Any], values: dict[str, torch.Tensor], opset: int, at: int) -> Node:
    constants = {i: values[name] for i, name in enumerate(item.input) if name in values}
    outputs, kind = tuple(item.output), str(item.op_type)
    name = str(item.name or outputs[0] or f"{kind}_{at}")
    return Node(kind, name, tuple(item.input), outputs, attributes, constants, opset)


def _constant(attributes: dict[str, Any]) -> torch.Tensor:
    for key in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if key in attributes:
            value = attributes[key]
            kind = torch.float32 if "float" in key else torch.int64
            return value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=kind)
    raise EntryError(f"operator Constant: of {', '.join(attributes)}, expected a tensor or numbers")


def _attribute(value: Any) -> Any:
    """An attribute as Python has it: text, numbers, lists, tensors."""
    import onnx

    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return _tensor(value)
    return list(value) if isinstance(value, list | tuple) else value


def _tensor(proto: Any) -> torch.Tensor:
    from onnx import numpy_helper

    if proto.data_type == 16:  # bfloat16 is no type of numpy's
        return torch.tensor(numpy_helper.to_array(proto).astype("float32")).bfloat16()
    return torch.tensor(numpy_helper.to_array(proto).copy())
