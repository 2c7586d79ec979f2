"""One update on the real engine, with real Compose: forward, and back from every way a release can fail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support import lab
from tests.support.failures import during_the_gate, let_go
from tests.support.lab import Shop, until
from updater_core.app.report import Report
from updater_core.models import Committed, NotStarted, Reason, RolledBack

pytestmark = pytest.mark.engine


def test_a_new_digest_behind_the_tag_is_taken_and_the_operators_next_up_is_a_no_op(shop: Shop) -> None:
    shop.push("latest", lab.healthy("one"))
    shop.write()
    shop.up()
    before = shop.compose_file.read_bytes()
    two = shop.push("latest", lab.healthy("two"))
    report = shop.cycle()
    assert [type(outcome) for outcome in report.outcomes] == [Committed]
    assert shop.releases() == [("two", "running")]
    assert shop.state()["digest"] == two.digest
    assert shop.compose_file.read_bytes() == before
    assert shop.operator_up_changes() == []
    assert shop.strays() == []


def test_nothing_new_means_nothing_is_done(shop: Shop) -> None:
    shop.push("latest", lab.good("one"))
    shop.write()
    shop.up()
    identity = shop.containers()[0].id
    shop.registry.clear_log()
    report = shop.cycle()
    assert report.outcomes == ()
    assert report.needs_look == frozenset()
    assert shop.containers()[0].id == identity
    assert shop.registry.counts() == {"manifest_head": 1}


def test_the_highest_version_is_taken_and_only_the_tag_in_the_file_changes(shop: Shop) -> None:
    for tag in ("v1.2.0", "v1.10.0", "v2.0.0-rc.1"):
        shop.push(tag, lab.good(tag))
    shop.write("v1.2.0")
    shop.compose_file.chmod(0o640)
    shop.up()
    shop.policy = {"semver_pattern": "v*"}
    before = shop.compose_file.read_text()
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.compose_file.read_text() == before.replace("v1.2.0", "v1.10.0")
    assert shop.compose_file.stat().st_mode & 0o777 == 0o640
    assert shop.releases() == [("v1.10.0", "running")]
    assert shop.operator_up_changes() == []


@pytest.mark.parametrize(
    ("current", "others", "expected"),
    [
        ("16.3", "9.6.24 15.8 16.4 17.0 17.1-alpine 18beta1 18.0.1 2024.1 20241001", "17.0"),
        (
            "4.0.16.2944-ls299",
            "3.0.10 4.0.16.2944-ls300 4.0.16.2944-ls1000 4.0.16.2945",
            "4.0.16.2944-ls1000",
        ),
    ],
)
def test_a_service_that_follows_versions_stays_in_the_family_of_its_tag(
    shop: Shop, current: str, others: str, expected: str
) -> None:
    for tag in (current, *others.split()):
        shop.push(tag, lab.good(tag))
    shop.write(current)
    shop.up()
    shop.policy = {"follow": "major"}
    before = shop.compose_file.read_text()
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.compose_file.read_text() == before.replace(current, expected)
    assert shop.releases() == [(expected, "running")]
    assert shop.cycle().outcomes == ()


def test_a_pattern_that_does_not_mean_the_current_tag_holds_and_its_remedy_leads_out(shop: Shop) -> None:
    for tag in ("16.3", "v9.6.24", "v16.3", "v17.0", "v17.0.1", "v17.1-rc1"):
        shop.push(tag, lab.good(tag))
    shop.write("16.3")
    shop.up()
    shop.policy = {"semver_pattern": "v*"}
    assert shop.cycle().outcomes == ()
    _, said = shop.run("--plan")
    assert "no update: current_unparsable" in said
    assert "family:    none, the selector does not mean 16.3" in said
    assert "v17.0: other_prefix" in said
    assert "to do:" in said
    status, said = shop.run("--test")
    assert (status, f"{shop.name}: held, current_unparsable" in said) == (0, True), said
    shop.write("v16.3")  # the version that runs, spelt as one of the tags that the plan lists
    shop.up()
    _, said = shop.run("--plan")
    assert "family:    v#.#, each # a number; v16.3 is at 16.3" in said
    assert "v9.6.24: other_precision" in said
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("v17.0", "running")]


def test_a_tag_of_one_build_is_not_called_up_to_date_and_the_remedy_leads_out(shop: Shop) -> None:
    for tag in ("main-5a81b1e", "latest-pg16", "latest-pg17"):
        shop.push(tag, lab.good(tag))
    shop.write("main-5a81b1e")
    shop.up()
    shop.policy = {"follow": "major"}
    _, said = shop.run("--plan")
    assert "no update: current_unparsable - main-5a81b1e names one build" in said
    assert "family:    none, main-5a81b1e names no version" in said
    shop.policy = {"tag_pattern": "main-*"}  # the remedy
    assert shop.cycle().outcomes == ()
    shop.push("main-0b81b1f", lab.good("next build"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    shop.write("latest-pg16")
    shop.up()
    shop.policy = {"follow": "major"}
    _, said = shop.run("--plan")
    assert "no update: variant - latest-pg16 names no version" in said
    assert "latest-pg17: other_variant" in said
    shop.policy = {"follow": "major", "follow_variant": True}  # the remedy
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("latest-pg17", "running")]


def test_of_two_builds_between_two_checks_the_later_one_is_taken(shop: Shop) -> None:
    shop.push("s-a", lab.good("first"))
    shop.write("s-a")
    shop.up()
    shop.policy = {"tag_pattern": "s-*"}
    assert shop.cycle().outcomes == ()
    shop.push("s-f1", replace(lab.good("second"), created="2026-03-01T10:00:00Z"))
    shop.push("s-0e", replace(lab.good("third"), created="2026-03-01T10:40:00Z"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("third", "running")]
    assert shop.cycle().outcomes == ()


def test_a_newer_image_of_the_operators_own_is_not_replaced_by_an_older_one(shop: Shop) -> None:
    shop.push("s-a", lab.good("first"))
    shop.write("s-a")
    shop.up()
    shop.policy = {"tag_pattern": "s-*"}
    shop.cycle()
    shop.push("hotfix", lab.good("hotfix"))
    shop.write("hotfix")
    shop.up()
    assert shop.cycle().outcomes == ()
    assert shop.state()["reason"] == "downgrade"
    assert shop.releases() == [("hotfix", "running")]
    shop.push("s-b", lab.good("later"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("later", "running")]


@pytest.mark.parametrize(
    ("release", "reason"),
    [
        (lab.unhealthy, Reason.UNHEALTHY),
        (lab.exits, Reason.RESTARTING),
        (lab.dies_when_asked, Reason.RESTARTING),
        (lab.no_entry, Reason.UP_FAILED),
    ],
)
def test_a_bad_release_is_rolled_back_quarantined_and_not_tried_again(
    shop: Shop, release: object, reason: Reason
) -> None:
    shop.policy = {"health_stable": 2}
    shop.push("latest", lab.healthy("one"))
    shop.write()
    shop.up()
    bad = shop.push("latest", release("two"))  # type: ignore[operator]
    outcome = _cycle(shop, release).outcomes[0]
    assert isinstance(outcome, RolledBack)
    assert outcome.cause.reason is reason
    assert shop.releases() == [("one", "running")]
    assert shop.operator_up_changes() == []
    assert [entry["digest"] for entry in shop.state()["quarantine"]] == [bad.digest]
    again = shop.cycle()
    assert (again.outcomes, again.needs_look) == ((), frozenset())
    shop.push("latest", lab.healthy("three"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("three", "running")]


def _cycle(shop: Shop, release: object) -> Report:
    """A cycle; a release that dies when it is asked to is reported once the gate has found it good."""
    if release is not lab.dies_when_asked:
        return shop.cycle()

    def dies() -> None:
        let_go(shop)
        until(lambda: shop.containers()[0].attrs["RestartCount"], what="the engine restarts it")

    return during_the_gate(shop, "two", dies)


def test_a_release_for_another_platform_never_reaches_the_service(shop: Shop) -> None:
    shop.push("latest", lab.good("one"))
    shop.write()
    shop.up()
    identity = shop.containers()[0].id
    shop.push("latest", lab.wrong_platform("two"))
    outcome = shop.cycle().outcomes[0]
    assert isinstance(outcome, NotStarted)
    assert outcome.cause.reason is Reason.PLATFORM_MISSING
    assert shop.containers()[0].id == identity
    assert shop.cycle().outcomes == ()


def test_two_services_of_one_file_are_both_updated_in_one_cycle(shop: Shop) -> None:
    for tag in ("1.0.0", "1.1.0"):
        shop.push(tag, lab.good(tag))
    text = "services:\n  web:\n    image: {image}\n    network_mode: none\n    stop_grace_period: 1s\n"
    shop.write(
        "1.0.0", text + "  worker:\n    image: {image}\n    network_mode: none\n    stop_grace_period: 1s\n"
    )
    shop.up()
    shop.policy = {"semver_pattern": "*"}
    web = shop.config()["services"][0]
    shop.settings = {"services": [web, {**web, "name": f"{shop.name}-worker", "compose_service": "worker"}]}
    assert [type(outcome) for outcome in shop.cycle().outcomes] == [Committed, Committed]
    assert shop.releases("web") == shop.releases("worker") == [("1.1.0", "running")]
    assert shop.compose_file.read_text().count(":1.1.0") == 2
    assert shop.operator_up_changes() == []
