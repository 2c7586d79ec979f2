"""Somebody takes the service's port in the moment between the old release and the new one."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.support import lab
from tests.support.lab import Shop
from tests.support.ports import free_port
from updater_core.models import Reason

pytestmark = pytest.mark.engine

PUBLISHED = """\
services:
  web:
    image: {{image}}
    stop_grace_period: 1s
    ports: ["127.0.0.1:{port}:80"]
"""


class Thief(threading.Thread):
    """Takes a port as soon as it is free, and keeps it as long as it is asked to.

    However loaded the machine is, this thread comes first: nobody else gets the port in between, and it is
    given back before the rollback is given up.
    """

    def __init__(self, port: int, keeps_it: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self._port, self._keeps_it = port, keeps_it
        self.had_it, self.gives_up = threading.Event(), threading.Event()

    def run(self) -> None:
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # of this thread alone
        while not self.gives_up.wait(0.001) and not self.had_it.is_set():
            with suppress(OSError), socket.socket() as taken:
                taken.bind(("127.0.0.1", self._port))
                taken.listen()
                while self._keeps_it() and not self.gives_up.wait(0.01):
                    pass
                self.had_it.set()


def test_a_port_that_is_taken_is_the_hosts_fault_and_the_old_release_comes_back(shop: Shop) -> None:
    port = free_port()
    shop.push("latest", lab.good("one"))
    shop.write(text=PUBLISHED.format(port=port))
    shop.up()
    shop.push("latest", lab.good("two"))
    journal = shop.folder / "state" / "journal"
    thief = Thief(
        port, lambda: not any("rolling_back" in path.read_text() for path in journal.glob("*.json"))
    )
    thief.start()
    try:
        child = shop.updater("--once")
        out, _ = child.communicate(timeout=150)
        assert thief.had_it.is_set(), out
    finally:
        thief.gives_up.set()
    assert child.returncode == 1, out
    assert shop.releases() == [("one", "running")], out
    assert shop.state()["quarantine"] == []
    assert shop.state()["reason"] == Reason.COMPOSE_ERROR
    assert shop.strays() == []
    assert shop.run("--retry", shop.name)[0] == 0
    assert shop.run("--once")[0] == 0
    assert shop.releases() == [("two", "running")]
