"""Amazon ECR: what is asked of AWS, how often, in whose name, and what is made of its answers.

AWS is moto here.
"""

from __future__ import annotations

import base64
import json
import logging
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.stub import Stubber

from tests.support.aws import ACCOUNT, PASSWORD, REGION, Aws
from tests.support.fake_registry import Basic, Bearer, Behaviour, Build, FakeRegistry
from tests.support.log_line import logged
from tests.support.registry_clients import with_aws
from tests.support.set_clock import SetClock
from updater_core.errors import AuthFailed, NotFound, RateLimited, RegistryError
from updater_core.models import Credential, ImageRef, RegistrySettings, Secret
from updater_core.reference import parse
from updater_core.registries import Registries
from updater_core.registries.session import RegistryEndpoint
from updater_core.registries.vendors.ecr.batch import MOST_AT_ONCE, Batches
from updater_core.registries.vendors.ecr.client import EcrRegistry
from updater_core.registries.vendors.ecr.public import PublicEcr

APP = "team/app"
SECRET_KEY, SESSION_TOKEN = "not-to-be-seen-secret-key", "not-to-be-seen-session-token"
KEYS = with_aws(
    RegistrySettings(type="ecr"),
    region=REGION,
    aws_access_key_id="AKIDCONFIG",
    aws_secret_access_key=Secret(SECRET_KEY),
)
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
POLICY = {  # the least that an operator is asked to allow
    "GetAuthorizationToken", "DescribeImages", "DescribeRepositories", "BatchGetImage",
    "GetDownloadUrlForLayer",
}  # fmt: skip
DIGEST = "sha256:" + "1" * 64
NOBODY = "arn:aws:iam::123456789012:user/ci"


@pytest.fixture
def clock() -> SetClock:
    return SetClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, clock: SetClock) -> Iterator[Aws]:
    with Aws(now=lambda: clock.now().timestamp()) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def counted() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def make(clock: SetClock, tmp_path: Path, counted: list[tuple[str, str]]) -> Callable[..., Registries]:
    def made(**options: Any) -> Registries:
        return Registries(
            docker_config_dir=tmp_path,
            clock=clock,
            on_request=lambda host, kind, result: counted.append((kind, result)),
            **options,
        )

    return made


@pytest.fixture
def registries(make: Callable[..., Registries], aws: Aws) -> Registries:
    return make()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's pauses between two tries pass at once."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None, time=time.time))


def at(name: str = f"{APP}:1.0", host: str = HOST) -> ImageRef:
    return parse(f"{host}/{name}")


def open_ecr(registries: Registries, reference: ImageRef, settings: RegistrySettings = KEYS) -> EcrRegistry:
    registry = registries.for_service(reference, settings)
    assert isinstance(registry, EcrRegistry)
    return registry


def digest(registries: Registries, name: str = f"{APP}:1.0", settings: RegistrySettings = KEYS) -> str:
    return registries.for_service(at(name), settings).digest(at(name))


def names(tags: Any) -> list[str]:
    return [tag.name for tag in tags]


# --------------------------------------------------------------------------------------- tags, digests, times


def test_one_call_answers_for_tags_digests_and_push_times(aws: Aws, registries: Registries) -> None:
    started = datetime.now(UTC) - timedelta(seconds=2)
    pushed = {tag: aws.push(APP, tag) for tag in ("1.0", "1.1", "latest")}
    registry = open_ecr(registries, at())
    tags = registry.tags(at())
    assert {tag.name: tag.digest for tag in tags} == pushed
    assert all(tag.pushed_at and started < tag.pushed_at < datetime.now(UTC) for tag in tags)
    assert {tag.pushed_at.tzinfo for tag in tags if tag.pushed_at} == {UTC}
    assert sorted(names(registry.pushed_tags(at(), lambda name: name.startswith("1.")))) == ["1.0", "1.1"]
    assert registry.digest(at(f"{APP}:1.1")) == pushed["1.1"]
    assert aws.operations() == ["DescribeImages"]
    assert aws.log[0].arguments["filter"] == {"tagStatus": "TAGGED"}
    assert aws.log[0].arguments["maxResults"] == 1000


def test_the_account_and_the_region_are_those_of_the_host(aws: Aws, registries: Registries) -> None:
    aws.push(APP, "1.0")
    digest(registries, settings=with_aws(KEYS, region=None))
    assert (aws.log[0].arguments["registryId"], aws.log[0].region) == (ACCOUNT, REGION)


def test_tags_of_tools_are_no_tags_of_the_operator(aws: Aws, registries: Registries) -> None:
    aws.push(APP, "1.0")
    aws.push(APP, "sha256-" + "a" * 64 + ".sig")
    assert names(open_ecr(registries, at()).tags(at())) == ["1.0"]


def test_a_tag_put_on_an_old_manifest_ties_with_its_other_tags(aws: Aws, registries: Registries) -> None:
    aws.push(APP, "rc", "same")
    aws.push(APP, "prod", "same")
    tags = open_ecr(registries, at()).pushed_tags(at(), lambda name: True)
    assert tags is not None
    assert names(tags) == ["rc", "prod"]
    assert len({(tag.digest, tag.pushed_at) for tag in tags}) == 1


