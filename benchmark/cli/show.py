"""``assay show``: the resolved suite."""

from __future__ import annotations

from benchmark.cli.options import SuiteName


def show(suite: SuiteName) -> None:
    """Print a suite with every default filled in, as JSON."""
    from rich.console import Console

    from benchmark.spec.suites import load_suite

    text = load_suite(suite).model_dump_json(indent=2)
    Console(soft_wrap=True).print(text, markup=False, highlight=False)
