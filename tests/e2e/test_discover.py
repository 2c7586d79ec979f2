"""`--discover`: what runs is found, shown and written; nothing is updated by it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import lab
from tests.support.lab import Shop
from updater_core import config_utils

pytestmark = pytest.mark.engine

FOUR = """\
services:
  web:
    image: {image}
    stop_grace_period: 1s
    network_mode: none
  api:
    image: HOST/team/api:1.4.2
    stop_grace_period: 1s
    network_mode: none
  postgres:
    image: HOST/team/postgres:16.3
    stop_grace_period: 1s
    network_mode: none
  no:
    image: {image}
    stop_grace_period: 1s
    network_mode: none
    labels:
      com.centurylinklabs.watchtower.enable: "false"
"""


@pytest.fixture
def many(shop: Shop) -> Shop:
    """A project of four services, none of which is configured."""
    shop.push("latest", lab.good("one"))
    shop.registry.push("team/api", "1.4.2", shop.own(lab.good("api")))
    shop.registry.push("team/postgres", "16.3", shop.own(lab.good("db")))
    shop.write("latest", FOUR.replace("HOST", shop.registry.host))
    shop.up()
    shop.settings = {"services": []}
    return shop


def discovered(shop: Shop, *words: str) -> dict[str, dict[str, object]]:
    status, said = shop.run("--discover", "--json", *words)
    assert status == 0, said
    services = json.loads(said[said.index("{") : said.rindex("}") + 1])["services"]
    return {each["name"]: each for each in services if each["name"].startswith(shop.name)}


def written(shop: Shop, text: str, *words: str) -> tuple[int, str, str]:
    """`--discover --write` with this text as the configuration; status, what it said, and the text
    afterwards.
    """
    path = shop.folder / "mine.json"
    path.write_text(text)
    places = {
        "CONFIG_FILE": str(path),
        "STATE_FILE": str(shop.folder / "s.json"),
        "LOG_FILE": str(shop.folder / "l"),
    }
    argv = [sys.executable, str(lab.ROOT / "docker_updater.py"), "--discover", "--write", *words]
    done = subprocess.run(
        argv,
        env={**os.environ, **places},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, path.read_text()


def test_every_running_service_is_shown_with_what_it_would_follow(many: Shop) -> None:
    found = discovered(many)
    assert {name: each["entry"].get("follow") for name, each in found.items()} == {  # type: ignore[attr-defined]
        f"{many.name}-web": None,
        f"{many.name}-api": "minor",
        f"{many.name}-postgres": "minor",
    }
    assert f"{many.name}-no-1" in many.run("--discover")[1].partition("Not for this updater")[2]
    assert found[f"{many.name}-postgres"]["entry"]["mode"] == "notify"  # type: ignore[index]
    assert "database" in str(found[f"{many.name}-postgres"]["note"])
    assert all(each["obstacles"] == [] for each in found.values())


def test_what_is_for_machines_has_every_key(many: Shop) -> None:
    _, said = many.run("--discover", "--json")
    found = json.loads(said)
    assert found.keys() == {"services", "left_out", "grants"}
    keys = {"name", "image", "compose_file", "listed", "enabled", "entry", "note", "obstacles"}
    assert all(each.keys() == keys for each in found["services"])
    assert all(each.keys() == {"name", "image", "why"} for each in found["left_out"])
    status, said = many.run("--test", "--json")
    tested = json.loads(said)
    assert (tested.keys(), tested["ok"]) == ({"ok", "checks"}, status == 0)
    assert all(each.keys() == {"ok", "level", "subject", "text", "remedy"} for each in tested["checks"])


def test_the_table_fits_a_terminal_and_ends_with_a_summary(many: Shop) -> None:
    status, said = many.run("--discover")
    assert status == 0
    lines = said.splitlines()
    assert max(map(len, lines[: lines.index("")])) <= 100
    assert re.search(r"\d+ services: \d+ in the configuration, \d+ new", said)


def test_a_container_of_no_compose_service_is_named(shop: Shop) -> None:
    shop.push("latest", lab.good("one"))
    shop.write("latest")
    shop.up()
    name = f"{shop.name}-plain"
    subprocess.run(["docker", "run", "-d", "--name", name, f"{shop.repository}:latest"], check=True)
    try:
        _, said = shop.run("--discover")
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=True)
    assert f"{name} " in said[said.index("Not for this updater") :]
    assert "no Compose service" in said


def test_writing_adds_what_is_new_once_and_keeps_every_other_byte(many: Shop) -> None:
    before = '{\n    "check_interval" : "2h",\n    "services": [ ]\n}\n'
    status, said, after = written(many, before, "--yes")
    assert status == 0, said
    own = [each for each in json.loads(after)["services"] if each["name"].startswith(many.name)]
    assert sorted(each["compose_service"] for each in own) == ["api", "postgres", "web"]
    assert after.startswith('{\n    "check_interval" : "2h",\n    "services": [')
    status, said, again = written(many, after, "--yes")
    assert [each for each in json.loads(again)["services"] if each["name"].startswith(many.name)] == own
    assert status == 0


def test_what_was_written_passes_the_check(many: Shop) -> None:
    _, _, after = written(many, '{"services": []}', "--yes")
    own = [each for each in json.loads(after)["services"] if each["name"].startswith(many.name)]
    many.settings = {"services": own}
    status, said = many.run("--test")
    assert status == 0, said


def test_nobody_at_a_terminal_and_no_yes_writes_nothing(many: Shop) -> None:
    status, said, after = written(many, '{"services": []}')
    assert (status, after) == (1, '{"services": []}')
    assert "--yes" in said


def test_nothing_is_updated_by_it(many: Shop) -> None:
    many.push("latest", lab.good("two"))
    before = many.releases()
    discovered(many)
    written(many, '{"services": []}', "--yes")
    assert many.releases() == before


STRANGE = """\
services:
  misnamed:
    image: {image}
    network_mode: none
    labels:
      docker-updater.min_agee: "3d"
  misread:
    image: {image}
    network_mode: none
    labels:
      docker-updater.min_age: "soon"
  unsure:
    image: {image}
    network_mode: none
    labels:
      docker-updater.enable: "perhaps"
  built:
    image: NAME-built:1
    network_mode: none
  nopull:
    image: {image}
    network_mode: none
    labels:
      com.centurylinklabs.watchtower.no-pull: "true"
  no:
    image: {image}
    network_mode: none
    labels:
      com.centurylinklabs.watchtower.enable: "F"
  yes:
    image: {image}
    network_mode: none
    labels:
      com.centurylinklabs.watchtower.enable: "false"
      docker-updater.enable: "yes"
      docker-updater.follow: major
  watchtower:
    image: {image}
    network_mode: none
    labels:
      com.centurylinklabs.watchtower: "true"
