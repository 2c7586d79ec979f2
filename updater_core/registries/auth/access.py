"""What is to be allowed by a registry, and the error if it is not."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
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

    @property
    def host(self) -> str:
        return urlsplit(self.base).netloc

    @property
    def asker(self) -> Hashable:
        """Whose answers teach how to ask this host: the same person's, under the same rules for realms."""
        return self.base, self.credential, self.realm_hosts

    @property
    def scope(self) -> str:
        return f"repository:{self.repository}:pull"

    def refusal(self, message: str, remedy: str = "") -> AuthFailed:
        """The error for a refusal on this access, with what a person can do."""
        if not remedy and self.credential:
            remedy = f"check that {self.credential.username} may read {self.repository}, and its password or token"
        elif not remedy:
            login = "docker login" if self.host.endswith("docker.io") else f"docker login {self.host}"
            remedy = (
                f"check the spelling of {self.repository}; if it is private, set registry_config.username and "
                f"registry_config.password, or run `{login}`"
            )
        broken = f" (asked without credentials: {self.problem})" if self.problem else ""
        return AuthFailed(self.host, f"{self.repository}: {message}{broken}", remedy)
