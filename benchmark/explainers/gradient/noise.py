"""Gradients averaged over random points, drawn per sample (captum's NoiseTunnel draws for the whole batch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from benchmark.explainers.base import Explainer, explainers

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


@explainers.register("smoothgrad")
class SmoothGrad(Explainer):
    """Mean gradient under Gaussian noise on the input (Smilkov et al. 2017, section 3), signed.

    The noise is drawn per sample (captum's NoiseTunnel draws for the batch), so the batch size does not matter.

    Args:
        samples: noisy copies of each input.
        noise: standard deviation in input units (the paper's sigma / (x_max - x_min), inputs being in [0, 1]).
    """

    random: ClassVar[bool] = True
    source: ClassVar[str] = "Smilkov et al. 2017 (own draws)"

    samples: int = Field(default=16, ge=1)
    noise: float = Field(default=0.15, gt=0)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits per input unit."""
        import torch

        from benchmark.explainers.gradient.noisy_copies import noisy_gradients

        total = torch.zeros_like(inputs, requires_grad=False)
        for gradient in noisy_gradients(model, inputs, targets, generator, self.samples, self.noise):
            total += gradient
        return total / self.samples


@explainers.register("smoothgrad-squared")
class SmoothGradSquared(Explainer):
    """Mean squared gradient under Gaussian noise on the input (Hooker et al. 2019, section 4.1); never negative.

    Args:
        samples, noise: as in ``smoothgrad``.
    """

    random: ClassVar[bool] = True
    source: ClassVar[str] = "Hooker et al. 2019 (own draws)"

    samples: int = Field(default=16, ge=1)
    noise: float = Field(default=0.15, gt=0)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in squared logits per squared input unit."""
        import torch

        from benchmark.explainers.gradient.noisy_copies import noisy_gradients

        total = torch.zeros_like(inputs, requires_grad=False)
        for gradient in noisy_gradients(model, inputs, targets, generator, self.samples, self.noise):
            total += gradient.square()
        return total / self.samples


@explainers.register("vargrad")
class VarGrad(Explainer):
    """Variance of the gradient under Gaussian noise on the input (Adebayo et al. 2018, section 2); never negative.

    Args:
        samples, noise: as in ``smoothgrad``; the variance is that of the drawn gradients (divided by ``samples``).
    """

    random: ClassVar[bool] = True
    source: ClassVar[str] = "Adebayo et al. 2018 (own draws)"

    samples: int = Field(default=16, ge=2)
    noise: float = Field(default=0.15, gt=0)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in squared logits per squared input unit."""
        from benchmark.explainers.gradient.noisy_copies import noisy_gradients, variance

        return variance(noisy_gradients(model, inputs, targets, generator, self.samples, self.noise))


@explainers.register("smoothtaylor")
class SmoothTaylor(Explainer):
    """Taylor expansion around random roots near the input (Goh et al. 2021, section III).

    With roots z_r = x + eps_r, eps_r from N(0, noise^2): R(x) = (1 / R) sum_r (x - z_r) * df/dx (z_r). The zero-order
    term is left out, as in the paper. A linear logit gets -w * mean(eps), which vanishes with more roots: what stays
    is curvature.

    Args:
        samples: number R of roots.
        noise: standard deviation of the roots, in input units.
    """

    random: ClassVar[bool] = True
    source: ClassVar[str] = "Goh et al. 2021 (own code)"

    samples: int = Field(default=50, ge=1)
    noise: float = Field(default=0.3, gt=0)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits."""
        import torch

        from benchmark.explainers.captum.gradients import target_gradient

        total = torch.zeros_like(inputs, requires_grad=False)
        for _ in range(self.samples):
            away = self.noise * generator.normal(inputs.shape[1:]).to(inputs.device)
            total -= away * target_gradient(model, inputs + away, targets)
        return total / self.samples


@explainers.register("gradient-shap")
class GradientShap(Explainer):
    """Expected gradients over references and points on the way from them (Erion et al. 2021, eq. 3).

    Each draw takes a reference b, a noisy input x' = x + N(0, noise^2) and alpha from U(0, 1), and adds
    (x' - b) * df/dx (b + alpha (x' - b)). The references are flat images; all is drawn per sample.

    Args:
        samples: number of draws.
        noise: standard deviation of the noise on the input, in input units.
        baselines: values of the reference images, in input units.
    """

    random: ClassVar[bool] = True
    source: ClassVar[str] = "Erion et al. 2021 (own draws, as captum's GradientShap)"

    samples: int = Field(default=32, ge=1)
    noise: float = Field(default=0.0, ge=0)
    baselines: tuple[float, ...] = Field(default=(0.0,), min_length=1)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits; on average sums to the logit less its mean over the references."""
        import torch

        from benchmark.explainers.captum.gradients import target_gradient

        known = torch.tensor(self.baselines, dtype=inputs.dtype)
        total = torch.zeros_like(inputs, requires_grad=False)
        for _ in range(self.samples):
            chosen = known[generator.integers((1,), 0, len(known))[:, 0]]
            alpha = generator.uniform((1,)).view(-1, 1, 1, 1).to(inputs.device)
            noisy = inputs.detach()
            if self.noise:
                noisy = noisy + self.noise * generator.normal(inputs.shape[1:]).to(inputs.device)
            reference = chosen.view(-1, 1, 1, 1).to(inputs.device)
            total += (noisy - reference) * target_gradient(model, reference + alpha * (noisy - reference), targets)
        return total / self.samples
