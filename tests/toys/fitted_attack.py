"""A toy attack that proves the seams, for ``--include``: a perturbation fitted on training samples, and a threat
without a norm that is judged by replaying its parameters."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks


@attacks.register("toy-universal")
class ToyUniversal(Attack):
    """One perturbation for all inputs: the sign of the mean loss gradient over the training samples."""

    fits: ClassVar[bool] = True

    @property
    def threat(self) -> Threat:
        return Threat(norm="linf", kind="fixed", knowledge="transfer")

    def fit(self, model: Any, inputs: Any, labels: Any, *, eps: float | None, generator: Any) -> dict[str, np.ndarray]:
        import torch

        points = inputs.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(model(points), labels.long())
        return {"delta": eps * torch.autograd.grad(loss, points)[0].mean(0).sign().cpu().numpy()}

    def run(self, model: Any, inputs: Any, labels: Any, *, eps: Any, generator: Any, fitted: Any = None) -> Perturbed:
        import torch

        delta = torch.as_tensor(fitted["delta"], dtype=inputs.dtype, device=inputs.device)
        return Perturbed((inputs + delta).clamp(0, 1))


@attacks.register("toy-roll")
class ToyRoll(Attack):
    """Rolls an image by one pixel in the direction that its random stream names; ``lie`` returns another roll."""

    random: ClassVar[bool] = True
    lie: bool = False

    @property
    def threat(self) -> Threat:
        return Threat(norm="none", kind="none", knowledge="none")

    def run(self, model: Any, inputs: Any, labels: Any, *, eps: Any, generator: Any, fitted: Any = None) -> Perturbed:
        shift = generator.integers((1,), 0, 2)[:, 0].numpy() * 2 - 1
        return Perturbed(self.replay(inputs, {"shift": -shift if self.lie else shift}), {"shift": shift})

    def replay(self, inputs: Any, params: Any) -> Any:
        import torch

        pairs = zip(inputs, params["shift"], strict=True)
        return torch.stack([torch.roll(image, int(shift), dims=-1) for image, shift in pairs])

    def admissible(self, params: Any, eps: Any) -> np.ndarray:
        return np.abs(params["shift"]) <= 1
