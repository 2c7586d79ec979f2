"""Any registry that speaks the OCI distribution protocol.

The protocol is https://github.com/opencontainers/distribution-spec/blob/main/spec.md. A check is one HEAD,
which Docker Hub does not count as a pull; a GET follows only if the HEAD leaves the question open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from updater_core.errors import AuthFailed, NotAnImage, NotFound, RegistryError
from updater_core.host.engine.facts import release_facts
from updater_core.models import Credential, ImageRef, Reason, RegistrySettings, Tag
from updater_core.net import untrusted_json
from updater_core.protocols import RemoteImage
from updater_core.reference import is_digest, is_tag, with_default_tag
from updater_core.registries import manifest as manifests
from updater_core.registries.auth.access import Access
from updater_core.registries.session import RegistryEndpoint, Session, site_of
from updater_core.registries.tag_list import TagNames
from updater_core.registries.transport import Answer, Request
from updater_core.vocabulary.dated import NO_FACTS, ImageFacts

# What cosign and others put beside an image; a pattern such as `*` would mean these too.
_GENERATED = re.compile(r"sha(256|512)-[0-9a-f]{64,128}(\.(sig|att|sbom))?")
_OF_A_PAGE = (
    "the answer is a web page: see whether a proxy, a firewall or a login page is in the way. If it is the "
    "registry's own, check the name of the image and the login for it"
)
_CREDENTIALS = re.compile(rb"\b(bearer|basic)\s+[^\s\"]+", re.IGNORECASE)
# Twenty characters in a row that are no digest and no part of a path: longer than a word, and shorter than
# any token.
_TOKEN = re.compile(rb"(?<![\w:@/.-])(?!sha\d+[:-])[A-Za-z0-9_+/=-]{20,}(?:\.[A-Za-z0-9_+/=-]+)*")


def open_registry(reference: ImageRef, settings: RegistrySettings, session: Session) -> OciRegistry:
    """Return the registry that serves `reference`, as a service with these settings may use it."""
    return OciRegistry(site_of(reference, settings, session.hub), session)


@dataclass(frozen=True, slots=True)
class OciRegistry:
    """A `protocols.Registry` over the distribution protocol alone. Safe to use from many threads."""

    site: RegistryEndpoint
    session: Session

    def digest(self, reference: ImageRef) -> str:
        """Return the digest behind the tag now.

        Raises NotFound if there is no such tag, AuthFailed or RateLimited if it is refused, RegistryError if
        there is no answer.
        """
        access, name = self._access(reference), _manifest_name(reference)
        return self.session.cycle.get(("digest", access, name), lambda: self._digest(access, name))

    def tags(self, reference: ImageRef) -> tuple[Tag, ...]:
        """Return every tag, without those that tools generate.

        Raises the same errors, also for one missing page.
        """
        access = self._access(reference)
        return self.session.cycle.get(("tags", access), lambda: self._tags(access))

    def pushed_tags(self, reference: ImageRef, wanted: Callable[[str], bool]) -> tuple[Tag, ...] | None:  # noqa: ARG002
        """Return None: the protocol knows no time of a push."""
        return None

    def created(self, reference: ImageRef, platform: str) -> datetime | None:
        """Return the build time of the image for `platform`; None if there is no image or believable time."""
        access, digest = self._access(reference), self.digest(reference)
        key = (access.base, access.repository, digest, platform)
        text = self.session.cycle.get(
            ("created", access, digest, platform),
            lambda: self._remembered(key, lambda: self._created(access, digest, reference.tag, platform)),
        )
        return manifests.believable(text, self.session.clock.now())

    def image(self, reference: ImageRef, platform: str, *, in_full: bool) -> RemoteImage:
        """Return the image behind the digest for `platform`, or why there is none.

        Raises the errors of `digest`.
        """
        access = self._access(reference)
        key = (access.base, access.repository, reference.digest, platform, in_full)
        known = self.session.images.get(key)
        found = known or self._image(access, reference, platform, in_full)
        return found if known else self.session.images.put(key, found)

    def facts(self, reference: ImageRef, platform: str) -> ImageFacts:
        """Return what the image behind the digest says of itself: labels and build time of its configuration.

        Raises the errors of `digest`; a registry that is asked too much is not kept from what it is asked for
        else.
        """
        found = self.image(reference, platform, in_full=True)
        if not is_digest(found.config):
            return NO_FACTS
        config = self._configuration(self._access(reference), found.config, is_optional=True)
        own = config.get("config")
        labels = own.get("Labels") if isinstance(own, dict) else None
        return release_facts(labels if isinstance(labels, dict) else {}, str(config.get("created") or ""))

    def credential(self) -> Credential | None:
        """Return what we have for this registry, from the service's settings or Docker's configuration."""
        return self.session.login(self.site).credential

    def check(self, reference: ImageRef) -> str:
        """Ask for the reference's digest; return who the registry took us for."""
        access = self._access(reference)
        self.digest(reference)
        if self.session.tokens.uses_credential(access):
            return f"{access.host}: {access.repository} reached as {self.session.login(self.site).name}"
        unused = "; the registry asked for no login" if access.credential else ""
        broken = f"; {access.problem}" if access.problem else ""
        return f"{access.host}: {access.repository} reached, anonymous{unused}{broken}"

    def _access(self, reference: ImageRef) -> Access:
        return self.session.access(self.site, reference.repository)

    # ---------------------------------------------------------------------------------------------- manifests

    def _digest(self, access: Access, name: str) -> str:
        today = self.session.clock.now().date()
        # tried again tomorrow: a GET counts as a pull
        deaf = ("no HEAD", access.base, access.repository, today)
        # Some registries answer no HEAD, or without a digest; to try it first would double the requests of
        # each check.
        if deaf in self.session.texts:
            return self._digest_by_get(access, name)
        head = self._manifest(access, name, "HEAD")
        digest = head.headers.get("docker-content-digest", "").strip()
        media_type = head.headers.get("content-type", "")
        if head.status == 200 and manifests.is_foreign(media_type):
            raise _no_image(access, name, media_type)
        if head.status == 200 and manifests.is_plain_json(media_type):
            return self._digest_by_get(access, name)  # the old format was published so, too: the body knows
        # A login page answers 200 as well, and its digest would be a new one for ever.
        if head.status == 200 and media_type and not manifests.is_manifest(media_type):
            raise _not_a_manifest(access, name, f"its media type is {media_type[:100]!r}")
        if head.status == 200 and media_type and is_digest(digest):
            if is_digest(name) and name != digest:
                raise RegistryError(
                    access.host, f"{access.repository}: asked for {name}, it answers for {digest}"
                )
            return digest
        # After these a GET may still say more: a HEAD has no body in which the reason could stand.
        if head.status not in (200, 403, 404, 405):
            raise problem(access, head, f"manifest {name}")
        found = self._digest_by_get(access, name)
        if head.status != 404:  # a tag may have come between the two
            self.session.texts.put(deaf, "GET")
        return found

    def _digest_by_get(self, access: Access, name: str) -> str:
        answer, _ = self._get_manifest(access, name)
        return manifests.digest_of(answer.body, name if is_digest(name) else None)

    def _get_manifest(
        self, access: Access, name: str, *, is_optional: bool = False
    ) -> tuple[Answer, Mapping[str, Any]]:
        answer = self._manifest(access, name, "GET", is_optional=is_optional)
        if answer.status != 200:
            raise problem(access, answer, f"manifest {name}")
        media_type = answer.headers.get("content-type", "")
        if manifests.is_plain_json(media_type) and manifests.is_schema_1(answer.body):
            media_type = manifests.SCHEMA_1
        if manifests.is_foreign(media_type):
            raise _no_image(access, name, media_type)
        try:
            manifest = manifests.read(answer.body, media_type)
        except ValueError as error:
            raise _not_a_manifest(access, name, str(error)) from None
        _verify(access, answer.body, name)
        return answer, manifest

    def _manifest(self, access: Access, name: str, method: str, *, is_optional: bool = False) -> Answer:
        url = f"{access.base}/v2/{access.repository}/manifests/{name}"
        what = f"{access.repository}: manifest {name}"
        request = Request(url, f"manifest_{method.lower()}", what, method, {"Accept": manifests.ACCEPT})
        return self.session.ask(access, replace(request, is_optional=is_optional))

    def _remembered(self, key: Hashable, ask: Callable[[], str]) -> str:
        known = self.session.texts.get(key)
        return known if known is not None else self.session.texts.put(key, ask())

    def _created(self, access: Access, digest: str, tag: str | None, platform: str) -> str:
        manifest = self._manifest_behind(access, digest, tag, is_optional=False)
        if isinstance(manifest.get("manifests"), list):
            child = manifests.child_for(manifest, platform)
            if child is None or not is_digest(child):
                return ""
            _, manifest = self._get_manifest(access, child)
        config = manifests.config_digest(manifest)
        if config is None or not is_digest(config):
            return ""
        return self._created_in(access, config)

    def _image(self, access: Access, reference: ImageRef, platform: str, in_full: bool) -> RemoteImage:
        digest = reference.digest or self.digest(reference)
        manifest = self._manifest_behind(access, digest, reference.tag, is_optional=True)
        if not isinstance(manifest.get("manifests"), list):
            return _single_image(digest, manifest)
        child = manifests.child_for(manifest, platform)
        if child is None or not is_digest(child):
            if manifests.has_images(manifest):
                return RemoteImage(
                    obstacle=Reason.PLATFORM_MISSING, detail=f"it is not published for {platform}"
                )
            return RemoteImage(obstacle=Reason.NOT_AN_IMAGE, detail="it is no image but an index without one")
        # The index alone names the platform's image; what is in that costs one more GET, which Docker Hub
        # counts.
        if not in_full:
            return RemoteImage(child)
        return _single_image(child, self._get_manifest(access, child, is_optional=True)[1])

    def _manifest_behind(
        self, access: Access, digest: str, tag: str | None, *, is_optional: bool
    ) -> Mapping[str, Any]:
        """Return the manifest of a digest; a cache that knows only tags is asked by `tag`."""
        try:
            return self._get_manifest(access, digest, is_optional=is_optional)[1]
        except (NotFound, AuthFailed):
            if tag is None:
                raise
            answer, manifest = self._get_manifest(access, tag, is_optional=is_optional)
            _verify(access, answer.body, digest)
            return manifest

    def _created_in(self, access: Access, digest: str) -> str:
        created = self._configuration(access, digest).get("created")
        return created if isinstance(created, str) else ""

    def _configuration(self, access: Access, digest: str, *, is_optional: bool = False) -> Mapping[str, Any]:
        """Return the configuration of an image; an empty one if it is no JSON object."""
        url = f"{access.base}/v2/{access.repository}/blobs/{digest}"
        request = Request(
            url, "blob", f"{access.repository}: configuration {digest}", is_optional=is_optional
        )
        answer = self.session.ask(access, request)
        if answer.status != 200:
            raise problem(access, answer, f"configuration {digest}")
        _verify(access, answer.body, digest)
        try:
            config = untrusted_json.read(answer.body)
        except ValueError:
            config = None
        return config if isinstance(config, dict) else {}

    # --------------------------------------------------------------------------------------------------- tags

    def _tags(self, access: Access) -> tuple[Tag, ...]:
        names = TagNames(access, partial(self.session.ask, access), problem, self.session.pages).read()
        return tuple(Tag(name) for name in names if is_tag(name) and not is_generated(name))


