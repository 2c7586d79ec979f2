"""The service as an operator lives with it, on a machine with systemd: install, grant, start, update, stop in
the middle, reload, hang, upgrade, remove. The tests share one machine, in their order; each can also run
alone.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import lab
from tests.support.failures import let_go, slow
from tests.support.fake_registry import FakeRegistry
from tests.support.lab import ROOT, Shop, until
from tests.support.listener import listening
from tests.support.systemd_container import Machine, machine
from updater_core.models import KINDS

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("systemd")]
# Changes of a source that make a bad version: a file, what stands there, what to write.
FAILS_ITS_TEST = (
    "updater_core/app/commands/selfcheck.py",
    '_found("engine", lambda:',
    '_found("engine", lambda: {}[0] or',
)
DOES_NOT_START = (
    "docker_updater.py",
    "    clock.manager = Manager(environment)",
    '    raise OSError("broken")',
)

CONFIG = "/etc/docker-auto-updater/updater_config.json"
DOTENV = "/etc/docker-auto-updater/.env"
STATE = "/var/lib/docker-auto-updater/updater_state.json"
UNIT = "/etc/systemd/system/docker-updater.service"
COMMAND = "/usr/local/bin/docker-updater"
ROTATION = "/etc/logrotate.d/docker-updater"
INSTALL = ("/src/install.sh", "--wheels", "/wheels")
EVERY_FILE = (
    "find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /src "
    "-o -path /srv"
    " -o -path /var/log/journal -o -name __pycache__ \\) -prune -o -print | sort"
)


@pytest.fixture(scope="module")
def bare() -> Iterator[tuple[Machine, list[str]]]:
    """A machine, and every file on it before anything is installed."""
    with machine() as made:
        yield made, made.shell(EVERY_FILE).splitlines()


@pytest.fixture
def box(bare: tuple[Machine, list[str]]) -> Iterator[Machine]:
    """The machine with the updater installed and not running, as after a fresh install."""
    made, _ = bare
    if not made.exists("/opt/docker-auto-updater/current"):
        made.run(*INSTALL)
    yield made
    made.shell(
        "systemctl stop docker-updater 2>/dev/null || true; systemctl reset-failed docker-updater "
        "2>/dev/null || true\n"
        "rm -rf /etc/systemd/system/docker-updater.service.d /var/lib/docker-auto-updater/*; systemctl "
        "daemon-reload"
    )


@pytest.fixture
def shop(box: Machine, registry: FakeRegistry) -> Iterator[Shop]:
    """A shop of root's whose service runs v1.0.0 and follows its versions; the machine's updater knows it."""
    folder = box.shared / uuid.uuid4().hex[:8]
    folder.mkdir(mode=0o755)
    made = Shop(folder, registry, policy={"semver_pattern": "v*"}, settings={"log_format": "json"})
    made.policy["image"] = f"{made.repository}:v1.0.0"
    made.push("v1.0.0", lab.good("one"))
    made.write("v1.0.0")
    made.compose_file.chmod(0o644)
    made.up()
    configure(box, made)
    yield made
    made.down()


def configure(box: Machine, shop: Shop) -> None:
    """Write the service's configuration; places are the usual ones. The file keeps its owner and mode."""
    config = {key: value for key, value in shop.config().items() if key not in ("state_file", "log_file")}
    box.write(CONFIG, json.dumps(config))


def grant(box: Machine, shop: Shop) -> None:
    """As the operator: do what `--test` says."""
    said = box.run("docker-updater", "--test", check=False).stdout
    box.shell(re.findall(r"Run `(sudo setfacl [^`]*)`", said)[0].replace("sudo ", ""))


def lines(box: Machine, event: str) -> list[dict[str, Any]]:
    """What the log says of one kind of event since the service was last installed or cleared."""
    text = box.shell("cat /var/log/docker-auto-updater/docker_updater.log 2>/dev/null || true")
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [one for one in found if one["event"] == event]


