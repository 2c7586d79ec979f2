"""Memory of a process that runs cycle after cycle over 200 services."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import crowd
from benchmarks.clouds import clouds
from benchmarks.crowd import Crowd
from benchmarks.measure import resident_megabytes
from benchmarks.table import Row
from updater_core import cycle
from updater_core.world import World

_NOISE_MEGABYTES = 0.5


def plain_rows() -> Iterator[Row]:
    """Without clouds, for 500 cycles."""
    with tempfile.TemporaryDirectory() as folder, crowd.registry() as registry:
        world, _ = crowd.world(Path(folder), registry.host, 200, 100)
        sizes = _sizes(world, (50, 100, 500))
    yield Row("resident after 100 cycles of 200 services", f"{sizes[100]:.1f} MB", "50 MB", sizes[100] < 50)
    growth = sizes[500] - sizes[50]
    budget = f"none (below {_NOISE_MEGABYTES} MB)"
    yield Row("  growth from cycle 50 to 500", f"{growth:+.2f} MB", budget, growth < _NOISE_MEGABYTES)


def cloud_rows() -> Iterator[Row]:
    """50 of them in ECR and 50 at Google."""
    with (
        tempfile.TemporaryDirectory() as folder,
        clouds(Path(folder), 10) as both,
        crowd.registry() as registry,
    ):
        os.environ.update(both.environment)
        world, _ = crowd.world_of(Path(folder) / "w", Crowd(registry.host, 100, 50), both.ecr(50), both.google(50))
        sizes = _sizes(world, (100,))
    yield Row("  with ECR and Google in use", f"{sizes[100]:.1f} MB", "85 MB", sizes[100] < 85)


def _sizes(world: World, cycles: tuple[int, ...]) -> dict[int, float]:
    """The megabytes resident after so many cycles."""
    sizes = {}
    for number in range(1, max(cycles) + 1):
        cycle.run(world)
        if number in cycles:
            sizes[number] = resident_megabytes()
    return sizes
