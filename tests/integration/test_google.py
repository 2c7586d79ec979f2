"""Google's registries against Google on loopback: whose token is sent, when, and what the tag list tells."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.fake_registry import Basic, Bearer, Behaviour, FakeRegistry
from tests.support.google import ACCOUNT, USERNAME, FakeGoogle, private_key
from tests.support.log_line import logged
from tests.support.set_clock import SetClock
from updater_core.errors import AuthFailed, NotFound, RegistryError
from updater_core.models import Credential, ImageRef, RegistrySettings, Secret, Tag
from updater_core.reference import parse
from updater_core.registries import Registries
from updater_core.registries.vendors import registry_type
from updater_core.registries.vendors.google.settings import GoogleSettings

APP = "shop/images/app"
GCR = RegistrySettings(type="gcr")


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No account of this machine's, and no metadata server to wait for."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST", "NO_GCE_CHECK", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GCE_METADATA_IP", "127.0.0.1:1")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def google(tmp_path: Path, fake: FakeRegistry) -> Iterator[FakeGoogle]:
    """Google, whose latest token alone opens the registry."""
    with FakeGoogle(tmp_path) as server:
        server.guard(fake)
        yield server


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def kinds() -> list[str]:
    return []


@pytest.fixture
def registries(clock: SetClock, kinds: list[str], tmp_path: Path) -> Registries:
    return Registries(
        docker_config_dir=tmp_path,
        clock=clock,
        on_request=lambda host, kind, result: kinds.append(kind),
    )


@pytest.fixture
def metadata(google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGoogle]:
    """This machine as one of Google's."""
    from google.auth.compute_engine import _metadata

    for name, value in google.metadata().items():
        monkeypatch.setenv(name, value)
    importlib.reload(_metadata)  # it reads the environment when it is loaded
    yield google
    monkeypatch.undo()
    importlib.reload(_metadata)


def at(fake: FakeRegistry, tag: str = "1.0") -> ImageRef:
    return parse(f"{fake.host}/{APP}:{tag}")


def with_key(path: Path, **more: Any) -> RegistrySettings:
    return RegistrySettings(type="gcr", vendors=(GoogleSettings(service_account_path=str(path), **more),))


def digest(registries: Registries, reference: ImageRef, settings: RegistrySettings = GCR) -> str:
    return registries.for_service(reference, settings).digest(reference)


# ------------------------------------------------------------------------------------------------ whose it is


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gcr.io/shop/web", "gcr"),
        ("eu.gcr.io/shop/web", "gcr"),
        ("europe-west1-docker.pkg.dev/shop/images/web", "gcr"),
        ("docker.europe-west1.rep.pkg.dev/shop/images/web", "gcr"),
        ("gcr.io.example.com/shop/web", "generic"),
        ("quay.io/shop/web", "quay"),
        ("registry.gitlab.com/shop/web", "gitlab"),
        ("nginx", "docker_hub"),
    ],
)
def test_the_host_decides_which_registry_it_is(name: str, kind: str) -> None:
    assert registry_type(parse(name), RegistrySettings()) == kind


# ------------------------------------------------------------------------------------------------- who we are


def in_the_settings(google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> RegistrySettings:
    return with_key(google.key_file())


def in_the_environment(google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> RegistrySettings:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google.key_file()))
    return GCR


def of_a_federation(google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> RegistrySettings:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google.federation_file()))
    return GCR


