"""What every test of a failure asks.

Was it said once and clearly, and does all go on once its cause is gone?
"""

from __future__ import annotations

import logging
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from tests.support import lab
from tests.support.fake_registry import Behaviour, Build, Logged
from tests.support.lab import Shop, until
from updater_core.app import cycle
from updater_core.app.report import Report
from updater_core.host.clock import SystemClock
from updater_core.logging_utils import LogEvent
from updater_core.models import Reason

_FAILURES = {
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
    """Open the shop with its first release running, and return its container's id."""
    shop.policy = {"health_stable": 1, **shop.policy}
    shop.push(tag, image or lab.good("one"))
    shop.write(tag, text)
    shop.up()
    return str(shop.containers()[0].id)


def later(shop: Shop) -> Report:
    """Run a cycle two hours from now."""
    return cycle.run(shop.context(Later()))


def said(caplog: pytest.LogCaptureFixture, shop: Shop) -> list[str]:
    """Return the messages so far in which this shop's service is held, failed or went back.

    The next call starts anew.
    """
    own = [record for record in caplog.records if getattr(record, "service", "") == shop.name]
    shown = [record for record in own if record.levelno >= logging.INFO]
    lines = [record.getMessage() for record in shown if getattr(record, "log_event", "") in _FAILURES]
    caplog.clear()
    return lines


def assert_reported(caplog: pytest.LogCaptureFixture, shop: Shop, status: str, reason: Reason) -> str:
    """Assert that the state names status, reason, detail and remedy, and the log has said it once.

    Return the detail.
    """
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
        self.thread.join(150)
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
        held.thread.join(150)


def fresh(name: str) -> Build:
    """Return a good release whose layer no engine has yet, so that a pull really fetches it."""
    made = lab.good(name)
    return replace(made, files={**made.files, "salt": uuid.uuid4().bytes * 1000})


def slow(name: str, then: str) -> Build:
    """Return a release that stays `starting` until `let_go`; then its healthcheck does `then`."""
    made = lab.build(name, healthcheck=f"until [ -f /go ]; do sleep 0.1; done; {then}")
    check = {**made.config["Healthcheck"], "Timeout": 300 * lab.SECOND, "Retries": 1}
    return replace(made, config={**made.config, "Healthcheck": check})


def let_go(shop: Shop) -> None:
    """Give what a release waits for that is `slow`, or dies when it is asked to.

    One that does not run needs it no more.
    """
    for container in shop.containers():
        with suppress(APIError):
            container.exec_run(["/bin/sh", "-c", ": > /go"])


def gates(shop: Shop) -> int:
    """How often a gate has found, by the updater's log, that a release is still `starting`."""
    log = Path(shop.config()["log_file"])
    return log.read_text().count("gate: web is starting") if log.exists() else 0


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


ENGINE = "docker/"  # in the user agent of every engine, in none of ours


def _is_pull(entry: Logged) -> bool:
    return entry.kind == "manifest_get" and ENGINE in entry.headers.get("user-agent", "")


@dataclass
class Pull:
    """A pull that the registry keeps waiting for its first answer, until `released` is set."""

    shop: Shop
    released: threading.Event = field(default_factory=threading.Event)

    def begun(self, updater: subprocess.Popen[str] | None = None) -> None:
        """Wait until the engine has asked.

        Fail at once, with what it said, if the process that should ends before.
        """

        def has_come() -> bool:
            if any(_is_pull(entry) for entry in self.shop.registry.log):
                return True
            if updater is not None and updater.poll() is not None:
                raise AssertionError(
                    f"it ended with {updater.returncode} before a pull: {updater.communicate()[0]}"
                )
            return False

        until(has_come, what="a pull")


@contextmanager
def pull_held_up(shop: Shop) -> Iterator[Pull]:
    """Let the next pull of a `fresh` image wait until it is released, or the block ends.

    The engine keeps manifests, so only a fresh image is asked for.
    """
    pull = Pull(shop)
    shop.registry.behave("manifest_get", Behaviour(hang=pull.released), times=1, agent=ENGINE)
    shop.registry.clear_log()
    try:
        yield pull
    finally:
        pull.released.set()


def during_the_gate(
    shop: Shop, release: str, act: Callable[[], object] = bool, ahead: timedelta = timedelta(0)
) -> Report:
    """One cycle, to its end, so much `ahead`.

    The act comes once the gate has looked at the new release and found it neither proven nor bad; only then
    is that one asked to go on (see `let_go`).
    """
    found: list[bool | BaseException] = []

    def between_two_looks() -> None:
        try:
            found.append(runs(shop, release))
            act()
            let_go(shop)
        except BaseException as error:  # the updater would take it for one of its own
            found.append(error)

    report = cycle.run(shop.context(_Paused(ahead=ahead, meanwhile=between_two_looks)))
    assert found == [True], f"{release} at the gate: {found}"
    return report


@dataclass
class _Paused(Later):
    """The clock of `during_the_gate`.

    The first time that something sleeps on it is the gate, between two looks.
    """

    meanwhile: Callable[[], object] | None = None

    def sleep(self, seconds: float) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        SystemClock.sleep(self, seconds)
