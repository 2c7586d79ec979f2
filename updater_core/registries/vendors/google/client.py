"""Google's registries: the distribution protocol, Google's accounts, and a tag list with digests and times.

`gcr.io` and `*-docker.pkg.dev` are one product today, Artifact Registry. Its `tags/list` carries a map
`manifest` with the tags of each digest and the time it was uploaded (go-containerregistry,
pkg/v1/google/list.go), so one request says all there is to say about a repository. The time is the
manifest's: a tag put on an older image keeps that image's time.

An account that the operator named (a key file, GOOGLE_APPLICATION_CREDENTIALS, a docker login) is used at
once. The one that merely is there (gcloud's, the metadata server's) is looked for only if a repository does
not answer without, which is remembered: public images need none, and other registries never come here.

`registry_config.project_id` is the project that messages name and a remedy is for if the image's own path
names none; if the two differ, a refusal says so. It is sent nowhere: no registry request depends on a project
of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from updater_core.errors import AuthFailed, RegistryError
from updater_core.models import Credential, ImageRef, RegistrySettings, Tag
from updater_core.net import untrusted_json
from updater_core.protocols import RemoteImage
from updater_core.reference import is_digest, is_tag
from updater_core.registries import manifest as manifests
from updater_core.registries.auth.access import Access
from updater_core.registries.oci import OciRegistry, is_generated, problem
from updater_core.registries.paging import next_address, pages
from updater_core.registries.session import RegistryEndpoint, Session, site_of
from updater_core.registries.tag_list import LONGEST_PAGE_BYTES, next_link
from updater_core.registries.transport import Request
from updater_core.registries.vendors.google import identity as identities
from updater_core.registries.vendors.google.identity import Identity
from updater_core.registries.vendors.google.settings import GoogleSettings
from updater_core.vocabulary.dated import ImageFacts

ACCESS_KNOWN_SECONDS = 86400.0  # whether a repository is for everybody
ROLE = "roles/artifactregistry.reader"

T = TypeVar("T")


def open_registry(reference: ImageRef, settings: RegistrySettings, session: Session) -> GoogleRegistry:
    """Return the Google registry that serves `reference`, as a service with these settings may use it."""
    return GoogleRegistry(site_of(reference, settings, session.hub), reference, session)


@dataclass(frozen=True, slots=True)
class GoogleRegistry:
    """A `protocols.Registry` for Google.

    `reference` is the one it was opened for. Safe to use from many threads.
    """

    site: RegistryEndpoint
    reference: ImageRef
    session: Session

    def digest(self, reference: ImageRef) -> str:
        """Return the digest behind the tag now: from this cycle's tag list, if any, else by one HEAD."""
        listed = self.session.cycle.known(self._list_key(reference))
        # The list had the digest of each tag, so the same cycle needs no HEAD.
        if isinstance(listed, _Listing) and reference.tag and not reference.digest:
            digest = next((tag.digest for tag in listed.tags if tag.name == reference.tag), None)
            if digest:
                return digest
        return self._answer(reference, lambda oci: oci.digest(reference))

    def tags(self, reference: ImageRef) -> tuple[Tag, ...]:
        """Return every tag, with digest and push time if Google says them."""
        return self._listing(reference).tags

    def pushed_tags(self, reference: ImageRef, wanted: Callable[[str], bool]) -> tuple[Tag, ...] | None:
        """Return the tags that `wanted` accepts, with digests and upload times, by one request.

        None if the list lacks its map.
        """
        listing = self._listing(reference)
        return tuple(tag for tag in listing.tags if wanted(tag.name)) if listing.has_times else None

    def created(self, reference: ImageRef, platform: str) -> datetime | None:
        """Return the build time of the image for `platform`."""
        return self._answer(reference, lambda oci: oci.created(reference, platform))

    def image(self, reference: ImageRef, platform: str, *, in_full: bool) -> RemoteImage:
        """Return what the reference's digest leads to on `platform`."""
        return self._answer(reference, lambda oci: oci.image(reference, platform, in_full=in_full))

    def facts(self, reference: ImageRef, platform: str) -> ImageFacts:
        """Return what the image says of itself."""
        return self._answer(reference, lambda oci: oci.facts(reference, platform))

    def credential(self) -> Credential | None:
        """Return what the engine needs for a pull: a token good for some minutes; None if anybody may pull.

        Raises AuthFailed if the account named for this registry cannot be used.
        """
        identity = self._identity(self.reference)
        # The engine pulls by itself, so a repository that was never tried without an account gets the
        # machine's.
        if identity is None and not self._docker_login() and self._key("public") not in self.session.texts:
            identity = identities.of_machine(self.session)
        return identity.credential(self._access(self.reference)) if identity else self._docker_login()

    def check(self, reference: ImageRef) -> str:
        """Ask for the reference's digest; return who the registry took us for."""
        text = self._answer(reference, lambda oci: oci.check(reference))
        identity = self._identity(reference)
        return text.replace(f"as {identities.USERNAME}", f"as {identity.name}") if identity else text

    # --------------------------------------------------------------------------------------------- who we are

    def _identity(self, reference: ImageRef) -> Identity | None:
        """Return the account to begin with; None for a docker login, and for nobody."""
        settings = self.site.settings
        key_file = settings.own(GoogleSettings).service_account_path
        if key_file:
            return identities.of_key_file(key_file, self.session)
        if settings.username:
            return None
        named = identities.of_environment(self.session)
        if named or self._docker_login() or self._key("private", reference) not in self.session.texts:
            return named
        return identities.of_machine(self.session)

    def _docker_login(self) -> Credential | None:
        return self.session.login(self.site).credential

    def _answer(self, reference: ImageRef, ask: Callable[[OciRegistry], T]) -> T:
        """Ask as who we are; a refusal is answered once, with a newer token or this machine's account."""
        identity = self._identity(reference)
        credential = identity.credential(self._access(reference)) if identity else None
        try:
            found = ask(self._as(credential))
        except AuthFailed as error:
            identity, other = self._second(reference, identity, credential)
            if other is None:
                raise self._refusal(reference, error, identity) from None
        else:
            if credential is None:
                self.session.texts.put(self._key("public", reference), "yes", ACCESS_KNOWN_SECONDS)
            return found
        self.session.texts.put(self._key("private", reference), "yes", ACCESS_KNOWN_SECONDS)
        try:
            return ask(self._as(other))
        except AuthFailed as error:
            raise self._refusal(reference, error, identity) from None

    def _second(
        self, reference: ImageRef, identity: Identity | None, refused: Credential | None
    ) -> tuple[Identity | None, Credential | None]:
        """Return who may ask once more, and with what, after `refused`; nobody if that was the best."""
        access = self._access(reference)
        if identity and refused:
            return identity, identity.renewed(access, refused)
        found = None if self._docker_login() else identities.of_machine(self.session)
        return found, found.credential(access) if found else None

    def _as(self, credential: Credential | None) -> OciRegistry:
        if credential is None:
            return OciRegistry(self.site, self.session)
        settings = replace(self.site.settings, username=credential.username, password=credential.secret)
        return OciRegistry(replace(self.site, settings=settings), self.session)

    def _refusal(self, reference: ImageRef, refused: AuthFailed, identity: Identity | None) -> AuthFailed:
        if identity is None and self._docker_login():
            return refused
        project, named = _project(self.site, reference)
        if identity is None:
            remedy = (
                f"name a service account's key in registry_config.service_account_path or "
                f"{identities.FROM_ENVIRONMENT}; it needs the role {ROLE} on {project}"
            )
            return AuthFailed(
                self._host, f"{reference.repository}: not for everybody: {refused.said}", remedy
            )
        said = "it takes no token of this account" if refused.is_of_login else refused.said
        remedy = f"grant {identity.name} the role {ROLE} on {project}, and check the image's name{named}"
        return AuthFailed(
            self._host, f"{reference.repository}: Google refuses {identity.name}: {said}", remedy
        )

    # --------------------------------------------------------------------------------------------------- tags

    def _listing(self, reference: ImageRef) -> _Listing:
        key = self._list_key(reference)
        return self.session.cycle.get(
            key, lambda: self._answer(reference, lambda oci: _read_all(oci, reference.repository))
        )

    def _list_key(self, reference: ImageRef) -> tuple[object, ...]:
        return ("google list", self.site, reference.repository)

    def _key(self, word: str, reference: ImageRef | None = None) -> tuple[object, ...]:
        return "google", word, self.site, (reference or self.reference).repository

    def _access(self, reference: ImageRef) -> Access:
        return self.session.access(self.site, reference.repository)

    @property
    def _host(self) -> str:
        return urlsplit(self.site.base).netloc


