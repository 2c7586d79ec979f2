"""Time and memory, by the operating system's accounts."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Spent:
    """What something took: time on the clock, and of the processors."""

    wall_seconds: float
    cpu_seconds: float


def spent(act: Callable[[], object]) -> Spent:
    """Return what `act` takes in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def children_cpu_seconds() -> float:
    """Return the processors' time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def resident_megabytes() -> float:
    """Return the memory that is this process's now."""
    return _status_kilobytes("VmRSS") / 1024


def peak_megabytes() -> float:
    """Return the most memory that was this process's since `reset_peak`."""
    return _status_kilobytes("VmHWM") / 1024


def reset_peak() -> None:
    """Let the peak begin anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def _status_kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
