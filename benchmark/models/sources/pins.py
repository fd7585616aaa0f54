"""What the Hugging Face hub says of a repository: its newest commit, the digest of a file, its licence."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.models.places import hub_address
from benchmark.registry import lacking

PATIENCE = 10.0  # seconds


@dataclass(frozen=True)
class Pin:
    """A file at a commit.

    Attributes:
        revision: the commit; empty where it is not known.
        sha256: of the file; empty where it is not known.
        licence: as the repository's card states it.
        reason: why it is not known.
    """

    revision: str = ""
    sha256: str = ""
    licence: str = ""
    reason: str = ""

    def weights(self) -> dict[str, str]:
        """What is known, as keys of ``[weights]``."""
        return {key: value for key, value in (("revision", self.revision), ("sha256", self.sha256)) if value}


def pinned(repository: str, file: str) -> Pin:
    """Ask the hub; without a network, or for what it does not show, say why not."""
    if reason := lacking(("huggingface-hub",), "zoo"):
        return Pin(reason=f"its revision is not pinned: asking the hub {reason}")
    from huggingface_hub import HfApi

    try:
        info = HfApi(endpoint=hub_address()).model_info(repository, files_metadata=True, timeout=PATIENCE)
    except Exception as error:  # whatever stands between here and the hub
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Pin(
            reason=f"its revision is not pinned: the hub cannot be asked ({line}); once the file is here, `assay check`"
            " says the sha256 that pins it"
        )
    digests = {item.rfilename: item.lfs.sha256 for item in info.siblings or [] if item.lfs is not None}
    card = info.card_data.to_dict() if info.card_data is not None else {}
    return Pin(str(info.sha or ""), str(digests.get(file, "")), str(card.get("license") or ""))
