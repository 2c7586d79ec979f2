"""The registry clients against a registry that misbehaves: what is asked, how often, and what is made of
answers.
"""

from __future__ import annotations

import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.support import artifacts, aws, lab
from tests.support.artifacts import SCHEMA_1
from tests.support.fake_registry import (
    DOCKER_LIST,
    OCI_CONFIG,
    OCI_IMAGE,
    OCI_INDEX,
    OCI_LAYER,
    Basic,
    Bearer,
    Behaviour,
    Build,
    FakeRegistry,
    digest_of,
)
from tests.support.registry_clients import ANYONE, APP, NESTED, SOMEONE, at, digest, names, with_aws
from tests.support.set_clock import SetClock
from updater_core import protocols
from updater_core.errors import AuthFailed, NotAnImage, NotFound, RateLimited, RegistryError
from updater_core.models import Credential, ImageRef, Reason, RegistrySettings, Secret
from updater_core.reference import parse
from updater_core.registries import Registries
from updater_core.registries.vendors import VENDORS

# -------------------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize("kind", sorted(vendor.name for vendor in VENDORS))
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
    keys = {"aws_access_key_id": "AKID", "aws_secret_access_key": Secret("hunter2")}
    settings = with_aws(RegistrySettings(type="ecr"), region=aws.REGION, **keys)
    digest = _push_for_the_contract(fake)
    fake.auth = Basic("AWS", aws.PASSWORD)
    with aws.Aws() as amazon:
        for name, value in amazon.environment.items():
            monkeypatch.setenv(name, value)
        amazon.mirror(fake, "library/app")
        registry = registries.for_service(here, settings)
        _check_the_contract(registry, here, digest, Credential("AWS", Secret(aws.PASSWORD)))


def _push_for_the_contract(fake: FakeRegistry) -> str:
    pushed = fake.push(
        "library/app", "1.0", Build(platforms=("linux/amd64", "linux/arm64")), "2025-05-01T00:00:00Z"
    )
    return pushed.digest


def _check_the_contract(
    registry: protocols.Registry, here: ImageRef, digest: str, credential: Credential
) -> None:
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


# ---------------------------------------------------------------------------------------------------- digests


@pytest.mark.parametrize(
    "build", [Build(), Build(docker=True), Build(index=True), Build(index=True, docker=True)]
)
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


def test_services_with_different_credentials_do_not_share_answers(
    fake: FakeRegistry, registries: Registries
) -> None:
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
def test_if_a_head_says_too_little_the_body_is_hashed_and_that_is_remembered(
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
    [
        "text/html",
        "text/html; charset=utf-8",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        None,
    ],
)
def test_a_login_page_never_gets_a_digest(
    head: Behaviour, media_type: str | None, fake: FakeRegistry, registries: Registries
) -> None:
    fake.push(APP, "1.0")
    page = Behaviour(
        headers={"Content-Type": media_type, "Docker-Content-Digest": None}, body=b"<html>log in</html>"
    )
    fake.behave("manifest_head", head if head.headers else page)
    fake.behave("manifest_get", page)
    with pytest.raises(RegistryError, match="no manifest") as error:
        digest(registries, at(fake))
    assert not isinstance(error.value, NotFound | AuthFailed | RateLimited)


@pytest.mark.parametrize(
    "body", [b'{"schemaVersion": 2, "config": {}}', b'{"mediaType": "text/html", "manifests": []}', b"[]"]
)
def test_json_of_another_type_never_gets_a_digest(
    body: bytes, fake: FakeRegistry, registries: Registries
) -> None:
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
def test_a_nested_answer_is_no_list_of_a_vendor(
    kind: str, fake: FakeRegistry, registries: Registries
) -> None:
    here = parse("team/app:1.0") if kind == "docker_hub" else at(fake)
    fake.push(APP, "1.0")
    fake.behave("*", Behaviour(status=200, body=NESTED))
    with pytest.raises(RegistryError, match="no list of tags") as error:
        registries.for_service(here, RegistrySettings(type=kind)).pushed_tags(here, lambda _: True)
    assert "login page or a proxy" in error.value.remedy


def test_a_nested_answer_is_no_manifest_and_explains_no_refusal(
    fake: FakeRegistry, registries: Registries
) -> None:
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
    denied = Behaviour(
        status=403, body=b'{"errors":[{"code":"DENIED","message":"requested access is denied"}]}'
    )
    fake.behave("manifest_head", denied)
    fake.behave("manifest_get", denied)
    with pytest.raises(AuthFailed, match="DENIED requested access is denied") as error:
        digest(registries, at(fake))
    assert "docker login" in error.value.remedy
    assert fake.counts() == {"manifest_head": 1, "manifest_get": 1}