def await_line(box: Machine, event: str, after: int = 0, **fields: object) -> dict[str, Any]:
    def found() -> list[dict[str, Any]]:
        return [one for one in lines(box, event)[after:] if fields.items() <= one.items()]

    return dict(until(found, what=f"{event} {fields}")[0])


@pytest.fixture
def running(box: Machine, shop: Shop) -> Shop:
    """The shop, looked after by the running service; its first check is over."""
    grant(box, shop)
    before = len(lines(box, "cycle_ended"))
    box.run("systemctl", "start", "docker-updater")
    await_line(box, "cycle_ended", before)
    return shop


# ---------------------------------------------------------------------------------------------------- install


def test_a_fresh_install_is_whole_and_its_test_passes(box: Machine) -> None:
    places = (
        "/etc/docker-auto-updater",
        CONFIG,
        DOTENV,
        "/var/lib/docker-auto-updater",
        "/var/log/docker-auto-updater",
    )
    modes = box.run("stat", "-c", "%a %U %G %n", *places).stdout.splitlines()
    assert modes == [
        f"{kind} {place}"
        for kind, place in zip(
            ("750 docker-updater docker-updater", "640 docker-updater docker-updater",
             "640 root docker-updater",
             "750 docker-updater docker-updater", "750 docker-updater docker-updater"), places, strict=True,
        )
    ]  # fmt: skip
    assert json.loads(box.read(CONFIG))["services"] == [], "no example is in use"
    assert box.exists(json.loads(box.read(CONFIG))["$schema"])
    assert "docker" in box.run("id", "-nG", "docker-updater").stdout.split()
    tested = box.run("docker-updater", "--test").stdout
    assert "ok    engine: Docker Engine" in tested
    assert "FAIL" not in tested
    assert box.run("systemctl", "is-enabled", "docker-updater", check=False).stdout.strip() == "disabled"


def test_nothing_that_the_service_runs_belongs_to_anyone_but_root(box: Machine) -> None:
    found = box.shell(
        "find /opt/docker-auto-updater /usr/local/bin/docker-updater \\! -user root -o -perm /022 \\! -type l"
    )
    assert found == ""


def test_the_unit_is_free_of_mistakes_and_as_closed_as_it_says(box: Machine) -> None:
    assert box.run("systemd-analyze", "verify", "docker-updater.service").stdout == ""
    unit = box.read("/etc/systemd/system/docker-updater.service")
    stated = re.findall(r"`systemd-analyze security docker-updater`: ([\d.]+) of 10", unit)
    assert stated == [str(exposure(box))]
    manual = " ".join((ROOT / "docs/install.md").read_text(encoding="utf-8").split())
    assert f"calls the whole {stated[0]} of 10 (2.3 with `--user root`" in manual


def exposure(box: Machine) -> float:
    said = box.run("systemd-analyze", "security", "--no-pager", "docker-updater").stdout
    return float(re.findall(r"Overall exposure level for docker-updater.service: ([\d.]+)", said)[0])


def test_another_user_is_taken_on_request_and_reported_what_it_lacks(box: Machine, running: Shop) -> None:
    box.run(
        "useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--groups", "docker", "jane"
    )
    done = box.run(*INSTALL, "--user", "jane", check=False)
    assert done.returncode == 3
    assert f"sudo setfacl -m u:jane:rw {running.compose_file}" in done.stdout
    assert box.run("stat", "-c", "%U", f"/proc/{box.show('MainPID')}").stdout.strip() == "jane"
    box.run(*INSTALL, check=False)
    assert box.run("stat", "-c", "%U", f"/proc/{box.show('MainPID')}").stdout.strip() == "jane", (
        "the choice stays"
    )
    assert "    su jane jane\n" in box.read(ROTATION)
    box.run(*INSTALL, "--user", "docker-updater")
    box.run("userdel", "jane")
    assert box.run("stat", "-c", "%U", f"/proc/{box.show('MainPID')}").stdout.strip() == "docker-updater"
    assert box.run("stat", "-c", "%G", CONFIG).stdout.strip() == "docker-updater"
    assert "    su docker-updater docker-updater\n" in box.read(ROTATION)


