"""A vendor's list of tags against the protocol's: one that knows fewer gives way to our own clock.

Run over every vendor that has such a list. What the API says is a table of names and days; the registry lists
what was pushed to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.fake_registry import Bearer, Behaviour, FakeRegistry
from tests.support.registry_clients import ANYONE, names
from tests.support.set_clock import SetClock
from updater_core.errors import NotFound, RateLimited, RegistryError
from updater_core.models import ImageRef, RegistrySettings, Tag
from updater_core.reference import parse
from updater_core.registries import HubEndpoints, Registries
from updater_core.registries.tag_api import MOST_PAGES_COMPARED
from updater_core.vocabulary.dated import ListComparison

ONE = "sha256:" + "1" * 64
FIRST_DAY = datetime(2025, 5, 1, tzinfo=UTC)
HOUR = 3600.0

Rows = Mapping[str, int]  # name of a tag, and how many days after the first it was pushed


def _time(day: int) -> datetime:
    return FIRST_DAY + timedelta(days=day)


def _newest_first(rows: Rows) -> list[tuple[str, datetime]]:
    return [(name, _time(day)) for name, day in sorted(rows.items(), key=lambda row: -row[1])]


def _quay(rows: Rows) -> object:
    tags = [
        {"name": name, "manifest_digest": ONE, "start_ts": int(time.timestamp())}
        for name, time in _newest_first(rows)
    ]
    return {"tags": tags, "has_additional": False}


def _gitlab(rows: Rows) -> object:
    return [
        {"name": name, "digest": ONE, "published_at": time.isoformat()} for name, time in _newest_first(rows)
    ]


def _harbor(rows: Rows) -> object:
    return [
        {"digest": ONE, "tags": [{"name": name, "push_time": time.isoformat()}]}
        for name, time in _newest_first(rows)
    ]


def _hub(rows: Rows) -> object:
    results = [
        {"name": name, "digest": ONE, "tag_last_pushed": time.isoformat()}
        for name, time in _newest_first(rows)
    ]
    return {"results": results, "next": None}


@dataclass(frozen=True)
class Vendor:
    """How a service uses the vendor's registry, and how its API says which tags there are."""

    settings: RegistrySettings
    body: Callable[[Rows], object]
    kind: str = "other"
    is_hub: bool = False
    auth: Bearer | None = None


VENDORS = {
    "quay": Vendor(RegistrySettings(type="quay"), _quay),
    "gitlab": Vendor(RegistrySettings(type="gitlab"), _gitlab),
    "harbor": Vendor(
        ANYONE, _harbor, auth=Bearer(challenge='Bearer realm="{realm}",service="harbor-registry"')
    ),
    "docker_hub": Vendor(ANYONE, _hub, kind="hub_tags", is_hub=True),
}


@dataclass(frozen=True)
class Bench:
    """One vendor's registry with its API, and what asks them."""

    vendor: Vendor
    fake: FakeRegistry
    clock: SetClock
    folder: Path

    def open(self, comparisons: Mapping[str, ListComparison] | None = None) -> Registries:
        """A process that remembers these comparisons."""
        return Registries(
            docker_config_dir=self.folder,
            clock=self.clock,
            comparisons=comparisons,
            hub_endpoints=HubEndpoints(registry=self.fake.url, api=self.fake.url),
        )

    def image(self, tag: str = "main-1") -> ImageRef:
        return parse(f"team/app:{tag}" if self.vendor.is_hub else f"{self.fake.host}/team/app:{tag}")

    def lists(self, *tags: str) -> None:
        """What the registry itself has from now on, too."""
        for tag in tags:
            self.fake.push("team/app", tag)

    def api_says(self, rows: Rows) -> None:
        self.fake.well_behaved()
        text = json.dumps(self.vendor.body(rows)).encode()
        self.fake.behave(self.vendor.kind, Behaviour(status=200, body=text))

    def pushed(self, registries: Registries, wanted: str = "main-") -> tuple[Tag, ...] | None:
        """What is known in a new cycle of the tags that begin with `wanted`."""
        registries.new_cycle()
        self.fake.clear_log()
        client = registries.for_service(self.image(), self.vendor.settings)
        return client.pushed_tags(self.image(), lambda name: name.startswith(wanted))

    def asked(self) -> dict[str, int]:
        """The questions of the last look, without those for tokens."""
        counts = self.fake.counts()
        return {kind: count for kind, count in counts.items() if kind in ("tags", self.vendor.kind)}


