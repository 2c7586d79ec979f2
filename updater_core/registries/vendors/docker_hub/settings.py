"""What can be said of Docker Hub: the account of every service that names none. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from updater_core.models import Credential
from updater_core.registries.vendors.vendor import Vendor
from updater_core.vocabulary.options import kinds
from updater_core.vocabulary.options.option import TOP, Needs, Option
from updater_core.vocabulary.secret import Secret


@dataclass(frozen=True, slots=True)
class DockerHubAccount:
    """The account at the top level of the configuration."""

    docker_hub_username: str | None = None
    docker_hub_password: Secret | None = None

    @property
    def credential(self) -> Credential | None:
        """Return the login; None if there is none, or half of one."""
        if self.docker_hub_username is None or self.docker_hub_password is None:
            return None
        return Credential(self.docker_hub_username, self.docker_hub_password)


OPTIONS = (
    Option(TOP, "docker_hub_username", kinds.TEXT, None,
           "The Docker Hub account of services that name none. Goes with `docker_hub_password`.", ("acme",),
           variable="DOCKER_HUB_USERNAME", settings=DockerHubAccount, needs=Needs("docker_hub_password")),
    Option(TOP, "docker_hub_password", kinds.SECRET, None,
           "Its password or, better, a read-only access token.",
           ("${HUB_TOKEN}",),
           variable="DOCKER_HUB_PASSWORD", settings=DockerHubAccount, needs=Needs("docker_hub_username")),
)  # fmt: skip

VENDOR = Vendor(
    "docker_hub",
    "updater_core.registries.vendors.docker_hub.client",
    r"docker\.io",
    title="Docker Hub",
    spellings=("dockerhub", "docker-hub", "hub"),
    options=OPTIONS,
    is_https_only=True,
)
