"""Records at a URL that fsspec opens (``s3://bucket/run``, ``file:///mnt/run``): one bundle a record.

Local files are written whole or not at all; other stores put an object in one request. Half an object, wherever it
comes from, is told by the digests inside (:mod:`benchmark.store.encoded`) and counts as none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.errors import StoreError, UsageError
from benchmark.store.atomic import write_atomic
from benchmark.store.encoded import Files, bundle, unbundle

SUFFIX = ".record"


class Elsewhere:
    """The records of one suite at a URL.

    Args:
        url: where bundles lie, named by their cell.

    Raises:
        UsageError: fsspec, or what it needs for such URLs, is not installed, or there is no such kind of URL.
    """

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ImportError as error:
            raise UsageError(f"--records {url} needs fsspec: pip install 'assay-benchmark[ray]'") from error
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(f"--records {url}: {error}") from error
        self.url, self._root = url, self._root.rstrip("/")
        self._local = isinstance(self._fs, fsspec.implementations.local.LocalFileSystem)

    def put(self, cell: str, files: Files) -> None:
        """Write a record.

        Raises:
            StoreError: it cannot be written there.
        """
        data = bundle(files)
        if self._local:
            write_atomic(Path(self._file(cell)), data)
            return
        try:
            self._fs.pipe_file(self._file(cell), data)
        except Exception as error:  # every store raises its own
            raise StoreError(f"{self.url}: a record could not be written: {_words(error)}") from error

    def cells(self) -> set[str]:
        """Cells that have a bundle there.

        Raises:
            StoreError: the place cannot be listed.
        """
        try:
            self._fs.invalidate_cache()
            names = [str(name) for name in self._fs.ls(self._root, detail=False)]
        except FileNotFoundError:
            return set()
        except Exception as error:
            raise StoreError(f"{self.url} cannot be listed: {_words(error)}") from error
        return {Path(name).name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)}

    def get(self, cell: str) -> tuple[dict[str, Any], Files] | None:
        """(JSON, files) of a cell's record; None where there is none, or no whole one."""
        try:
            data: bytes = self._fs.cat_file(self._file(cell))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise StoreError(f"{self.url}: a record could not be read: {_words(error)}") from error
        try:
            return unbundle(data, cell, f"{self._file(cell)}")
        except StoreError:
            return None

    def _file(self, cell: str) -> str:
        return f"{self._root}/{cell}{SUFFIX}"


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
