"""Services that end by themselves, and services that are declared to restart with another: what `depends_on`
says is heeded in the transaction as Compose heeds it.
"""

from __future__ import annotations

import pytest

from tests.e2e.test_update_groups import creations, hold_of, outcome_of
from tests.support import lab, newer_docker
from tests.support.fake_registry import Build
from tests.support.lab import Shop
from updater_core.models import Committed, Reason, RolledBack

pytestmark = pytest.mark.engine

ALONE = "    restart: unless-stopped\n    stop_grace_period: 0s\n    network_mode: none\n"
DONE = "    depends_on: {{migrate: {{condition: service_completed_successfully}}}}\n"
MIGRATE = """\
  migrate:
    image: {migration}
    command: [/bin/sh, -c, "cat /release >> /data/log; echo >> /data/log; test ! -e /fails"]
    network_mode: none
    volumes: [./data:/data]
"""


@pytest.fixture(params=["own", "newer"])
def both(request: pytest.FixtureRequest, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop with this machine's own Compose, and with the newest."""
    if request.param == "newer":
        newer_docker.use_compose(monkeypatch)
    return shop


def begin(shop: Shop, migration: str = "{image}", tag: str = "v1.0.0") -> None:
    (shop.folder / "data").mkdir()
    shop.push(tag, lab.good("one"))
    shop.push("tool", lab.good("tool"))
    text = (
        f"services:\n  web:\n    image: {{image}}\n{ALONE}{DONE}{MIGRATE.replace('{migration}', migration)}"
    )
    shop.write(tag, text.replace("{tool}", f"{shop.repository}:tool"))
    shop.up()
    lab.until(lambda: shop.releases("migrate")[0][1] == "exited", what="the migration has ended")
    shop.policy |= {"semver_pattern": "v*"}


def failing(name: str) -> Build:
    made = lab.good(name)
    return Build(files={**made.files, "fails": b""}, config=made.config, docker=True)


def log(shop: Shop) -> list[str]:
    """The releases whose migration has run, in their order."""
    return (shop.folder / "data" / "log").read_text().split()


@pytest.mark.parametrize("group", ["web", ["web", "migrate"], ["migrate", "web"]])
def test_a_migration_of_the_same_image_runs_first_and_once(both: Shop, group: str | list[str]) -> None:
    begin(both)
    both.compose_service = group
    before = both.compose_file.read_text()
    both.push("v1.1.0", lab.good("two"))
    assert isinstance(outcome_of(both), Committed)
    assert both.releases("web") == [("two", "running")]
    assert both.releases("migrate") == [("two", "exited")]
    assert log(both) == ["one", "two"]
    assert both.compose_file.read_text() == before.replace("v1.0.0", "v1.1.0")
    migrated = both.containers("migrate")[0].attrs["State"]["FinishedAt"]
    assert migrated <= both.containers("web")[0].attrs["State"]["StartedAt"]
    assert both.cycle().outcomes == ()


def test_a_migration_behind_the_same_tag_goes_along(both: Shop) -> None:
    begin(both, tag="latest")
    both.policy = {}
    both.push("latest", lab.good("two"))
    assert isinstance(outcome_of(both), Committed)
    assert both.releases("migrate") == [("two", "exited")]
    assert log(both) == ["one", "two"]


def test_a_migration_that_fails_leaves_the_service_as_it_runs(both: Shop) -> None:
    begin(both)
    before = both.compose_file.read_text()
    web = both.containers("web")[0]
    both.push("v1.1.0", failing("two"))
    outcome = outcome_of(both)
    assert isinstance(outcome, RolledBack)
    assert outcome.cause.reason is Reason.EXITED
    assert "migrate" in outcome.cause.message
    assert outcome.quarantine
    now = both.containers("web")[0]
    assert (now.id, now.attrs["State"]["StartedAt"]) == (web.id, web.attrs["State"]["StartedAt"])
    assert both.releases("migrate") == [("one", "exited")]
    assert log(both) == ["one", "two", "one"]
    assert both.compose_file.read_text() == before


def test_a_release_that_fails_behind_its_migration_goes_back_with_it(both: Shop) -> None:
    begin(both)
    both.push("v1.1.0", lab.exits("two"))
    outcome = outcome_of(both)
    assert isinstance(outcome, RolledBack)
    assert "web" in outcome.cause.message
    assert both.releases("web") == [("one", "running")]
    assert both.releases("migrate") == [("one", "exited")]
    assert log(both) == ["one", "two", "one"]
    status, said = both.run("--test")
    assert status == 0, said
    for number in (2, 3):  # what we left behind is no edit of the operator's, back or forward
        both.push(f"v1.{number}.0", lab.good(f"good {number}"))
        assert isinstance(outcome_of(both), Committed)
        assert both.releases("web") == [(f"good {number}", "running")]


def test_a_migration_that_was_cleared_away_is_made_again(both: Shop) -> None:
    begin(both)
    both.compose("rm", "-f", "migrate")
    both.push("v1.1.0", lab.good("two"))
    assert isinstance(outcome_of(both), Committed)
    assert both.releases("migrate") == [("two", "exited")]
    assert log(both) == ["one", "two"]


def test_a_one_shot_of_another_image_runs_again_first_as_it_is(both: Shop) -> None:
    begin(both, "{tool}")
    tool = both.containers("migrate")[0].id
    both.push("v1.1.0", lab.good("two"))
    assert isinstance(outcome_of(both), Committed)
    assert both.releases("web") == [("two", "running")]
    assert both.containers("migrate")[0].id == tool
    assert log(both) == ["tool", "tool"]


@pytest.mark.parametrize("restart", ['    restart: "no"\n', "    restart: on-failure\n"])
def test_a_one_shot_alone_is_updated_and_taken_back(shop: Shop, restart: str) -> None:
    """A front end that is copied into a volume, for example."""
    text = f"services:\n  web:\n    image: {{image}}\n    network_mode: none\n{restart}"
    shop.push("latest", lab.build("one", "exit 0"))
    shop.write(text=text)
    shop.up()
    lab.until(lambda: shop.releases() == [("one", "exited")], what="it has ended")
    shop.push("latest", lab.build("two", "exit 0"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("two", "exited")]
    shop.push("latest", lab.build("three", "exit 3"))
    assert isinstance(outcome_of(shop), RolledBack)
    assert shop.releases() == [("two", "exited")]


def test_what_has_ended_and_may_have_been_stopped_is_held_with_a_remedy_that_leads_out(shop: Shop) -> None:
    """Nothing tells one that ends by itself from one that somebody stopped, unless its file does."""
    text = "services:\n  web:\n    image: {image}\n    network_mode: none\n"
    shop.push("latest", lab.build("one", "exit 0"))
    shop.write(text=text)
    shop.up()
    lab.until(lambda: shop.releases() == [("one", "exited")], what="it has ended")
    shop.push("latest", lab.build("two", "exit 0"))
    hold = hold_of(shop)
    assert hold.reason is Reason.NOT_RUNNING
    assert "ended with status 0" in hold.detail
    assert 'restart: "no"' in hold.remedy
    for words, status in (("--test", 3), ("--plan", 0)):
        said = shop.run(words)
        assert (said[0], "ended with status 0" in " ".join(said[1].split())) == (status, True), said[1]
    shop.policy |= {"start_stopped": True}
    assert shop.run("--test")[0] == 0
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("two", "exited")]
    del shop.policy["start_stopped"]
    shop.write(text=f'{text}    restart: "no"\n')
    shop.up("--pull", "never")
    lab.until(lambda: shop.releases() == [("two", "exited")], what="it has ended again")
    shop.push("latest", lab.build("three", "exit 0"))
    assert shop.run("--test")[0] == 0
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("three", "exited")]


