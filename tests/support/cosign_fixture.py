"""What real cosign 2.5.0 and 3.1.1 wrote beside five images, and a registry that holds it.

`tests/golden/signatures/cosign.json` was made once: five images were pushed to a registry without a referrers
API and signed with `cosign sign --key` (2.5.0 with `--tlog-upload=false`, 3.1.1 with a signing configuration
that names no service). `digests` by name: `legacy` (simple signing, ec), `bundle` (sigstore bundle, ec),
`ed25519` (both, by the key ed), `attested` (an attestation by ec, no signature), `unsigned`.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.fake_registry import OCI_CONFIG, OCI_IMAGE, FakeRegistry, digest_of
from updater_core.registries.cosign import SIGNATURE_ANNOTATION, SIMPLE_SIGNING, TrustedKey, read_key

REPOSITORY = "acme/app"
_TYPE = "cosign container image signature"
WRITTEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "signatures" / "cosign.json").read_text(encoding="utf-8")
)
DIGESTS: dict[str, str] = WRITTEN["digests"]


def key(name: str) -> TrustedKey:
    """Return a public key of the fixture: `ec`, `other` or `ed`."""
    return read_key(f"{name}.pub", WRITTEN["keys"][name].encode())


def fill(registry: FakeRegistry, repository: str = REPOSITORY) -> None:
    """Put all that cosign wrote into a repository.

    The images themselves stay away: nothing here may ask for them.
    """
    manifests = WRITTEN["manifests"]
    names = {digest: tag for tag, digest in WRITTEN["tags"].items()}
    for digest, (media_type, body) in manifests.items():
        registry.put_manifest(repository, names.get(digest, ""), media_type, body.encode())
    for text in WRITTEN["blobs"].values():
        registry.put_blob(repository, text.encode())


def sign(registry: FakeRegistry, repository: str, digest: str, signer: ec.EllipticCurvePrivateKey) -> None:
    """Put a simple-signing signature of an image beside it, as cosign 2 does."""
    critical = {
        "identity": {"docker-reference": "x"},
        "image": {"docker-manifest-digest": digest},
        "type": _TYPE,
    }
    body = json.dumps({"critical": critical, "optional": None}).encode()
    signature = base64.b64encode(signer.sign(body, ec.ECDSA(SHA256()))).decode()
    layer = {
        "mediaType": SIMPLE_SIGNING,
        "size": len(body),
        "digest": registry.put_blob(repository, body),
        "annotations": {SIGNATURE_ANNOTATION: signature},
    }
    config = {"mediaType": OCI_CONFIG, "size": 2, "digest": digest_of(b"{}")}
    manifest = {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": [layer]}
    tag = digest.replace(":", "-") + ".sig"
    registry.put_manifest(repository, tag, OCI_IMAGE, json.dumps(manifest).encode())


def public_pem(signer: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public key as `cosign generate-key-pair` writes it."""
    return signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
