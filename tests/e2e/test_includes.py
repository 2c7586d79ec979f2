"""Projects of several files on the real engine: what `include` and `extends` bring in is read, edited where
it stands, proven, and put back.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import lab
from tests.support.lab import Shop
from updater_core.models import Committed, Hold, Outcome, Reason, RolledBack

pytestmark = pytest.mark.engine

SERVICE = """\
services:
  web:
    image: {image}  # kept
    restart: unless-stopped
    stop_grace_period: 1s
    network_mode: none
"""


@pytest.fixture(autouse=True)
def _quick(shop: Shop) -> None:
    shop.policy = {"health_stable": 1, "semver_pattern": "v*"}


def write(shop: Shop, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = shop.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@IMAGE", shop.repository))


def texts(shop: Shop, files: dict[str, str]) -> dict[str, str]:
    return {name: (shop.folder / name).read_text() for name in files}


def outcome_of(shop: Shop) -> Outcome:
    report = shop.cycle()
    assert len(report.outcomes) == 1, [one.decision for one in report.checked]
    return report.outcomes[0]


IMAGE = SERVICE.replace("{image}", "@IMAGE:v1.0.0")
BY_VARIABLE = SERVICE.replace("{image}", "@IMAGE:${TAG}")
SHAPES: dict[str, tuple[dict[str, str], str]] = {
    # the files, and which of them is edited
    "short": ({"docker-compose.yml": "include: [sub/app.yml]\n", "sub/app.yml": IMAGE}, "sub/app.yml"),
    "block list": (
        {
            "docker-compose.yml": "include:\n  - ./sub/app.yml # the app\n\nservices: {}\n",
            "sub/app.yml": IMAGE,
        },
        "sub/app.yml",
    ),
    "long": (
        {
            "docker-compose.yml": "include:\n  - path: sub/app.yml\n    project_directory: .\n  - db.yml\n",
            "sub/app.yml": IMAGE,
            "db.yml": "volumes: {data: {}}\n",
        },
        "sub/app.yml",
    ),
    "an override beside it": (
        {
            "docker-compose.yml": "include:\n  - path: [sub/app.yml, sub/more.yml]\n",
            "sub/app.yml": IMAGE.replace("v1.0.0", "v0.9.0"),
            "sub/more.yml": "services:\n  web:\n    image: '@IMAGE:v1.0.0'\n",
        },
        "sub/more.yml",
    ),
    "three deep": (
        {
            "docker-compose.yml": "include: [a/a.yml]\n",
            "a/a.yml": "include:\n  - b/b.yml\n",
            "a/b/b.yml": "include:\n  - path: ../../c/c.yml\n",
            "c/c.yml": IMAGE,
        },
        "c/c.yml",
    ),
    "its own .env": (
        {
            "docker-compose.yml": "include: [sub/app.yml]\n",
            "sub/app.yml": BY_VARIABLE,
            "sub/.env": "A=1\nTAG=v1.0.0 # kept\n",
        },
        "sub/.env",
    ),
    "an env file of the entry": (
        {
            "docker-compose.yml": (
                "include:\n  - path: sub/app.yml\n    env_file: [envs/one.env, envs/two.env]\n"
            ),
            "sub/app.yml": BY_VARIABLE,
            "envs/one.env": "TAG=v0.1.0\n",
            "envs/two.env": "TAG=v1.0.0\n",
        },
        "envs/two.env",
    ),
    "no env file": (
        {
            "docker-compose.yml": "include:\n  - {path: sub/app.yml, env_file: /dev/null}\n"
            "  - {path: db.yml, env_file: []}\n",
            "sub/app.yml": SERVICE.replace("{image}", "@IMAGE:${TAG:-v1.0.0}"),
            "sub/.env": "TAG=v0.1.0\n",
            "db.yml": "volumes: {data: {name: '${NAME}'}}\n",
            ".env": "NAME=data\n",
        },
        "sub/app.yml",
    ),
    "the project's .env beats the included one": (
        {
            "docker-compose.yml": "include: [sub/app.yml]\n",
            ".env": "TAG=v1.0.0\n",
            "sub/app.yml": BY_VARIABLE,
            "sub/.env": "TAG=v0.1.0\n",
        },
        ".env",
    ),
    "a path with a variable": (
        {
            "docker-compose.yml": "include: ['${WHERE}/app.yml']\n",
            ".env": "WHERE=./sub\n",
            "sub/app.yml": IMAGE,
        },
        "sub/app.yml",
    ),
    "paths from the folder of the session": (
        {
            "docker-compose.yml": (
                "include:\n  - path: '${PWD}/sub/app.yml'\n    project_directory: '$PWD/sub'\n"
                "    env_file: ['${NONE:-${PWD}/envs}/one.env']\n"
            ),
            "sub/app.yml": "services:\n  web:\n    extends: {file: '${PWD}/bases/web.yml', service: base}\n"
            "    env_file: ['${PWD}/sub/web.env']\n",
            "sub/web.env": "TAG=v0.2.0\n",
            "bases/web.yml": BY_VARIABLE.replace("web:", "base:"),
            "envs/one.env": "TAG=v1.0.0\n",
        },
        "envs/one.env",
    ),
    "an included base": (
        {
            "docker-compose.yml": "include: [sub/app.yml]\n",
            "sub/app.yml": "services:\n  web:\n    extends: {file: bases/web.yml, service: base}\n",
            "sub/bases/web.yml": IMAGE.replace("web:", "base:"),
        },
        "sub/bases/web.yml",
    ),
    "a base of another file": (
        {
            "docker-compose.yml": "services:\n  web:\n    extends:\n      file: common/base.yml\n"
            "      service: base\n    tty: true\n",
            "common/base.yml": IMAGE.replace("web:", "base:") + "  other:\n    image: nothing:1\n",
        },
        "common/base.yml",
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_image_is_edited_in_the_file_where_it_stands(shop: Shop, shape: str) -> None:
    files, edited = SHAPES[shape]
    shop.push("v1.0.0", lab.good("one"))
    write(shop, files)
    shop.up()
    before = texts(shop, files)
    shop.push("v1.1.0", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("two", "running")]
    assert texts(shop, files) == {**before, edited: before[edited].replace("v1.0.0", "v1.1.0")}
    assert shop.operator_up_changes() == []
    assert strays(shop) == []


@pytest.mark.parametrize("shape", ["three deep", "its own .env", "an included base"])
def test_a_release_that_fails_is_put_back_in_that_file(shop: Shop, shape: str) -> None:
    files, _ = SHAPES[shape]
    shop.push("v1.0.0", lab.good("one"))
    write(shop, files)
    shop.up()
    before = texts(shop, files)
    shop.push("v1.1.0", lab.exits("two"))
    assert isinstance(outcome_of(shop), RolledBack)
    assert shop.releases() == [("one", "running")]
    assert texts(shop, files) == before
    assert strays(shop) == []


def test_the_included_file_may_be_named_in_the_configuration(shop: Shop) -> None:
    files, edited = SHAPES["short"]
    shop.push("v1.0.0", lab.good("one"))
    write(shop, files)
    shop.up()
    shop.policy["compose_file"] = str(shop.folder / edited)
    shop.push("v1.1.0", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("two", "running")]


def test_a_new_image_behind_the_tag_edits_nothing(shop: Shop) -> None:
    files, _ = SHAPES["three deep"]
    shop.policy = {"health_stable": 1}
    shop.push("v1.0.0", lab.good("one"))
    write(shop, files)
    shop.up()
    before = texts(shop, files)
    shop.push("v1.0.0", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("two", "running")]
    assert texts(shop, files) == before


def test_a_file_that_is_not_there_is_named(shop: Shop) -> None:
    files, edited = SHAPES["three deep"]
    shop.push("v1.0.0", lab.good("one"))
    write(shop, files)
    shop.up()
    (shop.folder / edited).unlink()
    (one,) = shop.cycle().checked
    assert isinstance(one.decision, Hold)
    assert one.decision.reason is Reason.FILE_UNREADABLE
    assert str(shop.folder / edited) in one.decision.detail


def strays(shop: Shop) -> list[Path]:
    return [*shop.folder.rglob(".*.dau-*"), *(shop.folder / "state" / "journal").glob("*.json")]
