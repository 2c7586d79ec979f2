"""The one real clock: waits that signals end, and each wait a sign of life to the service manager."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from updater_core.host.signals import SignalInbox
from updater_core.host.systemd import Manager, is_main_thread


@dataclass(slots=True)
class SystemClock:
    """The one clock of the program: signals end its waits, and a wait tells the service manager we live."""

    signals: SignalInbox = field(default_factory=SignalInbox)
    manager: Manager = field(default_factory=lambda: Manager({}))
    _workers: dict[int, float] = field(default_factory=dict)  # by thread, when it last gave a sign of life

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait; True, and then at once, if an end is asked for. Any thread may wait."""
        end = time.monotonic() + seconds
        while True:
            if is_main_thread() or threading.get_ident() in self._workers:
                self.beat()
            left = end - time.monotonic()
            if self.signals.is_stopping or left <= 0:
                return self.signals.is_stopping
            self.signals.wait(left)

    def sleep(self, seconds: float) -> None:
        self.beat()
        time.sleep(seconds)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Count this thread, for the length of a block, among those that must show that they are alive.

        Its waits are its signs of life, and the process counts as alive only while all of them give theirs.
        """
        me = threading.get_ident()
        self._workers[me] = time.monotonic()
        try:
            yield
        finally:
            del self._workers[me]

    def beat(self) -> None:
        """Note that the work moves: a thread waits, or what it waits for has answered.

        Nothing is said to the service manager while one of the threads that work on their own has been silent
        for too long.
        """
        now, me = time.monotonic(), threading.get_ident()
        if me in self._workers:
            self._workers[me] = now
            return
        longest = self.manager.watchdog_seconds
        if longest is not None and any(now - last > longest for last in list(self._workers.values())):
            return
        if self.signals.is_stopping:
            self.manager.stopping()
        self.manager.beat(now)

    def idle(self, seconds: float, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Wait, at longest until `is_over`, and return whether a signal asks for anything.

        `is_over` is asked after each `signals.wake`. A signal ends the wait at once. Main thread only.
        """
        end = time.monotonic() + seconds
        while True:
            self.beat()
            left = end - time.monotonic()
            is_asked = self.signals.take_check() or self.signals.has_requests()
            if is_asked or left <= 0 or is_over():
                return is_asked
            self.signals.wait(self.manager.wait_slice(left))
