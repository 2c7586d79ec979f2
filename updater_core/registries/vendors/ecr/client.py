"""Amazon ECR: private registries over the AWS API, the public one over the distribution protocol.

DescribeImages (https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html) knows tags,
digests and when a manifest was pushed, and is no pull: asking the registry itself would move
`lastRecordedPullTime`, by which owners let old images expire. `imagePushedAt` is the manifest's: a tag put on
an old manifest carries the old time.

A repository that caches another registry is the exception: ECR looks upstream only if the registry itself is
asked for a tag (https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html), so it is.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from updater_core import protocols
from updater_core.errors import AuthFailed, NotFound, RegistryError
from updater_core.models import Credential, ImageRef, Reason, RegistrySettings, Tag
from updater_core.net import untrusted_json
from updater_core.net.url_rules import is_loopback
from updater_core.protocols import RemoteImage
from updater_core.reference import is_digest, is_tag, with_default_tag
from updater_core.registries import oci
from updater_core.registries.manifest import CONFIGS
from updater_core.registries.oci import OciRegistry
from updater_core.registries.paging import pages
from updater_core.registries.session import Session, site_of
from updater_core.registries.transport import ERROR_BYTES, Request
from updater_core.registries.vendors.ecr.api import (
    EcrApi,
    ImageMissing,
    Repository,
    api_of,
    next_token,
    principal_of,
)
from updater_core.registries.vendors.ecr.aws_client import Endpoint
from updater_core.registries.vendors.ecr.batch import Batches
from updater_core.registries.vendors.ecr.hosts import PUBLIC_HOSTS, EcrHost, parse_host
from updater_core.registries.vendors.ecr.public import PublicEcr
from updater_core.registries.vendors.ecr.settings import EcrSettings
from updater_core.vocabulary.dated import NO_FACTS, ImageFacts

T = TypeVar("T")

PAGE_SIZE = 1000  # the API's most
_RULES_KNOWN_FOR, _RULES_REFUSED_FOR = timedelta(days=1), timedelta(hours=1)
PUBLIC_REGION = "us-east-1"  # the only one in which ECR Public's API gives tokens
_ELSEWHERE = EcrHost("", "")  # a host that names neither account nor region


def open_registry(reference: ImageRef, settings: RegistrySettings, session: Session) -> protocols.Registry:
    """ECR, as a service with these settings may use it.

    Raises RegistryError if they contradict the image's host.

    A configured user name and password are for the registry's own protocol, and need no AWS at all."""
    _refuse_contradictions(reference, settings)
    if settings.username is not None and settings.password is not None:
        return oci.open_registry(reference, settings, session)
    host = parse_host(reference.domain) or _ELSEWHERE
    principal = principal_of(settings)
    plain = OciRegistry(site_of(reference, settings, session.hub), session)
    if reference.domain in PUBLIC_HOSTS:
        public = api_of(Endpoint("ecr-public", PUBLIC_REGION, principal), session)
        repository = Repository(reference.domain, None, reference.repository)
        return PublicEcr(plain, repository, public, settings.own(EcrSettings).names_an_account)
    region = host.region or settings.own(EcrSettings).region
    api = api_of(Endpoint("ecr", region, principal, host.is_fips, host.is_dual_stack), session)
    repository = Repository(reference.domain, host.account or None, reference.repository)
    batches = session.lasting.get(
        ("ecr batches", api, repository), lambda: _batches(api, repository, session)
    )
    batches.expect(_question(reference))
    return EcrRegistry(plain, repository, api, batches)


