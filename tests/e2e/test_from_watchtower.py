"""docs/from-watchtower.md, followed word for word by a stranger: a machine with systemd, an engine on which
26 containers of 12 projects run, a closed home. Five commands and one pasted block; no line of JSON by hand.

About two minutes, most of them eleven real updates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.fake_registry import FakeRegistry
from tests.support.home_server import PROJECTS, UPDATED, HomeServer
from tests.support.lab import ROOT, until
from tests.support.private_engine import PrivateEngine
from tests.support.systemd_container import Machine, machine

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("systemd")]

PAGE = (ROOT / "docs/from-watchtower.md").read_text(encoding="utf-8")
CONFIG = "/etc/docker-auto-updater/updater_config.json"
# What a machine without network and without sudo needs for the very words of the page.
SHIMS = {
    "sudo": '#!/bin/sh\nexec "$@"\n',
    "git": '#!/bin/sh\nmkdir "$3" && cd "$2" && tar --exclude=.git --exclude=.venv --exclude=.hypothesis'
    ' --exclude=".*_cache" -cf - . | tar -xf - -C "$OLDPWD/$3"\n',
}
# Says yes to the question, at a terminal, as a person would.
AT_TERMINAL = """
import os, pty, sys
shown = b""
def read(fd):
    global shown
    data = os.read(fd, 4096)
    shown += data
    if shown.rstrip().endswith(b"[y/N]"):
        shown = b""
        os.write(fd, b"y\\n")
    return data
sys.exit(os.waitstatus_to_exitcode(pty.spawn(["bash", "-c", sys.argv[1]], read)))
"""


@pytest.fixture
def engine() -> Iterator[PrivateEngine]:
    """An engine on which nothing else runs: `--discover` takes up all that there is."""
    made = PrivateEngine()
    made.start()
    yield made
    made.close()


@pytest.fixture
def box(engine: PrivateEngine) -> Iterator[Machine]:
    with machine(engine.folder / "docker.sock") as made:
        for name, text in SHIMS.items():
            made.write(f"/usr/local/bin/{name}", text)
            made.run("chmod", "755", f"/usr/local/bin/{name}")
        yield made


@pytest.fixture
def server(box: Machine, engine: PrivateEngine, registry: FakeRegistry) -> HomeServer:
    """The operator's home, closed, and what runs from it."""
    home = box.shared / "ann"
    made = HomeServer(home / "docker", registry, engine.host)
    made.start()
    box.run("useradd", "--no-create-home", "--home-dir", str(home), "ann")
    box.run("chown", "-R", "ann:ann", str(home))
    box.run("chmod", "700", str(home))
    return made


def commands(heading: str) -> list[str]:
    """The lines of the command blocks below a heading of the page, in their order."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [re.sub(r"\s+# .*", "", line) for line in lines if line]


def types(box: Machine, line: str, folder: str = "/root", *, is_well: bool = True) -> str:
    """Run a line at a terminal; what it said."""
    setting = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels"
    words = ["python3", "-c", AT_TERMINAL, f"{setting}; cd {folder}; {line}"]
    done = box.run(*words, check=False)
    assert not is_well or done.returncode == 0, f"{line} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout.replace("\r\n", "\n")


def test_a_stranger_is_done_in_five_commands_and_writes_no_json(box: Machine, server: HomeServer) -> None:
    assert len(server.releases()) == 26
    assert len(PROJECTS) == 12
    install, look, stop, write, plan, start, status, remove = commands("In ten minutes")
    types(box, install.replace("<repository-url>", "/src"))
    box.write("/etc/docker-auto-updater/.env", "HEALTH_STABLE=1\n")  # so that the test takes less time
    shown = types(box, look)
    assert "25 services: 0 in the configuration, 25 new" in shown
    assert "docker stop watchtower" in shown
    granted = shown.partition("run once:\n")[2].partition("\n\n")[0]
    types(box, granted)
    again = types(box, look)
    assert "run once" not in again, "all was granted at once"
    assert "25 services: 0 in the configuration, 25 new; 25 ready" in again
    types(box, stop)
    said = types(box, write)
    assert "25 services added" in said
    listed = {each["name"]: each for each in json.loads(box.read(CONFIG))["services"]}
    assert len(listed) == 25
    before = server.releases()
    server.push_newer()
    planned = types(box, plan)
    last = planned.strip().splitlines()[-1]
    # two of them are a group
    assert last == "24 services: 1 waiting, 10 to be updated, 13 up to date", planned
    assert server.releases() == before, "nothing but the last command updates"
    types(box, start)
    until(lambda: is_settled(types(box, f"{status} --json")), 400, "the first cycle")
    follows_up(box, server, types(box, f"{status} --json"))
    assert types(box, remove) == "watchtower\n"


def is_settled(said: str) -> bool:
    """Whether every service was checked, and no update that may go is still to come."""
    states = {(one["status"], one["reason"]) for one in json.loads(said).values()}
    return not states & {("unknown", None), ("waiting", None)}


def follows_up(box: Machine, server: HomeServer, said: str) -> None:
    """Every service is updated, current, or held for a right reason."""
    known = json.loads(said)
    states = {name: (one["status"], one["reason"]) for name, one in known.items()}
    updated = {name for name, (state, _) in states.items() if state == "updated"}
    assert updated == UPDATED, states
    waiting = {name: reason for name, (state, reason) in states.items() if state == "waiting"}
    assert waiting == {"git-db": "notify_only"}
    assert {state for state, _ in states.values()} == {"updated", "up_to_date", "waiting"}
    new = {name for name, release in server.releases().items() if release == "new"}
    assert new == (UPDATED - {"immich", "vault"}) | {"immich-server", "immich-learning", "vault-vault"}
    files = box.shared / "ann/docker"
    assert "IMMICH_VERSION=v1.119.0\nDB_PASSWORD=secret" in (files / "immich/.env").read_text()
    assert "grafana:11.2.1" in (files / "monitoring/grafana.yml").read_text()
    assert "vault/server:1.32.0@sha256:" in (files / "vault/docker-compose.yml").read_text()
    owners = {path.stat().st_uid for path in files.rglob("*")}
    assert owners == {files.stat().st_uid}, "every file is still the operator's"


def test_the_page_names_no_command_that_the_walk_leaves_out() -> None:
    walked = commands("In ten minutes")
    programs = [line.split()[0] for line in walked]
    assert programs == ["git", "sudo", "docker", "sudo", "sudo", "sudo", "sudo", "docker"]
    top = PAGE.partition("```bash\n")[2].partition("```")[0].splitlines()
    assert set(top) <= set(walked)
