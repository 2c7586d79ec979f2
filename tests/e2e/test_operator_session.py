"""An operator who has never seen it, on a Debian machine with systemd: installs it, sees why a service is not
updated without reading a log, is notified of a rollback, and takes it off again without a trace.

One session on one machine. The operator types only what docs/install.md or the program itself says, and opens
no log.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any

import pytest

from tests.e2e.test_systemd_container import CONFIG, DOTENV, EVERY_FILE, holds
from tests.support import lab
from tests.support.fake_registry import FakeRegistry
from tests.support.lab import ROOT, Shop, until
from tests.support.listener import Listener, listening
from tests.support.ports import free_port
from tests.support.systemd_container import Machine, machine

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("systemd")]

MANUAL = " ".join((ROOT / "docs/install.md").read_text(encoding="utf-8").split())


@dataclass
class Operator:
    """Types at a machine's prompt. `reported`: all that was on the screen so far."""

    box: Machine
    reported: str = ""
    statuses: list[int] = field(default_factory=list)

    def types(self, line: str, *, because: str = "") -> str:
        """Run a line that the manual, or something on the screen, names; what it says.

        `because`: the one that names it with another file or folder.
        """
        assert (because or line) in MANUAL + " ".join(self.reported.split()), (
            f"nobody asked me to type {line}"
        )
        done = self.box.run("bash", "-c", f"cd /src; {line.replace('sudo ', '')}", check=False)
        self.reported += done.stdout
        self.statuses.append(done.returncode)
        return done.stdout


@pytest.fixture(scope="module")
def box() -> Iterator[Machine]:
    with machine() as made:
        yield made


@pytest.fixture
def shop(box: Machine, registry: FakeRegistry) -> Iterator[Shop]:
    """Another user's project, running before anything is installed. Its updates are paused."""
    folder = box.shared / "webapp"
    folder.mkdir(mode=0o755)
    made = Shop(folder, registry, policy={"semver_pattern": "v*", "pause_updates": True})
    made.policy["image"] = f"{made.repository}:v1.0.0"
    made.push("v1.0.0", lab.healthy("one"))
    made.write("v1.0.0")
    made.compose_file.chmod(0o644)
    made.up()
    yield made
    made.down()


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as reply:
        text: str = reply.read().decode()
        return text


def page(port: int) -> str:
    """What the status page says."""
    return re.sub(
        r"\s+", " ", unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", get(port, "/"), flags=re.DOTALL))
    )


def service(port: int) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(get(port, "/status.json"))["services"][0]
    except OSError:
        return {}
    return found


def files_of(box: Machine) -> list[str]:
    """Every file of the installation outside of a release, with owner and mode, and with what is in it."""
    return box.shell(
        "find /etc/docker-auto-updater /etc/systemd/system/docker-updater.service "
        "/etc/logrotate.d/docker-updater"
        " /usr/local/bin/docker-updater /usr/share/bash-completion/completions/docker-updater"
        " /var/lib/docker-auto-updater /opt/docker-auto-updater/venvs -maxdepth 1"
        " -exec stat -c '%n %a %U %G' {} + -type f -exec md5sum {} + | sort"
    ).splitlines()


def test_from_a_bare_machine_and_back(box: Machine, shop: Shop) -> None:
    before, port = box.shell(EVERY_FILE), free_port()
    ann = Operator(box)
    with listening() as hook:
        installs(ann, shop, port, hook)
        sees_why_it_waits(ann, shop, port)
        is_notified_of_a_rollback(ann, shop, port, hook)
    takes_it_off(ann, shop, before)


def installs(ann: Operator, shop: Shop, port: int, hook: Listener) -> None:
    """From a folder of wheels, the first time with no network at all. A second run changes nothing."""
    said = ann.types("unshare --net ./install.sh --wheels /wheels", because="--wheels DIR")
    assert ann.statuses[-1] == 0, said
    config = {key: value for key, value in shop.config().items() if key not in ("state_file", "log_file")}
    assert f"sudo nano {CONFIG}" in said
    ann.box.write(CONFIG, json.dumps(config))
    assert f"sudo nano {DOTENV}" in said
    ann.box.write(DOTENV, f"WEBHOOK_URL={hook.url}/hook\nMETRICS_PORT={port}\nCHECK_INTERVAL=5\n")
    tested = ann.types("sudo docker-updater --test")
    assert "may not edit it" in tested
    ann.types(re.findall(r"`(sudo setfacl [^`]*)`", tested)[0])
    assert "FAIL" not in ann.types("sudo docker-updater --test")
    installed = files_of(ann.box)
    assert len(installed) > 12
    ann.types("sudo ./install.sh --wheels /wheels", because="--wheels DIR")
    assert files_of(ann.box) == installed
    ann.types("sudo systemctl enable --now docker-updater")
    assert ann.statuses[1:] == [3, 0, 0, 0, 0]


def sees_why_it_waits(ann: Operator, shop: Shop, port: int) -> None:
    """A newer release is there and is not taken: the reason and what to do stand in --status and on the
    page.
    """
    shop.push("v1.1.0", lab.unhealthy("two"))
    until(lambda: service(port).get("reason") == "paused", what="the page says why")
    table = ann.types("sudo docker-updater --status")
    assert re.search(rf"{shop.name} +waiting +\S+:v1\.0\.0 +v1\.1\.0 +paused", table), table
    assert f"{shop.name}: " in table
    assert "to do: " in table
    shown = page(port)
    assert "What waits" in shown
    assert "paused" in shown.partition("What waits")[2].partition("Services")[0]
    assert "To do:" in shown.partition("What waits")[2].partition("Services")[0]


def is_notified_of_a_rollback(ann: Operator, shop: Shop, port: int, hook: Listener) -> None:
    """The pause is lifted, the release turns out to be bad: a message says so, and the old one runs again."""
    config = json.loads(ann.box.read(CONFIG))
    del config["services"][0]["pause_updates"]
    ann.box.write(CONFIG, json.dumps(config))
    ann.types("sudo systemctl reload docker-updater")
    until(lambda: hook.requests, what="a message")
    (message,) = [json.loads(request.body) for request in hook.requests]
    assert (message["event"], message["service"], message["reason"]) == ("rollback", shop.name, "unhealthy")
    assert message["to"]["reference"].endswith(":v1.0.0")
    assert shop.releases() == [("one", "running")]
    until(lambda: service(port).get("state") == "rolled_back", what="the page says so too")
    assert "rolled_back" in ann.types("sudo docker-updater --status")
    shown = page(port)
    assert "the database is not there" in shown, "what the release said of itself"
    assert re.search(r"\d+ steps hold .* gate [\d.]+ s Rollback edit .* gate [\d.]+ s verify", shown), shown


def takes_it_off(ann: Operator, shop: Shop, before: str) -> None:
    ann.types("sudo ./install.sh --uninstall --purge")
    assert ann.statuses[-1] == 0
    assert ann.box.shell(EVERY_FILE) == before
    assert ann.box.run("getent", "passwd", "docker-updater", check=False).returncode != 0
    assert ann.box.run("systemctl", "status", "docker-updater", check=False).returncode == 4, "no such unit"
    assert holds(shop) == []
    assert shop.releases() == [("one", "running")]
    assert f"{shop.repository}:v1.0.0" in shop.compose_file.read_text()