VENV_PYTHON = "/opt/docker-auto-updater/current/venv/bin/python"


def test_apprise_is_installed_on_request_tells_people_and_stays(box: Machine, shop: Shop) -> None:
    box.shell("rm -rf /tmp/few; mkdir /tmp/few; cp /wheels/* /tmp/few; rm /tmp/few/apprise-*")
    before = version(box), box.shell("ls /opt/docker-auto-updater/releases /opt/docker-auto-updater/venvs")
    refused = box.run("/src/install.sh", "--wheels", "/tmp/few", "--with-apprise", check=False)
    assert refused.returncode == 1
    assert "apprise" in refused.stdout
    assert "pip could not install the packages" in refused.stdout
    assert (
        version(box),
        box.shell("ls /opt/docker-auto-updater/releases /opt/docker-auto-updater/venvs"),
    ) == before
    with listening() as chat:
        box.write(DOTENV, f"NOTIFY_URLS={chat.url.replace('http', 'json')}/t0ken\n")
        assert (
            "the Apprise library is not installed"
            in box.run("docker-updater", "--status", check=False).stdout
        )
        said = box.run(*INSTALL, "--with-apprise", check=False)
        assert said.returncode == 3, said.stdout  # it may not edit the shop's file yet
        box.run("docker-updater", "--notify-test")
        box.run(*INSTALL, check=False)  # a later one without that choice keeps it
        box.run(VENV_PYTHON, "-c", "import apprise")
        box.run("docker-updater", "--notify-test")
    titles = [json.loads(request.body)["title"] for request in chat.requests]
    assert len(titles) == 2 * len(KINDS)
    assert "example: rolled back to api:v1.4.2 on machine" in " ".join(titles), titles
    box.run("cp", "/src/.env.example", DOTENV)


def owners(box: Machine) -> list[str]:
    """Whose everything is that belongs to the service or is read by it, and as whom it runs."""
    places = (
        CONFIG,
        DOTENV,
        "/etc/docker-auto-updater",
        STATE,
        "/var/lib/docker-auto-updater",
        "/var/log/docker-auto-updater",
    )
    found = box.run("stat", "-c", "%U %G %a %n", *places, f"/proc/{box.show('MainPID')}").stdout.splitlines()
    lines = box.shell(
        f"grep -hE '^(User|Group|CapabilityBounding.*)=|^ +su ' {UNIT} {ROTATION}; grep ^user= {COMMAND}"
    )
    return [*found[:-1], found[-1].partition(" /proc")[0], *lines.splitlines()]


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        FAILS_ITS_TEST,
        DOES_NOT_START,
    ],
    ids=["its test fails", "it does not start"],
)
def test_a_change_of_user_is_taken_back_with_a_version_that_is_not_taken(
    box: Machine, running: Shop, path: str, old: str, new: str
) -> None:
    until(lambda: box.exists(STATE), what="the state")
    before, released = owners(box), version(box)
    folder = changed_source(box, path, old, new)
    done = box.run(f"{folder}/install.sh", "--wheels", "/wheels", "--user", "root", check=False)
    assert done.returncode == 1, done.stdout
    assert version(box) == released
    assert box.show("ActiveState") == "active"
    assert owners(box) == before
    cycles = len(lines(box, "cycle_ended"))
    box.run("systemctl", "kill", "--kill-who=main", "-s", "USR1", "docker-updater")
    await_line(box, "cycle_ended", cycles)
    assert (
        box.shell("find /var/lib/docker-auto-updater /var/log/docker-auto-updater ! -user docker-updater")
        == ""
    )