def is_generated(name: str) -> bool:
    """Return whether a tag is one that tools generate beside an image: its signature, its attestation.

    >>> is_generated("sha256-" + "0" * 64 + ".sig"), is_generated("v1.2.3")
    (True, False)
    """
    return _GENERATED.fullmatch(name) is not None


def problem(access: Access, answer: Answer, what: str) -> RegistryError:
    """Return the error that an answer without success means."""
    codes, words = _errors(answer)
    said = replace(answer, body=_scrubbed(words, access)).quoted()
    quoted = f" ({said})" if said else ""
    is_page = answer.headers.get("content-type", "").startswith("text/html")
    if answer.status == 404 or codes & {"MANIFEST_UNKNOWN", "NAME_UNKNOWN"}:
        missing = (
            "the registry knows no such repository" if "NAME_UNKNOWN" in codes else f"{what} is not there"
        )
        remedy = _OF_A_PAGE if is_page else "check the name and the tag; what runs now is left as it is"
        return NotFound(access.host, f"{access.repository}: {missing}{quoted}", remedy)
    if answer.status in (401, 403):
        message = f"{what}: unauthorised, or it does not exist (status {answer.status}){quoted}"
        return access.refusal(message, _OF_A_PAGE if is_page else "")
    return RegistryError(access.host, f"{access.repository}: {what}: status {answer.status}{quoted}")


