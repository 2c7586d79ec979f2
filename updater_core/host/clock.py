"""The one real clock: waits that signals end, and each wait a sign of life to the service manager."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType

from updater_core.host.systemd import Manager, is_main_thread


@dataclass(slots=True)
class SystemClock:
    """The one clock of the program; signals end its waits, and each wait is a sign of life to the service manager."""

    stop: threading.Event = field(default_factory=threading.Event)
    wake: threading.Event = field(default_factory=threading.Event)
    reload: bool = False
    manager: Manager = field(default_factory=lambda: Manager({}))

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        if is_main_thread():
            self.beat()
        return self.stop.wait(seconds)

    def sleep(self, seconds: float) -> None:
        self.beat()
        time.sleep(seconds)

    def beat(self) -> None:
        """The work moves: the main thread waits, or what it waits for has answered."""
        self.manager.beat(time.monotonic())

    def idle(self, seconds: float) -> bool:
        """Wait; True, and then at once, when a signal ends the wait."""
        end, left, is_woken = time.monotonic() + seconds, seconds, False
        while not is_woken:
            self.beat()
            is_woken = self.wake.wait(self.manager.wait_slice(max(left, 0.0)))
            left = end - time.monotonic()
            if left <= 0:
                break
        self.wake.clear()
        return is_woken

    def handle_signals(self) -> None:
        """From now on TERM and INT stop, HUP reloads, USR1 checks now."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        signal.signal(signal.SIGUSR1, self._check)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop.set()
        self.wake.set()
        self.manager.stopping()

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True
        self.wake.set()

    def _check(self, _number: int, _frame: FrameType | None) -> None:
        self.wake.set()
