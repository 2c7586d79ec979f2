"""Docker Hub's API, which knows when a tag was pushed, and the login it wants."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.fake_registry import Bearer, Behaviour, Build, FakeRegistry
from tests.support.registry_clients import ANYONE, make, names
from tests.support.set_clock import SetClock
from updater_core.errors import NotFound, RegistryError
from updater_core.models import Credential, RegistrySettings, Secret, Tag
from updater_core.reference import parse
from updater_core.registries import Registries

HUB_APP = parse("app:1.0")
JANE = Credential("jane", Secret("hunter2"))


def push_days(fake: FakeRegistry, count: int, repository: str = "library/app") -> None:
    for day in range(1, count + 1):
        fake.push(repository, f"1.{day}", Build(created=None), f"2025-05-{day:02}T00:00:00.5Z")


def compare(fake: FakeRegistry, registries: Registries, repository: str = "library/app") -> None:
    """Let the first look at a repository, with its comparison of Docker Hub's two lists, be over."""
    whole = parse(repository)
    registries.for_service(whole, ANYONE).pushed_tags(whole, lambda name: True)
    registries.new_cycle()
    fake.clear_log()


def test_hub_tells_when_tags_were_pushed_newest_first(fake: FakeRegistry, registries: Registries) -> None:
    push_days(fake, 3)
    fake.push("library/app", "unknown", pushed_at=None)
    compare(fake, registries)
    found = registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: name != "1.2")
    assert names(found) == ["1.3", "1.1", "unknown"]
    assert found is not None
    assert found[0].pushed_at == datetime(2025, 5, 3, 0, 0, 0, 500000, tzinfo=UTC)
    assert (found[0].digest or "").startswith("sha256:")
    assert found[2].pushed_at is None
    assert "page_size=100" in fake.log[0].path
    assert fake.log[0].path.startswith("/v2/namespaces/library/repositories/app/tags?")


@pytest.mark.parametrize("shuffled", [False, True])
def test_hubs_order_is_checked_and_not_believed(
    shuffled: bool, fake: FakeRegistry, registries: Registries
) -> None:
    push_days(fake, 10)
    fake.page_size, fake.hub_shuffled = 2, shuffled
    compare(fake, registries)
    own = parse("app:1.7")
    found = registries.for_service(own, ANYONE).pushed_tags(own, lambda name: True)
    assert names(found)[:4] == ["1.10", "1.9", "1.8", "1.7"]
    assert fake.counts() == {"hub_tags": 5 if shuffled else 2}


def test_all_pages_are_read_if_the_own_tag_is_not_among_the_wanted(
    fake: FakeRegistry, registries: Registries
) -> None:
    push_days(fake, 10)
    fake.page_size = 2
    own = parse("app:1.9")
    found = registries.for_service(own, ANYONE).pushed_tags(own, lambda name: name in ("1.1", "1.2"))
    assert names(found) == ["1.2", "1.1"]


def test_a_reference_without_a_tag_means_the_whole_list(fake: FakeRegistry, registries: Registries) -> None:
    """What a service that may go back has to ask for: its own tag is no end."""
    push_days(fake, 10)
    fake.page_size = 2
    compare(fake, registries)
    own, whole = parse("app:1.9"), parse("app")
    assert names(registries.for_service(own, ANYONE).pushed_tags(own, lambda name: True)) == ["1.10", "1.9"]
    found = registries.for_service(whole, ANYONE).pushed_tags(whole, lambda name: True)
    assert names(found) == [f"1.{day}" for day in range(10, 0, -1)]
    assert fake.counts() == {"hub_tags": 5}


def test_hub_is_asked_for_a_page_once_in_a_cycle(fake: FakeRegistry, registries: Registries) -> None:
    push_days(fake, 3)
    for settings in (ANYONE, RegistrySettings(type="docker_hub")):
        registries.for_service(HUB_APP, settings).pushed_tags(HUB_APP, lambda name: True)
    assert fake.counts() == {"tags": 1, "hub_tags": 1}


def test_a_private_repository_on_hub_needs_one_login(
    fake: FakeRegistry, clock: SetClock, tmp_path: Path
) -> None:
    fake.hub_login, fake.hub_private, fake.page_size = ("jane", "hunter2"), {"team/app"}, 1
    push_days(fake, 2, "team/app")
    registries, own = make(fake, clock, tmp_path, JANE), parse("team/app:none")
    assert names(registries.for_service(own, ANYONE).pushed_tags(own, lambda name: True)) == ["1.2", "1.1"]
    assert fake.counts() == {"tags": 3, "hub_tags": 3, "hub_token": 1}
    assert "hunter2" not in "".join(entry.path for entry in fake.log)
    registries.new_cycle()
    fake.clear_log()
    registries.for_service(own, ANYONE).pushed_tags(own, lambda name: True)
    assert fake.counts() == {"hub_tags": 2, "hub_token": 1}


