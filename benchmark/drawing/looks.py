"""Line styles of models in pictures of attacks."""

from __future__ import annotations

from typing import Any

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#882255")  # Okabe and Ito
LINES = ("-", "--", "-.", ":")


def look_of(i: int) -> dict[str, Any]:
    """Colour and line of the i-th model."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i // len(COLOURS) % len(LINES)]}
