"""Datasets that are drawn, so that the evidence is known."""

from benchmark.data.synthetic.stripes import Stripes
from benchmark.data.synthetic.watermark import Watermarked
from benchmark.data.synthetic.xai_tris import XaiTris

__all__ = ["Stripes", "Watermarked", "XaiTris"]
