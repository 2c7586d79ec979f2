"""What is to be allowed by a registry, and the error if it is not."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from updater_core.errors import AuthFailed
from updater_core.models import Credential


@dataclass(frozen=True, slots=True)
class Access:
    """What is to be allowed: reading one repository of one registry, as someone or as anyone."""

    base: str  # scheme and host of the registry
    repository: str
    credential: Credential | None
    realm_hosts: tuple[str, ...] = ()
    problem: str = ""  # why there is no credential, if one was configured
    source: str = field(default="", compare=False)  # where the credential comes from

    @property
    def host(self) -> str:
        """Return the registry's host, with its port if the address has one."""
        return urlsplit(self.base).netloc

    @property
    def asker(self) -> Hashable:
        """Return whose answers teach how to ask this host: the same person's, under the same realm rules."""
        return self.base, self.credential, self.realm_hosts

    @property
    def scope(self) -> str:
        """Return the scope that a pull needs (distribution spec, "Token Scope")."""
        return f"repository:{self.repository}:pull"

    def refusal(self, message: str, remedy: str = "") -> AuthFailed:
        """Return the error for a refusal on this access, with what a person can do."""
        remedy = remedy or (self._remedy_of_login() if self.credential else self._remedy_of_nobody())
        broken = f" (asked without credentials: {self.problem})" if self.problem else ""
        refused = AuthFailed(self.host, f"{self.repository}: {message}{broken}", remedy)
        refused.said = f"{message}{broken}"
        return refused

    def login_refusal(self, by: str) -> AuthFailed:
        """Return the error for a login that is not taken; `by`: who does not, as the sentence begins."""
        name = self.credential.username if self.credential else ""
        refused = self.refusal(f"{by} refuses the login as {name}")
        refused.is_of_login = True
        return refused

    def remedy_of_pause(self) -> str:
        """Return what to do about a host that is asked too often."""
        often = "nothing to do: it is asked again then; if that happens often, raise check_interval"
        if self.credential:
            return often
        return f"{often}, or log in (`docker login{self._shown_host}`): a login may be allowed more"

    def remedy_of_pull_limit(self) -> str:
        """Return what to do about pulls that are used up."""
        if self.credential:
            return f"wait, or let the plan of {self.credential.username} allow more pulls"
        return f"wait, or log in for a higher limit: {self._way_to_log_in()}"

    def _remedy_of_login(self) -> str:
        name = self.credential.username if self.credential else ""
        check = f"check that {name} may read {self.repository}, and its password or token"
        if not self.source:
            return check
        if self.source == "registry_config":
            return f"{check} in registry_config; a public image needs neither"
        if self.source == "DOCKER_HUB_USERNAME":
            return f"{check} in DOCKER_HUB_PASSWORD; a public image needs neither"
        where = self._shown_host
        return (
            f"{check}. The login comes from {self.source}: `docker login{where}` renews it there; if the "
            f"image is public, `docker logout{where}` is enough"
        )

    def _remedy_of_nobody(self) -> str:
        return f"check the spelling of {self.repository}; if it is private, {self._way_to_log_in()}"

    def _way_to_log_in(self) -> str:
        return (
            "set registry_config.username and registry_config.password, or run "
            f"`docker login{self._shown_host}`"
        )

    @property
    def _shown_host(self) -> str:
        """Return the host as an argument of `docker login`; Docker Hub needs none."""
        return "" if self.host.endswith("docker.io") else f" {self.host}"