def test_a_one_shot_that_has_failed_is_held_until_it_has_run_well_or_may_be_tried(shop: Shop) -> None:
    text = 'services:\n  web:\n    image: {image}\n    network_mode: none\n    restart: "no"\n'
    shop.push("latest", lab.build("one", "exit 3"))
    shop.write(text=text)
    shop.up()
    lab.until(lambda: shop.releases() == [("one", "exited")], what="it has ended")
    shop.push("latest", lab.build("two", "exit 0"))
    hold = hold_of(shop)
    assert (hold.reason, "failed with status 3" in hold.detail) == (Reason.NOT_RUNNING, True)
    assert shop.run("--test")[0] == 3
    shop.policy |= {"start_stopped": True}
    assert isinstance(outcome_of(shop), Committed)
    lab.until(lambda: shop.releases() == [("two", "exited")], what="the new one has ended")


def test_what_has_crashed_and_nobody_restarts_gets_its_fix_whether_that_runs_or_ends(shop: Shop) -> None:
    text = "services:\n  web:\n    image: {image}\n    network_mode: none\n    stop_grace_period: 0s\n"
    shop.push("latest", lab.build("one", "exit 3"))
    shop.write(text=text)
    shop.up()
    lab.until(lambda: shop.releases() == [("one", "exited")], what="it has ended")
    shop.push("latest", lab.exits("two"))
    assert isinstance(outcome_of(shop), RolledBack)
    shop.push("latest", lab.build("three", "exit 0"))
    assert isinstance(outcome_of(shop), Committed)
    lab.until(lambda: shop.releases() == [("three", "exited")], what="the new one has ended")