def test_every_page_is_read_and_untagged_images_are_left_out(aws: Aws, registries: Registries) -> None:
    for number in range(5):
        aws.push(APP, f"1.{number}")
    aws.page_size = 2
    assert sorted(names(open_ecr(registries, at()).tags(at()))) == [f"1.{number}" for number in range(5)]
    assert [call.arguments.get("nextToken") for call in aws.log] == [None, "2", "4"]


def _stubbed(registries: Registries) -> tuple[EcrRegistry, Stubber]:
    registry = open_ecr(registries, at())
    stub = Stubber(registry.api.client())
    stub.add_response("describe_pull_through_cache_rules", {"pullThroughCacheRules": []})
    return registry, stub


def _page(tag: str, digest: str = DIGEST, **more: str) -> dict[str, Any]:
    return {"imageDetails": [{"imageDigest": digest, "imageTags": [tag]}], **more}


def test_the_next_page_is_asked_for_by_its_token_and_an_empty_page_is_not_the_last(
    registries: Registries,
) -> None:
    registry, stub = _stubbed(registries)
    usual = {
        "registryId": ACCOUNT,
        "repositoryName": APP,
        "filter": {"tagStatus": "TAGGED"},
        "maxResults": 1000,
    }
    stub.add_response("describe_images", _page("a", nextToken="one"), usual)
    stub.add_response(
        "describe_images", {"imageDetails": [], "nextToken": "two"}, {**usual, "nextToken": "one"}
    )
    stub.add_response("describe_images", _page("b"), {**usual, "nextToken": "two"})
    with stub:
        assert names(registry.tags(at())) == ["a", "b"]
    stub.assert_no_pending_responses()


def test_a_page_that_fails_makes_no_list_of_the_others(registries: Registries) -> None:
    registry, stub = _stubbed(registries)
    stub.add_response("describe_images", _page("a", nextToken="one"))
    stub.add_client_error("describe_images", "ServerException", "oh", 500)
    with stub, pytest.raises(RegistryError, match="list of tags is incomplete: page 2: .*ServerException"):
        registry.tags(at())


def test_pages_without_an_end_are_an_error(registries: Registries) -> None:
    registry, stub = _stubbed(registries)
    for _ in range(2):
        stub.add_response("describe_images", _page("a", nextToken="again"))
    with stub, pytest.raises(RegistryError, match="do not come to an end"):
        registry.tags(at())


def test_a_tag_that_moves_between_two_pages_is_where_it_was_seen_last(registries: Registries) -> None:
    registry, stub = _stubbed(registries)
    other = "sha256:" + "2" * 64
    stub.add_response("describe_images", _page("a", nextToken="one"))
    stub.add_response("describe_images", _page("a", other))
    with stub:
        assert [tag.digest for tag in registry.tags(at())] == [other]
        assert registry.digest(at(f"{APP}:a")) == other


# -------------------------------------------------------------------------------------------- batches of tags


def test_forty_services_of_one_repository_cost_one_call_in_a_cycle(aws: Aws, registries: Registries) -> None:
    pushed = {f"1.{number}": aws.push(APP, f"1.{number}") for number in range(40)}
    opened = [open_ecr(registries, at(f"{APP}:{tag}")) for tag in pushed]
    with ThreadPoolExecutor(40) as pool:
        for _ in range(3):
            aws.clear_log()
            answers = pool.map(lambda tag, registry: registry.digest(at(f"{APP}:{tag}")), pushed, opened)
            assert list(answers) == list(pushed.values())
            assert aws.operations() == ["DescribeImages"]
            registries.new_cycle()


def test_the_first_question_takes_along_every_service_that_was_opened(
    aws: Aws, registries: Registries
) -> None:
    pushed = {tag: aws.push(APP, tag) for tag in "abc"}
    opened = {tag: open_ecr(registries, at(f"{APP}:{tag}")) for tag in pushed}
    assert [opened[tag].digest(at(f"{APP}:{tag}")) for tag in pushed] == list(pushed.values())
    assert aws.operations() == ["DescribeImages"]


def test_a_service_that_is_opened_late_is_taken_along_in_the_next_cycle(
    aws: Aws, registries: Registries
) -> None:
    pushed = {tag: aws.push(APP, tag) for tag in "ab"}
    for calls in (2, 1):
        assert [digest(registries, f"{APP}:{tag}") for tag in pushed] == list(pushed.values())
        assert len(aws.operations()) == calls
        aws.clear_log()
        registries.new_cycle()


def test_an_expected_tag_that_is_not_there_harms_nobody(aws: Aws, registries: Registries) -> None:
    pushed = aws.push(APP, "1.0")
    open_ecr(registries, at(f"{APP}:gone"))
    assert digest(registries) == pushed


def test_a_moved_tag_is_seen_in_the_next_cycle_not_in_this_one(aws: Aws, registries: Registries) -> None:
    old = aws.push(APP, "1.0", "old")
    assert digest(registries) == old
    new = aws.push(APP, "1.0", "new")
    assert digest(registries) == old
    registries.new_cycle()
    assert digest(registries) == new