@dataclass(frozen=True, slots=True)
class EcrRegistry:
    """A `protocols.Registry` for a private registry. Safe to use from many threads."""

    oci: OciRegistry
    repository: Repository
    api: EcrApi
    batches: Batches

    def digest(self, reference: ImageRef) -> str:
        """Return the digest behind the tag now, in one call with all that is asked of this repository."""
        if self._is_cache():
            return self._by_protocol(lambda registry: registry.digest(reference))
        return self.batches.get(_question(reference))

    def tags(self, reference: ImageRef) -> tuple[Tag, ...]:
        """Return every tag with digest and push time; of a cache only names, for its digests may be old."""
        if self._is_cache():
            return self._by_protocol(lambda registry: registry.tags(reference))
        return tuple(tag for tag in self._listed() if not oci.is_generated(tag.name))

    def pushed_tags(self, reference: ImageRef, wanted: Callable[[str], bool]) -> tuple[Tag, ...] | None:  # noqa: ARG002
        """Return the tags that `wanted` accepts, newest manifest first.

        Tags of one manifest tie. None for a cache: its times say when it fetched what.
        """
        if self._is_cache():
            return None
        chosen = [tag for tag in self._listed() if wanted(tag.name)]
        return tuple(sorted(chosen, key=lambda tag: (tag.pushed_at or _NEVER, tag.name), reverse=True))

    def created(self, reference: ImageRef, platform: str) -> datetime | None:
        """Return the build time in the image's configuration, which only the registry itself has."""
        exact = reference if self._is_cache() else replace(reference, tag=None, digest=self.digest(reference))
        return self._by_protocol(lambda registry: registry.created(exact, platform))

    def image(self, reference: ImageRef, platform: str, *, in_full: bool) -> RemoteImage:
        """Return whether AWS said that the reference's digest is of another kind than an image.

        It is asked nothing more: to look into an index would be a pull. A cache is asked, so that it has the
        image when the engine wants it.
        """
        if self._is_cache():
            return self._by_protocol(lambda registry: registry.image(reference, platform, in_full=in_full))
        kind = self.oci.session.texts.get(_artifact_key(self.repository, reference.digest)) or ""
        if not kind or kind in CONFIGS:
            return RemoteImage()
        return RemoteImage(obstacle=Reason.NOT_AN_IMAGE, detail=f"it is no image but {kind}")

    def facts(self, reference: ImageRef, platform: str) -> ImageFacts:  # noqa: ARG002
        """Return nothing: to read a manifest is a pull, which AWS counts to find what is unused."""
        return NO_FACTS

    def credential(self) -> Credential | None:
        """Return the user name AWS with a token.

        One from our memory is shown to the registry first: it may be withdrawn.
        """
        credential, is_fresh = self.api.credential(self.repository)
        if not is_fresh and self._is_refused(credential):
            self.api.drop(credential)
            credential, _ = self.api.credential(self.repository)
        return credential

    def check(self, reference: ImageRef) -> str:
        """Ask for the reference's digest and for a token, as an update would need them; say in whose name."""
        self.digest(reference)
        self.credential()
        if self._is_cache():
            return (
                f"{self.repository.domain}: {self.repository.name}, a pull-through cache, reached with "
                f"{self.api.who}"
            )
        place = (
            f"{self.repository.domain}: {self.repository.name} reached over the AWS API in {self.api.region}"
        )
        return f"{place} with {self.api.who}"

    def _is_cache(self) -> bool:
        """Return whether the repository caches another registry, by its settings or the account's rules."""
        settings, session = self.oci.site.settings, self.oci.session
        if settings.own(EcrSettings).aws_pull_through_cache:
            return True
        key = ("pull-through cache rules", self.api, self.repository.account)
        known = session.known_names.get(key)
        prefixes = self._asked_prefixes(key) if known is None else known
        name = self.repository.name
        return "ROOT" in prefixes or any(name.startswith(f"{prefix}/") for prefix in prefixes)

    def _asked_prefixes(self, key: Hashable) -> frozenset[str]:
        """Return the account's rules, by one question in a cycle.

        Raises RegistryError if AWS gives no answer or a part of one: a cache that is taken for none would be
        said to be up to date for ever.
        """
        try:
            return self.oci.session.cycle.get(key, lambda: self._cache_prefixes(key))
        except RegistryError:
            self.api.prepare(self.repository)  # raises, of this repository, what is everyone's failure
            raise

    def _cache_prefixes(self, key: Hashable) -> frozenset[str]:
        """Return the account's rules, asked for once a day.

        Who may not read them says by a setting what is a cache.
        """
        session = self.oci.session
        try:
            prefixes = self.api.cache_prefixes(replace(self.repository, name="the pull-through cache rules"))
        except (AuthFailed, NotFound):  # refused, or an API that does not know the question
            return session.known_names.put(key, frozenset(), _RULES_REFUSED_FOR.total_seconds())
        return session.known_names.put(key, prefixes, _RULES_KNOWN_FOR.total_seconds())

    def _by_protocol(self, ask: Callable[[OciRegistry], T]) -> T:
        """Return what the registry itself says.

        A token may be withdrawn before its time: then once more with a fresh one.
        """
        try:
            return ask(self._with_token())
        except AuthFailed:
            return ask(self._with_token())

    def _listed(self) -> tuple[Tag, ...]:
        session = self.oci.session
        return session.cycle.get(("ecr tags", self.api, self.repository), self._list)

    def _list(self) -> tuple[Tag, ...]:
        found: dict[str, Tag] = {}
        api, repository = self.api, self.repository
        for details in pages(
            repository.domain, repository.name, "", lambda token: _page(api, repository, token)
        ):
            _note_kinds(details, repository, self.oci.session)
            # a tag that moved meanwhile: its last place counts
            found.update({tag.name: tag for tag in _tags(details)})
        self.batches.note({tag.name: tag.digest for tag in found.values() if tag.digest})
        return tuple(found.values())

    def _with_token(self) -> OciRegistry:
        credential = self.credential()
        if credential is None:
            return self.oci
        settings = replace(self.oci.site.settings, username=credential.username, password=credential.secret)
        return replace(self.oci, site=replace(self.oci.site, settings=settings))

    def _is_refused(self, credential: Credential) -> bool:
        pair = f"{credential.username}:{credential.secret.reveal()}".encode()
        header = f"Basic {base64.b64encode(pair).decode()}"
        what = f"{self.repository.name}: login"
        request = Request(
            f"{self.oci.site.base}/v2/", "ping", what, authorization=header, longest_bytes=ERROR_BYTES
        )
        try:
            return self.oci.session.transport.send(request).status in (401, 403)
        except RegistryError:  # the engine may have another way to it
            return False


