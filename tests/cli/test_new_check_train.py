"""`assay new`, `check` and `train` through the command line. Oracles: exit codes, files written, networks that run."""

import re
import subprocess
import sys

import pytest

from benchmark.models.build import build_model
from benchmark.models.entries import read_entry
from tests.conftest import data_folder


@pytest.fixture(autouse=True)
def _wide_and_own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_new_check_and_train_without_a_factory(assay, workplace):
    done, _ = assay("new", "my_net")
    assert "untrained" in done
    folder = workplace.root / "baselines" / "my_net"
    assert build_model(read_entry(folder)).network.state_dict()
    checked, _ = assay("check", "my_net")
    assert "no better than chance" in checked
    assert "256 samples of digits" in checked
    # training is a matter of uncommenting what entry.toml shows
    text = (folder / "entry.toml").read_text()
    for line in ("[weights]", "[recipe]", "seed = 0", "data =", "params ="):
        text = text.replace(f"# {line}", line)
    text = text.replace('# file = "weights.safetensors" # or', 'file = "weights.safetensors" # or')
    text = text.replace('# file = "train.py"', 'file = "train.py"').replace("epochs = 20", "epochs = 5")
    (folder / "entry.toml").write_text(text)
    missing, _ = assay("check", "my_net", code=1)
    assert "assay train my_net" in " ".join(missing.replace("│", " ").split())  # a cell's lines break at spaces
    trained, _ = assay("train", "my_net")
    assert "accuracy 0.9" in trained
    assert (folder / "weights.safetensors").is_file()
    checked, _ = assay("check", "my_net")
    assert re.search(r"preprocessing does better|paired", checked)  # five epochs: either is true


def test_new_from_torchvision_runs_in_a_suite_at_once(assay, workplace):
    assay("new", "res", "--from", "torchvision.models:resnet18", "--into", "mine")
    entry = read_entry(workplace.root / "mine" / "res")
    assert entry.spec.kwargs == {"num_classes": 10}
    assert entry.spec.input_shape == (3, 32, 32)
    assert "UNTRAINED" in (entry.folder / "entry.toml").read_text()
    assay("check", "res", "--entries", "mine", "--samples", 16)
    # deeplift is not in the tiny suite: it refuses resnet18's shared in-place ReLU
    workplace.assay("run", "tiny", "--entries", "mine", "--models", "res", "--only", "fgsm", "--limit", 10)
    assert {head["spec"]["model"] for head in workplace.heads()} == {"res"}


def test_new_leaves_nothing_behind_when_it_fails(assay, workplace):
    for args, code, said in (
        (("Bad Name",), 2, "a name is made of a-z"),
        (("one",), 2, "exists already"),
        (("x", "--from", "torchvision.models:resnet19"), 1, "did you mean 'resnet1"),
        (("x", "--from", "no_such_package:net"), 1, "pip install no_such_package"),
        (("x", "--from", "torchvision.models:resnet18", "--kwargs", "wide=1"), 1, "unexpected keyword argument 'wide'"),
        (("x", "--from", "torchvision.models:resnet18", "--kwargs", "num_classes=7"), 1, "got (2, 7); give --classes"),
        (
            ("x", "--from", "torch.nn:Linear", "--kwargs", "in_features=3", "--kwargs", "out_features=10"),
            1,
            "--input-shape",
        ),
        (("x", "--from", "resnet18"), 2, "expected 'module:callable'"),
        (("x", "--input-shape", "28"), 2, "expected channels,height,width"),
        (("x", "--kwargs", "wide"), 2, "expected KEY=VALUE"),
    ):
        _, err = assay("new", *args, code=code)
        assert said in err
        assert not (workplace.root / "baselines" / "x").exists()


def test_new_keeps_the_kwargs_it_is_given(assay, workplace):
    assay(
        "new", "sq", "--from", "torchvision.models:squeezenet1_1", "--kwargs", "dropout=0.25", "--kwargs",
        "num_classes=4", "--classes", 4, "--input-shape", "3,64,64", "--dataset", "pets",
    )  # fmt: skip
    spec = read_entry(workplace.root / "baselines" / "sq").spec
    assert spec.kwargs == {"dropout": 0.25, "num_classes": 4}
    assert (spec.class_count, spec.input_shape, spec.dataset) == (4, (3, 64, 64), "pets")


def test_check_finds_a_planted_fault_and_exits_1(assay, workplace):
    model = workplace.root / "baselines" / "one" / "model.py"
    model.write_text(model.read_text().replace("linear)", "linear, nn.Softmax(1))"))
    done, _ = assay("check", "one", code=1)
    assert "probabilities, not logits" in done
    assay("check", "two")  # control


def test_check_and_train_of_unknown_entries_exit_2(assay, workplace):
    for command in ("check", "train"):
        assert "did you mean 'digits_cnn'" in assay(command, "digits_cn", code=2)[1]
    assert "has no [recipe]" in assay("train", "one", code=2)[1]
    assert "expected NAME=PATH" in assay("check", "one", "--data", "x", code=2)[1]


def test_check_on_data_given_by_path(assay, workplace):
    chest = data_folder("chest_xray_pneumonia")
    done, _ = assay("check", "pneumonia_mlp", "--data", f"chest_xray={chest}")
    assert "256 samples of chest_xray" in done
    done, _ = assay("check", "pneumonia_mlp")
    assert "--data" in done
    assert "accuracy not judged" in done


def test_help_needs_no_torch():
    code = (
        "import sys\nfrom benchmark.cli import check, new, train\n"
        "assert not {'torch', 'numpy', 'sklearn'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
