"""What registries say, through the client of each vendor; `vendors` has their table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from updater_core import protocols
from updater_core.errors import RegistryError
from updater_core.models import ImageRef, Reason, RegistrySettings
from updater_core.policy.observation import SignatureVerdict
from updater_core.registries.auth.access import Access
from updater_core.registries.auth.refused import RefusedLogins
from updater_core.registries.auth.tokens import Tokens
from updater_core.registries.pull_limits import PullLimit
from updater_core.registries.session import DOCKER_HUB, HubEndpoints, Session, new_session, site_of
from updater_core.registries.transport import OnRequest, Transport
from updater_core.registries.vendors import BY_NAME, registry_type
from updater_core.registries.vendors.docker_hub.settings import DockerHubAccount
from updater_core.registry_utils import Logins
from updater_core.vocabulary.dated import ListComparison
from updater_core.vocabulary.own_settings import OwnSettings, own_settings

__all__ = ["HubEndpoints", "PullLimit", "Registries"]

Opener = Callable[[ImageRef, RegistrySettings, Session], protocols.Registry]


def _ignore(host: str, kind: str, result: str) -> None:
    """Nobody counts."""


class Registries:
    """Every registry of a process.

    Holds tokens, backoffs, connections and this cycle's answers; safe in many threads.

    `on_request` hears of each HTTP exchange: host, kind (`manifest_head`, `manifest_get`, `tags`, `blob`,
    `token`, `ping`, `hub_tags`, `hub_token`, `ecr_describe`, `ecr_rules`, `ecr_token`) and result (`ok`,
    `unauthorized`, `denied`, `not_found`, `rate_limited`, `error`, `unreachable`). `backoffs`, `outages`,
    `refused_logins` and `comparisons` are what these said in an earlier life. `vendors`: their settings for
    all services. `hub_mirrors` names the engine's mirrors of Docker Hub; it is asked only if that does not
    answer. `hidden_variables`: what a credential helper does not get.
    """

    def __init__(  # noqa: PLR0913 - the wiring, all by name
        self,
        *,
        docker_config_dir: Path | None,
        clock: protocols.Clock,
        vendors: OwnSettings = (),
        on_request: OnRequest = _ignore,
        backoffs: Mapping[str, datetime] | None = None,
        outages: Mapping[str, datetime] | None = None,
        refused_logins: Mapping[str, datetime] | None = None,
        comparisons: Mapping[str, ListComparison] | None = None,
        hub_endpoints: HubEndpoints = DOCKER_HUB,
        hub_mirrors: Callable[[], Sequence[str]] = tuple,
        hidden_variables: Collection[str] = (),
    ) -> None:
        self._transport = Transport(clock, on_request, backoffs or {}, outages=outages)
        self._refused = RefusedLogins(clock.now, refused_logins or {})
        tokens = Tokens(self._transport, clock, self._refused)
        account = own_settings(vendors, DockerHubAccount)
        logins = Logins(account.credential, docker_config_dir, clock, hidden_variables)
        session = new_session(clock, self._transport, tokens, logins, hub_endpoints)
        self._session = replace(session, hub_mirrors=hub_mirrors, vendors=vendors)
        for repository, compared in (comparisons or {}).items():
            self._session.comparisons.put(repository, compared)

    def for_service(self, reference: ImageRef, settings: RegistrySettings) -> protocols.Registry:
        """Return the registry that serves a reference, for a service with these settings.

        No request is made yet. Raises RegistryError if the settings name a type that cannot serve it.
        """
        kind = registry_type(reference, settings)
        vendor = BY_NAME.get(kind)
        if vendor is None:
            known = ", ".join(sorted(BY_NAME))
            raise RegistryError(
                reference.domain, f"there is no registry type {kind!r}", f"write one of {known}"
            )
        open_registry: Opener = importlib.import_module(vendor.client).open_registry
        return open_registry(reference, settings, self._session)

    def open_all(
        self, questions: Sequence[tuple[ImageRef, RegistrySettings]]
    ) -> list[protocols.Registry | Exception]:
        """Return the registry for each reference and settings, or the error that says why there is none.

        All of a cycle's are opened before any is asked, so that one that answers for many tags at once knows
        all."""
        return [self._opened(reference, settings) for reference, settings in questions]

    def _opened(self, reference: ImageRef, settings: RegistrySettings) -> protocols.Registry | Exception:
        try:
            return self.for_service(reference, settings)
        except Exception as error:  # fails one service, and is raised when that is asked about
            return error

    def backoffs(self) -> Mapping[str, datetime]:
        """Return the hosts that asked for a pause which is not over, and until when; kept across restarts."""
        return self._transport.backoffs()

    def outages(self) -> Mapping[str, datetime]:
        """Return the hosts that did not answer in this cycle, and since when; to be kept across restarts."""
        return self._transport.outages()

    def refused_logins(self) -> Mapping[str, datetime]:
        """Return a hash of each login that was refused lately, and until when it is not offered again.

        To be kept across restarts.
        """
        return self._refused.saved()

    def comparisons(self) -> Mapping[str, ListComparison]:
        """Return whether the vendors' APIs know every tag, by repository (`ImageRef.key`).

        To be kept across restarts.
        """
        return {str(key): found for key, found in self._session.comparisons.items()}

    def limits(self) -> Mapping[str, PullLimit]:
        """Return the pulls that each host still allows, as it said last; of several accounts the fewest."""
        return self._session.limits.tightest()

    def pull_allowed_at(
        self, reference: ImageRef, settings: RegistrySettings | None = None
    ) -> datetime | None:
        """Return until when a pull of `reference` waits because too few are left; None if it may begin.

        No request is made: every check of an image at Docker Hub says what is left, and is not counted
        itself.
        """
        site = site_of(reference, settings or RegistrySettings(), self._session.hub)
        access = self._session.access(site, reference.repository)
        known = self._session.limits.of(access.host, access.credential)
        return known.waits_until(self._session.clock.now()) if known else None

    def signature(
        self, reference: ImageRef, settings: RegistrySettings, key_files: Sequence[str]
    ) -> SignatureVerdict:
        """Return whether the image `reference.digest` is signed by one of the keys in these files.

        The service's own login is used.

        A key that cannot be read signs nothing. Raises RegistryError if the registry does not answer."""
        # cryptography is loaded only for whoever has such a policy
        from updater_core.registries import signatures

        try:
            keys = signatures.read_keys(key_files)
        except ValueError as error:
            return SignatureVerdict(
                reason=Reason.BAD_SIGNATURE, detail=f"a public key cannot be used: {error}"
            )
        credential = self.for_service(reference, settings).credential()
        site = site_of(reference, settings, self._session.hub)
        access = Access(site.base, reference.repository, credential, settings.token_realm_hosts)
        digest = reference.digest or ""
        session = self._session
        reader = signatures.SignatureReader(session.ask, session.signatures, session.clock.now)
        return session.cycle.get(
            ("signature", access, digest, tuple(keys)), lambda: reader.look_for(access, digest, keys)
        )

    def pull_begins(self, reference: ImageRef, settings: RegistrySettings) -> None:
        """Count a pull of `reference` against what its registry allows."""
        access = self._session.access(site_of(reference, settings, self._session.hub), reference.repository)
        self._session.limits.spend(access.host, access.credential)

    def pull_refused(self, reference: ImageRef, settings: RegistrySettings) -> None:
        """Let pulls wait at a registry that refused one of `reference` for the number of them."""
        access = self._session.access(site_of(reference, settings, self._session.hub), reference.repository)
        self._session.limits.refuse(access.host, access.credential, self._session.clock.now())

    def new_cycle(self) -> None:
        """Forget the last cycle's answers and its broken hosts; tokens, backoffs and build times stay."""
        self._transport.new_cycle()
        self._session.tokens.new_cycle()
        self._session.cycle.forget_all()