"""


@pytest.fixture
def strange(shop: Shop) -> Iterator[Shop]:
    """A project of services that say no, or say something wrong, or can never be updated; none is
    configured.
    """
    shop.push("latest", lab.good("one"))
    subprocess.run(["docker", "pull", "-q", f"{shop.repository}:latest"], check=True)
    built = f"{shop.name}-built:1"
    made = f"{shop.name}-made"
    for words in (
        ("create", "--name", made, f"{shop.repository}:latest"),
        ("commit", made, built),
        ("rm", made),
    ):
        subprocess.run(["docker", *words], check=True, capture_output=True)
    shop.write("latest", STRANGE.replace("NAME", shop.name))
    shop.up("--pull", "never")
    shop.settings = {"services": []}
    yield shop
    shop.compose("down", "--timeout", "0", check=False)
    subprocess.run(["docker", "rmi", "-f", built], check=False)


def test_what_would_never_be_updated_or_would_spoil_the_file_is_shown_and_not_written(strange: Shop) -> None:
    found = discovered(strange)
    name = strange.name
    assert {each.removeprefix(f"{name}-") for each, one in found.items() if one["entry"]} == {"nopull", "yes"}
    said = {each.removeprefix(f"{name}-"): json.dumps(one["obstacles"]) for each, one in found.items()}
    assert "there is no such label; write docker-updater.min_age" in said["misnamed"]
    assert "min_age" in said["misread"]
    assert "correct the label" in said["misread"]
    assert "docker-updater.enable: write true or false" in said["unsure"]
    assert "came from no registry" in said["built"]
    assert found[f"{name}-nopull"]["entry"]["mode"] == "notify"  # type: ignore[index]
    assert found[f"{name}-yes"]["entry"]["follow"] == "major"  # type: ignore[index]
    out = strange.run("--discover")[1].partition("Not for this updater")[2]
    assert f"{name}-no-1" in out
    assert f"docker stop {name}-watchtower-1" in out
    status, said_then, after = written(strange, "\ufeff{}\n".replace("{}", '{"services": []}'), "--yes")
    assert status == 0, said_then
    assert after.startswith("\ufeff{")
    path = strange.folder / "mine.json"
    own = [
        each["name"] for each in json.loads(path.read_text("utf-8-sig"))["services"] if name in each["name"]
    ]
    assert sorted(own) == [f"{name}-nopull", f"{name}-yes"]
    config_utils.load(path, {})


@pytest.mark.parametrize("before", [None, "", "  \n"], ids=["no file", "empty", "blank"])
def test_a_configuration_that_is_not_there_yet_is_begun(many: Shop, before: str | None) -> None:
    """As after `pip install`: nobody has copied an example yet, and not even its folder is there."""
    folder = many.folder / "new"
    if before is not None:
        folder.mkdir()
        (folder / "c.json").write_text(before)
    path = folder / "c.json"
    state = {"STATE_FILE": str(many.folder / "s.json"), "LOG_FILE": str(many.folder / "l")}
    argv = [sys.executable, str(lab.ROOT / "docker_updater.py"), "--discover"]

    def run(*words: str) -> tuple[int, str]:
        """With standard input closed, as some schedulers start a program."""
        environment = {**os.environ, **state, "CONFIG_FILE": str(path)}
        closed = ["sh", "-c", 'exec "$@" <&-', "sh", *argv, *words]
        done = subprocess.run(closed, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    assert run()[0] == 0
    status, said = run("--write")
    assert (status, "add --yes" in said) == (1, True), said
    assert (path.read_text() if path.exists() else None) == before
    status, said = run("--write", "--yes")
    assert status == 0, said
    names = {service.name for service in config_utils.load(path, {}).services}
    assert {f"{many.name}-web", f"{many.name}-api", f"{many.name}-postgres"} <= names


def test_one_file_that_runs_as_two_projects_is_two_entries(shop: Shop) -> None:
    shop.push("latest", lab.good("one"))
    shop.write("latest")
    shop.up()
    other = f"{shop.name}-b"
    subprocess.run(
        ["docker", "compose", "-p", other, "up", "-d"], cwd=shop.folder, check=True, capture_output=True
    )
    shop.settings = {"services": []}
    try:
        _, _, after = written(shop, '{"services": []}', "--yes")
    finally:
        subprocess.run(["docker", "compose", "-p", other, "down", "-t", "0"], cwd=shop.folder, check=True)
    own = [each for each in json.loads(after)["services"] if each["name"].startswith(shop.name)]
    assert [each["compose_project"] for each in own] == [shop.name, other]
    config_utils.load(shop.folder / "mine.json", {})


def test_a_file_that_is_not_on_this_host_is_named_with_what_to_do(shop: Shop) -> None:
    """As of a manager that runs in a container: its labels have that container's paths."""
    shop.push("latest", lab.good("one"))
    shop.write("latest")
    shop.up()
    moved = shop.compose_file.rename(shop.folder / "elsewhere.yml")
    shop.settings = {"services": []}
    (found,) = discovered(shop).values()
    assert found["entry"] == {}
    assert "is not on this host" in json.dumps(found["obstacles"])
    assert str(shop.folder) not in json.dumps(json.loads(shop.run("--discover", "--json")[1])["grants"])
    shop.compose_file.symlink_to(moved)  # the remedy, followed
    (found,) = discovered(shop).values()
    assert (found["obstacles"], bool(found["entry"])) == ([], True)


