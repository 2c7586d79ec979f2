"""What a dry run is asked for holds with every Compose, also one whose form nobody has seen yet: an edit that
is not deployed stays so, a dependency stays as it is, and an update goes through.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_update_groups import hold_of, outcome_of
from tests.support import compose_wrapper, lab, newer_docker
from tests.support.lab import Shop
from updater_core.models import Committed, Reason

pytestmark = pytest.mark.engine

ALONE = "    restart: unless-stopped\n    stop_grace_period: 0s\n    network_mode: none\n"
SHOP = f"""\
services:
  db:
    image: {{db}}
    environment: {{{{SIZE: small}}}}
{ALONE}\
  web:
    image: {{image}}
    environment: {{{{MODE: one}}}}
    depends_on: [db]
{ALONE}"""


@pytest.fixture(params=["2.26", "2.40", *compose_wrapper.FORMS])
def running(
    request: pytest.FixtureRequest, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shop:
    """A shop that was started by the Compose of this name; its next release is there."""
    if request.param == "2.40":
        newer_docker.use_compose(monkeypatch)
    elif request.param != "2.26":
        compose_wrapper.use(monkeypatch, tmp_path, request.param)
    shop.push("db", lab.good("db"))
    shop.push("latest", lab.good("one"))
    shop.write(text=SHOP.replace("{db}", f"{shop.repository}:db"))
    shop.up()
    shop.push("latest", lab.good("two"))
    return shop


def edit(shop: Shop, old: str, new: str) -> None:
    text = shop.compose_file.read_text()
    assert old in text
    shop.compose_file.write_text(text.replace(old, new))


def ids(shop: Shop, service: str) -> list[str]:
    return [container.id for container in shop.containers(service)]


def test_an_update_goes_through(running: Shop) -> None:
    db = ids(running, "db")
    assert isinstance(outcome_of(running), Committed)
    assert running.releases() == [("two", "running")]
    assert ids(running, "db") == db


def test_an_edit_that_is_not_deployed_is_not_deployed_by_us(running: Shop) -> None:
    before = ids(running, "web")
    edit(running, "MODE: one", "MODE: two")
    hold = hold_of(running)
    assert hold.reason is Reason.DRIFT
    assert "web" in hold.detail
    assert ids(running, "web") == before


def test_an_edit_of_a_dependency_is_not_deployed_by_us(running: Shop) -> None:
    db = ids(running, "db")
    edit(running, "SIZE: small", "SIZE: large")
    assert isinstance(outcome_of(running), Committed)
    assert ids(running, "db") == db


def test_a_dependency_that_its_operator_has_stopped_stays_stopped(running: Shop) -> None:
    running.compose("stop", "db")
    assert isinstance(outcome_of(running), Committed)
    assert running.releases() == [("two", "running")]
    ((_, status),) = running.releases("db")
    assert status == "exited"
