"""The one real clock: waits that signals end, and each wait a sign of life to the service manager."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from updater_core.host.signals import SignalInbox
from updater_core.host.systemd import Manager, is_main_thread


@dataclass(slots=True)
class SystemClock:
    """The one clock of the program; signals end its waits, and each wait is a sign of life to the service manager."""

    signals: SignalInbox = field(default_factory=SignalInbox)
    manager: Manager = field(default_factory=lambda: Manager({}))

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait; True, and then at once, if an end is asked for. Any thread may wait."""
        end = time.monotonic() + seconds
        while True:
            if is_main_thread():
                self.beat()
            left = end - time.monotonic()
            if self.signals.is_stopping or left <= 0:
                return self.signals.is_stopping
            self.signals.wait(left)

    def sleep(self, seconds: float) -> None:
        self.beat()
        time.sleep(seconds)

    def beat(self) -> None:
        """The work moves: the main thread waits, or what it waits for has answered."""
        if self.signals.is_stopping:
            self.manager.stopping()
        self.manager.beat(time.monotonic())

    def idle(self, seconds: float) -> bool:
        """Wait; True, and then at once, if a signal asks for anything. Main thread only."""
        end = time.monotonic() + seconds
        while True:
            self.beat()
            left = end - time.monotonic()
            is_asked = self.signals.take_check() or self.signals.has_requests()
            if is_asked or left <= 0:
                return is_asked
            self.signals.wait(self.manager.wait_slice(left))
