"""The operator is at work beside an update, or left things half done: no good release is blamed for it."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import lab
from tests.support.failures import during_the_gate, gates, let_go, runs, slow
from tests.support.fake_registry import Build
from tests.support.lab import Shop, until
from updater_core.app import cycle
from updater_core.compose_utils import DockerCompose
from updater_core.models import Committed, Reason, RolledBack, Superseded

pytestmark = pytest.mark.engine

_COMMON = "    stop_grace_period: 1s\n    restart: unless-stopped\n"
WEB = "services:\n  web:\n    image: {image}\n    network_mode: none\n" + _COMMON


def dependent(shop: Shop, name: str, mode: str) -> str:
    return f"  {name}:\n    image: {shop.repository}:agent\n    {mode}\n{_COMMON}"


class Newer(DockerCompose):
    """The Compose of a host on which it was upgraded since the last `up`."""

    @property
    def version(self) -> str:
        return "2.99.0"


def opened(shop: Shop, *more: str, agent: Build | None = None, web: str = "") -> None:
    """The shop with its first release and dependents running."""
    shop.policy = {"health_stable": 1}
    shop.push("latest", lab.good("one"))
    shop.push("agent", agent or lab.good("agent"))
    shop.write(text=WEB + web + "".join(more))
    shop.up()


def host_config(shop: Shop, service: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = shop.containers(service)[0].attrs["HostConfig"]
    return found


def test_dependents_of_dependents_go_along(shop: Shop) -> None:
    opened(
        shop,
        dependent(shop, "agent", "network_mode: service:web"),
        dependent(shop, "probe", "network_mode: none\n    pid: service:agent"),
    )
    shop.push("latest", lab.good("two"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("two", "running")]
    assert host_config(shop, "agent")["NetworkMode"] == f"container:{shop.containers()[0].id}"
    assert host_config(shop, "probe")["PidMode"] == f"container:{shop.containers('agent')[0].id}"
    assert shop.releases("probe") == [("agent", "running")]


def test_a_dependent_that_joins_by_the_containers_name_goes_along(shop: Shop) -> None:
    vpn = f"{shop.name}-vpn"
    agent = dependent(shop, "agent", f"network_mode: container:{vpn}\n    depends_on: [web]")
    opened(shop, agent, web=f"    container_name: {vpn}\n")
    shop.push("latest", lab.good("two"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    shop.containers("agent")[0].restart(timeout=1)  # which a dead namespace would refuse
    assert shop.releases("agent") == [("agent", "running")]


def test_a_dependent_that_its_operator_has_stopped_stays_stopped(shop: Shop) -> None:
    opened(shop, dependent(shop, "agent", "network_mode: service:web"))
    shop.compose("stop", "agent")
    shop.push("latest", lab.good("two"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert [status for _, status in shop.releases("agent")] == ["exited"]


def test_a_dependent_that_was_sick_before_is_not_held_against_a_good_release(shop: Shop) -> None:
    opened(shop, dependent(shop, "agent", "network_mode: service:web"), agent=lab.unhealthy("agent"))
    until(lambda: shop.containers("agent")[0].health == "unhealthy", what="a sick dependent")
    shop.push("latest", lab.good("two"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("two", "running")]


def test_a_dependents_undeployed_edit_is_not_deployed_by_us(shop: Shop) -> None:
    opened(shop, dependent(shop, "agent", "network_mode: service:web"))
    with shop.compose_file.open("a") as file:
        file.write("    command: [/bin/sh, -c, 'exit 9']  # half done\n")
    shop.push("latest", lab.good("two"))
    before = shop.containers()[0].id, shop.containers("agent")[0].id
    assert shop.cycle().outcomes == ()
    assert shop.state()["reason"] == Reason.DRIFT.value
    assert "agent differs from its file" in shop.state()["detail"]
    assert (shop.containers()[0].id, shop.containers("agent")[0].id) == before
    assert shop.releases() == [("one", "running")]
    assert shop.releases("agent") == [("agent", "running")]


def test_an_image_that_a_dependents_operator_has_pulled_and_not_deployed_is_not_deployed_by_us(
    shop: Shop,
) -> None:
    opened(shop, dependent(shop, "agent", "network_mode: service:web"))
    shop.push("agent", lab.good("agent two"))
    shop.compose("pull", "agent")
    shop.push("latest", lab.good("two"))
    assert shop.cycle().outcomes == ()
    assert shop.state()["reason"] == Reason.DRIFT.value
    assert shop.releases() == [("one", "running")]
    assert shop.releases("agent") == [("agent", "running")]
    shop.up()
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("two", "running")]


@pytest.mark.parametrize("release", [lab.good("two"), lab.exits("two")], ids=["good", "bad"])
def test_a_variable_of_the_operators_shell_is_not_lost_if_another_compose_made_the_container(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, release: Build
) -> None:
    """A dry run tells nothing then: every container would be recreated."""
    shop.policy = {"health_stable": 1}
    shop.push("latest", lab.good("one"))
    shop.write(text=WEB + "    environment:\n      DB_PASSWORD: ${{DB_PASSWORD}}\n")
    monkeypatch.setenv("DB_PASSWORD", "s3cret")
    shop.up()
    monkeypatch.delenv("DB_PASSWORD")
    shop.push("latest", release)
    context = shop.context()
    context.host.compose = Newer(os.environ, 60)
    assert cycle.run(context).outcomes == ()
    assert shop.state()["reason"] == Reason.VARIABLE_MISSING.value
    assert "DB_PASSWORD" in shop.state()["detail"]
    assert "s3cret" not in str(shop.state())
    assert "DB_PASSWORD=s3cret" in shop.containers()[0].attrs["Config"]["Env"]


def test_an_edit_is_seen_if_the_operator_has_pulled_before(shop: Shop) -> None:
    opened(shop)
    with shop.compose_file.open("a") as file:
        file.write("    environment:\n      HALF: done\n")
    shop.push("latest", lab.good("two"))
    shop.compose("pull", "web")
    assert shop.cycle().outcomes == ()
    assert shop.state()["reason"] == Reason.DRIFT.value


def test_a_release_that_the_operator_has_pulled_before_is_no_edit(shop: Shop) -> None:
    opened(
        shop,
        web="    environment:\n      PRICE: 5$$\n      TIME: 1000\n    command: [sh, -c, 'sleep $$TIME']\n",
    )
    shop.push("latest", lab.good("two"))
    shop.compose("pull", "web")
    assert isinstance(shop.cycle().outcomes[0], Committed)


def test_a_tag_that_the_operator_has_written_and_not_deployed_waits_for_that_operator(shop: Shop) -> None:
    """Going back from there would make that tag name the old image."""
    shop.policy = {"semver_pattern": "*", "health_stable": 1}
    shop.push("1.0.0", lab.good("1.0.0"))
    shop.write("1.0.0", text=WEB)
    shop.up()
    shop.push("1.1.0", lab.exits("1.1.0"))
    shop.write("1.1.0", text=WEB)
    assert shop.cycle().outcomes == ()
    assert shop.state()["reason"] == Reason.DRIFT.value
    assert "1.0.0" in shop.state()["detail"]
    assert shop.releases() == [("1.0.0", "running")]


def test_a_new_index_with_the_same_image_is_no_update(shop: Shop) -> None:
    once = "[ -f /once ] || { echo > /once; exit 1; }; "
    image = lab.build("one", once + lab._FOREVER)
    shop.policy = {"health_stable": 1}
    shop.push("latest", dataclasses.replace(image, index=True))
    shop.write(text=WEB)
    shop.up()
    until(lambda: shop.containers()[0].attrs["RestartCount"] == 1, what="a restart before the update")
    until(lambda: shop.releases() == [("one", "running")], what="the release after it")
    before = shop.containers()[0].id
    shop.push("latest", dataclasses.replace(image, platforms=("linux/amd64", "linux/arm64")))
    assert shop.cycle().outcomes == (), "the image for this platform is the one that runs"
    assert shop.containers()[0].id == before


def test_a_stop_by_the_operator_during_the_gate_is_not_held_against_the_release(shop: Shop) -> None:
    opened(shop)
    shop.push("latest", slow("two", "true"))
    (outcome,) = during_the_gate(shop, "two", lambda: shop.compose("stop")).outcomes
    assert isinstance(outcome, RolledBack)
    assert (outcome.cause.reason, outcome.quarantine) == (Reason.NOT_RUNNING, False)
    assert shop.state()["quarantine"] == []


def test_a_newer_release_that_the_operator_deploys_during_the_gate_is_left_alone(shop: Shop) -> None:
    opened(shop)
    shop.push("latest", slow("two", "exit 1"))

    def deploy() -> None:
        shop.push("latest", lab.good("three"))
        shop.compose("pull", "web")
        shop.up()

    report = during_the_gate(shop, "two", deploy)
    (outcome,) = report.outcomes
    assert isinstance(outcome, Superseded), outcome
    assert shop.releases() == [("three", "running")]
    assert (shop.state()["status"], shop.state()["reason"]) == ("held", Reason.TAKEN_OVER.value)
    assert (shop.state()["quarantine"], shop.strays(), report.needs_look) == ([], [], frozenset())
    assert shop.cycle().outcomes == ()
    assert shop.state()["status"] == "up_to_date"


def test_an_interrupted_update_does_not_undo_what_the_operator_deployed_meanwhile(shop: Shop) -> None:
    shop.policy = {"semver_pattern": "*", "health_stable": 60}
    shop.push("1.0.0", lab.good("1.0.0"))
    shop.write("1.0.0", text=WEB)
    shop.up()
    shop.push("1.1.0", lab.good("1.1.0"))
    child = shop.updater("--once")
    until(lambda: runs(shop, "1.1.0"), what="the new release")
    child.kill()
    child.communicate(timeout=30)
    shop.push("2.0.0", lab.good("2.0.0"))
    shop.write("2.0.0", text=WEB)
    shop.up()
    before = shop.compose_file.read_bytes()
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, Superseded), outcome
    assert shop.releases() == [("2.0.0", "running")]
    assert shop.compose_file.read_bytes() == before
    assert shop.strays() == []
    assert shop.state()["status"] == "up_to_date"
    assert shop.operator_up_changes() == []


def test_a_torn_recreate_that_no_journal_knows_is_no_stop_by_the_operator(shop: Shop) -> None:
    """The updater and Compose were killed in the middle, and the state was moved since."""
    shop.policy = {"semver_pattern": "*", "health_stable": 1}
    stubborn = "trap '' TERM; while :; do sleep 1; done"
    shop.push("1.0.0", lab.build("1.0.0", stubborn))
    shop.write("1.0.0", text=WEB.replace("stop_grace_period: 1s", "stop_grace_period: 3s"))
    shop.up()
    shop.push("1.1.0", lab.build("1.1.0", stubborn))
    child = shop.updater("--once")
    until(lambda: len(shop.containers()) == 2, what="the middle of the recreate")
    for process in composes(shop):
        os.kill(process, signal.SIGKILL)
    child.kill()
    child.communicate(timeout=30)
    until(
        lambda: all(status != "running" for _, status in shop.releases()), what="the end of the old container"
    )
    shop.settings = {"state_file": str(shop.folder / "elsewhere" / "state.json")}
    code, out = shop.run("--once")
    assert code == 1, out
    assert "a recreate of web was interrupted" in out
    shop.settings = {}
    shop.run("--once")
    assert shop.releases() in ([("1.0.0", "running")], [("1.1.0", "running")])


@pytest.mark.parametrize("start_stopped", [False, True])
def test_a_project_whose_folder_was_moved_gets_no_second_copy(
    shop: Shop, tmp_path: Path, start_stopped: bool
) -> None:
    opened(shop)
    shop.policy |= {"start_stopped": start_stopped}
    before = shop.folder
    shop.folder = shop.folder.rename(tmp_path.with_name(f"{shop.name}-moved"))
    shop.push("latest", lab.good("two"))
    assert shop.cycle().outcomes == ()
    assert shop.state()["reason"] == Reason.FILE_UNREADABLE.value
    assert str(before) in shop.state()["detail"]
    everything = shop.client.containers.list(all=True, filters={"ancestor": f"{shop.repository}:latest"})
    assert [each.id for each in everything] == [each.id for each in shop.containers()]
    (command, *_) = re.findall(r"`(docker [^`]+)`", shop.state()["remedy"])
    # literally: in a folder of another name, without `-p` it would be another project
    subprocess.run(command.split(), cwd=shop.folder, check=True, capture_output=True)
    assert len(shop.containers()) == 1
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("two", "running")]


def composes(shop: Shop) -> list[int]:
    """The processes of Compose that work on the shop."""
    argv = ["pgrep", "-f", f"compose.*-p {shop.name}"]
    return [
        int(each) for each in subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()
    ]


def test_a_ctrl_c_does_not_tear_a_rollback(shop: Shop) -> None:
    shop.policy = {"semver_pattern": "*", "health_stable": 1}
    shop.push("1.0.0", slow("1.0.0", "exit 0"))
    shop.write("1.0.0", text=WEB)
    shop.up()
    let_go(shop)
    until(lambda: shop.containers()[0].health == "healthy", what="a healthy start")
    shop.push("1.1.0", lab.good("1.1.0"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    child = shop.updater("--rollback", shop.name)
    until(lambda: gates(shop), what="the gate of the rollback")
    child.send_signal(signal.SIGINT)
    assert child.poll() is None, "it waits for the release, which is asked to go on only now"
    let_go(shop)
    out, _ = child.communicate(timeout=150)
    assert child.returncode == 0, out
    assert shop.releases() == [("1.0.0", "running")]
    assert shop.state()["status"] == "updated"
    assert shop.strays() == []


def test_a_request_that_meets_a_single_run_is_carried_out_by_it(shop: Shop) -> None:
    shop.policy = {"semver_pattern": "*", "health_stable": 1}
    shop.push("1.0.0", lab.good("1.0.0"))
    shop.write("1.0.0", text=WEB)
    shop.up()
    shop.push("1.1.0", slow("1.1.0", "exit 0"))
    child = shop.updater("--once")
    until(lambda: runs(shop, "1.1.0"), what="the update")
    status, said = shop.run("--rollback", shop.name)
    assert (status, "handed" in said) == (0, True)
    let_go(shop)
    out, _ = child.communicate(timeout=150)
    assert child.returncode == 0, out
    assert shop.releases() == [("1.0.0", "running")]


def test_of_two_updaters_on_one_project_only_one_works_on_it_and_the_other_says_so(
    shop: Shop, tmp_path: Path
) -> None:
    """The second has a state of its own, so that only the project's folder keeps them apart."""
    opened(shop)
    shop.push("latest", slow("two", "true"))
    other = dataclasses.replace(shop, settings={"state_file": str(tmp_path / "other" / "state.json")})

    def let_the_other_one_try() -> None:
        shop.push("latest", lab.good("three"))
        context = other.context()
        context.host.lock_wait_seconds = 0
        report = cycle.run(context)
        assert report.outcomes == ()
        known = context.state.services[shop.name]
        assert known.reason is Reason.BUSY
        assert str(shop.folder) in known.detail
        assert "worked in by another updater" in known.detail
        assert "let one updater alone" in known.remedy

    assert isinstance(during_the_gate(shop, "two", let_the_other_one_try).outcomes[0], Committed)
    assert shop.releases() == [("two", "running")]
    assert isinstance(cycle.run(other.context()).outcomes[0], Committed)
    assert shop.releases() == [("three", "running")]
    assert shop.strays() == []
