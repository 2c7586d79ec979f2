"""Time of a cycle with nothing to do, and how it grows with the number of services."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import crowd
from benchmarks.measure import spent
from benchmarks.table import FigureRow
from updater_core.app import cycle

_WALL_BUDGET_SECONDS = 1.3 * (100 / 8 * 0.05) + 0.3


def rows() -> Iterator[FigureRow]:
    """Yield the figures of 200 services on 100 references at 50 ms a request, then of more services."""
    with tempfile.TemporaryDirectory() as folder, crowd.registry(delay_ms=50) as registry:
        context, _ = crowd.context(Path(folder), registry.host, 200, 100)
        cold = spent(lambda: cycle.run(context))
        taken = [spent(lambda: cycle.run(context)) for _ in range(7)]
    wall = sorted(one.wall_seconds for one in taken)[3]
    cpu = sorted(one.cpu_seconds for one in taken)[3]
    what = "wall time, 200 services on 100 references, 50 ms"
    yield FigureRow(what, f"{wall:.2f} s", f"{_WALL_BUDGET_SECONDS:.2f} s", wall <= _WALL_BUDGET_SECONDS)
    yield FigureRow("  the first cycle of a process", f"{cold.wall_seconds:.2f} s", "", None)
    yield FigureRow("  CPU of a warm one", f"{cpu:.2f} s", "0.50 s", cpu < 0.5)
    yield from _growth()


def _growth() -> Iterator[FigureRow]:
    seconds = {services: _least_cpu_seconds(services) for services in (250, 500, 1000, 2000)}
    for small in (250, 500, 1000):
        ratio = seconds[2 * small] / seconds[small]
        figure = f"x {ratio:.2f} ({seconds[small]:.2f} to {seconds[2 * small]:.2f} s)"
        yield FigureRow(
            f"  CPU, {small} to {2 * small} services", figure, "x 2.00 (5 % for noise)", ratio <= 2.1
        )


def _least_cpu_seconds(services: int) -> float:
    with tempfile.TemporaryDirectory() as folder, crowd.registry() as registry:
        context, _ = crowd.context(Path(folder), registry.host, services, services // 2)
        cycle.run(context)
        return min(spent(lambda: cycle.run(context)).cpu_seconds for _ in range(7))