@dataclass(frozen=True, slots=True)
class _Listing:
    """All tags of a repository; `has_times`: they came with Google's map."""

    tags: tuple[Tag, ...]
    has_times: bool


def _read_all(oci: OciRegistry, repository: str) -> _Listing:
    access = oci.session.access(oci.site, repository)
    names: dict[str, None] = {}
    found: dict[str, Tag] = {}
    has_times = True
    # Google answers with one page, whatever its length
    first = f"{access.base}/v2/{access.repository}/tags/list"
    for page in pages(access.host, repository, first, lambda url: _page(oci.session, access, url)):
        names.update(dict.fromkeys(name for name in page.get("tags") or () if isinstance(name, str)))
        manifest = page.get("manifest")
        has_times = has_times and isinstance(manifest, dict)
        for tag in _tags(manifest if isinstance(manifest, dict) else {}, oci.session.clock.now()):
            known = found.get(tag.name)
            # A tag that moves between two pages is in both; the later upload is where it is now.
            found[tag.name] = tag if known is None or _when(known) < _when(tag) else known
    every = (name for name in names | dict.fromkeys(found) if is_tag(name) and not is_generated(name))
    return _Listing(tuple(found.get(name, Tag(name)) for name in every), has_times)


def _page(session: Session, access: Access, url: str) -> tuple[Mapping[str, Any], str | None]:
    answer = session.ask(
        access, Request(url, "tags", f"{access.repository}: tags", longest_bytes=LONGEST_PAGE_BYTES)
    )
    if answer.status != 200:
        raise problem(access, answer, "tags")
    try:
        page = untrusted_json.read(answer.body)
    except ValueError:
        page = None
    is_list = isinstance(page, dict) and ("tags" in page or isinstance(page.get("manifest"), dict))
    if not is_list or not isinstance(page.get("tags", []), list | None):
        message = f"{access.repository}: it answered with something that is no list of tags"
        raise RegistryError(access.host, message, untrusted_json.IN_THE_WAY)
    target = next_link(answer.headers.get("link", ""))
    if target is None:
        return page, None
    return page, next_address(access.host, access.repository, url, target, page.get("tags") or ())


