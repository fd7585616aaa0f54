"""The settings in which metrics are measured: data of one size, models in two halves, explainers, and their verdicts.

Verdicts are set on the first half (models and seeds) and checked on the second, which they have not seen. Reports
of large images show those at 224 pixels where there are any, all others those of the 8x8 sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import UnknownNameError

Halves = Mapping[str, Mapping[str, tuple[int, ...]]]
CONTROLS = ("random", "sobel", "constant")
FILLS = ("black", "mean", "blur")
LARGE = 128  # pixels a side from which on reports show the verdicts at 224


@dataclass(frozen=True)
class Setting:
    """Where metrics are measured.

    Attributes:
        name: for ``assay metrics --on``.
        title: heading of its column.
        halves: ``"set"`` and ``"check"``: entry to its seeds.
        real: real explainers with their parameters.
        dataset: plugin with parameters, split and grid (``DatasetSpec``); None: each entry's own, of its recipe.
        fills: what elements are replaced by in metrics that fill.
        effort: parameters of metrics, where they have them, with which a verdict stands.
        min_accuracy: share of the samples that a model must get right; below, an explanation has nothing true to show.
        drawn: samples at least on which that is judged.
        needs: what ``--data`` must name, and what lies there.
    """

    name: str
    title: str
    halves: Halves
    real: Mapping[str, Mapping[str, Any]]
    dataset: Mapping[str, Any] | None = None
    fills: tuple[str, ...] = FILLS
    effort: Mapping[str, Any] = field(default_factory=dict)
    min_accuracy: float = 0.8
    drawn: int = 300
    needs: str = ""

    @property
    def table(self) -> Path:
        """Where what was measured in it is kept."""
        return Path(__file__).with_name("verdicts.csv" if self.name == "digits" else f"verdicts_{self.name}.csv")

    def first_seed(self, half: str, name: str) -> int:
        """The seed of a model in which perturbations are measured."""
        return self.halves[half][name][0]


SMALL: dict[str, dict[str, Any]] = {
    "saliency": {},
    "input-x-gradient": {},
    "integrated-gradients": {},
    "smoothgrad": {},
    "lrp-epsilon": {"epsilon": 0.25},
    "occlusion": {},
}
SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(
            name="digits",
            title="8 px",
            halves={
                "set": {
                    "digits_mlp": (0, 1),
                    "digits_cnn_adv": (0, 1),
                    "tris_linear_mlp": (0, 1),
                    "tris_multiplicative_cnn": (0, 1),
                },
                "check": {
                    "digits_cnn": (2, 3),
                    "digits_relu24": (2, 3),
                    "tris_linear_cnn": (2, 3),
                    "tris_multiplicative_mlp": (2, 3),
                },
            },
            real=SMALL,
        ),
        Setting(
            name="gtsrb",
            title="32 px",
            halves={"set": {"gtsrb_cnn": (0, 1)}, "check": {"gtsrb_cnn_deep": (2, 3)}},
            real=SMALL,
            dataset={"use": "folder", "name": "gtsrb", "split": "test", "size": (32, 32), "channels": 3},
            effort={"nr_samples": 4, "nr_runs": 32},
            needs="crops of traffic signs in a folder a class (GTSRB)",
        ),
        Setting(
            name="imagenet",
            title="224 px",
            halves={"set": {"efficientnet_lite0": (0,)}, "check": {"efficientnet_lite1": (2,)}},
            real={
                "saliency": {},
                "input-x-gradient": {},
                "integrated-gradients": {"steps": 8},
                "smoothgrad": {"samples": 4},
                "gradcam": {},
            },
            dataset={
                "use": "imagenet",
                "split": "val",
                "size": (224, 224),
                "channels": 3,
                "fit": "crop",
            },
            fills=("black", "blur"),
            effort={"nr_samples": 2, "nr_runs": 32, "stages": 3, "features_in_step": 9408},
            min_accuracy=0.6,
            drawn=32,
            needs="ImageNet's validation images with boxes, or a part of them",
        ),
    )
}


def setting(name: str) -> Setting:
    """The setting of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in SETTINGS:
        raise UnknownNameError("setting of the bench", name, list(SETTINGS), "assay metrics --on")
    return SETTINGS[name]


def of_size(size: tuple[int, int] | None) -> str:
    """The setting whose verdicts a report shows of images of that (height, width); None: the data's own size."""
    return "imagenet" if size is not None and min(size) >= LARGE else "digits"
