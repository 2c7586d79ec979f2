"""Memory of a process that runs cycle after cycle over 200 services."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker_updater  # noqa: F401 - what the daemon loads is in its memory
from benchmarks import crowd
from benchmarks.clouds import clouds
from benchmarks.crowd import Crowd
from benchmarks.measure import resident_megabytes
from benchmarks.table import FigureRow
from updater_core.app import cycle
from updater_core.app.context import AppContext
from updater_core.host import malloc

_NOISE_MEGABYTES = 0.5  # a page here and there that another order of things has left open
_MOST_NEW_BLOCKS = 0.01


def plain_rows() -> Iterator[FigureRow]:
    """Without clouds, for 500 cycles."""
    with tempfile.TemporaryDirectory() as folder, crowd.registry() as registry:
        context, _ = crowd.context(Path(folder), registry.host, 200, 100)
        sizes = _sizes(context, (50, 100, 500))
    after = sizes[100].megabytes
    yield FigureRow("resident after 100 cycles of 200 services", f"{after:.1f} MB", "50 MB", after < 50)
    growth = sizes[500].megabytes - sizes[50].megabytes
    blocks = sizes[500].blocks / sizes[50].blocks - 1
    is_flat = blocks < _MOST_NEW_BLOCKS and growth < _NOISE_MEGABYTES
    figure = f"{growth:+.2f} MB, {blocks:+.2%} blocks"
    yield FigureRow("  growth from cycle 50 to 500", figure, "none (below 0.5 MB, 1 % of blocks)", is_flat)


def cloud_rows() -> Iterator[FigureRow]:
    """Yield the figures of 50 services in ECR and 50 at Google."""
    with (
        tempfile.TemporaryDirectory() as folder,
        clouds(Path(folder), 10) as both,
        crowd.registry() as registry,
    ):
        os.environ.update(both.environment)
        context, _ = crowd.context_of(
            Path(folder) / "w", Crowd(registry.host, 100, 50), both.ecr(50), both.google(50)
        )
        after = _sizes(context, (100,))[100].megabytes
    yield FigureRow("  with ECR and Google in use", f"{after:.1f} MB", "85 MB", after < 85)


@dataclass(frozen=True, slots=True)
class _Size:
    """What is resident, and the blocks that Python's allocator has given out and not got back."""

    megabytes: float
    blocks: int


def _sizes(context: AppContext, cycles: tuple[int, ...]) -> dict[int, _Size]:
    """Return the size of this process after so many cycles."""
    sizes = {}
    malloc.settle()  # as the daemon does, and gives back what a cycle needed
    for number in range(1, max(cycles) + 1):
        cycle.run(context)
        malloc.give_back()
        if number in cycles:
            sizes[number] = _size()
    return sizes


def _size() -> _Size:
    resident = resident_megabytes()
    gc.collect()
    return _Size(resident, sys.getallocatedblocks())
