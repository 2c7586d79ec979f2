"""The registry clients against a registry that misbehaves: what is asked, how often, and what is made of answers."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.support import aws, lab
from tests.support.fake_registry import (
    DOCKER_LIST,
    OCI_IMAGE,
    Basic,
    Bearer,
    Behaviour,
    Build,
    FakeRegistry,
    digest_of,
)
from tests.support.set_clock import SetClock
from updater_core import protocols
from updater_core.errors import AuthFailed, NotFound, RateLimited, RegistryError
from updater_core.models import Credential, ImageRef, RegistrySettings, Secret, Tag
from updater_core.reference import parse
from updater_core.registries import TABLE, HubEndpoints, Registries
from updater_core.registries.pull_limits import PullLimits
from updater_core.registries.transport import Limits, Request, Transport

ANYONE = RegistrySettings()
SOMEONE = RegistrySettings(username="jane", password=Secret("hunter2"))
APP = "team/app"
NESTED = b"[" * 60_000  # more than Python's own reader can take


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def registries(fake: FakeRegistry, clock: SetClock, tmp_path: Path) -> Registries:
    return make(fake, clock, tmp_path)


def make(fake: FakeRegistry, clock: SetClock, folder: Path, hub: Credential | None = None) -> Registries:
    endpoints = HubEndpoints(registry=fake.url, api=fake.url)
    return Registries(hub_credential=hub, docker_config_dir=folder, clock=clock, hub_endpoints=endpoints)


def at(fake: FakeRegistry, name: str = f"{APP}:1.0") -> ImageRef:
    return parse(f"{fake.host}/{name}")


def at_host(host: str, name: str) -> ImageRef:
    return parse(f"{host}/{name}")


def digest(registries: Registries, reference: ImageRef, settings: RegistrySettings = ANYONE) -> str:
    return registries.for_service(reference, settings).digest(reference)


def names(tags: tuple[Tag, ...] | None) -> list[str]:
    assert tags is not None
    return [tag.name for tag in tags]


# ------------------------------------------------------------------------------------------------------------ the table


@pytest.mark.parametrize("kind", sorted(TABLE))
def test_every_registry_of_the_table_keeps_the_contract(
    kind: str, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    here = parse("app:1.0") if kind == "docker_hub" else at(fake, "library/app:1.0")
    settings = RegistrySettings(type=kind, username="jane", password=Secret("hunter2"))
    registry, digest = registries.for_service(here, settings), _push_for_the_contract(fake)
    _check_the_contract(registry, here, digest, Credential("jane", Secret("hunter2")))


def test_ecr_keeps_the_contract_over_the_aws_api_too(
    fake: FakeRegistry, registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = at(fake, "library/app:1.0")
    settings = RegistrySettings(
        type="ecr", region=aws.REGION, aws_access_key_id="AKID", aws_secret_access_key=Secret("hunter2")
    )
    digest = _push_for_the_contract(fake)
    fake.auth = Basic("AWS", aws.PASSWORD)
    with aws.Aws() as amazon:
        for name, value in amazon.environment.items():
            monkeypatch.setenv(name, value)
        amazon.mirror(fake, "library/app")
        registry = registries.for_service(here, settings)
        _check_the_contract(registry, here, digest, Credential("AWS", Secret(aws.PASSWORD)))


def _push_for_the_contract(fake: FakeRegistry) -> str:
    pushed = fake.push("library/app", "1.0", Build(platforms=("linux/amd64", "linux/arm64")), "2025-05-01T00:00:00Z")
    return pushed.digest


def _check_the_contract(registry: protocols.Registry, here: ImageRef, digest: str, credential: Credential) -> None:
    """One image, one repository without anything, and what a registry says about them."""
    assert registry.digest(here) == digest
    assert names(registry.tags(here)) == ["1.0"]
    assert registry.created(here, "linux/arm64") == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert registry.credential() == credential
    assert "reached" in registry.check(here)
    pushed_tags = registry.pushed_tags(here, lambda name: name == "1.0")
    assert pushed_tags is None or names(pushed_tags) == ["1.0"]
    with pytest.raises(NotFound) as missing:
        registry.digest(replace(here, tag="no"))
    assert "no is not there" in str(missing.value)
    assert missing.value.remedy


def test_a_type_that_cannot_serve_the_reference_is_refused_with_a_remedy(registries: Registries) -> None:
    with pytest.raises(RegistryError, match="does not live on Docker Hub"):
        registries.for_service(parse("ghcr.io/a/b"), RegistrySettings(type="docker_hub"))
    with pytest.raises(RegistryError, match="no registry type 'nexus'"):
        registries.for_service(parse("quay.io/a/b"), RegistrySettings(type="nexus"))


# -------------------------------------------------------------------------------------------------------------- digests


@pytest.mark.parametrize("build", [Build(), Build(docker=True), Build(index=True), Build(index=True, docker=True)])
def test_a_check_is_one_head_and_answers_with_the_digest_of_the_index(
    build: Build, fake: FakeRegistry, registries: Registries
) -> None:
    pushed = fake.push(APP, "1.0", build)
    assert digest(registries, at(fake)) == pushed.digest
    assert fake.counts() == {"manifest_head": 1}


def test_a_warm_cycle_is_one_head_for_each_reference(fake: FakeRegistry, registries: Registries) -> None:
    pushed = fake.push(APP, "1.0")
    fake.auth = Bearer("jane", "hunter2")
    digest(registries, at(fake), SOMEONE)
    assert fake.counts() == {"manifest_head": 2, "token": 1}
    registries.new_cycle()
    fake.clear_log()
    assert digest(registries, at(fake), SOMEONE) == pushed.digest
    assert fake.counts() == {"manifest_head": 1}


def test_a_question_is_asked_once_in_a_cycle_however_many_threads_have_it(
    fake: FakeRegistry, registries: Registries
) -> None:
    pushed, gate = fake.push(APP, "1.0"), threading.Event()
    fake.behave("manifest_head", Behaviour(hang=gate))
    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(digest, registries, at(fake)) for _ in range(12)]
        gate.set()
        assert {answer.result() for answer in answers} == {pushed.digest}
    assert fake.counts() == {"manifest_head": 1}
    registries.new_cycle()
    digest(registries, at(fake))
    assert fake.counts() == {"manifest_head": 2}


def test_an_error_is_an_answer_too(fake: FakeRegistry, registries: Registries) -> None:
    for _ in range(3):
        with pytest.raises(NotFound):
            digest(registries, at(fake))
    assert fake.counts() == {"manifest_head": 1, "manifest_get": 1}


def test_services_with_different_credentials_do_not_share_answers(fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    fake.auth = Basic("jane", "hunter2")
    digest(registries, at(fake), SOMEONE)
    with pytest.raises(AuthFailed):
        digest(registries, at(fake))


def test_a_host_is_asked_eight_questions_at_a_time(fake: FakeRegistry, registries: Registries) -> None:
    gate = threading.Event()
    for number in range(20):
        fake.push(f"team/app{number}", "1.0")
    fake.behave("manifest_head", Behaviour(hang=gate))
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(digest, registries, at(fake, f"team/app{number}:1.0")) for number in range(20)]
        lab.until(lambda: fake.most_at_once >= 8, what="eight at a time")
        gate.wait(0.05)  # time for a ninth to come in, were there one
        gate.set()
        assert len([answer.result() for answer in answers]) == 20
    assert fake.most_at_once == 8


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(status=405, body=b""),
        Behaviour(status=403, body=b""),
        Behaviour(headers={"Docker-Content-Digest": None}),
        Behaviour(headers={"Docker-Content-Digest": "sha256:short"}),
        Behaviour(headers={"Content-Type": None}),
    ],
)
def test_where_a_head_says_too_little_the_body_is_hashed_and_that_is_remembered(
    behaviour: Behaviour, fake: FakeRegistry, registries: Registries
) -> None:
    pushed = fake.push(APP, "1.0")
    fake.behave("manifest_head", behaviour)
    assert digest(registries, at(fake)) == pushed.digest
    registries.new_cycle()
    assert digest(registries, at(fake)) == pushed.digest
    assert fake.counts() == {"manifest_head": 1, "manifest_get": 2}


def test_the_body_counts_and_not_what_its_header_says(fake: FakeRegistry, registries: Registries) -> None:
    pushed = fake.push(APP, "1.0")
    fake.behave("manifest_head", Behaviour(status=405))
    fake.behave("manifest_get", Behaviour(headers={"Docker-Content-Digest": "sha256:" + "0" * 64}))
    assert digest(registries, at(fake)) == pushed.digest


def test_a_body_that_was_packed_though_nobody_asked_is_hashed_unpacked(
    fake: FakeRegistry, registries: Registries
) -> None:
    body = json.dumps({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": []}).encode()
    expected = fake.put_manifest(APP, "1.0", DOCKER_LIST, body)
    fake.behave("manifest_head", Behaviour(status=405))
    fake.behave("manifest_get", Behaviour(headers={"Content-Encoding": "gzip"}, body=gzip.compress(body)))
    assert digest(registries, at(fake)) == expected


@pytest.mark.parametrize(
    "head", [Behaviour(headers={"Docker-Content-Digest": None, "Content-Type": None}), Behaviour()]
)
@pytest.mark.parametrize(
    "media_type",
    ["text/html", "text/html; charset=utf-8", "application/vnd.docker.distribution.manifest.v1+prettyjws", None],
)
def test_a_login_page_never_gets_a_digest(
    head: Behaviour, media_type: str | None, fake: FakeRegistry, registries: Registries
) -> None:
    fake.push(APP, "1.0")
    page = Behaviour(headers={"Content-Type": media_type, "Docker-Content-Digest": None}, body=b"<html>log in</html>")
    fake.behave("manifest_head", head if head.headers else page)
    fake.behave("manifest_get", page)
    with pytest.raises(RegistryError, match="no manifest") as error:
        digest(registries, at(fake))
    assert not isinstance(error.value, NotFound | AuthFailed | RateLimited)


@pytest.mark.parametrize(
    "body", [b'{"schemaVersion": 2, "config": {}}', b'{"mediaType": "text/html", "manifests": []}', b"[]"]
)
def test_json_of_another_type_never_gets_a_digest(body: bytes, fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    fake.behave("manifest_head", Behaviour(status=405))
    fake.behave("manifest_get", Behaviour(headers={"Content-Type": "application/json"}, body=body))
    with pytest.raises(RegistryError, match="no manifest"):
        digest(registries, at(fake))


def test_a_tag_that_comes_between_head_and_get_does_not_mean_that_heads_are_useless(
    fake: FakeRegistry, registries: Registries
) -> None:
    pushed = fake.push(APP, "1.0")
    fake.behave("manifest_head", Behaviour(status=404), times=1)
    assert digest(registries, at(fake)) == pushed.digest
    registries.new_cycle()
    fake.clear_log()
    digest(registries, at(fake))
    assert fake.counts() == {"manifest_head": 1}


def test_a_reference_by_digest_is_verified(fake: FakeRegistry, registries: Registries) -> None:
    pushed, other = fake.push(APP, "1.0"), "sha256:" + "1" * 64
    pinned = ImageRef(fake.host, APP, None, pushed.digest)
    assert digest(registries, pinned) == pushed.digest
    registries.new_cycle()
    fake.behave("manifest_head", Behaviour(headers={"Docker-Content-Digest": other}))
    with pytest.raises(RegistryError, match="it answers for sha256:1111"):
        digest(registries, pinned)
    registries.new_cycle()
    fake.well_behaved()
    fake.behave("manifest_head", Behaviour(status=405))
    fake.behave("manifest_get", Behaviour(body=b'{"schemaVersion": 2, "config": {}}'))
    with pytest.raises(RegistryError, match="another digest"):
        digest(registries, pinned)


def test_a_sha512_digest_is_as_good(fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    sha512 = "sha512:" + "a" * 128
    fake.behave("manifest_head", Behaviour(headers={"Docker-Content-Digest": sha512}))
    assert digest(registries, at(fake)) == sha512


@pytest.mark.parametrize(
    ("code", "words"), [("MANIFEST_UNKNOWN", "1.0 is not there"), ("NAME_UNKNOWN", "no such repository")]
)
def test_what_is_missing_is_named(code: str, words: str, fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "other")
    body = json.dumps({"errors": [{"code": code, "message": "unknown"}]}).encode()
    fake.behave("manifest_get", Behaviour(status=404, body=body))
    with pytest.raises(NotFound, match=words) as error:
        digest(registries, at(fake))
    assert fake.host in str(error.value)
    assert APP in str(error.value)


@pytest.mark.parametrize("kind", ["docker_hub", "gitlab", "quay", "gcr"])
def test_a_nested_answer_is_no_list_of_a_vendor(kind: str, fake: FakeRegistry, registries: Registries) -> None:
    here = parse("team/app:1.0") if kind == "docker_hub" else at(fake)
    fake.push(APP, "1.0")
    fake.behave("*", Behaviour(status=200, body=NESTED))
    with pytest.raises(RegistryError, match="no list of tags") as error:
        registries.for_service(here, RegistrySettings(type=kind)).pushed_tags(here, lambda _: True)
    assert "login page or a proxy" in error.value.remedy


def test_a_nested_answer_is_no_manifest_and_explains_no_refusal(fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    fake.behave("manifest_head", Behaviour(headers={"Docker-Content-Digest": None}))
    fake.behave("manifest_get", Behaviour(body=NESTED), times=1)
    fake.behave("manifest_get", Behaviour(status=404, body=NESTED))
    with pytest.raises(RegistryError, match="is no manifest: it is not JSON"):
        digest(registries, at(fake))
    registries.new_cycle()
    with pytest.raises(NotFound, match="is not there"):
        digest(registries, at(fake))


def test_a_denial_is_learnt_from_one_get(fake: FakeRegistry, registries: Registries) -> None:
    denied = Behaviour(status=403, body=b'{"errors":[{"code":"DENIED","message":"requested access is denied"}]}')
    fake.behave("manifest_head", denied)
    fake.behave("manifest_get", denied)
    with pytest.raises(AuthFailed, match="DENIED requested access is denied") as error:
        digest(registries, at(fake))
    assert "docker login" in error.value.remedy
    assert fake.counts() == {"manifest_head": 1, "manifest_get": 1}


# ----------------------------------------------------------------------------------------------------------------- tags


@pytest.mark.parametrize(
    "link",
    [
        '</v2/{name}/tags/list?{query}>; rel="next"',
        '<{url}/v2/{name}/tags/list?{query}>; rel="next"',
        "</x>; rel=prev, </v2/{name}/tags/list?{query}>; type=a; rel=next",
        '</v2/without/its/prefix/tags/list?{query}>; rel="next"',
    ],
)
def test_all_pages_are_read_however_short_they_are(link: str, fake: FakeRegistry, registries: Registries) -> None:
    fake.page_size, fake.next_link = 2, link
    for number in range(5):
        fake.push(APP, f"1.{number}")
    here = at(fake)
    registry = registries.for_service(here, ANYONE)
    assert names(registry.tags(here)) == [f"1.{number}" for number in range(5)]
    assert names(registry.tags(here)) == [f"1.{number}" for number in range(5)]
    assert fake.counts() == {"tags": 3}
    assert "n=1000" in fake.log[0].path


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ('<http://127.0.0.2:1/v2/team/app/tags/list?last=x>; rel="next"', "incomplete"),
        ('<https://thief.example/tags/list?last=x>; rel="next"', "incomplete"),
        ('</v2/{name}/tags/list?n=1000>; rel="next"', "do not come to an end"),
    ],
)
def test_a_list_that_leads_astray_is_no_list(link: str, words: str, fake: FakeRegistry, registries: Registries) -> None:
    fake.page_size, fake.next_link = 1, link
    fake.push(APP, "1.0")
    fake.push(APP, "1.1")
    with pytest.raises(RegistryError, match=words):
        registries.for_service(at(fake), ANYONE).tags(at(fake))


def test_a_list_with_a_broken_page_is_no_list(fake: FakeRegistry, registries: Registries) -> None:
    fake.page_size = 1
    fake.push(APP, "1.0")
    fake.push(APP, "1.1")
    fake.behave("tags", Behaviour(status=500), path="last=")
    with pytest.raises(RegistryError, match="incomplete: page 2") as error:
        registries.for_service(at(fake), ANYONE).tags(at(fake))
    assert error.value.remedy


def test_what_is_no_tag_is_dropped(fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    generated = "sha256-" + "a" * 64
    fake.extra_tags = [
        None,
        "sha256:" + "a" * 64,
        generated,
        f"{generated}.sig",
        f"{generated}.att",
        7,
        "-x",
        "1.0",
        "sha256-a",
    ]
    assert names(registries.for_service(at(fake), ANYONE).tags(at(fake))) == ["1.0", "sha256-a"]


def test_an_empty_repository_has_no_tags(fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    fake.extra_tags = None
    assert registries.for_service(at(fake), ANYONE).tags(at(fake)) == ()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"tags": "a"}', b"{}", b"", NESTED, b'{"tags": NaN}'])
def test_what_is_no_list_of_tags_is_an_error(body: bytes, fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    fake.behave("tags", Behaviour(body=body))
    with pytest.raises(RegistryError, match="no list of tags") as error:
        registries.for_service(at(fake), ANYONE).tags(at(fake))
    assert "login page or a proxy" in error.value.remedy


# --------------------------------------------------------------------------------------------------------- build times


def created(registries: Registries, fake: FakeRegistry, platform: str = "linux/amd64") -> datetime | None:
    return registries.for_service(at(fake), ANYONE).created(at(fake), platform)


def test_a_build_time_is_that_of_the_platforms_own_image_and_kept_for_good(
    fake: FakeRegistry, registries: Registries
) -> None:
    platforms = ("linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64")
    pushed = fake.push(APP, "1.0", Build(platforms=platforms, attestation=True))
    assert created(registries, fake, "linux/arm64/v8") == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert created(registries, fake, "linux/arm") == datetime(2024, 5, 1, 10, tzinfo=UTC)
    asked = [entry.path for entry in fake.log if entry.kind == "blob"]
    assert [path.rpartition("/")[2] for path in asked] == [
        pushed.configs["linux/arm64"],
        pushed.configs["linux/arm/v7"],
    ]
    registries.new_cycle()
    fake.clear_log()
    created(registries, fake, "linux/arm64/v8")
    assert fake.counts() == {"manifest_head": 1}


@pytest.mark.parametrize(
    "text",
    [
        "1970-01-01T00:00:00Z",
        "1980-01-01T00:00:01Z",
        "0001-01-01T00:00:00Z",
        "2025-06-03T00:00:00Z",
        "yesterday",
        "",
        None,
    ],
)
def test_a_build_time_that_cannot_be_is_unknown(text: str | None, fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0", Build(created=text))
    assert created(registries, fake) is None


def test_a_build_time_of_tomorrow_is_believed_once_its_day_has_come(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.push(APP, "1.0", Build(created="2025-06-03T00:00:00Z"))
    assert created(registries, fake) is None
    clock.advance(86400)
    assert created(registries, fake) == datetime(2025, 6, 3, tzinfo=UTC)


def test_what_is_no_image_has_no_build_time(fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0", Build(artifact=True))
    assert created(registries, fake) is None
    assert created(registries, fake, "windows/amd64") is None


def test_a_configuration_that_was_tampered_with_is_refused(fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    fake.behave("blob", Behaviour(body=b'{"created": "2024-01-01T00:00:00Z"}'))
    with pytest.raises(RegistryError, match="another digest"):
        created(registries, fake)


def test_a_redirect_to_a_store_carries_no_authorization(fake: FakeRegistry, registries: Registries) -> None:
    pushed = fake.push(APP, "1.0")
    fake.auth = Basic("jane", "hunter2")
    with FakeRegistry() as store:
        store.push(APP, "1.0")
        target = f"{store.url}/v2/{APP}/blobs/{pushed.configs['linux/amd64']}"
        fake.behave("blob", Behaviour(status=307, headers={"Location": target}))
        registry = registries.for_service(at(fake), SOMEONE)
        assert registry.created(at(fake), "linux/amd64") is not None
        assert "authorization" in [e for e in fake.log if e.kind == "blob"][-1].headers
        assert "authorization" not in store.log[-1].headers


def test_a_redirected_manifest_is_asked_for_anonymously_where_it_leads(
    fake: FakeRegistry, registries: Registries
) -> None:
    with FakeRegistry() as mirror:
        pushed = mirror.push(APP, "1.0")
        mirror.auth = Bearer()
        fake.behave(
            "manifest_head", Behaviour(status=307, headers={"Location": f"{mirror.url}/v2/{APP}/manifests/1.0"})
        )
        assert digest(registries, at(fake), SOMEONE) == pushed.digest
        assert mirror.counts() == {"manifest_head": 2, "token": 1}
        assert not [e for e in mirror.log if "Basic" in e.headers.get("authorization", "") or "account" in e.path]


@pytest.mark.parametrize(
    ("target", "words"), [("{url}/v2/team/app/manifests/1.0", "more than 10"), ("ftp://x/", "not follow")]
)
def test_redirects_come_to_an_end(target: str, words: str, fake: FakeRegistry, registries: Registries) -> None:
    fake.behave("manifest_head", Behaviour(status=302, headers={"Location": target.format(url=fake.url)}))
    with pytest.raises(RegistryError, match=words):
        digest(registries, at(fake))
    assert fake.counts()["manifest_head"] <= 11


# ------------------------------------------------------------------------------------------------------ authentication


def config(folder: Path, fake: FakeRegistry, entry: dict[str, str]) -> None:
    (folder / "config.json").write_text(json.dumps({"auths": {fake.host: entry}}))


def test_a_password_is_sent_once_it_is_asked_for_and_then_at_once(fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    fake.auth = Basic("jane", "hunter2")
    digest(registries, at(fake), SOMEONE)
    registries.for_service(at(fake), SOMEONE).tags(at(fake))
    assert ["authorization" in entry.headers for entry in fake.log] == [False, True, True]


@pytest.mark.parametrize(
    "challenge",
    [
        None,
        'Bearer realm="/token",service="fake"',
        'Basic realm="x", bearer REALM={realm}, service=fake, scope="*"',
        'Negotiate abc=, Bearer realm="{realm}?keep=me"',
    ],
)
@pytest.mark.parametrize("field", ["token", "access_token"])
def test_a_token_is_asked_for_as_the_challenge_says(
    challenge: str | None, field: str, fake: FakeRegistry, registries: Registries
) -> None:
    pushed = fake.push(APP, "1.0")
    fake.auth = Bearer("jane", "hunter2", challenge=challenge, field=field)
    assert digest(registries, at(fake), SOMEONE) == pushed.digest
    asked = next(entry for entry in fake.log if entry.kind == "token")
    assert "scope=repository%3Ateam%2Fapp%3Apull" in asked.path
    assert "account=jane" in asked.path
    assert "hunter2" not in asked.path
    assert ("keep=me" in asked.path) is ("keep=me" in (challenge or ""))
    assert ("service=fake" in asked.path) is ("service" in (challenge or "service"))


def test_an_identity_token_goes_the_oauth2_way(fake: FakeRegistry, registries: Registries, tmp_path: Path) -> None:
    pushed = fake.push(APP, "1.0")
    config(tmp_path, fake, {"identitytoken": "refresh-me"})
    fake.auth = Bearer("x", "y", refresh_token="refresh-me", field="access_token")
    assert digest(registries, at(fake)) == pushed.digest
    asked = next(entry for entry in fake.log if entry.kind == "token")
    assert asked.method == "POST"
    assert b"grant_type=refresh_token" in asked.body
    assert "refresh-me" not in asked.path


def test_where_there_is_no_oauth2_the_identity_token_goes_the_old_way(
    fake: FakeRegistry, registries: Registries, tmp_path: Path
) -> None:
    pushed = fake.push(APP, "1.0")
    config(tmp_path, fake, {"identitytoken": "refresh-me"})
    fake.auth = Bearer("<token>", "refresh-me", oauth=False)
    assert digest(registries, at(fake)) == pushed.digest
    assert [e.method for e in fake.log if e.kind == "token"] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("expires_in", "extra", "lives", "is_over"),
    [
        (300, {}, 290, 300),
        (None, {}, 50, 60),
        (1, {}, 50, 60),
        (300, {"issued_at": "2025-06-01T11:58:00Z"}, 170, 180),
        (300, {"issued_at": "2025-06-01T15:00:00Z"}, 290, 300),
        (300, {"issued_at": "2020-01-01T00:00:00Z"}, 290, 300),
        (300, {"issued_at": "nonsense"}, 290, 300),
    ],
)
def test_a_token_is_used_while_it_lives_and_renewed_without_a_refusal(
    expires_in: int | None,
    extra: dict[str, str],
    lives: float,
    is_over: float,
    fake: FakeRegistry,
    registries: Registries,
    clock: SetClock,
) -> None:
    fake.push(APP, "1.0")
    fake.auth = Bearer("jane", "hunter2", expires_in=expires_in, extra=extra)
    digest(registries, at(fake), SOMEONE)
    fake.clear_log()
    clock.advance(lives)
    registries.new_cycle()
    digest(registries, at(fake), SOMEONE)
    assert fake.counts() == {"manifest_head": 1}
    clock.advance(is_over - lives)
    registries.new_cycle()
    digest(registries, at(fake), SOMEONE)
    assert fake.counts() == {"manifest_head": 2, "token": 1}


def test_a_token_that_was_revoked_is_replaced_once(fake: FakeRegistry, registries: Registries) -> None:
    pushed = fake.push(APP, "1.0")
    fake.auth = Bearer("jane", "hunter2")
    digest(registries, at(fake), SOMEONE)
    fake.revoke_tokens()
    registries.new_cycle()
    fake.clear_log()
    assert digest(registries, at(fake), SOMEONE) == pushed.digest
    assert fake.counts() == {"manifest_head": 2, "token": 1}


def test_a_fresh_token_that_is_refused_is_the_end(fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    fake.auth = Bearer()
    fake.behave(
        "manifest_head", Behaviour(status=401, headers={"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'})
    )
    with pytest.raises(AuthFailed, match="unauthorised, or it does not exist"):
        digest(registries, at(fake))
    assert fake.counts() == {"manifest_head": 2, "token": 1}


def test_a_scope_that_does_not_suffice_is_widened(fake: FakeRegistry, registries: Registries) -> None:
    pushed = fake.push(APP, "1.0")
    fake.auth = Bearer()
    digest(registries, at(fake))
    registries.new_cycle()
    wide = f'Bearer realm="{fake.url}/token",scope="wide",error="insufficient_scope"'
    fake.behave("manifest_head", Behaviour(status=403, headers={"WWW-Authenticate": wide}), times=1)
    assert digest(registries, at(fake)) == pushed.digest
    assert "scope=wide&scope=repository" in [e for e in fake.log if e.kind == "token"][-1].path


@pytest.mark.parametrize("auth", [Basic("jane", "new"), Bearer("jane", "new")])
def test_a_refused_login_is_not_tried_again_for_ten_minutes(
    auth: Basic | Bearer, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.push(APP, "1.0")
    fake.push("team/other", "1.0")
    fake.auth = auth
    with pytest.raises(AuthFailed, match="refuses the login as jane"):
        digest(registries, at(fake), SOMEONE)
    fake.clear_log()
    for _ in range(3):
        registries.new_cycle()
        with pytest.raises(AuthFailed, match="not tried again for 10 minutes"):
            digest(registries, at(fake, "team/other:1.0"), SOMEONE)
    assert fake.counts() == {}
    digest(registries, at(fake), RegistrySettings(username="jane", password=Secret("new")))
    clock.advance(601)
    registries.new_cycle()
    fake.clear_log()
    with pytest.raises(AuthFailed):
        digest(registries, at(fake), SOMEONE)
    assert [e.kind for e in fake.log if "Basic" in e.headers.get("authorization", "")] != []


@pytest.mark.parametrize("auth", [Basic("jane", "hunter2"), Bearer("jane", "hunter2")])
def test_a_private_repository_without_a_login_says_what_to_do(
    auth: Basic | Bearer, fake: FakeRegistry, registries: Registries, tmp_path: Path
) -> None:
    fake.auth = auth
    (tmp_path / "config.json").write_text('{"credsStore": "not-here"}')
    with pytest.raises(AuthFailed, match="docker-credential-not-here of config.json is not installed") as error:
        digest(registries, at(fake))
    assert f"docker login {fake.host}" in error.value.remedy
    assert "registry_config.username" in error.value.remedy


@pytest.mark.parametrize(
    "realm", ["http://169.254.169.254/latest/meta-data", "https://thief.example/token", "gopher://x/"]
)
def test_credentials_go_to_no_realm_but_the_registrys_own(
    realm: str, fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer("jane", "hunter2", realm=realm)
    with pytest.raises(AuthFailed, match="gets nothing from us") as error:
        digest(registries, at(fake), SOMEONE)
    assert "token_realm_hosts" in error.value.remedy
    assert fake.counts() == {"manifest_head": 1}


@pytest.mark.parametrize("challenge", ["Negotiate", "Digest realm=x", ""])
def test_a_login_of_an_unknown_kind_is_an_error_that_names_it(
    challenge: str, fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer(challenge=challenge)
    with pytest.raises(AuthFailed, match=challenge.partition(" ")[0].lower() or "none"):
        digest(registries, at(fake), SOMEONE)


def test_a_broken_challenge_is_an_error(fake: FakeRegistry, registries: Registries) -> None:
    fake.auth = Bearer(challenge='Bearer realm="http')
    with pytest.raises(RegistryError, match="challenge cannot be read"):
        digest(registries, at(fake), SOMEONE)


@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", b'{"token": ""}', b'{"token": "a\\r\\nX: y"}', b"[]", b"x" * 100_000, NESTED]
)
def test_a_token_server_that_talks_nonsense_is_an_error(
    body: bytes, fake: FakeRegistry, registries: Registries
) -> None:
    fake.auth = Bearer()
    fake.behave("token", Behaviour(body=body))
    with pytest.raises(RegistryError, match="without a token|longer than"):
        digest(registries, at(fake))


def test_a_netrc_does_not_speak_for_us(
    fake: FakeRegistry, registries: Registries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login thief password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fake.push(APP, "1.0")
    fake.auth = Basic("jane", "hunter2")
    digest(registries, at(fake), SOMEONE)


def test_no_secret_shows_anywhere(
    fake: FakeRegistry, registries: Registries, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    basic = base64.b64encode(b"jane:hunter2").decode()
    echo = f"you sent Basic {basic} and jane:hunter2\x1b[31m".encode()
    fake.auth = Basic("jane", "hunter2")
    fake.behave("manifest_head", Behaviour(status=403, body=echo), path="1.0")
    fake.behave("manifest_get", Behaviour(status=403, body=echo))
    with pytest.raises(AuthFailed) as error:
        digest(registries, at(fake), SOMEONE)
    shown = f"{error.value!r} {error.value} {error.value.remedy} {caplog.text} {vars(registries)}"
    assert "you sent" in shown
    assert "hunter2" not in shown
    assert basic not in shown
    assert "\x1b" not in shown


# -------------------------------------------------------------------------------------------------- patience and rests


@pytest.mark.parametrize(
    ("behaviour", "seconds"),
    [
        (Behaviour(status=429, headers={"Retry-After": "90"}), 90),
        (Behaviour(status=503, headers={"Retry-After": "90"}), 90),
        (Behaviour(status=429, headers={"Retry-After": format_datetime(datetime(2025, 6, 1, 12, 5, tzinfo=UTC))}), 300),
        (Behaviour(status=429, headers={"Retry-After": format_datetime(datetime(2020, 1, 1, tzinfo=UTC))}), 1),
        (Behaviour(status=429, headers={"Retry-After": "99999999"}), 6 * 3600),
        (Behaviour(status=429, headers={"Retry-After": "soon"}), 60),
        (Behaviour(status=429), 60),
    ],
)
def test_a_host_that_asks_for_a_rest_has_it(
    behaviour: Behaviour, seconds: int, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.push("team/other", "1.0")
    fake.behave("manifest_head", behaviour, times=1)
    until = clock.now() + timedelta(seconds=seconds)
    with pytest.raises(RateLimited) as error:
        digest(registries, at(fake))
    assert error.value.retry_at == until
    assert dict(registries.rests()) == {fake.host: until}
    registries.new_cycle()
    with pytest.raises(RateLimited) as again:
        digest(registries, at(fake, "team/other:1.0"))
    assert again.value.retry_at == until
    assert fake.counts() == {"manifest_head": 1}
    clock.advance(seconds)
    registries.new_cycle()
    digest(registries, at(fake, "team/other:1.0"))
    assert registries.rests() == {}


def test_ghcr_says_how_long_in_the_body(fake: FakeRegistry, registries: Registries, clock: SetClock) -> None:
    text = "toomanyrequests: retry-after: {}, allowed: 44000/minute"
    for written, seconds in (("331.163µs", 1), ("90s", 90), ("2m", 120)):
        fake.behave("tags", Behaviour(status=429, body=text.format(written).encode()), times=1)
        with pytest.raises(RateLimited) as error:
            registries.for_service(at(fake), ANYONE).tags(at(fake))
        assert error.value.retry_at == clock.now() + timedelta(seconds=seconds)
        clock.advance(seconds)
        registries.new_cycle()


def test_rests_without_a_given_length_double_up_to_an_hour(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.push(APP, "1.0")
    fake.behave("manifest_head", Behaviour(status=429), times=8)
    rests = []
    for _ in range(8):
        registries.new_cycle()
        with pytest.raises(RateLimited) as error:
            digest(registries, at(fake))
        rests.append((error.value.retry_at - clock.now()).total_seconds())
        clock.advance(rests[-1])
    assert rests == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    registries.new_cycle()
    digest(registries, at(fake))
    fake.behave("manifest_head", Behaviour(status=429), times=1)
    registries.new_cycle()
    with pytest.raises(RateLimited) as error:
        digest(registries, at(fake))
    assert error.value.retry_at == clock.now() + timedelta(seconds=60)


def test_refusals_that_come_together_count_as_one(fake: FakeRegistry, registries: Registries, clock: SetClock) -> None:
    gate = threading.Event()
    fake.behave("manifest_head", Behaviour(status=429, hang=gate))
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(digest, registries, at(fake, f"team/app{number}:1")) for number in range(8)]
        lab.until(lambda: fake.most_at_once >= 8, what="eight at a time")
        gate.set()
        assert all(isinstance(answer.exception(), RateLimited) for answer in answers)
    assert registries.rests() == {fake.host: clock.now() + timedelta(seconds=60)}
    assert fake.counts() == {"manifest_head": 8}


def test_a_rest_survives_a_restart(fake: FakeRegistry, clock: SetClock, tmp_path: Path) -> None:
    until = clock.now() + timedelta(minutes=5)
    again = Registries(hub_credential=None, docker_config_dir=tmp_path, clock=clock, rests={fake.host: until})
    with pytest.raises(RateLimited):
        digest(again, at(fake))
    assert fake.counts() == {}
    far = {fake.host: clock.now() + timedelta(days=400)}
    from_odd_clock = Registries(hub_credential=None, docker_config_dir=tmp_path, clock=clock, rests=far)
    assert from_odd_clock.rests()[fake.host] == clock.now() + timedelta(hours=6)


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(status=500),
        Behaviour(status=502),
        Behaviour(status=503),
        Behaviour(status=504),
        Behaviour(disconnect=True),
    ],
)
def test_a_hiccup_is_tried_again(
    behaviour: Behaviour, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    pushed = fake.push(APP, "1.0")
    fake.behave("manifest_head", behaviour, times=2)
    assert digest(registries, at(fake)) == pushed.digest
    assert fake.counts() == {"manifest_head": 3}
    assert clock.waits == [0.2, 0.4]


def test_a_truncated_body_is_tried_again_and_never_hashed(fake: FakeRegistry, registries: Registries) -> None:
    pushed = fake.push(APP, "1.0")
    fake.behave("manifest_head", Behaviour(status=405))
    fake.behave("manifest_get", Behaviour(truncate_to=20), times=2)
    assert digest(registries, at(fake)) == pushed.digest
    fake.push(APP, "1.1", Build(created=None))
    fake.behave("manifest_get", Behaviour(truncate_to=20))
    with pytest.raises(RegistryError, match="broke off"):
        digest(registries, at(fake, f"{APP}:1.1"))


def test_a_host_that_stays_broken_is_left_alone_for_the_rest_of_the_cycle(
    fake: FakeRegistry, registries: Registries
) -> None:
    fake.behave("*", Behaviour(status=502))
    for number in range(6):
        with pytest.raises(RegistryError, match="status 502"):
            digest(registries, at(fake, f"team/app{number}:1"))
    assert fake.counts() == {"manifest_head": 9}
    fake.well_behaved()
    pushed = fake.push(APP, "1.0")
    registries.new_cycle()
    assert digest(registries, at(fake)) == pushed.digest


def test_a_host_that_does_not_answer_costs_one_question_a_cycle_until_it_does(
    fake: FakeRegistry, clock: SetClock, tmp_path: Path
) -> None:
    """Also in a process that starts anew: eight threads of services must not wait eight times for nothing."""
    pushed = fake.push(APP, "1.0")
    outages = {fake.host: clock.now() - timedelta(hours=1)}
    registries = Registries(hub_credential=None, docker_config_dir=tmp_path, clock=clock, outages=outages)
    fake.behave("*", Behaviour(status=502))
    for _ in range(2):
        fake.clear_log()
        registries.new_cycle()
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(digest, registries, at(fake, f"team/app{number}:1")) for number in range(8)]
            assert all("status 502" in str(one.exception()) for one in asked)
        assert fake.counts() == {"manifest_head": 3}
        assert registries.outages() == outages
    fake.well_behaved()
    registries.new_cycle()
    assert digest(registries, at(fake)) == pushed.digest
    assert registries.outages() == {}


def test_a_host_that_is_silent_is_not_asked_again_in_this_cycle(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    with FakeRegistry() as gone:
        nowhere = gone.host
    for number in range(3):
        with pytest.raises(RegistryError, match="refused") as error:
            digest(registries, at_host(nowhere, f"team/app{number}:1"))
        assert ("not asked again" in str(error.value)) == (number > 0)
    assert clock.waits == [0.2, 0.4]
    assert registries.outages() == {nowhere: clock.now()}
    registries.new_cycle()
    with pytest.raises(RegistryError, match="refused"):
        digest(registries, at_host(nowhere, "team/app0:1"))
    assert clock.waits == [0.2, 0.4], "one that was out is tried once"


def test_a_stop_ends_the_patience(fake: FakeRegistry, registries: Registries, clock: SetClock) -> None:
    clock.stopped = True
    fake.behave("*", Behaviour(status=502))
    with pytest.raises(RegistryError):
        digest(registries, at(fake))
    assert fake.counts() == {"manifest_head": 1}


def test_a_host_that_is_not_there_is_named_with_a_remedy(registries: Registries) -> None:
    with FakeRegistry() as gone:
        nowhere = at(gone)
    with pytest.raises(RegistryError, match=r"team/app: manifest 1\.0: the connection was refused") as error:
        digest(registries, nowhere)
    assert nowhere.domain in error.value.remedy


def test_a_kept_connection_that_the_server_closed_costs_no_pause(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    pushed = fake.push(APP, "1.0")
    digest(registries, at(fake))
    fake.behave("manifest_head", Behaviour(disconnect=True), times=1)
    registries.new_cycle()
    assert digest(registries, at(fake)) == pushed.digest
    assert clock.waits == []


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, and its key, in two files."""
    (folder / "ca.crt").parent.mkdir(parents=True, exist_ok=True)
    key, subject = (
        ("-keyout", str(folder / "server.pem")),
        ("-subj", "/CN=fake", "-addext", "subjectAltName=IP:127.0.0.1"),
    )
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-out", str(folder / "ca.crt")]
    subprocess.run([*command, *key, *subject], check=True, capture_output=True)
    return folder / "ca.crt"


