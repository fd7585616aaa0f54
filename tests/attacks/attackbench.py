"""AttackBench's measure on our ground: runs the suite on five networks, and writes the tables of docs/attackbench.md.

``python -m tests.attacks.attackbench`` runs what is not known yet, with the data of ASSAY_DATA, and fills the page;
``--page`` only fills it from the results that are there. ART and adv-lib must be installed for their lines.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.attacks.observed.tables import NORMS, global_table
from tests.models.test_third_party import SMALL, TOML

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "attackbench.md"
BEGIN, END = "<!-- made by tests/attacks/attackbench.py: begin -->", "<!-- end -->"
MNIST, CIFAR = "digits_mnist_usps_mnistm", "cifar10_subset/cifar10_lossless.npz"
FOLDERS = ("attackbench", "attackbench-adversarial", "attackbench-mnist", "attackbench-cifar10")

RESNET2B = """
from torch import nn
from torch.nn import functional as F

class Block(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1)
        change = stride != 1 or inside != outside
        self.shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride)) if change else nn.Sequential()

    def forward(self, x):
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))

class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 2, 1)
        self.layer1 = nn.Sequential(Block(8, 16, 2), Block(16, 16, 1))
        self.linear1, self.linear2 = nn.Linear(1024, 100), nn.Linear(100, 10)

    def forward(self, x):
        return self.linear2(F.relu(self.linear1(self.layer1(F.relu(self.conv1(x))).flatten(1))))
"""
SCALE = "mean = [0.4914, 0.4822, 0.4465]\nstd = [0.2471, 0.2435, 0.2616]"
ENTRIES = {  # name: code, factory, its keywords, file under weights_small, where in it
    "cifar_cnn_a_adv": (
        SMALL, "build", "{ channels = 3, width = 16, padding = 1, features = 2048 }", "abcrown_cnn_a_adv.pt", "",
    ),
    "cifar_resnet2b": (RESNET2B, "ResNet", "{}", "abcrown_resnet2b.pt", 'key = "state_dict"'),
}  # fmt: skip

# AttackBench's compiled results, averages over 5 CIFAR-10 and 4 ImageNet networks (CIFAR-10 / ImageNet)
PUBLISHED = {
    ("l0", "advlib:sigma_zero"): ".984 / .998",
    ("l0", "advlib:fmn"): ".853 / .875",
    ("l0", "advlib:vfga"): ".802 / .711",
    ("l1", "advlib:pdpgd"): ".932 / .973",
    ("l1", "advlib:apgd"): ".909 / .980",
    ("l1", "advlib:fmn"): ".904 / .889",
    ("l1", "foolbox:EADAttack"): ".719 / .907",
    ("l1", "art:AutoProjectedGradientDescent"): ".256",
    ("l2", "foolbox:DDNAttack"): ".929 / .986",
    ("l2", "advlib:apgd_targeted"): ".909 / .981",
    ("l2", "advlib:fmn"): ".908 / .970",
    ("l2", "foolbox:L2FMNAttack"): ".539",
    ("linf", "advlib:apgd_targeted"): ".968 / .992",
    ("linf", "advlib:apgd"): ".962 / .970",
    ("linf", "advlib:pdpgd"): ".908 / .982",
    ("linf", "foolbox:LInfFMNAttack"): ".904 / .982",
}


def make_entries(folder: Path, data: Path) -> Path:
    """Entries around the two CIFAR-10 checkpoints of the development data, in a folder for ``--entries``."""
    for name, (code, factory, keywords, file, key) in ENTRIES.items():
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        (own / "model.py").write_text(code)
        path = (data / "weights_small" / "cifar10" / file).resolve()
        (own / "entry.toml").write_text(
            TOML.format(
                name=name, shape=[3, 32, 32], factory=factory, kwargs=keywords, preprocessing=SCALE, path=path,
                weights=key,
            )
        )  # fmt: skip
    return folder


def run(data: Path, out: Path, more: list[str]) -> None:
    """The suite and its two variants; what is known is not computed again."""
    with tempfile.TemporaryDirectory() as folder:
        entries = make_entries(Path(folder), data)
        for label, path in (("", None), ("mnist", data / MNIST), ("cifar10", data / CIFAR)):
            where = [] if path is None else ["--data", f"{label}={path}"]
            theirs = ["--entries", str(entries)] if label == "cifar10" else []
            command = [sys.executable, "-m", "benchmark.cli.main", "run", "attackbench", "--out", str(out)]
            subprocess.run([*command, *where, *theirs, *more], check=False)


def read(out: Path) -> pd.DataFrame:
    """The local optimalities of all networks that were run; models of several folders in one table."""
    files = [out / name / "optimality.csv" for name in FOLDERS]
    return pd.concat([pd.read_csv(file) for file in files if file.is_file()], ignore_index=True)


def tables(local: pd.DataFrame) -> str:
    """The part of the page that holds numbers: what ran, a table a norm, pictures."""
    models = list(dict.fromkeys(local["model"]))
    means = global_table(local, models)
    references = ", ".join(f"{norm} `{name}`" for norm, name in zip(*_references(local), strict=True))
    lines = [f"{len(models)} networks: {', '.join(f'`{model}`' for model in models)}. References: {references}.", ""]
    lines += [*_beside(means), ""]
    for norm in NORMS:
        lines += [f"### {norm}", "", _heading(models), "|" + "---|" * (6 + len(models))]
        lines += [_line(row, local, models, means) for row in _best(means, norm)]
        lines += ["", f"![{norm}: robust accuracy on digits](../results/attackbench/figures/optimality_{norm}.png)", ""]
    return "\n".join(lines)


def _beside(means: pd.DataFrame) -> list[str]:
    """Our best attack of each norm, at both numbers of queries, beside the others' best at the larger one."""
    heading = [
        "norm",
        "ours, 2,000",
        "ours, 1,000",
        "others, 2,000",
        "ours less others, 2,000",
        "ours at 1,000 less others",
    ]
    lines = [f"| {' | '.join(heading)} |", "|" + "---|" * len(heading)]
    for norm in NORMS:
        part = means[(means["norm"] == norm) & means["optimality"].notna()]
        ours, others = part[part["library"] == "assay"], part[part["library"] != "assay"]
        best = [_first(table[table["queries"] == n]) for table, n in ((ours, 2000), (ours, 1000), (others, 2000))]
        shown = [f"{value:.4f} (`{name}`)" if name else "–" for value, name in best]
        gaps = [_signed(best[i][0] - best[2][0]) for i in (0, 1)]
        lines.append(f"| {' | '.join([norm, *shown, *gaps])} |")
    return lines


