"""What code a name stands for. Oracle: one thing changed at a time, and what the digest then does."""

from __future__ import annotations

import importlib
import sys

import pytest

from benchmark import code
from benchmark.code import code_of, code_of_files, files_in, neighbours


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return tmp_path


def put(root, name, text=""):
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    importlib.invalidate_caches()
    return file


def package(root):
    put(root, "mynets_pkg/__init__.py", "SCALE = 1\n")
    put(root, "mynets_pkg/nets/__init__.py")
    put(root, "mynets_pkg/nets/small.py", "from .. import SCALE\nfrom ..ops import f\n")
    put(root, "mynets_pkg/ops.py", "import outer_helper\ndef f(): return outer_helper.C\n")
    put(root, "mynets_pkg/table.json", "{}")
    put(
        root,
        "outer_helper.py",
        "def late():\n    import importlib\n    return importlib.import_module('late_helper')\n",
    )
    put(root, "late_helper.py", "C = 1\n")
    return root / "mynets_pkg"


@pytest.mark.parametrize(
    "changed",
    ["mynets_pkg/__init__.py", "mynets_pkg/nets/small.py", "mynets_pkg/ops.py", "mynets_pkg/table.json",
     "outer_helper.py", "late_helper.py"],
)  # fmt: skip
def test_every_file_of_a_package_on_the_path_and_of_what_it_imports_counts(path, changed):
    package(path)
    before = code_of("mynets_pkg.nets.small")
    assert set(before) >= {"mynets_pkg/__init__.py", "outer_helper/outer_helper.py", "late_helper/late_helper.py"}
    put(path, changed, "X = 2\n")
    assert code_of("mynets_pkg.nets.small") != before


def test_what_is_not_of_the_package_does_not_count(path):
    package(path)
    before = code_of("mynets_pkg.nets.small")
    put(path, "stranger.py", "X = 1\n")
    put(path, "mynets_pkg/__pycache__/small.pyc", "x")
    put(path, "mynets_pkg/.git/HEAD", "x")
    assert code_of("mynets_pkg.nets.small") == before


def test_an_installed_distribution_is_its_version_and_record():
    """Oracle: importlib.metadata's own version; a module of another name than its distribution; a namespace."""
    from importlib.metadata import version

    assert list(code_of("PIL.Image")) == [f"pillow=={version('pillow')}"]
    assert list(code_of("sklearn.svm")) == [f"scikit-learn=={version('scikit-learn')}"]
    assert list(code_of("torch.jit")) == [f"torch=={version('torch')}"]
    assert code_of("no_such_package_at_all") == {"no_such_package_at_all": "absent"}
    assert code_of("json.decoder") == {} == code_of("benchmark.models.small")


def test_a_checkout_before_an_installed_distribution_counts_by_content(path):
    """``PYTHONPATH=checkout``: what would be imported is not what RECORD describes."""
    put(path, "torchvision/__init__.py", "V = 1\n")
    loaded = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "torchvision"}
    try:
        assert set(code_of("torchvision.models")) == {"torchvision/__init__.py"}
    finally:
        sys.modules.update(loaded)


def test_an_editable_install_counts_by_content(path, tmp_path_factory):
    """A .pth (or finder) stands in RECORD, the package does not."""
    source = tmp_path_factory.mktemp("source")
    put(source, "editable_net/__init__.py", "V = 1\n")
    sys.path.append(str(source))
    put(path, "editable_net-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: editable-net\nVersion: 1.0\n")
    put(path, "editable_net-1.0.dist-info/top_level.txt", "editable_net\n")
    put(path, "__editable__.editable_net.pth", str(source))
    record = "__editable__.editable_net.pth,sha256=abc,9\neditable_net-1.0.dist-info/METADATA,sha256=abc,9\n"
    put(path, "editable_net-1.0.dist-info/RECORD", record)
    code._all_distributions.cache_clear()
    try:
        before = code_of("editable_net")
        assert set(before) == {"editable_net/__init__.py"}
        put(source, "editable_net/__init__.py", "V = 2\n")
        assert code_of("editable_net") != before
    finally:
        sys.path.remove(str(source))
        code._all_distributions.cache_clear()


def test_a_record_counts_by_what_the_wheel_brought(path):
    """Compiled files, scripts and what an installer notes differ between machines; a file's hash does not."""

    def install(version, sha, more=""):
        put(path, "wheel_net.py", "V = 1\n")
        put(
            path,
            f"wheel_net-{version}.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: wheel-net\nVersion: {version}\n",
        )
        put(path, f"wheel_net-{version}.dist-info/RECORD", f"wheel_net.py,sha256={sha},6\n{more}")
        code._record.cache_clear(), code._distributions.cache_clear()
        return code_of("wheel_net")

    first = install("1.0", "abc")
    assert list(first) == ["wheel-net==1.0"]
    noise = "__pycache__/wheel_net.cpython-311.pyc,,\n../../bin/wheel,sha256=x,1\n"
    noise += "wheel_net-1.0.dist-info/INSTALLER,sha256=y,1\n"
    assert install("1.0", "abc", noise) == first
    assert install("1.0", "abd") != first


def test_of_files_only_what_they_reach_counts(tmp_path, path):
    put(path, "helper_a.py", "import helper_b\n")
    put(path, "helper_b.py", "C = 1\n")
    put(path, "entry/model.py", "import torch, json, helper_a\nfrom .layers import block\n")
    put(path, "entry/layers/__init__.py", "from .block import block\n")
    put(path, "entry/layers/block.py", "import yaml\n")
    put(path, "entry/train.py", "import kornia\n")
    near = neighbours(path / "entry/model.py", path / "entry")
    assert [f.relative_to(path / "entry").as_posix() for f in near] == [
        "layers/__init__.py",
        "layers/block.py",
        "model.py",
    ]
    found = code_of_files(near)
    assert [name.partition("==")[0] for name in found] == ["PyYAML", "helper_a/helper_a.py", "helper_b/helper_b.py"]


def test_links_are_followed_and_circles_end(tmp_path):
    put(tmp_path, "a/one.py")
    put(tmp_path, "b/two.py")
    (tmp_path / "a/link").symlink_to(tmp_path / "b")
    (tmp_path / "b/back").symlink_to(tmp_path / "a")
    assert [f.name for f in files_in(tmp_path / "a")] == ["two.py", "one.py"]


def test_a_dangling_link_in_a_package_is_absent(path):
    put(path, "dangling_pkg/__init__.py")
    (path / "dangling_pkg/data.bin").symlink_to("nowhere")
    assert code_of("dangling_pkg")["dangling_pkg/data.bin"] == "absent"
