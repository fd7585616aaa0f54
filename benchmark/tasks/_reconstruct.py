"""How reconstructions are measured: all in float64 but the network and the solver themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.attacks.verify import finite, norms, within_budget
from benchmark.data.base import Batch
from benchmark.errors import AttackError
from benchmark.mri.masks import MaskSpec, make_mask
from benchmark.mri.measurement import Measurement, measure, split_sample, truth_of, unpack
from benchmark.mri.quality import psnr, relative_error
from benchmark.seeds import Draws, derive

if TYPE_CHECKING:
    from benchmark.attacks.base import Attack, Perturbed
    from benchmark.models.wrap import Model
    from benchmark.spec.entry import EntrySpec
    from benchmark.tasks.reconstruction import Reconstruction

Columns = dict[str, NDArray[Any]]
SAME = 1e-5  # share of ||y|| by which A(x + r), computed again, may differ from what an attack returned


def present(batch: Batch, mask: MaskSpec, level: float, seed: int) -> Batch:
    """Measure a dataset's samples: packed measurements as inputs, truths as labels."""
    inputs = torch.as_tensor(batch.inputs)
    coils, _ = split_sample(inputs)
    locations = torch.from_numpy(make_mask(mask, (inputs.shape[-2], inputs.shape[-1])))
    normal = None
    if level:
        draws = Draws([derive("measurement noise", seed, name) for name in batch.ids])
        normal = draws.normal((2 * coils.shape[1], *inputs.shape[-2:]))
    measured = measure(inputs, locations, level=level, normal=normal)
    return Batch(batch.ids, measured.pack().numpy(), truth_of(inputs).numpy())


def reconstruct(model: Model, packed: torch.Tensor) -> torch.Tensor:
    """f(y) in float32, without a graph."""
    with torch.no_grad():
        output: torch.Tensor = model(packed.float())
    return output.float()


def length(image: torch.Tensor) -> torch.Tensor:
    """(N,) l2 norm in float64."""
    lengths: torch.Tensor = torch.linalg.vector_norm(image.detach().double().flatten(1), dim=1)
    return lengths


def null_part(measured: Measurement, image: torch.Tensor) -> torch.Tensor:
    """(I - A+ A) of images (N, 2, H, W): what no measurement sees."""
    physics = measured.physics()
    with torch.no_grad():
        seen: torch.Tensor = physics.A_dagger(physics.A(image))
    return image - seen


def consistency(measured: Measurement, output: torch.Tensor) -> torch.Tensor:
    """(N,) ||A f - y|| / ||y||."""
    with torch.no_grad():
        again = measured.physics().A(output)
    return length(again - measured.y) / length(measured.y).clamp(min=1e-30)


def quality(output: torch.Tensor, truth: torch.Tensor) -> Columns:
    """``rel_err`` of complex images; ``psnr`` (dB) and ``ssim`` (Wang et al. 2004) of magnitudes, range max|truth|."""
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    ours, theirs = magnitude(output), magnitude(truth)
    peak = theirs.flatten(1).amax(1).clamp(min=1e-30).view(-1, 1, 1, 1)
    ours, theirs = ours / peak, theirs / peak
    similar: Any = ssim(ours, theirs, data_range=1.0, reduction="none")
    return {
        "rel_err": relative_error(output, truth).cpu().numpy(),
        "psnr": psnr(output, truth).cpu().numpy(),
        "ssim": np.atleast_1d(similar.detach().cpu().numpy().astype(np.float64)),
    }


def magnitude(image: torch.Tensor) -> torch.Tensor:
    """(N, 2, H, W) to (N, 1, H, W), float64."""
    return image.detach().double().square().sum(1, keepdim=True).sqrt()


