"""Random numbers that do not depend on batch size, device, worker count or model.

Every seed derives from (suite seed, probe, sample id). Our own draws are made per sample on the CPU; code of others
that draws from global state runs inside :func:`global_seed`, which puts the old state back.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(*parts: object) -> int:
    """63-bit seed from any parts by sha256; the same parts give the same seed on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Draws:
    """Random numbers for a batch, one independent CPU generator a sample.

    Args:
        seeds: one seed a sample.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        import torch

        self.seeds = [int(seed) for seed in seeds]
        self._generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def batch_seed(self) -> int:
        """One 32-bit seed for third-party code that draws for the whole batch at once."""
        return derive("batch", *self.seeds) & 0x7FFFFFFF

    def subset(self, indices: Sequence[int]) -> Draws:
        """The draws of some of the samples; they go on from where these stand (state is shared)."""
        part = Draws.__new__(Draws)
        part.seeds = [self.seeds[i] for i in indices]
        part._generators = [self._generators[i] for i in indices]
        return part

    def apart(self, rows: Sequence[int], names: Sequence[str]) -> Draws:
        """Streams of their own, one a row: of sample ``rows[i]`` the one that is called ``names[i]``.

        They do not depend on what was drawn before, nor on which other rows there are.
        """
        return Draws([derive(self.seeds[row], name) for row, name in zip(rows, names, strict=True)])

    def normal(self, shape: Sequence[int]) -> torch.Tensor:
        """Standard normal numbers, float32 ``(N, *shape)`` on the CPU."""
        import torch

        return torch.stack([torch.randn(tuple(shape), generator=g) for g in self._generators])

    def uniform(self, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Uniform numbers in [low, high), float32 ``(N, *shape)`` on the CPU."""
        import torch

        return torch.stack([torch.rand(tuple(shape), generator=g) for g in self._generators]) * (high - low) + low

    def integers(self, shape: Sequence[int], low: int, high: int) -> torch.Tensor:
        """Integers in [low, high), int64 ``(N, *shape)`` on the CPU."""
        import torch

        return torch.stack([torch.randint(low, high, tuple(shape), generator=g) for g in self._generators])


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators inside the block; restore them after it."""
    import torch

    python, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if on_gpu else None
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed asks every accelerator too: 0.7 ms a call
    if on_gpu:
        torch.cuda.manual_seed_all(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
