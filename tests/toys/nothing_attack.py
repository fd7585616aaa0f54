"""Toy attacks for ``--include`` that measure the scheduler: one does nothing, one only takes time."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks


@attacks.register("toy-nothing")
class ToyNothing(Attack):
    """Returns what it is given."""

    @property
    def threat(self) -> Threat:
        return Threat(norm="linf", kind="fixed", knowledge="none")

    def run(self, model: Any, inputs: Any, labels: Any, *, eps: Any, generator: Any, fitted: Any = None) -> Perturbed:
        return Perturbed(inputs)


@attacks.register("toy-busy")
class ToyBusy(ToyNothing):
    """Keeps one thread busy for ``seconds`` of processor time, or with ``wait`` sleeps that long."""

    whole_batch: ClassVar[bool] = True
    seconds: float = 0.1
    wait: bool = False

    def run(self, model: Any, inputs: Any, labels: Any, *, eps: Any, generator: Any, fitted: Any = None) -> Perturbed:
        if self.wait:
            time.sleep(self.seconds)
        end = time.process_time() + (0 if self.wait else self.seconds)
        while time.process_time() < end:
            pass
        return Perturbed(inputs)
