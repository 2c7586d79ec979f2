"""The choice among 20,000 tags, each policy in a process of its own.

In one process, the peak of one policy would hide that of the next.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import crowd, tag_lists
from benchmarks.measure import peak_megabytes, reset_peak, resident_megabytes, spent
from benchmarks.table import FigureRow
from updater_core.app import cycle
from updater_core.host import malloc
from updater_core.models import Follow, ImageRef, Policy, Tag
from updater_core.policy.observation import History, Observation
from updater_core.policy.select import decide

_TAGS = 20_000
_POLICIES = {
    "follow": Policy(follow=Follow.MAJOR),
    "semver_pattern": Policy(semver_pattern="*"),
    "tag_regex": Policy(tag_regex="(?P<version>.+)"),
    "compare": Policy(tag_regex="(?P<compare>.+)"),
    "tag_pattern": Policy(tag_pattern="*"),
}


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


def by_kind() -> Iterator[FigureRow]:
    """Yield the choice alone among lists of every kind: by `follow`, and by the policy that takes longest.

    Whatever somebody pushes, it stays below half a second.
    """
    malloc.collect_less_often()  # as in the program
    for kind in tag_lists.KINDS:
        current, names = tag_lists.of_kind(kind, _TAGS)
        listed = tuple(map(Tag, names))
        figures = {name: _decided(current, listed, name) for name in _POLICIES}
        slowest = max(figures, key=lambda name: figures[name])
        most = 0.3 if kind in tag_lists.USUAL else 0.5
        yield _row(kind, "follow", figures["follow"], most)
        if slowest != "follow":
            yield _row(kind, slowest, figures[slowest], 0.5)


def _row(kind: str, policy: str, seconds: float, most: float) -> FigureRow:
    what = f"choice among 20,000 {kind}, {policy}, CPU"
    return FigureRow(what, f"{seconds:.2f} s", f"{most:.2f} s", seconds < most)


def _decided(current: str, listed: tuple[Tag, ...], name: str) -> float:
    """Return the CPU seconds of the fastest of three decisions by a policy."""
    observation = Observation(ImageRef("docker.io", "library/app", current), frozenset({"-"}), tags=listed)

    def decide_once() -> None:
        decide(observation, _POLICIES[name], History(), datetime.now(UTC))

    return min(spent(decide_once).cpu_seconds for _ in range(3))


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