def test_a_login_on_hub_lasts_until_its_token_ends(
    fake: FakeRegistry, clock: SetClock, tmp_path: Path
) -> None:
    fake.hub_login, fake.hub_private = ("jane", "hunter2"), {"team/app"}
    fake.hub_token_ends = clock.now().timestamp() + 600
    push_days(fake, 1, "team/app")
    registries, own = make(fake, clock, tmp_path, JANE), parse("team/app:none")

    def logins() -> int:
        registries.new_cycle()
        fake.clear_log()
        assert names(registries.for_service(own, ANYONE).pushed_tags(own, lambda name: True)) == ["1.1"]
        return fake.counts().get("hub_token", 0)

    assert [logins(), logins()] == [1, 0]
    clock.advance(500)
    assert logins() == 0
    clock.advance(60)
    fake.hub_token_ends = clock.now().timestamp() + 600
    assert [logins(), logins()] == [1, 0]
    fake.revoke_tokens()
    assert [logins(), logins()] == [1, 0]


def test_a_public_repository_on_hub_sees_no_credentials(
    fake: FakeRegistry, clock: SetClock, tmp_path: Path
) -> None:
    push_days(fake, 1)
    registries = make(fake, clock, tmp_path, JANE)
    registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True)
    assert not any("authorization" in entry.headers for entry in fake.log)
    assert fake.counts() == {"tags": 1, "hub_tags": 1}


def test_a_login_that_hub_refuses_is_not_repeated(
    fake: FakeRegistry, clock: SetClock, tmp_path: Path
) -> None:
    fake.hub_private = {"library/app"}
    push_days(fake, 1)
    registries = make(fake, clock, tmp_path, JANE)
    for _ in range(2):
        assert registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True) is None
        registries.new_cycle()
    assert fake.counts()["hub_token"] == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_organisations_token_that_only_the_registry_takes_leaves_it_to_our_own_clock(
    status: int, fake: FakeRegistry, clock: SetClock, tmp_path: Path
) -> None:
    fake.hub_private = {"library/app"}
    fake.behave("hub_token", Behaviour(status=status, body=b"{}"))
    fake.auth = Bearer("jane", "hunter2")
    push_days(fake, 2)
    registry = make(fake, clock, tmp_path, JANE).for_service(HUB_APP, ANYONE)
    assert registry.pushed_tags(HUB_APP, lambda name: True) is None
    assert names(registry.tags(HUB_APP)) == ["1.1", "1.2"]


def test_a_repository_that_hub_does_not_know_is_not_found(fake: FakeRegistry, registries: Registries) -> None:
    registry = registries.for_service(HUB_APP, ANYONE)
    assert registry.pushed_tags(HUB_APP, lambda name: True) is None
    with pytest.raises(NotFound):
        registry.tags(HUB_APP)


@pytest.mark.parametrize(
    ("following", "words"),
    [
        ("https://thief.example/{path}?{query}", "incomplete: it goes on at thief.example"),
        ("{url}{path}?page_size=100&ordering=last_updated", "do not come to an end"),
    ],
)
def test_hubs_list_may_not_lead_astray(
    following: str, words: str, fake: FakeRegistry, registries: Registries
) -> None:
    push_days(fake, 3)
    fake.page_size, fake.hub_next = 1, following
    with pytest.raises(RegistryError, match=words):
        registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True)


def test_a_page_of_hubs_that_fails_makes_the_list_incomplete(
    fake: FakeRegistry, registries: Registries
) -> None:
    push_days(fake, 3)
    fake.page_size = 1
    fake.behave("hub_tags", Behaviour(status=500), path="page=2")
    with pytest.raises(RegistryError, match="incomplete: page 2"):
        registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"results": {}}'])
def test_what_is_no_list_of_hubs_is_an_error(body: bytes, fake: FakeRegistry, registries: Registries) -> None:
    push_days(fake, 1)
    fake.behave("hub_tags", Behaviour(body=body))
    with pytest.raises(RegistryError, match="no list of tags"):
        registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True)


def test_rows_of_hubs_that_are_no_tags_are_dropped(fake: FakeRegistry, registries: Registries) -> None:
    push_days(fake, 1)
    compare(fake, registries)
    rows = [
        None,
        {"name": None},
        {"name": "ok", "digest": "x", "tag_last_pushed": "never"},
        {"name": "not a tag"},
    ]
    fake.behave("hub_tags", Behaviour(body=json.dumps({"results": rows, "next": None}).encode()))
    assert registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True) == (Tag("ok"),)
