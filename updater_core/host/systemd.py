"""Messages to the service manager that started the daemon: ready, reloading, stopping, alive, busy with what.

The protocol is one datagram of `NAME=value` lines to the socket that NOTIFY_SOCKET names (man 3 sd_notify);
the watchdog is that of man 3 sd_watchdog_enabled. Without a manager that asks for it, nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Mapping

_MICROSECONDS = 1_000_000
_BEATS_PER_INTERVAL = 2  # "every half of the time", as man 3 sd_watchdog_enabled asks
# while stopping, each sign of life buys time; a manager's own limit may be short
_LONGEST_PAUSE_SECONDS = 10.0
_ABSTRACT = "@"


class Manager:
    """The service manager of this process, if it has one.

    Alive means that the work makes progress: `beat` is called by the main thread while it waits, and by
    whatever it waits for, each time that answers. No thread of its own calls it, so a main thread that hangs
    goes silent; and it is not called while one of the threads that update a project hangs
    (`clock.SystemClock.beat`).
    """

    def __init__(self, environment: Mapping[str, str], process_id: int | None = None) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._asked_seconds = _watchdog_seconds(
            environment, os.getpid() if process_id is None else process_id
        )
        self._watchdog_seconds = self._asked_seconds
        self._next_beat = 0.0
        self._is_stopping = False
        self._remark = ""

    @property
    def watchdog_seconds(self) -> float | None:
        """Return how long the work may be silent; None if nobody listens for it."""
        return self._watchdog_seconds

    @property
    def beat_seconds(self) -> float | None:
        """Return the longest time between two calls of `beat`; None if nobody listens for it."""
        return self._watchdog_seconds / _BEATS_PER_INTERVAL if self._watchdog_seconds else None

    def allow(self, longer_seconds: float) -> None:
        """Let a step be silent for this much longer than the unit's WatchdogSec says (0: as it says)."""
        if self._asked_seconds:
            self._watchdog_seconds = self._asked_seconds + longer_seconds
            self._send(f"WATCHDOG_USEC={_micro(self._watchdog_seconds)}")

    def ready(self) -> None:
        """Say that the start, or a reload, is over."""
        self._send("READY=1")

    def reloading(self, monotonic_seconds: float) -> None:
        """Say that a reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={_micro(monotonic_seconds)}")

    def stopping(self) -> None:
        """Say once that the end begins, however often this is called."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self._next_beat = 0.0
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in one line what is going on, for `systemctl status`."""
        whole = f"{self._remark}; {text}" if self._remark else text
        self._send("STATUS=" + " ".join(whole.split()))

    def remark(self, text: str) -> None:
        """Say something in front of every status from now on; nothing any more if `text` is empty."""
        self._remark = text

    def beat(self, now: float) -> None:
        """Say that the work makes progress; `now` is monotonic. Not sent more often than is of use.

        While stopping, this also extends the time that the manager grants: a running update comes to its end.
        """
        if now < self._next_beat or not self._address:
            return
        pause = self.beat_seconds or _LONGEST_PAUSE_SECONDS
        self._next_beat = now + min(pause / 2, _LONGEST_PAUSE_SECONDS)
        more = f"\nEXTEND_TIMEOUT_USEC={_micro(pause * _BEATS_PER_INTERVAL)}" if self._is_stopping else ""
        if self._watchdog_seconds or more:
            self._send(("WATCHDOG=1" if self._watchdog_seconds else "") + more)

    def wait_slice(self, seconds: float) -> float:
        """Return how long to wait at once, of a longer wait, so that the beats come in time."""
        return seconds if self.beat_seconds is None else min(seconds, self.beat_seconds / 2)

    def _send(self, text: str) -> None:
        """Send a datagram. A manager that does not listen (restarting, gone) is no failure of ours."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith(_ABSTRACT) else self._address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to,
        ):
            to.settimeout(1.0)
            to.sendto(text.strip().encode(), address)


def is_main_thread() -> bool:
    """Return whether this is the thread whose waits count as signs of life."""
    return threading.current_thread() is threading.main_thread()


def _watchdog_seconds(environment: Mapping[str, str], process_id: int) -> float | None:
    """Return the interval that the unit asks for; None if there is none, or it is for another process."""
    try:
        seconds = int(environment["WATCHDOG_USEC"]) / _MICROSECONDS
        is_ours = int(environment.get("WATCHDOG_PID", process_id)) == process_id
    except (KeyError, ValueError):
        return None
    return seconds if seconds > 0 and is_ours else None


def _micro(seconds: float) -> int:
    return int(seconds * _MICROSECONDS)
