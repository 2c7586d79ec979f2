"""Docker Hub by way of the engine's own mirrors (`registry-mirrors`), if Docker Hub cannot be reached.

An engine asks its mirrors for the images of Docker Hub, and for no other's (`registry-mirrors` of
daemon.json), so a pull may work although Docker Hub itself does not answer. Docker Hub is asked first, for a
mirror may be behind. If it does not answer or asks for a pause, the mirrors are asked, and for an hour they
go first. What Docker Hub does say is believed: a refusal, a missing tag. The login for Docker Hub goes to no
mirror.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import urlsplit

from updater_core.errors import AuthFailed, NotAnImage, NotFound, RateLimited, RegistryError
from updater_core.models import Credential, ImageRef, RegistrySettings, Tag
from updater_core.protocols import RemoteImage
from updater_core.registries.oci import OciRegistry
from updater_core.registries.session import RegistryEndpoint, Session
from updater_core.registries.tag_api import TimedRegistry
from updater_core.vocabulary.dated import ImageFacts

# Else each of many images would wait for Docker Hub's timeout first.
MIRRORS_FIRST_FOR = timedelta(hours=1)
# of Docker Hub itself; a mirror that says so may just know less
_ANSWERS = (AuthFailed, NotFound, NotAnImage)

T = TypeVar("T")
Registry = TimedRegistry | OciRegistry


@dataclass(frozen=True, slots=True)
class MirroredHub:
    """A `protocols.Registry` for Docker Hub that may answer through a mirror.

    Safe to use from many threads.
    """

    hub: TimedRegistry
    session: Session

    def digest(self, reference: ImageRef) -> str:
        """Return the digest behind the tag now."""
        return self._ask(lambda registry: registry.digest(reference))

    def tags(self, reference: ImageRef) -> tuple[Tag, ...]:
        """Return every tag."""
        return self._ask(lambda registry: registry.tags(reference))

    def pushed_tags(self, reference: ImageRef, wanted: Callable[[str], bool]) -> tuple[Tag, ...] | None:
        """Return the tags that `wanted` accepts with push times; None if only a mirror answers.

        A mirror knows no push times.
        """
        return self._ask(lambda registry: registry.pushed_tags(reference, wanted))

    def created(self, reference: ImageRef, platform: str) -> datetime | None:
        """Return the build time of the image for `platform`."""
        return self._ask(lambda registry: registry.created(reference, platform))

    def image(self, reference: ImageRef, platform: str, *, in_full: bool) -> RemoteImage:
        """Return what the reference's digest leads to on `platform`."""
        return self._ask(lambda registry: registry.image(reference, platform, in_full=in_full))

    def facts(self, reference: ImageRef, platform: str) -> ImageFacts:
        """Return what the image says of itself."""
        return self._ask(lambda registry: registry.facts(reference, platform))

    def credential(self) -> Credential | None:
        """Return what we have for Docker Hub: the engine gives it to no mirror either."""
        return self.hub.credential()

    def check(self, reference: ImageRef) -> str:
        """Ask for the reference's digest; return who Docker Hub, or its mirror, took us for."""

        def asked(registry: Registry) -> str:
            found = registry.check(reference)
            return (
                found
                if isinstance(registry, TimedRegistry)
                else f"{found}, a mirror of Docker Hub for this engine"
            )

        return self._ask(asked)

    def _ask(self, question: Callable[[Registry], T]) -> T:
        """Docker Hub's answer, or a mirror's. Raises Docker Hub's error, naming what the mirrors said."""
        first = ("mirrors first", self.hub.oci.site.base)
        # A mirror may be behind, which matters less than no answer at all; what it does not know is asked of
        # Docker Hub after all.
        if first in self.session.texts:
            try:
                return self._ask_mirrors(question)
            except RegistryError:
                return question(self.hub)
        try:
            return question(self.hub)
        except _ANSWERS:
            raise
        except RegistryError as error:
            # Asked only now: the engine is not asked for its mirrors while Docker Hub answers.
            if not self._mirrors():
                raise
            unanswered = error
        try:
            found = self._ask_mirrors(question)
        except RegistryError as error:
            raise _with(unanswered, error) from error
        self.session.texts.put(first, "yes", MIRRORS_FIRST_FOR.total_seconds())
        return found

    def _ask_mirrors(self, question: Callable[[Registry], T]) -> T:
        """Return the first answer of a mirror. Raises what the last one said if none answers."""
        problem = RegistryError(self.hub.oci.site.domain, "the engine names no mirror any more")
        for mirror in self._mirrors():
            try:
                return question(mirror)
            except RegistryError as error:
                problem = error
        raise problem

    def _mirrors(self) -> tuple[OciRegistry, ...]:
        addresses = self.session.cycle.get("mirrors of the engine", lambda: tuple(self.session.hub_mirrors()))
        return tuple(
            OciRegistry(_site(address), self.session) for address in addresses if _is_usable(address)
        )


def _site(address: str) -> RegistryEndpoint:
    """Return a mirror as a registry of its own, with the login that Docker's configuration has for it."""
    base = address.rstrip("/")
    return RegistryEndpoint(urlsplit(base).netloc, base, RegistrySettings())


def _is_usable(address: str) -> bool:
    try:
        parts = urlsplit(address)
        # The engine's configuration is the operator's and may hold anything; a login in an address would get
        # into messages.
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def _with(unanswered: RegistryError, of_mirror: RegistryError) -> RegistryError:
    """Docker Hub's error, with what its mirror said."""
    message = f"{str(unanswered).removeprefix(f'{unanswered.host}: ')}; the engine's mirror: {of_mirror}"
    if isinstance(unanswered, RateLimited):
        return RateLimited(unanswered.host, message, unanswered.retry_at, unanswered.remedy)
    return RegistryError(unanswered.host, message, unanswered.remedy)
