"""Classes: a label a sample, logits from the network."""

from benchmark.tasks.classification.classification import Classification

__all__ = ["Classification"]