def _errors(answer: Answer) -> tuple[set[str], bytes]:
    """Return the codes and the words of an error, whole, in the protocol's form or any other."""
    try:
        errors = [e for e in untrusted_json.read(answer.body)["errors"] if isinstance(e, dict)]
    except (ValueError, KeyError, TypeError):
        return set(), answer.body
    words = " ".join(f"{e.get('code', '')} {e.get('message', '')}".strip() for e in errors)
    return {str(e.get("code")) for e in errors}, words.encode("utf-8", "replace")


def _scrubbed(body: bytes, access: Access) -> bytes:
    """Return a registry's words without what we sent it, should it repeat that.

    That is a scheme's credential, the password, and whatever looks like a token, for it may leave out the
    scheme. Whole words go: of one that was cut, half would stay.
    """
    if access.credential and (secret := access.credential.secret.reveal().encode()):
        body = body.replace(secret, b"***")
    return _TOKEN.sub(b"***", _CREDENTIALS.sub(rb"\1 ***", body))


def _manifest_name(reference: ImageRef) -> str:
    full = with_default_tag(reference)
    return full.tag or full.digest or ""


def _verify(access: Access, body: bytes, name: str) -> None:
    if is_digest(name) and manifests.digest_of(body, name) != name:
        raise RegistryError(access.host, f"{access.repository}: what it sends for {name} has another digest")


def _single_image(digest: str, manifest: Mapping[str, Any]) -> RemoteImage:
    objection = manifests.objection(manifest)
    if objection:
        return RemoteImage(obstacle=Reason.NOT_AN_IMAGE, detail=objection)
    return RemoteImage(digest, manifests.config_digest(manifest) or "")


def _no_image(access: Access, name: str, media_type: str) -> NotAnImage:
    what = manifests.what_is_foreign(media_type)
    message = f"{access.repository}: the answer for {name} is no manifest that an engine pulls: {what}"
    return NotAnImage(
        access.host, message, "use another tag, or ask its publisher to push it again with today's tools"
    )


def _not_a_manifest(access: Access, name: str, why: str) -> RegistryError:
    message = f"{access.repository}: the answer for {name} is no manifest: {why}"
    return RegistryError(access.host, message, untrusted_json.IN_THE_WAY)