@pytest.mark.parametrize("named", [in_the_settings, in_the_environment, of_a_federation])
def test_a_named_account_is_used_at_once_and_its_token_kept(
    named: Callable[[FakeGoogle, pytest.MonkeyPatch], RegistrySettings],
    fake: FakeRegistry,
    google: FakeGoogle,
    registries: Registries,
    kinds: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pushed, settings = fake.push(APP, "1.0"), named(google, monkeypatch)
    assert digest(registries, at(fake), settings) == pushed.digest
    assert kinds == ["token", "manifest_head", "token", "manifest_head"]  # Google's, then the registry's
    registries.new_cycle()
    kinds.clear()
    assert digest(registries, at(fake), settings) == pushed.digest
    assert kinds == ["manifest_head"]
    found = registries.for_service(at(fake), settings).credential()
    assert found == Credential(USERNAME, Secret("ya29.token-1"))
    assert google.tokens_given == 1


def test_the_assertion_is_the_accounts_and_for_the_scope_of_the_cloud(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    fake.push(APP, "1.0")
    digest(registries, at(fake), with_key(google.key_file()))
    assert google.claims[0]["iss"] == ACCOUNT
    assert google.claims[0]["scope"] == "https://www.googleapis.com/auth/cloud-platform"


def test_a_check_names_the_account(fake: FakeRegistry, google: FakeGoogle, registries: Registries) -> None:
    fake.push(APP, "1.0")
    said = registries.for_service(at(fake), with_key(google.key_file())).check(at(fake))
    assert said.endswith(f"{APP} reached as {ACCOUNT}")


def test_services_with_the_same_key_share_its_token(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    settings = with_key(google.key_file())
    for number in range(3):
        fake.push(f"{APP}{number}", "1.0")
        digest(registries, parse(f"{fake.host}/{APP}{number}:1.0"), settings)
    assert google.tokens_given == 1


def test_the_account_of_the_machine_is_asked_if_anonymous_is_not_enough(
    fake: FakeRegistry, metadata: FakeGoogle, registries: Registries, kinds: list[str]
) -> None:
    pushed = fake.push(APP, "1.0")
    assert digest(registries, at(fake)) == pushed.digest
    registries.new_cycle()
    kinds.clear()
    assert digest(registries, at(fake)) == pushed.digest
    assert kinds == ["manifest_head"]
    assert metadata.asked.count("/") == 1
    assert metadata.tokens_given == 1
    registry = registries.for_service(at(fake), GCR)
    assert registry.credential() == Credential(USERNAME, Secret("ya29.token-1"))
    assert registry.check(at(fake)).endswith(f"reached as {ACCOUNT}")


def test_a_pull_without_a_question_before_it_has_the_account_of_the_machine(
    fake: FakeRegistry, metadata: FakeGoogle, registries: Registries
) -> None:
    """So a rollback after a crash can pull what is private."""
    found = registries.for_service(at(fake), GCR).credential()
    assert found == Credential(USERNAME, Secret("ya29.token-1"))


def test_gclouds_own_credentials_come_before_the_metadata_server(
    fake: FakeRegistry, metadata: FakeGoogle, registries: Registries
) -> None:
    pushed = fake.push(APP, "1.0")
    metadata.key_file("application_default_credentials.json")  # CLOUDSDK_CONFIG is this folder
    assert digest(registries, at(fake)) == pushed.digest
    assert set(metadata.asked) == {"/token"}


def test_a_public_image_needs_nobody_and_no_probe(
    fake: FakeRegistry, metadata: FakeGoogle, registries: Registries, kinds: list[str]
) -> None:
    fake.auth = None
    pushed = fake.push(APP, "1.0")
    registry = registries.for_service(at(fake), GCR)
    assert registry.digest(at(fake)) == pushed.digest
    assert registry.credential() is None
    assert kinds == ["manifest_head"]
    assert metadata.asked == []


def test_the_metadata_server_is_never_asked_for_a_registry_that_is_not_googles(
    fake: FakeRegistry, metadata: FakeGoogle, registries: Registries
) -> None:
    fake.push(APP, "1.0")
    for kind in ("generic", "quay", "gitlab", None):
        with pytest.raises(AuthFailed):
            digest(registries, at(fake), RegistrySettings(type=kind))
        registries.for_service(at(fake), RegistrySettings(type=kind)).credential()
    assert metadata.asked == []


def test_a_machine_that_is_not_googles_is_probed_once_a_day(
    fake: FakeRegistry, metadata: FakeGoogle, registries: Registries, clock: SetClock
) -> None:
    metadata.has_metadata = False
    for number in range(3):
        with pytest.raises(AuthFailed, match="not for everybody") as refused:
            digest(registries, parse(f"{fake.host}/{APP}{number}:1.0"))
        registries.new_cycle()
    assert metadata.asked == ["/"]
    assert "service_account_path" in refused.value.remedy
    assert "roles/artifactregistry.reader" in refused.value.remedy
    clock.advance(86400)
    metadata.has_metadata = True
    fake.push(APP, "1.0")
    digest(registries, at(fake))


def test_a_key_file_that_is_renewed_again_and_again_leaves_one_account(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    """A tool that rotates keys writes the file each hour; nothing may grow with time."""
    fake.push(APP, "1.0")
    for _ in range(4):
        path = google.key_file()
        path.write_bytes(path.read_bytes())
        registries.new_cycle()
        digest(registries, at(fake), with_key(path))
    assert google.tokens_given == 4  # each time it is read anew
    assert len(registries._session.accounts.items()) == 1
    assert not registries._session.lasting._answers


def test_no_probe_is_made_if_the_environment_says_so(
    fake: FakeRegistry, metadata: FakeGoogle, registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(AuthFailed):
        digest(registries, at(fake))
    assert metadata.asked == []


def test_a_password_of_the_settings_is_sent_as_it_is(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    pushed = fake.push(APP, "1.0")
    fake.auth = Basic("_json_key", "the whole key")
    settings = RegistrySettings(type="gcr", username="_json_key", password=Secret("the whole key"))
    assert digest(registries, at(fake), settings) == pushed.digest
    assert google.asked == []


def test_a_docker_login_is_used_before_the_account_of_the_machine(
    fake: FakeRegistry, metadata: FakeGoogle, registries: Registries, tmp_path: Path
) -> None:
    pushed = fake.push(APP, "1.0")
    fake.auth = Basic("_json_key", "key")
    login = {"auths": {fake.host: {"username": "_json_key", "password": "key"}}}
    (tmp_path / "config.json").write_text(json.dumps(login))
    assert digest(registries, at(fake)) == pushed.digest
    assert metadata.asked == []
    (tmp_path / "config.json").write_text(json.dumps(login).replace('"key"', '"wrong"'))
    registries.new_cycle()
    with pytest.raises(AuthFailed, match="refuses the login as _json_key"):
        digest(registries, at(fake))


# ---------------------------------------------------------------------------------------------------- renewal


def test_a_token_that_has_run_out_is_renewed_before_it_is_used(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    pushed, settings = fake.push(APP, "1.0"), with_key(google.key_file())
    google.lifetime_seconds = 120  # google-auth takes the last 225 s of a token for none
    for _ in range(3):
        registries.new_cycle()
        fake.clear_log()
        assert digest(registries, at(fake), settings) == pushed.digest
        assert fake.counts() == {"manifest_head": 2, "token": 1}
    assert google.tokens_given == 3


def test_a_token_that_the_registry_refuses_is_renewed_once(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries, clock: SetClock
) -> None:
    pushed, settings = fake.push(APP, "1.0"), with_key(google.key_file())
    digest(registries, at(fake), settings)
    fake.auth = Bearer(USERNAME, "revoked")
    fake.revoke_tokens()
    registries.new_cycle()
    clock.advance(61)
    assert digest(registries, at(fake), settings) == pushed.digest
    assert google.tokens_given == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_a_fresh_token_is_final_and_names_the_role(
    status: int, fake: FakeRegistry, google: FakeGoogle, registries: Registries, clock: SetClock
) -> None:
    settings = with_key(google.key_file(), project_id="shop")
    said = 'Permission "artifactregistry.repositories.downloadArtifacts" denied'
    denied = json.dumps({"errors": [{"code": "DENIED", "message": said}]}).encode()
    for kind in ("manifest_head", "manifest_get"):
        fake.behave(kind, Behaviour(status=status, body=denied, headers={"WWW-Authenticate": None}))
    with pytest.raises(AuthFailed) as refused:
        digest(registries, at(fake), settings)
    assert str(refused.value).startswith(f"{fake.host}: {APP}: Google refuses {ACCOUNT}: ")
    assert refused.value.remedy.startswith(
        f"grant {ACCOUNT} the role roles/artifactregistry.reader on the project shop"
    )
    assert google.tokens_given == 1
    registries.new_cycle()
    clock.advance(3600)
    with pytest.raises(AuthFailed):
        digest(registries, at(fake), settings)
    assert google.tokens_given == 2


def test_a_repository_that_is_not_there_is_not_found(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    settings = with_key(google.key_file())
    with pytest.raises(NotFound, match="no such repository"):
        digest(registries, at(fake), settings)
    with pytest.raises(NotFound, match="no such repository"):
        registries.for_service(at(fake), settings).pushed_tags(at(fake), lambda name: True)


# -------------------------------------------------------------------------------------------- what goes wrong


def missing(google: FakeGoogle) -> Path:
    return google.folder / "missing.json"


def no_json(google: FakeGoogle) -> Path:
    path = google.folder / "key.json"
    path.write_text(private_key())
    return path


def nested(google: FakeGoogle) -> Path:
    path = google.folder / "key.json"
    path.write_text("[" * 100_000)
    return path


@pytest.mark.parametrize(
    ("make", "words", "remedy"),
    [
        (missing, "missing.json cannot be read: No such file", "put the service account's JSON key"),
        (no_json, "key.json cannot be used: it is not JSON", "put the service account's JSON key"),
        (nested, "key.json cannot be used: it is not JSON", "put the service account's JSON key"),
        (lambda g: g.key_file(type="authorized_user"), r"of another type \(authorized_user\)",
         "GOOGLE_APPLICATION"),
        (lambda g: g.key_file(type=None), r"of another type \(None\)", "GOOGLE_APPLICATION"),
        (lambda g: g.key_file(client_email=None), "lacks a field", "create a new key"),
        (lambda g: g.key_file(private_key="-----BEGIN PRIVATE KEY-----\nMIIE"), "its key is damaged",
         "create a new"),
        (lambda g: g.key_file(private_key=5), "its key is damaged", "create a new"),
    ],
)  # fmt: skip
def test_a_key_file_that_cannot_be_used_is_said_so(
    make: Callable[[FakeGoogle], Path], words: str, remedy: str, fake: FakeRegistry, google: FakeGoogle,
    registries: Registries,
) -> None:  # fmt: skip
    settings = with_key(make(google))
    fake.push(APP, "1.0")
    with pytest.raises(AuthFailed, match=words) as error:
        digest(registries, at(fake), settings)
    assert str(error.value).startswith(f"{fake.host}: {APP}: ")
    assert remedy in error.value.remedy
    assert "PRIVATE KEY" not in str(error.value) + error.value.remedy
    assert fake.log == []
    with pytest.raises(AuthFailed, match=words):
        registries.for_service(at(fake), settings).credential()


def test_a_key_file_that_is_fixed_is_read_again(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    pushed, path = fake.push(APP, "1.0"), google.key_file(client_email=None)
    with pytest.raises(AuthFailed):
        digest(registries, at(fake), with_key(path))
    google.key_file()
    assert digest(registries, at(fake), with_key(path)) == pushed.digest


@pytest.mark.parametrize(
    ("refusal", "words", "remedy"),
    [
        ({"error": "invalid_grant", "error_description": "Invalid grant: account not found"},
         f"refuses {ACCOUNT}: invalid_grant: Invalid grant: account not found",
         "check that the account still exists"),
        ({"error": "invalid_grant",
          "error_description": "Invalid JWT: Token must be a short-lived token (60 minutes) "
          "and in a reasonable timeframe. Check your iat and exp values in the JWT claim."},
         "refuses", "set this machine's clock"),
        ({"error": "invalid_grant", "error_description": "bad assertion " + "eyJ0" * 40},
         r"bad assertion \*\*\*", "check"),
        ({}, "refuses", "check"),
    ],
)  # fmt: skip
def test_a_refusal_by_the_token_server_is_said_and_not_repeated(
    refusal: dict[str, str], words: str, remedy: str, fake: FakeRegistry, google: FakeGoogle,
    registries: Registries,
    clock: SetClock,
) -> None:  # fmt: skip
    pushed, settings = fake.push(APP, "1.0"), with_key(google.key_file())
    google.refusal = refusal
    for _ in range(3):
        with pytest.raises(AuthFailed, match=words) as error:
            digest(registries, at(fake), settings)
        assert remedy in error.value.remedy
        registries.new_cycle()
    assert google.asked == ["/token"]
    google.refusal = None
    clock.advance(601)
    assert digest(registries, at(fake), settings) == pushed.digest


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "source", "words"),
    [
        (a_folder, {}, "malformed, which cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b"\xff\xfe"), {}, r"no token is to be had.*\(UnicodeDecodeError\)"),
        (lambda path: path.write_text("[" * 60_000),
         {"format": {"type": "json", "subject_token_field_name": "x"}},
         r"no token is to be had.*\(RecursionError\)"),
    ],
)  # fmt: skip
def test_a_credential_source_that_cannot_be_used_is_said_so_and_tried_again(
    make: Callable[[Path], object], source: dict[str, object], words: str, fake: FakeRegistry,
    google: FakeGoogle,
    registries: Registries, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    pushed, malformed = fake.push(APP, "1.0"), tmp_path / "malformed"
    make(malformed)
    file = google.federation_file(file=str(malformed), **source)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    with pytest.raises(
        AuthFailed, match=rf"^{fake.host}: {APP}: .*GOOGLE_APPLICATION_CREDENTIALS.*{words}"
    ) as error:
        digest(registries, at(fake), GCR)
    assert "credential_source" in error.value.remedy
    assert google.asked == []
    if malformed.is_dir():
        malformed.rmdir()
    malformed.write_text('{"x": "the token of another cloud"}')
    registries.new_cycle()
    assert digest(registries, at(fake), GCR) == pushed.digest


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"access_token": "t", "expires_in": 1e300}'])
def test_a_malformed_answer_of_the_token_server_is_no_failure_of_ours(
    body: bytes, fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    fake.push(APP, "1.0")
    fake.behave("token", Behaviour(status=200, body=body))
    settings = with_key(google.key_file(token_uri=f"{fake.url}/token"))
    with pytest.raises(AuthFailed, match=f"^{fake.host}: {APP}: .*no token is to be had") as error:
        digest(registries, at(fake), settings)
    assert "a proxy in the way" in error.value.remedy


def test_a_key_that_is_not_the_accounts_is_refused(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    other = rsa.generate_private_key(65537, 2048)
    form = serialization.PrivateFormat.PKCS8
    text = other.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    with pytest.raises(AuthFailed, match="invalid_grant: Invalid JWT Signature"):
        digest(registries, at(fake), with_key(google.key_file(private_key=text)))


def test_a_token_server_that_does_not_answer_is_no_refusal(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    settings = with_key(google.key_file(token_uri="http://127.0.0.1:1/token"))
    with pytest.raises(RegistryError, match="Google's token: the connection was refused") as error:
        digest(registries, at(fake), settings)
    assert not isinstance(error.value, AuthFailed)


# ----------------------------------------------------------------------------------------------- the tag list


def listing(*entries: tuple[str, list[str], object], **more: object) -> Behaviour:
    """Google's answer to tags/list: digests with their tags and upload times."""
    named = [name for _, names, _ in entries for name in names]
    manifest = {
        digest: {"tag": names, "timeCreatedMs": "0", "timeUploadedMs": uploaded, "mediaType": "x"}
        for digest, names, uploaded in entries
    }
    return Behaviour(
        body=json.dumps({"name": APP, "child": [], "tags": named, "manifest": manifest, **more}).encode()
    )


ONE, TWO, THREE = ("sha256:" + digit * 64 for digit in "123")
MAY_FIRST = datetime(2025, 5, 1, tzinfo=UTC)


def milliseconds(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))


def test_one_request_tells_tags_digests_and_push_times(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries, kinds: list[str]
) -> None:
    fake.push(APP, "1.0")
    fake.behave(
        "tags",
        listing((ONE, ["1.0", "latest"], milliseconds(MAY_FIRST)), (TWO, ["1.1"], "0"), (THREE, [], "1")),
    )
    registry = registries.for_service(at(fake), with_key(google.key_file()))
    assert registry.pushed_tags(at(fake), lambda name: name != "latest") == (
        Tag("1.0", ONE, MAY_FIRST),
        Tag("1.1", TWO),
    )
    assert [tag.name for tag in registry.tags(at(fake))] == ["1.0", "latest", "1.1"]
    assert [registry.digest(at(fake, tag)) for tag in ("1.0", "1.1")] == [ONE, TWO]
    assert kinds == ["token", "tags", "token", "tags"]
    registries.new_cycle()
    kinds.clear()
    registry.pushed_tags(at(fake), lambda name: True)
    assert kinds == ["tags"]


def test_another_cycle_asks_for_the_digest_anew(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    fake.auth = None
    pushed = fake.push(APP, "1.0")
    fake.behave("tags", listing((ONE, ["1.0"], milliseconds(MAY_FIRST))))
    registry = registries.for_service(at(fake), GCR)
    registry.tags(at(fake))
    registries.new_cycle()
    assert registry.digest(at(fake)) == pushed.digest


def test_a_tag_that_is_not_in_the_list_is_asked_for(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    fake.auth = None
    pushed = fake.push(APP, "1.0")
    fake.behave("tags", listing((ONE, ["1.1"], milliseconds(MAY_FIRST))))
    registry = registries.for_service(at(fake), GCR)
    registry.tags(at(fake))
    assert registry.digest(at(fake)) == pushed.digest


def test_without_its_map_the_list_knows_no_push_times(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries, kinds: list[str]
) -> None:
    fake.auth = None
    fake.push(APP, "1.0")
    registry = registries.for_service(at(fake), GCR)
    assert registry.pushed_tags(at(fake), lambda name: True) is None
    assert registry.tags(at(fake)) == (Tag("1.0"),)
    assert kinds == ["tags"]


@pytest.mark.parametrize(
    "uploaded", ["0", "", None, "soon", "-5", "1" * 40, milliseconds(datetime(2099, 1, 1, tzinfo=UTC))]
)
def test_a_time_that_cannot_be_is_not_known(
    uploaded: object, fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    fake.auth = None
    fake.push(APP, "1.0")
    fake.behave("tags", listing((ONE, ["1.0"], uploaded)))
    assert registries.for_service(at(fake), GCR).pushed_tags(at(fake), lambda name: True) == (
        Tag("1.0", ONE),
    )


def test_malformed_entries_of_the_map_are_dropped(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    fake.auth = None
    fake.push(APP, "1.0")
    malformed = {
        "no digest": {"tag": ["a"]},
        ONE: {"tag": ["1.0", 5, "not a tag", "sha256-" + "0" * 64 + ".sig"]},
        TWO: None,
    }
    fake.behave(
        "tags", Behaviour(body=json.dumps({"tags": ["1.0", None, "9.9"], "manifest": malformed}).encode())
    )
    found = registries.for_service(at(fake), GCR).pushed_tags(at(fake), lambda name: True)
    assert found == (Tag("1.0", ONE), Tag("9.9"))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"tags": "1.0"}'])
def test_what_is_no_list_is_an_error(
    body: bytes, fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    fake.auth = None
    fake.push(APP, "1.0")
    fake.behave("tags", Behaviour(body=body))
    with pytest.raises(RegistryError, match="no list of tags"):
        registries.for_service(at(fake), GCR).tags(at(fake))


def test_pages_are_all_read_should_there_be_some(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    fake.auth = None
    fake.page_size = 1
    for tag in ("1.0", "1.1"):
        fake.push(APP, tag)
    registry = registries.for_service(at(fake), GCR)
    assert registry.tags(at(fake)) == (Tag("1.0"), Tag("1.1"))
    registries.new_cycle()
    fake.behave("tags", Behaviour(status=404), path="last=1.0")
    with pytest.raises(RegistryError, match="incomplete: page 2"):
        registry.tags(at(fake))


def test_a_token_of_google_is_in_no_line_of_the_log(
    fake: FakeRegistry, google: FakeGoogle, registries: Registries
) -> None:
    fake.push(APP, "1.0")
    registry = registries.for_service(at(fake), with_key(google.key_file()))
    credential = registry.credential()
    assert credential is not None
    assert logged(f"Bearer {credential.secret.reveal()} of {ACCOUNT}") == f"Bearer *** of {ACCOUNT}"


def test_no_answer_holds_a_token(fake: FakeRegistry, google: FakeGoogle, registries: Registries) -> None:
    echo = Behaviour(status=403, body=b"denied for Bearer ya29.token-1 of ya29.token-1")
    for kind in ("manifest_head", "manifest_get", "tags"):
        fake.behave(kind, echo)
    registry = registries.for_service(at(fake), with_key(google.key_file()))
    for ask in (registry.digest, registry.tags, registry.check):
        with pytest.raises(AuthFailed) as error:
            ask(at(fake))
        assert "ya29" not in str(error.value) + error.value.remedy
