"""A private image of Amazon ECR on the real engine: found over the AWS API, pulled with its token, and taken
back.

AWS is moto; what the engine pulls from is a registry that takes ECR's token and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import lab
from tests.support.aws import PASSWORD, REGION, Aws
from tests.support.fake_registry import Basic, Build, Pushed
from tests.support.lab import Shop
from updater_core.models import Committed, NotStarted, Reason, RolledBack

pytestmark = pytest.mark.engine

SECRET_KEY = "not-to-be-seen-anywhere"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    with Aws() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def ecr_shop(shop: Shop, aws: Aws) -> Shop:
    """A shop whose image lives at ECR; the release `one` runs."""
    keys = {"region": REGION, "aws_access_key_id": "AKIDSHOP", "aws_secret_access_key": SECRET_KEY}
    shop.policy = {"registry_type": "ecr", "registry_config": keys}
    push(shop, aws, "v1.0.0", lab.healthy("one"))
    shop.write("v1.0.0")
    shop.up()
    shop.registry.auth = Basic("AWS", PASSWORD)
    shop.registry.clear_log()
    return shop


def push(shop: Shop, aws: Aws, tag: str, image: Build) -> Pushed:
    pushed = shop.push(tag, image)
    aws.mirror(shop.registry, "team/app")
    return pushed


def test_a_new_image_is_found_over_aws_pulled_with_its_token_and_a_bad_one_is_taken_back(
    ecr_shop: Shop, aws: Aws
) -> None:
    two = push(ecr_shop, aws, "v1.0.0", lab.healthy("two"))
    outcome = ecr_shop.cycle().outcomes[0]
    assert isinstance(outcome, Committed), outcome
    assert ecr_shop.releases() == [("two", "running")]
    assert ecr_shop.state()["digest"] == two.digest
    assert sorted(set(aws.operations())) == ["DescribeImages", "GetAuthorizationToken"]
    assert {entry.headers["user-agent"].partition("/")[0] for entry in ecr_shop.registry.log} == {"docker"}
    bad = push(ecr_shop, aws, "v1.0.0", lab.unhealthy("three"))
    outcome = ecr_shop.cycle().outcomes[0]
    assert isinstance(outcome, RolledBack), outcome
    assert outcome.cause.reason is Reason.UNHEALTHY
    assert ecr_shop.releases() == [("two", "running")]
    assert [entry["digest"] for entry in ecr_shop.state()["quarantine"]] == [bad.digest]
    assert ecr_shop.operator_up_changes() == []


def test_a_cycle_without_an_update_asks_aws_once_and_the_registry_never(ecr_shop: Shop, aws: Aws) -> None:
    aws.clear_log()
    report = ecr_shop.cycle()
    assert (report.outcomes, report.needs_look) == ((), frozenset())
    assert aws.operations() == ["DescribeImages"]
    assert ecr_shop.registry.counts() == {}


@pytest.mark.parametrize(
    "selector",
    [{"semver_pattern": "v*"}, {"tag_pattern": "v*"}, {"tag_regex": "v[0-9.]+"}],
    ids=lambda s: next(iter(s)),
)
def test_each_way_to_select_follows_ecrs_own_list(ecr_shop: Shop, aws: Aws, selector: dict[str, str]) -> None:
    push(ecr_shop, aws, "unrelated", lab.healthy("other"))
    aws.next_second()
    push(ecr_shop, aws, "v1.10.0", lab.healthy("ten"))
    ecr_shop.policy |= selector
    aws.clear_log()
    assert isinstance(ecr_shop.cycle().outcomes[0], Committed)
    assert ecr_shop.releases() == [("ten", "running")]
    assert ":v1.10.0" in ecr_shop.compose_file.read_text()
    assert aws.operations() == ["DescribeImages", "GetAuthorizationToken"]


def test_without_the_right_to_a_token_nothing_happens_to_the_service(ecr_shop: Shop, aws: Aws) -> None:
    push(ecr_shop, aws, "v1.0.0", lab.healthy("two"))
    aws.fail("GetAuthorizationToken", "AccessDeniedException", "")
    outcome = ecr_shop.cycle().outcomes[0]
    assert isinstance(outcome, NotStarted), outcome
    assert "may not ecr:GetAuthorizationToken" in outcome.cause.message
    assert ecr_shop.releases() == [("one", "running")]
    aws.well_behaved()


def test_no_secret_is_written_anywhere(ecr_shop: Shop, aws: Aws) -> None:
    push(ecr_shop, aws, "v1.0.0", lab.healthy("two"))
    status, printed = ecr_shop.run("--once")
    assert status == 0, printed
    assert ecr_shop.releases() == [("two", "running")]
    written = [p for p in ecr_shop.folder.rglob("*") if p.is_file() and p.name != "config.json"]
    assert len(written) > 2
    for text in (printed, *(p.read_text(errors="replace") for p in written)):
        assert SECRET_KEY not in text
        assert PASSWORD not in text
