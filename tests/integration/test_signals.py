"""Signals against a real process: each one is acted on, in a storm as well, and none makes the process hang
or die.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.lab import ROOT

_LONGEST_SECONDS = 300  # for what takes a moment, on a machine that is busy
_ONE_BY_ONE, _STORM = 10_000, 40_000

# Says a letter for each thing it was asked for: `r` reload, `c` check; `.` first, when it listens; ends on
# TERM.
_TARGET = """
import os, sys
from updater_core.host.clock import SystemClock
clock = SystemClock()
clock.signals.listen()
os.write(1, b'.')
while not clock.signals.is_stopping:
    clock.idle({idle_seconds})
    is_reload = clock.signals.take_reload()
    os.write(1, b'rc' if is_reload else b'c')
clock.signals.ignore()
"""

# Sends signals of one kind until it is ended itself, or a number of them.
_SENDER = """
import os, sys
target, number, count = (int(word) for word in sys.argv[1:])
sent = 0
try:
    while sent != count:
        os.kill(target, number)
        sent += 1
except ProcessLookupError:
    pass
"""


class Target:
    """A process that waits on the real clock, and what it says."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        self._out = process.stdout.fileno()

    def heard(self) -> bytes:
        """What it says next; fails if it says nothing more."""
        readable, _, _ = select.select([self._out], [], [], _LONGEST_SECONDS)
        assert readable, "it hangs: no signal is acted on any more"
        return os.read(self._out, 65536)

    def read_until_quiet(self, senders: Sequence[subprocess.Popen[bytes]]) -> None:
        """Read away what it says until all senders have ended, so that its pipe never fills."""
        while any(sender.poll() is None for sender in senders):
            readable, _, _ = select.select([self._out], [], [], 0.1)
            if readable:
                os.read(self._out, 65536)

    def acts_on(self, number: signal.Signals) -> None:
        """Send one signal and wait until it was acted on."""
        wanted = b"r" if number is signal.SIGHUP else b"c"  # every wait that ends is a check
        self.process.send_signal(number)
        while wanted not in self.heard():
            pass

    def end(self) -> int:
        """Its exit status after TERM; what it says until then is read away."""
        self.process.terminate()
        self.process.communicate(timeout=_LONGEST_SECONDS)
        return self.process.returncode


@contextmanager
def target(idle_seconds: float = 3600.0) -> Iterator[Target]:
    code = _TARGET.format(idle_seconds=idle_seconds)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        made = Target(process)
        assert made.heard().startswith(b".")  # waits that are over may say more by then
        yield made
    finally:
        process.kill()
        process.communicate()


@contextmanager
def storm(of: Target, *numbers: signal.Signals, count: int = -1) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that send as fast as they can, one for each kind of signal."""
    with ExitStack() as ended:
        senders = []
        for number in numbers:
            words = [str(of.process.pid), str(int(number)), str(count)]
            sender = subprocess.Popen([sys.executable, "-c", _SENDER, *words])
            ended.callback(sender.wait)
            ended.callback(sender.kill)
            senders.append(sender)
        yield senders


def test_each_of_ten_thousand_signals_is_acted_on() -> None:
    with target() as made:
        for count in range(_ONE_BY_ONE):
            made.acts_on(signal.SIGHUP if count % 2 else signal.SIGUSR1)
        assert made.end() == 0


def test_waits_that_end_all_the_time_lose_no_signal() -> None:
    with target(idle_seconds=0.00001) as made:
        for _ in range(_ONE_BY_ONE // 10):
            made.acts_on(signal.SIGHUP)  # `c` says nothing here: each wait that is over says it
        assert made.end() == 0


def test_after_a_storm_every_kind_is_still_acted_on() -> None:
    with target() as made:
        with storm(made, signal.SIGHUP, signal.SIGUSR1, count=_STORM) as senders:
            reader = threading.Thread(target=made.read_until_quiet, args=(senders,))
            reader.start()
            for sender in senders:
                sender.wait(_LONGEST_SECONDS)
            reader.join(_LONGEST_SECONDS)
        assert made.process.poll() is None, "the storm has ended it"
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP):
            made.acts_on(number)
        assert made.end() == 0


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGINT])
def test_an_end_is_heard_while_other_signals_storm(last: signal.Signals) -> None:
    with target() as made, storm(made, signal.SIGHUP, signal.SIGUSR1):
        for _ in range(3):
            made.heard()
        made.process.send_signal(last)
        made.process.communicate(timeout=_LONGEST_SECONDS)
        assert made.process.returncode == 0, "it ends by itself, not by one of the other signals"


def test_a_storm_of_ends_is_one_end() -> None:
    with target() as made, storm(made, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        made.process.communicate(timeout=_LONGEST_SECONDS)
        assert made.process.returncode == 0
