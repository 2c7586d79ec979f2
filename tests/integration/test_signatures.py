"""Signatures beside an image in a registry: what real cosign wrote, and what others could put in its
place.
"""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cosign_fixture, registry_clients
from tests.support.cosign_fixture import DIGESTS, REPOSITORY, WRITTEN, key
from tests.support.fake_registry import OCI_IMAGE, OCI_INDEX, Basic, Behaviour, FakeRegistry, digest_of
from tests.support.set_clock import SetClock
from updater_core.errors import RegistryError
from updater_core.models import ImageRef, Reason, RegistrySettings
from updater_core.policy.observation import SignatureVerdict
from updater_core.reference import parse
from updater_core.registries import Registries, cosign
from updater_core.registries.cosign import SIGNATURE_ANNOTATION, SIMPLE_SIGNING, TrustedKey, read_key

PAYLOAD = "cosign container image signature"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        cosign_fixture.fill(fake)
        yield fake


@pytest.fixture
def registries(registry: FakeRegistry, clock: SetClock, tmp_path: Any) -> Registries:
    return registry_clients.make(registry, clock, tmp_path)


def image(registry: FakeRegistry, digest: str) -> ImageRef:
    return parse(f"{registry.host}/{REPOSITORY}@{digest}")


def verdict(
    registries: Registries, registry: FakeRegistry, digest: str, *keys: TrustedKey, **settings: Any
) -> SignatureVerdict:
    registries.new_cycle()
    return registries.signature(image(registry, digest), RegistrySettings(**settings), files_of(keys))


def files_of(keys: Sequence[TrustedKey]) -> list[str]:
    """The keys as files, each in a folder of its own so that it keeps its name."""
    paths = [Path(tempfile.mkdtemp()) / trusted.name for trusted in keys]
    for path, trusted in zip(paths, keys, strict=True):
        path.write_bytes(trusted.pem)
    return [str(path) for path in paths]


def simple(digest: str, signer: Any = None, kind: str = PAYLOAD) -> tuple[bytes, str]:
    """A simple-signing payload for a digest and its signature, by an ECDSA or RSA key."""
    critical = {
        "identity": {"docker-reference": "x"},
        "image": {"docker-manifest-digest": digest},
        "type": kind,
    }
    body = json.dumps({"critical": critical, "optional": None}).encode()
    if isinstance(signer, rsa.RSAPrivateKey):
        return body, base64.b64encode(signer.sign(body, padding.PKCS1v15(), SHA256())).decode()
    return body, base64.b64encode(signer.sign(body, ec.ECDSA(SHA256()))).decode() if signer else ""


def layer(body: bytes, signature: str, media_type: str = SIMPLE_SIGNING) -> dict[str, Any]:
    return {
        "mediaType": media_type,
        "size": len(body),
        "digest": digest_of(body),
        "annotations": {SIGNATURE_ANNOTATION: signature},
    }


def attach(registry: FakeRegistry, digest: str, *layers: dict[str, Any]) -> None:
    """Put a `.sig` manifest with these layers beside an image."""
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": digest_of(b"{}")}
    body = json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": layers}
    ).encode()
    registry.put_manifest(REPOSITORY, digest.replace(":", "-") + ".sig", OCI_IMAGE, body)


def public(private: Any, name: str = "mine.pub") -> TrustedKey:
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return read_key(name, pem)


# ------------------------------------------------------------------------------------------ what cosign wrote


@pytest.mark.parametrize(
    ("name", "signer"), [("legacy", "ec"), ("bundle", "ec"), ("ed25519", "ed")], ids=lambda value: str(value)
)
def test_what_real_cosign_signed_is_signed_by_its_key(
    registries: Registries, registry: FakeRegistry, name: str, signer: str
) -> None:
    assert verdict(registries, registry, DIGESTS[name], key("other"), key(signer)).key == f"{signer}.pub"


@pytest.mark.parametrize("name", ["legacy", "bundle", "ed25519"])
def test_another_key_is_not_enough(registries: Registries, registry: FakeRegistry, name: str) -> None:
    found = verdict(registries, registry, DIGESTS[name], key("other"))
    assert (found.key, found.reason) == (None, Reason.BAD_SIGNATURE)
    assert "a key that the service trusts" in found.detail


def test_an_image_without_a_signature_is_not_signed(registries: Registries, registry: FakeRegistry) -> None:
    assert verdict(registries, registry, DIGESTS["unsigned"], key("ec")).reason is Reason.NOT_SIGNED
    assert registry.counts() == {"manifest_get": 2, "other": 1}


