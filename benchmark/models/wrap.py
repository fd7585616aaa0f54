"""The model as every attack, explainer and metric sees it: of images, in [0, 1] on the suite's grid to logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

from benchmark.errors import EntryError
from benchmark.models.outputs import Unwrap, taken

LUMINANCE = (0.299, 0.587, 0.114)


class Geometry(nn.Module):
    """The part of preprocessing that changes shape: luminance, resize (antialiased), repeat.

    Args:
        input_shape: (C, H, W) that the network takes.
        grey: average colour images to luminance first (ITU-R BT.601).
        interpolation: ``"bilinear"``, ``"bicubic"`` (cut to [0, 1], which it overshoots) or ``"nearest"``.
    """

    luminance: torch.Tensor

    def __init__(self, input_shape: Sequence[int], grey: bool, interpolation: str = "bilinear") -> None:
        super().__init__()
        self.interpolation = interpolation
        self.channels, self.size, self.grey = input_shape[0], tuple(input_shape[1:]), grey
        self.register_buffer("luminance", torch.tensor(LUMINANCE).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C', H', W') to (N, C, H, W) of the network."""
        if x.shape[1] == 3 and (self.grey or self.channels == 1):
            if not self.grey:
                raise EntryError(
                    "the suite's images have 3 channels and the network takes 1:"
                    " set `grey = true` under [preprocessing], or `channels = 1` in the suite's [dataset]"
                )
            x = (x * self.luminance).sum(1, keepdim=True)
        if tuple(x.shape[2:]) != self.size:
            x = self.resized(x)
        if x.shape[1] == 1 and self.channels > 1:
            x = x.expand(-1, self.channels, -1, -1)
        if x.shape[1] != self.channels:
            raise EntryError(f"the network takes {self.channels} channels, the suite's images have {x.shape[1]}")
        return x

    def resized(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) at the network's height and width."""
        if self.interpolation == "nearest":
            return F.interpolate(x, size=self.size, mode="nearest-exact")
        x = F.interpolate(x, size=self.size, mode=self.interpolation, antialias=True, align_corners=False)
        return x.clamp(0, 1) if self.interpolation == "bicubic" else x


class Normalise(nn.Module):
    """(x - mean) / std per channel."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape as ``x``."""
        return (x - self.mean) / self.std


class _Pair(nn.Linear):
    """The fixed map z to [-z/2, z/2]; a linear layer to every library, and resetting it (MPRT) keeps it fixed."""

    def reset_parameters(self) -> None:
        """Set the weights: they are no parameters of the network."""
        with torch.no_grad():
            self.weight.copy_(torch.tensor([[-0.5], [0.5]]))


class TwoLogits(nn.Module):
    """One logit z to the pair [-z/2, z/2]: its softmax is [1 - sigmoid(z), sigmoid(z)].

    A linear layer without bias, so that LRP rules and canonizers treat it as one ([0, z] would give class 0 no
    relevance at all).
    """

    def __init__(self) -> None:
        super().__init__()
        self.pair = _Pair(1, 2, bias=False)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """(N,) or (N, 1) to (N, 2)."""
        pair: torch.Tensor = self.pair(z.reshape(len(z), 1))
        return pair


class Reorder(nn.Module):
    """Logits (N, K) of a network in another order: ``order[k]`` is the output that class ``k`` is read from.

    Indexing alone: relevance and gradients pass exactly, and there is no weight to be reset or explained.
    """

    order: torch.Tensor

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("order", torch.tensor(list(order), dtype=torch.int64), persistent=False)

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """(N, K') to (N, K)."""
        return logits[:, self.order]


class Precision(nn.Module):
    """A network of another floating-point type, run as it is: inputs are cast to its type, outputs to float32."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network, dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 to float32."""
        output: torch.Tensor = self.network(x.to(self.dtype)).float()
        return output


def in_float32(network: nn.Module, *, cast: bool = True) -> tuple[nn.Module, str]:
    """A network that takes and returns float32, and what was done for that, in words; empty where nothing was.

    Args:
        network: of any floating-point type; is changed in place.
        cast: its parameters and buffers are cast to float32; else it is run as it is, between casts.
    """
    tensors = [tensor for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()]
    other = sorted({str(t.dtype).removeprefix("torch.") for t in tensors if t.dtype != torch.float32})
    if not other:
        return network, ""
    if cast:
        return network.float(), f"cast from {', '.join(other)} to float32"
    words = f"run as it is, in {', '.join(other)}: inputs are cast, outputs are float32"
    return Precision(network, tensors[0].dtype), words


