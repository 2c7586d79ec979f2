"""One program run to its end in a process group of its own, which a time-out ends whole.

A small shell stands above it and holds a pipe whose other end only the updater has: an updater that is
killed,
however suddenly, takes the program with it. A hook that outlived its updater would run beside the one that
the next start runs.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

SUPERVISOR = """\
exec 3<&0 </dev/null
{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 &
watch=$!
"$@" 3<&-
status=$?
kill -KILL "$watch" 2>/dev/null
exit "$status"
"""
# The program keeps the pipe as its standard input: `docker exec -i` hands its end on into the container.
_SUPERVISOR_WITH_INPUT = SUPERVISOR.replace(" </dev/null\n", "\n").replace('"$@" 3<&-', '"$@" <&3 3<&-')
_TICK_SECONDS = 0.1
_GRACE_SECONDS = 5.0  # from the polite signal to the one that nobody can ignore
_CHUNK_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Invocation:
    """What is run: its whole environment, the folder it starts in, its time, and how much output is kept.

    `kept_bytes` are kept of the end of what it writes. `keeps_input`: its standard input stays open for as
    long
    as we live.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    timeout_seconds: float
    kept_bytes: int = 4096
    keeps_input: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: `code` as shells count (negative: by that signal), None if we ended it."""

    code: int | None
    output: str


def run(invocation: Invocation, is_over: Callable[[], bool]) -> Ended:
    """Run a program to its end, or end it after its time, or as soon as `is_over` says so.

    `is_over` is asked all the time, and may as well report that the work moves. Raises OSError if the program
    cannot be started: its folder, above all.
    """
    script = _SUPERVISOR_WITH_INPUT if invocation.keeps_input else SUPERVISOR
    reading, writing = os.pipe()
    try:
        child = subprocess.Popen(
            ["/bin/sh", "-c", script, "hook", *invocation.argv],
            stdin=reading,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=invocation.folder,
            env=dict(invocation.environment),
            start_new_session=True,
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    try:
        return _followed(child, invocation, is_over)
    finally:
        _signal_group(child, signal.SIGKILL)  # what it left behind in its group, too
        child.wait()
        os.close(writing)


def _followed(child: subprocess.Popen[bytes], invocation: Invocation, is_over: Callable[[], bool]) -> Ended:
    assert child.stdout is not None
    tail = _Tail(child.stdout, invocation.kept_bytes)
    end = time.monotonic() + invocation.timeout_seconds
    while child.poll() is None:
        tail.read(_TICK_SECONDS)
        if is_over() or time.monotonic() > end:
            _end(child, tail)
            return Ended(None, tail.close())
    return Ended(child.returncode, tail.close())


def _end(child: subprocess.Popen[bytes], tail: _Tail) -> None:
    """Ask the whole group to end, and end it if it does not."""
    _signal_group(child, signal.SIGTERM)
    end = time.monotonic() + _GRACE_SECONDS
    while child.poll() is None and time.monotonic() < end:
        tail.read(_TICK_SECONDS)
    _signal_group(child, signal.SIGKILL)
    child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


class _Tail:
    """The end of what comes out of a pipe.

    Something that was left in the background may hold the pipe open for ever, so its end is not waited for.
    """

    def __init__(self, pipe: IO[bytes], kept_bytes: int) -> None:
        self._pipe, self._kept = pipe, kept_bytes
        self._data = bytearray()
        self._selector = selectors.DefaultSelector()
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_READ)

    def read(self, seconds: float) -> None:
        """Wait as long for something, and take what is there."""
        if not self._selector.get_map():
            time.sleep(seconds)
        elif self._selector.select(seconds):
            self._take()

    def close(self) -> str:
        """Return the end of all that was written, as text."""
        while self._selector.get_map() and self._selector.select(0):
            self._take()
        self._selector.close()
        self._pipe.close()
        return self._data.decode("utf-8", "replace")

    def _take(self) -> None:
        data = os.read(self._pipe.fileno(), _CHUNK_BYTES)
        if not data:
            self._selector.unregister(self._pipe)
        self._data += data
        del self._data[: -self._kept]
