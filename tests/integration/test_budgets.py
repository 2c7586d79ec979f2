"""What a cycle with nothing to do may ask for, as counts; a count that grows is a bug."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks import crowd
from benchmarks.clouds import clouds
from benchmarks.swarm_crowd import RecordedManager, managed
from tests.support.fake_registry import Behaviour, FakeRegistry
from tests.support.lab import until
from updater_core.app import cycle, daemon
from updater_core.app.context import AppContext
from updater_core.app.report import Report
from updater_core.models import Hold, Reason
from updater_core.state.records import ServiceState, with_service


def up_to_date(context: AppContext) -> int:
    """Run a cycle; how many services it found up to date."""
    report = cycle.run(context)
    assert report.needs_look == frozenset()
    decisions = [one.decision for one in report.checked]
    return sum(isinstance(decision, Hold) and decision.reason is Reason.SAME_DIGEST for decision in decisions)


def test_forty_services_on_ten_images_cost_ten_heads_and_nothing_else(tmp_path: Path) -> None:
    with crowd.registry() as registry:
        context, engine = crowd.context(tmp_path, registry.host, 40, 10)
        for cycle_number in range(3):
            assert up_to_date(context) == 40
            assert registry.counts() == {"manifest_head": 10}
            assert engine.counts["list"] == 1
            assert engine.counts["inspect"] == (40 if cycle_number == 0 else 0)
            engine.counts.clear()


def test_the_services_of_a_swarm_cost_one_list_and_a_head_for_each_reference(tmp_path: Path) -> None:
    with crowd.registry() as registry:
        manager = RecordedManager(registry.host, 40, 10)
        with managed(tmp_path, manager) as context:
            for _ in range(3):
                assert up_to_date(context) == 40
                assert registry.counts() == {"manifest_head": 10}
                assert manager.counts["services"] == 1
                assert manager.counts.keys() <= {"services", "version"}
                manager.counts.clear()


def test_a_cold_cycle_adds_a_challenge_for_the_host_and_a_token_for_each_repository(tmp_path: Path) -> None:
    with crowd.registry(token=True) as registry:
        context, _ = crowd.context(tmp_path, registry.host, 40, 10)
        assert up_to_date(context) == 40
        assert registry.counts() == {"challenge": 1, "token": 10, "manifest_head": 10}
        assert up_to_date(context) == 40
        assert registry.counts() == {"manifest_head": 10}


def test_a_registry_that_hangs_keeps_no_service_of_another_waiting(tmp_path: Path) -> None:
    released = threading.Event()
    with FakeRegistry() as hanging, FakeRegistry() as good:
        hanging.behave("*", Behaviour(hang=released))
        digests = {name: good.push(name, crowd.TAG).digest for name in (f"team/app{n}" for n in range(40))}
        context, _ = crowd.context_of(
            tmp_path,
            crowd.Crowd(hanging.host, 40, 40, digest=digests.__getitem__),
            crowd.Crowd(good.host, 40, 40, digest=digests.__getitem__),
        )
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(cycle.run, context)
            try:
                until(lambda: good.counts().get("manifest_head") == 40, what="every answer of the good one")
                assert not running.done()
            finally:
                hanging.behave("*", Behaviour(status=502))
                released.set()
            found = {one.service.name: one.decision for one in running.result().checked}
    well = [name for name, decision in found.items() if decision.reason is Reason.SAME_DIGEST]  # type: ignore[union-attr]
    assert well == [f"service{number}" for number in range(40, 80)]


def test_a_window_that_opened_while_the_registry_was_away_makes_no_storm(tmp_path: Path) -> None:
    context, _ = crowd.context(tmp_path, "127.0.0.1:1", 1, 1)
    begun = context.clock.now()

    def pause_seconds(opens_in_seconds: float) -> float:
        waiting = ServiceState(opens_at=begun + timedelta(seconds=opens_in_seconds))
        context.change(lambda state: with_service(state, "service0", waiting))
        return daemon.pause_seconds(context, Report(), begun)

    assert pause_seconds(-3600) > 600
    assert pause_seconds(30) <= 30


def test_the_next_cycle_comes_when_a_registry_may_be_asked_again(tmp_path: Path) -> None:
    with FakeRegistry() as registry:
        registry.behave("manifest_head", Behaviour(status=429, headers={"Retry-After": "90"}), times=1)
        context, _ = crowd.context(tmp_path, registry.host, 2, 1)
        cycle.run(context)
        assert daemon.pause_seconds(context, Report(), context.clock.now()) <= 91


def test_a_tag_policy_adds_one_tag_list_for_each_repository(tmp_path: Path) -> None:
    with crowd.registry() as registry:
        context, _ = crowd.context(tmp_path, registry.host, 40, 10, semver_pattern="*")
        for _ in range(2):
            assert up_to_date(context) == 40
            assert registry.counts() == {"manifest_head": 10, "tags": 10}


def test_if_the_vendor_has_one_call_for_the_tags_it_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clouds(tmp_path, 10) as both:
        for name, value in both.environment.items():
            monkeypatch.setenv(name, value)
        context, _ = crowd.context_of(
            tmp_path / "w", both.ecr(20, tag_pattern="*"), both.google(20, tag_pattern="*")
        )
        assert up_to_date(context) == 40
        cold = both.counts()
        assert (cold["DescribeImages"], cold["manifest_head"], cold["manifest_get"]) == (10, 0, 0)
        assert cold["tags"] == 10 + 1  # Google's first is the challenge
        assert up_to_date(context) == 40
        assert both.counts() == {"DescribeImages": 10, "tags": 10}


def test_a_glob_on_our_own_clock_asks_for_build_times_once(tmp_path: Path) -> None:
    with crowd.registry(tags=200) as registry:
        context, _ = crowd.context(tmp_path, registry.host, 4, 1, tag_pattern="*")
        assert up_to_date(context) == 4
        assert registry.counts() == {"tags": 1, "manifest_head": 50, "manifest_get": 50, "blob": 50}
        assert up_to_date(context) == 4
        assert registry.counts() == {"tags": 1, "manifest_head": 1}
