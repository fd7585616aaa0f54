"""What an exception says of the device: memory that ran out, or a CUDA context that nothing can use any more."""

from __future__ import annotations

_MEMORY = ("CUDA out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
_POISON = (
    "CUDA error",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
    "CUDNN_STATUS_INTERNAL_ERROR",
)


def out_of_memory(error: BaseException) -> bool:
    """Device memory (or on a CPU memory) ran out: fewer samples at a time may do."""
    import torch

    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or (isinstance(error, RuntimeError) and any(text in str(error) for text in _MEMORY))


def poisons(error: BaseException) -> bool:
    """The CUDA context is lost (an illegal access, a device-side assertion): each later call of the process fails too.

    CUDA's documentation calls these errors sticky; only a new process ends them. Found by their text, since torch has
    a class of its own for them (``AcceleratorError``) only from 2.8 on.
    """
    chain: BaseException | None = error
    while chain is not None:
        text = str(chain)
        if isinstance(chain, RuntimeError) and not out_of_memory(chain) and any(part in text for part in _POISON):
            return True
        chain = chain.__cause__ or chain.__context__
    return False
