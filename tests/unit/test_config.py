"""The configuration: what a document, a `.env` and the environment come to, and how mistakes are reported."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from updater_core import config_utils
from updater_core.config.options import API_TOKEN, OPTIONS, REGISTRY, TOP, Option
from updater_core.errors import ConfigError
from updater_core.models import (
    Bump,
    GatePolicy,
    Hours,
    ImageRef,
    Mode,
    Policy,
    RegistrySettings,
    Secret,
    ServiceConfig,
    Settings,
    Window,
)
from updater_core.registries.vendors.docker_hub.settings import DockerHubAccount
from updater_core.registries.vendors.ecr.settings import EcrSettings
from updater_core.registries.vendors.google.settings import GoogleSettings
from updater_core.targets.compose.entry.settings import ComposeSettings

ROOT = Path(__file__).resolve().parents[2]
ECR_IMAGE = "111111111111.dkr.ecr.us-east-1.amazonaws.com/api:staging-1"
NIGHT = Window(2 * 60, 4 * 60)


def entry(**more: Any) -> dict[str, Any]:
    """A service with nothing but what it must have, and `more`; a key that is `...` is taken away."""
    whole = {
        "name": "web",
        "image": "acme/web:1",
        "compose_file": "/srv/compose.yml",
        "compose_service": "web",
        **more,
    }
    return {key: value for key, value in whole.items() if value is not ...}


def document(*entries: Any, **top: Any) -> dict[str, Any]:
    return {"services": list(entries), **top}


def problems(raw: Any, environment: Mapping[str, str] | None = None) -> list[str]:
    """Every problem of a document; an empty list if it is good."""
    try:
        config_utils.parse(raw, environment or {}, "/etc/up/config.json")
    except ConfigError as error:
        return list(error.problems)
    return []


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


# ---------------------------------------------------------------------------------------------- what is meant


def test_a_document_with_nothing_optional_takes_the_defaults_of_the_models() -> None:
    config = config_utils.parse(document(entry()), {})
    service = config.services[0]
    assert config.settings == Settings()
    assert (service.policy, service.gate, service.hours, service.registry) == (
        Policy(), GatePolicy(), Hours(), RegistrySettings(),
    )  # fmt: skip
    assert (service.enabled, service.allow_drift, service.platform, service.target) == (True, False, None, ())
    assert (service.compose_files, service.compose_services) == (("/srv/compose.yml",), ("web",))


def paths_of(kind: Any, head: str = "") -> Iterator[str]:
    """Every field of a record and of the records in it: `policy.tag_regex`."""
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint) and hint is not ImageRef:
            yield from paths_of(hint, f"{head}{name}.")
        else:
            yield f"{head}{name}"


def test_every_field_of_the_models_is_filled_by_one_option() -> None:
    top = [option.path for option in OPTIONS if option.place == TOP and option.path]
    service = [option.path for option in OPTIONS if option.place != TOP and option.path]
    assert sorted(top) == sorted({*paths_of(Settings)} - {"vendors", "targets"})
    found_running = {"is_discovered", "problem"}  # what no entry says
    assert sorted(service) == sorted(
        {*paths_of(ServiceConfig)} - found_running - {"registry.vendors", "target"}
    )


@pytest.mark.parametrize("kind", sorted({option.settings for option in OPTIONS if option.settings}, key=str))
def test_every_field_of_a_vendors_or_targets_settings_is_filled_by_one_option(kind: type) -> None:
    assert [option.key for option in OPTIONS if option.settings is kind] == [
        each.name for each in fields(kind)
    ]


def test_the_options_of_a_service_reach_the_model() -> None:
    raw = entry(
        compose_file=["a.yml", "/b/../c.yml"], compose_service=["web", "worker"], compose_project="blue",
        enabled=False,
        semver_pattern="v*", semver_range=">=1.4 <3", max_bump="minor", allow_prerelease=True,
        tag_exclude="*-debug",
        min_age="72h", allow_downgrade=True, pin_digest=True, mode="notify", health_timeout="2m",
        health_stable=0,
        start_stopped=True, allow_drift=True, platform="linux/arm64/v8", pause_updates=True,
        image="ghcr.io/acme/web:1",
        registry_type="ghcr", registry_config={"username": "robot", "password": "s3cret",
                                               "insecure_http": True,
                                               "token_realm_hosts": "sso.example.com:8443"},
    )  # fmt: skip
    service = config_utils.parse(document(raw), {}, "/etc/up/config.json").services[0]
    assert service.compose_files == ("/etc/up/a.yml", "/c.yml")
    assert service.compose_services == ("web", "worker")
    assert service.target == (ComposeSettings("blue", start_stopped=True),)
    assert service.policy == Policy(
        semver_pattern="v*", semver_range=">=1.4 <3", max_bump=Bump.MINOR, allow_prerelease=True,
        tag_exclude=("*-debug",), min_age_seconds=259200, allow_downgrade=True, pin_digest=True,
        mode=Mode.NOTIFY,
    )  # fmt: skip
    assert service.gate == GatePolicy(120, 0)
    assert (service.enabled, service.allow_drift) == (False, True)
    assert (service.platform, service.hours) == ("linux/arm64/v8", Hours(paused=True))
    assert service.registry == RegistrySettings(
        "generic", "robot", Secret("s3cret"), insecure_http=True, token_realm_hosts=("sso.example.com:8443",)
    )


def test_the_vendors_settings_reach_the_model() -> None:
    aws = {"region": "us-east-1", "aws_access_key_id": "AK", "aws_secret_access_key": "S",
           "aws_session_token": "T",
           "aws_profile": "p"}  # fmt: skip
    google = {"project_id": "p", "service_account_path": "key.json"}
    raw = document(
        entry(image=ECR_IMAGE, registry_config=aws),
        entry(name="g", image="gcr.io/p/a:1", compose_service="g",
                                                          registry_config=google),
    )  # fmt: skip
    first, second = (
        service.registry for service in config_utils.parse(raw, {}, "/etc/up/config.json").services
    )
    assert first.vendors == (EcrSettings("us-east-1", "AK", Secret("S"), Secret("T"), "p"),)
    assert second.vendors == (GoogleSettings("p", "/etc/up/key.json"),)


TOP_VALUES = {
    "check_interval": ("30", 30.0), "compose_timeout": ("2m", 120.0), "log_level": ("debug", "DEBUG"),
    "log_format": ("JSON", "json"), "log_file": ("/l", "/l"), "state_file": ("/s", "/s"),
    "state_backups": ("0", 0),
    "state_backup_dir": ("/b", "/b"), "metrics_port": ("9100", 9100), "metrics_host": ("0.0.0.0", "0.0.0.0"),
    "webhook_url": ("https://example.com/h", Secret("https://example.com/h")),
    "webhook_secret": ("k", Secret("k")),
}  # fmt: skip
SETTING_OF = {"check_interval": "check_interval_seconds", "compose_timeout": "compose_timeout_seconds"}


@pytest.mark.parametrize(("key", "text", "value"), [(key, *pair) for key, pair in TOP_VALUES.items()])
def test_a_global_option_is_read_from_the_file_and_from_its_variable(
    key: str, text: str, value: object
) -> None:
    setting = SETTING_OF.get(key, key)
    by_file = config_utils.parse(document(**{key: text}), {})
    by_variable = config_utils.parse(document(), {key.upper(): text})
    assert getattr(by_file.settings, setting) == getattr(by_variable.settings, setting) == value


def test_the_global_gate_holds_for_services_that_name_none() -> None:
    raw = document(entry(), entry(name="b", compose_service="b", health_timeout=5), health_timeout=60)
    gates = [service.gate for service in config_utils.parse(raw, {"HEALTH_STABLE": "3"}).services]
    assert gates == [GatePolicy(60, 3), GatePolicy(5, 3)]


def test_the_docker_hub_account_comes_from_its_variables() -> None:
    settings = config_utils.parse(
        document(), {"DOCKER_HUB_USERNAME": "acme", "DOCKER_HUB_PASSWORD": "x"}
    ).settings
    assert settings.vendors == (DockerHubAccount("acme", Secret("x")),)


def test_the_environment_beats_the_file_and_an_empty_variable_does_not() -> None:
    raw = document(check_interval=30)
    assert config_utils.parse(raw, {"CHECK_INTERVAL": "60"}).settings.check_interval_seconds == 60
    assert config_utils.parse(raw, {"CHECK_INTERVAL": ""}).settings.check_interval_seconds == 30


@pytest.mark.parametrize(("text", "paused"), [("1", True), ("true", True), ("Yes", True), ("on", True),
                                              ("0", False),
                                              ("false", False), ("NO", False), ("off", False)])  # fmt: skip
def test_a_switch_in_the_environment_may_be_written_in_several_ways(text: str, paused: bool) -> None:
    assert config_utils.parse(document(), {"PAUSE_UPDATES": text}).settings.hours.paused is paused


@pytest.mark.parametrize(
    ("written", "seconds"), [(90, 90), ("90", 90), ("90s", 90), ("90m", 5400), ("72h", 259200),
                                                  ("3d", 259200), ("2w", 1209600), ("1.5h", 5400),
                                                  (0.5, 0.5)],
)  # fmt: skip
def test_a_duration_is_a_number_of_seconds_or_a_text_with_a_unit(written: object, seconds: float) -> None:
    raw = document(entry(min_age=written))
    assert config_utils.parse(raw, {}).services[0].policy.min_age_seconds == seconds


@pytest.mark.parametrize("written", ["WARN", "WARNING", "DEBUG", "INFO", "ERROR"])
def test_a_log_level_is_one_that_python_knows(written: str) -> None:
    level = config_utils.parse(document(log_level=written), {}).settings.log_level
    assert logging.getLevelNamesMapping()[level] == logging.getLevelNamesMapping()[written]


SPELLINGS = {"docker_hub": "docker_hub", "dockerhub": "docker_hub", "docker-hub": "docker_hub",
             "hub": "docker_hub",
             "generic": "generic", "ghcr": "generic", "quay": "generic", "gitlab": "generic",
             "harbor": "generic",
             "oci": "generic", "registry": "generic", "ecr": "ecr", "aws": "ecr", "gcr": "gcr",
             "google": "gcr",
             "gar": "gcr", "artifact_registry": "gcr"}  # fmt: skip


@pytest.mark.parametrize(("written", "type_"), SPELLINGS.items())
def test_a_registry_type_may_be_spelled_as_people_do(written: str, type_: str) -> None:
    raw = document(entry(image="localhost:5000/acme/web:1", registry_type=written))
    assert config_utils.parse(raw, {}).services[0].registry.type == type_


# --------------------------------------------------------------------------------------------- hours and zone


def test_the_global_hours_are_settings() -> None:
    settings = config_utils.parse(
        document(maintenance_window="02:00-04:00", timezone="UTC"), {"PAUSE_UPDATES": "1"}
    )
    assert settings.settings.hours == Hours((NIGHT,), "UTC", paused=True)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, Hours()),
        ({"maintenance_window": "02:00-04:00"}, Hours((NIGHT,), "UTC")),
        (
            {"maintenance_window": "02:00-04:00", "timezone": "Europe/Berlin"},
            Hours((NIGHT,), "Europe/Berlin"),
        ),
        ({"timezone": "Europe/Berlin"}, Hours((Window(23 * 60, 60),), "Europe/Berlin")),
    ],
)
def test_a_service_has_its_own_hours_or_none(own: dict[str, str], expected: Hours) -> None:
    raw = document(entry(**own), maintenance_window="23:00-01:00", timezone="UTC")
    assert config_utils.parse(raw, {}).services[0].hours == expected


# ---------------------------------------------------------------------------------- variables inside the text


def test_a_variable_in_a_text_is_filled_in_and_two_dollars_are_one() -> None:
    raw = document(
        entry(
            image="acme/${APP}:${TAG}",
            tag_regex="^a$$",
            registry_config={"username": "u", "password": "${P}"},
        ),
        check_interval="${EVERY}",
    )
    config = config_utils.parse(raw, {"APP": "web", "TAG": "1", "P": "a$$b${c", "EVERY": "30"})
    service = config.services[0]
    assert (service.image.text, service.policy.tag_regex) == ("acme/web:1", "^a$")
    assert service.registry.password == Secret("a$$b${c")  # what a variable holds is not looked into
    assert config.settings.check_interval_seconds == 30


def test_a_dollar_alone_stays() -> None:
    raw = document(entry(tag_regex="^staging-[a-f0-9]{7}$"))
    assert config_utils.parse(raw, {}).services[0].policy.tag_regex == "^staging-[a-f0-9]{7}$"


def test_every_variable_that_is_not_set_is_named() -> None:
    found = only(problems(document(entry(image="acme/${APP}:${TAG}")), {"APP": "web"}))
    assert found == "services[0].image: ${TAG} is not set; set TAG in the environment or in .env"


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A:-b}"])
def test_a_half_variable_is_a_problem_that_does_not_show_the_text(text: str) -> None:
    found = only(problems(document(webhook_secret=f"hunter2{text}"), {"A": "x"}))
    assert found.startswith("webhook_secret: ")
    assert "$${" in found
    assert "hunter2" not in found


def test_a_value_that_came_by_a_variable_is_not_shown() -> None:
    found = only(problems(document(entry(image="${IMAGE}")), {"IMAGE": "HUNTER2"}))
    assert "HUNTER2" not in found
    assert '"${IMAGE}"' in found


# ------------------------------------------------------------------------------------------------------ paths


def test_relative_paths_start_beside_the_file_and_the_tilde_at_home() -> None:
    raw = document(entry(compose_file=["compose.yml", "~/b.yml"]), state_file="./state.json", log_file="~")
    config = config_utils.parse(raw, {"HOME": "/home/me"}, "/etc/up/config.json")
    assert config.services[0].compose_files == ("/etc/up/compose.yml", "/home/me/b.yml")
    assert (config.settings.state_file, config.settings.log_file) == ("/etc/up/state.json", "/home/me")


def test_a_relative_path_in_a_variable_starts_at_the_working_directory() -> None:
    settings = config_utils.parse(document(), {"STATE_FILE": "./state.json"}, "/etc/up/config.json").settings
    assert settings.state_file == "state.json"


@pytest.mark.parametrize(("path", "environment"), [("~/a.yml", {}), ("~bob/a.yml", {"HOME": "/home/me"})])
def test_a_tilde_that_leads_nowhere_is_a_problem(path: str, environment: dict[str, str]) -> None:
    assert only(problems(document(entry(compose_file=path)), environment)).startswith(
        "services[0].compose_file: ~"
    )


# --------------------------------------------------------------------------------------------------- mistakes

WRONG_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"name": "a b"}, "name"),
    ({"name": "-a"}, "name"),
    ({"name": "a" * 64}, "name"),
    ({"name": ...}, "name"),
    ({"name": None}, "name"),
    ({"image": "Acme/Web"}, "image"),
    ({"image": ...}, "image"),
    ({"image": ["nginx"]}, "image"),
    ({"compose_file": []}, "compose_file"),
    ({"compose_file": ["a", "a"]}, "compose_file"),
    ({"compose_file": ""}, "compose_file"),
    ({"compose_file": ["a", 1]}, "compose_file"),
    ({"compose_service": ["web", "web"]}, "compose_service"),
    ({"compose_service": "a b"}, "compose_service"),
    ({"compose_service": ...}, "compose_service"),
    ({"compose_project": "Blue"}, "compose_project"),
    ({"compose_file": "/srv/\ud800.yml"}, "compose_file"),
    ({"image": "registry.example:65536/app:1"}, "image"),
    ({"image": "registry.example:0/app:1"}, "image"),
    ({"image": "[:::::]/app:1"}, "image"),
    ({"image": "256.1.1.1/app:1"}, "image"),
    ({"tag_pattern": "[z-a]*"}, "tag_pattern"),
    ({"tag_pattern": "a*", "tag_exclude": ["[z-a]*"]}, "tag_exclude"),
    ({"registry_type": "artifactory"}, "registry_type"),
    ({"registry_config": []}, "registry_config"),
    ({"enabled": 1}, "enabled"),
    ({"enabled": "maybe"}, "enabled"),
    ({"tag_regex": "("}, "tag_regex"),
    ({"tag_pattern": ""}, "tag_pattern"),
    ({"semver_pattern": "v"}, "semver_pattern"),
    ({"semver_pattern": "*.*"}, "semver_pattern"),
    ({"semver_pattern": "v*", "semver_range": "newest"}, "semver_range"),
    ({"tag_pattern": "a*", "tag_exclude": "regexp:("}, "tag_exclude"),
    ({"tag_pattern": "a*", "tag_exclude": [1]}, "tag_exclude"),
    ({"semver_pattern": "v*", "max_bump": "huge"}, "max_bump"),
    ({"min_age": "3 days"}, "min_age"),
    ({"min_age": -1}, "min_age"),
    ({"min_age": True}, "min_age"),
    ({"mode": "manual"}, "mode"),
    ({"health_timeout": 0}, "health_timeout"),
    ({"health_stable": "-1"}, "health_stable"),
    ({"platform": "amd64"}, "platform"),
    ({"maintenance_window": "25:00-26:00"}, "maintenance_window"),
    ({"timezone": "Europe/Berln"}, "timezone"),
    ({"pause_updates": "2"}, "pause_updates"),
    ({"registry_config": {"password": 5, "username": "u"}}, "registry_config.password"),
    ({"registry_config": {"token_realm_hosts": "https://a"}}, "registry_config.token_realm_hosts"),
    ({"registry_config": {"token_realm_hosts": "a.example:65536"}}, "registry_config.token_realm_hosts"),
    ({"registry_config": {"username": "u", "password": "\ud800"}}, "registry_config.password"),
]


@pytest.mark.parametrize(("more", "key"), WRONG_VALUES)
def test_a_wrong_value_of_a_service_is_one_problem_with_its_path_and_a_remedy(
    more: dict[str, Any], key: str
) -> None:
    found = only(problems(document(entry(), entry(**{"name": "b", "compose_service": "b", **more}))))
    assert found.startswith(f"services[1].{key}: ")
    assert found.count("; ") >= 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("check_interval", 0), ("check_interval", -5), ("check_interval", 10**9),
        ("check_interval", float("nan")),
        ("check_interval", float("inf")), ("check_interval", "soon"), ("check_interval", []),
        ("compose_timeout", None),
        ("log_level", "LOUD"), ("log_format", "xml"), ("log_file", ""), ("state_backups", -1),
        ("state_backups", 1.5),
        ("metrics_port", 0), ("metrics_port", 65536), ("metrics_port", "http"), ("metrics_host", "a b"),
        ("webhook_url", "ftp://example.com"), ("webhook_url", "https://"), ("webhook_secret", ""),
        ("webhook_url", "http://a:0/"), ("webhook_url", "http://a:65536/"), ("webhook_secret", "\ud800"),
        ("metrics_host", "::::"), ("metrics_host", "256.1.1.1"), ("metrics_host", "a..b"),
        ("metrics_host", "fe80::1%e"),
        ("timezone", "Mars"), ("timezone", "../etc/passwd"), ("maintenance_window", "02:00"),
        ("services", {}),
    ],
)  # fmt: skip
def test_a_wrong_global_value_is_one_problem(key: str, value: object) -> None:
    assert only(problems({**document(), key: value})).startswith(f"{key}: ")


def test_a_wrong_variable_is_named_by_its_own_name() -> None:
    found = only(problems(document(check_interval=30), {"CHECK_INTERVAL": "0"}))
    assert found.startswith("CHECK_INTERVAL: 0 is out of range; write seconds above 0")


@pytest.mark.parametrize(
    ("raw", "start"),
    [([], "the configuration: a list"), (None, "the configuration: null"), ({}, "services: missing"),
     (document("web"), 'services[0]: "web" is not an object')],
)  # fmt: skip
def test_a_document_of_another_shape_is_reported(raw: object, start: str) -> None:
    assert any(problem.startswith(start) for problem in problems(raw))


def test_all_problems_are_reported_at_once() -> None:
    found = problems(
        document(entry(name="?", tag_regex="("), entry(image="?"), log_level="LOUD"), {"STATE_BACKUPS": "x"}
    )
    assert [problem.partition(":")[0] for problem in found] == [
        "log_level", "STATE_BACKUPS", "services[0].name", "services[0].tag_regex", "services[1].image",
        "services[1].compose_service",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "reported"),
    [
        (document(entry(tag_patern="a*")), "services[0].tag_patern: unknown key; write tag_pattern"),
        (document(entry(**{"pin-digest": True})), 'services[0]."pin-digest": unknown key; write pin_digest'),
        (document(CHECK_INTERVAL=5), "CHECK_INTERVAL: unknown key; write check_interval"),
        (
            document(entry(region="x")),
            "services[0].region: unknown key; write it in the service's registry_config",
        ),
        (document(entry(), enabled=True), "enabled: unknown key; write it in the service"),
        (
            document(entry(registry_config={"regoin": "x"})),
            "services[0].registry_config.regoin: unknown key; write region",
        ),
    ],
)
def test_an_unknown_key_is_reported_with_the_one_that_was_meant(raw: object, reported: str) -> None:
    assert only(problems(raw)) == reported


def test_a_key_like_none_is_reported_with_all_there_are() -> None:
    found = only(problems(document(zzz=1)))
    assert found.startswith("zzz: unknown key; take it out, or write one of api_public_url, api_token")


@pytest.mark.parametrize(("image", "plain"), [("acme/b:1", False), ("registry.example:5000/b:1", True)])
def test_http_is_for_those_who_want_it_and_are_not_docker_hub(image: str, plain: bool) -> None:
    assert problems(document(entry(image=image, registry_config={"insecure_http": plain}))) == []


def test_an_editors_schema_key_is_let_be() -> None:
    assert problems({"$schema": "./updater_config.schema.json", **document(entry())}) == []


@pytest.mark.parametrize(
    ("more", "key", "words"),
    [
        ({"tag_pattern": "a*", "semver_pattern": "v*"}, "semver_pattern",
         "tag_pattern and semver_pattern exclude"),
        ({"tag_pattern": "a*", "tag_regex": "a"}, "tag_regex", "exclude each other; keep one"),
        ({"follow": "minor", "semver_pattern": "*"}, "semver_pattern", "exclude each other"),
        ({"follow": "tag", "tag_pattern": "a*"}, "tag_pattern", "exclude each other"),
        ({"follow": "minor", "max_bump": "patch"}, "max_bump", "follow names the step already (minor)"),
        ({"follow": "tag", "semver_range": "^1"}, "semver_range", "write semver_pattern or follow"),
        ({"follow": "tag", "tag_exclude": "a*"}, "tag_exclude", "nothing selects tags"),
        ({"follow_variant": True}, "follow_variant", "nothing orders versions"),
        ({"tag_pattern": "a*", "allow_scheme_jump": True}, "allow_scheme_jump", "nothing orders versions"),
        ({"semver_range": "^1"}, "semver_range", "write semver_pattern"),
        ({"tag_pattern": "a*", "max_bump": "minor"}, "max_bump", "write semver_pattern"),
        ({"tag_regex": "a", "allow_prerelease": True}, "allow_prerelease", "write semver_pattern"),
        ({"tag_exclude": "a"}, "tag_exclude", "write tag_pattern"),
        ({"allow_downgrade": True}, "allow_downgrade", "write tag_pattern"),
        ({"registry_config": {"username": "u"}}, "registry_config.username", "password is missing"),
        ({"registry_config": {"password": "p"}}, "registry_config.password", "username is missing"),
        ({"registry_config": {"insecure_http": True}}, "registry_config.insecure_http", "over https only"),
        ({"image": "docker.io/acme/b:1", "registry_config": {"insecure_http": True}},
         "registry_config.insecure_http",
         "take it out"),
        ({"registry_config": {"region": "r"}}, "registry_config.region", "it is for ecr"),
        ({"registry_config": {"project_id": "p"}}, "registry_config.project_id", "it is for gcr"),
        ({"image": ECR_IMAGE, "registry_config": {"aws_session_token": "t"}},
         "registry_config.aws_session_token",
         "write aws_access_key_id"),
        ({"image": ECR_IMAGE, "registry_config": {"aws_access_key_id": "t"}},
         "registry_config.aws_access_key_id",
         "aws_secret_access_key is missing"),
        ({"image": ECR_IMAGE, "registry_config": {"aws_profile": "p", "username": "u", "password": "s"}},
         "registry_config.aws_profile", "write one of the two"),
        ({"image": "gcr.io/p/a:1", "registry_config": {"service_account_path": "k", "username": "u",
                                                       "password": "s"}},
         "registry_config.service_account_path", "write one of the two"),
        ({"image": "ghcr.io/a/b:1", "registry_type": "docker_hub"}, "registry_type", "write generic"),
        ({"image": "acme/b:1", "registry_type": "ecr"}, "registry_type", "write docker_hub"),
        ({"image": "example.com/b:1", "registry_type": "gcr"}, "registry_type", "write generic"),
        ({"image": f"1{ECR_IMAGE}", "registry_type": "ecr"}, "registry_type", "write generic"),
        ({"image": "1" * 12 + ".dkr.ecr.eu-west-1.amazonaws.com.example.com/a:1", "registry_type": "ecr"},
         "registry_type", "write generic"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_reported(more: dict[str, Any], key: str, words: str) -> None:
    found = only(problems(document(entry(**more))))
    assert found.startswith(f"services[0].{key}: ")
    assert words in found


@pytest.mark.parametrize(
    ("top", "own", "expected"),
    [
        ({}, {}, "tag"),
        ({}, {"follow": "tag"}, "tag"),
        ({}, {"follow": "minor"}, "minor"),
        ({"follow": "patch"}, {}, "patch"),
        ({"follow": "patch"}, {"follow": "major"}, "major"),
        ({"follow": "patch"}, {"follow": "tag"}, "tag"),
        ({"follow": "patch"}, {"semver_pattern": "v*", "max_bump": "minor"}, "tag"),
        ({"follow": "patch"}, {"tag_pattern": "a*", "tag_exclude": "ab"}, "tag"),
        ({"follow": "major"}, {"semver_range": "<3", "follow_variant": True, "tag_exclude": "*-x"}, "major"),
    ],
)
def test_a_service_without_a_pattern_follows_what_the_top_level_says(
    top: dict[str, Any], own: dict[str, Any], expected: str
) -> None:
    assert config_utils.parse(document(entry(**own), **top), {}).services[0].policy.follow == expected


def test_a_wrong_follow_is_one_problem() -> None:
    assert "services[0].follow" in only(
        problems(document(entry(follow="mayor", semver_range="^1", max_bump="minor")))
    )
    assert "FOLLOW" in only(problems(document(entry()), {"FOLLOW": "latest"}))


@pytest.mark.parametrize(
    "more",
    [
        {
            "tag_regex": "v(?P<version>.+)",
            "semver_range": "^1",
            "max_bump": "patch",
            "allow_prerelease": True,
        },
        {"max_bump": "major", "allow_prerelease": False, "tag_exclude": [], "allow_downgrade": False},
        {"image": "localhost:5000/a:1", "registry_type": "ecr", "registry_config": {"region": "us-east-1"}},
        {"image": "127.0.0.1:5000/a:1", "registry_type": "docker_hub"},
        {"image": "acme/web:1", "registry_type": "generic"},
        {"image": "111111111111.dkr.ecr-fips.us-gov-west-1.amazonaws.com/a:1", "registry_type": "ecr"},
        {"image": "111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn/a:1", "registry_type": "ecr"},
        {"image": "public.ecr.aws/nginx/nginx:1", "registry_type": "ecr"},
        {"image": "europe-west3-docker.pkg.dev/p/r/a:1", "registry_type": "gcr"},
        {"image": "eu.gcr.io/p/a:1", "registry_type": "gcr", "registry_config": {"project_id": "p"}},
    ],
)
def test_options_that_do_go_together_are_taken(more: dict[str, Any]) -> None:
    assert problems(document(entry(**more))) == []


def test_two_entries_of_one_name_are_reported_even_if_one_is_disabled() -> None:
    found = problems(document(entry(), entry(compose_service="b", enabled=False)))
    assert found == ["services[1].name: services[0] is called web too; write another name"]


@pytest.mark.parametrize(
    ("first", "second"), [({}, {}), ({"compose_project": "blue"}, {}), ({}, {"compose_project": "blue"})]
)
def test_a_compose_service_taken_twice_is_reported(first: dict[str, Any], second: dict[str, Any]) -> None:
    other = entry(
        name="b", compose_file="/srv/../srv/compose.yml", compose_service=["worker", "web"], **second
    )
    found = only(problems(document(entry(**first), other)))
    assert found.startswith(
        "services[1].compose_service: web of /srv/compose.yml belongs to services[0] already"
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"compose_service": "worker"}),
        ({}, {"compose_file": "/other/compose.yml"}),
        ({}, {"enabled": False}),
        ({"compose_project": "blue"}, {"compose_project": "green"}),
        ({"compose_file": ["/a.yml", "/common.yml"]}, {"compose_file": ["/b.yml", "/common.yml"]}),
    ],
)
def test_entries_that_mean_different_things_stand_side_by_side(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert problems(document(entry(**first), entry(**{"name": "b", **second}))) == []


def test_half_a_docker_hub_account_is_reported() -> None:
    assert only(problems(document(), {"DOCKER_HUB_PASSWORD": "x"})).startswith(
        "docker_hub_password: docker_hub_username"
    )


@pytest.mark.parametrize(
    "option", [option for option in OPTIONS if option.kind.secret], ids=lambda option: str(option.key)
)
@pytest.mark.parametrize("value", [["hunter2"], {"hunter2": 1}])
def test_no_problem_shows_a_secret(option: Option, value: Any) -> None:
    secret = {option.key: value}
    documents = {
        REGISTRY: document(entry(registry_config=secret)),
        API_TOKEN: document(metrics_port=9100, api_tokens={"ci": secret}),
    }
    found = problems(documents.get(option.place, document(**secret)))
    assert any(f"{option.key}: it is not a " in problem for problem in found)
    assert "hunter2" not in "\n".join(found)


@pytest.mark.parametrize(
    "url", ["hunter2", "ftp://hunter2", "http://hunter2:x/", "http://[hunter2/", "http://a/hunter2 b"]
)
def test_no_problem_shows_a_webhooks_address(url: str) -> None:
    found = only(problems(document(), {"WEBHOOK_URL": url}))
    assert found == "WEBHOOK_URL: it is not a web address; write one such as https://example.com/hook"


@pytest.mark.parametrize(
    ("raw", "key", "expected"),
    [
        (entry(image="https://me:hunter2@ghcr.io/acme/web:1"), "services[0].image", "one such as nginx:1.27"),
        (entry(image="me:hunter2@ghcr.io/acme/web:1"), "services[0].image", "one such as nginx:1.27"),
        (entry(registry_config="me:hunter2"), "services[0].registry_config",
         "an object with the registry's keys"),
        (entry(registry_config=["me:hunter2"]), "services[0].registry_config",
         "an object with the registry's keys"),
        (entry(registry_config={"me:hunter2": ""}), "services[0].registry_config.(a key)", "take it out"),
        (entry(registry_config={"token_realm_hosts": "https://me:hunter2@a.example"}),
         "services[0].registry_config.token_realm_hosts", "neither scheme nor path"),
        (entry(registry_config={"insecure_http": "hunter2"}), "services[0].registry_config.insecure_http",
         "true or"),
        (entry(compose_service="https://me:hunter2@h"), "services[0].compose_service", "under `services:`"),
        (entry(tag_pattern="https://me:hunter2@h/*"), "services[0].tag_pattern", "one such as staging-*"),
        ("https://me:hunter2@ghcr.io", "services[0]", "write {…}"),
    ],
)  # fmt: skip
def test_no_problem_shows_a_login_that_stands_in_the_wrong_place(raw: Any, key: str, expected: str) -> None:
    found = only(problems(document(raw)))
    assert found.startswith(f"{key}: ")
    assert expected in found
    assert "hunter2" not in found


@pytest.mark.parametrize("key", [option.key for option in OPTIONS if option.place == "service"])
@pytest.mark.parametrize("value", ["%" * 10_000, ["% " * 5_000], "a/" * 5_000, "é, " * 3_000 + "'"])
def test_a_value_that_is_long_is_cut_in_every_message(key: str, value: Any) -> None:
    for found in problems(document(entry(**{key: value}))):
        assert len(found) < 500, found[:200]
        assert "; " in found


def test_a_pinned_digest_is_no_login_and_its_mistake_is_shown() -> None:
    assert "'sha256:abc' is not a digest" in only(problems(document(entry(image="acme/web:1@sha256:abc"))))


def test_no_secret_shows_in_the_configuration() -> None:
    secrets: dict[str, Any] = {
        option.key: "https://hunter2" for option in OPTIONS if option.kind.secret and option.place == TOP
    }
    secrets |= {
        "api_token": "hunter2" * 3,
        "api_tokens": {"ci": {"token": "hunter2" * 4}},
        "metrics_port": 9100,
    }
    keys = {option.key: "hunter2" for option in OPTIONS if option.kind.secret and option.place == REGISTRY}
    login = {"username": "u", "password": keys.pop("password")}
    raw = document(
        entry(image=ECR_IMAGE, registry_config={"aws_access_key_id": "k", **keys}),
        entry(name="other", compose_service="other", image=ECR_IMAGE, registry_config=login),
        docker_hub_username="u", **secrets,
    )  # fmt: skip
    assert "hunter2" not in repr(config_utils.parse(raw, {}))


KEYS = [option.key for option in OPTIONS]
TEXTS = st.one_of(
    st.text(max_size=8), st.sampled_from(["${A}", "${", "$$", "~", "a:1", "02:00-03:00", "*", "(", "1h"])
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=8)
    ),
    max_leaves=20,
)


@given(JSON, st.lists(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=12), max_size=3))
def test_any_document_is_a_configuration_or_a_list_of_problems(raw: Any, entries: list[Any]) -> None:
    for whole in (raw, document(*entries), document(*(entry(**item) for item in entries))):
        for problem in problems(whole, {"A": "a"}):
            assert ": " in problem
            assert "\n" not in problem


HOSTILE = st.one_of(
    st.sampled_from(["[z-a]*", "(a+)+$", "(a{999}){999}", "a:65536/b:1", "http://[::1", "\ud800", "\0",
                     "${"]),
    st.text(st.characters(), max_size=40), JSON,
)  # fmt: skip


@given(st.sampled_from([option for option in OPTIONS if option.key != "services"]), HOSTILE)
def test_any_value_of_any_key_is_taken_or_reported_in_short_lines_with_the_key_and_a_remedy(
    option: Option, value: Any
) -> None:
    wrong = {option.key: value}
    inner = {"registry_config": wrong} if option.place == REGISTRY else {} if option.place == TOP else wrong
    for problem in problems(document(entry(**inner), **(wrong if option.place == TOP else {}))):
        where, _, words = problem.partition(": ")
        assert where
        assert "; " in words
        assert len(problem) < 600
        assert "\n" not in problem


# ------------------------------------------------------------------------------------------------------ files


def written(folder: Path, text: str | bytes, name: str = "config.json") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def load_problem(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        config_utils.load(path, {})
    return only(list(caught.value.problems))


def test_the_shipped_example_loads_and_touches_nothing_yet() -> None:
    config = config_utils.load(ROOT / "updater_config.json", {})
    assert [service.name for service in config.services] == ["webapp", "api-staging", "release-app"]
    assert not any(service.enabled for service in config.services)
    assert config.services[2].policy.semver_pattern == "v*"


def test_a_file_is_read_with_its_paths_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "\ufeff" + json.dumps(document(entry(compose_file="compose.yml"))))
    monkeypatch.chdir(tmp_path)
    config = config_utils.load(Path("./config.json"), {})
    assert config.services[0].compose_files == (f"{tmp_path}/compose.yml",)
    assert config.path == f"{tmp_path}/config.json"


def test_a_file_that_is_not_there_is_reported_with_a_remedy(tmp_path: Path) -> None:
    found = load_problem(tmp_path / "none.json")
    assert found.startswith(f"{tmp_path}/none.json: No such file")
    assert "CONFIG_FILE" in found


def test_a_folder_in_place_of_the_file_is_reported(tmp_path: Path) -> None:
    assert load_problem(tmp_path) == f"{tmp_path}: Is a directory; name a file that can be read"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{\n  "services": []\n  "log_level": "INFO"\n}', "line 3, column 3: not JSON"),
        ("", "the file is empty; write"),
        (b'{"services": "\xff"}', "not UTF-8 text"),
        ("[" * 100_000, "nesting beyond all bounds"),
        ('{"services": [], "check_interval": ' + "9" * 5000 + "}", "beyond all bounds"),
        ('{"services": [], "check_interval": NaN}', "check_interval: NaN is not a duration"),
        ('{"services": [], "check_interval": 1e999}', "check_interval: inf is out of range"),
        ('{"services": [], "log_level": "INFO", "log_level": "INFO"}', "log_level: it stands here twice"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_where(tmp_path: Path, text: str | bytes, words: str) -> None:
    assert words in load_problem(written(tmp_path, text))


def test_a_key_written_twice_deep_inside_is_reported_with_its_path(tmp_path: Path) -> None:
    whole = json.dumps(document(entry(registry_config={"insecure_http": True})))
    path = written(
        tmp_path, whole.replace('"insecure_http": true', '"insecure_http": true, "insecure_http": false')
    )
    wrong = "services[0].registry_config.insecure_http: it stands here twice; keep one"
    assert load_problem(path) == f"{path}: line 1: {wrong}"


NOT_JSON = [
    ("services:\n  - name: web\n", "this is YAML, not JSON"),
    ("# mine\n---\nservices: []\n", "this is YAML, not JSON"),
    ("CHECK_INTERVAL=30\n", "not JSON; name the JSON file with CONFIG_FILE"),
    ('[services]\nname = "web"\n', "not JSON; name the JSON file with CONFIG_FILE"),
    (" \n\t\n", "the file is empty"),
    (
        '{\n  "services": [],\n}',
        "line 2, column 17: not JSON: a comma too many in front of the closing bracket",
    ),
    ('{"services": [\n  {},\n  {},\n]}', "line 3, column 5: not JSON: a comma too many"),
    ('{"services": [],, "follow": "tag"}', "column 17: not JSON: a comma too many"),
    ('{\n  // mine\n  "services": []\n}', "line 2, column 3: not JSON: a comment"),
    ('{"services": [] # mine\n}', "line 1, column 17: not JSON: a comment"),
    ('{"services": [] /* mine */}', "not JSON: a comment"),
    ("{'services': []}", "another kind of quotes"),
    ("{“services”: []}", "another kind of quotes"),
    ("{services: []}", "without double quotes"),
    ('{"services": [], "follow": tag}', "without double quotes"),
    ('{"services": [], "pause_updates": True}', "True is no JSON; write true"),
    ('{"services": [], "pause_updates": off}', "off is no JSON; write false"),
    ('{"services": [], "follow": }', "a value is missing in front of the closing bracket"),
    ('{"services" []}', "a colon is missing"),
    ('{"services": [], "log_file": "C:\\x"}', "write \\\\ for it"),
    ('{"services": [], "log_file": "/var\n"}', "close its double quotes"),
    ('{"services": [], "log_file": "/var', "close its double quotes"),
    ('{"services": [{"name": "web"', "the text ends too early"),
    ('{"services": []}]', "the document has ended before this"),
]


@pytest.mark.parametrize(("text", "words"), NOT_JSON)
def test_what_is_no_json_is_named_for_what_it_is(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    found = load_problem(path)
    assert found.startswith(f"{path}: ")
    assert words in found


def test_a_secret_in_a_broken_file_is_not_shown(tmp_path: Path) -> None:
    for text, _ in NOT_JSON:
        secret = text.replace("mine", "hunter2").replace("tag}", "hunter2}")
        assert "hunter2" not in load_problem(written(tmp_path, secret))


def test_each_problem_names_the_file_and_the_line_of_its_key(tmp_path: Path) -> None:
    text = """{
  "check_interval": "soon",
  "services": [
    {"name": "web", "image": "nginx",
     "compose_file": "/srv/compose.yml",
     "compose_service": "web",
     "min_age": "old"},
    {
      "name": "db",
      "pin-digest": true,
      "registry_config": {
        "usrname": "x"
      }
    }
  ],
  "servces": 1
}
"""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        config_utils.load(path, {"HEALTH_TIMEOUT": "never"})
    found = [
        problem.removeprefix(f"{path}: ").split(";")[0].split(" is ")[0] for problem in caught.value.problems
    ]
    assert sorted(found) == sorted([
        "line 2: check_interval: \"soon\"",
        "line 7: services[0].min_age: \"old\"",
        "line 8: services[1].image: missing",
        "line 8: services[1].compose_file: missing",
        "line 8: services[1].compose_service: missing",
        'line 10: services[1]."pin-digest": unknown key',
        "line 12: services[1].registry_config.usrname: unknown key",
        "line 16: servces: unknown key",
        "HEALTH_TIMEOUT: \"never\"",
    ])  # fmt: skip


def test_copies_of_an_entry_are_one_line_each(tmp_path: Path) -> None:
    assert len(problems(document(*[entry()] * 20))) == 19
    renamed = [entry(name=f"web-{number}", compose_service=["web", "worker"]) for number in range(20)]
    found = problems(document(*renamed))
    assert len(found) == 19
    assert all("web, worker of /srv/compose.yml belong to services[0] already" in each for each in found)


def test_a_file_that_is_not_there_or_empty_may_be_begun(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", written(tmp_path, " \n")):
        begun = config_utils.load_or_begin(path, {"CHECK_INTERVAL": "2h"})
        assert (begun.services, begun.path, begun.settings.check_interval_seconds) == ((), str(path), 7200)
    with pytest.raises(ConfigError):
        config_utils.load_or_begin(tmp_path, {})


# --------------------------------------------------------------------------------------------------- the .env


def test_the_environment_beats_the_env_file(tmp_path: Path) -> None:
    dotenv = written(tmp_path, "A=file\nB=file\n", ".env")
    assert config_utils.read_environment({"A": "process", "C": "process"}, dotenv) == {
        "A": "process", "B": "file", "C": "process",
    }  # fmt: skip


def test_an_env_file_is_read_as_people_write_it_and_nothing_is_interpolated(tmp_path: Path) -> None:
    text = "\ufeff# all\nexport A = 1 # one\r\n\nB='x y'\nC=\"l1\\nl2\"\nD=pa$$w#rd\nE=${A}\nF=\n"
    values = config_utils.read_environment({}, written(tmp_path, text, ".env"))
    assert values == {"A": "1", "B": "x y", "C": "l1\nl2", "D": "pa$$w#rd", "E": "${A}", "F": ""}


def test_lines_of_an_env_file_that_set_nothing_are_reported_without_their_text(tmp_path: Path) -> None:
    dotenv = written(tmp_path, "A=1\n\n\nhunter2\nB=2\nC='hunter2\n", ".env")
    with pytest.raises(ConfigError) as caught:
        config_utils.read_environment({}, dotenv)
    lines = [problem.partition(" sets nothing")[0] for problem in caught.value.problems]
    assert lines == [f"{dotenv}: line 4", f"{dotenv}: line 6"]
    assert "hunter2" not in str(caught.value)


def test_an_env_file_that_is_not_there_is_empty_and_one_that_is_not_text_is_reported(tmp_path: Path) -> None:
    assert config_utils.read_environment({"A": "1"}, None) == {"A": "1"}
    assert config_utils.read_environment({"A": "1"}, tmp_path / ".env") == {"A": "1"}
    with pytest.raises(ConfigError, match="UTF-8"):
        config_utils.read_environment({}, written(tmp_path, b"A=\xff", ".env"))
    with pytest.raises(ConfigError, match="directory"):
        config_utils.read_environment({}, tmp_path)


def test_the_configuration_file_is_the_one_named_or_the_installed_one() -> None:
    assert config_utils.default_config_path({"CONFIG_FILE": "./mine.json"}) == Path("mine.json")
    installed = Path("/etc/docker-auto-updater/updater_config.json")
    assert (
        config_utils.default_config_path({})
        == config_utils.default_config_path({"CONFIG_FILE": ""})
        == installed
    )


def test_the_env_file_lies_beside_a_named_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    here, beside = written(tmp_path, "", ".env"), tmp_path / "conf" / ".env"
    config, named = tmp_path / "conf" / "config.json", {"CONFIG_FILE": "conf/config.json"}
    assert config_utils.default_dotenv_path(config, named) is None
    found = config_utils.default_dotenv_path(config, {})
    assert found is not None
    assert found.absolute() == here
    beside.write_text("")
    assert (
        config_utils.default_dotenv_path(config, named)
        == config_utils.default_dotenv_path(config, {})
        == beside
    )


def test_the_quick_start_finds_the_env_file_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"CONFIG_FILE": "./local_updater_config.json"}
    written(tmp_path, "", ".env")
    assert config_utils.default_dotenv_path(
        config_utils.default_config_path(environment), environment
    ) == Path(".env")


def test_vendors_get_their_variables_and_nothing_else() -> None:
    names = ("AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE",
             "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "DOCKER_HOST", "DOCKER_CONFIG")  # fmt: skip
    theirs = dict.fromkeys(names, "x")
    ours = {
        "DOCKER_HUB_PASSWORD": "x",
        "WEBHOOK_SECRET": "x",
        "AWS_REGION": "",
        "MY_AWS_KEY": "x",
        "TZ": "UTC",
    }
    assert config_utils.library_environment({**theirs, **ours}) == theirs


def example_variables(folder: Path) -> dict[str, str]:
    """The variables of `.env.example`, with every line that is switched off switched on."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    on = [line.lstrip("#") if line[1:2].isupper() and "=" in line else line for line in lines]
    return config_utils.read_environment({}, written(folder, "\n".join(on), ".env"))