def test_a_service_that_was_stopped_is_no_one_shot(shop: Shop) -> None:
    shop.push("latest", lab.good("one"))
    shop.write(text=f"services:\n  web:\n    image: {{image}}\n{ALONE.replace('0s', '30s')}")
    shop.up()
    shop.compose("stop")  # it ends with 0, as it has the time to
    shop.push("latest", lab.good("two"))
    hold = hold_of(shop)
    assert (hold.reason, hold.detail) == (Reason.NOT_RUNNING, "web is exited")
    assert shop.run("--test")[0] == 0  # a choice of its operator's


# ----------------------------------------------------------------------------- restarted with another service

AGENT = "    depends_on: {{{{web: {{{{condition: service_started, restart: {restart}}}}}}}}}\n"


@pytest.mark.parametrize("restart", ["true", "false"])
def test_what_is_declared_to_restart_with_a_service_does_and_nothing_else(both: Shop, restart: str) -> None:
    both.push("agent", lab.good("agent"))
    both.push("latest", lab.good("one"))
    image = f"    image: {both.repository}:agent\n"
    agent = f"  agent:\n{image}{AGENT.format(restart=restart)}{ALONE}"
    last = (
        f"  last:\n{image}    depends_on: {{{{agent: {{{{condition: service_started, restart: "
        f"true}}}}}}}}\n{ALONE}"
    )
    both.write(text=f"services:\n  web:\n    image: {{image}}\n{ALONE}{agent}{last}")
    both.up()
    before = {name: both.containers(name)[0].attrs["State"]["StartedAt"] for name in ("agent", "last")}
    both.push("latest", lab.good("two"))
    with creations(both):
        assert isinstance(outcome_of(both), Committed)
    after = {name: both.containers(name)[0].attrs["State"]["StartedAt"] for name in ("agent", "last")}
    assert (after["agent"] != before["agent"]) == (restart == "true")
    assert after["last"] == before["last"]
    assert both.releases("agent") == [("agent", "running")]
    assert both.releases() == [("two", "running")]


def test_an_updater_that_is_killed_while_a_migration_runs_leaves_no_half(shop: Shop) -> None:
    begin(shop)
    shop.push("v1.1.0", lab.good("two"))
    text = shop.compose_file.read_text().replace(
        "cat /release", "until [ -e /data/go ]; do sleep 0.1; done; cat /release"
    )
    shop.compose_file.write_text(text)
    (shop.folder / "data" / "go").touch()
    shop.up()
    lab.until(lambda: shop.releases("migrate") == [("one", "exited")], what="the edited migration has ended")
    web = shop.containers("web")[0].id
    (shop.folder / "data" / "go").unlink()
    child = shop.updater("--once")
    lab.until(lambda: shop.releases("migrate") == [("two", "running")], what="the new migration runs")
    child.kill()
    child.communicate()
    (shop.folder / "data" / "go").touch()

    shop.policy["pause_updates"] = True  # so that what is seen is the recovery alone
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, RolledBack)
    assert outcome.cause.reason is Reason.INTERRUPTED
    assert shop.containers("web")[0].id == web
    assert shop.releases("migrate") == [("one", "exited")]
    assert shop.compose_file.read_text() == text
    assert shop.strays() == []
