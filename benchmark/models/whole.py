"""Networks that are one file: ONNX, computed by operators of torch, and TorchScript archives."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from benchmark.errors import EntryError
from benchmark.models.entries import Entry
from benchmark.models.faults import last_line
from benchmark.models.weights import check_is_weights, check_sha256, missing


class Archive(nn.Module):
    """A TorchScript archive as a plain module, which takes hooks: those inside an archive never fire."""

    def __init__(self, archive: nn.Module) -> None:
        super().__init__()
        self.archive = archive

    def forward(self, x: torch.Tensor) -> Any:
        """Whatever the archive returns."""
        return self.archive(x)


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
            with warnings.catch_warnings():  # a file of others is read as long as torch can
                warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated")
                return Archive(torch.jit.load(path, map_location="cpu"))  # type: ignore[no-untyped-call]
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
