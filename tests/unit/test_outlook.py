"""What is concluded from dry runs, and from the dependencies of a model, before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.support.simulator import SimCompose, SimEngine, SimHost, SimRelease
from updater_core.composefile import dry_run
from updater_core.errors import ComposeError
from updater_core.models import Container, Hold, Project, Reason
from updater_core.protocols import Preview
from updater_core.targets.compose import dependencies, outlook
from updater_core.targets.compose.dependencies import Dependency, waiting_for
from updater_core.targets.compose.outlook import Outlook
from updater_core.targets.compose.plan import Group, Move

PROJECT = Project("shop", "/srv", ("/srv/c.yml",))
WEB_RUNS = "Container shop-web-1 Running\n"
WEB_CHANGES = "Container shop-web-1 Recreate\nContainer 0afb79c24144_shop-web-1 Starting\n"


@dataclass
class Says(SimCompose):
    """A Compose whose dry runs say this, with the dependencies and without them."""

    whole: str = WEB_RUNS
    alone: str = WEB_RUNS
    version: str = "2.26.1"
    asked: list[bool] = field(default_factory=list)
    # without dependencies, by the services that are named
    by_call: Mapping[str, str] = field(default_factory=dict)

    def preview(
        self, project: Project, replicas: Mapping[str, int], *, with_dependencies: bool
    ) -> Preview | None:
        self.asked.append(with_dependencies)
        text = self.whole if with_dependencies else self.by_call.get(" ".join(sorted(replicas)), self.alone)
        if text == "refused":
            raise ComposeError("dependency failed to start")
        return Preview(dry_run.read(text)) if text else None


def of(compose: Says, depends_on: Mapping[str, Any] | None = None) -> Outlook | Hold:
    release = SimRelease("sha256:" + "a" * 64)
    host = SimHost(project="shop")
    host.load(release, "registry.example/app", "1.0")
    for service in ("web", "db"):
        host.start(host.create(f"shop-{service}-1", service, "registry.example/app:1.0", release.id))
    move = Move("web", "registry.example/app:1.0", "registry.example/app:1.1", release.id, 1)
    model = {"services": {"web": {"depends_on": depends_on or {"db": {}}}, "db": {}}}
    return outlook.of_group(Group(PROJECT, (move,), (), model), SimEngine(host), compose)


@pytest.mark.parametrize("version", ["2.26.1-4", "2.40.3-3", "5.5.1"])
def test_one_dry_run_is_enough_if_all_is_quiet(version: str) -> None:
    compose = Says(
        whole=WEB_RUNS + "Container shop-db-1 Running\nContainer shop-db-1 Waiting\n", version=version
    )
    found = of(compose)
    assert isinstance(found, Outlook)
    assert found.preview is not None
    assert found.with_dependencies
    assert compose.asked == [True]


@pytest.mark.parametrize(
    ("whole", "alone", "version", "is_changed"),
    [
        # a dependency would be started, or changed: it is left out, and the edit of `web` is seen where it
        # can be
        ("Container shop-db-1 Starting\n" + WEB_RUNS, WEB_RUNS, "2.26.1", False),
        ("Container shop-db-1 Starting\n" + WEB_CHANGES, WEB_CHANGES, "2.26.1", True),
        ("Container shop-db-1 Recreate\n" + WEB_CHANGES, WEB_RUNS, "2.26.1", False),
        ("Container shop-db-1 Recreate\n" + WEB_CHANGES, WEB_CHANGES, "2.26.1", None),
        ("Container shop-db-1 Recreate\n" + WEB_CHANGES, WEB_CHANGES, "2.40.3", True),
        ("Container shop-db-1 Recreate\n" + WEB_CHANGES, WEB_RUNS, "5.5.1", False),
        # a word that nobody knows is a change
        ("Container shop-db-1 Purge\n" + WEB_RUNS, WEB_RUNS, "5.5.1", False),
        # a dry run that does not name the group's own container is none
        ("", "", "5.5.1", None),
        ("Container shop-db-1 Running\n", WEB_RUNS, "5.5.1", None),
        ("Container shop-db-1 Recreate\n" + WEB_RUNS, "Network shop_default Creating\n", "5.5.1", None),
    ],
)
def test_a_dependency_that_would_not_be_left_alone_is_kept_out(
    whole: str, alone: str, version: str, is_changed: bool | None
) -> None:
    found = of(Says(whole=whole, alone=alone, version=version))
    assert isinstance(found, Outlook)
    assert not found.with_dependencies
    preview = found.preview
    assert (preview and outlook.would_change(preview, "shop-web-1")) == is_changed


GROUPS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    # depends_on of each service of the group; what a dry run without dependencies says, by the services named
    # in it
    "a migration has its own call": (
        {"web": {"migrate": {"condition": "service_completed_successfully"}}, "migrate": {}},
        {"web": "Container shop-web-1 Running", "migrate": "Container shop-migrate-1 Created"},
    ),
    "one of two was updated alone before": (
        {"web": {"job": {}}, "job": {"db": {}}},
        {
            "job web": "Container shop-web-1 Recreate\nContainer shop-job-1 Recreate",
            "web": "Container shop-web-1 Running",
            "job": "Container shop-job-1 Recreate",
        },
    ),
}


@pytest.mark.parametrize("kind", GROUPS)
def test_what_an_update_of_ours_left_is_no_edit_of_a_group(kind: str) -> None:
    depends_on, said = GROUPS[kind]
    release = SimRelease("sha256:" + "a" * 64)
    host = SimHost(project="shop")
    host.load(release, "registry.example/app", "1.0")
    moves = []
    for service in depends_on:
        made = host.create(f"shop-{service}-1", service, "registry.example/app:1.0", release.id)
        if service == "migrate":
            made.status = "exited"
        else:
            host.start(made)
        is_first = service == "migrate"
        moves.append(Move(service, "a:1", "a:2", release.id, 1, is_one_shot=is_first, runs_first=is_first))
    model = {"services": {name: {"depends_on": each} for name, each in depends_on.items()} | {"db": {}}}
    whole = "Container shop-web-1 Recreate\nContainer shop-job-1 Running\nContainer shop-migrate-1 Created\n"
    compose = Says(whole=whole, by_call=said)
    found = outlook.of_group(Group(PROJECT, tuple(moves), (), model), SimEngine(host), compose)
    assert isinstance(found, Outlook)
    preview = found.preview
    assert preview is not None
    assert [name for name in depends_on if outlook.would_change(preview, f"shop-{name}-1")] == []


@pytest.mark.parametrize("version", ["2.26.1", "5.5.1"])
def test_a_container_that_was_started_without_dependencies_is_no_edit(version: str) -> None:
    found = of(Says(whole=WEB_CHANGES, alone=WEB_RUNS, version=version))
    assert isinstance(found, Outlook)
    assert found.preview is not None
    assert not outlook.would_change(found.preview, "shop-web-1")


@pytest.mark.parametrize(
    "line",
    [
        "Container shop-extra-1 Removing",
        "Container shop-extra-1 Stopping",
        "Container shop-web_old-1 Recreate",
        "Container other Creating",
        "Network shop_default Removing",
        "Volume shop_data Recreate",
    ],
)
def test_whatever_else_would_be_touched_is_named(line: str) -> None:
    found = of(Says(whole=WEB_RUNS + line, alone=WEB_RUNS + line))
    assert isinstance(found, Hold)
    assert found.reason is Reason.TOUCHES_OTHERS
    kind, name, word = line.split()
    assert f"{kind.lower()} {name} ({word})" in found.detail
    assert "--dry-run up -d web" in found.remedy


@pytest.mark.parametrize(
    "line", ["Network shop_default Created", "Volume shop_data Creating", "Container shop-web-2 Created"]
)
def test_what_the_group_itself_needs_is_no_one_elses(line: str) -> None:
    assert isinstance(of(Says(whole=WEB_RUNS + line)), Outlook)


def test_a_refusal_is_an_error_unless_a_dependency_became_unready() -> None:
    with pytest.raises(ComposeError):
        of(Says(whole="refused"))


def test_what_is_not_healthy_is_named_before_compose_is_asked() -> None:
    compose = Says()
    found = of(compose, {"db": {"condition": "service_healthy"}})
    assert isinstance(found, Hold)
    assert found.reason is Reason.DEPENDENCY_NOT_READY
    assert "db" in found.detail
    assert compose.asked == []


# ----------------------------------------------------------------------------------------------- dependencies

RUNS = Container("1", "shop-db-1", "shop", "db", "sha256:1", "db:1", "running", "", 0, health="healthy")


@pytest.mark.parametrize(
    ("condition", "containers", "state"),
    [
        ("service_healthy", [RUNS], None),
        ("service_healthy", [RUNS, replace(RUNS, health="starting")], "starting"),
        ("service_healthy", [replace(RUNS, health="unhealthy")], "unhealthy"),
        ("service_healthy", [replace(RUNS, health=None)], "running without a healthcheck"),
        ("service_healthy", [replace(RUNS, status="exited")], "exited"),
        ("service_healthy", [replace(RUNS, status="paused")], "paused"),
        ("service_healthy", [], "absent"),
        ("service_completed_successfully", [replace(RUNS, status="exited")], None),
        ("service_completed_successfully", [], None),
        ("service_completed_successfully", [RUNS], "running"),
        ("service_completed_successfully", [replace(RUNS, status="exited", exit_code=3)], "exited with 3"),
        ("service_started", [], None),
        ("service_started", [replace(RUNS, health="starting")], None),
    ],
)
def test_what_keeps_an_up_waiting(condition: str, containers: Sequence[Container], state: str | None) -> None:
    needed = Dependency("web", "db", condition)
    found = list(waiting_for([needed], {"db": containers}))
    assert found == ([] if state is None else [(needed, state)])


@pytest.mark.parametrize(("health", "waits"), [("starting", True), ("unhealthy", False)])
def test_a_dependency_that_may_be_missing_is_waited_for_only_while_it_starts(
    health: str, waits: bool
) -> None:
    optional = Dependency("web", "db", "service_healthy", is_required=False)
    assert bool(list(waiting_for([optional], {"db": [replace(RUNS, health=health)]}))) == waits


def test_dependencies_of_dependencies_count_and_what_has_no_container_does_not() -> None:
    services = {
        "web": {
            "depends_on": {"api": {"condition": "service_healthy", "restart": True}, "gone": {}, "made": {}}
        },
        "api": {"depends_on": ["db"]},
        "db": {"depends_on": {"web": {}}},  # a circle, which Compose itself refuses
        "gone": {"deploy": {"replicas": 0}},
        "made": {"provider": {"type": "model"}},
        "other": {"depends_on": {"web": {}}},
    }
    found = dependencies.behind({"services": services}, ["web"])
    assert [(each.service, each.on, each.condition, each.restart) for each in found] == [
        ("web", "api", "service_healthy", True),
        ("api", "db", "service_started", False),
        ("db", "web", "service_started", False),
    ]
