"""Which containers go with another one, and what a project's files say of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.plans import compose_plan
from updater_core import reference
from updater_core.models import Container, Project
from updater_core.targets.compose.dependents import in_file, ties
from updater_core.targets.compose.plan import (
    ComposePlan,
    DependentProject,
    Move,
    of_dependents,
    with_dependents,
)
from updater_core.targets.compose.recreate import has_lost_its_namespace

ID = "0f" * 32


def container(name: str = "vpn-web-1", project: str = "vpn", service: str = "web", **more: Any) -> Container:
    made = Container(more.pop("id", ID), name, project, service, "i", "app:1", "running", "", 0)
    return replace(made, **more)


VPN = container()
GUEST = container("media-app-1", "media", "app", id="1e" * 32)


def difference(written: dict[str, Any], name_after: str = "vpn-web-1") -> str:
    model = {"services": {"app": written}}
    found = in_file.difference(GUEST, model, [VPN, GUEST], {VPN.id: name_after})
    return found.why if found else ""


@pytest.mark.parametrize("key", ["network_mode", "ipc", "pid", "volumes_from"])
def test_a_file_has_to_name_the_container_by_a_name_that_stays(key: str) -> None:
    def written(name: str) -> dict[str, Any]:
        return {key: [f"container:{name}:ro"] if key == "volumes_from" else f"container:{name}"}

    assert difference(written("vpn-web-1")) == ""
    assert "by its id" in difference(written(ID))
    assert "by its id" in difference(written(ID[:12]))
    assert "vpn-web-1, which Compose will call vpn_web_1" in difference(written("vpn-web-1"), "vpn_web_1")
    assert "does not say so" in difference(written("another"))
    assert "does not say so" in difference({})


def test_a_service_of_its_own_project_is_found_by_compose_itself() -> None:
    assert difference({"network_mode": "service:tunnel"}) == ""
    assert difference({"volumes_from": ["data:ro"]}) == ""


def test_the_projects_in_reach_are_those_of_dependents_and_of_theirs() -> None:
    third = container("third-x-1", "third", "x", id="2d" * 32)
    plain = container("plain", "", "", id="3c" * 32)
    stranger = container("else-y-1", "else", "y", id="4b" * 32)
    known = {GUEST.id: (VPN.name,), third.id: (GUEST.id,), plain.id: (VPN.id[:12],)}
    listed = [stranger, plain, third, GUEST, VPN]
    found = ties.projects_in_reach("vpn", listed, lambda one: known.get(one, ()))
    assert found == {"media", "third"}
    assert ties.projects_in_reach("third", listed, lambda one: known.get(one, ())) == frozenset()


@pytest.mark.parametrize(
    ("operator_started", "is_lost"),
    [
        ("2026-11-28T19:14:13.2Z", True),
        ("2026-11-28T19:14:13.100000001Z", False),
        ("2026-11-28T19:14:13.03Z", False),
        ("2026-11-28T20:14:13.09+01:00", False),
        ("", False),
        (None, True),
    ],
)
def test_a_namespace_is_lost_with_its_owner_or_when_that_starts_anew(
    operator_started: str | None, is_lost: bool
) -> None:
    class Engine:
        def settings(self, _: str) -> None:
            return None

        def container(self, _: str) -> Container | None:
            return None if operator_started is None else replace(VPN, started_at=operator_started)

    class Tools:
        engine = Engine()

    guest = replace(GUEST, joined=(VPN.id,), started_at="2026-11-28T19:14:13.1Z")
    assert has_lost_its_namespace(guest, Tools()) is is_lost  # type: ignore[arg-type]


def test_a_plan_for_dependents_changes_no_image_and_no_file() -> None:
    project, moved = (
        Project("media", "/srv/media", ("/srv/media/c.yml",)),
        Project("media", "/srv/media", ("/copy",)),
    )
    move = Move("app", "tool:1", "tool:1", "sha256:1", 1)
    plan = compose_plan(reference.parse("app:2"), "app:1")
    detail: ComposePlan = replace(
        plan.detail, dependent_projects=(DependentProject(project, (move,), {"/srv/media/c.yml": "x"}),)
    )
    (own,) = of_dependents(replace(plan, detail=detail))
    assert (own.detail.moves, own.detail.edits, own.detail.everyone) == ((), (), (move,))
    assert (own.detail.project, own.detail.sources) == (project, {"/srv/media/c.yml": "x"})
    changed = with_dependents(
        replace(plan, detail=detail), [replace(own, detail=replace(own.detail, project=moved))]
    )
    assert [each.project for each in changed.detail.dependent_projects] == [moved]