@pytest.fixture(params=VENDORS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    vendor = VENDORS[request.param]
    with FakeRegistry() as fake:
        fake.auth = vendor.auth
        yield Bench(vendor, fake, SetClock(), tmp_path)


def test_an_api_that_knows_every_tag_costs_a_usual_cycle_one_request(bench: Bench) -> None:
    bench.lists("main-1", "main-2", "other")
    bench.api_says({"main-1": 1, "main-2": 2, "other": 3})
    registries = bench.open()
    assert names(bench.pushed(registries)) == ["main-2", "main-1"]
    assert bench.asked()["tags"] == 1 if bench.vendor.auth is None else 2  # with the challenge
    assert names(bench.pushed(registries)) == ["main-2", "main-1"]
    assert bench.asked() == {bench.vendor.kind: 1}


def test_an_api_that_lacks_a_tag_at_the_first_look_gives_way(bench: Bench) -> None:
    bench.lists("main-1", "main-222")
    bench.api_says({"main-1": 1})
    registries = bench.open()
    assert bench.pushed(registries) is None
    assert bench.pushed(registries) is None
    assert bench.vendor.kind not in bench.asked()
    bench.api_says({"main-1": 1, "main-222": 2})  # it had only been behind
    bench.clock.advance(HOUR)
    assert names(bench.pushed(registries)) == ["main-222", "main-1"]


def test_every_service_of_the_repository_finds_what_the_first_one_found(bench: Bench) -> None:
    bench.lists("main-1", "edge-7")
    bench.api_says({"main-1": 1})
    registries = bench.open()
    assert bench.pushed(registries, "main-") is None
    assert bench.pushed(registries, "edge-") is None


def test_an_api_that_falls_behind_is_noticed(bench: Bench) -> None:
    bench.lists("main-1")
    bench.api_says({"main-1": 1})
    registries = bench.open()
    assert names(bench.pushed(registries)) == ["main-1"]
    bench.lists("main-2")
    bench.clock.advance(HOUR)
    assert bench.pushed(registries) is None


def test_the_more_often_the_lists_agree_the_rarer_they_are_compared(bench: Bench) -> None:
    bench.lists("main-1")
    bench.api_says({"main-1": 1})
    registries = bench.open()
    compared_in_hour = []
    for hour in range(100):
        assert bench.pushed(registries) is not None
        if "tags" in bench.asked():
            compared_in_hour.append(hour)
        bench.clock.advance(HOUR)
    assert compared_in_hour == [0, 1, 3, 7, 15, 31, 55, 79]


def test_the_next_process_does_not_compare_anew(bench: Bench) -> None:
    bench.lists("main-1", "main-2")
    for rows in ({"main-1": 1, "main-2": 2}, {"main-1": 1}):
        bench.api_says(rows)
        before = bench.open()
        found = bench.pushed(before)
        after = bench.open(before.comparisons())
        assert bench.pushed(after) == found
        questions = sum(bench.asked().values())
        assert questions == (1 if found is not None else 0) or bench.vendor.auth is not None


def test_a_registry_that_lists_nothing_leaves_it_to_the_api(bench: Bench) -> None:
    bench.lists("main-1")
    bench.api_says({"main-1": 1, "main-2": 2})
    bench.fake.behave("tags", Behaviour(status=404))
    registries = bench.open()
    if bench.vendor.auth is not None:  # a Harbor is known by its answer to that very question
        with pytest.raises(NotFound):
            bench.pushed(registries)
        return
    assert names(bench.pushed(registries)) == ["main-2", "main-1"]
    assert names(bench.pushed(registries)) == ["main-2", "main-1"]
    assert "tags" not in bench.asked()


@pytest.mark.parametrize("status", [500, 429])
def test_a_registry_that_is_ill_is_not_taken_for_one_that_lists_nothing(bench: Bench, status: int) -> None:
    bench.lists("main-1")
    bench.api_says({"main-1": 1})
    bench.fake.behave("tags", Behaviour(status=status, headers={"Retry-After": "60"}))
    with pytest.raises(RateLimited if status == 429 else RegistryError):
        bench.pushed(bench.open())


def test_a_long_list_is_compared_in_part_and_then_by_what_it_gains(tmp_path: Path) -> None:
    """Docker Hub's, whose façade has pages of its own: here 40 tags on pages of two."""
    with FakeRegistry() as fake:
        bench = Bench(VENDORS["docker_hub"], fake, SetClock(), tmp_path)
        for number in range(40):
            fake.push("team/app", f"main-{number:02}", pushed_at=_time(number).isoformat())
        fake.page_size = 2
        registries, own = bench.open(), parse("team/app:main-39")
        client = registries.for_service(own, ANYONE)
        assert client.pushed_tags(own, lambda name: True) is not None
        assert fake.counts()["hub_tags"] == 1 + MOST_PAGES_COMPARED
        fake.clear_log()
        registries.new_cycle()
        bench.clock.advance(HOUR)
        fake.push("team/app", "main-40", pushed_at=_time(40).isoformat())
        assert names(client.pushed_tags(own, lambda name: True))[0] == "main-40"
        assert fake.counts()["hub_tags"] == 1


def test_further_pages_that_are_refused_cost_only_the_comparison(tmp_path: Path) -> None:
    with FakeRegistry() as fake:
        bench = Bench(VENDORS["docker_hub"], fake, SetClock(), tmp_path)
        for number in range(6):
            fake.push("team/app", f"main-{number}", pushed_at=_time(number).isoformat())
        fake.page_size, own = 2, parse("team/app:main-5")
        fake.behave("hub_tags", Behaviour(status=403), path="page=2")
        client = bench.open().for_service(own, ANYONE)
        assert names(client.pushed_tags(own, lambda name: True)) == ["main-5", "main-4"]