def _first(table: pd.DataFrame) -> tuple[float, str]:
    """The highest optimality and its probe; NaN and "" of an empty table."""
    if not len(table):
        return np.nan, ""
    row = table.loc[table["optimality"].idxmax()]
    return float(row["optimality"]), str(row["probe"])


def _signed(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:+.4f}"


def _references(local: pd.DataFrame) -> tuple[list[str], list[str]]:
    named = [(norm, "`, `".join(sorted(set(local[local["norm"] == norm]["reference"])))) for norm in NORMS]
    return [norm for norm, _ in named], [name for _, name in named]


def _heading(models: list[str]) -> str:
    return f"| attack | 2,000 | 1,000 | {' | '.join(models)} | success | queries made | AttackBench |"


def _best(means: pd.DataFrame, norm: str) -> list[pd.Series]:
    """The rows at 2,000 queries, best first."""
    part = means[(means["norm"] == norm) & (means["queries"] == means["queries"].max())]
    return [row for _, row in part.iterrows()]


def _line(row: pd.Series, local: pd.DataFrame, models: list[str], means: pd.DataFrame) -> str:
    stem = str(row["probe"]).removesuffix(f"-{row['queries']}")
    few = means[means["probe"] == f"{stem}-1000"]["optimality"]
    own = local[local["probe"] == row["probe"]].set_index("model")["optimality"]
    each = [_number(own.get(model, np.nan)) for model in models]
    published = PUBLISHED.get((str(row["norm"]), str(row["attack"])), "")
    numbers = [_number(row["optimality"]), _number(float(few.iloc[0]) if len(few) else np.nan), *each]
    name = str(row["attack"]) if row["library"] != "assay" else f"**{stem.partition('-')[2]}** (ours)"
    shown = [*numbers, f"{row['success']:.2f}", f"{row['queries_made']:,.0f}", published or "–"]
    return f"| {name if name.startswith('**') else f'`{name}`'} | {' | '.join(shown)} |"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def fill(page: Path, made: str) -> None:
    """Put the part that is made between the marks of the page."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{made.strip()}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Run, and fill the page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ASSAY_DATA", ROOT.parent / "shared" / "data"))
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    parser.add_argument("--page", action="store_true", help="run nothing")
    parser.add_argument("--show", action="store_true", help="print the tables, leave the page as it is")
    given, more = parser.parse_known_args()
    if not given.page:
        run(given.data, given.out, more)
    made = tables(read(given.out))
    if given.show:
        print(made)
    else:
        fill(PAGE, made)


if __name__ == "__main__":
    main()