def test_the_env_example_as_shipped_changes_nothing() -> None:
    assert config_utils.read_environment({}, ROOT / ".env.example") == {}


def test_the_env_example_names_every_variable_and_shows_the_defaults(tmp_path: Path) -> None:
    shown = example_variables(tmp_path)
    variables = {option.variable: option for option in OPTIONS if option.variable}
    vendors = {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "GOOGLE_APPLICATION_CREDENTIALS",
    }
    assert set(shown) == set(variables) | vendors | {"CONFIG_FILE"}
    for name, option in variables.items():
        if option.default is not None:
            assert option.kind.read(shown[name]) == option.kind.read(option.default), name
    assert shown["CONFIG_FILE"] == config_utils.DEFAULT_PATH


def test_the_env_example_switched_on_is_a_good_configuration(tmp_path: Path) -> None:
    assert problems(document(entry()), example_variables(tmp_path)) == []


def test_each_variable_of_the_env_example_has_a_comment_above_it() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    for before, line in itertools.pairwise(lines):
        if line[1:2].isupper() and "=" in line:
            assert before.startswith("# "), line
            assert "---" not in before, line


# ---------------------------------------------------------------------------------------- defaults, discovery


def test_defaults_hold_for_every_service_that_does_not_set_the_key() -> None:
    defaults = {"min_age": "3d", "mode": "notify", "health_timeout": "5m", "follow": "minor"}
    raw = {"services": [entry(), entry(name="own", compose_service="own", mode="auto")], "defaults": defaults}
    first, second = config_utils.parse(raw, {}).services
    assert (first.policy.mode, second.policy.mode) == (Mode.NOTIFY, Mode.AUTO)
    assert first.policy.min_age_seconds == second.policy.min_age_seconds == 259200
    assert first.gate.timeout_seconds == 300
    assert first.policy.follow == "minor"