def test_each_shell_that_has_a_place_for_completions_gets_its_own(box: Machine) -> None:
    box.run("mkdir", "-p", "/usr/share/fish/vendor_completions.d")
    box.run(*INSTALL, check=False)
    for place, kind in (
        ("/usr/share/zsh/vendor-completions/_docker-updater", "zsh"),
        ("/usr/share/fish/vendor_completions.d/docker-updater.fish", "fish"),
    ):
        assert box.read(place) == (ROOT / f"ops/docker-updater.completion.{kind}").read_text(encoding="utf-8")
    box.run("rm", "-r", "/usr/share/fish")
    box.run(*INSTALL, check=False)
    assert not box.exists("/usr/share/fish")


def test_the_shell_completes_flags_and_the_names_of_services(box: Machine) -> None:
    script = (
        "set +eu; source /usr/share/bash-completion/bash_completion; _completion_loader docker-updater\n"
        "COMP_WORDS=(docker-updater {}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n"
        '_docker_updater; echo "${{COMPREPLY[@]}}"'
    )
    assert box.shell(script.format("--st")) == "--status"
    box.write(CONFIG, '{"services": [{"name": "shop"}, {"name":"warehouse"}]}')
    assert box.shell(script.format("--retry wa")) == "warehouse"
    box.run("cp", "/src/updater_config.json", CONFIG)


def test_logrotate_rotates_the_log_of_the_running_service_as_its_user(box: Machine, running: Shop) -> None:
    """The folder is the service's own, so logrotate must not act there as root.

    Numbers of the operator's stay.
    """
    log = "/var/log/docker-auto-updater"
    assert "su docker-updater docker-updater" in box.read(ROTATION)
    box.shell(f"sed -i 's/rotate 26/rotate 99/' {ROTATION}")
    box.run("logrotate", "--force", "--state", "/tmp/logrotate.status", ROTATION)
    box.run("systemctl", "kill", "--kill-who=main", "-s", "USR1", "docker-updater")
    await_line(box, "cycle_ended")
    modes = box.shell(f"stat -c '%a %U %G' {log}/*").splitlines()
    assert (len(modes), {*modes}) == (2, {"600 docker-updater docker-updater"})
    assert re.search(r"docker_updater\.log-\d{8}-\d{6}$", box.shell(f"ls {log}"), re.MULTILINE)
    box.run(*INSTALL)
    assert "rotate 99" in box.read(ROTATION)
    box.run("rm", ROTATION)
    box.run(*INSTALL)
    assert "rotate 26" in box.read(ROTATION)


def test_others_than_root_are_notified_how_to_call_it(box: Machine) -> None:
    done = box.run("setpriv", "--reuid=nobody", "--clear-groups", "docker-updater", "--status", check=False)
    assert done.returncode == 1
    assert "sudo docker-updater --status" in done.stdout
    assert (
        "--rollback NAME"
        in box.run("setpriv", "--reuid=nobody", "--clear-groups", "docker-updater", "--help").stdout
    )


# ------------------------------------------------------------------------------------- a compose file's owner


def test_the_test_says_which_access_is_missing_and_its_command_grants_it(box: Machine, shop: Shop) -> None:
    first = box.run("docker-updater", "--test", check=False)
    assert first.returncode == 3
    assert "belongs to root, and docker-updater may not edit it" in first.stdout
    grant(box, shop)
    second = box.run("docker-updater", "--test")
    assert f"ok    {shop.name}: runs {shop.repository}:v1.0.0" in second.stdout


# ------------------------------------------------------------------------------------------------ the service


def test_the_unit_updates_a_real_service_and_the_file_stays_its_owners(box: Machine, shop: Shop) -> None:
    grant(box, shop)
    access = box.run("getfacl", "-p", str(shop.compose_file)).stdout
    shop.push("v1.1.0", lab.good("two"))
    before = len(lines(box, "updated"))
    box.run("systemctl", "start", "docker-updater")
    assert box.show("ActiveState") == "active"
    await_line(box, "updated", before)
    assert shop.releases() == [("two", "running")]
    assert f"{shop.repository}:v1.1.0  # kept" in shop.compose_file.read_text()
    assert box.run("getfacl", "-p", str(shop.compose_file)).stdout == access
    assert shop.operator_up_changes() == []
    until(
        lambda: "1 services checked, all well; next check " in box.show("StatusText"), what="the status line"
    )
    assert box.run("stat", "-c", "%U", f"/proc/{box.show('MainPID')}").stdout.strip() == "docker-updater"
    assert not list(shop.folder.glob(".*.dau-*"))


