"""The registry clients as tests ask them: of one registry, as somebody or as anybody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.fake_registry import FakeRegistry
from tests.support.set_clock import SetClock
from updater_core.models import Credential, ImageRef, RegistrySettings, Secret, Tag
from updater_core.reference import parse
from updater_core.registries import HubEndpoints, Registries
from updater_core.registries.vendors.docker_hub.settings import DockerHubAccount
from updater_core.registries.vendors.ecr.settings import EcrSettings

ANYONE = RegistrySettings()
SOMEONE = RegistrySettings(username="jane", password=Secret("hunter2"))
APP = "team/app"
NESTED = b"[" * 60_000  # more than Python's own reader can take


def make(fake: FakeRegistry, clock: SetClock, folder: Path, hub: Credential | None = None) -> Registries:
    endpoints = HubEndpoints(registry=fake.url, api=fake.url)
    vendors = (account(hub),) if hub else ()
    return Registries(docker_config_dir=folder, clock=clock, vendors=vendors, hub_endpoints=endpoints)


def account(login: Credential) -> DockerHubAccount:
    return DockerHubAccount(login.username, login.secret)


def with_aws(settings: RegistrySettings = ANYONE, **own: Any) -> RegistrySettings:
    """Return the settings with these of ECR's own changed."""
    return replace(settings, vendors=(replace(settings.own(EcrSettings), **own),))


def at(fake: FakeRegistry, name: str = f"{APP}:1.0") -> ImageRef:
    return parse(f"{fake.host}/{name}")


def at_host(host: str, name: str) -> ImageRef:
    return parse(f"{host}/{name}")


def digest(registries: Registries, reference: ImageRef, settings: RegistrySettings = ANYONE) -> str:
    return registries.for_service(reference, settings).digest(reference)


def names(tags: tuple[Tag, ...] | None) -> list[str]:
    assert tags is not None
    return [tag.name for tag in tags]
