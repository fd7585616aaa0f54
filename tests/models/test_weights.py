"""Downloads. Oracle: a real HTTP server on this machine, serving what a test says."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from benchmark.errors import EntryError
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.obtain import ensure_weights
from tests.conftest import write_entry

TOML = """
name = "one"
input_shape = [1, 2, 2]
classes = 2
factory = "model:build"
[weights]
{weights}
"""
CODE = "from torch import nn\n\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))\n"


def entry(root, weights):
    folder = root / "one"
    folder.mkdir(exist_ok=True)
    (folder / "model.py").write_text(CODE)
    (folder / "entry.toml").write_text(TOML.format(weights=weights))
    return load_entry("one", [root])


@pytest.fixture
def served():
    """URL of a server, and the bytes it serves (set ``body["content"]``)."""
    body = {"content": b"", "asked": 0, "cut": [], "ranges": True}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body["asked"] += 1
            asked = self.headers.get("Range") if body["ranges"] else None
            first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            content = body["content"][first:]
            self.send_response(404 if not body["content"] else 206 if asked else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: body["cut"].pop(0)] if body["cut"] else content)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/w.pt", body
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_is_downloaded_once_checked_and_loaded(tmp_path, served):
    url, body = served
    torch.save({"1.weight": torch.ones(2, 4), "1.bias": torch.zeros(2)}, tmp_path / "w.pt")
    body["content"] = (tmp_path / "w.pt").read_bytes()
    sha256 = hashlib.sha256(body["content"]).hexdigest()
    one = entry(tmp_path, f'url = "{url}"\nsha256 = "{sha256}"')
    before, said = one.digest(), []
    with pytest.raises(EntryError, match="weights are missing"):
        build_model(one)
    path = ensure_weights(one, said.append)
    assert path.read_bytes() == body["content"]
    assert ensure_weights(one) == path
    assert body["asked"] == 1
    assert url in said[0]
    assert build_model(one)(torch.ones(1, 1, 2, 2)).tolist() == [[4.0, 4.0]]
    assert one.digest() == before  # its sha256 is known beforehand


def test_another_file_than_expected_is_refused_and_not_kept(tmp_path, served):
    url, body = served
    one = entry(tmp_path, f'url = "{url}"\nsha256 = "{"0" * 64}"')
    for content, said in ((b"x" * 100, "refused"), (b"<!doctype html>login", "HTML page"), (b"", "404")):
        body["content"] = content
        with pytest.raises(EntryError, match=said):
            ensure_weights(one)
        kept = [
            file.name for file in one.weights_path().parent.iterdir() if not file.name.endswith((".failed", ".lock"))
        ]
        assert kept == []


def test_without_a_network_it_says_where_to_put_the_file(tmp_path):
    one = entry(tmp_path, f'url = "http://127.0.0.1:9/w.pt"\nsha256 = "{"0" * 64}"')
    with pytest.raises(EntryError, match="without a network, fetch the file elsewhere and put it at") as caught:
        ensure_weights(one)
    assert str(one.weights_path()) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EntryError, match=r"expected the file .*gone\.pt"):
        ensure_weights(entry(tmp_path, 'file = "gone.pt"'))


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr("benchmark.models.weights.PAUSE", 0)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_answer_that_is_cut_off_is_resumed(tmp_path, served, no_pause, ranges):
    """Oracle: the sha256 of what the server holds; without ranges it begins again."""
    url, body = served
    body |= {"content": bytes(range(256)) * 400, "cut": [1000, 50_000], "ranges": ranges}
    one = entry(tmp_path, f'url = "{url}"\nsha256 = "{hashlib.sha256(body["content"]).hexdigest().upper()}"')
    said = []
    assert ensure_weights(one, said.append).read_bytes() == body["content"]
    assert body["asked"] == 3
    assert "cut off after 1,000 of 102,400 bytes" in said[1]


def test_an_answer_that_stays_cut_off_names_url_and_bytes_and_goes_on_next_time(tmp_path, served, no_pause):
    url, body = served
    body |= {"content": b"x" * 5000, "cut": [1000, 0, 0, 0]}
    one = entry(tmp_path, f'url = "{url}"\nsha256 = "{hashlib.sha256(body["content"]).hexdigest()}"')
    with pytest.raises(EntryError, match=r"cut off after 1,000 of 5,000 bytes \(1,000 bytes came\)") as caught:
        ensure_weights(one)
    assert url in str(caught.value)
    body["cut"] = []
    assert ensure_weights(one).stat().st_size == 5000


def test_a_record_says_that_the_download_failed(workplace, served):
    url, _ = served
    workplace.suite(
        "tiny", (workplace.root / "suites/tiny.toml").read_text().replace('["one", "two"]', '["one", "far"]')
    )
    write_entry(workplace.root / "baselines/far", extra=f'[weights]\nurl = "{url}"\nsha256 = "{"0" * 64}"')
    done = workplace.assay("run", "tiny", "--only", "fgsm", code=1)
    reasons = {
        head["reason"] for head in workplace.heads() if head["spec"]["model"] == "far" and not head.get("blocked")
    }
    assert reasons
    assert all("download failed" in reason and url in reason and "404" in reason for reason in reasons)
    assert not any("weights are missing" in head["reason"] for head in workplace.heads())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.symlink_to("nowhere.pt"), r"w\.pt is a link to nowhere\.pt, which does not exist"),
        (lambda p: p.mkdir(), r"w\.pt is a folder, expected a file"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: p.write_bytes(b"PK\x03\x04" + b"x" * 200), "cannot be read"),
        (lambda p: p.write_bytes(b"\x10\0\0\0\0\0\0\0{" + b"x" * 20), "cannot be read"),
    ],
)
def test_what_is_no_file_of_weights_is_said(tmp_path, make, words):
    one = entry(tmp_path, 'file = "w.pt"')
    make(one.folder / "w.pt")
    path = one.weights_path()
    call = (lambda: ensure_weights(one)) if not path.is_file() else (lambda: build_model(one))
    with pytest.raises(EntryError, match=words):
        call()


@pytest.mark.parametrize("url", ["nonsense", "http://[bad/x.pt", "http://127.0.0.1/a b.pt", "file:///nowhere/w.pt"])
def test_what_is_no_url_is_said(tmp_path, no_pause, url):
    with pytest.raises(EntryError, match=r"of its weights is none|could not be downloaded") as caught:
        ensure_weights(entry(tmp_path, f'url = "{url}"\nsha256 = "{"0" * 64}"'))
    assert url in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_torchscript_archive_given_as_weights_names_the_format_that_fits(tmp_path):
    one = entry(tmp_path, 'file = "w.pt"')
    torch.jit.save(torch.jit.script(torch.nn.Linear(4, 2)), one.folder / "w.pt")
    with pytest.raises(EntryError, match=r'TorchScript archive.*format = "torchscript"'):
        build_model(one)