def test_a_stop_in_the_middle_of_an_update_lets_it_come_to_its_end(box: Machine, running: Shop) -> None:
    before, gates = len(lines(box, "updated")), len(lines(box, "update_step"))
    running.push("v1.1.0", slow("two", "exit 0"))
    box.run("systemctl", "kill", "--kill-who=main", "-s", "USR1", "docker-updater")
    await_line(box, "update_step", gates, step="gate")
    box.run("systemctl", "stop", "--no-block", "docker-updater")
    until(lambda: box.show("ActiveState") == "deactivating", what="it is asked to stop")
    assert running.releases() == [("two", "running")]
    assert len(lines(box, "updated")) == before, "it waits for the release, which is asked to go on only now"
    let_go(running)
    until(lambda: box.show("ActiveState") == "inactive", what="the end")
    assert len(lines(box, "updated")) == before + 1
    assert running.releases() == [("two", "running")]
    assert (box.show("ActiveState"), box.show("Result")) == ("inactive", "success")
    assert not list(running.folder.glob(".*.dau-*"))
    assert box.shell("ls /var/lib/docker-auto-updater/journal") == ""


def test_a_reload_takes_a_good_configuration_over_and_refuses_a_bad_one(box: Machine, running: Shop) -> None:
    loaded, refused = len(lines(box, "config_loaded")), len(lines(box, "config_refused"))
    good = box.read(CONFIG)
    process = box.show("MainPID")
    box.write(CONFIG, good.replace('"semver_pattern"', '"server_pattern"'))
    assert box.run("systemctl", "reload", "docker-updater", check=False).returncode != 0
    assert "server_pattern" in await_line(box, "config_refused", refused)["message"]
    until(
        lambda: "the changed configuration is rejected" in box.show("StatusText"),
        what="the status line",
    )
    assert re.search(
        r"updater_config.json: line \d+: services\[0\].server_pattern: unknown key", box.journal()
    )
    assert (box.show("ActiveState"), box.show("MainPID")) == ("active", process)
    box.write(CONFIG, good)
    box.run("systemctl", "reload", "docker-updater")
    await_line(box, "config_loaded", loaded)
    until(lambda: "is rejected" not in box.show("StatusText"), what="the status line is as before")
    until(lambda: box.show("ActiveState") == "active", what="the reload is over")
    assert box.show("MainPID") == process


def test_an_engine_that_stops_or_restarts_does_not_take_the_service_with_it(
    box: Machine, running: Shop
) -> None:
    """There is no engine's unit on this machine, so one stands in for it: what counts is how ours hangs on
    it.
    """
    box.shell(
        "unit=/run/systemd/system/docker.service\n"
        "printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=true\\n' >$unit\n"
        "systemctl daemon-reload; systemctl start docker"
    )
    process = box.show("MainPID")
    box.run("systemctl", "restart", "docker")
    box.run("systemctl", "stop", "docker")
    assert (box.show("ActiveState"), box.show("MainPID")) == ("active", process)
    box.run("systemctl", "restart", "docker-updater")
    assert box.run("systemctl", "is-active", "docker").stdout.strip() == "active", (
        "it is wanted, and started first"
    )
    box.shell("systemctl stop docker; rm /run/systemd/system/docker.service; systemctl daemon-reload")


