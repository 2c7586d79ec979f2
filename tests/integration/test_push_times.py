"""Push times from registries' own APIs, and what Docker Hub says about its pulls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.fake_registry import Basic, Bearer, Behaviour, FakeRegistry
from tests.support.set_clock import SetClock
from updater_core.app.evaluate import facts_of
from updater_core.app.wiring import wire
from updater_core.errors import AuthFailed, NotFound, RateLimited, RegistryError
from updater_core.host.clock import SystemClock
from updater_core.models import (
    Config,
    Hold,
    ImageRef,
    Reason,
    RegistrySettings,
    Secret,
    ServiceConfig,
    Settings,
    Tag,
    Update,
)
from updater_core.policy import admission
from updater_core.reference import parse
from updater_core.registries import HubEndpoints, PullLimit, Registries
from updater_core.vocabulary.dated import ListComparison

APP = "team/app"
ONE, TWO = ("sha256:" + digit * 64 for digit in "12")
DAY = datetime(2025, 5, 1, tzinfo=UTC)
ANYONE = RegistrySettings()


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        registry.push(APP, "1.0")
        yield registry


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def registries(fake: FakeRegistry, clock: SetClock, tmp_path: Path) -> Registries:
    """What knows already that the API at hand has every tag: `test_compared_lists` is about that."""
    compared = ListComparison(is_complete=True, hours=24, until=clock.now() + timedelta(days=400))
    return Registries(
        docker_config_dir=tmp_path,
        clock=clock,
        comparisons={at(fake).key: compared},
        hub_endpoints=HubEndpoints(registry=fake.url, api=fake.url),
    )


def at(fake: FakeRegistry, tag: str = "1.0") -> ImageRef:
    return parse(f"{fake.host}/{APP}:{tag}")


def pushed(registries: Registries, here: ImageRef, settings: RegistrySettings) -> tuple[Tag, ...] | None:
    return registries.for_service(here, settings).pushed_tags(here, lambda name: name != "unwanted")


def says(fake: FakeRegistry, body: object, path: str = "", link: str | None = None) -> None:
    text = json.dumps(body).encode()
    fake.behave("other", Behaviour(status=200, body=text, headers={"Link": link}), path=path)


# ---------------------------------------------------------------------------------------- what each one tells

QUAY, GITLAB, GENERIC = (RegistrySettings(type=kind) for kind in ("quay", "gitlab", "generic"))
QUAY_PATH = "/api/v1/repository/team/app/tag/"
GITLAB_PATH = "/gitlab/v1/repositories/team/app/tags/list/"
HARBOR_PATH = "/api/v2.0/projects/team/repositories/app/artifacts"


def quay_rows(*rows: tuple[str, datetime | None], more: bool = False) -> object:
    tags = [
        {"name": name, "manifest_digest": ONE, **({"start_ts": int(since.timestamp())} if since else {})}
        for name, since in rows
    ]
    return {"tags": tags, "page": 1, "has_additional": more}


def test_quay_tells_since_when_a_tag_names_its_image(fake: FakeRegistry, registries: Registries) -> None:
    later = DAY + timedelta(days=1)
    says(fake, quay_rows(("1.1", later), ("unwanted", DAY), ("1.0", DAY), ("malformed", None)), QUAY_PATH)
    assert pushed(registries, at(fake), QUAY) == (
        Tag("1.1", ONE, later),
        Tag("1.0", ONE, DAY),
        Tag("malformed", ONE),
    )
    assert fake.log[0].path == f"{QUAY_PATH}?onlyActiveTags=true&limit=100&page=1"


def test_quays_pages_are_read_until_nothing_newer_can_come(
    fake: FakeRegistry, registries: Registries
) -> None:
    days = [DAY - timedelta(days=number) for number in range(6)]
    for page in (1, 2, 3):
        rows = [(f"1.{9 - n}", days[n]) for n in (2 * page - 2, 2 * page - 1)]
        says(fake, quay_rows(*rows, more=page < 3), f"page={page}")
    found = pushed(registries, at(fake, "1.6"), QUAY)
    assert [tag.name for tag in found or ()] == ["1.9", "1.8", "1.7", "1.6"]
    assert fake.counts() == {"other": 2}
    whole = pushed(registries, at(fake, "none"), QUAY)
    assert len(whole or ()) == 6
    assert fake.counts() == {"other": 3}  # the first two are this cycle's


def test_an_order_that_is_not_newest_first_is_no_reason_to_stop(
    fake: FakeRegistry, registries: Registries
) -> None:
    says(fake, quay_rows(("1.0", DAY - timedelta(days=9)), ("0.9", DAY), more=True), "page=1")
    says(fake, quay_rows(("1.1", DAY + timedelta(days=1))), "page=2")
    found = pushed(registries, at(fake), QUAY)
    assert [tag.name for tag in found or ()] == ["1.1", "0.9", "1.0"]


def test_quay_is_sent_no_password(fake: FakeRegistry, registries: Registries) -> None:
    says(fake, quay_rows(("1.0", DAY)), QUAY_PATH)
    pushed(registries, at(fake), RegistrySettings(type="quay", username="jane", password=Secret("hunter2")))
    assert "authorization" not in fake.log[0].headers


def test_gitlab_tells_when_a_tag_was_published(fake: FakeRegistry, registries: Registries) -> None:
    rows = [
        {"name": "1.0", "digest": ONE, "created_at": "2025-05-01T00:00:00.000Z"},
        {
            "name": "1.1",
            "digest": TWO,
            "created_at": "2025-05-01T00:00:00Z",
            "updated_at": "2025-05-03T00:00:00Z",
        },
        {"name": "sha256-" + "0" * 64 + ".sig", "digest": TWO, "created_at": "2025-05-03T00:00:00Z"},
        {"name": 5},
        None,
    ]
    says(fake, rows[:1], GITLAB_PATH + "?n=1000", f'<{fake.url}{GITLAB_PATH}?n=1000&last=1.0>; rel="next"')
    fake.well_behaved()
    says(fake, rows[1:], "last=1.0")
    says(fake, rows[:1], GITLAB_PATH, f'<{fake.url}{GITLAB_PATH}?n=1000&last=1.0>; rel="next"')
    found = pushed(registries, parse(f"{fake.host}/{APP}"), GITLAB)
    assert found == (Tag("1.1", TWO, DAY + timedelta(days=2)), Tag("1.0", ONE, DAY))
    assert fake.counts() == {"other": 2}


def test_gitlab_takes_the_token_of_a_pull(fake: FakeRegistry, registries: Registries) -> None:
    fake.auth = Bearer("jane", "hunter2")
    rows = [{"name": "1.0", "digest": ONE, "published_at": "2025-05-01T00:00:00Z"}]
    fake.behave("other", Behaviour(), times=1)  # the challenge
    says(fake, rows, GITLAB_PATH)
    settings = RegistrySettings(type="gitlab", username="jane", password=Secret("hunter2"))
    assert pushed(registries, at(fake), settings) == (Tag("1.0", ONE, DAY),)
    assert fake.log[-1].headers["authorization"].startswith("Bearer ")
    assert "scope=repository%3Ateam%2Fapp%3Apull" in fake.log[1].path


HARBOR = 'Bearer realm="{realm}",service="harbor-registry",scope="{scope}"'


def harbor_rows() -> list[object]:
    pushed_at = "2025-05-01T00:00:00.000Z"
    return [
        {"digest": ONE, "push_time": pushed_at, "tags": [{"name": "1.0", "push_time": pushed_at}]},
        {
            "digest": TWO,
            "tags": [{"name": "1.1", "push_time": "2025-05-02T00:00:00Z"}, {"name": "unwanted"}, None],
        },
        {"digest": TWO, "tags": None},
    ]


def test_a_harbor_gives_itself_away_and_tells_when_tags_came(
    fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer("jane", "hunter2", challenge=HARBOR)
    says(fake, harbor_rows(), HARBOR_PATH)
    settings = RegistrySettings(username="jane", password=Secret("hunter2"))
    wanted = (Tag("1.1", TWO, DAY + timedelta(days=1)), Tag("1.0", ONE, DAY))
    assert pushed(registries, parse(f"{fake.host}/{APP}"), settings) == wanted
    assert fake.log[-1].headers["authorization"].startswith("Basic ")
    registries.new_cycle()
    fake.clear_log()
    assert pushed(registries, parse(f"{fake.host}/{APP}"), settings) == wanted
    assert fake.counts() == {"other": 1}


def test_a_public_project_of_a_harbor_is_asked_without_a_login(
    fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer(challenge=HARBOR)
    says(fake, harbor_rows(), HARBOR_PATH)
    found = pushed(registries, at(fake), RegistrySettings())
    assert [tag.name for tag in found or ()] == ["1.1", "1.0"]
    assert "authorization" not in fake.log[-1].headers


def test_the_repository_of_a_harbor_is_encoded_twice(fake: FakeRegistry, registries: Registries) -> None:
    fake.auth = Bearer(challenge=HARBOR)
    fake.push("team/deep/app", "1.0")
    says(fake, harbor_rows(), "/api/v2.0/projects/team/repositories/deep%252Fapp/artifacts?with_tag=true")
    assert pushed(registries, parse(f"{fake.host}/team/deep/app:1.0"), RegistrySettings())


@pytest.mark.parametrize("auth", [None, Basic("jane", "hunter2"), Bearer("jane", "hunter2")])
def test_what_is_no_harbor_is_asked_nothing_that_it_would_not_be_asked_anyway(
    auth: Basic | Bearer | None, fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = auth
    registry = registries.for_service(at(fake), RegistrySettings(username="jane", password=Secret("hunter2")))
    assert registry.pushed_tags(at(fake), lambda name: True) is None
    before = fake.counts()
    assert [tag.name for tag in registry.tags(at(fake))] == ["1.0"]
    assert fake.counts() == before
    assert "other" not in before


# ---------------------------------------------------------------------------------- a clock that is not there

EACH = pytest.mark.parametrize("settings", [QUAY, GITLAB, GENERIC], ids=["quay", "gitlab", "harbor"])


@EACH
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 412])
def test_a_refusal_leaves_it_to_our_own_clock_for_the_day(
    status: int, settings: RegistrySettings, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.auth = Bearer(challenge=HARBOR)
    fake.behave("other", Behaviour(status=status, body=b"no"))
    for _ in range(3):
        assert pushed(registries, at(fake), settings) is None
        registries.new_cycle()
    asked = fake.counts()["other"]
    assert asked <= 2  # with a challenge answered in vain
    clock.advance(86400)
    pushed(registries, at(fake), settings)
    assert fake.counts()["other"] > asked
    assert [tag.name for tag in registries.for_service(at(fake), settings).tags(at(fake))] == ["1.0"]


@EACH
@pytest.mark.parametrize("body", [b"<html>", b"5", b'{"tags": 5}', b'{"tags": {}}', b'"text"'])
def test_what_is_no_list_is_an_error(
    body: bytes, settings: RegistrySettings, fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer(challenge=HARBOR) if settings is GENERIC else None
    fake.behave("other", Behaviour(status=200, body=body))
    with pytest.raises(RegistryError, match="no list of tags"):
        pushed(registries, at(fake), settings)


@EACH
def test_a_failure_is_not_taken_for_a_refusal(
    settings: RegistrySettings, fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer(challenge=HARBOR) if settings is GENERIC else None
    fake.behave("other", Behaviour(status=500), times=3)
    with pytest.raises(RegistryError, match="status 500"):
        pushed(registries, at(fake), settings)
    fake.behave("other", Behaviour(status=429, headers={"Retry-After": "60"}))
    registries.new_cycle()
    with pytest.raises(RateLimited):
        pushed(registries, at(fake), settings)


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ('<https://thief.example/x>; rel="next"', "incomplete: it goes on at thief.example"),
        ('<?n=1000>; rel="next"', "incomplete: its pages do not come to an end"),
        ('<?n=1000&last=x>; rel="next"', "incomplete: page 2 is refused"),
        ('<?n=1000&last=y>; rel="next"', "incomplete: page 2: .*status 500"),
    ],
)
def test_a_list_that_is_not_whole_is_an_error(
    link: str, words: str, fake: FakeRegistry, registries: Registries
) -> None:
    fake.behave("other", Behaviour(status=403), path="last=x")
    fake.behave("other", Behaviour(status=500), path="last=y")
    says(fake, [{"name": "1.0", "digest": ONE}], GITLAB_PATH, link)
    with pytest.raises(RegistryError, match=words):
        pushed(registries, parse(f"{fake.host}/{APP}"), GITLAB)


# ------------------------------------------------------------------------------------- what Docker Hub allows

HUB_APP = parse("app:1.0")


def allow(fake: FakeRegistry, remaining: int | None) -> None:
    """What the registry says of its limits from now on."""
    fake.well_behaved()
    headers: dict[str, str | None] = {}
    if remaining is not None:
        headers = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": f"{remaining};w=21600"}
    fake.behave("manifest_head", Behaviour(headers=headers))


def check(registries: Registries, settings: RegistrySettings = ANYONE) -> None:
    registries.new_cycle()
    registries.for_service(HUB_APP, settings).digest(HUB_APP)


def test_what_hub_still_allows_is_read_from_every_check(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.push("library/app", "1.0")
    assert registries.limits() == {}
    allow(fake, 76)
    check(registries)
    assert registries.limits() == {fake.host: PullLimit(100, 76, 21600, clock.now())}
    assert registries.pull_allowed_at(HUB_APP) is None
    assert fake.counts() == {"manifest_head": 1}


@pytest.mark.parametrize(("remaining", "waits"), [(0, True), (1, True), (2, False)])
def test_a_pull_that_would_exceed_the_limit_waits(
    remaining: int, waits: bool, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.push("library/app", "1.0")
    allow(fake, remaining)
    check(registries)
    rest = registries.pull_allowed_at(HUB_APP)
    assert rest == (clock.now() + timedelta(seconds=21600) if waits else None)
    clock.advance(21600)
    assert registries.pull_allowed_at(HUB_APP) is None


def test_a_later_check_ends_the_waiting(fake: FakeRegistry, registries: Registries) -> None:
    fake.push("library/app", "1.0")
    for remaining in (50, None):
        allow(fake, 0)
        check(registries)
        assert registries.pull_allowed_at(HUB_APP)
        allow(fake, remaining)
        check(registries)
        assert registries.pull_allowed_at(HUB_APP) is None
    assert registries.limits() == {}  # nothing is said if nothing is limited


def test_each_account_has_its_own_limit_and_the_tightest_is_shown(
    fake: FakeRegistry, registries: Registries
) -> None:
    fake.push("library/app", "1.0")
    jane = RegistrySettings(username="jane", password=Secret("hunter2"))
    allow(fake, 0)
    check(registries)
    allow(fake, 150)
    check(registries, jane)
    assert registries.pull_allowed_at(HUB_APP)
    assert registries.pull_allowed_at(HUB_APP, jane) is None
    assert registries.limits()[fake.host].remaining == 0


def test_other_registries_limit_nothing(fake: FakeRegistry, registries: Registries) -> None:
    with FakeRegistry() as other:
        other.push(APP, "1.0")
        allow(other, 0)
        here = at(other)
        registries.for_service(here, RegistrySettings()).digest(here)
        assert registries.pull_allowed_at(here) is None
    assert registries.limits() == {}


def test_errors_of_the_repository_itself_are_still_reported(
    fake: FakeRegistry, registries: Registries
) -> None:
    gone = parse(f"{fake.host}/team/gone:1.0")
    with pytest.raises(NotFound):
        pushed(registries, gone, GENERIC)
    fake.auth = Basic("jane", "hunter2")
    with pytest.raises(AuthFailed):
        pushed(registries, at(fake), GENERIC)


def test_an_update_waits_for_every_registry_that_it_pulls_from(
    fake: FakeRegistry, registries: Registries, clock: SetClock, tmp_path: Path
) -> None:
    """Images that move together may be of two registries: the one that counts pulls holds all of them."""
    fake.push("library/app", "1.0")
    allow(fake, 0)
    check(registries)
    own = replace(parse("ghcr.io/team/app:1.0"), digest=ONE)
    service = ServiceConfig("web", own)
    config = Config(Settings(state_file=str(tmp_path / "state.json")), (service,))
    context = replace(wire(config, SystemClock(), is_reading=True), registries=registries)
    assert context.registries.pull_allowed_at(own) is None
    facts = replace(facts_of(context, service, (own, HUB_APP), is_stopping=False), now=clock.now())
    held = admission.admit(Update(own, others=(HUB_APP,)), facts)
    assert isinstance(held, Hold)
    assert held.reason is Reason.PULL_LIMIT
    assert "the pull limit of docker.io is used up" in held.detail
    assert admission.admit(Update(own), facts_of(context, service, (own,), is_stopping=False)) == Update(own)
