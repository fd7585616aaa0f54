"""Whatever stands in a file that a user wrote: no traceback, and the exit codes 0, 1 and 2 alone (property).

Suites, entries, manifests, images and .npz files are taken as they are and damaged: lines lost, doubled and moved,
values replaced by awkward ones, bytes flipped, cut off or put in. 2,000 cases and more; the same ones every time.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark.cli.main import main
from benchmark.data.base import Grid, datasets
from benchmark.errors import AssayError

SUITE = """
title = "fuzz"
entries = ["digits_mlp"]
seed = 3

[dataset]
use = "digits"
samples = 4
size = [8, 8]
channels = 1

[threat]
norm = "linf"
eps = "8/255"

[run]
chunk = 2
batch_size = 10
time_limit = 60
keep_inputs = "none"

[[attacks]]
name = "pgd"
use = "foolbox:LinfPGD"
budgets = ["8/255", "0.1"]
params = { steps = 5, rel_stepsize = 0.25 }

[[attacks]]
name = "noise"
use = "noise-linf"
budgets = ["0.1"]
samples = 2

[[explainers]]
name = "saliency"
use = "saliency"
metrics = ["sparseness"]

[[metrics]]
name = "sparseness"
use = "sparseness"
"""
ENTRY = """
name = "mine"
task = "classification"
dataset = "digits"
description = "x"
licence = "MIT"
input_shape = [1, 8, 8]
classes = 10
factory = "torch.nn:Flatten"
output = "logits"
gradcam_layer = ""
kwargs = { start_dim = 1 }
facts = { a = 1, b = "c" }

[preprocessing]
mean = [0.5]
std = [0.5]
resize = [8, 8]
grey = false

[weights]
file = "w.safetensors"
sha256 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
key = ""
strip = "module."
"""
MANIFEST = """
file,patient,mask,split
test/a/0.png,p0,m/0.png,test
test/a/1.png,p0,m/1.png,test
test/b/2.png,"p,1",m/2.png,test
"""
AWKWARD = [
    "0", "-1", "1e999", "nan", "-inf", "true", "[]", "{}", '""', '"8/0"', '"1/3"', '"\\u0000"', '"../../x"', "[[[]]]",
    "1979-05-27", "99999999999999999999999999", '"a" * 3', "[1, [2]]", '"none"', "{ a = { b = 1 } }", "'''x\ny'''",
    '"ß"', "[0, 0]", "0x10", "-0.0", '"linf"', '"folder"', '["digits_mlp", "digits_mlp"]', "inf", '"torch:save"',
]  # fmt: skip
CELLS = ["", '"', "a,b", "\x00", ";", "é", "../x", "0"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)  # what UTF-8 has; by its codec it takes seconds
CASES = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}


@st.composite
def damaged(draw, text: str) -> bytes:
    """A text with some lines lost, doubled, moved or given another value, and some bytes of it damaged."""
    lines = text.strip().splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["value", "value", "value", "lose", "double", "move", "key", "bytes"])):
            case "value" if "=" in lines[at]:
                lines[at] = f"{lines[at].partition('=')[0]}= {draw(st.sampled_from(AWKWARD))}"
            case "value":
                cells = lines[at].split(",")
                cells[draw(st.integers(0, len(cells) - 1))] = draw(st.sampled_from(CELLS))
                lines[at] = ",".join(cells)
            case "lose" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "move":
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
            case "key":
                lines[at] = draw(TEXT) + lines[at]
    return draw(saved("\n".join(lines).encode("utf-8", "surrogatepass")))


@st.composite
def saved(draw, raw: bytes) -> bytes:
    """Bytes as another editor, or a bad disk, leaves them."""
    match draw(st.sampled_from(["", "", "", "bom", "utf-16", "cut", "flip", "crlf"])):
        case "bom":
            return b"\xef\xbb\xbf" + raw
        case "utf-16":
            return raw.decode("utf-8", "replace").encode("utf-16")
        case "crlf":
            return raw.replace(b"\n", b"\r\n")
        case "cut":
            return raw[: draw(st.integers(0, len(raw)))]
        case "flip" if raw:
            at = draw(st.integers(0, len(raw) - 1))
            return raw[:at] + bytes([draw(st.integers(0, 255))]) + raw[at + 1 :]
    return raw


@st.composite
def broken(draw, raw: bytes) -> bytes:
    """Bytes cut off, flipped, put in or taken out."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        match draw(st.sampled_from(["cut", "flip", "flip", "put", "take"])):
            case "cut":
                raw = raw[:at]
            case "flip":
                raw = raw[:at] + bytes([draw(st.integers(0, 255))]) + raw[at + 1 :]
            case "put":
                raw = raw[:at] + draw(st.binary(max_size=8)) + raw[at:]
            case "take":
                raw = raw[:at] + raw[at + draw(st.integers(1, 8)) :]
    return raw


