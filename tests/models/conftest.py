import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def real_data():
    """Folder of real data for development; skips where it is absent."""
    root = Path(os.environ.get("ASSAY_DATA", Path(__file__).parents[2] / "../shared/data")).resolve()

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"no {name} under {root} (set ASSAY_DATA)")
        return root / name

    return find
