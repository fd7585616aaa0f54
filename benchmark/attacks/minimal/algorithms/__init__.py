"""The algorithms of minimal-norm attacks on tensors."""
