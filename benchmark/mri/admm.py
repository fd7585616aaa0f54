"""min_x 1/2 ||A x - y||^2 + lambda sum |G x| over complex images, by ADMM with exact steps, batched and differentiable.

ADMM (Boyd et al. 2011, doi:10.1561/2200000016) on z = G x, over-relaxed, in the form of Douglas and Rachford: z and the
scaled multiplier u are the shrinkage and the rest of one variable v = z + u, which is all the state. One coil: the mask
and G^H G are both diagonal in k-space, so that x is found exactly with one FFT and one inverse. With coils a second
split on the coil images w = S x keeps that: sum_c |S_c|^2 = 1, so S^H S is the identity, and the data term is diagonal
in the k-space of each coil.

Everything is in units in which max |A^H y| is 1 for each sample: lambda then scales with the data, f(a y) = a f(y).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from benchmark.mri.measurement import ifft, to_complex
from benchmark.mri.priors import Prior

RELAXATION = 1.8  # below 2; needs about half the iterations of 1
COIL_PENALTY = 0.1  # of the split on coil images; 0.03 and 0.3 are slower at 2D and equispaced masks, 4 and 8 coils
EARLY = 20  # iterations at the early penalty, which is fast at first; the late one then converges further
EVERY = 10  # iterations between looks at the residual: each is a wait for the device


@dataclass(frozen=True)
class State:
    """Where the iterations stand.

    Attributes:
        v: z + u, complex (N, K, H, W).
        w: the same of the coil images, complex (N, c, H, W); None for one coil.
        ratio: rho / lambda, to which u is scaled.
    """

    v: torch.Tensor
    w: torch.Tensor | None
    ratio: float

    def part(self, index: torch.Tensor) -> State:
        """The state of some samples."""
        return State(self.v[index], None if self.w is None else self.w[index], self.ratio)


class Problem:
    """A batch of measurements and what is asked of them.

    Args:
        y: k-space (N, 2, H, W), with coils (N, 2, c, H, W); what lies outside the mask is ignored.
        physics: deepinv's ``MRI`` or ``MultiCoilMRI``, whose maps have a sum of squares of 1.
        lam: weight of the prior, relative to max |A^H y|; above 0.
        prior: the penalty.

    Attributes:
        scale: max |A^H y|, (N, 1, 1). Gradients flow through it: it is part of what the reconstruction computes.
    """

    def __init__(self, y: torch.Tensor, physics: Any, lam: float, prior: Prior) -> None:
        self.lam, self.prior = lam, prior
        self.maps: torch.Tensor | None = getattr(physics, "coil_maps", None)
        mask = physics.mask[:, :1].to(y.dtype).expand(len(y), -1, -1, -1)
        kspace = to_complex(y)
        if self.maps is None:
            mask = mask[:, 0]
        else:
            self.maps = self.maps.to(kspace.dtype).expand(len(y), -1, -1, -1)
        images = ifft(kspace * mask)
        combined = self.combine(images)
        self.scale = combined.abs().flatten(1).amax(1).clamp_min(torch.finfo(y.dtype).tiny).view(-1, 1, 1)
        images = images / (self.scale if self.maps is None else self.scale[:, None])
        self.images = images
        self.data = _fft(images)  # in the FFT's order, so that no iteration shifts anything
        self.mask = torch.fft.ifftshift(mask, dim=(-2, -1))
        self.gram = prior.gram(combined)

    def combine(self, images: torch.Tensor) -> torch.Tensor:
        """S^H: coil images (N, c, H, W) to the image (N, H, W); one coil's as it is."""
        return images if self.maps is None else (self.maps.conj() * images).sum(1)

    def part(self, index: torch.Tensor) -> Problem:
        """The same problem for some of the samples."""
        part = Problem.__new__(Problem)
        part.__dict__.update(self.__dict__)
        for name in ("maps", "scale", "images", "data", "mask"):
            value = getattr(self, name)
            setattr(part, name, None if value is None else value[index])
        return part

    def start(self) -> State:
        """From the zero-filled image, u = 0."""
        combined = self.combine(self.images)
        return State(self.prior.apply(combined), None if self.maps is None else self.images, self.prior.ratios[0])

    def shrink(self, state: State, ratio: float) -> tuple[torch.Tensor, torch.Tensor]:
        """z: soft thresholding of v at lambda / rho; u: what that cuts off, scaled to another ratio (rho u stays)."""
        u = state.v * (1 / (state.ratio * self.prior.moduli(state.v))).clamp_max(1)
        return state.v - u, u if ratio == state.ratio else u * (state.ratio / ratio)

    def at(self, state: State, ratio: float) -> State:
        """The same z and multiplier at another ratio."""
        z, u = self.shrink(state, ratio)
        return State(z + u, state.w, ratio)

    def step(self, state: State, ratio: float) -> tuple[torch.Tensor, State]:
        """One iteration at a penalty rho = ratio lambda: the image that belongs to this state, and the next state."""
        rho = self.lam * ratio
        z, u = self.shrink(state, ratio)
        sparse = rho * self.prior.adjoint(z - u)
        if self.maps is None or state.w is None:
            weights = self.mask + rho * self.gram
            # where neither data nor prior say anything (TV, zero frequency not measured) the numerator is 0 too
            x = _ifft((self.data + _fft(sparse)) / torch.where(weights == 0, 1, weights))
            w = None
        else:
            correction = _ifft(self.mask * (self.data - _fft(state.w))) / (1 + COIL_PENALTY)
            coils = COIL_PENALTY * self.combine(state.w + 2 * correction)
            x = _ifft(_fft(coils + sparse) / (COIL_PENALTY + rho * self.gram))
            w = state.w + RELAXATION * (self.maps * x[:, None] - state.w - correction)
        return x, State(z + u + RELAXATION * (self.prior.apply(x) - z), w, ratio)

    def residual(self, before: State, after: State) -> torch.Tensor:
        """(N,) ||G x - z|| / ||z + u||, with coils the larger of it and ||S x - w|| / ||w + u_w||.

        x is stationary given z and u, and u belongs to z; so where G x = z the optimality conditions hold exactly, and
        this stands for both the primal and the dual residual (times rho G^H).
        """
        change = _relative(after.v - before.v, after.v)
        if after.w is not None and before.w is not None:
            change = torch.maximum(change, _relative(after.w - before.w, after.w))
        return change / RELAXATION

    def objective(self, x: torch.Tensor) -> torch.Tensor:
        """(N,) of images (N, H, W) in units of ``scale``."""
        predicted = self.mask * _fft(x if self.maps is None else self.maps * x[:, None])
        misfit = _norm(predicted - self.data)
        return misfit.square() / 2 + self.lam * self.prior.value(x)


