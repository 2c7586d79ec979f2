"""The choice among 20,000 tags, each policy in a process of its own.

In one process, the peak of one policy would hide that of the next.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import crowd
from benchmarks.measure import peak_megabytes, reset_peak, resident_megabytes, spent
from benchmarks.table import FigureRow
from updater_core.app import cycle

_TAGS = 20_000


def by_version() -> Iterator[FigureRow]:
    """Yield the figures of choosing the highest version."""
    return _rows("SemVer", semver_pattern="*")


def by_glob() -> Iterator[FigureRow]:
    """Yield the figures of choosing the newest push, by our own clock.

    The registry knows no times of pushes.
    """
    return _rows("glob", tag_pattern="[0-9]*")


def by_regex() -> Iterator[FigureRow]:
    """Yield the figures of choosing the greatest of what a group caught."""
    return _rows("regex", tag_regex=r"(?P<compare>.*)")


def _rows(name: str, **policy: Any) -> Iterator[FigureRow]:
    with tempfile.TemporaryDirectory() as folder, crowd.registry(tags=_TAGS) as registry:
        _warm_up(Path(folder) / "small", **policy)
        context, _ = crowd.context(Path(folder) / "large", registry.host, 1, 1, **policy)
        reset_peak()
        idle = resident_megabytes()
        first = spent(lambda: cycle.run(context)).cpu_seconds
        asked = sum(registry.counts().values())
        cpu = min(spent(lambda: cycle.run(context)).cpu_seconds for _ in range(5))
        peak = peak_megabytes() - idle
    yield FigureRow(f"choice among 20,000 tags by {name}, CPU", f"{cpu:.2f} s", "0.30 s", cpu < 0.3)
    yield FigureRow(f"  the first time ({asked} requests)", f"{first:.2f} s", "", None)
    yield FigureRow("  memory above idle", f"{peak:.0f} MB", "40 MB", peak < 40)


def _warm_up(folder: Path, **policy: Any) -> None:
    """Run one cycle before: what any first cycle costs is not the tags'."""
    with crowd.registry(tags=1) as registry:
        context, _ = crowd.context(folder, registry.host, 1, 1, **policy)
        cycle.run(context)
