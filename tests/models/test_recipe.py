"""Recipes and the shipped weights. Oracles: determinism, scikit-learn, the figures in the READMEs, a control."""

import csv
import re

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError, EntryError, UsageError
from benchmark.files import file_sha256
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry, read_entry
from benchmark.models.obtain import ensure_weights
from benchmark.models.recipe import TrainingData, judge
from benchmark.models.template import Draft, create
from benchmark.models.training import train_entry
from benchmark.mri.training import judge as judge_images
from benchmark.spec.entry import RecipeData

RECONSTRUCTION = [
    *(f"{name}{seed}" for name in ("automap", "deep_cascade", "unet") for seed in ("", "_seed1", "_seed2")),
    *("modl", "automap_jitter", "deep_cascade_jitter", "unet_jitter", "modl_jitter"),
]
DIGITS = ["digits_mlp", "digits_cnn", "digits_cnn_adv"]
CHEST = ["pneumonia_mlp", "pneumonia_mlp_deep", "pneumonia_cnn", "pneumonia_cnn_pool"]


@pytest.fixture
def digits():
    data = datasets.make("digits")
    batch = data.load("test", data.index("test").ids, Grid())
    return torch.from_numpy(batch.inputs), torch.from_numpy(batch.labels)


@pytest.fixture
def fresh(tmp_path):
    """An entry as `assay new` writes it, its recipe uncommented (4 epochs), without weights of its own."""
    entry = create(Draft("net", "", {}, 10, (1, 8, 8), "digits"), tmp_path)
    file = entry.folder / "entry.toml"
    text = file.read_text()
    for line in ("[recipe]", 'file = "train.py"', "seed = 0", "data =", "params ="):
        text = text.replace(f"# {line}", line)
    file.write_text(text.replace("epochs = 20", "epochs = 4"))
    return read_entry(entry.folder)


def accuracy(model, inputs, labels):
    return float((model(inputs).argmax(1) == labels).float().mean())


def test_same_seed_same_weights_other_seed_other_weights(fresh, tmp_path):
    torch.manual_seed(1)
    first = train_entry(fresh, tmp_path / "a.safetensors")
    torch.manual_seed(2)
    second = train_entry(fresh, tmp_path / "b.safetensors")
    third = train_entry(fresh, tmp_path / "c.safetensors", seed=5)
    assert first.sha256 == second.sha256 != third.sha256
    assert first.judgement.accuracy > 0.8


def test_weights_without_a_source_are_made_by_the_recipe_on_first_use(fresh, digits):
    before = fresh.digest()
    said = []
    path = ensure_weights(fresh, said.append)
    assert "1297 training samples" in said[0]
    assert fresh.digest() != before
    assert accuracy(build_model(fresh), *digits) > 0.8
    changed = path.stat().st_mtime_ns
    assert ensure_weights(fresh) == path
    assert path.stat().st_mtime_ns == changed
    (fresh.folder / "train.py").write_text((fresh.folder / "train.py").read_text() + "\n")
    assert fresh.weights_path() != path  # another recipe, other weights


def test_judge_is_scikit_learns_scores(digits):
    model = build_model(load_entry("digits_mlp"))
    judged = judge(model, TrainingData(RecipeData(use="digits"), (1, 8, 8)), "test")
    inputs, labels = digits
    predictions = model(inputs).argmax(1)
    precision, recall, _, _ = precision_recall_fscore_support(labels, predictions)
    assert judged.accuracy == pytest.approx(accuracy_score(labels, predictions))
    assert np.allclose(judged.precision(), precision)
    assert np.allclose(judged.recall(), recall)


@pytest.mark.parametrize("name", DIGITS)
def test_shipped_digits_weights_reach_the_readmes_figure(name, digits):
    entry = load_entry(name)
    figure = float(re.search(r"500 test samples: ([0-9.]+)\.\s", (entry.folder / "README.md").read_text()).group(1))
    assert accuracy(build_model(entry), *digits) == pytest.approx(figure, abs=0.003)
    assert figure >= 0.93


@pytest.mark.filterwarnings("ignore:.*gaussian_filter.*:DeprecationWarning")
def test_the_adversarially_trained_network_is_clearly_the_more_robust(digits):
    import foolbox

    inputs, labels = digits
    robust = {}
    for name in DIGITS:
        wrapped = foolbox.PyTorchModel(build_model(load_entry(name)), bounds=(0, 1), device="cpu")
        torch.manual_seed(0)
        success = foolbox.attacks.LinfPGD(steps=40)(wrapped, inputs, labels, epsilons=0.15)[2]
        robust[name] = 1 - float(success.float().mean())
    assert robust["digits_cnn_adv"] > 0.8
    assert max(robust["digits_cnn"], robust["digits_mlp"]) < 0.4


