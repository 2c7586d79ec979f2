"""What one repository's challenge teaches for the others of its host, and what becomes of it if they
differ.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.fake_registry import Basic, Bearer, Behaviour, FakeRegistry
from tests.support.lab import until
from tests.support.set_clock import SetClock
from updater_core.errors import AuthFailed, NotFound, RegistryError
from updater_core.models import RegistrySettings, Secret
from updater_core.reference import parse
from updater_core.registries import Registries
from updater_core.registries.auth.learned import ChallengeCache

ANYONE = RegistrySettings()
JANE = RegistrySettings(username="jane", password=Secret("hunter2"))
NAMES = [f"team/app{number}" for number in range(12)]
BY_SCOPE, BY_PATH = "scope", "for"
REALM_BY_PATH = 'Bearer realm="{realm}?for={scope}",service="fake"'


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        for name in NAMES:
            registry.push(name, "1.0")
        yield registry


@pytest.fixture
def registries(tmp_path: Path) -> Registries:
    return Registries(docker_config_dir=tmp_path, clock=SetClock())


def ask(registries: Registries, fake: FakeRegistry, name: str, settings: RegistrySettings = ANYONE) -> str:
    reference = parse(f"{fake.host}/{name}:1.0")
    return registries.for_service(reference, settings).digest(reference)


def challenges(fake: FakeRegistry) -> int:
    """How many manifests were asked for without a login."""
    return sum(e.kind.startswith("manifest") and "authorization" not in e.headers for e in fake.log)


@pytest.mark.parametrize("settings", [ANYONE, JANE])
def test_a_host_is_asked_once_how_it_wants_to_be_asked_however_many_ask_at_once(
    settings: RegistrySettings, fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = (
        Bearer(bound_by=BY_SCOPE) if settings is ANYONE else Bearer("jane", "hunter2", bound_by=BY_SCOPE)
    )
    with ThreadPoolExecutor(len(NAMES)) as pool:
        list(pool.map(lambda name: ask(registries, fake, name, settings), NAMES))
    assert challenges(fake) == 1
    assert fake.counts() == {"manifest_head": len(NAMES) + 1, "token": len(NAMES)}


def test_a_password_is_asked_for_once_for_each_host(fake: FakeRegistry, registries: Registries) -> None:
    fake.auth = Basic("jane", "hunter2")
    for name in NAMES:
        ask(registries, fake, name, JANE)
    assert fake.counts() == {"manifest_head": len(NAMES) + 1}


def test_a_wrong_password_is_tried_once_however_many_ask_at_once(
    fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer("jane", "another one")

    def refused(name: str) -> bool:
        with pytest.raises(AuthFailed):
            ask(registries, fake, name, JANE)
        return True

    with ThreadPoolExecutor(len(NAMES)) as pool:
        assert all(pool.map(refused, NAMES))
    assert fake.counts()["token"] == 1


@pytest.mark.parametrize("refusal", [401, 403, 404])
def test_a_host_whose_realm_differs_by_path_is_asked_how_for_each(
    refusal: int, fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer(challenge=REALM_BY_PATH, bound_by=BY_PATH, refusal=refusal)
    ask(registries, fake, NAMES[0])
    ask(registries, fake, NAMES[1])  # the learned of the first does not hold
    fake.clear_log()
    for name in NAMES[2:]:
        ask(registries, fake, name)
    assert fake.counts() == {"manifest_head": 2 * len(NAMES[2:]), "token": len(NAMES[2:])}
    registries.new_cycle()
    fake.clear_log()
    for name in NAMES:
        ask(registries, fake, name)
    assert fake.counts() == {"manifest_head": len(NAMES)}


def test_a_token_server_that_refuses_what_is_foreseen_leaves_the_word_to_the_registry(
    fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer()
    ask(registries, fake, NAMES[0])
    fake.behave("token", Behaviour(status=403), times=1)
    ask(registries, fake, NAMES[1])
    assert challenges(fake) == 2


def test_what_is_not_there_is_not_there_with_a_foreseen_token_either(
    fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer(bound_by=BY_SCOPE)
    ask(registries, fake, NAMES[0])
    with pytest.raises(NotFound):
        ask(registries, fake, "team/no")
    fake.clear_log()
    ask(registries, fake, NAMES[1])  # that taught nothing else
    assert fake.counts() == {"manifest_head": 1, "token": 1}


def test_what_one_learned_is_not_done_in_the_name_of_another(
    fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer()
    ask(registries, fake, NAMES[0])
    fake.clear_log()
    ask(registries, fake, NAMES[1], JANE)
    assert [entry.headers.get("authorization", "")[:6] for entry in fake.log] == ["", "Basic ", "Bearer"]


def test_credentials_go_to_no_realm_that_another_ones_challenge_named(
    fake: FakeRegistry, registries: Registries
) -> None:
    """Anybody may be sent anywhere for a token; whoever has a password is asked anew, and then refuses."""
    with FakeRegistry() as elsewhere:
        fake.auth = Bearer(realm=f"{elsewhere.url}/token")
        fake._tokens = elsewhere._tokens
        ask(registries, fake, NAMES[0])
        elsewhere.clear_log()
        fake.auth = Bearer(realm="https://thief.example/token")
        with pytest.raises(AuthFailed, match="gets nothing from us"):
            ask(registries, fake, NAMES[1], JANE)
        assert elsewhere.log == []


def test_a_first_question_without_an_answer_holds_no_other_up(
    fake: FakeRegistry, registries: Registries
) -> None:
    hang = threading.Event()
    fake.behave("manifest_head", Behaviour(hang=hang), path=NAMES[0])
    with ThreadPoolExecutor() as pool:
        first = pool.submit(ask, registries, fake, NAMES[0])
        try:
            assert ask(registries, fake, NAMES[1])
            assert not first.done()
        finally:
            hang.set()
        assert first.result()


def test_ten_minutes_later_a_wrong_password_is_again_tried_once(fake: FakeRegistry, tmp_path: Path) -> None:
    clock = SetClock()
    registries = Registries(docker_config_dir=tmp_path, clock=clock)
    for auth in (Bearer("jane", "another one"), Basic("jane", "another one")):
        fake.auth = auth
        for _ in range(2):
            fake.clear_log()
            registries.new_cycle()
            with ThreadPoolExecutor(len(NAMES)) as pool:
                asked = [pool.submit(ask, registries, fake, name, JANE) for name in NAMES]
                assert all(isinstance(one.exception(), AuthFailed) for one in asked)
            offers = [e for e in fake.log if e.headers.get("authorization", "").startswith("Basic ")]
            assert len(offers) == 1
            clock.advance(601)


def test_a_password_that_was_revoked_is_offered_once_when_all_tokens_run_out(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    clock = SetClock()
    registries = Registries(docker_config_dir=tmp_path, clock=clock)
    fake.auth = Bearer("jane", "hunter2")
    for name in NAMES:
        ask(registries, fake, name, JANE)
    clock.advance(3600)
    fake.auth = Bearer("jane", "another one")
    fake.clear_log()
    registries.new_cycle()
    with ThreadPoolExecutor(len(NAMES)) as pool:
        asked = [pool.submit(ask, registries, fake, name, JANE) for name in NAMES]
        assert all(isinstance(one.exception(), AuthFailed) for one in asked)
    assert fake.counts() == {"token": 1}


def test_a_wrong_password_is_tried_once_too_if_the_first_question_comes_to_nothing(
    fake: FakeRegistry, registries: Registries
) -> None:
    """Nothing is known then, so the next one goes alone, and not all others at once."""
    fake.auth = Basic("jane", "another one")
    answer = threading.Event()
    fake.behave("manifest_head", Behaviour(status=500, hang=answer), path=NAMES[0])
    with ThreadPoolExecutor(len(NAMES)) as pool:
        asked = [pool.submit(ask, registries, fake, NAMES[0], JANE)]
        until(lambda: fake.log)
        asked += [pool.submit(ask, registries, fake, name, JANE) for name in NAMES[1:]]
        answer.set()
        found = [type(each.exception()) for each in asked]
    assert found == [RegistryError] + [AuthFailed] * (len(NAMES) - 1)
    assert sum(entry.headers.get("authorization", "").startswith("Basic ") for entry in fake.log) == 1


def test_a_password_that_is_being_tried_is_waited_for_however_long_it_takes() -> None:
    """Nobody else waits for that: who has none to lose goes on."""
    cache, order = ChallengeCache(longest_wait_seconds=0.0), list[str]()
    is_asking, is_answered, has_passed = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with cache.first_alone("somebody", has_password=True):
            is_asking.set()
            is_answered.wait(60)
            order.append("the first has ended")

    def others() -> None:
        with cache.first_alone("somebody", has_password=True):
            order.append("the next one begins")

    def anyone() -> None:
        with cache.first_alone("somebody", has_password=False):
            has_passed.set()

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(first)]
        assert is_asking.wait(60)
        asked += [pool.submit(others), pool.submit(anyone)]
        assert has_passed.wait(60)
        is_answered.set()
        for one in asked:
            one.result()
    assert order == ["the first has ended", "the next one begins"]
