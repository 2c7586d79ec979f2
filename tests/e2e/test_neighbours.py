"""The other services of a project while one of them is updated: none is removed, made or waited for, whatever
the project's `.env` asks of Compose.
"""

from __future__ import annotations

import pytest

from tests.e2e.test_update_groups import hold_of, outcome_of
from tests.support import lab, newer_docker
from tests.support.lab import Shop
from updater_core.models import Committed, Reason, RolledBack

pytestmark = pytest.mark.engine

ALONE = "    restart: unless-stopped\n    stop_grace_period: 0s\n    network_mode: none\n"
WEB = f"services:\n  web:\n    image: {{image}}\n{ALONE}"
EXTRA = f"services:\n  extra:\n    image: {{image}}\n{ALONE}"
NEVER = "{test: [CMD, 'true'], interval: 1h, start_period: 1h}"


@pytest.fixture(params=["own", "newer"])
def both(request: pytest.FixtureRequest, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop with this machine's own Compose, and with the newest, which reads its switches from `.env`."""
    if request.param == "newer":
        newer_docker.use_compose(monkeypatch)
    return shop


# ------------------------------------------------------------------------------------- Compose's own switches


@pytest.mark.parametrize(
    "switches",
    [
        "COMPOSE_REMOVE_ORPHANS=1",
        "COMPOSE_REMOVE_ORPHANS=true\nCOMPOSE_IGNORE_ORPHANS=false",
        "COMPOSE_PROFILES=tools\nCOMPOSE_PROJECT_NAME=another\nCOMPOSE_FILE=nowhere.yml",
        "COMPOSE_PROGRESS=quiet\nCOMPOSE_ANSI=always\nCOMPOSE_MENU=1\nCOMPOSE_STATUS_STDOUT=1",
        "COMPOSE_PARALLEL_LIMIT=1\nCOMPOSE_ENV_FILES=nowhere.env\nCOMPOSE_IGNORE_ORPHANS=1",
        "COMPOSE_BAKE=1\nCOMPOSE_EXPERIMENTAL=1\nCOMPOSE_PATH_SEPARATOR=;\nCOMPOSE_CONVERT_WINDOWS_PATHS=1\n"
        "DOCKER_HOST=tcp://127.0.0.1:1\nDOCKER_CONTEXT=nowhere\nDOCKER_TLS_VERIFY=1\n"
        "BUILDKIT_HOST=tcp://127.0.0.1:1\nBUILDKIT_PROGRESS=quiet",
    ],
)
def test_no_switch_in_the_projects_env_file_touches_another_service(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, switches: str
) -> None:
    """`extra` stands in an override file that `web` was not started with, `tools` in a profile."""
    newer_docker.use_compose(monkeypatch)
    shop.push("latest", lab.good("one"))
    shop.write(text=f"{WEB}  tools:\n    image: {{image}}\n    profiles: [tools]\n{ALONE}")
    override = shop.folder / "override.yml"
    override.write_text(EXTRA.format(image=f"{shop.repository}:latest"))
    shop.up("web")
    shop.compose("-f", "docker-compose.yml", "-f", "override.yml", "up", "-d", "extra")
    extra = [container.id for container in shop.containers("extra")]
    assert len(extra) == 1
    (shop.folder / ".env").write_text(switches + "\n")

    for release, kind in ((lab.good("two"), Committed), (lab.exits("three"), RolledBack)):
        shop.push("latest", release)
        assert isinstance(outcome_of(shop), kind)
        assert shop.releases() == [("two", "running")]
        assert [container.id for container in shop.containers("extra")] == extra
        assert shop.containers("tools") == []


def test_a_service_in_a_profile_is_updated_and_brings_no_other_of_its_profile(both: Shop) -> None:
    both.push("latest", lab.good("one"))
    profiles = "    profiles: [tools]\n"
    both.write(text=f"{WEB}{profiles}  other:\n    image: {{image}}\n{profiles}{ALONE}")
    both.compose("--profile", "tools", "up", "-d", "web")
    both.push("latest", lab.good("two"))
    assert isinstance(outcome_of(both), Committed)
    assert both.releases() == [("two", "running")]
    assert both.containers("other") == []


# ----------------------------------------------------------------------------------- what a service waits for


def begin(shop: Shop, healthcheck: str, condition: str = "service_healthy", more: str = "") -> None:
    """`web` runs; it depends on `db`, whose health is reported by `healthcheck`."""
    shop.push("db", lab.good("db"))
    shop.push("latest", lab.good("one"))
    depends = f"    depends_on: {{{{db: {{{{condition: {condition}{more}}}}}}}}}\n"
    check = healthcheck.replace("{", "{{").replace("}", "}}")
    database = f"  db:\n    image: {shop.repository}:db\n    healthcheck: {check}\n{ALONE}"
    shop.write(text=f"{WEB}{depends}{database}")
    shop.up("db")
    shop.up("--no-deps", "web")
    shop.push("latest", lab.good("two"))


@pytest.mark.parametrize(
    ("healthcheck", "state"),
    [
        (NEVER, "starting"),
        ("{test: [CMD, /bin/test, -f, /nowhere], interval: 100ms, retries: 1}", "unhealthy"),
    ],
)
def test_a_dependency_that_is_not_ready_is_named_at_once(both: Shop, healthcheck: str, state: str) -> None:
    begin(both, healthcheck)
    lab.until(lambda: both.containers("db")[0].health == state, what=f"db is {state}")
    hold = hold_of(both)
    assert hold.reason is Reason.DEPENDENCY_NOT_READY
    assert f"web waits for db (service_healthy), which is {state}" in hold.detail
    assert "db" in hold.remedy
    assert both.releases() == [("one", "running")]


def test_a_dependency_that_is_gone_is_named_and_not_made(both: Shop) -> None:
    begin(both, NEVER)
    both.compose("rm", "-f", "-s", "db")
    hold = hold_of(both)
    assert hold.reason is Reason.DEPENDENCY_NOT_READY
    assert "db" in hold.detail
    assert both.containers("db") == []


@pytest.mark.parametrize("more", ["", ", required: false"])
def test_a_dependency_that_only_has_to_be_started_is_not_waited_for(both: Shop, more: str) -> None:
    begin(both, NEVER, "service_started", more)
    assert isinstance(outcome_of(both), Committed)
    assert both.releases() == [("two", "running")]


def test_a_group_whose_own_member_is_not_well_is_not_waited_for(both: Shop) -> None:
    """Its new release may well be the cure."""
    both.compose_service = ["web", "db"]
    both.push("latest", lab.unhealthy("one"))
    depends = "    depends_on: {{db: {{condition: service_healthy}}}}\n"
    both.write(text=f"{WEB}{depends}  db:\n    image: {{image}}\n{ALONE}")
    both.up("db")
    both.up("--no-deps", "web")
    lab.until(lambda: both.containers("db")[0].health == "unhealthy", what="db is unhealthy")
    both.push("latest", lab.healthy("two"))
    assert isinstance(outcome_of(both), Committed)
    assert both.releases("web") == both.releases("db") == [("two", "running")]