# ----------------------------------------------------------------------------------- `discover` at each cycle

LABELLED = """\
services:
  yes:
    image: {image}
    stop_grace_period: 1s
    network_mode: none
    labels:
      docker-updater.enable: "true"
      docker-updater.min_age: "0"
  notify:
    image: {image}
    stop_grace_period: 1s
    network_mode: none
    labels:
      docker-updater.enable: "true"
      com.centurylinklabs.watchtower.monitor-only: "true"
  wrong:
    image: {image}
    stop_grace_period: 1s
    network_mode: none
    labels:
      docker-updater.enable: "true"
      docker-updater.min_agee: "3d"
      docker-updater.registry_config: "x"
  former:
    image: {image}
    stop_grace_period: 1s
    network_mode: none
    labels:
      com.centurylinklabs.watchtower.enable: "true"
  silent:
    image: {image}
    stop_grace_period: 1s
    network_mode: none
  no:
    image: {image}
    stop_grace_period: 1s
    network_mode: none
    labels:
      docker-updater.enable: "false"
"""


@pytest.fixture
def labelled(shop: Shop) -> Shop:
    """A project of six services that say by label what they want; none is configured."""
    shop.push("latest", lab.good("one"))
    shop.write("latest", LABELLED)
    shop.up()
    shop.settings = {
        "services": [],
        "discover": "labelled",
        "defaults": {"health_stable": 1, "health_timeout": 30},
    }
    return shop