def test_a_process_that_hangs_is_ended_says_where_and_is_started_again(box: Machine, running: Shop) -> None:
    drop_in = "/etc/systemd/system/docker-updater.service.d/test.conf"
    box.shell(
        f"mkdir -p $(dirname {drop_in}); printf '[Service]\\nWatchdogSec=10s\\nRestartSec=100ms\\n' "
        f">{drop_in}"
    )
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", "docker-updater")
    process = box.show("MainPID")
    for _ in range(3):  # one that idles is not taken for one that hangs
        beat = box.show("WatchdogTimestampMonotonic")
        until(lambda: box.show("WatchdogTimestampMonotonic") != beat, what="a sign of life")  # noqa: B023
    assert box.show("MainPID") == process
    box.shell(f"kill -STOP {process}")
    until(lambda: box.show("NRestarts") == "1" and box.show("ActiveState") == "active", what="it runs again")
    assert box.show("MainPID") != process
    said = box.journal()
    assert "Watchdog timeout" in said
    assert "Fatal Python error: Aborted" in said
    assert "docker_updater.py" in said


def test_a_wrong_configuration_is_said_once_and_not_tried_again(box: Machine) -> None:
    box.write(CONFIG, '{"check_interval": "soon"}')
    assert box.run("systemctl", "start", "docker-updater", check=False).returncode != 0
    assert (box.show("ActiveState"), box.show("ExecMainStatus"), box.show("NRestarts")) == (
        "failed",
        "2",
        "0",
    )
    assert "check_interval" in box.journal()
    box.run("cp", "/src/updater_config.json", CONFIG)


_PROBE = """
import ctypes, socket, pathlib, tempfile
import boto3, google.auth.transport.requests, google.oauth2.service_account, prometheus_client, rich.progress
from cryptography.hazmat.primitives.asymmetric import ec
from updater_core.host import files
ec.generate_private_key(ec.SECP256R1())
boto3.client("ecr", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
socket.getaddrinfo("localhost", 443)
left, right = pathlib.Path("left"), pathlib.Path("right")
left.write_bytes(b"l"), right.write_bytes(b"r")
assert files._exchange(left, right) and left.read_bytes() == b"r"
left.unlink(), right.unlink()
for place in ("/etc/x", "/usr/x", "/opt/docker-auto-updater/x"):
    try:
        open(place, "w")
    except OSError:
        continue
    raise SystemExit(f"{place} can be written")
print("all of it works")
"""


def test_what_registries_and_files_need_works_inside_of_the_units_confinement(box: Machine) -> None:
    """Every library that is loaded only when it is needed, in a unit that differs from ours in the program
    alone.
    """
    current = "/opt/docker-auto-updater/current"
    box.write(
        "/usr/local/bin/probe",
        f"#!/bin/sh\nPYTHONPATH={current} exec {current}/venv/bin/python -c '{_PROBE}'\n",
    )
    changes = ("^Type=.*/Type=oneshot", "^WatchdogSec=.*/", "^Restart=.*/", "^ExecStart=.*/ExecStart=probe")
    expressions = " ".join(f"-e 's/{change}/'" for change in changes)
    box.shell(
        "chmod 755 /usr/local/bin/probe\n"
        f"sed {expressions} /etc/systemd/system/docker-updater.service >/run/systemd/system/probe.service\n"
        "systemctl daemon-reload; systemctl start probe || true"
    )
    said = box.run("journalctl", "-u", "probe", "-o", "cat", "--no-pager").stdout
    box.shell(
        "rm /usr/local/bin/probe /run/systemd/system/probe.service; systemctl reset-failed; systemctl "
        "daemon-reload"
    )
    assert "all of it works" in said, said


# ---------------------------------------------------------------------------------------------------- upgrade


def changed_source(box: Machine, path: str, old: str, new: str, version: str = "9.9.9") -> str:
    """A copy of the source on the machine, of another version, with a change in one file; its folder."""
    folder = f"/tmp/source-{uuid.uuid4().hex[:8]}"
    box.shell(
        f"mkdir {folder}; cd /src; cp -r docker_updater.py updater_core requirements*.txt "
        "updater_config*.json"
        f" .env.example install.sh docker-updater.service ops docs README.md {folder}\n"
        f"""sed -i 's/^__version__ = .*/__version__ = "{version}"/' {folder}/updater_core/__init__.py"""
    )
    text = box.read(f"{folder}/{path}")
    assert old in text
    box.write(f"{folder}/{path}", text.replace(old, new))
    return folder


