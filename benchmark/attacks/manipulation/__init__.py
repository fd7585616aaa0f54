"""Attacks on explanations that leave the prediction as it is."""

from benchmark.attacks.manipulation.manipulation import ExplanationManipulation

__all__ = ["ExplanationManipulation"]
