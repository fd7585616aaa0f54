"""``universal:file=PATH``: a universal perturbation from a file, such as the artefact of an earlier fit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from benchmark.attacks.base import Perturbed, Threat, attacks
from benchmark.attacks.universal import Added
from benchmark.errors import SpecError
from benchmark.registry import Family

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


@attacks.register("universal")
class UniversalFile(Added, Family):
    """The perturbation of a .npz file, projected into the budget [linf or l2, fixed, transfer]; nothing is fitted.

    The array is ``delta`` (C, H, W), as universal-deepfool and universal-sgd leave it.

    Fields:
        norm: ``"linf"`` or ``"l2"``, in which it is projected and judged.
        file: the file; ``universal:file=PATH`` says the same. It is hashed by its content, never by its path.
        sha256: of the file; filled in, and refused where it differs.
    """

    source: ClassVar[str] = "an artefact of universal-deepfool or universal-sgd"
    cost: ClassVar[str] = "none"
    placeholder: ClassVar[str] = "file=PATH"  # of `assay list`

    file: Path | None = Field(default=None, exclude=True)
    sha256: str = ""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        member, _, path = str(data.get("member", "")).partition("=")
        if member != "file":
            raise SpecError(
                f"attack 'universal:{data.get('member')}': expected universal:file=PATH, a .npz with `delta`"
            )
        file = Path(path or data.get("file") or "")
        if not file.is_file():
            raise SpecError(
                f"attack 'universal:file': {file} does not exist or is no file; expected a .npz with `delta`"
            )
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if data.get("sha256", digest) != digest:
            raise SpecError(f"attack 'universal:file': the sha256 of {file} is {digest}, expected {data['sha256']}")
        return {**data, "member": "file", "file": file.resolve(), "sha256": digest}

    @model_validator(mode="after")
    def _holds_delta(self) -> Self:
        self.delta()
        return self

    @property
    def threat(self) -> Threat:
        """The norm, at a fixed budget; made for some other model, as far as is known."""
        return Threat(norm=self.norm, kind="fixed", knowledge="transfer")

    @classmethod
    def members(cls) -> list[str]:
        """None to list: any file."""
        return []

    @classmethod
    def open_ended(cls) -> bool:
        """True: the member is a path."""
        return True

    def local(self) -> dict[str, Any]:
        """Where the file lies here."""
        return {"file": str(self.file)}

    def delta(self) -> NDArray[np.float32]:
        """(C, H, W).

        Raises:
            SpecError: no .npz file with a finite ``delta`` of three axes.
        """
        assert self.file is not None
        try:
            with np.load(self.file, allow_pickle=False) as arrays:
                v = np.asarray(arrays["delta"], dtype=np.float32)
        except (OSError, ValueError, KeyError, EOFError):
            raise SpecError(f"attack 'universal:file': {self.file} is no .npz file with an array `delta`") from None
        if v.ndim != 3 or not np.isfinite(v).all():
            raise SpecError(f"attack 'universal:file': `delta` in {self.file} is {v.shape}, expected finite (C, H, W)")
        return v

    def run(
        self,
        model: Model,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        eps: float | None,
        generator: Draws,
        fitted: Mapping[str, NDArray[Any]] | None = None,
    ) -> Perturbed:
        """See :meth:`Attack.run`.

        Raises:
            AttackError: no budget, or a perturbation of another shape than the inputs.
        """
        import torch

        from benchmark.attacks._universal import project

        eps = self.budget(eps)
        return self.add(inputs, project(torch.from_numpy(self.delta()), eps, self.norm).numpy())