def test_tls_is_verified_against_the_system_the_environment_and_dockers_own_folder(
    clock: SetClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    authority = certificate(tmp_path / "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, authority.with_name("server.pem"))
    with FakeRegistry(context) as fake:
        ping = Request(f"{fake.url}/v2/", "ping", "a question")

        def send(certificates: Path) -> int:
            return Transport(clock, lambda *_: None, {}, Limits(certificates=certificates)).send(ping).status

        with pytest.raises(RegistryError, match="certificate is not trusted") as error:
            send(tmp_path)
        assert "/etc/docker/certs.d" in error.value.remedy
        assert clock.waits == []
        shutil.copytree(tmp_path / "server", tmp_path / "certs" / fake.host)
        assert send(tmp_path / "certs") == 200
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(name, str(authority))
            assert send(tmp_path) == 200
            monkeypatch.delenv(name)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
        with pytest.raises(RegistryError, match="certificates to verify it with cannot be read"):
            send(tmp_path)


BUSY = Limits(read_seconds=600, whole_seconds=0.4)  # whoever sends all the time is cut off by the whole alone


@pytest.mark.parametrize(
    ("behaviour", "limits", "words"),
    [
        (Behaviour(dribble_seconds=0.05, body=b"x" * 1000), BUSY, "in time"),
        (Behaviour(dribble_seconds=0.05, body=b"x" * 1000, no_length=True), BUSY, "in time"),
        (Behaviour(hang=threading.Event()), Limits(read_seconds=0.2, whole_seconds=600), "in time"),
        (Behaviour(body=b"x" * (9 << 20)), Limits(read_seconds=600, whole_seconds=600), "longer than 8 MiB"),
    ],
)
def test_an_answer_has_an_end_in_time_and_in_size(
    behaviour: Behaviour, limits: Limits, words: str, fake: FakeRegistry, clock: SetClock
) -> None:
    clock.stopped = True  # one try
    heard: list[tuple[str, str, str]] = []
    transport = Transport(clock, lambda *what: heard.append(what), {}, limits)
    fake.behave("ping", behaviour)
    with pytest.raises(RegistryError, match=words):
        transport.send(Request(f"{fake.url}/v2/", "ping", "a question"))
    assert heard == [(fake.host, "ping", "unreachable")]
    if behaviour.hang:
        behaviour.hang.set()


@pytest.mark.parametrize("is_out", [False, True], ids=["so far it answered", "it was out"])
def test_one_question_that_takes_too_long_does_not_speak_for_its_host(
    is_out: bool, fake: FakeRegistry, clock: SetClock
) -> None:
    """A repository with so many tags that their list comes too late must not make the others of its host unknown."""
    fake.push(APP, "1.0")
    fake.behave("tags", Behaviour(hang=threading.Event()))
    limits = Limits(read_seconds=0.2, whole_seconds=600)
    outages = {fake.host: clock.now()} if is_out else {}
    transport = Transport(clock, lambda *_: None, {}, limits, outages)
    for _ in range(2):
        transport.new_cycle()
        with pytest.raises(RegistryError, match="in time"):
            transport.send(Request(f"{fake.url}/v2/{APP}/tags/list", "tags", "a long list"))
        assert transport.send(Request(f"{fake.url}/v2/", "ping", "a question")).status == 200
        assert transport.outages() == {}


def test_a_host_that_takes_no_question_in_time_is_left_alone_after_the_third(
    fake: FakeRegistry, clock: SetClock
) -> None:
    fake.behave("*", Behaviour(hang=threading.Event()))
    transport = Transport(clock, lambda *_: None, {}, Limits(read_seconds=0.1, whole_seconds=600))
    for tries in ({"ping": 9}, {"ping": 3}):  # one that was out is tried once a question
        fake.clear_log()
        transport.new_cycle()
        for _ in range(5):
            with pytest.raises(RegistryError, match="in time"):
                transport.send(Request(f"{fake.url}/v2/", "ping", "a question"))
        assert fake.counts() == tries
    assert [*transport.outages()] == [fake.host]


def test_a_store_that_is_away_does_not_speak_for_the_registry_that_leads_to_it(
    fake: FakeRegistry, clock: SetClock
) -> None:
    with FakeRegistry() as gone:
        store = gone.url
    fake.behave("blob", Behaviour(status=307, headers={"Location": f"{store}/blob"}))
    transport = Transport(clock, lambda *_: None, {})
    with pytest.raises(RegistryError, match="refused"):
        transport.send(Request(f"{fake.url}/v2/{APP}/blobs/sha256:{'0' * 64}", "blob", "a blob"))
    assert transport.send(Request(f"{fake.url}/v2/", "ping", "a question")).status == 200


def test_a_host_that_nobody_asks_any_more_is_not_said_to_be_away(fake: FakeRegistry, clock: SetClock) -> None:
    fake.behave("ping", Behaviour(status=502))
    transport = Transport(clock, lambda *_: None, {}, outages={fake.host: clock.now(), "left.example": clock.now()})
    with pytest.raises(RegistryError):
        transport.send(Request(f"{fake.url}/v2/", "ping", "a question"))
    assert [*transport.outages()] == [fake.host]
    transport.new_cycle()
    assert transport.outages() == {}


def test_a_host_that_asks_for_a_rest_is_not_away(fake: FakeRegistry, clock: SetClock) -> None:
    fake.behave("ping", Behaviour(status=429))
    transport = Transport(clock, lambda *_: None, {}, outages={fake.host: clock.now()})
    with pytest.raises(RateLimited):
        transport.send(Request(f"{fake.url}/v2/", "ping", "a question"))
    assert transport.outages() == {}


def test_every_exchange_is_told(fake: FakeRegistry, clock: SetClock, tmp_path: Path) -> None:
    heard: list[tuple[str, str, str]] = []
    tell: Callable[[str, str, str], None] = lambda *what: heard.append(what)  # noqa: E731
    registries = Registries(hub_credential=None, docker_config_dir=tmp_path, clock=clock, on_request=tell)
    fake.push(APP, "1.0")
    fake.auth = Bearer()
    digest(registries, at(fake))
    assert [what[1:] for what in heard] == [("manifest_head", "unauthorized"), ("token", "ok"), ("manifest_head", "ok")]
    assert {what[0] for what in heard} == {fake.host}


def test_a_proxy_is_used_for_others_but_not_for_this_machine(
    fake: FakeRegistry, registries: Registries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = fake.push(APP, "1.0")
    with FakeRegistry() as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:pa%3Ass@{proxy.host}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert digest(registries, at(fake)) == pushed.digest
        assert proxy.log == []
        plain = RegistrySettings(insecure_http=True)
        with pytest.raises(NotFound):
            digest(registries, parse("registry.example:5000/team/gone:1.0"), plain)
        assert proxy.log[0].path == "http://registry.example:5000/v2/team/gone/manifests/1.0"
        assert proxy.log[0].headers["proxy-authorization"] == "Basic " + base64.b64encode(b"me:pa:ss").decode()
        monkeypatch.setenv("no_proxy", "10.0.0.0/8,.example")
        proxy.clear_log()
        with pytest.raises(RegistryError, match="cannot be resolved"):
            digest(make(fake, SetClock(), tmp_path), parse("registry.example:5000/team/gone:1.0"), plain)
        assert proxy.log == []


# ----------------------------------------------------------------------------------------------------------- who we are


def test_a_check_says_who_we_are(fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    assert registries.for_service(at(fake), ANYONE).check(at(fake)).endswith("team/app reached, anonymous")
    said = registries.for_service(at(fake), SOMEONE).check(at(fake))
    assert said.endswith("reached, anonymous; the registry asked for no login")
    fake.auth = Bearer("jane", "hunter2")
    registries.new_cycle()
    assert registries.for_service(at(fake), SOMEONE).check(at(fake)).endswith("team/app reached as jane")


# ---------------------------------------------------------------------------------------------------------- Docker Hub


HUB_APP = parse("app:1.0")
JANE = Credential("jane", Secret("hunter2"))


def push_days(fake: FakeRegistry, count: int, repository: str = "library/app") -> None:
    for day in range(1, count + 1):
        fake.push(repository, f"1.{day}", Build(created=None), f"2025-05-{day:02}T00:00:00.5Z")


def test_hub_tells_when_tags_were_pushed_newest_first(fake: FakeRegistry, registries: Registries) -> None:
    push_days(fake, 3)
    fake.push("library/app", "unknown", pushed_at=None)
    found = registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: name != "1.2")
    assert names(found) == ["1.3", "1.1", "unknown"]
    assert found is not None
    assert found[0].pushed_at == datetime(2025, 5, 3, 0, 0, 0, 500000, tzinfo=UTC)
    assert (found[0].digest or "").startswith("sha256:")
    assert found[2].pushed_at is None
    assert "page_size=100" in fake.log[0].path
    assert fake.log[0].path.startswith("/v2/namespaces/library/repositories/app/tags?")


@pytest.mark.parametrize("shuffled", [False, True])
def test_hubs_order_is_checked_and_not_believed(shuffled: bool, fake: FakeRegistry, registries: Registries) -> None:
    push_days(fake, 10)
    fake.page_size, fake.hub_shuffled = 2, shuffled
    own = parse("app:1.7")
    found = registries.for_service(own, ANYONE).pushed_tags(own, lambda name: True)
    assert names(found)[:4] == ["1.10", "1.9", "1.8", "1.7"]
    assert fake.counts() == {"hub_tags": 5 if shuffled else 2}


def test_all_pages_are_read_where_the_own_tag_is_not_among_the_wanted(
    fake: FakeRegistry, registries: Registries
) -> None:
    push_days(fake, 10)
    fake.page_size = 2
    own = parse("app:1.9")
    found = registries.for_service(own, ANYONE).pushed_tags(own, lambda name: name in ("1.1", "1.2"))
    assert names(found) == ["1.2", "1.1"]


def test_a_reference_without_a_tag_means_the_whole_list(fake: FakeRegistry, registries: Registries) -> None:
    """What a service that may go back has to ask for: its own tag is no end."""
    push_days(fake, 10)
    fake.page_size = 2
    own, whole = parse("app:1.9"), parse("app")
    assert names(registries.for_service(own, ANYONE).pushed_tags(own, lambda name: True)) == ["1.10", "1.9"]
    found = registries.for_service(whole, ANYONE).pushed_tags(whole, lambda name: True)
    assert names(found) == [f"1.{day}" for day in range(10, 0, -1)]
    assert fake.counts() == {"hub_tags": 5}


def test_hub_is_asked_for_a_page_once_in_a_cycle(fake: FakeRegistry, registries: Registries) -> None:
    push_days(fake, 3)
    for settings in (ANYONE, RegistrySettings(type="docker_hub")):
        registries.for_service(HUB_APP, settings).pushed_tags(HUB_APP, lambda name: True)
    assert fake.counts() == {"hub_tags": 1}


def test_a_private_repository_on_hub_needs_one_login(fake: FakeRegistry, clock: SetClock, tmp_path: Path) -> None:
    fake.hub_login, fake.hub_private, fake.page_size = ("jane", "hunter2"), {"team/app"}, 1
    push_days(fake, 2, "team/app")
    registries, own = make(fake, clock, tmp_path, JANE), parse("team/app:none")
    assert names(registries.for_service(own, ANYONE).pushed_tags(own, lambda name: True)) == ["1.2", "1.1"]
    assert fake.counts() == {"hub_tags": 3, "hub_token": 1}
    assert "hunter2" not in "".join(entry.path for entry in fake.log)
    registries.new_cycle()
    fake.clear_log()
    registries.for_service(own, ANYONE).pushed_tags(own, lambda name: True)
    assert fake.counts() == {"hub_tags": 2, "hub_token": 1}


def test_a_login_on_hub_lasts_until_its_token_ends(fake: FakeRegistry, clock: SetClock, tmp_path: Path) -> None:
    fake.hub_login, fake.hub_private = ("jane", "hunter2"), {"team/app"}
    fake.hub_token_ends = clock.now().timestamp() + 600
    push_days(fake, 1, "team/app")
    registries, own = make(fake, clock, tmp_path, JANE), parse("team/app:none")

    def logins() -> int:
        registries.new_cycle()
        fake.clear_log()
        assert names(registries.for_service(own, ANYONE).pushed_tags(own, lambda name: True)) == ["1.1"]
        return fake.counts().get("hub_token", 0)

    assert [logins(), logins()] == [1, 0]
    clock.advance(500)
    assert logins() == 0
    clock.advance(60)
    fake.hub_token_ends = clock.now().timestamp() + 600
    assert [logins(), logins()] == [1, 0]
    fake.revoke_tokens()
    assert [logins(), logins()] == [1, 0]


def test_a_public_repository_on_hub_sees_no_credentials(fake: FakeRegistry, clock: SetClock, tmp_path: Path) -> None:
    push_days(fake, 1)
    registries = make(fake, clock, tmp_path, JANE)
    registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True)
    assert "authorization" not in fake.log[0].headers
    assert fake.counts() == {"hub_tags": 1}


def test_a_login_that_hub_refuses_is_not_repeated(fake: FakeRegistry, clock: SetClock, tmp_path: Path) -> None:
    fake.hub_private = {"library/app"}
    push_days(fake, 1)
    registries = make(fake, clock, tmp_path, JANE)
    for words in ("refuses the login as jane", "not tried again"):
        with pytest.raises(AuthFailed, match=words):
            registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True)
        registries.new_cycle()
    assert fake.counts()["hub_token"] == 1


def test_a_repository_that_hub_does_not_know_is_not_found(fake: FakeRegistry, registries: Registries) -> None:
    with pytest.raises(NotFound):
        registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True)