def test_an_attestation_is_no_signature(registries: Registries, registry: FakeRegistry) -> None:
    assert verdict(registries, registry, DIGESTS["attested"], key("ec")).reason is Reason.NOT_SIGNED


@pytest.mark.parametrize("name", ["legacy", "bundle"])
def test_a_signature_of_another_image_does_not_count(
    registries: Registries, registry: FakeRegistry, name: str
) -> None:
    source, target = DIGESTS[name].replace(":", "-"), DIGESTS["unsigned"].replace(":", "-")
    for tail in ("", ".sig"):
        if source + tail in WRITTEN["tags"]:
            registry.tag(REPOSITORY, target + tail, WRITTEN["tags"][source + tail])
    found = verdict(registries, registry, DIGESTS["unsigned"], key("ec"))
    assert found.reason is Reason.BAD_SIGNATURE
    assert "of another image" in found.detail


def test_referrers_are_asked_for_by_the_api_if_there_is_one(
    registries: Registries, registry: FakeRegistry
) -> None:
    digest = DIGESTS["bundle"]
    fallback = WRITTEN["tags"][digest.replace(":", "-")]
    body = WRITTEN["manifests"][fallback][1].encode()
    registry.delete(REPOSITORY, digest.replace(":", "-"))
    answer = Behaviour(status=200, headers={"Content-Type": OCI_INDEX}, body=body)
    registry.behave("other", answer, path=f"/referrers/{digest}")
    assert verdict(registries, registry, digest, key("ec")).key == "ec.pub"


def test_the_services_own_login_is_used(registries: Registries, registry: FakeRegistry) -> None:
    registry.auth = Basic("jane", "hunter2")
    settings = registry_clients.SOMEONE
    registries.new_cycle()
    found = registries.signature(image(registry, DIGESTS["legacy"]), settings, files_of([key("ec")]))
    assert found.key == "ec.pub"


# --------------------------------------------------------------------------------------- what others could do


@pytest.mark.parametrize("kind", ["manifest_get", "blob"])
def test_a_registry_that_fails_in_the_middle_is_neither_signed_nor_unsigned(
    registries: Registries, registry: FakeRegistry, kind: str
) -> None:
    registry.behave(kind, Behaviour(status=503))
    with pytest.raises(RegistryError):
        verdict(registries, registry, DIGESTS["legacy"], key("ec"))
    assert DIGESTS["legacy"] not in " ".join(entry.path for entry in registry.log if entry.kind == "blob")


def test_a_refused_referrers_api_is_not_an_answer(registries: Registries, registry: FakeRegistry) -> None:
    registry.behave("other", Behaviour(status=403), path="/referrers/")
    with pytest.raises(RegistryError):
        verdict(registries, registry, DIGESTS["unsigned"], key("ec"))


def test_rsa_signs_too(registries: Registries, registry: FakeRegistry) -> None:
    signer = rsa.generate_private_key(65537, 2048)
    body, signature = simple(DIGESTS["unsigned"], signer)
    registry.put_blob(REPOSITORY, body)
    attach(registry, DIGESTS["unsigned"], layer(body, signature))
    assert verdict(registries, registry, DIGESTS["unsigned"], public(signer)).key == "mine.pub"


@pytest.mark.parametrize("bits", [2048, 4096])
def test_rsa_signs_as_openssl_does(
    registries: Registries, registry: FakeRegistry, tmp_path: Path, bits: int
) -> None:
    """Signed by another implementation than the one that verifies."""
    body, _ = simple(DIGESTS["unsigned"])
    (tmp_path / "payload").write_bytes(body)
    made = ["genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}", "-out", "rsa.key"]
    for arguments in (
        made,
        ["pkey", "-in", "rsa.key", "-pubout", "-out", "rsa.pub"],
        ["dgst", "-sha256", "-sign", "rsa.key", "-out", "signature", "payload"],
    ):
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    registry.put_blob(REPOSITORY, body)
    signature = base64.b64encode((tmp_path / "signature").read_bytes()).decode()
    attach(registry, DIGESTS["unsigned"], layer(body, signature))
    rsa_key = read_key("rsa.pub", (tmp_path / "rsa.pub").read_bytes())
    assert verdict(registries, registry, DIGESTS["unsigned"], rsa_key).key == "rsa.pub"


