"""Signatures that cosign makes with a key: what each says, of which image, whether one of our keys made it.

Pure. Two storage formats are read. Simple signing: the payload is a layer, the signature its annotation
(https://github.com/containers/image/blob/main/docs/containers-signature.5.md,
https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md). Sigstore bundle: a DSSE envelope around
an in-toto statement (https://github.com/secure-systems-lab/dsse/blob/master/protocol.md). SBOM and provenance
attestations come in the same envelope; they sign a statement about an image, not the image, and never count.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from updater_core.net import untrusted_json

# Anybody who may push may add signatures; checking them must cost a bounded time.
MOST_SIGNATURES = 20
# Far more than any real one; the bytes come from whoever may push.
LONGEST_DOCUMENT_BYTES = 1 << 20
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE_PREFIX = "application/vnd.dev.sigstore.bundle"
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
_PAYLOAD_TYPE = "cosign container image signature"
_STATEMENT_TYPE = "application/vnd.in-toto+json"
# What cosign 3 writes for `sign`. Other predicates are attestations.
_SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
# Shorter keys have been refused by NIST SP 800-131A since 2014.
_SHORTEST_RSA_BITS = 2048

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key, the name of its file as it is shown (`acme.pub`), and that file's bytes.

    The bytes make two of them equal.
    """

    name: str
    pem: bytes
    key: PublicKey = field(compare=False)


@dataclass(frozen=True, slots=True)
class Statement:
    """What one signature says: the bytes that were signed, the image digests in them, the raw signatures."""

    signed: bytes
    digests: frozenset[str]
    signatures: tuple[bytes, ...]


def read_key(name: str, pem: bytes) -> TrustedKey:
    """Return the public key in a PEM file: ECDSA on P-256, RSA of at least 2048 bits, or Ed25519.

    Raises ValueError with a sentence if it is none of these.
    """
    # cosign writes both files side by side, so this is the mistake that is made.
    if b"PRIVATE KEY" in pem:
        raise ValueError(
            "it is a private key; name the public one (cosign.pub), and keep this one away from the host"
        )
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("it is not a public key in PEM form") from None
    # The kind that `cosign generate-key-pair` makes.
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return TrustedKey(name, pem, key)
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _SHORTEST_RSA_BITS:
        return TrustedKey(name, pem, key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return TrustedKey(name, pem, key)
    raise ValueError(
        "it is a key of another kind; ECDSA on P-256, RSA of 2048 bits or more, and Ed25519 are read"
    )


def simple_signing(payload: bytes, annotations: Mapping[str, Any]) -> Statement:
    """Return the statement of a simple-signing layer. Raises ValueError if it is not one."""
    document = _object(untrusted_json.read(payload), "the payload")
    critical = _object(document.get("critical"), "critical")
    # Else any JSON that our key ever signed could be passed off as a signature of an image.
    if critical.get("type") != _PAYLOAD_TYPE:
        raise ValueError(f"its type is not {_PAYLOAD_TYPE!r}")
    digest = _object(critical.get("image"), "critical.image").get("docker-manifest-digest")
    if not isinstance(digest, str):
        raise ValueError("it names no image digest")
    signature = _decoded(annotations.get(SIGNATURE_ANNOTATION), "the signature")
    # The bytes as they came: JSON written anew would be other bytes than the signed ones.
    return Statement(payload, frozenset({digest}), (signature,))


def bundle(body: bytes) -> Statement | None:
    """Return the statement of a sigstore bundle; None if it signs no image (an attestation).

    Raises ValueError if it is not a bundle.
    """
    document = _object(untrusted_json.read(body), "the bundle")
    envelope = _object(document.get("dsseEnvelope"), "dsseEnvelope")
    if envelope.get("payloadType") != _STATEMENT_TYPE:
        return None
    payload = _decoded(envelope.get("payload"), "the envelope's payload")
    statement = _object(untrusted_json.read(payload), "the statement")
    if statement.get("predicateType") != _SIGN_PREDICATE:
        return None
    signatures = _list(envelope.get("signatures"), "signatures")[:MOST_SIGNATURES]
    raw = tuple(_decoded(_object(each, "a signature").get("sig"), "a signature") for each in signatures)
    return Statement(pre_authentication_encoding(_STATEMENT_TYPE, payload), _subjects(statement), raw)


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that a DSSE signature is over (DSSE protocol, section "Signature Definition").

    >>> pre_authentication_encoding("a/b", b"xyz")
    b'DSSEv1 3 a/b 3 xyz'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def signer_of(statement: Statement, keys: Sequence[TrustedKey]) -> TrustedKey | None:
    """Return the first of our keys that made one of a statement's signatures, or None if none did."""
    for trusted in keys:
        if any(is_made_by(trusted.key, signature, statement.signed) for signature in statement.signatures):
            return trusted
    return None


def is_made_by(key: PublicKey, signature: bytes, signed: bytes) -> bool:
    """Return whether `key` made `signature` over these bytes, as cosign does.

    That is ECDSA or RSA (PKCS #1 v1.5), with SHA-256.
    """
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), SHA256())
        else:
            key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _subjects(statement: Mapping[str, Any]) -> frozenset[str]:
    """Return the digests of a statement's subjects; a subject without a sha256 names no image of ours."""
    subjects = _list(statement.get("subject"), "subject")
    return frozenset(f"sha256:{text}" for text in _sha256_of(subjects[:MOST_SIGNATURES]))


def _sha256_of(subjects: Iterable[Any]) -> Iterable[str]:
    for subject in subjects:
        digests = subject.get("digest") if isinstance(subject, dict) else None
        text = digests.get("sha256") if isinstance(digests, dict) else None
        if isinstance(text, str):
            yield text


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")
    return value


def _list(value: Any, what: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} is not a list")
    return value


def _decoded(value: Any, what: str) -> bytes:
    """Base64 as strictly as Go reads it."""
    if not isinstance(value, str):
        raise ValueError(f"{what} is missing")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{what} is not base64") from None
