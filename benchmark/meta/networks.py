"""Networks on which every explainer is looked at: well-known ones, untrained, and how their table is made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmark.explainers.base import explainers
from benchmark.inputs import IMAGE, takes
from benchmark.meta.marked import write_between
from benchmark.meta.relations import Finding, case, examined, small
from benchmark.models.build import build_model
from benchmark.models.entries import find_entries, load_entry
from benchmark.models.wrap import Model
from benchmark.seeds import global_seed

if TYPE_CHECKING:
    from benchmark.models.entries import Entry

BEGIN = "<!-- made by `assay explainers --docs`: begin -->"
END = "<!-- made by `assay explainers --docs`: end -->"
CLASSES = 5


def _transformer(size: int) -> nn.Module:
    from torchvision.models import VisionTransformer

    network: nn.Module = VisionTransformer(size, 8, 2, 2, 32, 64, num_classes=CLASSES)
    return network


def _named(name: str) -> Callable[[int], nn.Module]:
    def build(_size: int) -> nn.Module:
        from torchvision import models

        network: nn.Module = getattr(models, name)(weights=None, num_classes=CLASSES)
        return network

    return build


def _timm(name: str, **more: Any) -> Callable[[int], nn.Module]:
    def build(size: int) -> nn.Module:
        import timm

        sized = {"img_size": size} if more else {}
        network: nn.Module = timm.create_model(name, num_classes=CLASSES, **sized, **more)
        return network

    return build


class _Logits(nn.Module):
    """Hugging Face's output unwrapped, as :class:`benchmark.models.outputs.Unwrap` does for an entry."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(x).logits
        return logits


def _face(kind: str, **more: Any) -> Callable[[int], nn.Module]:
    def build(size: int) -> nn.Module:
        import transformers

        sized = {"image_size": size} if "patch_size" in more else {}
        config = getattr(transformers, f"{kind}Config")(num_labels=CLASSES, **sized, **more)
        return _Logits(getattr(transformers, f"{kind}ForImageClassification")(config))

    return build


_TIMM_VIT = {"patch_size": 8, "depth": 2, "embed_dim": 48, "num_heads": 3}
_FACE_VIT = {
    "patch_size": 8, "num_hidden_layers": 2, "hidden_size": 48, "num_attention_heads": 3, "intermediate_size": 96,
}  # fmt: skip

# name: (size of its images, factory)
NETWORKS: dict[str, tuple[int, Callable[[int], nn.Module]]] = {
    "resnet18": (32, _named("resnet18")),
    "vgg11_bn": (32, _named("vgg11_bn")),
    "densenet121": (32, _named("densenet121")),
    "mobilenet_v3_small": (32, _named("mobilenet_v3_small")),
    "efficientnet_b0": (32, _named("efficientnet_b0")),
    "convnext_tiny": (32, _named("convnext_tiny")),
    "swin_t": (64, _named("swin_t")),
    "vit (patch 8, depth 2)": (32, _transformer),
    "timm vit (patch 8, depth 2)": (32, _timm("vit_tiny_patch16_224", **_TIMM_VIT)),
    "timm deit (patch 8, depth 2)": (32, _timm("deit_tiny_patch16_224", **_TIMM_VIT)),
    "timm swin (window 4, depth 2)": (
        32,
        _timm("swin_tiny_patch4_window7_224", window_size=4, embed_dim=24, depths=(1, 1), num_heads=(2, 2)),
    ),
    "timm efficientnet_b0": (32, _timm("efficientnet_b0")),
    "hf vit (patch 8, depth 2)": (32, _face("ViT", **_FACE_VIT)),
    "hf deit (patch 8, depth 2)": (32, _face("DeiT", **_FACE_VIT)),
    "hf swin (window 4, depth 2)": (
        32,
        _face("Swin", patch_size=4, window_size=4, embed_dim=24, depths=[1, 1], num_heads=[2, 2]),
    ),
    "hf convnext (2 stages)": (32, _face("ConvNext", hidden_sizes=[16, 32], depths=[1, 1], num_stages=2)),
}


