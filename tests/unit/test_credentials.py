"""Where credentials come from, and that a broken source harms nobody else."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from tests.support.log_line import logged
from tests.support.set_clock import SetClock
from updater_core.config.options import OPTIONS, SECRET_VARIABLES
from updater_core.models import Credential, RegistrySettings, Secret
from updater_core.reference import parse
from updater_core.registries.vendors import registry_type
from updater_core.registry_utils import Logins

NOTHING = RegistrySettings()


def logins(folder: Path, clock: SetClock | None = None, hub: Credential | None = None) -> Logins:
    return Logins(hub, folder, clock or SetClock(), SECRET_VARIABLES)


def write(folder: Path, config: object) -> None:
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "config.json").write_text(text)


def auth(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the PATH; a helper put there is found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def install(folder: Path, name: str, script: str) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_services_own_credentials_go_before_all_others(tmp_path: Path) -> None:
    write(tmp_path, {"auths": {"https://index.docker.io/v1/": {"auth": auth("config", "c")}}})
    found = logins(tmp_path, hub=Credential("hub", Secret("h")))
    own = RegistrySettings(username="own", password=Secret("o"))
    assert found.find("docker.io", own).name == "own"
    assert found.find("docker.io", NOTHING).name == "hub"
    assert logins(tmp_path).find("docker.io", NOTHING).name == "config"


def test_hub_credentials_go_to_docker_hub_only(tmp_path: Path) -> None:
    assert logins(tmp_path, hub=Credential("hub", Secret("h"))).find("ghcr.io", NOTHING).credential is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"auth": auth("u", "p:with:colons")}, Credential("u", Secret("p:with:colons"))),
        ({"auth": auth("u", "p\0\0")}, Credential("u", Secret("p"))),
        ({"username": "u", "password": "p"}, Credential("u", Secret("p"))),
        ({"auth": auth("u", ""), "identitytoken": "t"}, Credential("u", Secret("t"), is_identity_token=True)),
        ({"identitytoken": "t"}, Credential("<token>", Secret("t"), is_identity_token=True)),
        ({}, None),
    ],
)
def test_every_form_of_an_auths_entry_is_read(
    tmp_path: Path, entry: dict[str, str], expected: Credential | None
) -> None:
    write(tmp_path, {"auths": {"r.example": entry}})
    assert logins(tmp_path).find("r.example", NOTHING).credential == expected


@pytest.mark.parametrize(
    "key", ["r.example:5000", "https://r.example:5000", "http://r.example:5000/v2/", "r.example:5000/"]
)
def test_a_key_of_auths_is_a_host_in_any_spelling(tmp_path: Path, key: str) -> None:
    write(tmp_path, {"auths": {key: {"auth": auth("u", "p")}}})
    assert logins(tmp_path).find("r.example:5000", NOTHING).name == "u"
    assert logins(tmp_path).find("r.example", NOTHING).name == "anonymous"


def test_a_key_for_a_part_of_a_registry_is_not_for_all_of_it(tmp_path: Path) -> None:
    write(tmp_path, {"auths": {"r.example/team": {"auth": auth("u", "p")}}})
    assert logins(tmp_path).find("r.example", NOTHING).credential is None


@pytest.mark.parametrize(
    "config", ["not json", "[]", "[" * 100_000, '{"auths": {"r.example": {"auth": "????"}}}']
)
def test_a_config_that_cannot_be_used_means_anonymous_and_is_named(tmp_path: Path, config: str) -> None:
    write(tmp_path, config)
    login = logins(tmp_path).find("r.example", NOTHING)
    assert login.credential is None
    assert "config.json" in login.problem


def test_a_helper_that_prints_nested_json_is_named_and_harms_nobody(tmp_path: Path, helper: Path) -> None:
    install(helper, "deep", "head -c 100000 /dev/zero | tr '\\0' '['")
    write(tmp_path, {"credsStore": "deep"})
    login = logins(tmp_path).find("r.example", NOTHING)
    assert (login.credential, login.problem) == (
        None, "docker-credential-deep printed something that is not its protocol's JSON"
    )  # fmt: skip


def test_an_auth_without_colon_does_not_show_in_its_problem(tmp_path: Path) -> None:
    write(tmp_path, {"auths": {"r.example": {"auth": base64.b64encode(b"hunter2").decode()}}})
    login = logins(tmp_path).find("r.example", NOTHING)
    assert "no ':'" in login.problem
    assert "hunter2" not in login.problem


def test_no_config_at_all_is_simply_anonymous(tmp_path: Path) -> None:
    login = logins(tmp_path / "missing").find("r.example", NOTHING)
    assert (login.credential, login.problem) == (None, "")


def test_a_changed_config_is_read_again(tmp_path: Path) -> None:
    found = logins(tmp_path)
    assert found.find("r.example", NOTHING).credential is None
    write(tmp_path, {"auths": {"r.example": {"auth": auth("first", "p")}}})
    assert found.find("r.example", NOTHING).name == "first"
    write(tmp_path, {"auths": {"r.example": {"auth": auth("second one", "p")}}})
    assert found.find("r.example", NOTHING).name == "second one"


def test_docker_config_names_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"auths": {"r.example": {"auth": auth("u", "p")}}})
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert Logins(None, None, SetClock()).find("r.example", NOTHING).name == "u"


def test_what_a_helper_gave_is_in_no_line_of_the_log(tmp_path: Path, helper: Path) -> None:
    install(helper, "fake", """echo '{"Username":"<token>","Secret":"a-helpers-token"}'""")
    write(tmp_path, {"credHelpers": {"r.example": "fake"}})
    assert logged("a-helpers-token") == "a-helpers-token"
    logins(tmp_path).find("r.example", NOTHING)
    assert logged("a-helpers-token") == "***"


def test_what_the_config_says_is_in_no_line_of_the_log(tmp_path: Path) -> None:
    entries = {
        "r.example": {"auth": auth("u", "an-auths-password")},
        "s.example": {"identitytoken": "an-identity"},
    }
    write(tmp_path, {"auths": entries})
    text = f"an-auths-password {auth('u', 'an-auths-password')} an-identity"
    assert logged(text) == text
    for domain in ("r.example", "s.example"):
        logins(tmp_path).find(domain, NOTHING)
    assert logged(text) == "*** *** ***"


def test_a_helper_is_asked_on_stdin_and_remembered_for_some_minutes(tmp_path: Path, helper: Path) -> None:
    install(
        helper,
        "fake",
        f'read server; echo "$@ $server" >> {tmp_path}/asked; echo \'{{"Username":"u","Secret":"s"}}\'',
    )
    write(tmp_path, {"credHelpers": {"r.example": "fake"}, "credsStore": "missing"})
    clock = SetClock()
    found = logins(tmp_path, clock)
    assert found.find("r.example", NOTHING).credential == Credential("u", Secret("s"))
    clock.advance(200)
    found.find("r.example", NOTHING)
    assert (tmp_path / "asked").read_text() == "get r.example\n"
    clock.advance(200)
    found.find("r.example", NOTHING)
    assert (tmp_path / "asked").read_text().count("get") == 2


def test_a_helper_for_docker_hub_is_asked_by_its_old_name(tmp_path: Path, helper: Path) -> None:
    install(helper, "fake", 'read server; echo "{\\"Username\\":\\"$server\\",\\"Secret\\":\\"s\\"}"')
    write(tmp_path, {"credsStore": "fake"})
    assert logins(tmp_path).find("docker.io", NOTHING).name == "https://index.docker.io/v1/"


def test_the_user_token_means_an_identity_token(tmp_path: Path, helper: Path) -> None:
    install(helper, "fake", 'echo \'{"Username":"<token>","Secret":"refresh"}\'')
    write(tmp_path, {"credsStore": "fake"})
    credential = logins(tmp_path).find("r.example", NOTHING).credential
    assert credential is not None
    assert credential.is_identity_token


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'credentials not found in native keychain'; exit 1", ""),
        ("echo 'secret-in-the-open'; exit 3", "exit status 3"),
        ("echo nonsense", "not its protocol's JSON"),
        ("echo '[]'", "not its protocol's JSON"),
    ],
)
def test_a_failing_helper_means_anonymous(tmp_path: Path, helper: Path, script: str, problem: str) -> None:
    install(helper, "fake", script)
    write(tmp_path, {"credsStore": "fake"})
    login = logins(tmp_path).find("r.example", NOTHING)
    assert login.credential is None
    assert problem in login.problem
    assert bool(login.problem) == bool(problem)
    assert "secret-in-the-open" not in login.problem


@pytest.mark.parametrize("name", ["desktop-that-is-not-here", "../../bin/sh", ""])
def test_a_missing_helper_means_anonymous_or_the_entry_in_auths(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"credsStore": name, "auths": {"r.example": {"auth": auth("u", "p")}}})
    found = logins(tmp_path)
    assert found.find("r.example", NOTHING).name == "u"
    assert found.find("other.example", NOTHING).credential is None
    if name:
        assert "is not installed" in found.find("other.example", NOTHING).problem


def test_our_own_secrets_are_not_in_a_helpers_environment(
    tmp_path: Path, helper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = [option.variable for option in OPTIONS if option.kind.secret and option.variable]
    assert {"DOCKER_HUB_PASSWORD", "WEBHOOK_SECRET", "API_TOKEN"} < {*secrets}
    for name in secrets:
        monkeypatch.setenv(name, f"secret-of-{name}")
    install(helper, "fake", f"env > {tmp_path}/environment; exit 1")
    write(tmp_path, {"credsStore": "fake"})
    logins(tmp_path).find("r.example", NOTHING)
    environment = (tmp_path / "environment").read_text()
    assert "PATH=" in environment
    assert "secret-of-" not in environment


def test_no_secret_shows_in_a_login(tmp_path: Path) -> None:
    write(tmp_path, {"auths": {"r.example": {"auth": auth("u", "hunter2")}}})
    assert "hunter2" not in repr(logins(tmp_path).find("r.example", NOTHING))


@pytest.mark.parametrize(
    ("reference", "type_", "expected"),
    [
        ("nginx", None, "docker_hub"),
        ("ghcr.io/a/b", None, "generic"),
        ("nginx", "generic", "generic"),
        ("1.dkr.ecr.eu-west-1.amazonaws.com/a", "ecr", "ecr"),
    ],
)
def test_the_settings_or_else_the_host_say_which_registry_it_is(
    reference: str, type_: str | None, expected: str
) -> None:
    assert registry_type(parse(reference), RegistrySettings(type=type_)) == expected