def clean(task: Reconstruction, model: Model, batch: Batch, spec: EntrySpec | None) -> Columns:
    """Clean columns of packed measurements; see :meth:`Reconstruction.clean`."""
    inputs = torch.as_tensor(batch.inputs, device=model.device)
    truth = torch.as_tensor(batch.labels, device=model.device)
    output = reconstruct(model, inputs)
    task.check_output(output, spec, len(batch))
    measured = unpack(inputs)
    columns = quality(output, truth)
    return {
        "label": np.zeros(len(batch)),
        "pred_clean": columns["rel_err"],
        "correct": np.ones(len(batch), dtype=bool),
        **columns,
        "nmse": np.square(columns["rel_err"]),
        "dc": consistency(measured, output).cpu().numpy(),
        "null_err": (length(null_part(measured, output - truth)) / length(truth)).cpu().numpy(),
    }


def verify(
    task: Reconstruction,
    model: Model,
    inputs: torch.Tensor,
    truth: torch.Tensor,
    perturbed: Perturbed,
    attack: Attack,
    eps: float | None,
    generator: Draws,
) -> Columns:
    """Columns of perturbed measurements; see :meth:`Reconstruction.verify`."""
    base = inputs if perturbed.reference is None else perturbed.reference
    change = perturbed.params.get("change")
    moved = None if change is None else torch.as_tensor(change, device=inputs.device, dtype=inputs.dtype)
    before, after = unpack(base), unpack(perturbed.inputs)
    in_image = attack.threat.domain == "image"
    status, sizes = _status_and_norms(attack, inputs, before, after, truth, moved, eps)
    with model.counter.paused():
        y_out, out = reconstruct(model, base), reconstruct(model, perturbed.inputs)
        same_mask = bool(torch.equal(before.mask, after.mask))
        e = after.y - before.y if same_mask else torch.zeros_like(before.y)
        size = length(moved) if in_image and moved is not None else length(e)
        noise = _noise(model, before, y_out, size, generator, task.draws) if same_mask else None
        bare = reconstruct(model, inputs) if perturbed.reference is not None else y_out
    asked = truth + moved if moved is not None and (in_image or perturbed.reference is not None) else truth
    lost = ~torch.isfinite(out).flatten(1).all(1).cpu().numpy()
    status = np.where(lost, "nan", status)
    shift = length(out - y_out)
    some = size > 0
    amp = torch.where(some, shift / size.clamp(min=1e-30), torch.nan)
    quiet = torch.full_like(amp, torch.nan) if noise is None else torch.where(some, noise.mean(1), torch.nan)
    loud = np.zeros(len(inputs), bool) if noise is None else (amp > noise.amax(1)).cpu().numpy()
    null = length(null_part(after, out - y_out)) / size.clamp(min=1e-30)
    columns = {
        "label": np.zeros(len(inputs)),
        "status": status,
        "success": (status == "ok") & loud,
        **{f"norm_{name}": values for name, values in sizes.items()},
        "amp": amp.cpu().numpy(),
        "amp_noise": quiet.cpu().numpy(),
        "amp_ratio": (amp / quiet).cpu().numpy(),
        **quality(out, asked),
        "rel_err_before": relative_error(y_out, truth).cpu().numpy(),
        "halluc": torch.where(some, null, torch.nan).cpu().numpy(),
        "dc": consistency(after, out).cpu().numpy(),
    }
    if moved is not None:
        columns |= _detail(out, y_out, bare, truth, moved)
    return columns


def _noise(
    model: Model, measured: Measurement, base: torch.Tensor, size: torch.Tensor, generator: Draws, draws: int
) -> torch.Tensor:
    """(N, draws) amplification of Gaussian noise of norm ``size`` on the measured locations; ``base`` is f(y)."""
    noise = []
    for _ in range(draws):
        n = generator.normal(measured.y.flatten(1, -3).shape[1:]).to(measured.y).view_as(measured.y)
        n = measured.sampled(n)
        n = n * (size / length(n).clamp(min=1e-30)).to(n.dtype).view(-1, *[1] * (n.ndim - 1))
        moved = length(reconstruct(model, measured.with_y(measured.y + n).pack()) - base)
        noise.append(moved / size.clamp(min=1e-30))
    return torch.stack(noise, 1)