def _tags(manifest: Mapping[str, Any], now: datetime) -> Iterator[Tag]:
    """Yield the tags of the map: digest to `tag` (its names) and `timeUploadedMs` (a text; `0`: unknown)."""
    for digest, entry in manifest.items():
        if is_digest(digest) and isinstance(entry, dict) and isinstance(entry.get("tag"), list):
            pushed_at = _moment(entry.get("timeUploadedMs"), now)
            yield from (Tag(name, digest, pushed_at) for name in entry["tag"] if isinstance(name, str))


def _moment(milliseconds: object, now: datetime) -> datetime | None:
    try:
        moment = datetime.fromtimestamp(int(str(milliseconds)) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return manifests.believable(moment.isoformat(), now)


def _when(tag: Tag) -> datetime:
    return tag.pushed_at or datetime.min.replace(tzinfo=UTC)


def _project(site: RegistryEndpoint, reference: ImageRef) -> tuple[str, str]:
    """Return the project of a remedy in words, and a hint if the settings name another than the image.

    >>> settings = RegistrySettings(vendors=(GoogleSettings(project_id="shop"),))
    >>> image = ImageRef("gcr.io", "example.com/shop/web")
    >>> said, hint = _project(RegistryEndpoint("gcr.io", "https://gcr.io", settings), image)
    >>> said
    'the project example.com:shop'
    >>> hint
    ': it lies in project example.com:shop, registry_config.project_id says shop'
    >>> local = RegistryEndpoint("localhost:5000", "http://localhost:5000", settings)
    >>> _project(local, ImageRef("localhost:5000", "web"))
    ('the project shop', '')
    """
    first, _, rest = reference.repository.partition("/")
    if "." in first:  # a project of an organisation's domain: example.com/project/image
        first = f"{first}:{rest.partition('/')[0]}"
    own = site.settings.own(GoogleSettings).project_id
    if not reference.domain.endswith((".pkg.dev", "gcr.io")) or reference.domain == "mirror.gcr.io":
        return (f"the project {own}", "") if own else ("its project", "")
    hint = (
        f": it lies in project {first}, registry_config.project_id says {own}" if own and own != first else ""
    )
    return f"the project {first}", hint
