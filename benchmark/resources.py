"""Where `suites/` and `baselines/` lie: working directory, repository of an editable install, or the wheel's own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Kind = Literal["suites", "baselines"]


def folders(kind: Kind) -> list[Path]:
    """Existing folders of that kind, first the working directory's, without repeats (absolute paths).

    The order decides: a suite or an entry in the working directory hides one of the same name that was shipped.
    """
    package = Path(__file__).resolve().parent
    candidates = [Path.cwd() / kind, package.parent / kind, package / "_shipped" / kind]
    paths: list[Path] = []
    for candidate in candidates:
        folder = candidate.resolve()
        if folder.is_dir() and folder not in paths:
            paths.append(folder)
    return paths
