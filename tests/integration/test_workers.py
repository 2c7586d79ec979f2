"""Projects side by side: one that takes long in its gate, its pull or its recovery keeps no other waiting,
and what it changes is touched by nobody else meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fake_registry import Build, FakeRegistry
from tests.support.lab import until
from tests.support.listener import listening
from tests.support.memory_target import Barrier, MemoryHost, MemoryTarget, read_plan
from tests.support.simulator import Killed, Killer
from updater_core import config_utils
from updater_core.app import cycle, requests
from updater_core.app.context import AppContext
from updater_core.app.cycle import Cycle
from updater_core.app.orders import request_queue
from updater_core.app.wiring import wire
from updater_core.deploy.journal import JournalFolder
from updater_core.host.clock import SystemClock
from updater_core.models import Committed, Reason, RolledBack
from updater_core.state.orders import ROLLBACK, OperatorOrder
from updater_core.state.records import ServiceState, Status, service_of

NAMES = ("a", "b", "c")


@pytest.fixture
def place(registry: FakeRegistry) -> MemoryHost:
    """Three services, each in a project of its own, on their old releases."""
    made = MemoryHost()
    for name in NAMES:
        made.running[name] = release(registry, name, "1.0")
        made.defined[name] = f"{registry.host}/team/{name}:1.0"
    return made


def release(registry: FakeRegistry, name: str, tag: str) -> str:
    return registry.push(f"team/{name}", tag, Build(files={name: tag.encode()})).digest


def entry(place: MemoryHost, name: str) -> dict[str, object]:
    return {
        "name": name,
        "image": place.defined[name].rpartition(":")[0],
        "compose_file": f"/nowhere/{name}.yml",
        "compose_service": "web",
        "semver_pattern": "*",
    }


def started(
    folder: Path, place: MemoryHost, names: tuple[str, ...] = NAMES, **settings: object
) -> AppContext:
    """A process that has just been started, with this target alone."""
    services = [entry(place, name) for name in names]
    raw = {"services": services, "state_file": str(folder / "state.json"), **settings}
    context = wire(config_utils.parse(raw, {}, str(folder / "config.json")), SystemClock())
    context.targets = {"memory": MemoryTarget(place)}
    context.journal = JournalFolder(folder / "journal", read_plan)
    return context


def known(context: AppContext, name: str) -> ServiceState:
    return service_of(context.state, name)


def go_on_until(current: Cycle, is_so: Callable[[], bool], what: str) -> None:
    def step() -> bool:
        current.goes_on()
        return is_so()

    until(step, what=what)


def test_a_gate_that_takes_long_keeps_no_other_project_waiting(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    place.gates["a"] = Barrier()
    new = {name: release(registry, name, "1.1") for name in NAMES}
    context = started(tmp_path, place)
    first = Cycle(context)
    go_on_until(first, lambda: context.workers.names == {"a"}, "all but a have ended")
    place.gates["a"].await_arrival()
    assert (place.running["b"], place.running["c"]) == (new["b"], new["c"])
    assert [known(context, name).status for name in "bc"] == [Status.UPDATED] * 2
    report = first.end()
    assert report.under_way == {"a"}
    assert len(report.outcomes) == 2
    assert [step.service for step in context.steps.under_way] == ["a"]

    newer = release(registry, "b", "1.2")
    second = Cycle(context)
    go_on_until(second, lambda: place.running["b"] == newer, "the next cycle updates b")
    assert "was interrupted" not in caplog.text, "an open journal of an update under way"
    place.gates["a"].open()
    while second.goes_on():
        context.workers.await_end(context.clock)
    report = second.end()
    assert {outcome.plan.name for outcome in report.outcomes if isinstance(outcome, Committed)} == {"a", "b"}
    assert (place.running["a"], known(context, "a").changes[0].outcome) == (new["a"], "committed")
    assert report.under_way == frozenset()
    assert context.journal.read_all() == ()


def test_services_of_one_project_go_one_after_the_other(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry
) -> None:
    place.projects = {"a": "shop", "c": "shop"}
    place.gates["a"], old = Barrier(), place.running["c"]
    new = {name: release(registry, name, "1.1") for name in NAMES}
    context = started(tmp_path, place)
    current = Cycle(context)
    go_on_until(current, lambda: known(context, "b").status is Status.UPDATED, "b is updated")
    place.gates["a"].await_arrival()
    assert place.running["c"] == old
    place.gates["a"].open()
    while current.goes_on():
        context.workers.await_end(context.clock)
    assert place.running == new


def test_a_service_beside_one_that_is_updated_is_held_as_busy_and_keeps_what_was_known(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry
) -> None:
    place.projects = {"a": "shop", "c": "shop"}
    place.bad.add(release(registry, "c", "1.1"))
    context = started(tmp_path, place)
    assert isinstance(cycle.run(context).outcomes[0], RolledBack)
    place.gates["a"] = Barrier()
    release(registry, "a", "1.1")
    first = Cycle(context)
    first.goes_on()
    place.gates["a"].await_arrival()
    before = known(context, "c")
    second = Cycle(context)
    second.goes_on()
    after = known(context, "c")
    assert after.last_check is not None
    assert before.last_check is not None
    assert after.last_check > before.last_check
    assert (after.status, after.detail) == (Status.ROLLED_BACK, before.detail)
    assert [one.service.name for one in second.report().checked] == ["b"]
    place.gates["a"].open()
    while second.goes_on():
        context.workers.await_end(context.clock)
    assert {one.service.name for one in second.end().checked} == {*NAMES}, "checked as soon as a has ended"
    assert known(context, "c").status is Status.ROLLED_BACK


def test_a_service_that_was_well_says_whom_it_waits_for(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry
) -> None:
    place.projects = {"a": "shop", "c": "shop"}
    place.gates["a"] = Barrier()
    release(registry, "a", "1.1")
    context = started(tmp_path, place)
    Cycle(context).goes_on()
    place.gates["a"].await_arrival()
    Cycle(context).goes_on()
    assert known(context, "c").reason is Reason.BUSY
    assert "a is at work" in known(context, "c").detail
    place.gates["a"].open()
    assert {outcome.plan.name for outcome in cycle.run(context).outcomes} == {"a"}
    assert known(context, "c").reason is Reason.SAME_DIGEST


def test_a_slow_recovery_keeps_no_other_project_waiting(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry
) -> None:
    old = place.running["a"]
    release(registry, "a", "1.1")
    place.killer = Killer(2, after=True)
    with pytest.raises(Killed):
        cycle.run(started(tmp_path, place, ("a",)))
    place.killer, place.restores["a"] = Killer(), Barrier()
    new = release(registry, "b", "1.1")
    context = started(tmp_path, place)
    before = known(context, "a").last_check
    current = Cycle(context)
    go_on_until(current, lambda: place.running["b"] == new, "b is updated")
    place.restores["a"].await_arrival()
    assert known(context, "a").last_check == before, "not checked before its own update has ended"
    place.restores["a"].open()
    while current.goes_on():
        context.workers.await_end(context.clock)
    kinds = [(type(outcome), outcome.plan.name) for outcome in current.end().outcomes]
    assert kinds[:2] == [(Committed, "b"), (RolledBack, "a")]
    assert known(context, "a").last_check != before
    assert (place.running["a"], known(context, "a").retry_at is not None) == (old, True)


def test_as_many_as_configured_pull_at_once_and_a_gate_does_not_count(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry
) -> None:
    place.pulls, place.gates["a"] = {name: Barrier() for name in NAMES}, Barrier()
    new = {name: release(registry, name, "1.1") for name in NAMES}
    context = started(tmp_path, place, parallel_updates=1)
    current = Cycle(context)
    current.goes_on()
    until(lambda: context.steps.under_way, what="one begins")
    assert len(context.workers.claims) == 3
    assert len(context.steps.under_way) == 1
    for barrier in place.pulls.values():
        barrier.open()
    go_on_until(current, lambda: context.workers.names == {"a"}, "the others have ended")
    place.gates["a"].await_arrival()
    assert (place.running["b"], place.running["c"]) == (new["b"], new["c"])
    place.gates["a"].open()
    cycle.finish(context)
    assert place.running == new


def test_a_request_waits_for_its_own_project_and_for_no_other(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry
) -> None:
    old = dict(place.running)
    for name in "ab":
        release(registry, name, "1.1")
    context = started(tmp_path, place)
    cycle.run(context)
    place.gates["a"] = Barrier()
    release(registry, "a", "1.2")
    Cycle(context).goes_on()
    place.gates["a"].await_arrival()
    folder = context.folder / request_queue.FOLDER
    for name in "ab":
        request_queue.leave(folder, OperatorOrder(ROLLBACK, name, context.clock.now(), id=name * 32))
    requests.take_requests(context)
    until(lambda: place.running["b"] == old["b"], what="b goes back while a is in its gate")
    until(
        lambda: [each.order.service for each in request_queue.waiting_in(folder)] == ["a"], what="b's is done"
    )
    requests.take_requests(context)
    assert context.workers.names >= {"a"}
    place.gates["a"].open()
    cycle.finish(context)
    middle = place.running["a"]
    requests.take_requests(context)
    cycle.finish(context)
    assert place.running["a"] not in (middle, old["a"]), "from 1.2 to 1.1"
    assert not request_queue.waiting_in(folder)


@pytest.mark.parametrize("is_bad", [False, True])
def test_what_is_renamed_while_it_is_updated_keeps_its_memory(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry, is_bad: bool
) -> None:
    place.gates["a"] = Barrier()
    new = release(registry, "a", "1.1")
    place.bad |= {new} if is_bad else set()
    context = started(tmp_path, place)
    cycle_before = Cycle(context)
    cycle_before.goes_on()
    place.gates["a"].await_arrival()
    place.defined["renamed"], place.running["renamed"] = place.defined["a"], place.running["a"]
    place.projects = {"renamed": "a"}
    raw = {"services": [{**entry(place, "a"), "name": "renamed"}, entry(place, "b")]}
    context.config = config_utils.parse(
        {**raw, "state_file": str(tmp_path / "state.json")}, {}, "config.json"
    )
    current = Cycle(context)
    current.goes_on()
    place.gates["a"].open()
    while current.goes_on():
        context.workers.await_end(context.clock)
    current.end()
    assert set(context.state.services) == {"renamed", "b"}
    assert known(context, "renamed").changes[0].outcome == ("rolled_back" if is_bad else "committed")
    assert bool(known(context, "renamed").quarantine) is is_bad


def test_an_event_does_not_wait_for_the_gate_of_the_next_service(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry
) -> None:
    place.projects = {"a": "shop", "b": "shop"}
    place.gates["b"] = Barrier()
    for name in "ab":
        release(registry, name, "1.1")
    with listening() as listener:
        context = started(tmp_path, place, webhook_url=listener.url)
        current = Cycle(context)
        current.goes_on()
        place.gates["b"].await_arrival()
        until(
            lambda: [json.loads(each.body)["service"] for each in [*listener.requests]] == ["a"],
            what="a's event",
        )
        place.gates["b"].open()
        cycle.finish(context)
        assert [json.loads(each.body)["service"] for each in listener.requests] == ["a", "b"]


def test_what_a_reload_takes_out_while_it_waits_its_turn_is_not_updated(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry
) -> None:
    place.projects = {"a": "shop", "b": "shop"}
    place.gates["a"], old = Barrier(), place.running["b"]
    for name in "ab":
        release(registry, name, "1.1")
    context = started(tmp_path, place)
    current = Cycle(context)
    current.goes_on()
    place.gates["a"].await_arrival()
    services = context.config.services
    context.config = replace(context.config, services=tuple(each for each in services if each.name != "b"))
    place.gates["a"].open()
    cycle.finish(context)
    assert place.running["b"] == old
    context.config = replace(context.config, services=services)
    cycle.run(context)
    assert place.running["b"] != old, "it is decided anew"


def test_what_breaks_in_a_worker_is_not_lost_there(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry
) -> None:
    release(registry, "a", "1.1")
    place.killer = Killer(1)
    context = started(tmp_path, place)
    with pytest.raises(Killed):
        cycle.run(context)
    assert context.workers.claims == ()
