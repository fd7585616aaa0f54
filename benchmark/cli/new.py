"""``assay new``: a model entry that runs at once."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.cli.options import Include


def new(
    name: Annotated[str, typer.Argument(help="The entry's name: a-z, 0-9, _ and -.")],
    factory: Annotated[
        str,
        typer.Option(
            "--from",
            help="SOURCE:NAME, such as timm:resnet50 (`assay list sources`), or an importable factory, such as"
            " torchvision.models:resnet18 (default: a model.py).",
        ),
    ] = "",
    kwargs: Annotated[list[str], typer.Option(help="Argument of the factory, KEY=VALUE (may be repeated).")] = [],  # noqa: B006
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 10,
    input_shape: Annotated[str, typer.Option(help="C,H,W that the network takes (1,8,8; with --from 3,32,32).")] = "",
    task: Annotated[str, typer.Option(help="What is asked of it: the name of a task.")] = "classification",
    dataset: Annotated[str, typer.Option(help="Dataset it is made for (default: the task's usual one).")] = "",
    into: Annotated[Path, typer.Option(help="Folder in which the entry's folder is made.")] = Path("baselines"),
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Of a source: without its weights, with seeded random numbers.")
    ] = False,
    include: Include = [],  # noqa: B006
) -> None:
    """Make a model entry that runs at once; its network is untrained until you give it weights."""
    from rich.console import Console

    from benchmark.models.kinds import Draft, networks_of
    from benchmark.models.sourced import is_source
    from benchmark.models.template import create
    from benchmark.registry import include as include_files

    include_files(include)
    if factory and is_source(factory):
        from_source(factory, name, into, kwargs=parse_kwargs(kwargs), dataset=dataset, untrained=untrained)
        return
    networks = networks_of(task)
    suite = networks.suite if dataset in ("", networks.dataset) else "SUITE"
    dataset = dataset or networks.dataset
    usual = networks.factory_shape if factory else networks.shape
    shape = parse_shape(input_shape) if input_shape else usual
    entry = create(Draft(name, factory, parse_kwargs(kwargs), classes, shape, dataset, task), into)
    shipped = into == Path("baselines")
    where = "" if shipped else f" --entries {into}"
    lines = [
        f"made {entry.folder}",
        "it is untrained: its random weights are seeded, the same everywhere (see entry.toml for weights of your own)",
        f"next: assay check {name}{where}",
        f"      assay run {suite} --models {name}{where}",
    ]
    console = Console(soft_wrap=True)
    for line in lines:
        console.print(line, markup=False, highlight=False)


def from_source(
    reference: str, name: str, into: Path, *, kwargs: dict[str, Any], dataset: str, untrained: bool
) -> None:
    """Make an entry of a source's network, and say what is known of it and what to do next."""
    from rich.console import Console

    from benchmark.models.sourced import create_from
    from benchmark.spec.suites import suites_of

    made = create_from(reference, name, into, kwargs=kwargs, dataset=dataset, untrained=untrained)
    spec = made.entry.spec
    where = "" if into == Path("baselines") else f" --entries {into}"
    shape = "x".join(str(size) for size in spec.input_shape)
    lines = [f"made {made.entry.folder} from {spec.source}"]
    lines += [f"it takes {shape}, {spec.class_count} classes; licence: {spec.licence or 'the source states none'}"]
    lines += [f"note: {note}" for note in made.found.notes]
    if spec.weights is None:
        lines += ["it is untrained: its random weights are seeded, the same everywhere"]
    lines += [made.missing] if made.missing else []
    suites = suites_of(spec.dataset) or ["SUITE"]
    lines += [f"next: assay check {name}{where}", f"      assay run {suites[0]} --models {name}{where}"]
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
