"""The JSON Schema for editors agrees with the parser: the same options, the same defaults, the same
verdicts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from updater_core import config_utils
from updater_core.config import schema
from updater_core.config.options import API_TOKEN, ENGINE, OPTIONS, REGISTRY, SERVICE, SIGNATURE, TOP, Option
from updater_core.errors import ConfigError
from updater_core.registries.vendors import REGISTRY_SPELLINGS

ROOT = Path(__file__).resolve().parents[2]
SCHEMA: dict[str, Any] = schema.schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
PLACES: Mapping[str, dict[str, Any]] = {
    TOP: SCHEMA,
    SERVICE: SCHEMA["$defs"]["service"],
    REGISTRY: SCHEMA["$defs"][REGISTRY],
    SIGNATURE: SCHEMA["$defs"][SIGNATURE],
    ENGINE: SCHEMA["$defs"][ENGINE],
    API_TOKEN: SCHEMA["$defs"][API_TOKEN],
}
ECR_IMAGE = "111111111111.dkr.ecr.us-east-1.amazonaws.com/api:1"
GOOGLE_IMAGE = "gcr.io/project/api:1"
VARIABLES = {
    "X": "1", "HUB_TOKEN": "t", "API_KEY": "k" * 20,
    "WEBHOOK": "https://example.com/hook", "WEBHOOK_KEY": "k", "REGISTRY_PASSWORD": "p",
    "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t",
}  # fmt: skip


def entry(**more: Any) -> dict[str, Any]:
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


def parser_accepts(raw: Any) -> bool:
    try:
        config_utils.parse(raw, VARIABLES)
    except ConfigError:
        return False
    return True


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_file_is_what_the_table_of_options_makes() -> None:
    shipped = (ROOT / "updater_config.schema.json").read_text(encoding="utf-8")
    assert shipped == schema.text(), "run: .venv/bin/python -m scripts.write_configuration_reference"


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: f"{option.place}.{option.key}")
def test_an_option_stands_in_the_schema_with_its_meaning_default_and_variable(option: Option) -> None:
    shown = PLACES[option.place]["properties"][option.key]
    assert shown.get("markdownDescription", shown["description"]) == option.doc
    assert shown.get("default") == option.default
    assert (option.variable or "-") in shown.get("$comment", "-")
    assert (option.key in PLACES[option.place].get("required", [])) is option.required
    assert PLACES[option.place]["additionalProperties"] is False


# What an option needs beside it to be of use.
BESIDE: Mapping[str, dict[str, Any]] = {
    "semver_range": {"semver_pattern": "v*"},
    "max_bump": {"semver_pattern": "v*"},
    "allow_prerelease": {"semver_pattern": "v*"},
    "follow_variant": {"follow": "major"},
    "allow_scheme_jump": {"follow": "minor"},
    "tag_exclude": {"tag_pattern": "a*"},
    "allow_downgrade": {"tag_pattern": "a*"},
    "drain_command": {"update_order": "start-first"},
    "drain_seconds": {"update_order": "start-first"},
    "health_status": {"health_url": "http://127.0.0.1:8080/health"},
}
REGISTRY_BESIDE: Mapping[str, dict[str, Any]] = {
    "username": {"password": "p"},
    "password": {"username": "u"},
    "aws_access_key_id": {"aws_secret_access_key": "s"},
    "aws_secret_access_key": {"aws_access_key_id": "a"},
    "aws_session_token": {"aws_access_key_id": "a", "aws_secret_access_key": "s"},
    "docker_hub_username": {"docker_hub_password": "p"},
    **{key: {"metrics_port": 9100} for key in ("api_token", "api_tokens", "api_public_url")},
    "docker_hub_password": {"docker_hub_username": "u"},
}


def image_for(key: str) -> dict[str, str]:
    if key in ("project_id", "service_account_path"):
        return {"image": GOOGLE_IMAGE}
    if key == "insecure_http":
        return {"image": "ghcr.io/acme/web:1"}
    return {"image": ECR_IMAGE} if key == "region" or key.startswith("aws_") else {}


def with_value(option: Option, value: Any) -> dict[str, Any]:
    """A document that is good but for `value` at the place of `option`."""
    if option.place == TOP:
        return {**document(entry()), **REGISTRY_BESIDE.get(option.key, {}), option.key: value}
    if option.place == SERVICE and option.key == REGISTRY:
        return document(entry(**image_for("region" if "region" in value else ""), registry_config=value))
    if option.key == "engine":
        return {**document(entry(stack="shop", engine=value)), "engines": {"prod": {"hosts": "unix:///a"}}}
    if option.key == "run_jobs":
        return document(entry(stack="shop", run_jobs=value))
    if option.key == "swarm_service":
        of_compose = ("compose_file", "compose_service")
        return document({k: v for k, v in entry(swarm_service=value).items() if k not in of_compose})
    if option.place == SERVICE:
        return document(entry(**{**BESIDE.get(option.key, {}), option.key: value}))
    if option.place == API_TOKEN:
        tokens = {"ci": {"token": "t" * 20, option.key: value}}
        return {**document(entry()), "metrics_port": 9100, "api_tokens": tokens}
    if option.place == ENGINE:
        return {**document(entry()), "engines": {"prod": {"hosts": "unix:///a", option.key: value}}}
    if option.place == SIGNATURE:
        return document(entry(signature={option.key: value}))
    settings = {**REGISTRY_BESIDE.get(option.key, {}), option.key: value}
    return document(entry(**image_for(option.key), registry_config=settings))


def examples() -> Iterator[Any]:
    for option in OPTIONS:
        for number, example in enumerate(PLACES[option.place]["properties"][option.key]["examples"]):
            yield pytest.param(option, example, id=f"{option.place}.{option.key}-{number}")


@pytest.mark.parametrize(("option", "example"), list(examples()))
def test_every_example_of_the_schema_is_good_by_both(option: Option, example: Any) -> None:
    raw = with_value(option, example)
    assert list(VALIDATOR.iter_errors(raw)) == []
    config_utils.parse(raw, VARIABLES)


@pytest.mark.parametrize(
    "value", [None, [[]], 10**12, "\n", ""], ids=["null", "lists", "huge", "line break", "empty"]
)
@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: f"{option.place}.{option.key}")
def test_nonsense_is_turned_down_by_both(option: Option, value: Any) -> None:
    raw = with_value(option, value) if option.key != REGISTRY else document(entry(registry_config=value))
    assert not VALIDATOR.is_valid(raw)
    assert not parser_accepts(raw)


GOOD: list[Any] = [
    document(),
    {"$schema": "./updater_config.schema.json", **document(entry())},
    document(entry(enabled="no", pause_updates="${X}"), check_interval="${X}"),
    document(entry(name="${X}", image="acme/web:${X}")),
    document(entry(compose_file=["/a", "/b"], compose_service=["web", "worker"])),
    document(entry(tag_exclude=[], tag_regex="^a$$")),
    document(entry(tag_regex="(?P<version>.+)", semver_range="^1")),
    document(entry(min_age=0, health_stable=0, health_timeout=0.5)),
    document(entry(registry_config={})),
    document(entry(registry_config={"token_realm_hosts": []})),
    document(state_backups=5.0, metrics_port="9100", metrics_host="::1"),
    *(document(entry(image="localhost:5000/a:1", registry_type=spelling)) for spelling in REGISTRY_SPELLINGS),
    *(document(log_level=level) for level in ("DEBUG", "INFO", "WARN", "WARNING", "ERROR")),
]
BAD: list[Any] = [
    [],
    {},
    document("web"),
    document(entry(name=...)),
    document(entry(image=...)),
    document(entry(compose_file=...)),
    document(entry(compose_service=...)),
    document(unknown=1),
    document(entry(unknown=1)),
    document(entry(registry_config={"unknown": 1})),
    document(entry(name="a b")),
    document(entry(name="a" * 64)),
    document(entry(compose_file=[])),
    document(entry(compose_file=["/a", "/a"])),
    document(entry(compose_service=["web", 1])),
    document(entry(compose_project="Blue")),
    document(entry(platform="amd64")),
    document(entry(mode="manual")),
    document(entry(registry_type="artifactory")),
    document(entry(enabled=1)),
    document(entry(enabled="maybe")),
    document(entry(min_age=-1)),
    document(entry(min_age="3 days")),
    document(entry(min_age=True)),
    document(entry(health_timeout=0)),
    document(entry(semver_pattern="v")),
    document(entry(semver_pattern="*.*")),
    document(entry(semver_range="^1")),
    document(entry(tag_pattern="a*", semver_pattern="v*")),
    document(entry(tag_pattern="a*", tag_regex="a")),
    document(entry(tag_regex="a", semver_pattern="v*")),
    document(entry(semver_pattern="v*", max_bump="huge")),
    document(entry(maintenance_window="nights")),
    document(entry(registry_config={"username": "u"})),
    document(entry(registry_config={"password": "p"})),
    document(entry(image=ECR_IMAGE, registry_config={"aws_access_key_id": "a"})),
    document(entry(image=ECR_IMAGE, registry_config={"aws_session_token": "t"})),
    document(entry(registry_config={"token_realm_hosts": "https://a"})),
    document(check_interval=0),
    document(check_interval=31 * 86400),
    document(state_backups=-1),
    document(state_backups=1.5),
    document(metrics_port=0),
    document(metrics_port=65536),
    document(metrics_host="a b"),
    document(log_level="LOUD"),
    document(log_format="xml"),
    document(webhook_url="ftp://example.com"),
]


@pytest.mark.parametrize("raw", GOOD)
def test_a_good_document_is_good_by_both(raw: Any) -> None:
    assert list(VALIDATOR.iter_errors(raw)) == []
    assert parser_accepts(raw)


@pytest.mark.parametrize("raw", BAD)
def test_a_bad_document_is_bad_by_both(raw: Any) -> None:
    assert not VALIDATOR.is_valid(raw)
    assert not parser_accepts(raw)


def test_the_shipped_example_is_good_by_the_schema() -> None:
    VALIDATOR.validate(json.loads((ROOT / "updater_config.json").read_text(encoding="utf-8")))
