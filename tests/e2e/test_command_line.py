"""The command line as a person meets it: what each flag says, what it leaves alone, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from docker_updater import parser
from tests.support import lab
from tests.support.fake_registry import Basic, Behaviour
from tests.support.lab import ROOT, Shop
from tests.support.listener import listening
from updater_core import __version__, state_utils
from updater_core.state.records import State

engine = pytest.mark.engine

WEB = """\
# the shop
services:
  web:
    image: {image}  # kept
    restart: unless-stopped
    stop_grace_period: 1s
    network_mode: none
"""

# The interpreter itself may lie where nobody may look, so what it loads late is loaded before.
AS_NOBODY = "''.encode('utf-8-sig'); os.setgroups([]); os.setgid(65534); os.setuid(65534)"


@pytest.fixture
def open_shop(shop: Shop) -> Shop:
    """A shop whose service runs v1.0.0 and follows its versions."""
    shop.policy = {"health_stable": 1, "semver_pattern": "v*"}
    shop.push("v1.0.0", lab.good("one"))
    shop.write("v1.0.0", WEB)
    shop.up()
    return shop


def call(*words: str, **environment: str) -> tuple[int, str, str]:
    """Run the updater without a shop; exit status, and what it said on both channels."""
    argv = [sys.executable, str(ROOT / "docker_updater.py"), *words]
    known = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    done = subprocess.run(
        argv, env={**known, **environment}, capture_output=True, text=True, timeout=150, check=False
    )
    return done.returncode, done.stdout, done.stderr


def configured(folder: Path, **changes: Any) -> str:
    """A configuration for which nothing has to run; its path."""
    (folder / "compose.yml").write_text("services: {web: {image: 'app:1'}}\n")
    service = {
        "name": "web",
        "image": "app:1",
        "compose_file": str(folder / "compose.yml"),
        "compose_service": "web",
    }
    raw = {
        "state_file": str(folder / "state.json"),
        "log_file": str(folder / "log"),
        "services": [service],
        **changes,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(raw))
    return str(path)


def footprint(shop: Shop) -> tuple[dict[str, tuple[bytes, int]], list[tuple[str, str]], dict[str, list[str]]]:
    """All that a command which only reads must leave alone: files with their times, containers, local
    tags.
    """
    found = [path for path in shop.folder.rglob("*") if path.is_file() and path.name != "config.json"]
    files = {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}
    containers = [(c.id, c.attrs["State"]["StartedAt"]) for c in shop.containers()]
    client = shop.client
    listed = {image["Id"]: image["RepoTags"] or [] for image in client.api.images(all=True)}
    client.close()
    tags = {
        image: sorted(name for name in names if name.startswith(shop.repository) or shop.is_hold(name))
        for image, names in listed.items()
    }
    return files, containers, {image: names for image, names in tags.items() if names}


# ------------------------------------------------------------------------------------------- help and version


def test_help_names_every_flag_the_exit_statuses_and_the_signals() -> None:
    status, said, _ = call("--help")
    assert status == 0
    flags = {flag for action in parser()._actions for flag in action.option_strings}
    assert {"--once", "--test", "--plan", "--status", "--retry", "--rollback", "--service", "--json"} <= flags
    assert not {flag for flag in flags if flag not in said}
    for action in parser()._actions:
        assert action.help, f"{action.option_strings} has no words"
    for word in ("CONFIG_FILE", "TERM", "HUP", "USR1", "exit status"):
        assert word in said


def test_version_is_one_line() -> None:
    assert call("--version") == (0, f"docker-updater {__version__}\n", "")


def test_two_commands_at_once_are_refused() -> None:
    status, _, said = call("--plan", "--status")
    assert status == 2
    assert "not allowed with" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--json",), "--json goes with"),
        (("--once", "--json"), "--json goes with"),
        (("--notify-test", "--json"), "--json goes with"),
        (("--write",), "--write goes with --discover"),
        (("--test", "--write"), "--write goes with --discover"),
        (("--discover", "--yes"), "--yes goes with --discover --write"),
        (("--discover", "--service", "web"), "--service does not go with --discover"),
        (("--notify-test", "--service", "web"), "--service does not go with --notify-test"),
    ],
)
def test_a_flag_that_would_be_ignored_is_refused(words: tuple[str, ...], said: str) -> None:
    status, out, problems = call(*words)
    assert (status, out) == (2, "")
    assert said in problems


# --------------------------------------------------------------------------------------- configuration errors


@pytest.mark.parametrize(
    "words", [("--once",), ("--test",), ("--plan",), ("--status",), ("--retry", "web"), ()]
)
def test_every_problem_of_a_configuration_is_said_at_once(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = configured(tmp_path, check_interval="often", timezone="Europe/Berln", colour="blue")
    status, said, problems = call(*words, CONFIG_FILE=path)
    assert status == 2
    assert said == ""
    for word in ("check_interval", "Europe/Berlin", "colour"):
        assert word in problems
    assert "Traceback" not in problems


def test_a_configuration_that_is_not_there_is_said_with_its_path(tmp_path: Path) -> None:
    status, _, problems = call("--once", CONFIG_FILE=str(tmp_path / "none.json"))
    assert status == 2
    assert str(tmp_path / "none.json") in problems


@pytest.mark.parametrize(
    "words",
    [("--service", "wbe", "--plan"), ("--retry", "wbe"), ("--rollback", "wbe"), ("--update", "wbe")],
)
def test_an_unknown_service_is_refused_with_the_names_that_there_are(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    status, _, problems = call(*words, CONFIG_FILE=configured(tmp_path))
    assert status == 2
    assert "'wbe'" in problems
    assert "web" in problems.replace("'wbe'", "")


# ------------------------------------------------------------------------------------------------ exit status


@pytest.mark.parametrize("word", ["--once", "--test", "--plan"])
def test_an_engine_that_is_not_there_is_exit_status_3_with_a_remedy(tmp_path: Path, word: str) -> None:
    nowhere = f"unix://{tmp_path}/none.sock"
    status, said, more = call(word, CONFIG_FILE=configured(tmp_path), DOCKER_HOST=nowhere)
    assert status == 3
    assert "DOCKER_HOST" in said + more
    assert "Traceback" not in said + more


def test_status_needs_no_engine(tmp_path: Path) -> None:
    status, said, _ = call(
        "--status", CONFIG_FILE=configured(tmp_path), DOCKER_HOST=f"unix://{tmp_path}/none.sock"
    )
    assert status == 0
    assert re.search(r"^web\s+unknown", said, re.MULTILINE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("word", ["--status", "--plan"])
def test_a_user_who_may_not_read_the_state_is_notified_so_and_is_shown_no_empty_one(word: str) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are not open to others
        folder = Path(name)
        path = configured(folder, state_file=str(folder / "own" / "state.json"))
        (folder / "own").mkdir(mode=0o700)
        state_utils.save(State(), folder / "own" / "state.json", 0, None, datetime(2026, 5, 1, tzinfo=UTC))
        folder.chmod(0o755)
        code = (
            f"import docker_updater as d, os, sys; os.chdir('/'); {AS_NOBODY}; sys.exit(d.main([{word!r}]))"
        )
        known = {"PATH": os.environ["PATH"], "CONFIG_FILE": path}
        argv = [sys.executable, "-c", code]
        done = subprocess.run(
            argv, cwd=ROOT, env=known, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert f"STATE_FILE: the state {folder}/own/state.json cannot be read: Permission denied" in done.stderr
    assert "sudo" in done.stderr


@engine
def test_a_rollback_is_exit_status_1_and_an_update_0(open_shop: Shop) -> None:
    shop = open_shop
    shop.push("v1.1.0", lab.exits("bad"))
    status, said = shop.run("--once")
    assert status == 1
    assert "v1.0.0 runs again" in said
    assert shop.name in said.splitlines()[-1]
    status, said = shop.run("--once")
    assert status == 0, said
    shop.push("v1.2.0", lab.good("two"))
    status, said = shop.run("--once", "--service", shop.name)
    assert status == 0, said
    assert shop.releases() == [("two", "running")]


@engine
def test_a_service_that_cannot_be_judged_is_exit_status_1_and_never_up_to_date(open_shop: Shop) -> None:
    shop = open_shop
    shop.registry.behave("*", Behaviour(status=500))
    status, said = shop.run("--once")
    assert status == 1
    assert shop.name in said
    assert "up to date" not in said
    assert shop.state()["status"] == "unknown"


NO_INTERPRETER = "#!/nowhere/interpreter\n"
SAYS_NO = '#!/bin/sh\ncase "$*" in *version*) echo 2.40.0;; *) echo "this was not found" >&2; exit 1;; esac\n'


@engine
@pytest.mark.parametrize(("standalone", "status"), [(None, 3), (NO_INTERPRETER, 3), (SAYS_NO, 1)])
def test_a_machine_without_compose_is_exit_status_3_and_a_compose_that_says_no_is_not(
    open_shop: Shop, tmp_path: Path, standalone: str | None, status: int
) -> None:
    """The status depends on what is there, not on the words of a message."""
    open_shop.push("v1.1.0", lab.good("two"))
    path = tmp_path / "bin"
    path.mkdir()
    if standalone is not None:
        (path / "docker-compose").write_text(standalone)
        (path / "docker-compose").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(path))
        found, said = open_shop.run("--once")
    assert found == status, said
    assert open_shop.releases() == [("one", "running")]


# ----------------------------------------------------------------------------------------------------- status


@engine
def test_status_shows_each_service_and_json_the_same_for_machines(open_shop: Shop) -> None:
    shop = open_shop
    shop.push("v1.1.0", lab.exits("bad"))
    shop.run("--once")
    shop.push("v1.2.0", lab.good("two"))
    shop.settings["pause_updates"] = True
    shop.run("--once")
    before = footprint(shop)
    status, said = shop.run("--status")
    assert status == 0
    head, row = said.splitlines()[:2]
    for word in ("SERVICE", "STATE", "CURRENT", "AVAILABLE", "REASON", "CHECKED", "CHANGED"):
        assert word in head
    for word in (shop.name, "waiting", "/team/app:v1.0.0", "  v1.2.0  ", "paused"):
        assert word in row
    status, said = shop.run("--status", "--json")
    assert status == 0
    record = json.loads(said)[shop.name]
    assert record["status"] == "waiting"
    assert record["reason"] == "paused"
    assert record["reference"] == f"{shop.repository}:v1.0.0"
    assert record["changes"][0]["outcome"] == "rolled_back"
    assert footprint(shop) == before


# ------------------------------------------------------------------------------------------------------- plan


@engine
def test_a_plan_says_what_would_happen_and_why_and_changes_nothing(open_shop: Shop) -> None:
    shop = open_shop
    one = shop.registry.contents("team/app")[2]["v1.0.0"]
    two = shop.push("v1.1.0", lab.good("two"))
    shop.push("v0.9.0", lab.good("older"))
    shop.push("v2.0.0-rc.1", lab.good("candidate"))
    shop.push("nightly", lab.good("nightly"))
    before = footprint(shop)
    status, said = shop.run("--plan")
    assert status == 0, said
    assert f"update:    {shop.repository}:v1.0.0 -> {shop.repository}:v1.1.0\n" in said
    assert f"digest:    {one[:19]} -> {two.digest[:19]}" in said
    assert said.splitlines()[-1] == "1 service: 1 to be updated"
    assert "restarts:  web" in said
    assert (
        f"  -    image: {shop.repository}:v1.0.0  # kept\n  +    image: {shop.repository}:v1.1.0  # kept\n"
        in said
    )
    for tag, reason in (("v0.9.0", "downgrade"), ("v2.0.0-rc.1", "prerelease"), ("nightly", "not_matching")):
        assert re.search(rf"^    {re.escape(tag)}: {reason}", said, re.MULTILINE), said
    status, said = shop.run("--plan", "--json")
    (row,) = json.loads(said)["services"]
    assert (status, row["action"], row["update"]["to_digest"]) == (0, "update", two.digest)
    assert f"-    image: {shop.repository}:v1.0.0  # kept" in row["update"]["changes"]
    assert footprint(shop) == before
    assert not (shop.folder / "state").exists()
    assert not (shop.folder / "updater.log").exists()


@engine
def test_a_plan_among_thousands_of_tags_shows_a_summary_and_the_nearest(open_shop: Shop) -> None:
    """As text: the family, how many for which reason, and the twenty nearest. As JSON: all."""
    shop = open_shop
    digest = shop.registry.contents("team/app")[2]["v1.0.0"]
    two = shop.push("v1.30.0", lab.good("two"))
    others = (
        *(f"v0.{minor}.{patch}" for minor in range(90) for patch in range(20)),
        *(f"v1.{minor}.0-alpine" for minor in range(1200)),
        *(f"1.{minor}.0" for minor in range(700)),
        *(f"v1.{minor}.0-rc.{number}" for minor in range(60) for number in range(10)),
        *(f"main-{number:07x}" for number in range(900)),
    )
    for tag in others:
        shop.registry.tag("team/app", tag, digest)
    shop.registry.clear_log()
    shop.policy = {"health_stable": 1, "follow": "major"}
    status, said = shop.run("--plan")
    assert (status, said.splitlines()[-1]) == (0, "1 service: 1 to be updated")
    pages = [entry for entry in shop.registry.log if entry.path.startswith("/v2/team/app/tags/list")]
    assert len(pages) == len(others) // 1000 + 1
    assert "family:    v#.#.#, each # a number; v1.0.0 is at 1.0.0" in said
    assert f"update:    {shop.repository}:v1.0.0 -> {shop.repository}:v1.30.0\n" in said
    (summary,) = re.findall(r"^  rejected:  ((?:.+\n)(?: {13}.+\n)*)", said, re.MULTILINE)
    counts = {reason: int(count) for count, reason in re.findall(r"([0-9]+)\s+([a-z_]+)", summary)}
    assert sum(counts.values()) == len(others) + 1  # all but the one that is taken
    assert (counts["other_variant"], counts["prerelease"], counts["downgrade"]) == (1200, 600, 1800)
    shown = re.findall(r"^    (\S+): [a-z_]+", said, re.MULTILINE)
    assert len(shown) == 20
    assert "v1.0.0" in shown
    assert [tag for tag in shown if not tag.startswith(("v1.0.0", "v1.1.0-rc"))] == []
    assert f"    and {len(others) + 1 - 20} more\n" in said
    (row,) = json.loads(shop.run("--plan", "--json")[1])["services"]
    assert (row["family"], row["update"]["to_digest"]) == (
        "v#.#.#, each # a number; v1.0.0 is at 1.0.0",
        two.digest,
    )
    assert {one["tag"] for one in row["rejected"]} == {*others, "v1.0.0"}


@engine
def test_a_pinned_tag_is_up_to_date_and_what_is_newer_is_named(open_shop: Shop) -> None:
    """Until it follows versions, as the remedy says; then it is no event any more."""
    shop = open_shop
    shop.policy = {"health_stable": 1}
    for tag in ("v1.1.0", "v2.0.0", "v3.0.0-rc.1", "nightly"):
        shop.push(tag, lab.good(tag))
    status, said = shop.run("--plan")
    assert (status, said.count("newer:")) == (0, 1)
    assert f"newer:     {shop.repository}:v2.0.0 is there" in said
    assert said.splitlines()[-1] == "1 service: 1 up to date"
    assert json.loads(shop.run("--plan", "--json")[1])["services"][0]["newer"] == f"{shop.repository}:v2.0.0"
    status, said = shop.run("--test")
    assert (status, said.count(f"{shop.repository}:v2.0.0 is there")) == (0, 1)
    assert f'write "follow": "minor" (or "major") for {shop.name}' in said
    shop.policy = {"health_stable": 1, "follow": "minor"}
    assert "is there" not in shop.run("--test")[1]
    assert ":v1.1.0\n" in shop.run("--plan")[1]


@engine
def test_a_plan_of_a_service_that_waits_says_why_and_what_to_do(open_shop: Shop) -> None:
    shop = open_shop
    shop.cycle()
    two = shop.push("v1.1.0", lab.good("two"))
    shop.settings["pause_updates"] = True
    before = footprint(shop)
    status, said = shop.run("--plan")
    assert status == 0
    assert "no update: paused" in said
    assert two.digest[:19] in said
    assert "to do:" in said
    assert footprint(shop) == before


@engine
def test_the_diff_of_a_plan_is_what_the_update_then_does(open_shop: Shop) -> None:
    shop = open_shop
    before = shop.compose_file.read_text().splitlines()
    shop.push("v1.1.0", lab.good("two"))
    _, said = shop.run("--plan")
    removed, added = (
        [line[3:] for line in said.splitlines() if re.match(rf"  \{sign} ", line)] for sign in "-+"
    )
    shop.cycle()
    after = shop.compose_file.read_text().splitlines()
    assert removed == [line for line in before if line not in after] != []
    assert added == [line for line in after if line not in before] != []


# ------------------------------------------------------------------------------------------------------- test


@engine
def test_the_check_has_a_line_for_everything_an_update_needs(open_shop: Shop) -> None:
    shop = open_shop
    before = footprint(shop)
    status, said = shop.run("--test")
    assert status == 0, said
    lines = said.splitlines()
    assert all(line.startswith("ok ") for line in lines[:-1]), said
    assert re.fullmatch(r"\d+ checks: \d+ ok, 0 failed", lines[-1])
    status, said = shop.run("--test", "--json")
    assert (status, json.loads(said)["ok"]) == (0, True)
    subjects = ("config", "engine", "compose", shop.name, "registry", "api", "state", "log", "disk")
    assert [
        next((line for line in lines if line.startswith(f"ok    {subject}")), subject) for subject in subjects
    ] == [line for line in lines if line.startswith("ok")]
    assert re.search(r"Docker Engine \d+\.\d+", said)
    assert re.search(r"Docker Compose \d+\.\d+", said)
    assert footprint(shop) == before


@engine
def test_the_check_names_every_broken_piece_with_a_remedy(open_shop: Shop) -> None:
    shop = open_shop
    shop.registry.auth = Basic("jane", "hunter2")
    (shop.folder / "a-file").touch()
    shop.settings |= {"log_file": str(shop.folder / "a-file" / "updater.log")}
    shop.compose_file.write_text("services: [\n")
    status, said = shop.run("--test")
    assert status == 3, said
    for subject in (shop.name, f"registry {shop.repository}", "log"):
        failed = [line for line in said.splitlines() if line.startswith(f"FAIL  {subject}")]
        assert failed, f"{subject}: {said}"
        assert all(" -> " in line for line in failed), said
    assert re.search("^ok    engine", said, re.MULTILINE)


# ---------------------------------------------------------------------------------------------------- secrets

PASSWORD, TOKEN, KEY = "p4ss-Word/that+shows", "T0ken-in-the-path", "signing-key-9"


@engine
def test_no_secret_shows_in_output_log_or_state(shop: Shop) -> None:
    shop.push("latest", lab.good("one"))
    shop.write("latest", WEB)
    shop.up()
    shop.policy = {"health_stable": 1, "registry_config": {"username": "jane", "password": PASSWORD}}
    shop.settings = {"log_level": "DEBUG", "log_format": "json"}
    shop.registry.auth = Basic("jane", PASSWORD)
    said = ""
    with listening() as listener:
        shop.settings |= {"webhook_url": f"{listener.url}/{TOKEN}/hook", "webhook_secret": KEY}
        shop.push("latest", lab.good("two"))
        listener.fail(1)
        for words, wanted in (
            (("--once",), 0),
            (("--test",), 0),
            (("--plan",), 0),
            (("--status", "--json"), 0),
        ):
            status, out = shop.run(*words)
            assert status == wanted, out
            said += out
        assert listener.requests, "the webhook got the event"
    assert shop.releases() == [("two", "running")], "the password was used"
    shop.registry.auth = Basic("jane", "another one")
    for words in (("--once",), ("--test",)):
        said += shop.run(*words)[1]
    (shop.folder / "config.json").unlink()
    written = b"".join(path.read_bytes() for path in shop.folder.rglob("*") if path.is_file())
    for secret in (PASSWORD, TOKEN, KEY):
        assert secret not in said
        assert secret.encode() not in written
