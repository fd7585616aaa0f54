"""Inputs that mean nothing and are classified with confidence."""

from benchmark.attacks.fooling.fooling import FoolingEvolution, FoolingGradient, FoolingNoise

__all__ = ["FoolingEvolution", "FoolingGradient", "FoolingNoise"]