def version(box: Machine) -> str:
    return box.run("docker-updater", "--version").stdout.split()[-1]


def test_an_upgrade_keeps_what_is_the_operators_and_restarts_the_service(box: Machine, running: Shop) -> None:
    box.shell(f"echo HEALTH_STABLE=2 >>{DOTENV}")
    until(lambda: box.exists(STATE), what="the state")
    kept = [box.read(place) for place in (CONFIG, DOTENV)]
    folder = changed_source(box, "README.md", "# Docker", "# The Docker")
    process, cycles = box.show("MainPID"), len(lines(box, "cycle_ended"))
    box.run(f"{folder}/install.sh", "--wheels", "/wheels")
    assert version(box) == "9.9.9"
    assert [box.read(place) for place in (CONFIG, DOTENV)] == kept
    assert box.show("ActiveState") == "active"
    assert box.show("MainPID") != process
    await_line(box, "cycle_ended", cycles)
    assert running.name in box.read(STATE)
    assert len(box.shell("ls /opt/docker-auto-updater/releases").split()) == 2
    box.run(*INSTALL)
    assert version(box) != "9.9.9"
    box.run("cp", "/src/.env.example", DOTENV)


def test_a_version_whose_test_fails_is_not_taken(box: Machine, running: Shop) -> None:
    before, process = version(box), box.show("MainPID")
    releases = box.shell("ls /opt/docker-auto-updater/releases")
    folder = changed_source(box, *FAILS_ITS_TEST)
    done = box.run(f"{folder}/install.sh", "--wheels", "/wheels", check=False)
    assert done.returncode == 1
    assert f"version {before} stays" in done.stdout
    assert version(box) == before
    assert (box.show("ActiveState"), box.show("MainPID")) == ("active", process)
    assert box.shell("ls /opt/docker-auto-updater/releases") == releases


def test_what_failed_before_does_not_block_an_upgrade(box: Machine, shop: Shop) -> None:
    assert "may not edit it" in box.run("docker-updater", "--test", check=False).stdout
    folder = changed_source(box, "README.md", "# Docker", "# The Docker")
    done = box.run(f"{folder}/install.sh", "--wheels", "/wheels", check=False)
    assert done.returncode == 3
    assert "installed, but `docker-updater --test` finds the above" in done.stdout
    assert version(box) == "9.9.9"
    box.run(*INSTALL, check=False)


def test_a_version_that_does_not_start_gives_way_to_the_one_before(box: Machine, running: Shop) -> None:
    before = version(box)
    folder = changed_source(box, *DOES_NOT_START)
    done = box.run(f"{folder}/install.sh", "--wheels", "/wheels", check=False)
    assert done.returncode == 1
    assert "OSError: broken" in done.stdout
    assert f"version {before} runs again" in done.stdout
    assert version(box) == before
    assert box.show("ActiveState") == "active"


def test_as_root_it_edits_every_file_without_a_grant_and_back_again(box: Machine, shop: Shop) -> None:
    box.run("chown", "-R", "daemon:daemon", str(shop.folder))
    shop.folder.chmod(0o700)
    shop.compose_file.chmod(0o640)
    box.run(*INSTALL, "--user", "root")
    shop.push("v1.1.0", lab.good("two"))
    before = len(lines(box, "updated"))
    box.run("systemctl", "start", "docker-updater")
    await_line(box, "updated", before)
    assert shop.releases() == [("two", "running")]
    found = box.run("stat", "-c", "%U %G %a", str(shop.compose_file)).stdout.strip()
    assert found == "daemon daemon 640"
    assert exposure(box) == 2.3
    box.run("chown", "-R", "root:root", str(shop.folder))
    shop.folder.chmod(0o755)
    shop.compose_file.chmod(0o644)
    back = box.run(*INSTALL, "--user", "docker-updater", check=False)
    assert back.returncode == 3, back.stdout
    assert "docker-updater may not edit it" in back.stdout
    assert box.run("stat", "-c", "%U", f"/proc/{box.show('MainPID')}").stdout.strip() == "docker-updater"
    assert box.run("stat", "-c", "%U", STATE).stdout.strip() == "docker-updater"
    box.run("rm", "-rf", "/root/.docker")  # what Docker's own command keeps for the one who calls it