def releases(shop: Shop) -> dict[str, str]:
    names = ("yes", "former", "notify", "wrong", "silent", "no")
    return {name: shop.releases(name)[0][0] for name in names}


def own_only(shop: Shop) -> None:
    """Nothing of another test's is taken up: all but this project is excluded by its image's registry."""
    others = {each for each in running_images() if not each.startswith(shop.registry.host)}
    shop.settings["discover_exclude"] = [*sorted(others), "nothing"]


def running_images() -> list[str]:
    said = subprocess.run(
        ["docker", "ps", "--format", "{{.Image}}"], capture_output=True, text=True, check=True
    )
    return said.stdout.split()


def test_a_label_takes_a_service_up_and_a_wrong_one_fails_alone(labelled: Shop) -> None:
    labelled.push("latest", lab.good("two"))
    status, said = labelled.run("--once")
    assert status == 1, "the wrong label needs a look"
    held = dict.fromkeys(("notify", "wrong", "silent", "no"), "one")
    assert releases(labelled) == {"yes": "two", "former": "two", **held}
    assert f"{labelled.name}-wrong" in said
    assert "write docker-updater.min_age" in said
    assert "registry_config: it is read from the configuration file only" in said
    _, table = labelled.run("--status")
    assert re.search(rf"{labelled.name}-wrong +failed .* label_invalid", table)
    assert re.search(rf"{labelled.name}-notify +waiting .* notify_only", table)


def test_what_was_taken_up_answers_to_its_name(labelled: Shop) -> None:
    labelled.push("latest", lab.good("two"))
    labelled.run("--once")
    status, said = labelled.run("--rollback", f"{labelled.name}-yes")
    assert status == 0, said
    assert labelled.releases("yes")[0][0] == "one"
    assert labelled.run("--retry", f"{labelled.name}-yes")[0] == 0
    assert labelled.run("--retry", "nobody")[0] == 2


def test_a_service_that_said_no_is_left_alone_and_all_others_are_taken_up(many: Shop) -> None:
    many.settings = {
        "services": [],
        "discover": "all",
        "defaults": {"health_stable": 1, "health_timeout": 30},
    }
    own_only(many)
    many.settings["discover_exclude"].append(f"{many.name}/api")
    many.push("latest", lab.good("two"))
    many.registry.push("team/api", "1.4.3", many.own(lab.good("api2")))
    many.run("--once", "--service", f"{many.name}-web")
    many.run("--once", "--service", f"{many.name}-postgres")
    assert many.releases("web")[0][0] == "two"
    assert many.releases("no")[0][0] == "one"
    assert many.releases("api")[0][0] == "api"
    names = set(json.loads(many.run("--status", "--json")[1]))
    assert f"{many.name}-no" not in names
    assert f"{many.name}-api" not in names
    assert f"{many.name}-web" in names