def assay(*args: object) -> tuple[int, str]:
    """Exit code and what was printed; anything but an exit is a traceback, and fails the test."""
    said, before = io.StringIO(), sys.argv
    sys.argv = ["assay", *map(str, args)]
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            main()
    except SystemExit as stop:
        return int(stop.code or 0), said.getvalue()
    finally:
        sys.argv = before
    return 0, said.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(root / "cache"))
        patch.chdir(root)
        yield root


def check_exit(code: int, said: str) -> None:
    assert code in (0, 1, 2), said
    assert "Traceback" not in said


@settings(max_examples=310, **CASES)
@given(raw=damaged(SUITE))
def test_suites(place, raw):
    (place / "fuzz.toml").write_bytes(raw)
    check_exit(*assay("run", "fuzz.toml", "--dry-run", "--no-estimate"))


@settings(max_examples=240, **CASES)
@given(raw=damaged(ENTRY))
def test_entries(place, raw):
    (place / "e/mine").mkdir(parents=True, exist_ok=True)
    (place / "e/mine/entry.toml").write_bytes(raw)
    (place / "plain.toml").write_text(SUITE.replace('["digits_mlp"]', "[]"))
    check_exit(*assay("run", "plain.toml", "--dry-run", "--no-estimate", "--entries", "e", "--models", "mine"))


@pytest.fixture(scope="module")
def pictures(place):
    root = place / "pictures"
    for name, label in (("0", "a"), ("1", "a"), ("2", "b")):
        (root / "test" / label).mkdir(parents=True, exist_ok=True)
        (root / "m").mkdir(exist_ok=True)
        Image.new("L", (8, 8), 100).save(root / f"test/{label}/{name}.png")
        Image.new("L", (8, 8), 255).save(root / f"m/{name}.png")
    return root


def looked_at(use: str, path: Path) -> None:
    """Index and load; only an error of ours may come of it, and it says what it speaks of."""
    said = ""
    try:
        data = datasets.make(use, {"path": path})
        data.load("test", data.index("test").ids, Grid(size=(8, 8), channels=1), masks=True)
    except AssayError as error:
        said = str(error)
    assert not said or any(word in said for word in (str(path), path.name, use, "test-0", ".png", ".jpeg"))


@settings(max_examples=160, **CASES)
@given(raw=damaged(MANIFEST))
def test_manifests(pictures, raw):
    (pictures / "manifest.csv").write_bytes(raw)
    looked_at("folder", pictures)


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    ramp = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    ramp.convert("P" if kind == "GIF" else "RGB" if kind == "JPEG" else "L").save(buffer, kind)
    return buffer.getvalue()


@settings(max_examples=160, **CASES)
@given(data=st.data())
def test_images(place, data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
    root = place / "one"
    shutil.rmtree(root, ignore_errors=True)
    (root / "test/a").mkdir(parents=True)
    (root / f"test/a/x.{kind.lower()}").write_bytes(data.draw(broken(encoded(kind))))
    looked_at("folder", root)


def archive(dtype: str = "u1") -> bytes:
    buffer = io.BytesIO()
    images, labels = np.zeros((3, 8, 8), dtype), np.array([0, 1, 1])
    np.savez(buffer, x_test=images, y_test=labels, masks_test=images > 0)
    return buffer.getvalue()


VALUES = [
    np.zeros((3, 8, 8), ">u2"), np.zeros((3, 8, 8), "?"), np.full((3, 8, 8), np.nan), np.zeros((3, 0, 8)), np.zeros(3),
    np.zeros((2, 8, 8)), np.array(["a", "b", "a"]), np.array([0.5, 1, 2]), np.eye(3), np.array([-1, 0, 1]),
    np.array([2**63, 0, 1], "u8"), np.zeros((3, 8, 8), "c8"), np.array(b"x"), np.zeros((3, 8, 8, 5)),
    np.array([1, 2, 3], "M8[s]"), np.zeros((3, 8, 8), [("a", "u1")]), np.array([[0], [1], [1]]), np.zeros((0, 8, 8)),
]  # fmt: skip
KEYS = ["x_test", "y_test", "masks_test", "ids_test", "groups_test", "classes"]


@settings(max_examples=160, **CASES)
@given(data=st.data())
def test_npz_files(place, data):
    file = place / "d.npz"
    if data.draw(st.booleans()):
        file.write_bytes(data.draw(broken(archive())))
    else:
        arrays = {"x_test": np.zeros((3, 8, 8), "u1"), "y_test": np.array([0, 1, 1])}
        for name in data.draw(st.lists(st.sampled_from(KEYS))):
            arrays[name] = data.draw(st.sampled_from(VALUES))
        np.savez(file, **arrays)
    looked_at("npz", file)
