"""What a repository holds beside images, pushed to a fake registry.

That is charts, caches, signatures and attestations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.fake_registry import OCI_CONFIG, OCI_IMAGE, OCI_INDEX, OCI_LAYER, FakeRegistry, digest_of

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
_NOWHERE = {"os": "unknown", "architecture": "unknown"}


def manifest(config: str, layer: str, **more: Any) -> bytes:
    """Return a manifest with a configuration and one layer of these media types."""
    made = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": {"mediaType": config, "size": 2, "digest": digest_of(b"{}")},
        "layers": [{"mediaType": layer, "size": 2, "digest": digest_of(b"{}")}],
        **more,
    }
    return json.dumps(made).encode()


def index(*entries: Mapping[str, Any], **more: Any) -> bytes:
    """Return an index of these entries."""
    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries), **more}
    ).encode()


def entry(body: bytes, media_type: str = OCI_IMAGE, **more: Any) -> dict[str, Any]:
    """Return an index's entry for a manifest."""
    return {"mediaType": media_type, "size": len(body), "digest": digest_of(body), **more}


CACHE_ENTRY = entry(b"c", "application/vnd.buildkit.cacheconfig.v0")
NO_IMAGES: Mapping[str, tuple[str, bytes]] = {
    "chart": (
        OCI_IMAGE,
        manifest(
            "application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
        ),
    ),
    "cache manifest": (OCI_IMAGE, manifest("application/vnd.buildkit.cacheconfig.v0", OCI_LAYER)),
    "cache index": (OCI_INDEX, index(entry(b"l", OCI_LAYER), CACHE_ENTRY)),
    "signature": (OCI_IMAGE, manifest(OCI_CONFIG, "application/vnd.dev.cosign.simplesigning.v1+json")),
    "attestation": (OCI_IMAGE, manifest(OCI_CONFIG, "application/vnd.in-toto+json")),
    "attestations only": (OCI_INDEX, index(entry(b"a", platform=_NOWHERE))),
    "artifact": (
        OCI_IMAGE,
        manifest(
            "application/vnd.oci.empty.v1+json", "text/plain", artifactType="application/vnd.example.bill"
        ),
    ),
    "artifact with an image's configuration": (
        OCI_IMAGE,
        manifest(OCI_CONFIG, OCI_LAYER, artifactType="a/b"),
    ),
    "artifacts for platforms": (
        OCI_INDEX,
        index(
            entry(
                b"p",
                artifactType="application/vnd.example",
                platform={"os": "linux", "architecture": "amd64"},
            ),
            entry(
                b"q",
                annotations={"vnd.docker.reference.type": "attestation-manifest"},
                platform={"os": "linux", "architecture": "amd64"},
            ),
        ),
    ),
    "empty index": (OCI_INDEX, index()),
    "schema 1": (SCHEMA_1, b'{"schemaVersion": 1}'),
    "old artifact": ("application/vnd.oci.artifact.manifest.v1+json", b'{"blobs": []}'),
}


UNMARKED: Mapping[str, tuple[str, bytes]] = {
    "chart": (OCI_IMAGE, NO_IMAGES["chart"][1]),
    "signature": (OCI_IMAGE, NO_IMAGES["signature"][1]),
    "module": (OCI_IMAGE, manifest("application/vnd.wasm.config.v0+json", "application/wasm")),
    "old artifact": NO_IMAGES["old artifact"],
    "schema 1": NO_IMAGES["schema 1"],
    "missing": (OCI_IMAGE, b""),
}


def push_unmarked(fake: FakeRegistry, repository: str, tag: str, kind: str) -> str:
    """Let a tag name an index whose entry for this host looks like an image's, and is none.

    Return the index's digest.
    """
    media_type, body = UNMARKED[kind]
    if body:
        fake.put_manifest(repository, f"{kind.replace(' ', '-')}-alone", media_type, body)
    here = entry(body or b"never pushed", platform={"os": "linux", "architecture": "amd64"})
    return fake.put_manifest(repository, tag, OCI_INDEX, index(here))


def push_around(fake: FakeRegistry, repository: str, tag: str, child: str, attestation: str) -> str:
    """Let a tag name an index of an image that is there already, with an attestation beside it.

    Return the index's digest.
    """
    media_type, body = fake.contents(repository)[1][child]
    system = entry(body, media_type, platform={"os": "linux", "architecture": "amd64"})
    beside = manifest(OCI_CONFIG, "application/vnd.in-toto+json", annotations={"built": attestation})
    fake.put_manifest(repository, f"{tag}-attestation", OCI_IMAGE, beside)
    note = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": child}
    entries: Sequence[Mapping[str, Any]] = (system, entry(beside, platform=_NOWHERE, annotations=note))
    return fake.put_manifest(repository, tag, OCI_INDEX, index(*entries))
