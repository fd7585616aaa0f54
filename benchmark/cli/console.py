"""Where commands print their tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_WHEN_PIPED = 160


def table_console() -> Console:
    """Standard output: the terminal's width, or a fixed one where it is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH_WHEN_PIPED, highlight=False)
