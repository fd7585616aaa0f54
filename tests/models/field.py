"""Other people's CIFAR-10 networks in the suites of the field, on the 846 images of the development data.

``python -m tests.models.field`` makes their entries and runs the suites on them, with the data of ASSAY_DATA; what is
known is not computed again. Their licences forbid or do not say, so that the entries are made here and are not in
``baselines/``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.attacks.attackbench import make_entries
from tests.models.test_third_party import RESNET, TOML

SUITES = ("cifar10_linf", "cifar10_l2", "cifar10_corruptions")
ROBUST = {"cifar_sri_resnet_adv": "sri_resnet_a", "cifar_vit_adv": "vit_pgd_2_3_16"}
ROBUST_SCALE = "mean = [0.4914, 0.4822, 0.4465]\nstd = [0.2023, 0.1994, 0.2010]"
RESNET20_SCALE = "mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]"
NAMES = ("cifar_vit_adv", "cifar_sri_resnet_adv", "cifar_cnn_a_adv", "cifar_resnet2b", "cifar_resnet20",
         "cifar_resnet20_untrained")  # fmt: skip


def make_all(folder: Path, data: Path) -> Path:
    """Entries of the two robust networks, the three of ``weights_small``, and an untrained twin as a control."""
    make_entries(folder, data)
    for name, file in ROBUST.items():
        (folder / name).mkdir(exist_ok=True)
        path = (data / "cifar10_robust" / f"{file}.onnx").resolve()
        (folder / name / "entry.toml").write_text(
            f'name = "{name}"\ninput_shape = [3, 32, 32]\nclasses = 10\n'
            f'[preprocessing]\n{ROBUST_SCALE}\n[weights]\npath = "{path}"\nformat = "onnx"\n'
        )
    weights = (data / "weights_small" / "cifar10" / "akamaster_resnet20.th").resolve()
    for name, key in (("cifar_resnet20", 'key = "state_dict"\nstrip = "module."'), ("cifar_resnet20_untrained", "")):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "model.py").write_text(RESNET)
        text = TOML.format(
            name=name, shape=[3, 32, 32], factory="ResNet", kwargs="{ blocks = 3 }", preprocessing=RESNET20_SCALE,
            path=weights, weights=key,
        )  # fmt: skip
        (folder / name / "entry.toml").write_text(text if key else text.partition("[weights]")[0])
    return folder


def main() -> None:
    """The suites on all of them, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ASSAY_DATA", "../shared/data")))
    parser.add_argument("--suites", default=",".join(SUITES))
    args, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        entries = make_all(Path(folder), args.data)
        for suite in args.suites.split(","):
            where = f"part846={args.data / 'cifar10_subset' / 'cifar10_lossless.npz'}"
            command = [sys.executable, "-m", "benchmark.cli.main", "run", suite, "--data", where]
            subprocess.run([*command, "--entries", str(entries), "--models", ",".join(NAMES), *more], check=True)


if __name__ == "__main__":
    main()
