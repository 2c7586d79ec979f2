"""A file that two projects read, on the real engine: an update of one never edits the other's version
unseen.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import lab
from tests.support.lab import Shop
from updater_core.app import cycle
from updater_core.models import Committed, Hold, Reason

pytestmark = pytest.mark.engine

SERVICE = """\
services:
  web:
    image: @IMAGE
    stop_grace_period: 1s
    network_mode: none
"""
WAYS = {
    # what the other project's file says; whether the update of the first one would change it
    "the same variable as its version": (SERVICE.replace("@IMAGE", "@REPO:${VERSION}"), True),
    "the same variable in a label": (
        SERVICE.replace("@IMAGE", "@REPO:v1.0.0\n    labels: ['${VERSION}']"),
        True,
    ),
    "the same file as env_file": (
        SERVICE.replace("@IMAGE", "@REPO:v1.0.0\n    env_file: ../shared.env"),
        True,
    ),
    "another variable of the file": (SERVICE.replace("@IMAGE", "@REPO:${OTHER}"), False),
}


@pytest.fixture
def other(shop: Shop) -> Iterator[Shop]:
    folder = shop.folder / "other"
    folder.mkdir()
    found = Shop(folder, shop.registry, name=f"{shop.name}-other")
    yield found
    found.compose("--env-file", "../shared.env", "down", "--timeout", "0", check=False)


@pytest.mark.parametrize("way", WAYS)
def test_an_env_file_of_two_projects(shop: Shop, other: Shop, way: str) -> None:
    text, is_held = WAYS[way]
    shop.policy = {"health_stable": 1, "semver_pattern": "v*"}
    shop.push("v1.0.0", lab.good("one"))
    shared = shop.folder / "shared.env"
    shared.write_text("VERSION=v1.0.0\nOTHER=v1.0.0\n")
    shop.compose_file.write_text(SERVICE.replace("@IMAGE", f"{shop.repository}:${{VERSION}}"))
    other.compose_file.write_text(text.replace("@REPO", shop.repository))
    shop.compose("--env-file", "shared.env", "up", "-d")
    other.compose("--env-file", "../shared.env", "up", "-d")
    shop.push("v1.1.0", lab.good("two"))
    context = shop.context()
    report = cycle.run(context)
    if is_held:
        assert report.outcomes == ()
        decision = cycle.planned(context, report.checked[0])
        assert isinstance(decision, Hold)
        assert decision.reason is Reason.NOT_EDITABLE
        assert other.name in decision.detail
        assert "VERSION" in decision.remedy
        assert shared.read_text() == "VERSION=v1.0.0\nOTHER=v1.0.0\n"
        status, said = shop.run("--test")
        assert (status, "would change project" in said, other.name in said) == (3, True, True), said
    else:
        assert shop.run("--test")[0] == 0
        assert isinstance(report.outcomes[0], Committed)
        assert shared.read_text() == "VERSION=v1.1.0\nOTHER=v1.0.0\n"


def test_two_projects_of_one_env_file_are_both_updated_once_each_has_its_variable(
    shop: Shop, other: Shop
) -> None:
    """The remedy, followed; in one cycle, for the second edit is made from what the first has left.

    A link is the same file, and stays one.
    """
    shop.policy = {"health_stable": 1, "semver_pattern": "v*"}
    shop.push("v1.0.0", lab.good("one"))
    shared, link = shop.folder / ".env", other.folder / ".env"
    shared.write_text("VERSION=v1.0.0\nOTHER=v1.0.0\n")
    link.symlink_to("../.env")
    for each in (shop, other):
        each.compose_file.write_text(SERVICE.replace("@IMAGE", f"{shop.repository}:${{VERSION}}"))
        each.up()
    base = shop.config()["services"][0]
    second = {**base, "name": other.name, "compose_file": str(other.compose_file)}
    shop.settings = {"services": [base, second]}
    shop.push("v1.1.0", lab.good("two"))
    assert shop.cycle().outcomes == ()
    status, said = shop.run("--test")
    assert (status, said.count("a variable of its own in it, or a file of its own")) == (3, 2), said
    name = f"VERSION_{other.name.replace('-', '_').upper()}"
    assert f"`{name}=v1.0.0` in {shared}, and `${{{name}}}` in place of VERSION in {other.name}'s" in said
    shared.write_text(f"VERSION=v1.0.0\n{name}=v1.0.0\n")
    other.compose_file.write_text(SERVICE.replace("@IMAGE", f"{shop.repository}:${{{name}}}"))
    other.up()
    assert shop.run("--test")[0] == 0
    assert [type(each) for each in shop.cycle().outcomes] == [Committed, Committed]
    assert [shop.releases(), other.releases()] == [[("two", "running")]] * 2
    assert (shared.read_text(), link.is_symlink()) == (f"VERSION=v1.1.0\n{name}=v1.1.0\n", True)
    assert shop.operator_up_changes() == []
    decisions = [one.decision for one in shop.cycle().checked]
    assert [each.reason for each in decisions if isinstance(each, Hold)] == [Reason.SAME_DIGEST] * 2


@pytest.fixture
def namesake(shop: Shop, other: Shop) -> Iterator[Shop]:
    """A project of another folder that has the name of `other`, and shares no file with anybody."""
    folder = shop.folder / "namesake"
    folder.mkdir()
    found = Shop(folder, shop.registry, name=other.name)
    text = SERVICE.replace("web:", "else:").replace("@IMAGE", f"{shop.repository}:v1.0.0")
    found.compose_file.write_text(text)
    yield found
    found.down()


def test_a_file_that_two_projects_include(shop: Shop, other: Shop, namesake: Shop) -> None:
    """The other one is seen beside a namesake of another folder, which was started after it."""
    shop.policy = {"health_stable": 1, "semver_pattern": "v*"}
    shop.push("v1.0.0", lab.good("one"))
    common = shop.folder / "common.yml"
    common.write_text(SERVICE.replace("@IMAGE", f"{shop.repository}:v1.0.0"))
    (shop.folder / "shared.env").write_text("")
    shop.compose_file.write_text("include: [common.yml]\n")
    other.compose_file.write_text("include: [../common.yml]\n")
    shop.up()
    other.up()
    namesake.up()
    shop.push("v1.1.0", lab.good("two"))
    context = shop.context()
    report = cycle.run(context)
    assert report.outcomes == ()
    decision = cycle.planned(context, report.checked[0])
    assert isinstance(decision, Hold)
    assert other.name in decision.detail
    assert "v1.0.0" in common.read_text()
    status, said = shop.run("--test")
    assert (status, other.name in said, "a file of its own for web" in said) == (3, True, True), said
