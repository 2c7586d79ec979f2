"""Logins and tokens: what is offered, to whom, how often, and what is never said of it."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.fake_registry import Basic, Bearer, Behaviour, FakeRegistry
from tests.support.registry_clients import APP, NESTED, SOMEONE, at, digest
from tests.support.set_clock import SetClock
from updater_core.errors import AuthFailed, RegistryError
from updater_core.models import RegistrySettings, Secret
from updater_core.registries import Registries


def config(folder: Path, fake: FakeRegistry, entry: dict[str, str]) -> None:
    (folder / "config.json").write_text(json.dumps({"auths": {fake.host: entry}}))


def test_a_password_is_sent_once_it_is_asked_for_and_then_at_once(
    fake: FakeRegistry, registries: Registries
) -> None:
    fake.push(APP, "1.0")
    fake.auth = Basic("jane", "hunter2")
    digest(registries, at(fake), SOMEONE)
    registries.for_service(at(fake), SOMEONE).tags(at(fake))
    assert ["authorization" in entry.headers for entry in fake.log] == [False, True, True]


@pytest.mark.parametrize(
    "challenge",
    [
        None,
        'Bearer realm="/token",service="fake"',
        'Basic realm="x", bearer REALM={realm}, service=fake, scope="*"',
        'Negotiate abc=, Bearer realm="{realm}?keep=me"',
    ],
)
@pytest.mark.parametrize("field", ["token", "access_token"])
def test_a_token_is_asked_for_as_the_challenge_says(
    challenge: str | None, field: str, fake: FakeRegistry, registries: Registries
) -> None:
    pushed = fake.push(APP, "1.0")
    fake.auth = Bearer("jane", "hunter2", challenge=challenge, field=field)
    assert digest(registries, at(fake), SOMEONE) == pushed.digest
    asked = next(entry for entry in fake.log if entry.kind == "token")
    assert "scope=repository%3Ateam%2Fapp%3Apull" in asked.path
    assert "account=jane" in asked.path
    assert "hunter2" not in asked.path
    assert ("keep=me" in asked.path) is ("keep=me" in (challenge or ""))
    assert ("service=fake" in asked.path) is ("service" in (challenge or "service"))


def test_an_identity_token_goes_the_oauth2_way(
    fake: FakeRegistry, registries: Registries, tmp_path: Path
) -> None:
    pushed = fake.push(APP, "1.0")
    config(tmp_path, fake, {"identitytoken": "refresh-me"})
    fake.auth = Bearer("x", "y", refresh_token="refresh-me", field="access_token")
    assert digest(registries, at(fake)) == pushed.digest
    asked = next(entry for entry in fake.log if entry.kind == "token")
    assert asked.method == "POST"
    assert b"grant_type=refresh_token" in asked.body
    assert "refresh-me" not in asked.path


def test_if_there_is_no_oauth2_the_identity_token_goes_the_old_way(
    fake: FakeRegistry, registries: Registries, tmp_path: Path
) -> None:
    pushed = fake.push(APP, "1.0")
    config(tmp_path, fake, {"identitytoken": "refresh-me"})
    fake.auth = Bearer("<token>", "refresh-me", oauth=False)
    assert digest(registries, at(fake)) == pushed.digest
    assert [e.method for e in fake.log if e.kind == "token"] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("expires_in", "extra", "lives", "is_over"),
    [
        (300, {}, 290, 300),
        (None, {}, 50, 60),
        (1, {}, 50, 60),
        (300, {"issued_at": "2025-06-01T11:58:00Z"}, 170, 180),
        (300, {"issued_at": "2025-06-01T15:00:00Z"}, 290, 300),
        (300, {"issued_at": "2020-01-01T00:00:00Z"}, 290, 300),
        (300, {"issued_at": "nonsense"}, 290, 300),
    ],
)
def test_a_token_is_used_while_it_lives_and_renewed_without_a_refusal(
    expires_in: int | None,
    extra: dict[str, str],
    lives: float,
    is_over: float,
    fake: FakeRegistry,
    registries: Registries,
    clock: SetClock,
) -> None:
    fake.push(APP, "1.0")
    fake.auth = Bearer("jane", "hunter2", expires_in=expires_in, extra=extra)
    digest(registries, at(fake), SOMEONE)
    fake.clear_log()
    clock.advance(lives)
    registries.new_cycle()
    digest(registries, at(fake), SOMEONE)
    assert fake.counts() == {"manifest_head": 1}
    clock.advance(is_over - lives)
    registries.new_cycle()
    digest(registries, at(fake), SOMEONE)
    assert fake.counts() == {"manifest_head": 2, "token": 1}


def test_a_token_that_was_revoked_is_replaced_once(fake: FakeRegistry, registries: Registries) -> None:
    pushed = fake.push(APP, "1.0")
    fake.auth = Bearer("jane", "hunter2")
    digest(registries, at(fake), SOMEONE)
    fake.revoke_tokens()
    registries.new_cycle()
    fake.clear_log()
    assert digest(registries, at(fake), SOMEONE) == pushed.digest
    assert fake.counts() == {"manifest_head": 2, "token": 1}


def test_a_fresh_token_that_is_refused_is_the_end(fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    fake.auth = Bearer()
    fake.behave(
        "manifest_head",
        Behaviour(status=401, headers={"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'}),
    )
    with pytest.raises(AuthFailed, match="unauthorised, or it does not exist"):
        digest(registries, at(fake))
    assert fake.counts() == {"manifest_head": 2, "token": 1}


def test_a_scope_that_does_not_suffice_is_widened(fake: FakeRegistry, registries: Registries) -> None:
    pushed = fake.push(APP, "1.0")
    fake.auth = Bearer()
    digest(registries, at(fake))
    registries.new_cycle()
    wide = f'Bearer realm="{fake.url}/token",scope="wide",error="insufficient_scope"'
    fake.behave("manifest_head", Behaviour(status=403, headers={"WWW-Authenticate": wide}), times=1)
    assert digest(registries, at(fake)) == pushed.digest
    assert "scope=wide&scope=repository" in [e for e in fake.log if e.kind == "token"][-1].path


@pytest.mark.parametrize("auth", [Basic("jane", "new"), Bearer("jane", "new")])
def test_a_refused_login_is_not_tried_again_for_ten_minutes(
    auth: Basic | Bearer, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.push(APP, "1.0")
    fake.push("team/other", "1.0")
    fake.auth = auth
    with pytest.raises(AuthFailed, match="refuses the login as jane"):
        digest(registries, at(fake), SOMEONE)
    fake.clear_log()
    for _ in range(3):
        registries.new_cycle()
        with pytest.raises(AuthFailed, match="not tried again for 10 minutes"):
            digest(registries, at(fake, "team/other:1.0"), SOMEONE)
    assert fake.counts() == {}
    digest(registries, at(fake), RegistrySettings(username="jane", password=Secret("new")))
    clock.advance(601)
    registries.new_cycle()
    fake.clear_log()
    with pytest.raises(AuthFailed):
        digest(registries, at(fake), SOMEONE)
    assert [e.kind for e in fake.log if "Basic" in e.headers.get("authorization", "")] != []


def of_next_process(
    fake: FakeRegistry, clock: SetClock, saved: Mapping[str, datetime], folder: Path
) -> Registries:
    """What a process that starts with this memory asks registries with."""
    return Registries(docker_config_dir=folder, clock=clock, refused_logins=saved)


@pytest.mark.parametrize("auth", [Basic("jane", "new"), Bearer("jane", "new")])
def test_a_refused_login_is_not_offered_by_the_next_process_either(
    auth: Basic | Bearer, fake: FakeRegistry, registries: Registries, clock: SetClock, tmp_path: Path
) -> None:
    fake.push(APP, "1.0")
    fake.auth = auth
    pair = base64.b64encode(b"jane:hunter2").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {fake.host: {"auth": pair}}}))
    with pytest.raises(AuthFailed):
        digest(registries, at(fake))
    saved = registries.refused_logins()
    assert len(saved) == 1
    assert "hunter2" not in str(saved)
    assert pair not in str(saved)
    fake.clear_log()
    clock.advance(300)
    after = of_next_process(fake, clock, saved, tmp_path)
    with pytest.raises(AuthFailed, match="not tried again for 10 minutes") as error:
        digest(after, at(fake))
    assert str(tmp_path / "config.json") in error.value.remedy
    assert f"docker logout {fake.host}" in error.value.remedy
    assert fake.counts() == {}
    assert after.refused_logins() == saved  # the ten minutes do not begin anew
    assert digest(after, at(fake), RegistrySettings(username="jane", password=Secret("new")))
    clock.advance(301)
    assert after.refused_logins() == {}
    with pytest.raises(AuthFailed):
        digest(of_next_process(fake, clock, saved, tmp_path), at(fake))
    assert [e.kind for e in fake.log if "Basic" in e.headers.get("authorization", "")] != []


@pytest.mark.parametrize(
    "text", ["", "nonsense", "HOST", "HOST salt", "HOST salt 00", "HOST s a l t", "HOST \ud800 é"], ids=ascii
)
def test_a_memory_of_refused_logins_that_was_tampered_with_does_no_harm(
    text: str, fake: FakeRegistry, clock: SetClock, tmp_path: Path
) -> None:
    pushed = fake.push(APP, "1.0")
    fake.auth = Basic("jane", "hunter2")
    saved = {text.replace("HOST", fake.host): clock.now() + timedelta(minutes=5)}
    assert digest(of_next_process(fake, clock, saved, tmp_path), at(fake), SOMEONE) == pushed.digest


def test_a_refusal_that_a_wrong_clock_noted_does_not_last(
    fake: FakeRegistry, registries: Registries, clock: SetClock, tmp_path: Path
) -> None:
    pushed = fake.push(APP, "1.0")
    fake.auth = Basic("jane", "new")
    with pytest.raises(AuthFailed):
        digest(registries, at(fake), SOMEONE)
    fake.auth = Basic("jane", "hunter2")
    far = {text: until + timedelta(days=400) for text, until in registries.refused_logins().items()}
    assert digest(of_next_process(fake, clock, far, tmp_path), at(fake), SOMEONE) == pushed.digest


@pytest.mark.parametrize("auth", [Basic("jane", "hunter2"), Bearer("jane", "hunter2")])
def test_a_private_repository_without_a_login_says_what_to_do(
    auth: Basic | Bearer, fake: FakeRegistry, registries: Registries, tmp_path: Path
) -> None:
    fake.auth = auth
    (tmp_path / "config.json").write_text('{"credsStore": "not-here"}')
    with pytest.raises(
        AuthFailed, match="docker-credential-not-here of config.json is not installed"
    ) as error:
        digest(registries, at(fake))
    assert f"docker login {fake.host}" in error.value.remedy
    assert "registry_config.username" in error.value.remedy


@pytest.mark.parametrize(
    "realm", ["http://169.254.169.254/latest/meta-data", "https://thief.example/token", "gopher://x/"]
)
def test_credentials_go_to_no_realm_but_the_registrys_own(
    realm: str, fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer("jane", "hunter2", realm=realm)
    with pytest.raises(AuthFailed, match="gets nothing from us") as error:
        digest(registries, at(fake), SOMEONE)
    assert "token_realm_hosts" in error.value.remedy
    assert fake.counts() == {"manifest_head": 1}


@pytest.mark.parametrize("challenge", ["Negotiate", "Digest realm=x", ""])
def test_a_login_of_an_unknown_kind_is_an_error_that_names_it(
    challenge: str, fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer(challenge=challenge)
    with pytest.raises(AuthFailed, match=challenge.partition(" ")[0].lower() or "none"):
        digest(registries, at(fake), SOMEONE)


def test_a_broken_challenge_is_an_error(fake: FakeRegistry, registries: Registries) -> None:
    fake.auth = Bearer(challenge='Bearer realm="http')
    with pytest.raises(RegistryError, match="challenge cannot be read"):
        digest(registries, at(fake), SOMEONE)


@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", b'{"token": ""}', b'{"token": "a\\r\\nX: y"}', b"[]", b"x" * 100_000, NESTED]
)
def test_a_token_server_that_talks_nonsense_is_an_error(
    body: bytes, fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer()
    fake.behave("token", Behaviour(body=body))
    with pytest.raises(RegistryError, match="without a token|longer than"):
        digest(registries, at(fake))


def test_a_netrc_does_not_speak_for_us(
    fake: FakeRegistry, registries: Registries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login thief password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fake.push(APP, "1.0")
    fake.auth = Basic("jane", "hunter2")
    digest(registries, at(fake), SOMEONE)


def test_no_secret_shows_anywhere(
    fake: FakeRegistry, registries: Registries, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    basic = base64.b64encode(b"jane:hunter2").decode()
    echo = f"you sent Basic {basic} and jane:hunter2\x1b[31m".encode()
    fake.auth = Basic("jane", "hunter2")
    fake.behave("manifest_head", Behaviour(status=403, body=echo), path="1.0")
    fake.behave("manifest_get", Behaviour(status=403, body=echo))
    with pytest.raises(AuthFailed) as error:
        digest(registries, at(fake), SOMEONE)
    shown = f"{error.value!r} {error.value} {error.value.remedy} {caplog.text} {vars(registries)}"
    assert "you sent" in shown
    assert "hunter2" not in shown
    assert basic not in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    "said",
    [
        "no access for hunter2-and-a-long-rest",
        "x" * 190 + " hunter2-and-a-long-rest",
        "token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl lacks pull",
    ],
)
def test_what_we_sent_is_not_in_a_message_even_if_the_registry_says_it_back(
    said: str, fake: FakeRegistry, registries: Registries
) -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": said}]}).encode()
    fake.behave("manifest_get", Behaviour(status=403, body=body))
    fake.behave("manifest_head", Behaviour(status=403, body=body))
    settings = RegistrySettings(username="jane", password=Secret("hunter2-and-a-long-rest"))
    with pytest.raises(RegistryError) as caught:
        registries.for_service(at(fake), settings).digest(at(fake))
    for part in ("hunter2", "eyJhbGci", "c2lnbmF0dXJl"):
        assert part not in str(caught.value)
    assert "***" in str(caught.value) or len(said) > 190


def test_an_expired_login_names_the_file_it_comes_from_and_the_command_that_removes_it(
    fake: FakeRegistry, registries: Registries, tmp_path: Path
) -> None:
    fake.push(APP, "1.0")
    fake.auth = Bearer("jane", "hunter2")
    config(tmp_path, fake, {"username": "jane", "password": "hunter9"})
    for _ in range(2):  # also while the refusal is remembered
        with pytest.raises(AuthFailed) as error:
            digest(registries, at(fake))
        registries.new_cycle()
        assert str(tmp_path / "config.json") in error.value.remedy
        assert f"`docker logout {fake.host}`" in error.value.remedy
        assert "hunter9" not in f"{error.value} {error.value.remedy}"
    fake.auth = Bearer()
    (tmp_path / "config.json").write_text("{}")  # what `docker logout` leaves
    digest(registries, at(fake))


def test_a_refused_login_of_the_configuration_is_named_as_that(
    fake: FakeRegistry, registries: Registries
) -> None:
    fake.push(APP, "1.0")
    fake.auth = Bearer("jane", "other")
    with pytest.raises(AuthFailed) as error:
        digest(registries, at(fake), SOMEONE)
    assert "registry_config" in error.value.remedy
    assert "logout" not in error.value.remedy
