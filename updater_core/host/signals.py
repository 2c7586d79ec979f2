"""Signals as facts to be asked for: which ones have come, and a wait that ends when one comes.

No lock, no `threading.Event` and no Python function runs while a signal is handled. A handler in Python runs
in the main thread between any two of its steps: one that takes a lock which that thread holds waits for ever,
and under a storm of signals handlers nest until Python's stack is used up. The handler here is a method of a
dictionary written in C, so nothing can interrupt it.

Why no signal is lost. Python's own C handler first marks the signal, then writes its number to the wake-up
pipe (`signal.set_wakeup_fd`). A wait ends as soon as the pipe can be read, also if that was so before the
wait began. If the pipe is full the number is dropped, but a full pipe can be read too, and the main thread
runs the handler of every marked signal before it looks at what has come. The pipe is always emptied before
that look, never after it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from types import FrameType

_STOPPING = (signal.SIGTERM, signal.SIGINT)
_OTHER_THREADS_LOOK_SECONDS = 0.1  # only the main thread may empty the pipe; the others ask for the result
_LONGEST_POLL_SECONDS = 3600.0  # poll(2) takes milliseconds in 32 bits
_PIPE_CHUNK = 65536


class SignalInbox:
    """What signals have asked of this process.

    Without `listen` no signal comes in, and `check_now` still works.
    """

    def __init__(self) -> None:
        self._came: dict[int, FrameType | None] = {}
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def __del__(self) -> None:
        os.close(self._reader)
        os.close(self._writer)

    def listen(self) -> None:
        """From now on TERM and INT ask for the end, HUP for a reload, USR1 for a check. Main thread only."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._came.setdefault)
        signal.signal(signal.SIGINT, self._came.setdefault)
        signal.signal(signal.SIGHUP, self._came.setdefault)
        signal.signal(signal.SIGUSR1, self._came.setdefault)

    def ignore(self) -> None:
        """Ignore these signals from now on.

        One that comes while Python ends would kill the process (Python puts the default actions back), and
        its exit status would be untrue.
        """
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)

    @property
    def is_stopping(self) -> bool:
        """Return whether an end was asked for; once true it stays true. May be asked by any thread."""
        return any(number in self._came for number in _STOPPING)

    def take_reload(self) -> bool:
        """Return whether a reload was asked for since this was last called."""
        return self._take(signal.SIGHUP)

    def take_check(self) -> bool:
        """Return whether a check was asked for since this was last called."""
        return self._take(signal.SIGUSR1)

    def has_requests(self) -> bool:
        """Return whether anything was asked for that nobody has taken yet."""
        return bool(self._came)

    def check_now(self) -> None:
        """Ask for a check, from any thread, as USR1 does."""
        self._came.setdefault(signal.SIGUSR1, None)
        self.wake()

    def wake(self) -> None:
        """End the wait of the main thread, from any thread, without asking for anything."""
        with contextlib.suppress(BlockingIOError):  # full: the wait ends anyway
            os.write(self._writer, b"\0")

    def wait(self, seconds: float) -> None:
        """Return when a signal or a `wake` has come since the last wait, at latest after `seconds`.

        Another thread than the main one only sleeps, for a moment at most.
        """
        if threading.current_thread() is not threading.main_thread():
            time.sleep(min(seconds, _OTHER_THREADS_LOOK_SECONDS))
            return
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        if poll.poll(min(seconds, _LONGEST_POLL_SECONDS) * 1000):
            self._empty_pipe()

    def _empty_pipe(self) -> None:
        """Read the pipe empty; its numbers do not count, for the handlers note each signal once."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, _PIPE_CHUNK):
                pass

    def _take(self, number: signal.Signals) -> bool:
        if number not in self._came:
            return False
        del self._came[number]  # before it is acted on: one that comes from here on is a new one
        return True
