"""Kinds of inputs: what a task asks its models with, and which of them an attack, an explainer or a metric takes.

A kind is a word: ``"image"`` (float32 (N, C, H, W) in [0, 1]), ``"tokens"``, or one of a plugin's
own. A dataset and a task say what they are (``inputs``), the others what they take (``accepts``); the plan holds them
against one another.
"""

from __future__ import annotations

from collections.abc import Sequence

IMAGE = "image"
ANYTHING = ("*",)  # of a plugin that only sees elements, or nothing at all


def takes(accepts: Sequence[str], inputs: str) -> bool:
    """Whether what accepts these kinds can be given that one."""
    return inputs in accepts or "*" in accepts


def kinds(accepts: Sequence[str]) -> str:
    """``'image' or 'measurement'``; ``anything``."""
    return "anything" if "*" in accepts else " or ".join(repr(kind) for kind in accepts)
