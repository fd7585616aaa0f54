"""Networks that are one file: ONNX, computed by operators of torch, and TorchScript archives."""

from __future__ import annotations

import torch
from torch import nn

from benchmark.errors import EntryError
from benchmark.models.entries import Entry
from benchmark.models.faults import last_line
from benchmark.models.weights import check_is_weights, check_sha256, missing


def load_whole(entry: Entry) -> nn.Module:
    """The network in the file that [weights] names, on the CPU.

    Raises:
        EntryError: missing, another sha256, no file of that format, or operators that are not known.
    """
    path, weights = entry.weights_path(), entry.spec.weights
    assert path is not None
    assert weights is not None
    if not path.is_file():
        raise missing(entry, path)
    check_is_weights(entry, path)
    check_sha256(entry, path, weights.sha256 or weights.sha256_start)
    if weights.format == "torchscript":
        try:
            return torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call, no-any-return]
        except RuntimeError as error:
            raise EntryError(
                f"entry {entry.name!r}: {path} cannot be read as a TorchScript archive: {last_line(error)}; make it"
                " with torch.jit.save"
            ) from None
    from benchmark.models.graphs.network import GraphNetwork
    from benchmark.models.graphs.reading import read_graph

    try:
        return GraphNetwork(read_graph(path), entry.spec.input_shape)
    except EntryError as error:
        raise EntryError(f"entry {entry.name!r}: {error}") from None