def test_one_missing_tag_fails_nobody_else_and_is_asked_by_itself_from_then_on(
    aws: Aws, registries: Registries
) -> None:
    pushed = {tag: aws.push(APP, tag) for tag in ("a", "b", "c")}
    for tag in pushed:
        digest(registries, f"{APP}:{tag}")
    aws.client.batch_delete_image(repositoryName=APP, imageIds=[{"imageTag": "b"}])
    for calls in ([3, 2], [2, 1]):  # AWS names the missing one: the rest is asked again; then they go apart
        registries.new_cycle()
        aws.clear_log()
        assert digest(registries, f"{APP}:a") == pushed["a"]
        with pytest.raises(NotFound, match=r"team/app: b is not there \(in eu-west-1\)") as missing:
            digest(registries, f"{APP}:b")
        assert missing.value.remedy
        assert digest(registries, f"{APP}:c") == pushed["c"]
        assert [len(call.arguments["imageIds"]) for call in aws.log] == calls
    aws.push(APP, "b")
    registries.new_cycle()
    assert digest(registries, f"{APP}:b") == pushed["b"]


def test_if_aws_does_not_name_the_missing_tag_halves_find_it(aws: Aws, registries: Registries) -> None:
    pushed = {tag: aws.push(APP, tag) for tag in "abcd"}
    for tag in pushed:
        digest(registries, f"{APP}:{tag}")
    registries.new_cycle()
    aws.clear_log()
    aws.fail("DescribeImages", "ImageNotFoundException", "one of them is not there", times=1)
    assert [digest(registries, f"{APP}:{tag}") for tag in pushed] == list(pushed.values())
    assert [len(call.arguments["imageIds"]) for call in aws.log] == [4, 2, 2]


def test_a_call_asks_for_a_hundred_images_at_most() -> None:
    sizes, cycle = [], [object()]

    def ask(asked: Any) -> dict[str, str | RegistryError]:
        sizes.append(len(asked))
        return dict.fromkeys(asked, DIGEST)

    batches = Batches(prepare=lambda: None, ask=ask, cycle=lambda: cycle[0])
    tags = [f"1.{number}" for number in range(MOST_AT_ONCE * 2 + 1)]
    for tag in tags:
        assert batches.get(tag) == DIGEST
    sizes.clear()
    cycle[0] = object()
    assert {batches.get(tag) for tag in tags} == {DIGEST}
    assert sizes == [100, 100, 1]


def test_a_repository_that_is_not_there_does_not_split_the_batch(aws: Aws, registries: Registries) -> None:
    for _ in range(3):
        aws.clear_log()
        for tag in ("a", "b"):
            with pytest.raises(NotFound, match="no such repository in eu-west-1"):
                digest(registries, f"team/none:{tag}")
        assert len(aws.log) <= 2
        last = len(aws.log)
        registries.new_cycle()
    assert last == 1


def test_a_pinned_reference_is_asked_by_its_digest(aws: Aws, registries: Registries) -> None:
    pushed = aws.push(APP, "1.0")
    assert digest(registries, f"{APP}@{pushed}") == pushed
    assert aws.log[0].arguments["imageIds"] == [{"imageDigest": pushed}]


# ----------------------------------------------------------------------------------------------------- tokens


def test_the_engine_gets_a_token_that_is_kept_until_half_its_life(
    aws: Aws, registries: Registries, clock: SetClock
) -> None:
    registry = open_ecr(registries, at(host="127.0.0.1:1"))
    assert registry.credential() == Credential("AWS", Secret(PASSWORD))
    registries.new_cycle()
    clock.advance(6 * 3600 - 1)
    assert registry.credential() == Credential("AWS", Secret(PASSWORD))
    assert aws.operations() == ["GetAuthorizationToken"]
    clock.advance(1)
    registry.credential()
    assert aws.operations() == ["GetAuthorizationToken"] * 2


def test_a_token_that_is_old_already_is_never_kept(aws: Aws, registries: Registries) -> None:
    aws.token_seconds = None
    registry = open_ecr(registries, at(host="127.0.0.1:1"))
    for _ in range(2):
        assert registry.credential() == Credential("AWS", Secret(PASSWORD))
    assert aws.operations() == ["GetAuthorizationToken"] * 2


@pytest.mark.usefixtures("no_pauses")
def test_while_aws_fails_the_second_half_of_a_token_serves(
    aws: Aws, registries: Registries, clock: SetClock
) -> None:
    registry = open_ecr(registries, at(host="127.0.0.1:1"))
    registry.credential()
    aws.fail("*", "ServerException", status=500)
    clock.advance(7 * 3600)
    assert registry.credential() == Credential("AWS", Secret(PASSWORD))
    clock.advance(6 * 3600)
    with pytest.raises(RegistryError, match="ServerException"):
        registry.credential()


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_the_registry_does_not_take_any_more_is_fetched_once_more(
    aws: Aws, registries: Registries, registry: FakeRegistry, status: int
) -> None:
    ecr = open_ecr(registries, at(host=registry.host))
    registry.auth = Basic("AWS", PASSWORD)
    for _ in range(3):
        assert ecr.credential() == Credential("AWS", Secret(PASSWORD))
    assert aws.operations() == ["GetAuthorizationToken"]
    assert registry.counts() == {"ping": 2}  # a fresh one is not tried first
    body = b"Your authorization token has expired. Reauthenticate and try again."
    registry.behave("ping", Behaviour(status=status, body=body, headers={"Content-Type": "text/plain"}))
    ecr.credential()
    assert aws.operations() == ["GetAuthorizationToken"] * 2