@pytest.mark.parametrize(
    ("following", "words"),
    [
        ("https://thief.example/{path}?{query}", "incomplete: it goes on at thief.example"),
        ("{url}{path}?page_size=100&ordering=last_updated", "do not come to an end"),
    ],
)
def test_hubs_list_may_not_lead_astray(following: str, words: str, fake: FakeRegistry, registries: Registries) -> None:
    push_days(fake, 3)
    fake.page_size, fake.hub_next = 1, following
    with pytest.raises(RegistryError, match=words):
        registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True)


def test_a_page_of_hubs_that_fails_makes_the_list_incomplete(fake: FakeRegistry, registries: Registries) -> None:
    push_days(fake, 3)
    fake.page_size = 1
    fake.behave("hub_tags", Behaviour(status=500), path="page=2")
    with pytest.raises(RegistryError, match="incomplete: page 2"):
        registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"results": {}}'])
def test_what_is_no_list_of_hubs_is_an_error(body: bytes, fake: FakeRegistry, registries: Registries) -> None:
    push_days(fake, 1)
    fake.behave("hub_tags", Behaviour(body=body))
    with pytest.raises(RegistryError, match="no list of tags"):
        registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True)


def test_rows_of_hubs_that_are_no_tags_are_dropped(fake: FakeRegistry, registries: Registries) -> None:
    push_days(fake, 1)
    rows = [None, {"name": None}, {"name": "ok", "digest": "x", "tag_last_pushed": "never"}, {"name": "not a tag"}]
    fake.behave("hub_tags", Behaviour(body=json.dumps({"results": rows, "next": None}).encode()))
    assert registries.for_service(HUB_APP, ANYONE).pushed_tags(HUB_APP, lambda name: True) == (Tag("ok"),)


