"""What the updater costs, in one table: `.venv/bin/python -m benchmarks.run` (after scripts/setup).

Each row is measured here and now: counts by a loopback registry that counts by kind, CPU and memory by the operating
system, in a process of its own for each row. Counts and ratios are held against their budgets; plain times are printed
only, for they are this machine's.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import crowd
from updater_core import cycle
from updater_core.world import World

_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Row:
    """One line of the table. `holds` is None where there is no budget to hold."""

    what: str
    figure: str
    budget: str
    holds: bool | None


def requests_rows() -> Iterator[Row]:
    """Requests and engine calls of cycles with nothing to do."""
    with tempfile.TemporaryDirectory() as folder, crowd.registry(token=True) as registry:
        world, engine = crowd.world(Path(folder), registry.host, 40, 10)
        cycle.run(world)
        cold = registry.counts()
        engine.counts.clear()
        cycle.run(world)
        warm, calls = registry.counts(), dict(engine.counts)
    yield Row("requests, 40 services on 10 images, warm", _shown(warm), "10 HEADs", warm == {"manifest_head": 10})
    fits = cold["manifest_head"] == 10 and cold["token"] <= 10 and not cold["manifest_get"]
    yield Row("the same, cold", _shown(cold), "+ challenges, 1 token a repository", fits)
    yield Row("engine calls, warm", _shown(calls), "1 list", calls == {"list": 1})
    with tempfile.TemporaryDirectory() as folder, crowd.registry() as registry:
        world, _ = crowd.world(Path(folder), registry.host, 40, 10, semver_pattern="*")
        cycle.run(world)
        registry.counts()
        cycle.run(world)
        tags = registry.counts()
    yield Row(
        "requests, tag policy, warm", _shown(tags), "+ 1 list a repository", tags == {"manifest_head": 10, "tags": 10}
    )


def wall_rows() -> Iterator[Row]:
    """200 services on 100 references, 50 ms a request, eight side by side."""
    with tempfile.TemporaryDirectory() as folder, crowd.registry(delay_ms=50) as registry:
        world, _ = crowd.world(Path(folder), registry.host, 200, 100)
        cycle.run(world)
        walls, cpus = zip(*(_timed(cycle.run, world) for _ in range(5)), strict=True)
    budget = 1.3 * (100 / 8 * 0.05) + 0.3
    wall = sorted(walls)[2]
    yield Row("wall time, 200 services on 100 references, 50 ms", f"{wall:.2f} s", f"{budget:.2f} s", wall <= budget)
    yield Row("CPU of that cycle", f"{sorted(cpus)[2]:.2f} s", "0.50 s", sorted(cpus)[2] < 0.5)


def scaling_rows() -> Iterator[Row]:
    """CPU of a warm cycle as the number of services doubles."""
    seconds = {}
    for services in (500, 1000, 2000):
        with tempfile.TemporaryDirectory() as folder, crowd.registry() as registry:
            world, _ = crowd.world(Path(folder), registry.host, services, services // 2)
            cycle.run(world)
            seconds[services] = min(_timed(cycle.run, world)[1] for _ in range(3))
    for small, large in ((500, 1000), (1000, 2000)):
        ratio = seconds[large] / seconds[small]
        yield Row(f"CPU, {small} to {large} services", f"x {ratio:.2f} ({seconds[large]:.2f} s)", "x 2.0", ratio <= 2.1)


def memory_rows() -> Iterator[Row]:
    """Resident memory of a process that runs cycle after cycle over 200 services."""
    with tempfile.TemporaryDirectory() as folder, crowd.registry() as registry:
        world, _ = crowd.world(Path(folder), registry.host, 200, 100)
        sizes = {}
        for number in range(1, 301):
            cycle.run(world)
            if number in (50, 100, 300):
                sizes[number] = _resident_bytes() / _MEGABYTE
    yield Row("resident after 100 cycles of 200 services", f"{sizes[100]:.1f} MB", "50 MB", sizes[100] < 50)
    growth = sizes[300] - sizes[50]
    yield Row("growth from cycle 50 to 300", f"{growth:+.2f} MB", "none (below 0.5 MB)", growth < 0.5)


def tags_rows() -> Iterator[Row]:
    """A repository with 20,000 tags."""
    for name, policy in (("SemVer", {"semver_pattern": "*"}), ("regex", {"tag_regex": r"(?P<version>.*)"})):
        with tempfile.TemporaryDirectory() as folder, crowd.registry(tags=20000) as registry:
            world, _ = crowd.world(Path(folder), registry.host, 1, 1, **policy)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            _, cpu = _timed(cycle.run, world)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
        yield Row(f"choice among 20,000 tags by {name}, CPU", f"{cpu:.2f} s", "0.30 s", cpu < 0.3)
        yield Row("  and memory above idle", f"{peak:.0f} MB", "40 MB", peak < 40)


def start_rows() -> Iterator[Row]:
    """What a fresh process costs until it is ready, and what it has loaded by then."""
    code = "import docker_updater, sys, json, resource as r; u = r.getrusage(r.RUSAGE_SELF);"
    code += "print(json.dumps([u.ru_utime + u.ru_stime, sorted(sys.modules)]))"
    root = Path(__file__).resolve().parents[1]
    done = [subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True) for _ in range(5)]
    facts = [json.loads(one.stdout) for one in done]
    cpu = sorted(seconds for seconds, _ in facts)[2]
    heavy = {"boto3", "botocore", "google.auth", "rich", "prometheus_client", "apprise"} & set(facts[0][1])
    yield Row("start until ready, CPU", f"{cpu:.2f} s", "0.60 s", cpu < 0.6)
    yield Row("  loaded before they are used", ", ".join(sorted(heavy)) or "none", "none", not heavy)


SUBJECTS: Mapping[str, Callable[[], Iterator[Row]]] = {
    "requests": requests_rows,
    "wall": wall_rows,
    "scaling": scaling_rows,
    "memory": memory_rows,
    "tags": tags_rows,
    "start": start_rows,
}


def main() -> int:
    """Measure each subject in a process of its own; print the table; 1 where a budget is not kept."""
    if len(sys.argv) == 2:
        print(json.dumps([[r.what, r.figure, r.budget, r.holds] for r in SUBJECTS[sys.argv[1]]()]))
        return 0
    rows = [Row(*fields) for subject in SUBJECTS for fields in _measured(subject)]
    widths = [
        max(len(text) for text in column) for column in zip(*((r.what, r.figure, r.budget) for r in rows), strict=True)
    ]
    for row in rows:
        mark = {True: "kept", False: "NOT KEPT", None: ""}[row.holds]
        cells = (row.what.ljust(widths[0]), row.figure.rjust(widths[1]), row.budget.ljust(widths[2]), mark)
        print("  ".join(cells).rstrip())
    return 0 if all(row.holds is not False for row in rows) else 1


def _measured(subject: str) -> list[Any]:
    argv = [sys.executable, "-m", "benchmarks.run", subject]
    done = subprocess.run(argv, cwd=Path(__file__).resolve().parents[1], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{subject} could not be measured:\n{done.stderr}")
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _timed(act: Callable[[World], object], world: World) -> tuple[float, float]:
    """Wall and CPU seconds of one cycle."""
    wall, cpu = time.perf_counter(), time.process_time()
    act(world)
    return time.perf_counter() - wall, time.process_time() - cpu


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "none"


if __name__ == "__main__":
    sys.exit(main())