def test_the_build_time_comes_from_the_registry_with_the_token(
    aws: Aws, registries: Registries, registry: FakeRegistry
) -> None:
    registry.push(APP, "1.0", Build(platforms=("linux/amd64", "linux/arm64"), created="2024-05-01T10:00:00Z"))
    registry.auth = Basic("AWS", PASSWORD)
    aws.mirror(registry, APP)
    here = at(host=registry.host)
    assert open_ecr(registries, here).created(here, "linux/arm64") == datetime(2024, 5, 1, 10, tzinfo=UTC)
    basic = "Basic " + base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()
    assert {entry.headers.get("authorization") for entry in registry.log} == {None, basic}


# ---------------------------------------------------------------------------------------- pull-through caches


def cached(aws: Aws, registry: FakeRegistry, name: str) -> ImageRef:
    """A tag of a repository of which AWS knows what it had once, and the registry itself what is there
    now.
    """
    registry.push(name, "1.0")
    aws.mirror(registry, name)
    registry.push(name, "1.0", Build(files={"hello": b"newer"}, platforms=("linux/amd64", "linux/arm64")))
    registry.auth = Basic("AWS", PASSWORD)
    aws.clear_log()
    return at(f"{name}:1.0", registry.host)


@pytest.mark.parametrize(
    ("prefixes", "name", "is_cache"),
    [
        (("other", "docker-hub"), "docker-hub/library/nginx", True),
        (("docker-hub",), "docker-hub-own/nginx", False),
        (("team/quay",), "team/quay/coreos/etcd", True),
        (("ROOT",), "nginx", True),
        ((), "docker-hub/library/nginx", False),
    ],
)
def test_a_cache_is_asked_for_the_tag_itself(
    aws: Aws,
    registries: Registries,
    registry: FakeRegistry,
    prefixes: tuple[str, ...],
    name: str,
    is_cache: bool,
) -> None:
    aws.cache_prefixes = prefixes
    here = cached(aws, registry, name)
    ecr = open_ecr(registries, here)
    now = registry.contents(name)[2]["1.0"]
    assert (ecr.digest(here) == now) is is_cache
    assert ("DescribeImages" in aws.operations()) is not is_cache
    assert ("a pull-through cache" in ecr.check(here)) is is_cache
    assert (ecr.pushed_tags(here, lambda _: True) is None) is is_cache
    assert names(ecr.tags(here)) == ["1.0"]


def test_the_rules_are_asked_for_once_a_day(
    aws: Aws, registries: Registries, registry: FakeRegistry, clock: SetClock
) -> None:
    aws.cache_prefixes = ("quay", "docker-hub")
    here = cached(aws, registry, "docker-hub/library/nginx")
    for _ in range(3):
        registries.new_cycle()
        open_ecr(registries, here).digest(here)
    assert aws.rule_pages == 2
    clock.advance(24 * 3600 + 1)
    registries.new_cycle()
    open_ecr(registries, here).digest(here)
    assert aws.rule_pages == 4


def test_who_may_not_read_the_rules_says_by_a_setting_what_is_a_cache(
    aws: Aws, registries: Registries, registry: FakeRegistry
) -> None:
    aws.cache_prefixes = ("docker-hub",)
    aws.fail("DescribePullThroughCacheRules", "AccessDeniedException", "User: x is not authorized")
    here = cached(aws, registry, "docker-hub/library/nginx")
    now = registry.contents("docker-hub/library/nginx")[2]["1.0"]
    assert open_ecr(registries, here).digest(here) != now
    assert open_ecr(registries, here, with_aws(KEYS, aws_pull_through_cache=True)).digest(here) == now


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([b"<html>no</html>"], "no list of pull-through cache rules"),
        ([b"{}"], "no list of pull-through cache rules"),
        (
            [b'{"pullThroughCacheRules": ["docker-hub"]}'],
            "cannot be read|no list of pull-through cache rules",
        ),
        (
            [b'{"pullThroughCacheRules": [], "nextToken": "1"}'],
            "rules: their list is incomplete: its pages do not",
        ),
        ([b'{"pullThroughCacheRules": [], "nextToken": "1"}', b"[]"], "incomplete: page 2|cannot be read"),
    ],
)
def test_rules_that_are_not_whole_are_not_believed(
    aws: Aws, registries: Registries, registry: FakeRegistry, answers: list[bytes], problem: str
) -> None:
    """The rule that is missing may be the one that says that this is a cache, of which AWS knows only what it
    had once: the tag would be said to be up to date."""
    here = cached(aws, registry, "docker-hub/library/nginx")
    aws.rule_answers = answers
    for _ in range(2):
        with pytest.raises(RegistryError, match=problem):
            open_ecr(registries, here).digest(here)
    assert "DescribeImages" not in aws.operations()
    aws.rule_answers, aws.cache_prefixes = [], ("docker-hub",)
    registries.new_cycle()
    assert open_ecr(registries, here).digest(here) == registry.contents("docker-hub/library/nginx")[2]["1.0"]