class Model(nn.Module):
    """A network with its preprocessing inside, always called on the suite's grid.

    ``forward`` is ``core(normalise(geometry(x)))``. ``core`` is the bare network (and, for one-logit networks, the
    pair of logits behind it): explainers that must start at the normalised input (LRP) use the three parts.

    Args:
        network: the bare module.
        input_shape: (C, H, W) the network takes; None: whatever comes.
        mean, std: per channel, in input units of [0, 1].
        grey, interpolation: see :class:`Geometry`.
        one_logit: the network returns one logit of class 1, shape (N,) or (N, 1).
        gradcam_layer: dotted name of a module inside the network, or "".
        gradcam_layout: how its output lies (``EntrySpec.gradcam_layout``), or "".

    Attributes:
        counter: forward and backward calls, counted in samples.
        precision: what was done with a network of another floating-point type, in words.
        stored: as which other type the weights are stored, in words.
        unwrap: takes the output out of what the network returns; None: it returns a tensor.
    """

    precision: str = ""
    stored: str = ""
    unwrap: Unwrap | None = None

    def __init__(
        self,
        network: nn.Module,
        *,
        input_shape: Sequence[int] | None = None,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        grey: bool = False,
        interpolation: str = "bilinear",
        one_logit: bool = False,
        gradcam_layer: str = "",
        gradcam_layout: str = "",
    ) -> None:
        super().__init__()
        self.network = network
        self.geometry: nn.Module = nn.Identity()
        if input_shape is not None:
            self.geometry = Geometry(input_shape, grey, interpolation)
        self.normalise: nn.Module = Normalise(mean, std) if len(mean) else nn.Identity()
        self.core: nn.Module = nn.Sequential(network, TwoLogits()) if one_logit else network
        self.one_logit = one_logit
        self.gradcam_layer, self.gradcam_layout = gradcam_layer, gradcam_layout
        self.counter = Counter()
        self.eval()
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs of the task's kind to what it asks for: of images in [0, 1], (N, C, H, W), logits (N, K)."""
        return self.counted(self.core(self.prepared(x)))

    def reordered(self, order: Sequence[int]) -> Model:
        """This model with its outputs in another order: class ``k`` is read from output ``order[k]``.

        Raises:
            EntryError: the network gives fewer outputs (when it is called).
        """
        (own,) = self.__dict__.setdefault("_own_core", (self.core,))  # a tuple: not registered twice as a module
        self.core = nn.Sequential(own, Reorder(order)).eval().to(self.device)
        return self

    def surrogate(self, x: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        """What attacks differentiate near ``x``: the model itself, where it is no method that iterates."""
        return self

    def counted(self, output: torch.Tensor) -> torch.Tensor:
        """Count a forward of each sample in an output, and its backward when there is one.

        Raises:
            EntryError: it is no tensor.
        """
        if not isinstance(output, torch.Tensor):
            taken(output)  # says what came, where it cannot be told which part of it is the output
            kind = type(output).__name__
            raise EntryError(f"the network returned a {kind}, expected a tensor: return the logits alone from forward")
        self.counter.forwards += len(output)
        if output.requires_grad:
            output.register_hook(self.counter.backward)  # type: ignore[no-untyped-call]
        return output

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done so that the network runs as every other, in words; of its output once it was called."""
        own = [str(note) for note in getattr(self.network, "notes", ()) or ()]
        return tuple(note for note in (self.precision, *own, self.unwrap.words if self.unwrap else "") if note)

    @property
    def blocked(self) -> tuple[str, ...]:
        """Operators that the input's values pass through and that have no gradient; empty: there is one."""
        return tuple(getattr(self.network, "blocked", ()) or ())

    @property
    def device(self) -> torch.device:
        """Where the parameters (else the buffers, else the CPU) are."""
        for tensor in [*self.parameters(), *self.buffers()]:
            return tensor.device
        return torch.device("cpu")

    def prepared(self, x: torch.Tensor) -> torch.Tensor:
        """The normalised input that ``core`` sees: never ``x`` itself, which a network may write into."""
        prepared: torch.Tensor = self.normalise(self.geometry(x))
        return prepared.clone() if prepared is x else prepared


class Counter:
    """Forward and backward calls, in samples."""

    def __init__(self) -> None:
        self.forwards = 0
        self.backwards = 0

    def backward(self, gradient: torch.Tensor) -> None:
        """Hook on the logits: one more backward for each sample in the gradient."""
        self.backwards += len(gradient)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Calls inside the block are not counted: they are not the attack's."""
        forwards, backwards = self.forwards, self.backwards
        try:
            yield
        finally:
            self.forwards, self.backwards = forwards, backwards

    @contextmanager
    def counting(self) -> Iterator[Counter]:
        """Yields a counter that, after the block, holds what the block used."""
        used, forwards, backwards = Counter(), self.forwards, self.backwards
        yield used
        used.forwards, used.backwards = self.forwards - forwards, self.backwards - backwards