def reference(name: str) -> Model:
    """One of :data:`NETWORKS`, seeded: statistics of its batch norms are those of noise, then moved at random.

    So activations neither vanish nor are left untouched by a norm, and a relation that does not hold shows.
    """
    size, build = NETWORKS[name]
    with global_seed(0), torch.no_grad():
        network = build(size).eval()
        for part in network.modules():
            if isinstance(part, nn.Linear | nn.Conv2d) and part.bias is not None:
                nn.init.normal_(part.bias, 0, 0.05)
            if isinstance(part, nn.Linear) and not part.weight.any():  # the head of torchvision's transformer
                nn.init.normal_(part.weight, 0, 0.2)
        norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
        for norm in norms:
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.2)
            norm.momentum = 1.0
            norm.train()
        network(torch.randn(8, 3, size, size))
        for norm in norms:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            spread = (norm.running_var + 0.1 * norm.running_mean.square()).sqrt()
            norm.running_mean += 0.1 * spread * torch.randn_like(spread)
            norm.running_var.copy_((spread * torch.empty_like(spread).uniform_(0.9, 1.2)).square())
    return Model(network, input_shape=(3, size, size), mean=[0.5] * 3, std=[0.25] * 3)


def findings(model: Model, entry: Any = None, uses: Iterable[str] = ()) -> Iterator[tuple[str, Finding]]:
    """What is found of each explainer (default: all of images) on a model."""
    of = case(model, entry)
    for use in uses or [use for use in explainers.names() if takes(explainers.lookup(use)[0].accepts, IMAGE)]:
        yield use, examined(small(use), of, entry)


def shipped() -> list[Entry]:
    """The shipped entries that classify images; but those of a source, whose library or weights are not always here."""
    entries = [load_entry(name) for name in find_entries()]
    entries = [entry for entry in entries if not entry.spec.source]
    return [entry for entry in entries if entry.spec.task == "classification"]


def brief(use: str, finding: Finding) -> str:
    """``"right"``, or why not, without numbers of one machine."""
    if finding.status == "right":
        return "right"
    text = finding.words.removeprefix(f"{use}: ").removeprefix(f"{use} ").removeprefix("deeplift: ")
    text = re.sub(r"captum refuses this network.*", "captum refuses this network", text, flags=re.S)
    text = re.sub(r" by [\d.]+% of the output's change.*", "", text, flags=re.S)
    return f"{finding.status}: {text.split(';')[0]}"


def table(results: dict[str, dict[str, str]]) -> str:
    """Markdown: a row an explainer, a column a network (those of one column together), reasons below.

    Args:
        results: network to explainer to what :func:`brief` says.
    """
    same: dict[tuple[str, ...], list[str]] = {}
    uses = list(next(iter(results.values())))
    for name, column in results.items():
        same.setdefault(tuple(column[use] for use in uses), []).append(name)
    reasons: list[str] = []
    rows = []
    for i, use in enumerate(uses):
        cells = []
        for texts in same:
            if texts[i] != "right" and texts[i] not in reasons:
                reasons.append(texts[i])
            cells.append("right" if texts[i] == "right" else _mark(texts[i], reasons))
        rows.append(f"| `{use}` | {' | '.join(cells)} |")
    heads = [_heads(names) for names in same.values()]
    lines = [f"| use | {' | '.join(heads)} |", "|---" * (len(same) + 1) + "|", *rows, ""]
    groups = [(head, names) for head, names in zip(heads, same.values(), strict=True) if len(names) > 2]
    lines += [f"{head}: {', '.join(f'`{name}`' for name in names)}." for head, names in groups]
    return "\n".join([*lines, "", *(f"{i}. {reason}" for i, reason in enumerate(reasons, 1))]) + "\n"


def _mark(text: str, reasons: list[str]) -> str:
    return f"{text.split(':', maxsplit=1)[0]} ({reasons.index(text) + 1})"


def _heads(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more"


def collect(progress: Callable[[str], None] = lambda _: None) -> dict[str, dict[str, str]]:
    """Every explainer on every network of :data:`NETWORKS` and every shipped entry; some minutes."""
    results = {}
    for name in NETWORKS:
        results[name] = {use: brief(use, finding) for use, finding in findings(reference(name))}
        progress(name)
    for entry in shipped():
        model = build_model(entry)
        results[entry.name] = {use: brief(use, finding) for use, finding in findings(model, entry.spec)}
        progress(entry.name)
    return results


def write_page(file: Path, progress: Callable[[str], None] = lambda _: None) -> None:
    """Put the table of what :func:`collect` finds between its marks.

    Raises:
        UsageError: the file is missing, or has no marks.
    """
    write_between(file, BEGIN, END, lambda: f"\n\n{table(collect(progress))}\n", "the table goes")
