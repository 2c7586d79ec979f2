"""A clock that stands still until it is set, or asked to wait."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class SetClock:
    """A `protocols.Clock`. `waits` are the pauses asked for; each one passes at once."""

    def __init__(self, now: datetime = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)) -> None:
        self._start = now
        self._passed = 0.0
        self._lock = threading.Lock()
        self.waits: list[float] = []
        self.stopped = False

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return 1000.0 + self._passed

    def wait(self, seconds: float) -> bool:
        with self._lock:
            self.waits.append(seconds)
            self._passed += 0.0 if self.stopped else seconds
        return self.stopped

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._passed += seconds