@pytest.mark.parametrize(
    ("code", "status"), [("UnknownOperationException", 400), ("InvalidAction", 400), ("InternalFailure", 501)]
)
def test_what_stands_in_for_aws_need_not_know_of_caches(
    aws: Aws, registries: Registries, registry: FakeRegistry, code: str, status: int
) -> None:
    aws.fail("DescribePullThroughCacheRules", code, "", status)
    here = cached(aws, registry, "docker-hub/library/nginx")
    assert open_ecr(registries, here).digest(here)
    assert "DescribeImages" in aws.operations()


def test_a_digest_that_the_cache_does_not_serve_is_fetched_by_its_tag(
    aws: Aws, registries: Registries, registry: FakeRegistry
) -> None:
    aws.cache_prefixes = ("docker-hub",)
    here = cached(aws, registry, "docker-hub/library/nginx")
    ecr = open_ecr(registries, here)
    found = ecr.digest(here)
    registry.behave("manifest_get", Behaviour(status=404), path=f"/manifests/{found}")
    assert ecr.image(replace(here, digest=found), "linux/amd64", in_full=False).obstacle is None
    other = replace(here, digest="sha256:" + "3" * 64)
    with pytest.raises(RegistryError, match="another digest"):
        ecr.image(other, "linux/amd64", in_full=False)
    registry.behave("manifest_head", Behaviour(status=404), path=f"/manifests/{found}")
    assert ecr.created(here, "linux/amd64") == datetime(2024, 5, 1, 10, tzinfo=UTC)


# ------------------------------------------------------------------------------------- in whose name, and how


def test_nothing_is_asked_beyond_the_policy_and_nothing_of_the_registry_itself(
    aws: Aws, registries: Registries, registry: FakeRegistry, counted: list[tuple[str, str]]
) -> None:
    aws.push(APP, "1.0")
    here = at(host=registry.host)
    ecr = open_ecr(registries, here)
    assert "reached over the AWS API in eu-west-1 with the AWS key …NFIG of registry_config" in ecr.check(
        here
    )
    ecr.digest(here)
    ecr.tags(here)
    ecr.pushed_tags(here, lambda name: True)
    assert set(aws.operations()) == {"DescribeImages", "GetAuthorizationToken"} <= POLICY
    assert registry.counts() == {}
    assert counted == [
        ("ecr_rules", "ok"),
        ("ecr_describe", "ok"),
        ("ecr_token", "ok"),
        ("ecr_describe", "ok"),
    ]


