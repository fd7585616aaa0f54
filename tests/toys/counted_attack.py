"""A toy attack for ``--include`` that tells in a file of every time it is run, and by whom."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from typing import Any, ClassVar

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks


@attacks.register("toy-counted")
class ToyCounted(Attack):
    """Writes ``start KEY PID`` and ``end KEY PID`` to ``log`` and takes ``seconds`` in between; ``dies``: never ends.

    The key is the digest of the inputs and of what the model says of them: of one cell, where chunks hold one sample.
    """

    whole_batch: ClassVar[bool] = True
    log: str = ""
    seconds: float = 0.0
    dies: bool = False

    @property
    def threat(self) -> Threat:
        return Threat(norm="linf", kind="fixed", knowledge="none")

    def run(self, model: Any, inputs: Any, labels: Any, *, eps: Any, generator: Any, fitted: Any = None) -> Perturbed:
        seen = inputs.cpu().numpy().tobytes() + model(inputs).detach().cpu().numpy().tobytes()
        key = hashlib.sha256(seen).hexdigest()[:16]
        self._tell("start", key)
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        self._tell("end", key)
        return Perturbed(inputs)

    def _tell(self, what: str, key: str) -> None:
        if self.log:
            file = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, f"{what} {key} {os.getpid()}\n".encode())
            os.close(file)
