"""Downloads. Oracle: a real HTTP server on this machine, serving what a test says."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from benchmark.errors import EntryError
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.weights import ensure_weights

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
    body = {"content": b"", "asked": 0}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body["asked"] += 1
            self.send_response(200 if body["content"] else 404)
            self.end_headers()
            self.wfile.write(body["content"])

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
        assert list(one.weights_path().parent.iterdir()) == []


def test_without_a_network_it_says_where_to_put_the_file(tmp_path):
    one = entry(tmp_path, f'url = "http://127.0.0.1:9/w.pt"\nsha256 = "{"0" * 64}"')
    with pytest.raises(EntryError, match="without a network, fetch the file elsewhere and put it at") as caught:
        ensure_weights(one)
    assert str(one.weights_path()) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EntryError, match=r"expected the file .*gone\.pt"):
        ensure_weights(entry(tmp_path, 'file = "gone.pt"'))
