"""A cycle over a swarm's services with nothing to do: requests to manager and registries, and its CPU."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks import crowd
from benchmarks.measure import spent
from benchmarks.swarm_crowd import RecordedManager, managed
from benchmarks.table import FigureRow, counted
from updater_core.app import cycle

_REFERENCES = 300


def rows() -> Iterator[FigureRow]:
    """Yield the figures of 2,000 services on 300 references, and how the CPU grows up to there."""
    manager, asked, seconds = _cycle(2000)
    fits = manager == {"services": 1}
    yield FigureRow(
        "manager, 2,000 Swarm services on 300 references", counted(manager), "1 list of services", fits
    )
    yield FigureRow("  registry", counted(asked), "300 HEADs", asked == {"manifest_head": _REFERENCES})
    half = _cycle(1000)[2]
    ratio = seconds / half
    figure = f"x {ratio:.2f} ({half:.2f} to {seconds:.2f} s)"
    yield FigureRow("  CPU, 1,000 to 2,000 services", figure, "x 2.00 (5 % for noise)", ratio <= 2.1)


def _cycle(services: int) -> tuple[Counter[str], Counter[str], float]:
    """Return what a warm cycle asks the manager and the registry for, and the least CPU of five."""
    with tempfile.TemporaryDirectory() as folder, crowd.registry() as registry:
        manager = RecordedManager(registry.host, services, _REFERENCES)
        with managed(Path(folder), manager) as context:
            cycle.run(context)
            manager.counts.clear()
            registry.counts()
            cycle.run(context)
            asked, calls = registry.counts(), manager.counts.copy()
            least = min(spent(lambda: cycle.run(context)).cpu_seconds for _ in range(5))
    return calls, asked, least