# ------------------------------------------------------------------------------------------------------- tags


@pytest.mark.parametrize(
    "link",
    [
        '</v2/{name}/tags/list?{query}>; rel="next"',
        '<{url}/v2/{name}/tags/list?{query}>; rel="next"',
        "</x>; rel=prev, </v2/{name}/tags/list?{query}>; type=a; rel=next",
        '</v2/without/its/prefix/tags/list?{query}>; rel="next"',
        '<https://127.0.0.1/v2/{name}/tags/list?{query}>; rel="next"',
        '<http://nexus:8081/v2/{name}/tags/list?{query}>; rel="next"',
        '<http://10.7.7.7/repository/docker/v2/{name}/tags/list?{query}>; rel="next"',
        '<tags/list?{query}>; REL="last NEXT"',
        "<?{query}>; rel='next'",
        '</v2/{name}/tags/list?{query}>; title="a, b; rel=prev"; rel=next',
    ],
)
def test_all_pages_are_read_however_short_they_are(
    link: str, fake: FakeRegistry, registries: Registries
) -> None:
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
        ('<http://[nexus/tags/list?last=1.0>; rel="next"', "cannot be read"),
        ('<http://nexus:8081/tags/list>; rel="next"', "it goes on at nexus:8081"),
        ('</v2/{name}/tags/list?n=1000>; rel="next"', "do not come to an end"),
    ],
)
def test_a_list_that_leads_astray_is_no_list(
    link: str, words: str, fake: FakeRegistry, registries: Registries
) -> None:
    fake.page_size, fake.next_link = 1, link
    fake.push(APP, "1.0")
    fake.push(APP, "1.1")
    with pytest.raises(RegistryError, match=words):
        registries.for_service(at(fake), ANYONE).tags(at(fake))


@pytest.mark.parametrize("count", [999, 1000, 1001, 2000, 2345])
def test_a_list_that_is_cut_without_a_word_is_continued(
    count: int, fake: FakeRegistry, registries: Registries
) -> None:
    digest_of_all = fake.push(APP, "1.0").digest
    for number in range(count - 1):
        fake.tag(APP, f"0.{number}", digest_of_all)
    fake.next_link = '</x>; rel="prev"'
    assert len(registries.for_service(at(fake), ANYONE).tags(at(fake))) == count


@pytest.mark.parametrize(
    "link", ["</v2/{name}/tags/list?{query}>", "/v2/{name}/tags/list?{query}; rel=next", "next"]
)
def test_a_link_that_says_nothing_clear_is_no_end(
    link: str, fake: FakeRegistry, registries: Registries
) -> None:
    fake.page_size, fake.next_link = 2, link
    for number in range(5):
        fake.push(APP, f"1.{number}")
    assert len(registries.for_service(at(fake), ANYONE).tags(at(fake))) == 5
    fake.behave("tags", Behaviour(body=json.dumps({"tags": ["1.0"]}).encode(), headers={"Link": "</more>"}))
    registries.new_cycle()
    with pytest.raises(RegistryError, match="incomplete: .*seems to go on"):
        registries.for_service(at(fake), ANYONE).tags(at(fake))


@pytest.mark.parametrize(("most", "count"), [(50, 120), (100, 100), (100, 101), (500, 1204), (200, 700)])
def test_a_registry_that_gives_at_most_so_many_is_asked_for_the_rest(
    most: int, count: int, fake: FakeRegistry, registries: Registries
) -> None:
    digest_of_all = fake.push(APP, "1.0").digest
    for number in range(count - 1):
        fake.tag(APP, f"0.{number}", digest_of_all)
    fake.page_size, fake.next_link = most, '</x>; rel="prev"'
    assert len(registries.for_service(at(fake), ANYONE).tags(at(fake))) == count
    assert fake.counts() == {"tags": count // most + 1}


def test_a_round_number_of_tags_is_whole_if_no_more_come(fake: FakeRegistry, registries: Registries) -> None:
    """Also at a registry that does not know `last` and gives the same once more."""
    fake.push(APP, "1.0")
    fake.behave(
        "tags", Behaviour(body=json.dumps({"tags": [f"0.{number}" for number in range(300)]}).encode())
    )
    assert len(registries.for_service(at(fake), ANYONE).tags(at(fake))) == 300
    assert fake.counts() == {"tags": 2}


def test_a_list_that_was_cut_and_does_not_go_on_is_no_list(
    fake: FakeRegistry, registries: Registries
) -> None:
    first_page = json.dumps({"tags": [f"0.{number}" for number in range(1000)]}).encode()
    fake.push(APP, "1.0")
    fake.behave("tags", Behaviour(body=first_page))
    with pytest.raises(RegistryError, match="incomplete: .*ends after 1000 tags"):
        registries.for_service(at(fake), ANYONE).tags(at(fake))


def test_a_list_longer_than_asked_for_is_whole(fake: FakeRegistry, registries: Registries) -> None:
    everything = json.dumps({"tags": [f"0.{number}" for number in range(1204)]}).encode()
    fake.push(APP, "1.0")
    fake.behave("tags", Behaviour(body=everything))
    assert len(registries.for_service(at(fake), ANYONE).tags(at(fake))) == 1204
    assert fake.counts() == {"tags": 1}


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


# ------------------------------------------------------------------------------------------------ build times


def created(registries: Registries, fake: FakeRegistry, platform: str = "linux/amd64") -> datetime | None:
    return registries.for_service(at(fake), ANYONE).created(at(fake), platform)


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "application/json", SCHEMA_1])
def test_an_image_in_the_old_format_is_named_for_what_it_is(
    media_type: str, fake: FakeRegistry, registries: Registries
) -> None:
    fake.put_manifest(APP, "1.0", media_type, b'{"schemaVersion": 1, "name": "team/app", "fsLayers": []}')
    with pytest.raises(NotAnImage, match="format that no engine pulls any more"):
        digest(registries, at(fake))
    fake.put_manifest(APP, "1.0", media_type.partition(";")[0], b'{"errors": []}')
    registries.new_cycle()
    with pytest.raises(RegistryError):
        digest(registries, at(fake))