def solve(problem: Problem, *, iterations: int, tolerance: float) -> tuple[torch.Tensor, State]:
    """Iterate until every sample's residual is at most ``tolerance``; a sample that is there takes no further part.

    Returns:
        images (N, H, W) in units of ``problem.scale``, and the state, at the prior's late ratio.
    """
    early, late = problem.prior.ratios
    state = problem.start()
    left = torch.arange(len(problem.data), device=problem.data.device)
    ends: list[tuple[torch.Tensor, torch.Tensor, State]] = []
    for count in range(1, iterations + 1):
        x, after = problem.step(state, early if count <= EARLY else late)
        last = count == iterations
        if count % EVERY == 0 or last:
            done = (problem.residual(state, after) <= tolerance) | last
            if last or bool(done.any()):
                ends.append((left[done], x[done], problem.part(done).at(after.part(done), late)))
                if bool(done.all()):
                    break
                left, problem, after = left[~done], problem.part(~done), after.part(~done)
        state = after
    order = torch.cat([index for index, _, _ in ends]).argsort()
    w = [end.w for _, _, end in ends if end.w is not None]
    state = State(torch.cat([end.v for _, _, end in ends]), torch.cat(w) if w else None, late)
    return torch.cat([x for _, x, _ in ends])[order], state.part(order)


def unroll(problem: Problem, state: State, iterations: int) -> torch.Tensor:
    """Images (N, H, W) in units of ``problem.scale`` after so many (at least one) iterations; differentiable.

    From a solution nothing moves, whatever the penalty; it decides how soon the gradient becomes the solution's. A
    falling one is soonest: 30 iterations of TV on phantoms are 2 to 5 % off; at the early penalty 4 to 10 %.
    """
    first, last = problem.prior.unrolled
    for count in range(iterations):
        x, state = problem.step(state, first * (last / first) ** (count / max(1, iterations - 1)))
    return x


def _relative(difference: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """(N,) ratio of l2 norms; 0 / 0 = 0."""
    above, below = (_norm(part) for part in (difference, whole))
    return above / below.clamp_min(torch.finfo(below.dtype).tiny)


def _norm(x: torch.Tensor) -> torch.Tensor:
    parts = torch.view_as_real(x).flatten(1)  # torch's norm of complex numbers is many times slower
    length: torch.Tensor = torch.linalg.vector_norm(parts, dim=1)
    return length


def _fft(x: torch.Tensor) -> torch.Tensor:
    """Unitary and not centred."""
    spectrum: torch.Tensor = torch.fft.fft2(x, norm="ortho")
    return spectrum


def _ifft(x: torch.Tensor) -> torch.Tensor:
    image: torch.Tensor = torch.fft.ifft2(x, norm="ortho")
    return image