# -------------------------------------------------------------------------------------------------- uninstall


def test_a_dry_run_changes_nothing(box: Machine) -> None:
    before = box.shell(EVERY_FILE)
    said = box.run("/src/install.sh", "--dry-run").stdout
    assert "would put the program into" in said
    said += box.run("/src/install.sh", "--uninstall", "--purge", "--dry-run").stdout
    assert "would remove the user docker-updater" in said
    assert box.shell(EVERY_FILE) == before


def test_an_uninstall_keeps_what_it_says_and_an_install_finds_it_again(box: Machine, running: Shop) -> None:
    # making them again would take half a minute
    box.run("cp", "-a", "/opt/docker-auto-updater/venvs", "/root/venvs")
    said = box.run("/src/install.sh", "--uninstall").stdout
    assert "kept: /etc/docker-auto-updater" in said
    for gone in (
        "/opt/docker-auto-updater",
        "/usr/local/bin/docker-updater",
        "/etc/systemd/system/docker-updater.service",
        ROTATION,
    ):
        assert not box.exists(gone)
    assert running.name in box.read(CONFIG)
    assert running.name in box.read(STATE)
    assert box.run("systemctl", "is-active", "docker-updater", check=False).stdout.strip() == "inactive"
    box.shell("mkdir /opt/docker-auto-updater; mv /root/venvs /opt/docker-auto-updater/venvs")
    box.run(*INSTALL)
    assert running.name in box.run("docker-updater", "--status").stdout


def test_a_purge_after_an_uninstall_leaves_no_trace_either(
    bare: tuple[Machine, list[str]], running: Shop
) -> None:
    """The program that knows the names of the held images is gone by then."""
    box, before = bare
    running.push("v1.1.0", lab.good("two"))
    updates = len(lines(box, "updated"))
    box.run("systemctl", "kill", "--kill-who=main", "-s", "USR1", "docker-updater")
    await_line(box, "updated", updates)
    box.run("/src/install.sh", "--uninstall")
    assert holds(running)
    box.run("/src/install.sh", "--uninstall", "--purge")
    assert holds(running) == []
    assert box.shell(EVERY_FILE).splitlines() == before


def test_a_purge_leaves_no_trace(bare: tuple[Machine, list[str]], running: Shop) -> None:
    box, before = bare
    running.push("v1.1.0", lab.good("two"))
    updates = len(lines(box, "updated"))
    box.run("systemctl", "kill", "--kill-who=main", "-s", "USR1", "docker-updater")
    await_line(box, "updated", updates)
    assert holds(running)
    box.run("systemctl", "enable", "docker-updater")
    box.run("/src/install.sh", "--uninstall", "--purge")
    after = box.shell(EVERY_FILE).splitlines()
    assert (sorted(set(after) - set(before)), sorted(set(before) - set(after))) == ([], [])
    assert box.run("getent", "passwd", "docker-updater", check=False).returncode != 0
    assert box.run("getent", "group", "docker-updater", check=False).returncode != 0
    assert holds(running) == []
    assert running.releases() == [("two", "running")]
    box.run("/src/install.sh", "--uninstall", "--purge")  # a second one finds nothing, and says no error


def holds(shop: Shop) -> list[str]:
    client = shop.client
    # one call, no inspects
    tags = [tag for raw in client.api.images(all=True) for tag in raw["RepoTags"] or ()]
    client.close()
    return [tag for tag in tags if shop.is_hold(tag)]