BLOCKED = Behaviour(
    status=403, headers={"Content-Type": "text/html; charset=utf-8"}, body=b"<html>Blocked</html>"
)


@pytest.mark.parametrize(
    ("behaviour", "words", "remedy"),
    [
        (
            Behaviour(status=302, headers={"Location": "https://sso.invalid/login"}),
            "leads to sso.invalid",
            "sso.invalid",
        ),
        (BLOCKED, "status 403", "a proxy, a firewall or a login page"),
        (replace(BLOCKED, status=404), "is not there", "a proxy, a firewall or a login page"),
        (
            Behaviour(status=401, headers={"WWW-Authenticate": 'Digest realm="x"'}),
            "digest",
            "let it pass /v2/",
        ),
        (
            Behaviour(status=401, headers={"WWW-Authenticate": 'Bearer realm="x'}),
            "cannot be read",
            "may spoil",
        ),
    ],
)
def test_what_is_in_the_way_is_named(
    behaviour: Behaviour, words: str, remedy: str, fake: FakeRegistry, registries: Registries
) -> None:
    fake.push(APP, "1.0")
    fake.behave("*", behaviour)
    with pytest.raises(RegistryError, match=words) as error:
        digest(registries, at(fake))
    assert remedy in error.value.remedy
    registries.new_cycle()
    with pytest.raises(RegistryError) as listing:
        registries.for_service(at(fake), ANYONE).tags(at(fake))
    assert listing.value.reason is not Reason.LISTING_INCOMPLETE


EMPTY = "application/vnd.oci.empty.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
COMPOSE_FILE = "application/vnd.docker.compose.project"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (artifacts.manifest("application/vnd.wasm.config.v0+json", "application/wasm"), "vnd.wasm.config"),
        (artifacts.manifest("application/vnd.unknown.config.v1+json", OCI_LAYER), "vnd.unknown.config"),
        (artifacts.manifest("application/vnd.docker.plugin.v1+json", OCI_LAYER), "vnd.docker.plugin"),
        (artifacts.manifest(EMPTY, BUNDLE, artifactType=BUNDLE), BUNDLE),
        (artifacts.manifest(EMPTY, "text/yaml", artifactType=COMPOSE_FILE), COMPOSE_FILE),
        (artifacts.manifest(OCI_CONFIG, "text/spdx+json"), "text/spdx"),
        (b'{"schemaVersion": 2, "config": {"digest": "sha256:0"}, "layers": []}', "without a media type"),
    ],
)
def test_a_manifest_of_something_else_is_named(
    body: bytes, words: str, fake: FakeRegistry, registries: Registries
) -> None:
    here = replace(at(fake), digest=fake.put_manifest(APP, "1.0", OCI_IMAGE, body))
    found = registries.for_service(here, ANYONE).image(here, "linux/amd64", in_full=False)
    assert found.obstacle is Reason.NOT_AN_IMAGE
    assert words in found.detail


def test_an_image_is_found_among_what_stands_beside_it(fake: FakeRegistry, registries: Registries) -> None:
    amd64 = {"os": "linux", "architecture": "amd64"}
    note = {"vnd.docker.reference.type": "attestation-manifest"}
    image = artifacts.entry(b"image", platform=amd64, artifactType=OCI_CONFIG)
    beside = (
        artifacts.entry(b"chart", platform=amd64, artifactType="application/vnd.cncf.helm.config.v1+json"),
        artifacts.entry(b"note", platform=amd64, annotations=note),
    )
    body = artifacts.index(*beside, image)
    here = replace(at(fake), digest=fake.put_manifest(APP, "1.0", OCI_INDEX, body))
    found = registries.for_service(here, ANYONE).image(here, "linux/amd64", in_full=False)
    assert (found.obstacle, found.manifest) == (None, image["digest"])


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


