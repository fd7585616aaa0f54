"""``assay train``: make an entry's weights from scratch by its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import Data, Entries, Include


def train(
    name: Annotated[str, typer.Argument(help="The entry's name.")],
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's seed.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda:0.")] = "cpu",
    weights: Annotated[
        Path | None, typer.Option("--weights", help="File to write (default: where entry.toml says; replaced).")
    ] = None,
    entries: Entries = [],  # noqa: B006
    data: Data = [],  # noqa: B006
    include: Include = [],  # noqa: B006
) -> None:
    """Train an entry from scratch by its recipe, write its weights, and judge them on the test split."""
    from rich.console import Console

    from benchmark.errors import UsageError
    from benchmark.models.entries import load_entry
    from benchmark.models.training import train_entry
    from benchmark.registry import include as include_files
    from benchmark.spec.suites import parse_pairs

    include_files(include)
    console = Console(soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    entry = load_entry(name, entries)
    source = entry.spec.weights
    elsewhere = source and (source.path or source.url or source.package or source.hub)
    if weights is None and elsewhere:
        raise UsageError(f"entry {name!r} takes its weights from {elsewhere}: name a file to write with --weights")
    path = weights or entry.weights_path()
    if path is None:
        raise UsageError(f"entry {name!r} has no [recipe] in {entry.folder / 'entry.toml'}: nothing to train by")
    trained = train_entry(entry, path, seed=seed, device=device, progress=say, data=parse_pairs(data, "--data"))
    for line in trained.judgement.lines():
        say(line)
    say(f"weights: {trained.path} ({trained.path.stat().st_size:,} bytes, sha256 {trained.sha256})")
    if source is not None and source.sha256 and source.sha256 != trained.sha256 and weights is None:
        say(f'entry.toml pins other weights: set sha256 = "{trained.sha256}" under [weights]')