def test_a_payload_of_another_type_is_no_signature(registries: Registries, registry: FakeRegistry) -> None:
    signer = ec.generate_private_key(ec.SECP256R1())
    body, signature = simple(DIGESTS["unsigned"], signer, kind="atomic container signature")
    registry.put_blob(REPOSITORY, body)
    attach(registry, DIGESTS["unsigned"], layer(body, signature))
    found = verdict(registries, registry, DIGESTS["unsigned"], public(signer))
    assert found.reason is Reason.BAD_SIGNATURE


def test_a_good_signature_behind_nineteen_bad_ones_is_found_and_behind_a_thousand_is_not(
    registries: Registries, registry: FakeRegistry
) -> None:
    signer = ec.generate_private_key(ec.SECP256R1())
    good, signature = simple(DIGESTS["unsigned"], signer)
    bad, wrong = simple(DIGESTS["unsigned"], ec.generate_private_key(ec.SECP256R1()))
    registry.put_blob(REPOSITORY, good)
    registry.put_blob(REPOSITORY, bad)
    bad_layer, good_layer = layer(bad, wrong), layer(good, signature)
    attach(registry, DIGESTS["unsigned"], *[bad_layer] * 19, good_layer)
    assert verdict(registries, registry, DIGESTS["unsigned"], public(signer)).key == "mine.pub"
    attach(registry, DIGESTS["unsigned"], *[bad_layer] * 999, good_layer)
    registry.clear_log()
    found = verdict(registries, registry, DIGESTS["unsigned"], public(signer))
    assert found.reason is Reason.BAD_SIGNATURE
    assert "only the first 20" in found.detail
    assert registry.counts()["blob"] <= cosign.MOST_SIGNATURES


def test_a_payload_of_five_megabytes_is_not_fetched(registries: Registries, registry: FakeRegistry) -> None:
    body = b"x" * (5 << 20)
    registry.put_blob(REPOSITORY, body)
    attach(registry, DIGESTS["unsigned"], layer(body, "AAAA"))
    found = verdict(registries, registry, DIGESTS["unsigned"], key("ec"))
    assert found.reason is Reason.BAD_SIGNATURE
    assert "blob" not in registry.counts()


def test_a_payload_larger_than_it_says_is_not_read_to_its_end(
    registries: Registries, registry: FakeRegistry
) -> None:
    body = b"x" * (5 << 20)
    registry.put_blob(REPOSITORY, body)
    attach(registry, DIGESTS["unsigned"], {**layer(body, "AAAA"), "size": 100})
    with pytest.raises(RegistryError):
        verdict(registries, registry, DIGESTS["unsigned"], key("ec"))


@pytest.mark.parametrize(
    "garbage",
    [b"\x00" * 20_000, b"[" * 20_000, b"[]", b"null", b'{"critical": {"image": 5}}'],
    ids=["zeros", "deep", "list", "null", "no image"],
)
def test_garbage_in_place_of_a_payload_is_a_bad_signature(
    registries: Registries, registry: FakeRegistry, garbage: bytes
) -> None:
    registry.put_blob(REPOSITORY, garbage)
    attach(registry, DIGESTS["unsigned"], layer(garbage, "AAAA"))
    assert verdict(registries, registry, DIGESTS["unsigned"], key("ec")).reason is Reason.BAD_SIGNATURE


@pytest.mark.parametrize(
    "body",
    [b"\x00" * 20_000, b"[]", b'{"layers": 5}', b'{"layers": [5]}', b'{"layers": {}}'],
    ids=["zeros", "list", "number", "numbers", "object"],
)
def test_garbage_in_place_of_a_manifest_never_signs(
    registries: Registries, registry: FakeRegistry, body: bytes
) -> None:
    registry.put_manifest(REPOSITORY, DIGESTS["unsigned"].replace(":", "-") + ".sig", OCI_IMAGE, body)
    found = verdict(registries, registry, DIGESTS["unsigned"], key("ec"))
    assert found.key is None
    assert found.reason in (Reason.BAD_SIGNATURE, Reason.NOT_SIGNED)


def test_a_signature_that_comes_later_counts_in_the_next_cycle(
    registries: Registries, registry: FakeRegistry
) -> None:
    signer = ec.generate_private_key(ec.SECP256R1())
    assert verdict(registries, registry, DIGESTS["unsigned"], public(signer)).reason is Reason.NOT_SIGNED
    body, signature = simple(DIGESTS["unsigned"], signer)
    registry.put_blob(REPOSITORY, body)
    attach(registry, DIGESTS["unsigned"], layer(body, signature))
    assert verdict(registries, registry, DIGESTS["unsigned"], public(signer)).key == "mine.pub"