def test_a_selector_of_a_services_own_takes_the_place_of_that_of_the_defaults() -> None:
    raw = {"services": [entry(tag_pattern="staging-*")], "defaults": {"semver_pattern": "v*"}}
    (service,) = config_utils.parse(raw, {}).services
    assert (service.policy.tag_pattern, service.policy.semver_pattern) == ("staging-*", None)


def test_a_default_without_meaning_for_a_service_is_no_mistake_of_that_service() -> None:
    defaults = {"semver_range": "^1", "allow_prerelease": True, "tag_exclude": "*-rc", "drain_seconds": 5,
                "health_status": 200}  # fmt: skip
    follows = entry(name="own", compose_service="own", follow="minor")
    plain, versioned = config_utils.parse({"services": [entry(), follows], "defaults": defaults}, {}).services
    assert plain.policy.follow == "tag"
    assert versioned.policy.semver_range is not None
    with pytest.raises(ConfigError, match="semver_range: nothing orders versions here"):
        config_utils.parse({"services": [entry(semver_range="^1")], "defaults": defaults}, {})


@pytest.mark.parametrize(
    "key", ["name", "image", "compose_file", "compose_service", "compose_project", "registry_config"]
)
def test_what_belongs_to_one_service_is_no_default(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"defaults\.{key}: unknown key; write it in the service"):
        config_utils.parse({"services": [], "defaults": {key: "x"}}, {})


def test_a_problem_of_the_defaults_is_said_once_and_at_its_place() -> None:
    raw = {"services": [entry(), entry(name="b", compose_service="b")], "defaults": {"min_age": "soon"}}
    with pytest.raises(ConfigError) as refused:
        config_utils.parse(raw, {})
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith("defaults.min_age: ")


def test_an_entry_that_stands_in_no_file_is_read_with_the_defaults() -> None:
    config = config_utils.parse({"services": [], "defaults": {"min_age": "3d"}, "health_timeout": "4m"}, {})
    assert config.entries is not None
    service = config.entries.read(entry(health_stable="3s"), "web")
    assert (service.policy.min_age_seconds, service.gate.timeout_seconds) == (259200, 240)
    with pytest.raises(ConfigError, match=r"^web\.min_age: "):
        config.entries.read(entry(min_age="soon"), "web")
    assert config.entries.default_keys == {"min_age"}