_NEVER = datetime.min.replace(tzinfo=UTC)


def _question(reference: ImageRef) -> str:
    full = with_default_tag(reference)
    return full.tag or full.digest or ""


def _refuse_contradictions(reference: ImageRef, settings: RegistrySettings) -> None:
    domain, host = reference.domain, parse_host(reference.domain)
    own_region = PUBLIC_REGION if domain in PUBLIC_HOSTS else (host.region if host else None)
    if own_region is None and not is_loopback(domain):
        message = f"{reference.key} does not live at Amazon ECR, but its registry type says ecr"
        raise RegistryError(domain, message, "leave registry_type out, or set it to generic")
    own = settings.own(EcrSettings)
    if own_region and own.region not in (None, own_region):
        message = f"{reference.repository}: the image's host is in {own_region}, registry_config.region says"
        remedy = "take registry_config.region out, or correct the image"
        raise RegistryError(domain, f"{message} {own.region}", remedy)
    if settings.username is not None and own.names_an_account:
        message = (
            f"{reference.repository}: registry_config has a username and AWS credentials; only one can be "
            "used"
        )
        raise RegistryError(domain, message, "keep the aws_ keys, or username and password")


def _batches(api: EcrApi, repository: Repository, session: Session) -> Batches:
    return Batches(
        prepare=lambda: api.prepare(repository),
        ask=lambda names: _digests(api, repository, names),
        cycle=lambda: session.cycle.get("ecr cycle", object),
    )


