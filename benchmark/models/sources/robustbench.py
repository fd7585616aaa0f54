"""``robustbench:ID[:DATASET[:THREAT]]``: networks of RobustBench's model zoo (Croce et al. 2021), by their model ids.

The package ``robustbench`` pins timm, so it is not needed: architectures that many of its networks share are in
:mod:`benchmark.models.cifar` under its names of parameters, and the facts below are those of its model zoo
(github.com/RobustBench/robustbench, ``model_zoo/cifar10.py``, ``imagenet.py`` and ``model_info``). Weights are not to
be had without it or a browser; the entry says where they go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from benchmark.data.reading.classes import class_list
from benchmark.errors import UnknownNameError
from benchmark.models.sources.base import Found, Source, sources

CIFAR = ([0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616])
OTHER = ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
PLUS_MINUS = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
NONE: tuple[list[float], list[float]] = ([], [])
# Parts of checkpoints that are no part of the network: normalisation, the attack that trained it, unused blocks.
APART = ["mu", "sigma", "normalize.", "normalizer.", "attacker.", "sub_block1.", "model_preact_hl1."]


@dataclass(frozen=True)
class Member:
    """A network of the zoo.

    Attributes:
        factory, kwargs: its architecture.
        normalisation: (mean, std).
        paper: where it is described.
        key: alternatives of where its state dict lies in the file.
    """

    factory: str
    normalisation: tuple[list[float], list[float]]
    paper: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    key: tuple[str, ...] = ("state_dict", "")


def _wide(depth: int, factor: int) -> dict[str, Any]:
    return {"factory": "benchmark.models.cifar:wide_resnet", "kwargs": {"depth": depth, "factor": factor}}


def _arxiv(number: str) -> str:
    return f"https://arxiv.org/abs/{number}"


RESNET50: dict[str, Any] = {"factory": "benchmark.models.cifar:resnet50"}
PREACT18: dict[str, Any] = {"factory": "benchmark.models.cifar:preact_resnet18"}
MEMBERS: dict[tuple[str, str], dict[str, Member]] = {
    ("cifar10", "Linf"): {
        "Andriushchenko2020Understanding": Member(
            **PREACT18, normalisation=NONE, paper=_arxiv("2007.02617"), key=("last",)
        ),
        "Carmon2019Unlabeled": Member(**_wide(28, 10), normalisation=NONE, paper=_arxiv("1905.13736")),
        "Sehwag2020Hydra": Member(**_wide(28, 10), normalisation=NONE, paper=_arxiv("2002.10509")),
        "Wang2020Improving": Member(**_wide(28, 10), normalisation=NONE, paper="https://openreview.net/forum?id=rklOg6EFwS"),
        "Hendrycks2019Using": Member(**_wide(28, 10), normalisation=PLUS_MINUS, paper=_arxiv("1901.09960")),
        "Rice2020Overfitting": Member(**_wide(34, 20), normalisation=CIFAR, paper=_arxiv("2002.11569")),
        "Zhang2019Theoretically": Member(**_wide(34, 10), normalisation=NONE, paper=_arxiv("1901.08573")),
        "Engstrom2019Robustness": Member(
            **RESNET50, normalisation=OTHER, paper="https://github.com/MadryLab/robustness"
        ),
        "Huang2020Self": Member(**_wide(34, 10), normalisation=NONE, paper=_arxiv("2002.10319")),
        "Wong2020Fast": Member(**PREACT18, normalisation=CIFAR, paper=_arxiv("2001.03994")),
    },
    ("imagenet", "Linf"): {
        "Engstrom2019Robustness": Member(
            "torchvision.models:resnet50", IMAGENET, "https://github.com/MadryLab/robustness"
        ),
        "Wong2020Fast": Member("torchvision.models:resnet50", IMAGENET, _arxiv("2001.03994")),
        "Salman2020Do_R18": Member("torchvision.models:resnet18", IMAGENET, _arxiv("2007.08489")),
        "Salman2020Do_R50": Member("torchvision.models:resnet50", IMAGENET, _arxiv("2007.08489")),
        "Salman2020Do_50_2": Member("torchvision.models:wide_resnet50_2", IMAGENET, _arxiv("2007.08489")),
    },
}  # fmt: skip
INPUTS: dict[str, tuple[tuple[int, int, int], str, dict[str, Any]]] = {  # shape, list of classes, protocol
    "cifar10": ((3, 32, 32), "cifar10", {}),
    "imagenet": ((3, 224, 224), "imagenet-1k", {"crop": 0.875}),  # its preprocessing Res256Crop224
}


@sources.register("robustbench")
class RobustBench(Source):
    """Networks of RobustBench's model zoo whose architectures are known here, by their model ids."""

    source: ClassVar[str] = "RobustBench (Croce et al. 2021)"
    form: ClassVar[str] = "ID[:DATASET[:THREAT]]"

    def find(self, name: str) -> Found:
        """See :meth:`Source.find`."""
        model, dataset, threat = (*name.split(":"), "", "")[:3]
        dataset, threat = dataset or "cifar10", threat or "Linf"
        zoo = MEMBERS.get((dataset, threat))
        if zoo is None:
            known = [f"{name}:{norm}" for name, norm in MEMBERS]
            raise UnknownNameError("part of RobustBench", f"{dataset}:{threat}", known, "what is known here")
        if model not in zoo:
            raise UnknownNameError(
                "RobustBench model", model, zoo,
                "architectures that are known here; of others load the package's own (docs/entries.md, RobustBench)",
            )  # fmt: skip
        member, (shape, classes, protocol) = zoo[model], INPUTS[dataset]
        mean, std = member.normalisation
        weights: dict[str, Any] = {"file": f"{model}.pt", "key": list(member.key)}
        weights |= {"strip": ["module.", "model."], "drop": APART}
        return Found(
            source=f"robustbench:{model}:{dataset}:{threat}",
            input_shape=shape,
            classes=class_list(classes).names,
            factory=member.factory,
            kwargs=member.kwargs,
            preprocessing={**({"mean": mean, "std": std} if mean else {}), **protocol},
            weights=weights,
            licence="RobustBench states none for these weights",
            paper=member.paper,
            dataset=dataset,
            notes=(
                f"RobustBench's loader saves its checkpoint as models/{dataset}/{threat}/{model}.pt (in an environment"
                f" of its own: robustbench.utils.load_model({model!r}, dataset={dataset!r}, threat_model={threat!r}));"
                " put it beside entry.toml",
            ),
        )
