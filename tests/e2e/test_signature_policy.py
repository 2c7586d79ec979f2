"""Only what was signed: a service with a public key takes no other image, and says why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import lab
from tests.support.cosign_fixture import public_pem, sign
from tests.support.fake_registry import Behaviour
from tests.support.lab import Shop, until
from tests.support.listener import listening
from updater_core.app import cycle
from updater_core.models import Committed, Hold, Reason
from updater_core.state import records

pytestmark = pytest.mark.engine

REPOSITORY = "team/app"


@pytest.fixture
def signer() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def guarded(shop: Shop, signer: ec.EllipticCurvePrivateKey) -> Shop:
    """A shop at v1.0.0 whose service follows versions and wants them signed."""
    key = shop.folder / "acme.pub"
    key.write_bytes(public_pem(signer))
    shop.policy = {"health_stable": 1, "follow": "minor", "signature": {"public_key": str(key)}}
    shop.push("v1.0.0", lab.good("one"))
    shop.write("v1.0.0")
    shop.up()
    return shop


def test_the_next_signed_version_is_taken_in_place_of_an_unsigned_one(
    guarded: Shop, signer: ec.EllipticCurvePrivateKey
) -> None:
    signed = guarded.push("v1.1.0", lab.good("two"))
    guarded.push("v1.2.0", lab.good("three"))
    sign(guarded.registry, REPOSITORY, signed.digest, signer)
    _, plan = guarded.run("--plan")
    assert "v1.2.0: not_signed" in plan
    assert "signed by acme.pub" in plan
    guarded.policy["mode"] = "notify"
    guarded.cycle()
    assert "signed by acme.pub" in guarded.run("--status", "--service", guarded.name)[1]
    guarded.policy["mode"] = "auto"
    (outcome,) = guarded.cycle().outcomes
    assert isinstance(outcome, Committed)
    assert guarded.releases() == [("two", "running")]


def test_a_signature_that_comes_later_lets_the_release_in(
    guarded: Shop, signer: ec.EllipticCurvePrivateKey
) -> None:
    new = guarded.push("v1.1.0", lab.good("two"))
    with listening() as receiver:
        guarded.settings = {"webhook_url": receiver.url}
        context = guarded.context()
        for _ in range(2):
            (hold,) = [one.decision for one in cycle.run(context).checked]
            assert isinstance(hold, Hold)
            assert hold.reason is Reason.NOT_SIGNED
        assert records.service_of(context.state, guarded.name).quarantine == ()
        guarded.push("v1.1.0", lab.good("another"))
        cycle.run(context)
        events = until(lambda: len(receiver.requests) > 1 and receiver.requests, what="both are notified of")
    messages = [json.loads(request.body) for request in events]
    assert [(each["event"], each["reason"]) for each in messages] == [("available", "not_signed")] * 2
    assert len({each["to"]["digest"] for each in messages}) == 2
    guarded.settings = {}
    guarded.registry.tag(REPOSITORY, "v1.1.0", new.digest)
    sign(guarded.registry, REPOSITORY, new.digest, signer)
    assert [type(one) for one in guarded.cycle().outcomes] == [Committed]


def test_a_signature_by_another_key_is_a_bad_one(guarded: Shop) -> None:
    new = guarded.push("v1.1.0", lab.good("two"))
    sign(guarded.registry, REPOSITORY, new.digest, ec.generate_private_key(ec.SECP256R1()))
    _, plan = guarded.run("--plan")
    assert "bad_signature" in plan
    assert guarded.cycle().outcomes == ()
    assert guarded.releases() == [("one", "running")]


def test_a_registry_that_fails_while_it_is_asked_makes_the_service_unknown_and_pulls_nothing(
    guarded: Shop, signer: ec.EllipticCurvePrivateKey
) -> None:
    new = guarded.push("v1.1.0", lab.good("two"))
    sign(guarded.registry, REPOSITORY, new.digest, signer)
    guarded.registry.behave("blob", Behaviour(status=503))
    guarded.registry.clear_log()
    context = guarded.context()
    (hold,) = [one.decision for one in cycle.run(context).checked]
    assert isinstance(hold, Hold)
    assert records.service_of(context.state, guarded.name).status is records.Status.UNKNOWN
    asked = {entry.path for entry in guarded.registry.log if entry.kind == "blob"}
    assert not {path for path in asked for layer in new.layers if layer in path}


def test_the_digest_behind_a_tag_has_to_be_signed_too(
    guarded: Shop, signer: ec.EllipticCurvePrivateKey
) -> None:
    guarded.policy["follow"] = "tag"
    new = guarded.push("v1.0.0", lab.good("two"))
    assert guarded.cycle().outcomes == ()
    sign(guarded.registry, REPOSITORY, new.digest, signer)
    assert [type(one) for one in guarded.cycle().outcomes] == [Committed]


def test_the_check_says_who_signed_what_runs_and_a_rollback_asks_nobody(
    guarded: Shop, signer: ec.EllipticCurvePrivateKey
) -> None:
    status, said = guarded.run("--test")
    assert status == 3
    assert f"FAIL  signature {guarded.name}" in said
    new = guarded.push("v1.1.0", lab.good("two"))
    sign(guarded.registry, REPOSITORY, new.digest, signer)
    guarded.cycle()
    status, said = guarded.run("--test")
    assert status == 0, said
    assert "is signed by acme.pub" in said
    status, said = guarded.run("--rollback", guarded.name)
    assert status == 0, said
    assert guarded.releases() == [("one", "running")]


@pytest.mark.parametrize("text", [b"hello", b"", None], ids=["no key", "empty", "not there"])
def test_a_file_that_is_no_key_is_a_mistake_of_the_configuration(guarded: Shop, text: bytes | None) -> None:
    key = Path(guarded.policy["signature"]["public_key"])
    key.unlink() if text is None else key.write_bytes(text)
    status, said = guarded.run("--once")
    assert status == 2
    assert f"{guarded.name}: signature.public_key: {key}: " in said
