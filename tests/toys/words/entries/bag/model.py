"""A bag of words: the logits are sums of what each token weighs. Its weights are made here, not learned."""

import torch
from torch import nn

NOTHING, FILLERS, TOPICS, EACH = 2, 13, 3, 6  # <pad> and <unknown> weigh nothing; then fillers, then six words a topic


class Bag(nn.Module):
    """int64 (N, L) to logits (N, K)."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = nn.Embedding.from_pretrained(weights)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.weights(tokens).sum(1)


def build(seed: int = 0, noise: float = 0.2) -> nn.Module:
    """Words of a topic speak for it, more or less; every plain word also says a little at random."""
    words = NOTHING + FILLERS + TOPICS * EACH
    weights = noise * torch.randn(words, TOPICS, generator=torch.Generator().manual_seed(seed))
    for topic in range(TOPICS):
        first = NOTHING + FILLERS + topic * EACH
        weights[first : first + EACH, topic] += torch.linspace(0.4, 2.4, EACH)
    weights[:NOTHING] = 0
    return Bag(weights)
