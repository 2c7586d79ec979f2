"""`group`: services that name the same one are one update group; what keeps them from it is a problem of
each.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.test_config import document, entry, problems
from updater_core import config_utils
from updater_core.models import Follow, ServiceConfig

SERVER = entry(
    name="server", image="immich/server:v1", compose_service="server", group="immich", follow="minor"
)
LEARNING = entry(
    name="learning", image="immich/learning:v1", compose_service="learning", group="immich", follow="minor"
)


def services(*entries: Any, **top: Any) -> tuple[ServiceConfig, ...]:
    return config_utils.parse(document(*entries, **top), {}, "/etc/up/config.json").services


def test_services_of_one_group_are_one_service_with_its_name_at_the_place_of_the_first() -> None:
    first, group, last = services(entry(name="a", compose_service="a"), SERVER, entry(name="z"), LEARNING)
    assert (first.name, last.name) == ("a", "z")
    assert (group.name, group.compose_services) == ("immich", ("server", "learning"))
    assert (group.image.text, group.policy.follow) == ("immich/server:v1", Follow.MINOR)


def test_a_list_may_be_a_part_of_a_group_and_a_group_of_one_is_one() -> None:
    more = {**LEARNING, "compose_service": ["learning", "jobs"]}
    (group,) = services(SERVER, more)
    assert group.compose_services == ("server", "learning", "jobs")
    assert [each.name for each in services({**SERVER, "group": "alone"})] == ["alone"]


def test_what_the_defaults_say_is_the_same_for_all_of_a_group() -> None:
    (group,) = services(SERVER, {**LEARNING, "min_age": "3d"}, defaults={"min_age": "3d"})
    assert group.policy.min_age_seconds == 3 * 86400


def test_a_disabled_service_moves_with_no_group() -> None:
    group, disabled = services(SERVER, {**LEARNING, "enabled": False, "min_age": "3d"})
    assert (group.compose_services, disabled.name) == (("server",), "learning")


@pytest.mark.parametrize(
    ("more", "key", "words"),
    [
        ({"follow": "major"}, "follow", "group immich is updated as one, and server says something else"),
        ({"min_age": "3d"}, "min_age", "write the same for both"),
        ({"mode": "notify"}, "mode", "write the same for both"),
        ({"maintenance_window": "02:00-03:00"}, "maintenance_window", "write the same for both"),
        ({"health_timeout": 5}, "health_timeout", "write the same for both"),
        ({"allow_drift": True}, "allow_drift", "write the same for both"),
        ({"registry_config": {"insecure_http": True}, "image": "r.io/learning:v1"},
         "registry_config.insecure_http",
         "write the same for both"),
        ({"signature": {"public_key": "/k.pub"}}, "signature", "write the same for both"),
        ({"compose_file": "/srv/other.yml"}, "compose_file", "server is of another"),
        ({"compose_project": "blue"}, "compose_project", "write that of server, or another group"),
    ],
)  # fmt: skip
def test_what_differs_is_one_problem_with_its_key_and_a_remedy(
    more: dict[str, Any], key: str, words: str
) -> None:
    (found,) = problems(document(SERVER, {**LEARNING, **more}))
    assert found.startswith(f"services[1].{key}: ")
    assert words in found


def test_each_service_that_differs_has_a_line_of_its_own() -> None:
    third = {**LEARNING, "name": "jobs", "compose_service": "jobs", "follow": "patch"}
    found = problems(document(SERVER, {**LEARNING, "follow": "major"}, third))
    assert [each.partition(":")[0] for each in found] == ["services[1].follow", "services[2].follow"]


def test_nobody_else_has_the_name_of_a_group() -> None:
    (found,) = problems(document(SERVER, LEARNING, entry(name="immich")))
    assert found == "services[2].name: a group is called immich too; write another name"
    (group,) = services({**SERVER, "name": "immich"}, LEARNING)
    assert group.name == "immich"


def test_a_group_is_no_default_and_its_services_are_taken_once() -> None:
    assert "defaults.group" in problems(document(SERVER, defaults={"group": "all"}))[0]
    twin = entry(name="twin", compose_service="learning")
    (found,) = problems(document(SERVER, LEARNING, twin))
    assert "belongs to services[1] already" in found
