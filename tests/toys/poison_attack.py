"""A toy attack that loses the CUDA context of its process, as a device-side assertion does: every later call fails."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, ClassVar

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks

_lost: list[bool] = []
TEXT = "CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."


@attacks.register("toy-poison")
class ToyPoison(Attack):
    """Leaves inputs as they are; at budget ``at`` the process is lost, ``once`` only the first time.

    Each call writes a line ``<process> <eps>`` to ``log``.
    """

    whole_batch: ClassVar[bool] = True
    log: str = ""
    at: float = 0.1
    once: bool = False

    @property
    def threat(self) -> Threat:
        return Threat(norm="linf", kind="fixed", knowledge="none")

    def run(self, model: Any, inputs: Any, labels: Any, *, eps: Any, generator: Any, fitted: Any = None) -> Perturbed:
        with Path(self.log).open("a") as file:
            file.write(f"{os.getpid()} {eps:g}\n")
        if abs(eps - self.at) < 1e-9 and (not self.once or self._first()):
            _lost.append(True)
        if _lost:
            raise RuntimeError(TEXT)
        return Perturbed(inputs)

    def _first(self) -> bool:
        """Whether no other process came here before: creating a file is atomic, reading the log is not."""
        with contextlib.suppress(FileExistsError):
            Path(f"{self.log}.once").touch(exist_ok=False)
            return True
        return False
