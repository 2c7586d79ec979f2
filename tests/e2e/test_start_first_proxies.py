"""Start-first behind real proxies: no request is lost, neither with a good release nor with a bad one.

HAProxy and Caddy come from the Debian packages of their names (`scripts/setup --with-proxies`). With
DAU_REQUIRE_ENGINE=1, as `scripts/test` sets it, a missing one is a failure. Each runs in the network of a
container of the project, for Docker's DNS answers nowhere else. Their settings are those of
docs/start-first.md.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.fake_registry import Build
from tests.support.lab import ROOT, Shop
from updater_core.models import Committed, RolledBack

pytestmark = pytest.mark.engine

FEWEST_REQUESTS = 500
PAUSE_SECONDS = 0.02
TEXT = """\
services:
  web:
    image: {image}
    restart: unless-stopped
    stop_grace_period: 5s
  proxy:
    image: {image}
    restart: unless-stopped
    healthcheck: {{disable: true}}
    labels: {{docker-updater.enable: "false"}}
"""
COMMANDS = {
    "haproxy": ["-db", "-f"],
    "caddy": ["run", "--adapter", "caddyfile", "--config"],
}


def settings_of(proxy: str) -> str:
    """The settings that docs/start-first.md shows, for this test's ports."""
    page = (ROOT / "docs/start-first.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"```{proxy}\n(.*?)```", page, flags=re.DOTALL)
    return str(block)


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found:
        return found
    if os.environ.get("DAU_REQUIRE_ENGINE") == "1":
        pytest.fail(f"{name} is not there; run scripts/setup --with-proxies")
    pytest.skip(f"{name} is not there; scripts/setup --with-proxies brings it")


@dataclass
class Visitor:
    """Asks for a page over a new connection, again and again; what went wrong is kept."""

    address: str
    answers: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    is_done: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        connection = http.client.HTTPConnection(self.address, 8080, timeout=60)
        try:
            connection.request("GET", "/release")
            response = connection.getresponse()
            body = response.read().decode()
            (self.answers if response.status == 200 else self.failures).append(body)
        except OSError as error:
            self.failures.append(str(error))
        finally:
            connection.close()

    def run(self) -> None:
        while not self.is_done.wait(PAUSE_SECONDS):
            self.ask()


@contextmanager
def behind(proxy: str, shop: Shop, folder: Path) -> Iterator[Visitor]:
    """A visitor who asks through this proxy for the length of the block, and at least so many times."""
    (container,) = shop.containers("proxy")
    settings = folder / proxy
    settings.write_text(settings_of(proxy))
    argv = ["nsenter", "--net", "--target", str(container.attrs["State"]["Pid"]), program(proxy)]
    environment = {
        **os.environ,
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    with (folder / "proxy.log").open("wb") as log:
        words = [*argv, *COMMANDS[proxy], str(settings)]
        child = subprocess.Popen(words, stdout=log, stderr=log, env=environment, cwd=folder)
    networks = container.attrs["NetworkSettings"]["Networks"].values()
    visitor = Visitor(next(iter(networks))["IPAddress"])
    asking = threading.Thread(target=visitor.run, daemon=True)
    try:
        lab.until(lambda: is_answering(visitor), what=f"{proxy} answers, see {folder}/proxy.log")
        visitor.failures.clear()
        asking.start()
        yield visitor
        lab.until(lambda: len(visitor.answers) >= FEWEST_REQUESTS, what="enough requests")
    finally:
        visitor.is_done.set()
        if asking.is_alive():
            asking.join(120)
        child.terminate()
        child.wait()


def is_answering(visitor: Visitor) -> bool:
    visitor.ask()
    return bool(visitor.answers)


def serving(name: str) -> Build:
    return lab.answers(name, healthcheck="nc 127.0.0.1 80 < /dev/null")


@pytest.mark.parametrize("proxy", COMMANDS)
def test_no_request_is_lost_in_good_releases_and_bad_ones(shop: Shop, tmp_path: Path, proxy: str) -> None:
    program(proxy)
    shop.policy = {"update_order": "start-first", "health_stable": 1, "health_timeout": 60}
    shop.push("latest", serving("one"))
    shop.write(text=TEXT)
    shop.up()
    shop.write(text=TEXT)
    before = shop.containers()[0].id
    with behind(proxy, shop, tmp_path) as visitor:
        shop.push("latest", lab.unhealthy("two"))
        (outcome,) = shop.cycle().outcomes
        assert isinstance(outcome, RolledBack)
        assert [each.id for each in shop.containers()] == [before]
        assert set(visitor.answers) == {"one"}
        shop.push("latest", serving("three"))
        (outcome,) = shop.cycle().outcomes
        assert isinstance(outcome, Committed)
        lab.until(lambda: visitor.answers[-1] == "three", what="the new release answers")
    assert visitor.failures == []
    assert set(visitor.answers) == {"one", "three"}
