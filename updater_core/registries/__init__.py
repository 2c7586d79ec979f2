"""Which client serves which registry. A new kind is one module with `open_registry`, and one line in `TABLE`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from updater_core import protocols
from updater_core.errors import RegistryError
from updater_core.models import Credential, ImageRef, RegistrySettings
from updater_core.registries import docker_hub, oci
from updater_core.registries.auth import Tokens
from updater_core.registries.session import DOCKER_HUB, HubEndpoints, Session
from updater_core.registries.transport import OnRequest, Transport
from updater_core.registry_utils import Logins, registry_type

__all__ = ["TABLE", "HubEndpoints", "Registries"]

TABLE: Mapping[str, Callable[[ImageRef, RegistrySettings, Session], protocols.Registry]] = {
    "docker_hub": docker_hub.open_registry,
    "generic": oci.open_registry,
    "ecr": oci.open_registry,
    "gcr": oci.open_registry,
}


def _ignore(host: str, kind: str, result: str) -> None:
    """Nobody counts."""


class Registries:
    """Every registry of a process. Holds tokens, rests, connections and this cycle's answers; safe in many threads.

    `on_request` hears of each HTTP exchange: host, kind (`manifest_head`, `manifest_get`, `tags`, `blob`, `token`,
    `hub_tags`, `hub_token`) and result (`ok`, `unauthorized`, `denied`, `not_found`, `rate_limited`, `error`,
    `unreachable`). `rests` are what `rests()` said in an earlier life.
    """

    def __init__(  # noqa: PLR0913 - the wiring, all by name
        self,
        *,
        hub_credential: Credential | None,
        docker_config_dir: Path | None,
        clock: protocols.Clock,
        on_request: OnRequest = _ignore,
        rests: Mapping[str, datetime] | None = None,
        hub_endpoints: HubEndpoints = DOCKER_HUB,
    ) -> None:
        self._transport = Transport(clock, on_request, rests or {})
        tokens = Tokens(self._transport, clock)
        logins = Logins(hub_credential, docker_config_dir, clock)
        self._session = Session(clock, self._transport, tokens, logins, hub_endpoints)

    def for_service(self, reference: ImageRef, settings: RegistrySettings) -> protocols.Registry:
        """The registry that serves a reference, for a service with these settings; no request is made yet.

        Raise RegistryError where the settings name a type that cannot serve it."""
        kind = registry_type(reference, settings)
        opener = TABLE.get(kind)
        if opener is None:
            raise RegistryError(
                reference.domain, f"there is no registry type {kind!r}", f"write one of {', '.join(sorted(TABLE))}"
            )
        return opener(reference, settings, self._session)

    def rests(self) -> Mapping[str, datetime]:
        """The hosts that asked for a rest which is not over, and until when; to be kept across restarts."""
        return self._transport.rests()

    def new_cycle(self) -> None:
        """Forget the last cycle's answers and its broken hosts; tokens, rests and build times stay."""
        self._transport.new_cycle()
        self._session.tokens.new_cycle()
        self._session.once.new_cycle()
