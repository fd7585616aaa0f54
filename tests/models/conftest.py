import pytest

from tests.conftest import data_folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def real_data():
    """Finds a folder (or file) of real data for development; the test is skipped where it is absent."""
    return data_folder
