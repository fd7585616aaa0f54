"""Explainers, one file a library or family."""
