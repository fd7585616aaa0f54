"""Datasets, one file a family."""
