"""What can be said of Google's registries in a service's `registry_config`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from updater_core.registries.vendors.vendor import Vendor
from updater_core.vocabulary.options import kinds
from updater_core.vocabulary.options.option import REGISTRY, Option

# docker-credential-gcr, config/const.go
HOSTS = (
    r"(?:[a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev"
    r"|docker\.[a-z0-9-]+\.rep\.pkg\.dev|docker\.s3nsregistry\.fr"
)


@dataclass(frozen=True, slots=True)
class GoogleSettings:
    """A service's settings for Google's registries."""

    project_id: str | None = None
    service_account_path: str | None = None


OPTIONS = (
    Option(REGISTRY, "project_id", kinds.TEXT, None,
           "Google: the project that messages name if a role is missing.", ("my-project",),
           settings=GoogleSettings,
           see="[Google](registries.md#google)"),
    Option(REGISTRY, "service_account_path", kinds.PATH, None,
           "Google: a service account's JSON key file, in place of `username`.",
           ("/etc/docker-auto-updater/google.json",), settings=GoogleSettings, is_login=True),
)  # fmt: skip

VENDOR = Vendor(
    "gcr",
    "updater_core.registries.vendors.google.client",
    HOSTS,
    title="Google",
    spellings=("artifact_registry", "gar", "google"),
    options=OPTIONS,
    environment=r"GOOGLE_\w+",
    variables=("GOOGLE_APPLICATION_CREDENTIALS",),
    reader="google-auth: a key file, for Google's registries.",
)