def test_services_of_one_region_and_principal_share_client_and_token(
    aws: Aws, registries: Registries
) -> None:
    one, two = (open_ecr(registries, at(f"team/{name}:1")) for name in ("one", "two"))
    assert one.api is two.api
    other_account = open_ecr(registries, at(host=f"999999999999.dkr.ecr.{REGION}.amazonaws.com"))
    assert other_account.api is one.api
    for other in (with_aws(KEYS, aws_access_key_id="AKIDOTHER"), with_aws(KEYS, aws_profile="x")):
        assert open_ecr(registries, at(), other).api is not one.api
    elsewhere = open_ecr(
        registries, at(host=f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"), with_aws(KEYS, region=None)
    )
    assert elsewhere.api is not one.api


def test_the_keys_of_registry_config_come_before_all_others(
    aws: Aws, registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env-secret")
    aws.push(APP, "1.0")
    digest(registries)
    digest(registries, settings=RegistrySettings())
    assert [call.signed_by for call in aws.log] == ["AKIDCONFIG", "AKIDENV"]


def test_a_session_token_is_signed_with_the_keys(aws: Aws, registries: Registries) -> None:
    settings = with_aws(KEYS, aws_session_token=Secret(SESSION_TOKEN))
    client = open_ecr(registries, at(), settings).api.client()
    assert client._get_credentials().get_frozen_credentials().token == SESSION_TOKEN


def test_a_profile_is_read_from_the_files_of_aws(
    aws: Aws, registries: Registries, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text(
        "[ci]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = profile-secret\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    aws.push(APP, "1.0")
    digest(registries, settings=with_aws(aws_profile="ci"))
    assert [call.signed_by for call in aws.log] == ["AKIDPROFILE"]


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("{}.dkr.ecr.us-east-1.amazonaws.com", "https://api.ecr.us-east-1.amazonaws.com"),
        ("{}.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "https://ecr-fips.us-gov-west-1.amazonaws.com"),
        ("{}.dkr.ecr.cn-north-1.amazonaws.com.cn", "https://api.ecr.cn-north-1.amazonaws.com.cn"),
        ("{}.dkr-ecr.eu-west-1.on.aws", "https://ecr.eu-west-1.api.aws"),
        ("{}.dkr-ecr-fips.us-east-2.on.aws", "https://ecr-fips.us-east-2.api.aws"),
        ("{}.dkr.ecr.eusc-de-east-1.amazonaws.eu", "https://api.ecr.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_each_partition_and_kind_of_host_has_its_own_endpoint(
    host: str, endpoint: str, registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_ECR")
    client = open_ecr(registries, at(host=host.format(ACCOUNT)), with_aws(KEYS, region=None)).api.client()
    assert client.meta.endpoint_url == endpoint
    config = client.meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries) == (
        5, 20, {"mode": "standard", "total_max_attempts": 5},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            f"{HOST}/a",
            with_aws(KEYS, region="us-east-1"),
            "host is in eu-west-1, registry_config.region says us-east-1",
        ),
        ("public.ecr.aws/x/a", with_aws(KEYS, region="eu-west-1"), "host is in us-east-1"),
        ("ghcr.io/x/a", replace(KEYS), "does not live at Amazon ECR"),
        (f"{HOST}.example.com/a", replace(KEYS), "does not live at Amazon ECR"),
        (f"{HOST}/a", replace(KEYS, username="AWS", password=Secret("x")), "only one can be used"),
    ],
)
def test_settings_that_contradict_the_host_or_each_other_are_refused(
    name: str, settings: RegistrySettings, message: str, registries: Registries
) -> None:
    with pytest.raises(RegistryError, match=message) as refused:
        registries.for_service(parse(name), settings)
    assert refused.value.remedy


def test_a_user_name_and_a_password_of_the_operators_own_need_no_aws(
    aws: Aws, registries: Registries, registry: FakeRegistry
) -> None:
    pushed = registry.push(APP, "1.0")
    registry.auth = Basic("AWS", "from-elsewhere")
    settings = RegistrySettings(type="ecr", username="AWS", password=Secret("from-elsewhere"))
    here = at(host=registry.host)
    assert registries.for_service(here, settings).digest(here) == pushed.digest
    assert aws.operations() == []


# ----------------------------------------------------------------------------------------------------- public


def _public(registries: Registries, fake: FakeRegistry, settings: RegistrySettings) -> PublicEcr:
    """ECR Public with a registry of ours in its place."""
    opened = registries.for_service(parse("public.ecr.aws/docker/library/app:1.0"), settings)
    assert isinstance(opened, PublicEcr)
    return replace(
        opened, oci=replace(opened.oci, site=RegistryEndpoint("public.ecr.aws", fake.url, settings))
    )


def test_public_images_are_asked_for_anonymously(
    aws: Aws, registries: Registries, registry: FakeRegistry
) -> None:
    pushed = registry.push("docker/library/app", "1.0")
    registry.auth = Bearer()
    public = _public(registries, registry, RegistrySettings())
    here = parse("public.ecr.aws/docker/library/app:1.0")
    assert public.digest(here) == pushed.digest
    assert names(public.tags(here)) == ["1.0"]
    assert public.pushed_tags(here, lambda name: True) is None
    assert public.credential() is None
    assert "anonymous" in public.check(here)
    assert aws.operations() == []


def test_pulls_of_public_images_use_a_token_if_keys_were_configured(
    registries: Registries, registry: FakeRegistry
) -> None:
    registry.push("docker/library/app", "1.0")
    settings = with_aws(replace(KEYS, type=None), region=None)
    public = _public(registries, registry, settings)
    client = public.api.client()
    assert client.meta.endpoint_url == "https://api.ecr-public.us-east-1.amazonaws.com"
    stub = Stubber(client)
    token = base64.b64encode(b"AWS:public-password").decode()
    expiry = datetime.now(UTC) + timedelta(hours=12)
    stub.add_response(
        "get_authorization_token", {"authorizationData": {"authorizationToken": token, "expiresAt": expiry}}
    )
    with stub:
        assert public.credential() == Credential("AWS", Secret("public-password"))
        assert "pulls with the AWS key" in public.check(parse("public.ecr.aws/docker/library/app:1.0"))


def test_a_missing_right_to_public_tokens_is_named(registries: Registries, registry: FakeRegistry) -> None:
    public = _public(registries, registry, with_aws(replace(KEYS, type=None), region=None))
    stub = Stubber(public.api.client())
    said = f"User: {NOBODY} is not authorized to perform: sts:GetServiceBearerToken on resource: {NOBODY}"
    stub.add_client_error("get_authorization_token", "AccessDeniedException", said, 400)
    with stub, pytest.raises(AuthFailed, match=f"{NOBODY} may not sts:GetServiceBearerToken"):
        public.credential()


# -------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("code", "message", "kind", "words", "remedy"),
    [
        ("AccessDeniedException",
         f"User: {NOBODY} is not authorized to perform: ecr:DescribeImages on resource: x",
         AuthFailed, f"{NOBODY} may not ecr:DescribeImages in eu-west-1", "allow ecr:DescribeImages on this"),
        ("AccessDeniedException", "", AuthFailed, "may not ecr:DescribeImages", "allow ecr:DescribeImages"),
        ("ExpiredTokenException", "The security token included in the request is expired",
         AuthFailed, "expired", "renew"),
        ("UnrecognizedClientException", "The security token included in the request is invalid.",
         AuthFailed, "does not know the AWS key …NFIG of registry_config in eu-west-1", "check the key"),
        ("InvalidSignatureException",
         ("Signature expired: 20250101T000000Z is now earlier than 20250101T001000Z (20250101T001500Z - "
         "5 min.)"),
         AuthFailed, "clock is wrong", "NTP"),
        ("InvalidSignatureException",
         f"The request signature does not match: x-amz-security-token:{SESSION_TOKEN}",
         AuthFailed, "refuses the signature", "secret key"),
        ("RepositoryNotFoundException", "The repository with name 'team/app' does not exist",
         NotFound, "no such repository in eu-west-1", "check the repository's name"),
        ("InvalidParameterException", "Invalid parameter at 'repositoryName'",
         RegistryError, "InvalidParameterException (Invalid parameter at 'repositoryName')", ""),
        ("SomethingNewException", "", RegistryError, "SomethingNewException", ""),
    ],
)  # fmt: skip
def test_each_refusal_of_aws_is_one_message_with_its_remedy(
    aws: Aws,
    registries: Registries,
    code: str,
    message: str,
    kind: type[RegistryError],
    words: str,
    remedy: str,
) -> None:
    aws.push(APP, "1.0")
    aws.fail("DescribeImages", code, message)
    with pytest.raises(RegistryError) as refused:
        digest(registries, settings=with_aws(KEYS, aws_session_token=Secret(SESSION_TOKEN)))
    assert type(refused.value) is kind
    assert str(refused.value).startswith(f"{HOST}: {APP}: ")
    assert words in str(refused.value)
    assert remedy in refused.value.remedy
    reported = "".join(traceback.format_exception(refused.value)) + refused.value.remedy
    assert SECRET_KEY not in reported
    assert SESSION_TOKEN not in reported
    aws.well_behaved()
    registries.new_cycle()
    assert digest(registries, settings=with_aws(KEYS, aws_session_token=Secret(SESSION_TOKEN))).startswith(
        "sha256:"
    )


def test_a_missing_right_to_a_token_is_named(aws: Aws, registries: Registries) -> None:
    aws.fail("GetAuthorizationToken", "AccessDeniedException", "")
    with pytest.raises(AuthFailed, match="may not ecr:GetAuthorizationToken") as refused:
        open_ecr(registries, at()).credential()
    assert "allow ecr:GetAuthorizationToken on *" in refused.value.remedy


@pytest.mark.usefixtures("no_pauses")
def test_throttling_rests_the_api_for_all_its_services_also_after_a_restart(
    aws: Aws,
    registries: Registries,
    clock: SetClock,
    make: Callable[..., Registries],
    counted: list[tuple[str, str]],
) -> None:
    pushed = aws.push(APP, "1.0")
    aws.push("team/other", "1.0")
    aws.fail("*", "ThrottlingException", "Rate exceeded")
    with pytest.raises(RateLimited, match="throttles ecr:DescribeImages in eu-west-1") as limited:
        digest(registries)
    assert limited.value.retry_at == clock.now() + timedelta(seconds=60)
    assert len(aws.operations()) == 5
    assert counted == [("ecr_rules", "ok"), *[("ecr_describe", "rate_limited")] * 5]
    reborn = make(backoffs=registries.backoffs())
    for asked in (registries, reborn):
        asked.new_cycle()
        with pytest.raises(RateLimited):
            digest(asked, "team/other:1.0")
    assert len(aws.operations()) == 5
    aws.well_behaved()
    clock.advance(60)
    registries.new_cycle()
    assert digest(registries) == pushed


def test_without_credentials_the_message_says_where_to_put_them(
    aws: Aws, registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = aws.push(APP, "1.0")
    with pytest.raises(AuthFailed, match="no AWS credentials were found") as refused:
        digest(registries, settings=RegistrySettings())
    assert "AWS_ACCESS_KEY_ID" in refused.value.remedy
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env-secret")
    registries.new_cycle()
    assert digest(registries, settings=RegistrySettings()) == pushed


def test_a_profile_that_is_not_there_is_named(aws: Aws, registries: Registries) -> None:
    with pytest.raises(AuthFailed, match="the AWS profile ci is not in the AWS configuration files"):
        digest(registries, settings=with_aws(aws_profile="ci"))


def test_a_token_file_that_is_missing_is_named(
    aws: Aws, registries: Registries, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "gone"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x")
    with pytest.raises(AuthFailed, match="gone cannot be used"):
        digest(registries, settings=RegistrySettings())


IMAGE = (
    b'{"imageDetails": [{"imageDigest": "%s", "imageTags": ["1.0"], "imagePushedAt": 1e300}]}'
    % DIGEST.encode()
)


@pytest.mark.parametrize("body", [IMAGE, b"[" * 60_000, b'{"imageDetails": [5]}', b'{"imageDetails": 5}'])
def test_an_answer_that_cannot_be_read_fails_that_repository(
    aws: Aws, registries: Registries, body: bytes
) -> None:
    pushed = aws.push(APP, "1.0")
    aws.say("DescribeImages", body)
    for ask in (lambda: digest(registries), lambda: open_ecr(registries, at()).tags(at())):
        with pytest.raises(
            RegistryError, match=f"^{HOST}: {APP}: .*(cannot be read|ResponseParserError)"
        ) as malformed:
            ask()
        assert not isinstance(malformed.value, AuthFailed)
        assert "login page or a proxy" in malformed.value.remedy
        registries.new_cycle()
    aws.well_behaved()
    assert digest(registries) == pushed


def test_malformed_entries_of_an_answer_are_dropped(aws: Aws, registries: Registries) -> None:
    aws.push(APP, "1.0")
    images = [
        {"imageDigest": DIGEST, "imageTags": ["1.0", 5, None, ["a"]], "imagePushedAt": 253402300799},
        {"imageDigest": 5, "imageTags": ["2.0"]},
        {"imageDigest": "sha256:" + "2" * 64, "imageTags": None},
    ]
    aws.say("DescribeImages", json.dumps({"imageDetails": images, "nextToken": None}).encode())
    assert [tag.name for tag in open_ecr(registries, at()).tags(at())] == ["1.0"]
    registries.new_cycle()
    assert digest(registries) == DIGEST


@pytest.mark.parametrize(
    "data",
    ['{"authorizationToken": "QVdTOnB3", "expiresAt": null}',
     '{"authorizationToken": "\u00e4", "expiresAt": 1}',
     '{"authorizationToken": 5, "expiresAt": 1}', '{"expiresAt": 1}',
     '{"authorizationToken": "QVdT", "expiresAt": 1}'],
)  # fmt: skip
def test_an_answer_without_a_token_is_said_so(aws: Aws, registries: Registries, data: str) -> None:
    aws.say("GetAuthorizationToken", f'{{"authorizationData": [{data}]}}'.encode())
    with pytest.raises(RegistryError, match=f"{APP}: AWS answered without a token") as malformed:
        open_ecr(registries, at()).credential()
    assert "login page or a proxy" in malformed.value.remedy


@pytest.mark.parametrize(
    "output",
    ["hunter2", "[1]", '"hunter2', "\\xff",
     '{"Version": 1, "AccessKeyId": 5, "SecretAccessKey": ["hunter2"]}',
     '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "hunter2", "Expiration": "hunter2"}',
     "[" * 60_000],
)  # fmt: skip
def test_a_credential_process_that_prints_something_else_fails_its_profile(
    aws: Aws, registries: Registries, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str
) -> None:
    pushed = aws.push(APP, "1.0")
    (tmp_path / "output").write_bytes(output.encode().replace(b"\\xff", b"\xff"))
    (tmp_path / "config").write_text(f"[profile ci]\ncredential_process = /bin/cat {tmp_path}/output\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    profile = with_aws(aws_profile="ci")
    with pytest.raises(
        AuthFailed, match=f"{APP}: the AWS profile ci: what should give its credentials"
    ) as malformed:
        digest(registries, settings=profile)
    assert "aws sts get-caller-identity" in malformed.value.remedy
    assert "hunter2" not in "".join(traceback.format_exception(malformed.value))
    assert aws.operations() == []
    (tmp_path / "output").write_text('{"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "x"}')
    registries.new_cycle()
    assert digest(registries, settings=profile) == pushed


def test_without_any_region_the_message_says_where_to_put_it(aws: Aws, registries: Registries) -> None:
    here = at(host="127.0.0.1:1")
    with pytest.raises(RegistryError, match="no usable AWS region") as refused:
        registries.for_service(here, with_aws(KEYS, region=None)).digest(here)
    assert "registry_config.region" in refused.value.remedy


@pytest.mark.usefixtures("no_pauses")
def test_an_api_that_does_not_answer_is_asked_by_one_service_of_the_cycle_only(
    aws: Aws, registries: Registries, monkeypatch: pytest.MonkeyPatch, counted: list[tuple[str, str]]
) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", f"http://127.0.0.1:{taken.getsockname()[1]}")
        for name in ("team/app", "team/other"):
            with pytest.raises(
                RegistryError, match=f"{name}: the ECR API in eu-west-1 does not answer"
            ) as refused:
                digest(registries, f"{name}:1.0")
            assert "eu-west-1" in refused.value.remedy
    assert counted == [("ecr_rules", "unreachable")] * 5


@pytest.mark.usefixtures("no_pauses")
def test_credentials_that_aws_refuses_are_offered_once_a_cycle(aws: Aws, registries: Registries) -> None:
    aws.fail("*", "UnrecognizedClientException")
    for name in ("team/one", "team/two", "team/three"):
        with pytest.raises(AuthFailed, match=name):
            digest(registries, f"{name}:1.0")
    assert len(aws.operations()) == 1


def test_a_token_of_aws_and_the_keys_of_a_profile_are_in_no_line_of_the_log(
    aws: Aws, registries: Registries, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    password = f"a password of {tmp_path}"
    token = base64.b64encode(f"AWS:{password}".encode()).decode()
    aws.say("GetAuthorizationToken", json.dumps(
        {"authorizationData": [{"authorizationToken": token,
                                "expiresAt": aws.now() + 3600}]}).encode())  # fmt: skip
    keys = (
        '{"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "key-of-%s", "SessionToken": '
        '"session-of-%s"}'
    )
    (tmp_path / "output").write_text(keys % (tmp_path.name, tmp_path.name))
    (tmp_path / "config").write_text(f"[profile ci]\ncredential_process = /bin/cat {tmp_path}/output\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    text = f"{password}|{token}|key-of-{tmp_path.name}|session-of-{tmp_path.name}"
    assert logged(text) == text
    credential = open_ecr(registries, at(), with_aws(aws_profile="ci")).credential()
    assert credential == Credential("AWS", Secret(password))
    assert logged(text) == "***|***|***|***"


def test_no_secret_reaches_the_log_of_anybody(
    aws: Aws, registries: Registries, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = with_aws(KEYS, aws_session_token=Secret(SESSION_TOKEN))
    aws.push(APP, "1.0")
    registry = open_ecr(registries, at(), settings)
    registry.check(at())
    for secret in (SECRET_KEY, SESSION_TOKEN, PASSWORD):
        assert secret not in caplog.text
        assert secret not in repr(registry)
