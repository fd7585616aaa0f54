"""Reaching a Ray cluster: connecting, how many workers it holds, whether its nodes run the same software."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import UsageError
from benchmark.registry import digest
from benchmark.schedule.provenance import versions
from benchmark.store.encoded import sha256

REACH = 5.0  # seconds to reach an address


@dataclass(frozen=True)
class Wanted:
    """How many actors fit a cluster, the GPUs of each (or a share, or 0), and what people call such a slot."""

    count: int
    gpu: float
    label: str


def import_ray() -> Any:
    """The ray package.

    Raises:
        UsageError: it is not installed.
    """
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")  # nodes' logs go to standard output else, among the tables
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns that it will be so one day
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UsageError("--engine ray needs Ray: pip install 'assay-benchmark[ray]'") from error
    return ray


@contextmanager
def connected(address: str | None, workers: int | None, threads: int) -> Iterator[None]:
    """Ray, connected: to a cluster, which goes on afterwards, or to one of our own, which ends.

    Raises:
        UsageError: Ray is not installed, or there is no cluster that can be used from here.
    """
    ray = import_ray()
    if ray.is_initialized():  # by the Python program that calls us
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    given: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address is None:
        needed = max(os.cpu_count() or 1, (workers or 1) * threads)
        given |= {"address": "local", "num_cpus": needed, "include_dashboard": False}
    else:
        _check(address)
        given |= {"address": address}
    try:
        ray.init(**given)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UsageError(f"--address {address or 'none'}: Ray cannot be used: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check(address: str) -> None:
    """Refuse early what Ray would refuse late, or in other words."""
    if address == "auto":
        return
    if "://" in address:
        raise UsageError(
            f"--address {address}: Ray Client is not supported, since records and needed results would pass through"
            " its proxy; run assay on a node of the cluster with --address auto, or send the command there with"
            " `ray job submit`"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--address {address}: expected auto or HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"--address {address}: no Ray cluster answers there ({error});"
            " start one with `ray start --head`, which prints its address"
        ) from error


def slots_of(resources: Mapping[str, float], device: str, threads: int, shares: int = 1) -> Wanted:
    """How many actors a cluster holds.

    Args:
        resources: ``CPU`` and ``GPU`` of all nodes.
        device: ``auto``, ``cuda`` or ``cpu``.
        threads: CPUs of an actor.
        shares: actors that share a GPU.

    Raises:
        UsageError: another device, or GPUs asked for where there are none.
    """
    if device not in ("auto", "cuda", "cpu"):
        raise UsageError(f"--device {device}: with --engine ray expected auto, cuda or cpu; Ray shares out the GPUs")
    gpus = int(resources.get("GPU", 0))
    if device == "cuda" and not gpus:
        raise UsageError("--device cuda: the Ray cluster has no GPU (ray status shows what it has)")
    if device == "cpu" or not gpus:
        return Wanted(max(1, int(resources.get("CPU", 0)) // threads), 0.0, "CPU on Ray")
    return Wanted(gpus * shares, 1 / shares, "GPU on Ray" if shares == 1 else f"1/{shares} GPU on Ray")


@functools.cache
def software() -> dict[str, str]:
    """Versions of Assay, Python and the libraries, and a digest of Assay's source, whose version says little."""
    package = Path(__file__).parents[1]
    files = {str(file.relative_to(package)): file.read_bytes() for file in sorted(package.rglob("*.py"))}
    source = digest({name: sha256(data) for name, data in files.items() if not name.startswith("_shipped")})
    return {**versions(), "Assay's source": source[:12]}


def unlike(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Differences of versions that could change a result: torch's build (``+cu126``) and Python's patch do not."""
    differences = []
    for name in here:
        mine, theirs = here[name].partition("+")[0], there.get(name, "absent").partition("+")[0]
        if name == "python":
            mine, theirs = mine.rpartition(".")[0], theirs.rpartition(".")[0]
        if mine != theirs:
            differences.append(f"{name} {theirs} there, {mine} here")
    return differences
