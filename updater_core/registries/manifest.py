"""What a manifest says: if it is one, its digest, the image for a platform, when that was built. Pure.

Media types and the index are those of https://github.com/opencontainers/image-spec and of Docker's schema 2
(https://distribution.github.io/distribution/spec/manifest-v2-2/).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from updater_core.net import untrusted_json

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
IMAGES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+json"
# Without the index types a registry answers with one platform's manifest, which is another digest.
ACCEPT = ", ".join(INDEXES + IMAGES)

_OF_ENTRIES = (*IMAGES, *INDEXES, None)
_LAYERS = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")

# Times before it are those of builds without a clock: 1970 (Jib, ko), 1980 (buildpacks), year 1.
_BEFORE_DOCKER = datetime(2013, 1, 1, tzinfo=UTC)
_FUTURE = timedelta(days=1)
# containerd's rule: an ARM platform without a variant is one of these.
_DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7"}


def is_manifest(media_type: str) -> bool:
    """Return whether a Content-Type is one of the four that we asked for; its parameters do not matter.

    >>> is_manifest("application/vnd.oci.image.index.v1+json; charset=utf-8"), is_manifest("text/html")
    (True, False)
    """
    return media_type.partition(";")[0].strip().lower() in INDEXES + IMAGES


def read(body: bytes, media_type: str) -> Mapping[str, Any]:
    """Return the manifest in a body.

    Raises ValueError with the reason if it is none: no login page gets a digest.
    """
    try:
        manifest = untrusted_json.read(body)
    except ValueError:
        raise ValueError(f"it is not JSON but {_shown(media_type)}") from None
    # A proxy may spoil the Content-Type; the body's own `mediaType` will do as well. OCI manifests need not
    # have one, so neither alone can be wanted.
    if not isinstance(manifest, dict) or not (
        is_manifest(media_type) or is_manifest(str(manifest.get("mediaType", "")))
    ):
        raise ValueError(f"its media type is {_shown(media_type)}")
    if not isinstance(manifest.get("manifests"), list) and not isinstance(manifest.get("config"), dict):
        raise ValueError("it has neither manifests nor a config")
    return manifest


def digest_of(body: bytes, like: str | None = None) -> str:
    """Return the digest of a body's bytes, by the algorithm of `like` if one is given.

    >>> digest_of(b"")[:20]
    'sha256:e3b0c44298fc1'
    """
    algorithm = (like or "sha256:").partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def child_for(index: Mapping[str, Any], platform: str) -> str | None:
    """Return the digest of the index's image for `os/arch[/variant]`; None if it has none.

    Attestations (`unknown/unknown`) are no images.
    """
    wanted = _normalised(*[*platform.split("/"), "", ""][:3])
    fitting: list[tuple[bool, str]] = []
    entries: Sequence[Any] = index.get("manifests") or ()
    for entry in entries:
        found = entry.get("platform") if isinstance(entry, dict) else None
        if not isinstance(found, dict) or not isinstance(entry.get("digest"), str) or is_beside(entry):
            continue
        offered = _normalised(*(str(found.get(key) or "") for key in ("os", "architecture", "variant")))
        if offered[:2] == wanted[:2]:
            # An image of another variant may run too, so the exact one is only preferred.
            fitting.append((offered[2] != wanted[2], entry["digest"]))
    return min(fitting, key=lambda each: each[0])[1] if fitting else None


def is_foreign(media_type: str) -> bool:
    """Return whether a Content-Type is a registry's own, but of nothing that an engine pulls.

    >>> is_foreign("application/vnd.docker.distribution.manifest.v1+prettyjws")
    True
    >>> is_foreign("application/json")
    False
    """
    name = media_type.partition(";")[0].strip().lower()
    return name.startswith(("application/vnd.docker.", "application/vnd.oci.")) and not is_manifest(name)


def is_plain_json(media_type: str) -> bool:
    """Return whether a Content-Type says no more than that it is JSON, as that of the old format did."""
    return media_type.partition(";")[0].strip().lower() in ("application/json", "text/json")


def is_schema_1(body: bytes) -> bool:
    """Return whether a body is a manifest in Docker's old format."""
    try:
        manifest = untrusted_json.read(body)
    except ValueError:
        return False
    return isinstance(manifest, dict) and manifest.get("schemaVersion") == 1


