"""Attacks in the scene: stickers on a sign, patches laid on an image."""

from benchmark.attacks.physical.patch import Patch, PatchRandom
from benchmark.attacks.physical.sticker import RP2, StickerRandom

__all__ = ["RP2", "Patch", "PatchRandom", "StickerRandom"]