LABELLED = {
    "Labels": {
        "org.opencontainers.image.version": "1.3.0",
        "org.opencontainers.image.source": "https://e.example",
    }
}


@pytest.mark.parametrize(
    ("built", "manifests"),
    [
        (Build(config=LABELLED), 1),
        (Build(config=LABELLED, docker=True), 1),
        (Build(config=LABELLED, platforms=("linux/amd64", "linux/arm64"), attestation=True), 2),
    ],
)
def test_what_an_image_says_of_itself_is_read_without_a_pull(
    fake: FakeRegistry, registries: Registries, built: Build, manifests: int
) -> None:
    digest = fake.push(APP, "1.0", built).digest
    found = registries.for_service(at(fake), ANYONE).facts(replace(at(fake), digest=digest), "linux/amd64")
    assert (found.version, found.source) == ("1.3.0", "https://e.example")
    assert found.built_at == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert fake.counts() == {"manifest_get": manifests, "blob": 1}


@pytest.mark.parametrize(
    "built",
    [
        Build(created=None),
        Build(created="1970-01-01T00:00:00Z", config={"Labels": None}),
        Build(config={"Labels": "x"}),
        Build(platforms=("linux/s390x",), index=True, config=LABELLED),
        Build(artifact=True),
    ],
)
def test_an_image_that_says_nothing_of_itself_has_no_facts(
    fake: FakeRegistry, registries: Registries, built: Build
) -> None:
    digest = fake.push(APP, "1.0", built).digest
    found = registries.for_service(at(fake), ANYONE).facts(replace(at(fake), digest=digest), "linux/amd64")
    assert (found.version, found.source, found.url) == ("", "", "")


@pytest.mark.parametrize("status", [403, 404])
def test_a_build_time_is_read_by_the_tag_if_a_cache_refuses_the_digest(
    fake: FakeRegistry, registries: Registries, status: int
) -> None:
    pushed = fake.push(APP, "1.0")
    fake.behave("manifest_get", Behaviour(status=status), path=pushed.digest)
    assert created(registries, fake) == datetime(2024, 5, 1, 10, tzinfo=UTC)


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
def test_a_build_time_that_cannot_be_is_unknown(
    text: str | None, fake: FakeRegistry, registries: Registries
) -> None:
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


def test_a_configuration_that_was_tampered_with_is_refused(
    fake: FakeRegistry, registries: Registries
) -> None:
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
            "manifest_head",
            Behaviour(status=307, headers={"Location": f"{mirror.url}/v2/{APP}/manifests/1.0"}),
        )
        assert digest(registries, at(fake), SOMEONE) == pushed.digest
        assert mirror.counts() == {"manifest_head": 2, "token": 1}
        assert not [
            e for e in mirror.log if "Basic" in e.headers.get("authorization", "") or "account" in e.path
        ]


@pytest.mark.parametrize(
    ("target", "words"), [("{url}/v2/team/app/manifests/1.0", "more than 10"), ("ftp://x/", "not follow")]
)
def test_redirects_come_to_an_end(
    target: str, words: str, fake: FakeRegistry, registries: Registries
) -> None:
    fake.behave("manifest_head", Behaviour(status=302, headers={"Location": target.format(url=fake.url)}))
    with pytest.raises(RegistryError, match=words):
        digest(registries, at(fake))
    assert fake.counts()["manifest_head"] <= 11


# ------------------------------------------------------------------------------------------------- who we are


def test_a_check_says_who_we_are(fake: FakeRegistry, registries: Registries) -> None:
    fake.push(APP, "1.0")
    assert registries.for_service(at(fake), ANYONE).check(at(fake)).endswith("team/app reached, anonymous")
    said = registries.for_service(at(fake), SOMEONE).check(at(fake))
    assert said.endswith("reached, anonymous; the registry asked for no login")
    fake.auth = Bearer("jane", "hunter2")
    registries.new_cycle()
    assert registries.for_service(at(fake), SOMEONE).check(at(fake)).endswith("team/app reached as jane")


def test_the_fake_itself_serves_what_it_was_given(fake: FakeRegistry, registries: Registries) -> None:
    body = b'{"schemaVersion": 2, "config": {}}'
    assert fake.put_manifest(APP, "1.0", OCI_IMAGE, body) == digest_of(body) == digest(registries, at(fake))