def what_is_foreign(media_type: str) -> str:
    """Return what a manifest of such a type is, in words."""
    if "distribution.manifest.v1+" in media_type:
        return "it was published in Docker's old format (schema 1), a format that no engine pulls any more"
    return f"it is no image but {_shown(media_type.partition(';')[0].strip())}"


def objection(manifest: Mapping[str, Any]) -> str:
    """Return why one platform's manifest is no image, or an empty text.

    Charts, caches and artifacts have a configuration or an `artifactType` of their own; signatures and
    attestations have an image's configuration, and layers of their own (image-spec, "Guidelines for Artifact
    Usage").
    """
    artifact = manifest.get("artifactType")
    # Some builders write an image's own type there, which makes it no artifact.
    if artifact and artifact not in CONFIGS:
        return f"it is no image but {_shown(str(artifact))}"
    config = manifest.get("config")
    kind = str(config.get("mediaType") or "") if isinstance(config, dict) else "without a configuration"
    if kind not in CONFIGS:
        return f"it is no image but {_shown(kind)}"
    layers = [entry.get("mediaType") for entry in manifest.get("layers") or () if isinstance(entry, dict)]
    foreign = [kind for kind in layers if not str(kind).startswith(_LAYERS)]
    return f"it is no image, for its layers are {_shown(str(foreign[0]))}" if foreign else ""


def has_images(index: Mapping[str, Any]) -> bool:
    """Return whether an index names images for any platform."""
    entries = [entry for entry in index.get("manifests") or () if isinstance(entry, dict)]
    images = [entry for entry in entries if entry.get("mediaType") in _OF_ENTRIES and not is_beside(entry)]
    return any(_is_platform(entry.get("platform")) for entry in images)


def is_beside(entry: Mapping[str, Any]) -> bool:
    """Return whether an index's entry is no image, whatever platform it names.

    It is an artifact (image-spec, "Descriptors", `artifactType`) or BuildKit's attestation.
    """
    artifact, notes = entry.get("artifactType"), entry.get("annotations")
    # BuildKit's mark of an attestation that it attaches to an index.
    is_note = isinstance(notes, dict) and bool(notes.get("vnd.docker.reference.type"))
    return is_note or bool(artifact and artifact not in CONFIGS)


def _is_platform(found: object) -> bool:
    return isinstance(found, dict) and str(found.get("os") or "unknown") != "unknown"


def config_digest(manifest: Mapping[str, Any]) -> str | None:
    """Return the digest of the image's configuration; None if the manifest is of something else."""
    config = manifest.get("config")
    if (
        not isinstance(config, dict)
        or config.get("mediaType") not in CONFIGS
        or not isinstance(config.get("digest"), str)
    ):
        return None
    return str(config["digest"])


def believable(text: object, now: datetime) -> datetime | None:
    """Return a build time in UTC, or None for one before Docker was, or to come.

    Reproducible builds and wrong clocks write those.

    >>> believable("1980-01-01T00:00:01Z", datetime(2025, 1, 1, tzinfo=UTC))
    >>> believable("2024-05-01T10:00:00.123456789Z", datetime(2025, 1, 1, tzinfo=UTC)).hour
    10
    """
    try:
        moment = datetime.fromisoformat(str(text))
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if _BEFORE_DOCKER <= moment <= now + _FUTURE else None


def _normalised(system: str, architecture: str, variant: str) -> tuple[str, str, str]:
    return system.lower(), architecture.lower(), variant or _DEFAULT_VARIANTS.get(architecture.lower(), "")


def _shown(media_type: str) -> str:
    return "".join(c for c in media_type if c.isprintable())[:100] or "without a media type"
