"""What an operator asks of an updater that runs.

Nothing is lost on the way, and nothing that is no request does harm.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.lab import ROOT
from updater_core import config_utils, targets
from updater_core.app import cycle, requests
from updater_core.app.evaluate import check_all
from updater_core.app.orders import request_queue
from updater_core.app.wiring import wire
from updater_core.host.clock import SystemClock
from updater_core.models import Quarantined, Reason
from updater_core.state import records
from updater_core.state.orders import OperatorOrder
from updater_core.state.records import ServiceState, State

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def taken_from(folder: Path) -> Iterator[OperatorOrder]:
    """Every order that waits, each carried out once the next one is asked for."""
    for waiting in request_queue.waiting_in(folder):
        yield waiting.order
        request_queue.done(waiting)


def test_a_request_arrives_once(tmp_path: Path) -> None:
    for _ in range(2):
        request_queue.leave(tmp_path / "requests", OperatorOrder("retry", "web", NOW))
    assert list(taken_from(tmp_path / "requests")) == [OperatorOrder("retry", "web", NOW)]
    assert list(taken_from(tmp_path / "requests")) == []


def test_a_refused_order_takes_the_place_of_none_that_waits(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    waiting, refused = (
        OperatorOrder("skip", "web", NOW),
        OperatorOrder("skip", "web", NOW, refusal="no image waits"),
    )
    request_queue.leave(folder, waiting)
    request_queue.leave(folder, refused)
    assert {each.refusal for each in taken_from(folder)} == {"", "no image waits"}


def test_a_request_whose_carrying_out_was_cut_off_comes_again(tmp_path: Path) -> None:
    request_queue.leave(tmp_path / "requests", OperatorOrder("rollback", "web", NOW))
    assert next(iter(taken_from(tmp_path / "requests"))) == OperatorOrder("rollback", "web", NOW)
    assert list(taken_from(tmp_path / "requests")) == [OperatorOrder("rollback", "web", NOW)]


def test_what_is_no_request_stops_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    request_queue.leave(folder, OperatorOrder("retry", "web", NOW))
    (folder / "a.json").write_text("{")
    (folder / "b.json").mkdir()
    assert list(taken_from(folder)) == [OperatorOrder("retry", "web", NOW)]
    (folder / "c.json").write_text('{"kind": "retry", "service": "web", "at": "soon"}')
    (folder / "d.json").write_text('{"kind": "remove", "service": "web", "at": "2026-05-01T12:00:00+00:00"}')
    (folder / "e.json").write_text(
        '{"kind": "pause", "service": "web", "at": "2026-05-01T12:00:00+00:00", "seconds": 1e999}'
    )
    (folder / "f.json").write_text("x" * 20_000)
    assert list(taken_from(folder)) == []


def test_orders_are_taken_in_the_order_in_which_they_were_given(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    given = [
        OperatorOrder(kind, "web", NOW + timedelta(seconds=at)) for at, kind in enumerate(("resume", "pause"))
    ]
    for order in reversed(given):
        request_queue.leave(folder, order)
    assert list(taken_from(folder)) == given


def test_an_order_that_is_given_again_while_it_is_carried_out_is_not_lost(tmp_path: Path) -> None:
    folder, first = tmp_path / "requests", OperatorOrder("update", "web", NOW)
    again = OperatorOrder("update", "web", NOW + timedelta(seconds=1))
    request_queue.leave(folder, first)
    taken = taken_from(folder)
    assert next(taken) == first
    request_queue.leave(folder, again)
    assert [*taken] == []
    assert [*taken_from(folder)] == [again]


def test_an_order_may_be_taken_the_moment_it_is_there(tmp_path: Path) -> None:
    folder, taken, is_over = tmp_path / "requests", set[str](), threading.Event()

    def read() -> None:
        while not is_over.is_set():
            taken.update(order.id for order in taken_from(folder))

    reader = threading.Thread(target=read)
    reader.start()
    given = [OperatorOrder("pause", f"web{number}", NOW, f"{number:032x}") for number in range(100)]
    try:
        for order in given:
            request_queue.leave(folder, order)
    finally:
        is_over.set()
        reader.join()
    taken.update(order.id for order in taken_from(folder))
    assert taken == {order.id for order in given}


@pytest.mark.parametrize(
    ("age", "old"),
    [(timedelta(hours=24), False), (timedelta(hours=24, seconds=1), True), (timedelta(hours=-1), False),
     (timedelta(days=-2), True)],
)  # fmt: skip
def test_a_request_grows_old_after_a_day(age: timedelta, old: bool) -> None:
    assert request_queue.is_old(OperatorOrder("retry", "web", NOW - age), NOW) is old


@pytest.mark.parametrize(
    ("name", "hours", "reported"),
    [
        ("web", 1, None),
        ("web", 25, "--retry web of .* is dropped: .* 24 hours ago"),
        ("api", 1, "not configured"),
    ],
)
def test_what_is_old_or_names_nobody_is_dropped_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, hours: int, reported: str | None
) -> None:
    service = {"name": "web", "image": "a/b:1", "compose_file": "c.yml", "compose_service": "web"}
    raw = {"services": [service], "state_file": str(tmp_path / "state.json")}
    context = wire(config_utils.parse(raw, {}, str(tmp_path / "config.json")), SystemClock())
    bad = Quarantined("sha256:bad", "a/b:2", Reason.UNHEALTHY, NOW)
    context.change(lambda _: State({"web": ServiceState(quarantine=(bad,))}))
    asked = context.clock.now() - timedelta(hours=hours)
    request_queue.leave(context.folder / request_queue.FOLDER, OperatorOrder("retry", name, asked))
    with caplog.at_level(logging.WARNING, "updater"):
        requests.take_requests(context)
        cycle.finish(context)
    assert bool(records.service_of(context.state, "web").quarantine) is (reported is not None)
    assert list(taken_from(context.folder / request_queue.FOLDER)) == []
    assert [record.levelname for record in caplog.records] == (["WARNING"] if reported else [])
    assert re.search(reported or "", caplog.text)
    kept = records.service_of(context.state, "web").orders
    assert [each.is_done for each in kept] == {"web": [reported is None], "api": []}[name]


def test_a_retry_reaches_the_memory_of_a_service_that_was_renamed(tmp_path: Path) -> None:
    service = {"name": "shop", "image": "a/b:1", "compose_file": "c.yml", "compose_service": "web"}
    raw = {"services": [service], "state_file": str(tmp_path / "state.json")}
    context = wire(config_utils.parse(raw, {}, str(tmp_path / "config.json")), SystemClock())
    bad = Quarantined("sha256:bad", "a/b:2", Reason.UNHEALTHY, NOW)
    group = targets.identities(context.config.services)["shop"]
    context.change(
        lambda _: State({"web": ServiceState(quarantine=(bad,), update_group=group, reference="a/b:1")})
    )
    request_queue.leave(
        context.folder / request_queue.FOLDER, OperatorOrder("retry", "shop", context.clock.now())
    )
    requests.take_requests(context)
    cycle.finish(context)
    (taken,) = records.service_of(context.state, "shop").orders
    assert (taken.kind, taken.is_done) == ("retry", True)
    assert context.state.services == {
        "shop": ServiceState(update_group=group, reference="a/b:1", orders=(taken,))
    }
    context.change(lambda _: State({"web": ServiceState(quarantine=(bad,), update_group=group)}))
    check_all(context)  # the engine may be there or not: the memory is kept either way
    assert records.service_of(context.state, "shop").quarantine == (bad,)
    assert list(context.state.services) == ["shop"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a change of owner needs root")
def test_what_the_reader_has_laid_in_roots_way_does_not_become_that_users(tmp_path: Path) -> None:
    """The state's folder is the updater's own user's: it may put a link there, and root follows it to
    nothing.
    """
    state, other = tmp_path / "state", tmp_path / "other"
    state.mkdir()
    other.mkdir()
    os.chown(state, 1234, 1234)
    (state / request_queue.FOLDER).symlink_to(other)
    request_queue.leave(state / request_queue.FOLDER, OperatorOrder("retry", "web", NOW))
    assert other.stat().st_uid == 0


_WAKE = """
import pathlib, signal, sys
from updater_core.app.orders import request_queue

heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
print(request_queue.wake(pathlib.Path(sys.argv[1])), heard)
"""


def test_a_number_that_is_no_process_wakes_nobody(tmp_path: Path) -> None:
    """In a session of its own: to send a signal to 0 is to send it to all of one's own."""
    for text in ("0", "", "x"):
        lock = tmp_path / "lock"
        lock.write_text(text)
        argv = [sys.executable, "-c", _WAKE, str(lock)]
        done = subprocess.run(
            argv, cwd=ROOT, capture_output=True, text=True, check=True, start_new_session=True
        )
        assert done.stdout.split("\n")[0] == "False []"
