"""A configuration that means what is not there is never "ok": `--test` fails, status and metrics say it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docker_updater import NO_ENGINE
from tests.support import lab
from tests.support.lab import Shop
from tests.unit.test_engine_endpoint import add_context, use
from updater_core.app import cycle
from updater_core.models import Hold, Reason
from updater_core.state import records
from updater_core.state.records import Status

pytestmark = pytest.mark.engine

TWO = """\
services:
  web:
    image: {image}
    stop_grace_period: 1s
    network_mode: none
  worker:
    image: {image}
    container_name: NAME-jobs
    stop_grace_period: 1s
    network_mode: none
"""


@pytest.fixture
def two(shop: Shop) -> Shop:
    """A project of two services, web and worker, which runs."""
    shop.push("latest", lab.good("one"))
    shop.write("latest", TWO.replace("NAME", shop.name))
    shop.up()
    return shop


def tried(shop: Shop, **changes: Any) -> tuple[int, str]:
    """`--test` of a configuration whose one service has these keys changed."""
    shop.policy = {**shop.policy, **changes}
    return shop.run("--test")


def failed(shop: Shop) -> records.ServiceState:
    """The state of the service after one cycle, which must call it failed."""
    context = shop.context()
    (hold,) = [one.decision for one in cycle.run(context).checked]
    assert isinstance(hold, Hold)
    assert hold.reason is Reason.NOT_IN_FILE
    known = records.service_of(context.state, shop.name)
    assert known.status is Status.FAILED
    assert records.needs_operator(known)
    return known


def test_a_misspelt_service_is_named_with_those_that_are_there(two: Shop) -> None:
    status, said = tried(two, compose_service="wbe")
    assert status == NO_ENGINE
    assert f"FAIL  {two.name}: held, not_in_file" in said
    assert "web, worker" in said
    assert '"compose_service": "web"' in said
    assert failed(two).remedy == 'write "compose_service": "web"'


def test_a_containers_name_in_place_of_its_service_leads_to_the_service(two: Shop) -> None:
    status, said = tried(two, compose_service=f"{two.name}-jobs")
    assert status == NO_ENGINE
    assert '"compose_service": "worker"' in said
    failed(two)
    two.policy["compose_service"] = "worker"  # the remedy, followed
    assert two.run("--test")[0] == 0


def test_a_copy_of_the_file_that_nothing_runs_from_is_not_ok(two: Shop, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "docker-compose.yml"
    copy.parent.mkdir()
    copy.write_bytes(two.compose_file.read_bytes())
    status, said = tried(two, compose_file=str(copy))
    assert status == NO_ENGINE
    assert f'"compose_file": "{two.compose_file}"' in said
    failed(two)


def test_the_context_that_is_current_for_the_user_is_the_engine_that_is_asked(
    two: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    add_context(tmp_path / ".docker", "rootless", f"unix://{tmp_path}/rootless.sock")
    use(tmp_path / ".docker", "rootless")
    status, said = two.run("--test")
    assert status == NO_ENGINE
    assert "FAIL  engine: the engine did not answer" in said
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    status, said = two.run("--test")
    assert status == 0
    assert "at unix:///var/run/docker.sock (by the default)" in said


def test_another_engine_than_that_of_the_operator_behind_sudo_is_named(
    two: Shop, monkeypatch: pytest.MonkeyPatch, home_of_nobody: Path
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("SUDO_USER", "dau-operator")
    add_context(home_of_nobody / ".docker", "rootless", "unix:///run/user/1000/docker.sock")
    use(home_of_nobody / ".docker", "rootless")
    status, said = two.run("--test")
    assert status == NO_ENGINE
    assert "dau-operator's own docker asks unix:///run/user/1000/docker.sock (by context rootless)" in said
    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")  # the remedy, followed
    assert two.run("--test")[0] == 0


@pytest.fixture
def home_of_nobody(tmp_path: Path) -> Iterator[Path]:
    """The home of a user who is made for this test, `dau-operator`."""
    if os.geteuid() != 0:
        pytest.skip("only root makes users")
    home = tmp_path / "home"
    subprocess.run(
        ["useradd", "--create-home", "--home-dir", home, "dau-operator"], check=True, capture_output=True
    )
    yield home
    subprocess.run(["userdel", "dau-operator"], check=True, capture_output=True)


def test_an_env_file_that_would_be_edited_and_may_not_be_is_seen_by_the_check(shop: Shop) -> None:
    shop.policy = {"semver_pattern": "v*"}
    shop.push("v1.0.0", lab.good("one"))
    (shop.folder / ".env").write_text("TAG=v1.0.0\n")
    text = "services:\n  web:\n    image: " + shop.repository + ":${{TAG}}\n    network_mode: none\n"
    shop.write("v1.0.0", text)
    shop.up()
    assert shop.run("--test")[0] == 0
    (shop.folder / ".env").chmod(0o444)
    status, said = shop.run("--test")
    assert status == NO_ENGINE
    assert f"{shop.folder}/.env is write-protected" in said


# ---------------------------------------------------------------------------- files that are not ours to read

STRANGER = 65534
_SETFACL = """\
#!/bin/sh
rights=${2#u:nobody:}
shift 2
exec chmod "o+${rights%%,*}" "$@"
"""
GUEST = """\
services:
  guest:
    image: {image}
    network_mode: container:HOST
    stop_grace_period: 1s
"""


@pytest.fixture
def closed_home(shop: Shop) -> Iterator[Path]:
    """A home that only root may enter, with the shop's project and one that lives in its network."""
    with tempfile.TemporaryDirectory(prefix="dau-test-") as place:
        Path(place).chmod(0o755)
        home = Path(place, "home")
        for name in ("web", "guest"):
            (home / name).mkdir(parents=True)
            (home / name).chmod(0o700)
            (home / name / ".env").write_text("TAG=v1.0.0\n")
            (home / name / ".env").chmod(0o600)
        home.chmod(0o700)
        for name in ("state", "tools"):
            Path(place, name).mkdir()
        os.chown(Path(place, "state"), STRANGER, STRANGER)
        for name, text in (("sudo", '#!/bin/sh\nexec "$@"\n'), ("setfacl", _SETFACL)):
            Path(place, "tools", name).write_text(text)
            Path(place, "tools", name).chmod(0o755)
        usual, shop.folder = shop.folder, home / "web"
        yield home
        shop.down()
        shop.folder = usual


def as_stranger(place: Path, *words: str) -> tuple[int, str]:
    """What the updater says as a user who may ask the engine and has no right to any file.

    By the machine's own Python: the one of this process may lie in a home that is closed.
    """
    libraries = {"PYTHONPATH": sysconfig.get_path("purelib"), "PYTHONDONTWRITEBYTECODE": "1"}
    own = {"CONFIG_FILE": str(place / "config.json"), "HOME": str(place / "state")}
    done = subprocess.run(
        ["/usr/bin/python3", str(lab.ROOT / "docker_updater.py"), *words],
        env={**os.environ, **libraries, **own},
        user=STRANGER, group=STRANGER, extra_groups=[Path("/var/run/docker.sock").stat().st_gid], cwd=place,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_every_file_that_is_closed_is_said_at_once_with_the_commands_that_open_it(
    shop: Shop, closed_home: Path
) -> None:
    place = closed_home.parent
    if os.geteuid() != 0 or as_stranger(place, "--help")[0] != 0:
        pytest.skip("only root can be somebody else, who has to be able to start Python")
    shop.push("v1.0.0", lab.good("one"))
    text = "services:\n  web:\n    image: @IMAGE:${TAG}\n    init: true\n    stop_grace_period: 1s\n"
    shop.compose_file.write_text(text.replace("@IMAGE", shop.repository))
    more = shop.folder / "more.yml"
    more.write_text("services: {web: {restart: unless-stopped}}\n")
    shop.compose("-f", shop.compose_file.name, "-f", more.name, "up", "-d")
    guest = Shop(closed_home / "guest", shop.registry, f"{shop.name}-guest")
    guest.compose_file.write_text(
        GUEST.replace("HOST", shop.names()[0]).format(image=f"{shop.repository}:v1.0.0")
    )
    try:
        guest.up()
        for path in (shop.compose_file, more, guest.compose_file):
            path.chmod(0o600)
        shop.policy = {"semver_pattern": "v*", "compose_file": [str(shop.compose_file), str(more)]}
        shop.settings = {
            "state_file": str(place / "state" / "state.json"), "log_file": str(place / "state" / "log"),
        }  # fmt: skip
        (place / "config.json").write_text(json.dumps(shop.config()))
        status, said = as_stranger(place, "--test")
        assert status == NO_ENGINE, said
        follow(said, place)
        status, said = as_stranger(place, "--test")
        assert status == 0, said
    finally:
        guest.down()


def follow(said: str, place: Path) -> None:
    """Run every command that the output names, as it stands there."""
    commands = dict.fromkeys(re.findall(r"`(sudo [^`]+)`", " ".join(said.split())))
    assert commands, said
    path = f"{place / 'tools'}:{os.environ['PATH']}"
    for command in commands:
        subprocess.run(["bash", "-c", command], check=True, env={**os.environ, "PATH": path})
