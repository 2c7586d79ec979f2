"""Many threads change one state at the same time, and no change is lost, on the disk either."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from updater_core import state_utils
from updater_core.app.context import StateStore
from updater_core.models import Settings
from updater_core.state import observed_tags, records
from updater_core.state.records import ServiceState, State, service_of
from updater_core.state.shared import SharedState

NOW = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)
THREADS, TURNS = 8, 150


@pytest.fixture(autouse=True)
def _threads_take_turns_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def counted(state: State) -> State:
    return records.count(state, "updates:all")


def updated(name: str, state: State) -> State:
    """As the worker of a project does: a service that is its own, beside the services of all others."""
    known = service_of(state, name)
    return records.with_service(state, name, replace(known, failures=known.failures + 1))


def seen(name: str, turn: int, part: State) -> State:
    """As the check of the same service does at that time."""
    return observed_tags.note_digest(part, name, f"sha256:{turn % 5}", NOW)


def test_no_change_of_one_thread_is_lost_to_another() -> None:
    shared = SharedState(State())

    def work(thread: int) -> None:
        own = f"service{thread}"
        for turn in range(TURNS):
            assert shared.change(counted)
            shared.change(functools.partial(updated, own))
            shared.fold(own, "r.example/app", functools.partial(seen, own, turn))
            shared.change(functools.partial(updated, "common"))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    state = shared.state
    assert state.counters == {"updates:all": THREADS * TURNS}
    assert service_of(state, "common").failures == THREADS * TURNS
    for thread in range(THREADS):
        mine = service_of(state, f"service{thread}")
        assert (mine.failures, len(mine.digest_seen)) == (TURNS, 5)


def test_a_change_that_changes_nothing_says_so() -> None:
    shared = SharedState(State({"web": ServiceState()}))
    before = shared.state
    assert not shared.change(lambda state: state)
    shared.fold("web", "r.example/app", lambda part: replace(part, services=dict(part.services)))
    assert shared.state is before


def test_what_is_on_the_disk_is_never_older_than_what_was_saved_before(tmp_path: Path) -> None:
    store = StateStore(State(), tmp_path / "state.json", Settings(state_backups=0))

    def work(thread: int) -> None:
        for _ in range(10):
            store.shared.change(counted)
            least = store.shared.state.counters["updates:all"]
            store.save(NOW)
            saved = state_utils.peek(store.path, None).state
            assert saved.counters["updates:all"] >= least

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert state_utils.peek(store.path, None).state.counters["updates:all"] == 40
