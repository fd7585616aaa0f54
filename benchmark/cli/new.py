"""``assay new``: a model entry that runs at once."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

_SUITES = {"digits": "digits", "phantoms": "mri"}


def new(
    name: Annotated[str, typer.Argument(help="The entry's name: a-z, 0-9, _ and -.")],
    factory: Annotated[
        str,
        typer.Option("--from", help="Importable factory, such as torchvision.models:resnet18 (default: a model.py)."),
    ] = "",
    kwargs: Annotated[list[str], typer.Option(help="Argument of the factory, KEY=VALUE (may be repeated).")] = [],  # noqa: B006
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 10,
    input_shape: Annotated[str, typer.Option(help="C,H,W that the network takes (1,8,8; with --from 3,32,32).")] = "",
    task: Annotated[str, typer.Option(help="classification, or reconstruction (k-space to image).")] = "classification",
    dataset: Annotated[str, typer.Option(help="Dataset it is made for (digits; for images phantoms).")] = "",
    into: Annotated[Path, typer.Option(help="Folder in which the entry's folder is made.")] = Path("baselines"),
) -> None:
    """Make a model entry that runs at once; its network is untrained until you give it weights."""
    from rich.console import Console

    from benchmark.models.template import Draft, create

    image = task == "reconstruction"
    dataset = dataset or ("phantoms" if image else "digits")
    shape = parse_shape(input_shape or ("2,32,32" if image else "3,32,32" if factory else "1,8,8"))
    entry = create(Draft(name, factory, parse_kwargs(kwargs), classes, shape, dataset, task), into)
    shipped = into == Path("baselines")
    where = "" if shipped else f" --entries {into}"
    lines = [
        f"made {entry.folder}",
        "it is untrained: its random weights are seeded, the same everywhere (see entry.toml for weights of your own)",
        f"next: assay check {name}{where}",
        f"      assay run {_SUITES.get(dataset, 'SUITE')} --models {name}{where}",
    ]
    console = Console(soft_wrap=True)
    for line in lines:
        console.print(line, markup=False, highlight=False)


def parse_shape(text: str) -> tuple[int, ...]:
    """``"3,32,32"`` as a tuple.

    Raises:
        UsageError: not three numbers above 0.
    """
    from benchmark.errors import UsageError

    if not re.fullmatch(r"\s*[1-9]\d*\s*([,x]\s*[1-9]\d*\s*){2}", text):
        raise UsageError(f"--input-shape {text}: expected channels,height,width, such as 3,32,32")
    return tuple(int(part) for part in re.split("[,x]", text))


def parse_kwargs(pairs: list[str]) -> dict[str, Any]:
    """``KEY=VALUE`` options; a value is read as TOML (number, true, [1, 2], "text"), else taken as text.

    Raises:
        UsageError: an option without ``=``.
    """
    from benchmark.errors import UsageError

    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key.isidentifier() and equals):
            raise UsageError(f"--kwargs {pair}: expected KEY=VALUE, such as --kwargs num_classes=10")
        try:
            values[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = value
    return values