@pytest.mark.parametrize("name", CHEST)
def test_shipped_chest_x_ray_weights_reach_the_readmes_figure(name, real_data):
    entry = load_entry(name)
    model = build_model(entry)
    where = real_data("chest_xray_pneumonia")
    data = RecipeData(use="folder", name="chest_xray", path=where, train="test")  # classes named without reading train
    judged = judge(model, TrainingData(data, entry.spec.input_shape), "test")
    table = (entry.folder / "README.md").read_text()
    for row, values in (
        ("accuracy", [judged.accuracy]),
        ("NORMAL: precision, recall", [judged.precision()[0], judged.recall()[0]]),
        ("PNEUMONIA: precision, recall", [judged.precision()[1], judged.recall()[1]]),
    ):
        stated = re.search(rf"\| {row} \| ([0-9., ]+) \|", table).group(1)
        assert [float(value) for value in stated.split(",")] == pytest.approx(values, abs=0.004)
    assert (entry.folder / "weights.safetensors").stat().st_size <= 8 * 2**20


@pytest.fixture(scope="module")
def heads():
    """The test split of the phantoms, rendered once."""
    return TrainingData(RecipeData(use="phantoms"), (2, 32, 32))


@pytest.mark.parametrize("name", RECONSTRUCTION)
def test_shipped_reconstruction_weights_reach_the_readmes_figure(name, heads):
    """Weights are pinned and small; one network's seeds say whose they are."""
    entry = load_entry(name)
    params = entry.spec.recipe.params
    judged = judge_images(build_model(entry), heads, "test", params["mask"])
    text = (entry.folder / "README.md").read_text()
    error, decibels = re.search(r"200 test phantoms: relative error ([0-9.]+), PSNR ([0-9.]+) dB", text).groups()
    assert judged.rel_err == pytest.approx(float(error), rel=0.02)
    assert judged.psnr == pytest.approx(float(decibels), abs=0.1)
    weights = entry.folder / "weights.safetensors"
    assert entry.spec.weights.sha256 == file_sha256(weights)
    assert weights.stat().st_size < 8e6
    facts, (base, _, part) = entry.spec.facts, name.rpartition("_")
    assert facts["trained_noise"] == ("0 to 8 %" if "jitter" in params else "none")
    assert facts.get("seed_of") == (base if part.startswith("seed") else None)
    with (entry.folder / "training.csv").open() as stream:
        assert [int(row["epoch"]) for row in csv.DictReader(stream)] == list(range(1, params["epochs"] + 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", DIGITS)
def test_shipped_weights_are_what_the_recipe_makes(name, tmp_path):
    """Bitwise on the machine that made them; elsewhere float rounding may differ, so the accuracy is compared."""
    entry = load_entry(name)
    made = train_entry(entry, tmp_path / "w.safetensors")
    shipped = judge(build_model(entry), TrainingData(entry.spec.recipe.data, (1, 8, 8)), "test")
    assert made.sha256 == file_sha256(entry.weights_path()) or abs(made.judgement.accuracy - shipped.accuracy) <= 0.02


def test_what_cannot_be_trained_is_said(fresh, tmp_path):
    def write(text):
        (fresh.folder / "train.py").write_text(text)

    write("def train(model, data, **rest):\n    raise RuntimeError('out of paper')\n")
    with pytest.raises(EntryError, match=r"recipe train\.py raised RuntimeError: out of paper \(train\.py, line 2\)"):
        train_entry(fresh, tmp_path / "w.safetensors")
    write("import torch\n\ndef train(model, data, **rest):\n    model.network[0].weight.data.fill_(torch.nan)\n")
    with pytest.raises(EntryError, match=r"0\.weight is not finite"):
        train_entry(fresh, tmp_path / "w.safetensors")
    write("x = 1\n")
    with pytest.raises(EntryError, match="needs a function `train"):
        train_entry(fresh, tmp_path / "w.safetensors")
    (fresh.folder / "train.py").unlink()
    with pytest.raises(EntryError, match=r"train\.py does not exist"):
        train_entry(fresh, tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()
    with pytest.raises(DataError, match="--data chest_xray=PATH"):
        train_entry(load_entry("pneumonia_mlp"), tmp_path / "w.safetensors")
    plain = create(Draft("plain", "", {}, 10, (1, 8, 8), "digits"), tmp_path)
    with pytest.raises(UsageError, match=r"has no \[recipe\]"):
        train_entry(plain, tmp_path / "w.safetensors")


IMAGES = """
name = "cascade"
task = "reconstruction"
input_shape = [2, 16, 16]
factory = "benchmark.mri.networks.cascade:DeepCascade"
kwargs = { cascades = 1, depth = 3, features = 8 }
output = "image"

[weights]
file = "weights.safetensors"

[recipe]
file = "benchmark.mri.training:train"

[recipe.data]
use = "phantoms"
val = "val"
params = { train = 32, val = 8, test = 8 }

[recipe.params]
mask = { kind = "vd2d", fraction = 0.54 }
epochs = 2
"""


def images(tmp_path, old="", new=""):
    folder = tmp_path / "cascade"
    folder.mkdir(exist_ok=True)
    assert old in IMAGES
    (folder / "entry.toml").write_text(IMAGES.replace(old, new))
    return read_entry(folder)


def test_entries_share_an_importable_recipe_and_images_are_judged_by_their_error(tmp_path):
    """An entry of images is its entry.toml alone; the curve lies beside weights of its own, and nowhere else."""
    entry, said = images(tmp_path), []
    trained = train_entry(entry, entry.weights_path(), progress=said.append)
    assert trained.judgement.lines()[0].startswith("relative error 0.")
    assert "(n = 8)" in trained.judgement.lines()[0]
    assert 0 < trained.judgement.rel_err < 0.5
    with (entry.folder / "training.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert f"validation relative error {float(rows[-1]['val_rel_err']):.4f}" in said[-1]
    assert {path.name for path in entry.folder.iterdir()} == {"entry.toml", "weights.safetensors", "training.csv"}
    elsewhere = train_entry(entry, tmp_path / "w" / "weights.safetensors")
    assert elsewhere.sha256 == trained.sha256
    assert not (tmp_path / "w" / "training.csv").exists()
    mine = build_model(entry).network.state_dict()
    assert all(torch.equal(value, value.half().float()) for value in mine.values())


def test_weights_that_float16_spoils_are_kept_at_full_precision(tmp_path, monkeypatch):
    entry, said = images(tmp_path), []
    monkeypatch.setattr("benchmark.mri.training.ReconstructionErrors.agrees", lambda self, other: False)
    train_entry(entry, entry.weights_path(), progress=said.append)
    assert "stored as float32" in said[-1]
    assert any(not torch.equal(v, v.half().float()) for v in build_model(entry).network.state_dict().values())


def test_weights_of_images_made_on_first_use_say_how_far_they_are(tmp_path):
    entry, said = images(tmp_path, '[weights]\nfile = "weights.safetensors"\n'), []
    path = ensure_weights(entry, said.append)
    assert path == entry.weights_path()
    assert said[1].startswith("epoch 1/2:")
    assert not list(entry.folder.glob("training.csv"))


def test_what_a_recipes_digest_follows(tmp_path, fresh, monkeypatch):
    """Weights in the cache are named by it: code of ours enters with a version, other packages with their version."""
    shared = images(tmp_path).recipe_digest()
    theirs = images(tmp_path, "benchmark.mri.training:train", "torchvision.transforms:Resize").recipe_digest()
    own = fresh.recipe_digest()
    monkeypatch.setattr("benchmark.mri.task.Reconstruction.versions", {"mri": 10**6})
    assert images(tmp_path).recipe_digest() != shared
    assert fresh.recipe_digest() == own
    monkeypatch.undo()
    monkeypatch.setattr("benchmark.models.entries.code_of", lambda module: {f"{module}==0": "0"})
    assert images(tmp_path, "benchmark.mri.training:train", "torchvision.transforms:Resize").recipe_digest() != theirs
    assert images(tmp_path).recipe_digest() == shared


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("benchmark.mri.training:train", "no_such_thing.x:train", r"`pip install no_such_thing`"),
        ("benchmark.mri.training:train", "benchmark.mri.training:tran", r"has no 'tran': did you mean 'train'"),
        ("benchmark.mri.training:train", "benchmark.mri.training:math.pi", "is a float, not callable"),
        ('mask = { kind = "vd2d", fraction = 0.54 }', "", "missing 1 required keyword-only argument: 'mask'"),
    ],
)
def test_a_shared_recipe_that_cannot_be_used_is_named(tmp_path, old, new, words):
    entry = images(tmp_path, old, new)
    with pytest.raises(EntryError, match=words):
        train_entry(entry, entry.weights_path())
    assert not entry.weights_path().exists()


def test_a_recipe_of_images_needs_a_mask_to_be_judged_by(tmp_path):
    entry = images(tmp_path, "benchmark.mri.training:train", "train.py")
    text = (entry.folder / "entry.toml").read_text()
    (entry.folder / "entry.toml").write_text(text.replace('mask = { kind = "vd2d", fraction = 0.54 }', ""))
    (entry.folder / "train.py").write_text("def train(model, data, **rest):\n    pass\n")
    with pytest.raises(EntryError, match="names no mask to judge images by"):
        train_entry(read_entry(entry.folder), entry.weights_path())
