"""What lies among the data and is none of them: debris of archives and systems, other files, empty folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmark.errors import printable

DEBRIS = frozenset(
    {"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "$recycle.bin", "@eadir", "system volume information",
     "lost+found"}
)  # fmt: skip


def is_debris(path: Path) -> bool:
    """Hidden (a dot in front), or what archivers and file managers leave: __MACOSX, Thumbs.db, desktop.ini."""
    return path.name.startswith(".") or path.name.lower() in DEBRIS


def inside(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without debris."""
    return sorted(path for path in folder.iterdir() if not is_debris(path))


def debris_in(folders: Iterable[Path]) -> list[Path]:
    """Debris right in these folders."""
    return sorted(path for folder in folders for path in folder.iterdir() if is_debris(path))


def shown(names: Sequence[object], most: int = 3) -> str:
    """The first names, and how many more."""
    texts = [printable(str(name)) for name in names]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def count(n: int, one: str, many: str = "") -> str:
    """``"1 file"``, ``"3 files"``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def kinds(files: Iterable[Path]) -> str:
    """Endings of files, the commonest first: ``".txt (3), .heic (1)"``."""
    endings = Counter(file.suffix.lower() or "no ending" for file in files)
    return ", ".join(
        f"{suffix} ({n})" for suffix, n in sorted(endings.items(), key=lambda item: (-item[1], item[0]))[:6]
    )
