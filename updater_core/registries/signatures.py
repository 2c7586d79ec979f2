"""Is an image signed by one of the service's keys? Its signatures are fetched from beside it in its registry.

Where cosign puts them: the tag `sha256-<hex>.sig` (simple signing), and a referrer of the image, listed by
the referrers API or, at a registry without it, by the tag `sha256-<hex>`
(https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers). Only 404 at all of
these places means "not signed": any other refusal is an error, and the image's state is unknown.

What was found is remembered for the process. An image is looked at again in each cycle, but only by a HEAD: a
signed one at the place of its signature, any other at the places that held none. Signatures are read again if
a place holds something else than before. A signature comes within minutes of its image, if it comes late at
all: so all places are looked at during an hour, and one of them in turn from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from updater_core.caching.cache import Cache
from updater_core.errors import RegistryError
from updater_core.models import Reason
from updater_core.net import untrusted_json
from updater_core.policy.observation import SignatureVerdict
from updater_core.reference import is_digest
from updater_core.registries import cosign, manifest
from updater_core.registries.auth.access import Access
from updater_core.registries.cosign import Statement, TrustedKey
from updater_core.registries.oci import problem
from updater_core.registries.transport import Answer, Request

_NO_KEY_FITS = "none of its signatures is by a key that the service trusts"

_REFERRERS = "referrers"  # the place that is an API; the others are called by their tags
_READ_ANEW_EVERY = timedelta(days=1)  # a registry may have got a referrers API meanwhile
_EVERY_PLACE_FOR = timedelta(hours=1)

Ask = Callable[[Access, Request], Answer]


@dataclass(frozen=True, slots=True)
class SeenSignatures:
    """The verdict on an image, and what each place to look at again held then.

    That is the digest of what lay there, empty if nothing did. `since`: when the image was first looked at;
    `until`: when its signatures are read anew; `looks`: how often it was looked at again.
    """

    verdict: SignatureVerdict
    places: Mapping[str, str]
    since: datetime
    until: datetime
    looks: int = 0

    def watched(self, now: datetime) -> Sequence[str]:
        """Return the places to look at now: all of them at first, later one in turn."""
        # `sha256-….sig`, which most signers write, before the fallback tag
        places = sorted(self.places, reverse=True)
        if not places or now < self.since + _EVERY_PLACE_FOR:
            return places
        return [places[self.looks % len(places)]]


@dataclass(slots=True)
class _Search:
    """One look for the signatures of one image.

    `left`: how many more are looked at; `faults`: what was wrong; `places`: what was found at each place;
    `lies_at`: the place of the statement that was read last.
    """

    ask: Ask
    access: Access
    digest: str
    left: int = cosign.MOST_SIGNATURES
    faults: tuple[str, ...] = ()
    places: dict[str, str] = field(default_factory=dict)
    lies_at: str = ""

    def is_unchanged(self, seen: SeenSignatures, places: Sequence[str]) -> bool:
        """Return whether each of these places still holds what it held: one request for each."""
        return all(self._held_by(place) == seen.places[place] for place in places)

    def places_to_watch(self, verdict: SignatureVerdict) -> Mapping[str, str]:
        """Return what to look at again: the signature of a signed image, else each place that was read."""
        if verdict.key is None:
            return {place: held for place, held in self.places.items() if place != _REFERRERS or held}
        return {self.lies_at: self.places.get(self.lies_at, self.lies_at)}

    def _held_by(self, place: str) -> str | None:
        """Return the digest of what a place holds now; empty if nothing, None if that is not said."""
        if place == _REFERRERS:
            answer = self._get(self._referrers_url, "referrers", f"referrers of {self.digest}")
            return manifest.digest_of(answer.body) if answer.status == 200 else None
        url = f"{self.access.base}/v2/{self.access.repository}/manifests/{place}"
        answer = self._get(url, "signature", f"manifest {place}", {"Accept": manifest.ACCEPT}, method="HEAD")
        if answer.status == 404:
            return ""
        return answer.headers.get("docker-content-digest") if answer.status == 200 else None

    def verdict(self, keys: Sequence[TrustedKey]) -> SignatureVerdict:
        """Return what the first good signature says, or why there is none."""
        is_signed_at_all = False
        for statement in self._statements():
            is_signed_at_all = True
            # A good signature of another image can be copied beside this one by whoever may push.
            if self.digest not in statement.digests:
                self.faults += ("a signature of another image lies beside it",)
                continue
            signer = cosign.signer_of(statement, keys)
            if signer is not None:
                return SignatureVerdict(key=signer.name)
            self.faults += (_NO_KEY_FITS,)
        # Nothing there at all is another thing for the operator than something that is wrong.
        if not is_signed_at_all and not self.faults:
            return SignatureVerdict(
                reason=Reason.NOT_SIGNED, detail="no signature lies beside it in its registry"
            )
        detail = "; ".join(dict.fromkeys(self.faults))
        return SignatureVerdict(reason=Reason.BAD_SIGNATURE, detail=detail)

    def _statements(self) -> Iterator[Statement]:
        yield from self._simple_signing()
        yield from self._bundles()

    def _simple_signing(self) -> Iterator[Statement]:
        self.lies_at = f"{self._tag}.sig"
        found = self._manifest(self.lies_at)
        for layer in _descriptors(found, "layers"):
            if layer.get("mediaType") != cosign.SIMPLE_SIGNING:
                continue
            if not self._takes_one_more():
                return
            annotations = layer.get("annotations")
            given = annotations if isinstance(annotations, dict) else {}
            yield from self._read(layer, lambda body, given=given: cosign.simple_signing(body, given))  # type: ignore[misc]

    def _bundles(self) -> Iterator[Statement]:
        """Return the bundles among the image's referrers.

        The index's own `artifactType` is not believed: cosign 3.1 writes another one there than in the
        manifest.
        """
        for referrer in _descriptors(self._referrers(), "manifests"):
            if not self._takes_one_more():
                return
            found = self._manifest_of(referrer)
            layers = _descriptors(found, "layers")
            # A bundle is one document; what has more is something else with the same type.
            is_bundle = len(layers) == 1 and str(layers[0].get("mediaType", "")).startswith(
                cosign.BUNDLE_PREFIX
            )
            if is_bundle:
                yield from self._read(layers[0], cosign.bundle)

    def _takes_one_more(self) -> bool:
        if self.left == 0:
            self.faults += (f"only the first {cosign.MOST_SIGNATURES} of its signatures are looked at",)
            return False
        self.left -= 1
        return True

    def _read(
        self, layer: Mapping[str, Any], parse: Callable[[bytes], Statement | None]
    ) -> Iterator[Statement]:
        """Yield the statement in a layer's blob; a malformed one is a fault, never the registry's failure."""
        try:
            statement = parse(self._blob(layer))
        except ValueError as error:
            self.faults += (f"a signature that cannot be read: {error}",)
            return
        if statement is not None:
            yield statement

    # -------------------------------------------------------------------------------------- from the registry

    @property
    def _tag(self) -> str:
        return self.digest.replace(":", "-")

    @property
    def _referrers_url(self) -> str:
        return f"{self.access.base}/v2/{self.access.repository}/referrers/{self.digest}"

    def _referrers(self) -> Mapping[str, Any] | None:
        """Return the index of what refers to the image: by the API, or by the fallback tag without one."""
        answer = self._get(self._referrers_url, "referrers", f"referrers of {self.digest}")
        self.places[_REFERRERS] = manifest.digest_of(answer.body) if answer.status == 200 else ""
        if answer.status == 200:
            return self._document(answer)
        # Registries without the API answer with any of these; the specification names only 404.
        if answer.status not in (400, 404, 405, 406):
            raise problem(self.access, answer, f"referrers of {self.digest}")
        return self._manifest(self._tag)

    def _manifest(self, name: str) -> Mapping[str, Any] | None:
        """Return a manifest by tag or digest, or None if it is not there."""
        url = f"{self.access.base}/v2/{self.access.repository}/manifests/{name}"
        answer = self._get(url, "signature", f"manifest {name}", {"Accept": manifest.ACCEPT})
        if answer.status not in (200, 404):
            raise problem(self.access, answer, f"manifest {name}")
        if not is_digest(name):
            self.places[name] = manifest.digest_of(answer.body) if answer.status == 200 else ""
        if answer.status == 404:
            return None
        if is_digest(name) and manifest.digest_of(answer.body, name) != name:
            raise self._other_digest(name)
        return self._document(answer)

    def _manifest_of(self, referrer: Mapping[str, Any]) -> Mapping[str, Any] | None:
        digest = referrer.get("digest")
        if not isinstance(digest, str) or not is_digest(digest) or _is_too_large(referrer):
            self.faults += ("a referrer that cannot be read",)
            return None
        self.lies_at = digest
        return self._manifest(digest)

    def _blob(self, layer: Mapping[str, Any]) -> bytes:
        """Return the bytes of a layer, proven to be those of its descriptor.

        Raises ValueError if that is of no use.
        """
        digest = layer.get("digest")
        if not isinstance(digest, str) or not is_digest(digest):
            raise ValueError("its descriptor has no digest")
        if _is_too_large(layer):
            raise ValueError(f"it is larger than {cosign.LONGEST_DOCUMENT_BYTES >> 20} MiB")
        url = f"{self.access.base}/v2/{self.access.repository}/blobs/{digest}"
        answer = self._get(url, "signature", f"signature {digest}")
        if answer.status == 404:
            raise ValueError("its blob is not there")
        if answer.status != 200:
            raise problem(self.access, answer, f"signature {digest}")
        # What was asked for by digest and is something else is a fault of the registry, and no reason to call
        # the image unsigned.
        if manifest.digest_of(answer.body, digest) != digest:
            raise self._other_digest(digest)
        return answer.body

    def _other_digest(self, digest: str) -> RegistryError:
        message = f"{self.access.repository}: what came for {digest} has another digest"
        return RegistryError(self.access.host, message)

    def _get(
        self, url: str, kind: str, what: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        request = Request(url, kind, f"{self.access.repository}: {what}", method, headers or {})
        return self.ask(self.access, replace(request, longest_bytes=cosign.LONGEST_DOCUMENT_BYTES))

    def _document(self, answer: Answer) -> Mapping[str, Any] | None:
        """Return the JSON object in a body; a malformed one is a fault of the signature, no error."""
        try:
            found = untrusted_json.read(answer.body)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
        self.faults += ("a manifest of signatures that cannot be read",)
        return None


@dataclass(frozen=True, slots=True)
class SignatureReader:
    """Looks for signatures.

    `ask` puts a question to a registry, `memory` keeps what was seen, `now` is the clock.
    """

    ask: Ask
    memory: Cache[SeenSignatures]
    now: Callable[[], datetime]

    def look_for(self, access: Access, digest: str, keys: Sequence[TrustedKey]) -> SignatureVerdict:
        """Return whether the image `digest` is signed by one of `keys`.

        No blob of the image itself is asked for.

        Raises RegistryError if the registry does not answer: that is never "not signed", and never accepted.
        """
        # With the keys: a policy that trusts others by now must not find the old verdict.
        key = (access, digest, tuple(keys))
        now = self.now()
        seen = self.memory.get(key)
        search = _Search(self.ask, access, digest)
        if seen is not None and search.is_unchanged(seen, seen.watched(now)):
            left = (seen.until - now).total_seconds()
            self.memory.put(key, replace(seen, looks=seen.looks + 1), left)
            return seen.verdict
        verdict = search.verdict(keys)
        since = seen.since if seen is not None else now
        until = now + _READ_ANEW_EVERY
        found = SeenSignatures(verdict, search.places_to_watch(verdict), since, until)
        self.memory.put(key, found, _READ_ANEW_EVERY.total_seconds())
        return verdict


def read_keys(paths: Sequence[str]) -> tuple[TrustedKey, ...]:
    """Return the public keys in these files.

    Raises ValueError, naming the file, if one cannot be read or is none.
    """
    return tuple(_read_key(Path(path)) for path in paths)


def _read_key(path: Path) -> TrustedKey:
    try:
        return cosign.read_key(path.name, path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _descriptors(document: Mapping[str, Any] | None, field: str) -> Sequence[Mapping[str, Any]]:
    """Return the descriptors in a list of a manifest; what is no descriptor is left out."""
    entries = document.get(field) if document else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _is_too_large(descriptor: Mapping[str, Any]) -> bool:
    size = descriptor.get("size")
    return not isinstance(size, int) or size > cosign.LONGEST_DOCUMENT_BYTES
