"""The demo's visitor: asks one address all the time, and remembers what it saw and how long it waited."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

_LOOK_EVERY_SECONDS = 0.02


@dataclass(slots=True)
class Stretch:
    """A time during which every answer was the same."""

    answer: str
    first: float
    last: float


class Visitor:
    """Asks one address fifty times a second, in the background, and remembers the answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stretches: list[Stretch] = []
        self._longest_gap = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._visit, daemon=True)

    def start(self) -> None:
        """Begin to ask, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(3)

    def begin_anew(self) -> None:
        """Forget all but the last answer, from which the next gap is counted."""
        with self._lock:
            self._longest_gap = 0.0
            self._stretches = [Stretch(s.answer, s.last, s.last) for s in self._stretches[-1:]]

    def stretches(self) -> list[Stretch]:
        """Return what was answered since `begin_anew`, one entry for each change."""
        with self._lock:
            return [Stretch(s.answer, s.first, s.last) for s in self._stretches]

    def longest_gap(self) -> float:
        """Seconds between an answer and the next one, at most; also the gap that is still open."""
        with self._lock:
            last = self._stretches[-1].last if self._stretches else time.monotonic()
            return max(self._longest_gap, time.monotonic() - last)

    def _visit(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_SECONDS):
            answer = ask(self._port)
            if answer is not None:
                self._note(answer, time.monotonic())

    def _note(self, answer: str, now: float) -> None:
        with self._lock:
            last = self._stretches[-1] if self._stretches else None
            if last is not None:
                self._longest_gap = max(self._longest_gap, now - last.last)
            if last is not None and last.answer == answer:
                last.last = now
            else:
                self._stretches.append(Stretch(answer, now, now))


def ask(port: int, path: str = "/", host: str = "127.0.0.1", seconds: float = 1) -> str | None:
    """Visit once, around any proxy: return the page's text, None if there was no good answer."""
    connection = HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read(200).decode(errors="replace").strip()
        return text if answer.status == 200 else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def until(condition: Callable[[], Any], seconds: float) -> bool:
    """Look until the condition holds; False if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
