"""Somebody takes the service's port in the moment between the old release and the new one."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest

from tests.support import lab
from tests.support.lab import Shop, until
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
    """Takes a port as soon as it is free, and keeps it until told otherwise."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.has_it, self.gives_it_back, self.gives_up = threading.Event(), threading.Event(), threading.Event()

    def run(self) -> None:
        while not self.gives_up.is_set():
            with suppress(OSError), socket.socket() as taken:
                taken.bind(("127.0.0.1", self._port))
                taken.listen()
                self.has_it.set()
                self.gives_it_back.wait(60)
                return


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def test_a_port_that_is_taken_is_the_hosts_fault_and_the_old_release_comes_back(shop: Shop) -> None:
    port = free_port()
    shop.push("latest", lab.good("one"))
    shop.write(text=PUBLISHED.format(port=port))
    shop.up()
    shop.push("latest", lab.good("two"))
    thief = Thief(port)
    thief.start()
    child = shop.updater("--once")
    until(thief.has_it.is_set, 60, "the port is taken")
    journal = shop.folder / "state" / "journal"
    until(lambda: any("rolling_back" in path.read_text() for path in journal.glob("*.json")), 60, "the way back")
    thief.gives_it_back.set()
    out, _ = child.communicate(timeout=150)
    thief.gives_up.set()
    assert child.returncode == 1, out
    assert shop.releases() == [("one", "running")], out
    assert shop.state()["quarantine"] == []
    assert shop.state()["reason"] == Reason.COMPOSE_ERROR
    assert shop.strays() == []
    assert shop.run("--retry", shop.name)[0] == 0
    assert shop.run("--once")[0] == 0
    assert shop.releases() == [("two", "running")]
