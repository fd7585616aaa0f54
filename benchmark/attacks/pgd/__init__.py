"""Projected gradient descent with a fixed step."""

from benchmark.attacks.pgd.pgd import Pgd

__all__ = ["Pgd"]
