"""Attribution metrics as plain torch functions: tensors in, one value a sample out, on the device of the inputs.

They are imported on first use, so that listing metrics needs no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

MODULES = ("faithfulness", "robustness", "localisation", "complexity", "randomisation", "axiomatic", "similarity")


def __getattr__(name: str) -> Any:
    for module in MODULES:
        loaded = importlib.import_module(f"{__name__}.{module}")
        if not name.startswith("_") and name in getattr(loaded, "__all__", ()):
            return getattr(loaded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({name for module in MODULES for name in importlib.import_module(f"{__name__}.{module}").__all__})
