"""Reconstruction: undersampled k-space to an image. Judged by numbers: what a perturbation does to the output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.accounts import Account
from benchmark.errors import EntryError, SpecError
from benchmark.mri import EXTRA, MEASUREMENT, VERSION
from benchmark.mri.attacks.acquisition import Acquisition
from benchmark.mri.masks import MaskSpec
from benchmark.mri.words import MEASUREMENTS, Errors
from benchmark.reported import Column, Extras, TaskResults, Values, Words
from benchmark.tasks.base import Rows, Score, Task, tasks

if TYPE_CHECKING:
    import torch

    from benchmark.attacks.base import Attack, Perturbed
    from benchmark.data.base import Batch, Grid
    from benchmark.models.wrap import Model
    from benchmark.mri.entries import Reconstructors
    from benchmark.seeds import Draws
    from benchmark.spec.entry import EntrySpec


RECIPE = "benchmark.mri.training:train"


@tasks.register("reconstruction")
class Reconstruction(Task):
    """Images from masked k-space. A perturbation e of the measurement y is judged by what it does to the output.

    The numbers, with f the reconstruction, x the truth and A the operator:

    - ``amp`` = ||f(y + e) - f(y)|| / ||e||, and ``amp_ratio``, the same over its mean for Gaussian noise of the norm of
      e: errors against x contain the clean error, so that by them a bad network would look robust.
    - ``rel_err`` = ||f - x|| / ||x|| (complex), ``psnr`` and ``ssim`` of magnitudes with the range max|x|.
    - ``halluc`` = ||(I - A+ A)(f(y + e) - f(y))|| / ||e||: what was added where nothing was measured (Gottschling et
      al. 2025); ``null_err`` is the clean error there, as a share of ||x||.
    - ``dc`` = ||A f(y) - y|| / ||y||: data consistency.

    Fields:
        mask: what is measured.
        noise: expected ||n|| / ||A x|| of the complex white noise in every measurement.
        noise_seed: of that noise, drawn for each sample.
        draws: noise vectors behind the denominator of ``amp_ratio``.
        against: entry that others are held against: its clean error is the accuracy gate.
    """

    version: ClassVar[int] = 1
    source: ClassVar[str] = "undersampled k-space to a complex image; Antun et al. 2020, Genzel et al. 2022"
    requires: ClassVar[tuple[str, ...]] = ("deepinv", "torchmetrics")
    extra: ClassVar[str] = EXTRA
    needs_classes: ClassVar[bool] = False
    inputs: ClassVar[str] = MEASUREMENT
    verdicts: ClassVar[bool] = False
    headline: ClassVar[str] = "amp_ratio"
    outputs: ClassVar[tuple[str, ...]] = ("image",)
    needs_size: ClassVar[bool] = True
    versions: ClassVar[dict[str, int]] = {"mri": VERSION}
    measured: ClassVar[Mapping[str, str]] = {
        "amp": "amplification",
        "rel_err": "error",
        "rel_err_before": "error before",
        "psnr": "PSNR",
        "ssim": "SSIM",
        "halluc": "hallucination",
    }
    words: ClassVar[Words] = MEASUREMENTS

    mask: MaskSpec = MaskSpec(kind="vd2d", fraction=0.54)
    noise: float = Field(default=0.0, ge=0, lt=1)
    noise_seed: int = 0
    draws: int = Field(default=4, ge=1)
    against: str = "tv"

    @classmethod
    def networks(cls) -> Reconstructors:
        """See :meth:`Task.networks`."""
        from benchmark.mri.entries import Reconstructors

        return Reconstructors()

    @classmethod
    def facts(cls, spec: EntrySpec) -> dict[str, str | int | float]:
        """The noise seen in training, as the recipe says."""
        if spec.recipe is None or spec.recipe.file != RECIPE:
            return {}
        jitter = float(spec.recipe.params.get("jitter", 0.0))
        return {"trained_noise": f"0 to {100 * jitter:g} %" if jitter else "none"}

    def check_grid(self, grid: Grid) -> None:
        """A size is needed: masks are made for it."""
        if grid.size is None:
            raise SpecError("task 'reconstruction' needs `size` in the suite's [dataset]: its masks are made for it")

    def present(self, batch: Batch) -> Batch:
        """Packed measurements as inputs, truths (N, 2, H, W) as labels."""
        from benchmark.mri.judge import present

        return present(batch, self.mask, self.noise, self.noise_seed)

    @contextmanager
    def side_information(self, model: Model, attack: Attack | None, eps: float | None) -> Iterator[None]:
        """An oracle knows the noise level, and of an attack on the measurement its budget."""
        from benchmark.mri.reconstructor import Reconstructor

        if not isinstance(model, Reconstructor):
            raise EntryError("task 'reconstruction' needs a network of images: set output = \"image\" in entry.toml")
        before, model.level = model.level, self._known_level(attack, eps)
        try:
            yield
        finally:
            model.level = before

    def _known_level(self, attack: Attack | None, eps: float | None) -> float:
        """Noise level ||n|| / ||A x|| that an oracle is told: its own, an acquisition's, or an attack's budget."""
        if isinstance(attack, Acquisition):
            return attack.noise_level()
        budget = attack is not None and attack.threat.domain == MEASUREMENT and attack.threat.kind == "fixed"
        return max(self.noise, eps or 0.0) if budget else self.noise

    def keeps(self, model: Model, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, NDArray[Any]]:
        """``outputs`` and ``truth`` (N, 2, H, W), and the packed ``measured`` (N, K, H, W)."""
        from benchmark.mri.judge import reconstruct

        with model.counter.paused():
            outputs = reconstruct(model, inputs)
        kept = {"outputs": outputs, "truth": labels, "measured": inputs}
        return {name: value.cpu().numpy().astype(np.float32) for name, value in kept.items()}

    def clean(self, model: Model, batch: Batch, spec: EntrySpec | None = None) -> dict[str, NDArray[Any]]:
        """See :meth:`Task.clean`; ``correct`` is True: no sample is right or wrong.

        Own columns: ``rel_err``, ``psnr``, ``ssim``, ``nmse``, ``dc``, ``null_err``.
        """
        from benchmark.mri.judge import clean

        return clean(model, batch, lambda output: self.check_output(output, spec, len(batch)))

    def targets(self, clean_rows: Rows) -> NDArray[np.int64]:
        """An image has no class; explainers do not apply."""
        raise EntryError("task 'reconstruction' has no classes to explain")

    def verify(
        self,
        model: Model,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        perturbed: Perturbed,
        attack: Attack,
        *,
        eps: float | None,
        clean: Rows,
        generator: Draws | None = None,
    ) -> dict[str, NDArray[Any]]:
        """See :meth:`Task.verify`. The budget is relative: eps ||y|| on the measurement, eps ||x|| on the image.

        Columns beside ``status``, norms (of e on the measured locations, or of the image perturbation) and ``success``
        (the output moves further than for any of the drawn noise): ``amp``, ``amp_noise``, ``amp_ratio``, ``rel_err``,
        ``rel_err_before``, ``psnr``, ``ssim``, ``halluc``, ``dc``; where the attack changes the image or asks after a
        detail (``params["change"]``) also ``contrast``, ``contrast_before``, ``contrast_absent`` and ``local_ssim``.
        """
        from benchmark.mri.judge import verify

        assert generator is not None, "the judge draws noise"
        return verify(model, inputs, labels, perturbed, attack, eps, generator, draws=self.draws)

    def columns(self, classes: Sequence[str]) -> tuple[Column, ...]:
        """Means over images of the clean columns."""
        lower = ("rel_err", "nmse", "dc", "null_err")
        return tuple(
            Column(name, "mean", Values(name), higher_is_better=name not in lower)
            for name in ("psnr", "ssim", "nmse", "rel_err", "dc", "null_err")
        )

    def scores(self) -> tuple[Score, ...]:
        """``amp_ratio`` ranks; the rest stands beside it."""
        return (
            Score("amp_ratio", "amp", over="amp_noise"),
            Score("amp_worst", "amp"),
            Score("rel_err_worst", "rel_err", within=True),
            Score("rel_err_random", "rel_err", of="control"),
            Score("halluc", "halluc"),
            Score("dc_worst", "dc"),
        )

    def reference(self) -> tuple[str, str]:
        """The gate: a clean error no worse than that of the tuned classical method."""
        return self.against, "rel_err"

    def account(self) -> Account:
        """Errors, and what noise does to them."""
        return Errors()

    def extras(self, results: TaskResults) -> Extras:
        """The figure of every entry, the error against the budget, and the mask."""
        from benchmark.mri.report.tables import extras

        return extras(self.mask, self.against, results)

    def check_output(self, output: torch.Tensor, spec: EntrySpec | None, n: int) -> None:
        """See :meth:`Task.check_output`: finite images (n, 2, H, W)."""
        import torch

        if not isinstance(output, torch.Tensor):
            raise EntryError(f"the network returned a {type(output).__name__}, expected images ({n}, 2, H, W)")
        got = tuple(output.shape)
        if output.ndim != 4 or got[:2] != (n, 2):
            raise EntryError(f"the network returned shape {got}, expected images ({n}, 2, H, W)")
        bad = int((~torch.isfinite(output)).flatten(1).any(1).sum())
        if bad:
            raise EntryError(f"the network returned NaN or infinite pixels in {bad} of {n} images")