def test_an_unsigned_image_costs_a_head_of_each_place_for_an_hour_and_then_one(
    registries: Registries, registry: FakeRegistry, clock: SetClock
) -> None:
    for _ in range(3):
        assert verdict(registries, registry, DIGESTS["unsigned"], key("ec")).reason is Reason.NOT_SIGNED
    assert registry.counts() == {"manifest_get": 2, "other": 1, "manifest_head": 4}
    clock.advance(3600)
    registry.clear_log()
    for _ in range(6):
        assert verdict(registries, registry, DIGESTS["unsigned"], key("ec")).reason is Reason.NOT_SIGNED
    assert registry.counts() == {"manifest_head": 6}
    assert len({entry.path for entry in registry.log}) == 2


def test_a_good_signature_costs_one_head_and_counts_until_it_is_withdrawn(
    registries: Registries, registry: FakeRegistry
) -> None:
    assert verdict(registries, registry, DIGESTS["legacy"], key("ec")).key == "ec.pub"
    registry.clear_log()
    assert verdict(registries, registry, DIGESTS["legacy"], key("ec")).key == "ec.pub"
    assert registry.counts() == {"manifest_head": 1}
    assert verdict(registries, registry, DIGESTS["legacy"], key("other")).reason is Reason.BAD_SIGNATURE
    registry.delete(REPOSITORY, DIGESTS["legacy"].replace(":", "-") + ".sig")
    assert verdict(registries, registry, DIGESTS["legacy"], key("ec")).reason is Reason.NOT_SIGNED


@pytest.mark.parametrize("name", ["legacy", "bundle"])
def test_a_signature_of_either_form_that_comes_later_is_seen(
    registries: Registries, registry: FakeRegistry, name: str
) -> None:
    tag = DIGESTS[name].replace(":", "-") + (".sig" if name == "legacy" else "")
    written = WRITTEN["tags"][tag]
    registry.delete(REPOSITORY, tag)
    for _ in range(2):
        assert verdict(registries, registry, DIGESTS[name], key("ec")).reason is Reason.NOT_SIGNED
    registry.put_manifest(
        REPOSITORY, tag, WRITTEN["manifests"][written][0], WRITTEN["manifests"][written][1].encode()
    )
    assert verdict(registries, registry, DIGESTS[name], key("ec")).key == "ec.pub"


@pytest.mark.parametrize("name", ["legacy", "bundle"])
def test_a_signature_of_either_form_that_comes_after_the_hour_is_seen_by_the_second_look(
    registries: Registries, registry: FakeRegistry, clock: SetClock, name: str
) -> None:
    tag = DIGESTS[name].replace(":", "-") + (".sig" if name == "legacy" else "")
    media_type, body = WRITTEN["manifests"][WRITTEN["tags"][tag]]
    registry.delete(REPOSITORY, tag)
    assert verdict(registries, registry, DIGESTS[name], key("ec")).reason is Reason.NOT_SIGNED
    clock.advance(7200)
    registry.put_manifest(REPOSITORY, tag, media_type, body.encode())
    looks = [verdict(registries, registry, DIGESTS[name], key("ec")).key for _ in range(2)]
    assert looks[-1] == "ec.pub"


@pytest.mark.parametrize("has_api", [False, True])
def test_a_signed_bundle_costs_one_head_and_counts_until_it_is_withdrawn(
    registries: Registries, registry: FakeRegistry, has_api: bool
) -> None:
    digest = DIGESTS["bundle"]
    fallback = digest.replace(":", "-")
    index = WRITTEN["manifests"][WRITTEN["tags"][fallback]][1]
    if has_api:
        registry.delete(REPOSITORY, fallback)
        listed = Behaviour(status=200, headers={"Content-Type": OCI_INDEX}, body=index.encode())
        registry.behave("other", listed, path=f"/referrers/{digest}", times=1)
    assert verdict(registries, registry, digest, key("ec")).key == "ec.pub"
    registry.clear_log()
    assert verdict(registries, registry, digest, key("ec")).key == "ec.pub"
    assert registry.counts() == {"manifest_head": 1}
    for kind in ("manifest_head", "manifest_get"):
        registry.behave(kind, Behaviour(status=404))
    assert verdict(registries, registry, digest, key("ec")).reason is Reason.NOT_SIGNED


