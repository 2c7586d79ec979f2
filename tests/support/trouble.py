"""What every test of a failure asks: was it said once and clearly, and does all go on once its cause is gone?"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from docker.errors import NotFound

from tests.support import lab
from tests.support.fake_registry import Behaviour, Build
from tests.support.lab import Shop, until
from updater_core import config_utils, cycle
from updater_core.clock import SystemClock
from updater_core.cycle import Report
from updater_core.logging_utils import LogEvent
from updater_core.models import Reason
from updater_core.wiring import wire

_TROUBLE = {
    LogEvent.CHECKED,
    LogEvent.CHECK_FAILED,
    LogEvent.HELD,
    LogEvent.NOT_STARTED,
    LogEvent.ROLLED_BACK,
    LogEvent.ROLLBACK_FAILED,
    LogEvent.INTERNAL_ERROR,
}


@dataclass
class Later(SystemClock):
    """The system's clock, so much ahead: back-offs and rests are over."""

    ahead: timedelta = timedelta(hours=2)

    def now(self) -> datetime:
        return SystemClock.now(self) + self.ahead


def opened(shop: Shop, image: Build | None = None, tag: str = "latest", text: str | None = None) -> str:
    """The shop with its first release running; returns its container's id."""
    shop.policy = {"health_stable": 1, **shop.policy}
    shop.push(tag, image or lab.good("one"))
    shop.write(tag, text)
    shop.up()
    return str(shop.containers()[0].id)


def later(shop: Shop) -> Report:
    """A cycle two hours from now."""
    config = config_utils.parse(shop.config(), {}, str(shop.folder / "config.json"))
    return cycle.run(wire(config, Later()))


def said(caplog: pytest.LogCaptureFixture, shop: Shop) -> list[str]:
    """The messages so far in which this shop's service is held, failed or went back; the next call starts anew."""
    lines = [
        record.getMessage()
        for record in caplog.records
        if getattr(record, "service", "") == shop.name
        and record.levelno >= logging.INFO
        and getattr(record, "news", "") in _TROUBLE
    ]
    caplog.clear()
    return lines


def assert_told(caplog: pytest.LogCaptureFixture, shop: Shop, status: str, reason: Reason) -> str:
    """The state names status, reason, detail and remedy, and the log has said it once. Returns the detail."""
    state = shop.state()
    assert (state["status"], state["reason"]) == (status, reason.value), state
    assert state["detail"], state
    assert state["remedy"], state
    lines = said(caplog, shop)
    assert len(lines) == 1, lines
    assert state["detail"] in lines[0]
    return str(state["detail"])


@dataclass
class Held:
    """A cycle that is under way in a thread. `report` waits for its end."""

    thread: threading.Thread
    box: list[Any] = field(default_factory=list)

    def report(self) -> Report:
        self.thread.join(60)
        assert not self.thread.is_alive(), "the cycle does not end"
        found = self.box[0]
        if isinstance(found, BaseException):
            raise found
        assert isinstance(found, Report)
        return found


@contextmanager
def under_way(act: Callable[[], Report]) -> Iterator[Held]:
    """Run a cycle in a thread beside the test."""
    held = Held(threading.Thread())

    def run() -> None:
        try:
            held.box.append(act())
        except BaseException as error:
            held.box.append(error)

    held.thread = threading.Thread(target=run)
    held.thread.start()
    try:
        yield held
    finally:
        held.thread.join(60)


def fresh(name: str) -> Build:
    """A good release whose layer no engine has yet, so that a pull really fetches it."""
    made = lab.good(name)
    return replace(made, files={**made.files, "salt": uuid.uuid4().bytes * 1000})


def slow(name: str, then: str) -> Build:
    """A release that is `starting` for two seconds; then its healthcheck does `then`."""
    second = 1_000_000_000
    made = lab.build(name, f"sleep 2; echo 1 > /ready; {lab._FOREVER}")
    check = {
        "Test": ["CMD-SHELL", f"[ -f /ready ] && {then}"],
        "Interval": second // 2,
        "Timeout": second,
        "StartPeriod": 3 * second,
        "Retries": 2,
    }
    return replace(made, config={**made.config, "Healthcheck": check})


def runs(shop: Shop, release: str) -> bool:
    """Whether the shop's one container runs this release now."""
    try:
        return shop.releases() == [(release, "running")]
    except NotFound:  # one that went away while it was looked at
        return False


def during_the_pull(shop: Shop, act: Callable[[], object]) -> Report:
    """One cycle, to its end; the act comes while the registry keeps the pull of a new release waiting."""
    with pull_held_up(shop) as pull, under_way(shop.cycle) as held:
        try:
            pull.begun()
            act()
        finally:
            pull.released.set()
        return held.report()


@dataclass
class Pull:
    """A pull that the registry keeps waiting for its first answer, until `released` is set."""

    shop: Shop
    released: threading.Event = field(default_factory=threading.Event)

    def begun(self) -> None:
        """Wait until the engine has asked."""
        until(lambda: self.shop.registry.counts().get("manifest_get"), what="a pull")


@contextmanager
def pull_held_up(shop: Shop) -> Iterator[Pull]:
    """The next pull of a `fresh` image (the engine keeps manifests) waits until it is released, or this ends."""
    pull = Pull(shop)
    shop.registry.behave("manifest_get", Behaviour(hang=pull.released), times=1)
    shop.registry.clear_log()
    try:
        yield pull
    finally:
        pull.released.set()


def during_the_gate(shop: Shop, release: str, act: Callable[[], object]) -> Report:
    """One cycle, to its end; the act comes while the new release (see `slow`) is still starting."""
    with under_way(shop.cycle) as held:
        until(lambda: runs(shop, release), what="the new release")
        act()
        return held.report()