def _digests(api: EcrApi, repository: Repository, names: Sequence[str]) -> Mapping[str, str | RegistryError]:
    """Return the digests behind tags (or digests); for each that is not there, the error.

    AWS answers nothing at all if one is missing, and names one of those: the others are asked again without
    it, or in halves if it names none.
    """
    if not names:
        return {}
    try:
        ids = [{"imageDigest" if is_digest(name) else "imageTag": name} for name in names]
        details = _details(api.describe_images(repository, imageIds=ids), repository)
    except ImageMissing as error:
        return _digests_of_others(api, repository, names, error)
    except RegistryError as error:
        return dict.fromkeys(names, error)
    known = _known(details)
    return {name: known.get(name) or _not_there(api, repository, name) for name in names}


def _digests_of_others(
    api: EcrApi, repository: Repository, names: Sequence[str], error: ImageMissing
) -> Mapping[str, str | RegistryError]:
    """Return the digests after an answer that one of `names` is missing; the errors of those that are."""
    missing = [name for name in names if name in error.named]
    if not missing and len(names) > 1:
        middle = len(names) // 2
        first = _digests(api, repository, names[:middle])
        second = _digests(api, repository, names[middle:])
        return {**first, **second}
    missing = missing or [*names]
    others = [name for name in names if name not in missing]
    errors = {name: _not_there(api, repository, name) for name in missing}
    return {**errors, **_digests(api, repository, others)}


def _note_kinds(details: Iterable[Mapping[str, Any]], repository: Repository, session: Session) -> None:
    """Remember what kind of thing each digest is, as far as AWS says: the media type of its configuration."""
    for detail in details:
        kind = detail.get("artifactMediaType")
        if isinstance(kind, str):
            session.texts.put(_artifact_key(repository, detail.get("imageDigest")), kind)


def _artifact_key(repository: Repository, digest: object) -> Hashable:
    return "kind of artifact", repository, digest


def _known(details: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    known: dict[str, str] = {}
    for detail in details:
        digest = detail.get("imageDigest")
        if isinstance(digest, str) and is_digest(digest):
            known |= dict.fromkeys([digest, *_names(detail)], digest)
    return known


def _not_there(api: EcrApi, repository: Repository, name: str) -> ImageMissing:
    message = f"{repository.name}: {name} is not there (in {api.region})"
    return ImageMissing(
        repository.domain, message, "check the name and the tag; what runs now is left as it is"
    )


def _page(api: EcrApi, repository: Repository, token: str) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """Return the images on the page behind a token (of the first page: none), and the next page's token."""
    arguments = {"nextToken": token} if token else {}
    answer = api.describe_images(
        repository, filter={"tagStatus": "TAGGED"}, maxResults=PAGE_SIZE, **arguments
    )
    return _details(answer, repository), next_token(answer)


def _details(page: Mapping[str, Any], repository: Repository) -> Sequence[Mapping[str, Any]]:
    """Return the images of an answer; a page of somebody else's (a proxy's) never passes for an empty one."""
    details = page.get("imageDetails")
    if not isinstance(details, list):
        message = f"{repository.name}: the answer is no list of images"
        raise RegistryError(repository.domain, message, untrusted_json.IN_THE_WAY)
    return details


def _tags(details: Iterable[Mapping[str, Any]]) -> Iterable[Tag]:
    for detail in details:
        digest, moment = detail.get("imageDigest"), detail.get("imagePushedAt")
        if isinstance(digest, str) and is_digest(digest):
            yield from (Tag(name, digest, _in_utc(moment)) for name in _names(detail) if is_tag(name))


def _names(detail: Mapping[str, Any]) -> list[str]:
    return [name for name in detail.get("imageTags") or () if isinstance(name, str)]


def _in_utc(moment: object) -> datetime | None:
    try:
        return moment.astimezone(UTC) if isinstance(moment, datetime) else None
    except OverflowError:  # the last hours of the year 9999
        return None
