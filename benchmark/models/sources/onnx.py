"""``onnx:FILE``: a network that is one ONNX file, computed by operators of torch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from benchmark.errors import EntryError
from benchmark.files import file_sha256
from benchmark.models.sources.base import Found, Source, sources


@sources.register("onnx")
class Onnx(Source):
    """A network that is one ONNX file: its input's shape and its number of outputs from the graph."""

    library: ClassVar[str] = "onnx"
    requires: ClassVar[tuple[str, ...]] = ("onnx",)
    extra: ClassVar[str] = "zoo"
    source: ClassVar[str] = "ONNX"
    form: ClassVar[str] = "FILE"

    def find(self, name: str) -> Found:
        """See :meth:`Source.find`."""
        import torch

        from benchmark.models.graphs.network import GraphNetwork
        from benchmark.models.graphs.reading import read_graph

        path = Path(name).expanduser()
        if not path.is_file():
            raise self.refused(name, "no such file")
        try:
            graph = read_graph(path)
            shape = graph.sizes[1:]
            if len(graph.sizes) != 4 or not all(shape):
                raise EntryError(
                    f"its input has the shape {list(graph.sizes)} (0: open), expected (N, C, H, W) with fixed C, H, W;"
                    " write the entry by hand (docs/entries.md)"
                )
            network = GraphNetwork(graph, shape)
        except EntryError as error:
            raise self.refused(name, str(error)) from None
        output = network(torch.zeros(1, *shape))
        notes = ["the file states no mean and std: where the graph does not begin with them, set [preprocessing]"]
        return Found(
            source=f"onnx:{path.name}",
            input_shape=shape,
            classes=int(output.shape[1]),
            weights={"path": str(path.resolve()), "sha256": file_sha256(path), "format": "onnx"},
            notes=(*notes, *network.notes),
        )
