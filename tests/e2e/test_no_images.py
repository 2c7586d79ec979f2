"""What is no image for this host, or no other image, never reaches a service and never stands in another
one's way.
"""

from __future__ import annotations

import pytest

from tests.support import artifacts, lab
from tests.support.fake_registry import OCI_INDEX
from tests.support.lab import Shop
from updater_core.models import Committed

pytestmark = pytest.mark.engine
APP = "team/app"


@pytest.mark.parametrize("kind", artifacts.NO_IMAGES)
def test_the_next_best_is_taken_if_the_highest_is_no_image(kind: str, shop: Shop) -> None:
    for tag in ("1.5.0", "1.6.0"):
        shop.push(tag, lab.good(tag))
    shop.registry.put_manifest(APP, "2.1.0", *artifacts.NO_IMAGES[kind])
    shop.write("1.5.0")
    shop.up()
    shop.policy = {"semver_pattern": "*"}
    assert [type(outcome) for outcome in shop.cycle().outcomes] == [Committed]
    assert shop.releases() == [("1.6.0", "running")]
    report = shop.cycle()
    assert (report.outcomes, report.needs_look) == ((), frozenset())
    (service,) = shop.state()["services"].values() if "services" in shop.state() else [shop.state()]
    assert service["reason"] == "same_digest"
    status, said = shop.run("--plan")
    assert status == 0
    assert "not_an_image" in said


def test_what_only_looks_like_an_image_in_its_index_is_met_before_any_pull(shop: Shop) -> None:
    for tag in ("1.5.0", "1.6.0"):
        shop.push(tag, lab.good(tag))
    unmarked = {
        artifacts.push_unmarked(shop.registry, APP, f"2.{number}.0", kind)
        for number, kind in enumerate(artifacts.UNMARKED)
    }
    shop.write("1.5.0")
    shop.up()
    shop.policy = {"semver_pattern": "*"}
    assert [type(outcome) for outcome in shop.cycle().outcomes] == [Committed]
    assert shop.releases() == [("1.6.0", "running")]
    by_engine = [each.path for each in shop.registry.log if "docker/" in each.headers.get("user-agent", "")]
    assert by_engine
    assert not {path.rpartition("/")[2] for path in by_engine} & unmarked
    _, said = shop.run("--plan")
    assert "5 not_an_image" in said
    assert "1 not_found" in said


def test_the_running_tag_that_becomes_no_image_is_held_before_any_pull(shop: Shop) -> None:
    shop.push("latest", lab.good("one"))
    shop.write()
    shop.up()
    artifacts.push_unmarked(shop.registry, APP, "latest", "chart")
    report = shop.cycle()
    assert report.outcomes == ()
    assert shop.state()["reason"] == "not_an_image"
    assert shop.releases() == [("one", "running")]


def test_an_index_for_other_platforms_is_passed_over(shop: Shop) -> None:
    for tag in ("1.5.0", "1.6.0"):
        shop.push(tag, lab.good(tag))
    elsewhere = {"os": "linux", "architecture": "s390x"}
    body = artifacts.index(artifacts.entry(b"x", platform=elsewhere))
    shop.registry.put_manifest(APP, "2.1.0", OCI_INDEX, body)
    shop.write("1.5.0")
    shop.up()
    shop.policy = {"semver_pattern": "*"}
    assert [type(outcome) for outcome in shop.cycle().outcomes] == [Committed]
    assert shop.releases() == [("1.6.0", "running")]
    assert "platform_missing" in shop.run("--plan")[1]


def test_a_new_attestation_around_the_same_image_is_no_update(shop: Shop) -> None:
    first = shop.push("latest", lab.good("one"))
    shop.write()
    shop.up()
    two = shop.push("latest", lab.good("two"))
    artifacts.push_around(shop.registry, APP, "latest", two.digest, "on Monday")
    assert [type(outcome) for outcome in shop.cycle().outcomes] == [Committed]
    identity = shop.containers()[0].id
    artifacts.push_around(shop.registry, APP, "latest", two.digest, "on Tuesday")
    for _ in range(2):
        report = shop.cycle()
        assert (report.outcomes, report.needs_look) == ((), frozenset())
    assert shop.containers()[0].id == identity
    status, said = shop.run("--rollback", shop.name)
    assert status == 0, said
    assert shop.releases() == [("one", "running")]
    assert first.digest


def test_a_new_image_behind_the_tag_is_still_an_update(shop: Shop) -> None:
    one = shop.push("latest", lab.good("one"))
    artifacts.push_around(shop.registry, APP, "latest", one.digest, "on Monday")
    shop.write()
    shop.up()
    two = shop.push("latest", lab.good("two"))
    artifacts.push_around(shop.registry, APP, "latest", two.digest, "on Monday")
    assert [type(outcome) for outcome in shop.cycle().outcomes] == [Committed]
    assert shop.releases() == [("two", "running")]
