"""Class activation maps."""

from benchmark.explainers.cam.cam import GradCam, GradCamPlusPlus, GuidedGradCam, HiResCam, LayerCam

__all__ = ["GradCam", "GradCamPlusPlus", "GuidedGradCam", "HiResCam", "LayerCam"]