def test_the_fake_itself_serves_what_it_was_given(fake: FakeRegistry, registries: Registries) -> None:
    body = b'{"schemaVersion": 2, "config": {}}'
    assert fake.put_manifest(APP, "1.0", OCI_IMAGE, body) == digest_of(body) == digest(registries, at(fake))


@pytest.mark.parametrize(
    "said",
    [
        "no access for hunter2-and-a-long-rest",
        "x" * 190 + " hunter2-and-a-long-rest",
        "token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl lacks pull",
    ],
)
def test_what_we_sent_is_not_in_a_message_even_where_the_registry_says_it_back(
    said: str, fake: FakeRegistry, registries: Registries
) -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": said}]}).encode()
    fake.behave("manifest_get", Behaviour(status=403, body=body))
    fake.behave("manifest_head", Behaviour(status=403, body=body))
    settings = RegistrySettings(username="jane", password=Secret("hunter2-and-a-long-rest"))
    with pytest.raises(RegistryError) as caught:
        registries.for_service(at(fake), settings).digest(at(fake))
    for part in ("hunter2", "eyJhbGci", "c2lnbmF0dXJl"):
        assert part not in str(caught.value)
    assert "***" in str(caught.value) or len(said) > 190


@pytest.mark.parametrize(
    "header", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 01 Jan 2029 00:00:00 +999999999999"]
)
def test_a_rest_that_no_calendar_knows_is_a_rest_all_the_same(
    header: str, fake: FakeRegistry, registries: Registries
) -> None:
    fake.behave("manifest_head", Behaviour(status=429, headers={"Retry-After": header}))
    with pytest.raises(RateLimited):
        registries.for_service(at(fake), RegistrySettings()).digest(at(fake))


def test_pulls_that_began_count_against_what_is_left() -> None:
    limits = PullLimits()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    limits.note("r.example", None, {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "3;w=21600"}, now)
    known = limits.of("r.example", None)
    assert known is not None
    assert known.rest(now) is None
    limits.spend("r.example", None)
    known = limits.of("r.example", None)
    assert known is not None
    assert known.rest(now) is not None