def _status_and_norms(
    attack: Attack,
    inputs: torch.Tensor,
    before: Measurement,
    after: Measurement,
    truth: torch.Tensor,
    change: torch.Tensor | None,
    eps: float | None,
) -> tuple[NDArray[np.str_], Columns]:
    """Status and norms: of e on the measurement, or of the change of the image."""
    threat = attack.threat
    good = np.ones(len(inputs), bool)
    if threat.domain == "acquisition":  # another mask or noise of the same object: nothing was perturbed
        sizes = {name: np.zeros(len(inputs)) for name in norms(truth, truth)}
        return np.where(finite(after.y), "ok", "nan"), sizes
    sizes = norms(before.y, after.y)
    good &= _same(before.mask, after.mask)
    if before.maps is not None and after.maps is not None:
        good &= _same(torch.view_as_real(before.maps), torch.view_as_real(after.maps))
    good &= norms(after.sampled(after.y), after.y)["linf"] == 0
    scale = length(before.y).cpu().numpy()
    if threat.domain == "image":
        if change is None:
            raise AttackError(f"attack {attack.name!r} perturbs the image: it must return it as params['change']")
        with torch.no_grad():
            implied = unpack(inputs).y + unpack(inputs).physics().A(change)
        good &= norms(implied, after.y)["l2"] <= SAME * np.maximum(scale, 1e-30)
        sizes, scale = norms(torch.zeros_like(change), change), length(truth).cpu().numpy()
    if threat.kind == "fixed":
        if eps is None or threat.norm == "none":
            raise AttackError(f"attack {attack.name!r} has a fixed budget: it cannot be verified without eps and norm")
        share = sizes[threat.norm] / np.maximum(scale, 1e-30)
        good &= within_budget(share, eps, threat.norm, 1)  # rounding of y is a share of y
    return np.where(finite(after.y), np.where(good, "ok", "out_of_budget"), "nan"), sizes


def _same(a: torch.Tensor, b: torch.Tensor) -> NDArray[np.bool_]:
    return np.asarray((a == b).flatten(1).all(1).cpu().numpy())


def _detail(
    out: torch.Tensor, before: torch.Tensor, bare: torch.Tensor, truth: torch.Tensor, d: torch.Tensor
) -> Columns:
    """How much of a detail d an output shows: <f - f(y), d> / ||d||^2, 1 where it is recovered whole."""
    power = d.double().square().flatten(1).sum(1).clamp(min=1e-30)

    def shown(difference: torch.Tensor) -> NDArray[Any]:
        return ((difference.double() * d.double()).flatten(1).sum(1) / power).cpu().numpy()

    return {
        "contrast": shown(out - bare),
        "contrast_before": shown(before - bare),
        "contrast_absent": shown(bare - truth),
        "local_ssim": _local_ssim(out, truth + d, d),
    }


def _local_ssim(out: torch.Tensor, truth: torch.Tensor, d: torch.Tensor) -> NDArray[np.float64]:
    """(N,) mean of the SSIM map of magnitudes over the pixels where a detail stands (|d| above 10 % of its largest)."""
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    ours, theirs = magnitude(out), magnitude(truth)
    peak = theirs.flatten(1).amax(1).clamp(min=1e-30).view(-1, 1, 1, 1)
    _, whole = ssim(ours / peak, theirs / peak, data_range=1.0, reduction="none", return_full_image=True)
    where = magnitude(d)
    where = (where > 0.1 * where.flatten(1).amax(1).view(-1, 1, 1, 1)).double()
    total = (whole.double() * where).flatten(1).sum(1) / where.flatten(1).sum(1).clamp(min=1)
    similarity: NDArray[np.float64] = total.cpu().numpy()
    return similarity