def test_what_a_referrers_api_lists_later_is_seen(registries: Registries, registry: FakeRegistry) -> None:
    digest = DIGESTS["bundle"]
    body = WRITTEN["manifests"][WRITTEN["tags"][digest.replace(":", "-")]][1].encode()
    registry.delete(REPOSITORY, digest.replace(":", "-"))
    headers = {"Content-Type": OCI_INDEX}
    nothing = b'{"schemaVersion": 2, "manifests": []}'
    registry.behave(
        "other", Behaviour(status=200, headers=headers, body=nothing), path=f"/referrers/{digest}", times=2
    )
    registry.behave("other", Behaviour(status=200, headers=headers, body=body), path=f"/referrers/{digest}")
    for _ in range(2):
        assert verdict(registries, registry, digest, key("ec")).reason is Reason.NOT_SIGNED
    assert verdict(registries, registry, digest, key("ec")).key == "ec.pub"


def test_another_signature_beside_a_bad_one_is_read(registries: Registries, registry: FakeRegistry) -> None:
    first, second = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    digest, layers = DIGESTS["unsigned"], []
    for signer, found in ((first, None), (second, "mine.pub")):
        body, signature = simple(digest, signer)
        registry.put_blob(REPOSITORY, body)
        layers.append(layer(body, signature))
        attach(registry, digest, *layers)
        assert verdict(registries, registry, digest, public(second)).key == found


@pytest.mark.parametrize(
    "behaviour", [Behaviour(status=405), Behaviour(headers={"Docker-Content-Digest": None})]
)
def test_a_registry_that_answers_no_head_is_read_in_full(
    registries: Registries, registry: FakeRegistry, behaviour: Behaviour
) -> None:
    assert verdict(registries, registry, DIGESTS["legacy"], key("other")).reason is Reason.BAD_SIGNATURE
    registry.behave("manifest_head", behaviour)
    assert verdict(registries, registry, DIGESTS["legacy"], key("other")).reason is Reason.BAD_SIGNATURE
    assert registry.counts()["manifest_get"] == 4


def test_a_registry_that_fails_at_the_second_look_is_unknown(
    registries: Registries, registry: FakeRegistry
) -> None:
    assert verdict(registries, registry, DIGESTS["unsigned"], key("ec")).reason is Reason.NOT_SIGNED
    registry.behave("manifest_head", Behaviour(status=503))
    with pytest.raises(RegistryError):
        verdict(registries, registry, DIGESTS["unsigned"], key("ec"))


# --------------------------------------------------------------------------------------------------- the keys


def test_a_file_that_holds_no_usable_key_is_named_for_what_it_is() -> None:
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused
    other_curve = ec.generate_private_key(ec.SECP384R1())
    private = ec.generate_private_key(ec.SECP256R1())
    texts = {
        "not a public key": b"hello",
        "another kind": public_pem(small),
        "P-256": public_pem(other_curve),
        "a private key": private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }
    for words, pem in texts.items():
        with pytest.raises(ValueError, match=words):
            read_key("x.pub", pem)


def public_pem(private: Any) -> bytes:
    return bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@given(st.binary(max_size=400))
def test_no_bytes_make_a_parser_fail_otherwise_than_by_a_value_error(body: bytes) -> None:
    for parse_it in (cosign.bundle, lambda text: cosign.simple_signing(text, {SIGNATURE_ANNOTATION: "AAAA"})):
        try:
            parse_it(body)
        except ValueError:
            continue


NAMES = [
    "dsseEnvelope", "payload", "payloadType", "signatures", "sig", "critical", "image",
    "docker-manifest-digest",
    "type", "subject", "digest", "sha256",
]  # fmt: skip


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), containers, max_leaves=20)
)
def test_no_document_makes_a_parser_fail_otherwise(document: Any) -> None:
    body = json.dumps(document).encode()
    for parse_it in (cosign.bundle, lambda text: cosign.simple_signing(text, {SIGNATURE_ANNOTATION: "AAAA"})):
        try:
            parse_it(body)
        except ValueError:
            continue


@given(st.binary(min_size=1, max_size=80))
def test_a_changed_signature_is_never_taken(noise: bytes) -> None:
    statement = cosign.Statement(b"signed", frozenset({DIGESTS["legacy"]}), (noise,))
    assert cosign.signer_of(statement, [key("ec"), key("ed")]) is None
