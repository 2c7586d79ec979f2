"""Swarm's pure core: a service's new spec, the nodes that may run it, the gate's verdict, what is held."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.swarm_simulator import web_spec
from updater_core import config_utils, reference
from updater_core.deploy.health import Failed, Proven, Waiting
from updater_core.errors import ConfigError, EngineError
from updater_core.host import files
from updater_core.host.engine_endpoint import EngineEndpoint
from updater_core.models import GatePolicy, Hold, NamedEngine, Reason, ServiceConfig
from updater_core.swarm_utils import Swarms
from updater_core.targets.compose.entry.settings import ComposeSettings
from updater_core.targets.swarm import facts, gate, observed, placement, spec, stack_file
from updater_core.targets.swarm.entry.settings import SwarmSettings
from updater_core.targets.swarm.facts import SwarmService, SwarmTask, UpdateStatus
from updater_core.targets.swarm.gate import Rollout, RolloutTrack
from updater_core.vocabulary.handover import UpdateOrder

SECOND = spec.NANOSECONDS
OLD, NEW = "app:1.0@sha256:" + "a" * 64, "app:1.1@sha256:" + "b" * 64
CHANGE = spec.SpecChange(NEW, "app:1.1", (("arm64", "linux"),), stable_seconds=10)


# --------------------------------------------------------------------------------------------------- the spec


def test_an_update_changes_four_things_and_leaves_what_it_was_given() -> None:
    before = web_spec(OLD, RollbackConfig={"Parallelism": 3})
    kept = copy.deepcopy(before)
    new = spec.updated(before, CHANGE)
    assert before == kept
    assert new["TaskTemplate"]["ContainerSpec"] == {"Image": NEW, "Env": ["PASSWORD=hunter2"]}
    assert new["Labels"] == {"com.docker.stack.namespace": "shop", "com.docker.stack.image": "app:1.1"}
    assert new["TaskTemplate"]["Placement"] == {"Platforms": [{"Architecture": "arm64", "OS": "linux"}]}
    assert spec.gone_back(new, before) == before
    assert spec.settled(new, before)["UpdateConfig"] == before["UpdateConfig"]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, {"Parallelism": 1, "Monitor": 10, "Delay": 11}),
        ({"Parallelism": 0, "Delay": 5 * SECOND, "Monitor": SECOND},
         {"Parallelism": 1, "Monitor": 10, "Delay": 11}),
        ({"Parallelism": 4, "Delay": 90 * SECOND, "Monitor": 60 * SECOND, "Order": "start-first"},
         {"Parallelism": 4, "Monitor": 60, "Delay": 90, "Order": "start-first"}),
        ({"Monitor": 60 * SECOND, "MaxFailureRatio": 0.5}, {"Parallelism": 1, "Monitor": 60, "Delay": 61}),
    ],
)  # fmt: skip
def test_the_engine_waits_between_two_tasks_for_longer_than_it_watches_one(
    own: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = spec.updated(web_spec(OLD, UpdateConfig=own), CHANGE)["UpdateConfig"]
    seconds = {key: value // SECOND if key in ("Monitor", "Delay") else value for key, value in found.items()}
    assert seconds == {**expected, "FailureAction": "rollback", "MaxFailureRatio": 0}


def test_a_spec_without_a_way_of_rolling_out_has_none_afterwards() -> None:
    before = web_spec(OLD)
    del (
        before["UpdateConfig"],
        before["Labels"]["com.docker.stack.image"],
        before["TaskTemplate"]["Placement"],
    )
    new = spec.updated(before, CHANGE)
    assert "com.docker.stack.image" not in new["Labels"]
    assert "UpdateConfig" not in spec.settled(new, before)
    back = spec.gone_back(new, before)
    assert back["TaskTemplate"].pop("Placement") == {}
    assert back["TaskTemplate"]["ContainerSpec"] == before["TaskTemplate"]["ContainerSpec"]


def test_what_somebody_else_writes_meanwhile_stays_forward_and_back() -> None:
    before = web_spec(OLD)
    written = spec.updated(before, CHANGE)
    written["Mode"]["Replicated"]["Replicas"] = 5
    written["Labels"]["team"] = "web"
    for made in (
        spec.settled(written, before),
        spec.gone_back(written, before),
        spec.going_back(written, before),
    ):
        assert made["Mode"]["Replicated"]["Replicas"] == 5
        assert made["Labels"]["team"] == "web"


def test_a_rollback_goes_on_to_its_end_and_never_to_the_release_that_failed() -> None:
    before = web_spec(OLD, RollbackConfig={"Parallelism": 2, "Delay": 60 * SECOND, "Order": "stop-first"})
    found = spec.going_back(spec.updated(before, CHANGE), before)
    assert found["TaskTemplate"]["ContainerSpec"]["Image"] == OLD
    rolled = found["UpdateConfig"]
    assert (rolled["FailureAction"], rolled["Delay"], rolled["Parallelism"]) == ("continue", 0, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("docker.io/library/nginx:1.27", "nginx:1.27@sha256:0"),
        ("nginx:1.27", "nginx:1.27@sha256:0"),
        ("index.docker.io/acme/web:2", "acme/web:2@sha256:0"),
        ("ghcr.io/acme/web:2", "ghcr.io/acme/web:2@sha256:0"),
    ],
)
def test_an_image_is_pinned_as_the_docker_cli_spells_it(text: str, expected: str) -> None:
    image = reference.parse(f"{text}@sha256:{'0' * 64}")
    assert spec.pinned(image).replace("0" * 64, "0") == expected


# -------------------------------------------------------------------------------------------------- the nodes


def node(name: str = "one", architecture: str = "x86_64", **more: Any) -> facts.SwarmNode:
    raw: dict[str, Any] = {
        "ID": name,
        "Spec": {"Role": "worker", "Availability": "active", "Labels": {"Zone": "East"}},
        "Status": {"State": "ready"},
        "Description": {"Hostname": name, "Platform": {"Architecture": architecture, "OS": "linux"}},
    }
    return facts.node_of({**raw, **more})


def service(image: str = OLD, constraints: Sequence[str] = (), **more: Any) -> SwarmService:
    found = web_spec(image)
    found["TaskTemplate"]["Placement"]["Constraints"] = list(constraints)
    return SwarmService("s1", "shop_web", 1, {**found, **more})


AMD, ARM = ("amd64", "linux"), ("arm64", "linux")
DOWN: dict[str, Any] = {"Status": {"State": "down"}}


@pytest.mark.parametrize(
    ("platforms", "constraints", "nodes", "reason"),
    [
        ([AMD], [], [node()], None),
        ([ARM], [], [node()], Reason.PLATFORM_MISSING),
        ([ARM, AMD], [], [node()], None),
        ([ARM], [], [node(), node("pi", "aarch64")], None),
        ([ARM], ["node.hostname==one"], [node(), node("pi", "aarch64")], Reason.PLATFORM_MISSING),
        ([AMD], ["node.labels.zone == east"], [node()], None),
        ([AMD], ["node.labels.zone!=east"], [node()], Reason.NO_SUITABLE_NODE),
        ([AMD], ["node.role==manager"], [node()], Reason.NO_SUITABLE_NODE),
        ([AMD], ["node.ip==10.0.0.0/8"], [node()], None),
        ([("arm", "linux")], [], [node("pi", "armv7l")], None),
        ([("windows", "amd64")], [], [node()], Reason.PLATFORM_MISSING),
        ([AMD], [], [node(**DOWN)], Reason.NO_SUITABLE_NODE),
        ([AMD], [], [node(**DOWN), node("two")], None),
        ([AMD], [], [node(Spec={"Availability": "drain"})], Reason.NO_SUITABLE_NODE),
        ([AMD, ("unknown", "unknown")], [], [node()], None),
        ([], [], [node()], None),
    ],
)
def test_an_image_is_for_a_node_that_the_service_may_use(
    platforms: list[tuple[str, str]],
    constraints: list[str],
    nodes: list[facts.SwarmNode],
    reason: Reason | None,
) -> None:
    hold = placement.hold_for(service(constraints=constraints), platforms, nodes)
    assert (hold.reason if hold else None) is reason


# --------------------------------------------------------------------------------------------------- the gate

WANTED = Rollout(
    NEW, GatePolicy(timeout_seconds=60, stable_seconds=10), frozenset({"o1", "o2"}), "before", 11.0
)


def task(name: str, state: str, image: str = NEW, wanted: str = "running", **more: Any) -> SwarmTask:
    return SwarmTask(name, image, wanted, state, **more)


def rolling(state: str = facts.UPDATING, image: str = NEW, message: str = "") -> SwarmService:
    return SwarmService("s1", "shop_web", 2, web_spec(image), UpdateStatus(state, "ours", message))


def judged(looks: Sequence[tuple[float, SwarmService, Sequence[SwarmTask]]], wanted: Rollout = WANTED) -> Any:
    track, verdict = RolloutTrack(0.0, 0.0), None
    for now, found, tasks in looks:
        track, verdict = gate.judge(track, found, tasks, wanted, now)
        if not isinstance(verdict, Waiting):
            return verdict
    return verdict


BOTH = [task("n1", "running"), task("n2", "running"), task("o1", "shutdown", OLD, "shutdown")]
HALF = [task("n1", "running"), task("o2", "running", OLD)]


def test_it_is_proven_by_tasks_that_stay_and_not_by_the_engines_word() -> None:
    done = rolling(facts.COMPLETED)
    assert isinstance(judged([(1, done, HALF)]), Waiting)
    assert isinstance(judged([(1, done, BOTH), (10, done, BOTH)]), Waiting)
    assert judged([(1, done, BOTH), (11, done, BOTH)]) == Proven()
    # the engine is still at work
    assert isinstance(judged([(1, rolling(), BOTH), (30, rolling(), BOTH)]), Waiting)
    other = [task("n1", "running"), task("n3", "running")]
    assert isinstance(judged([(1, done, BOTH), (9, done, other), (12, done, other)]), Waiting)


def test_a_word_on_an_update_before_ours_says_nothing() -> None:
    stale = SwarmService(
        "s1", "shop_web", 2, web_spec(NEW), UpdateStatus(facts.ROLLED_BACK, "before", "of last week")
    )
    assert isinstance(judged([(1, stale, HALF)]), Waiting)


@pytest.mark.parametrize(
    ("failed", "reason"),
    [
        (
            task("n1", "failed", wanted="shutdown", error="task: non-zero exit (3)", exit_code=3),
            Reason.EXITED,
        ),
        (
            task("n1", "failed", error="task: non-zero exit (143): dockerexec: unhealthy container"),
            Reason.UNHEALTHY,
        ),
        (task("n1", "complete", wanted="shutdown"), Reason.UNHEALTHY),
        (
            task("n1", "failed", error='starting container failed: exec: "/x": no', exit_code=127),
            Reason.UP_FAILED,
        ),
        (task("n1", "failed", error="starting container failed: port is taken"), Reason.ENGINE_ERROR),
        (task("n1", "rejected", error="No such image: app:1.1@sha256:b"), Reason.PULL_FAILED),
        (task("n1", "rejected", error="invalid mount config for type"), Reason.ENGINE_ERROR),
    ],
)
def test_a_new_task_that_fails_says_whose_fault_it_is(failed: SwarmTask, reason: Reason) -> None:
    found = judged([(1, rolling(), [failed, task("o2", "running", OLD)])])
    assert isinstance(found, Failed)
    assert found.reason is reason
    back = judged([(1, rolling(facts.ROLLED_BACK, OLD, "rolled back: task n1"), [failed])])
    assert back == found


def test_a_task_that_ran_and_ended_with_0_has_ended_by_itself() -> None:
    ended = [task("n1", "complete", wanted="shutdown"), task("o2", "running", OLD)]
    found = judged([(1, rolling(), HALF), (2, rolling(), ended)])
    assert isinstance(found, Failed)
    assert found.reason is Reason.EXITED


@pytest.mark.parametrize("state", ["failed", "rejected", "complete"])
def test_a_task_of_an_earlier_try_or_of_the_old_image_is_no_failure(state: str) -> None:
    earlier = task("o1", state, wanted="shutdown", error="x")
    old = task("x9", state, OLD, "shutdown", error="x")
    assert isinstance(judged([(1, rolling(), [earlier, old, *HALF])]), Waiting)


def test_a_login_that_ended_is_named_before_what_followed_from_it() -> None:
    tasks = [
        task("n1", "failed", error="task: non-zero exit (1)"),
        task("n2", "rejected", error="No such image: app"),
    ]
    assert all(
        judged([(1, rolling(), order)]).reason is Reason.PULL_FAILED
        for order in itertools.permutations(tasks)
    )


def test_the_engines_own_rollback_and_another_image_end_it() -> None:
    message = "update rolled back due to failure or early termination of task n1"
    assert judged([(1, rolling(facts.ROLLING_BACK, OLD, message), HALF)]).reason is Reason.EXITED
    asked = rolling(facts.ROLLING_BACK, OLD, "manually requested rollback")
    assert judged([(1, asked, HALF)]).reason is Reason.TAKEN_OVER
    assert judged([(1, rolling(image="app:9"), HALF)]).reason is Reason.TAKEN_OVER
    assert judged([(1, rolling(facts.PAUSED, message="x"), HALF)]).reason is Reason.ENGINE_ERROR


@pytest.mark.parametrize(
    ("state", "waits", "reason"),
    [
        ("starting", 72, Reason.GATE_TIMEOUT),
        ("pending", 72, Reason.NO_SUITABLE_NODE),
        ("preparing", 1801, Reason.PULL_FAILED),
    ],
)
def test_nothing_that_stands_still_is_waited_for_without_end(
    state: str, waits: float, reason: Reason
) -> None:
    tasks = [task("n1", state), task("o2", "running", OLD)]
    assert isinstance(judged([(1, rolling(), tasks), (waits - 2, rolling(), tasks)]), Waiting)
    found = judged([(1, rolling(), tasks), (waits + 1, rolling(), tasks)])
    assert isinstance(found, Failed)
    assert found.reason is reason


def test_what_moves_is_waited_for() -> None:
    looks = [
        (at * 50.0, rolling(), [task(f"n{at}", "starting"), task("o2", "running", OLD)]) for at in range(1, 9)
    ]
    assert isinstance(judged(looks), Waiting)
    back = Rollout(NEW, GatePolicy(60, 10), is_back=True)
    found = judged([(at * 50.0, rolling(), [task(f"n{at}", "failed")]) for at in range(1, 40)], back)
    assert isinstance(found, Failed)  # in a rollback failing tasks are replaced for ever


def test_a_global_service_has_as_many_tasks_as_the_nodes_decide() -> None:
    found = SwarmService(
        "s1", "a", 2, {**web_spec(NEW), "Mode": {"Global": {}}}, UpdateStatus(facts.COMPLETED, "ours")
    )
    one = [task("n1", "running"), task("gone", "running", OLD, "shutdown")]
    assert judged([(1, found, one), (11, found, one)]) == Proven()
    assert isinstance(judged([(1, found, []), (11, found, [])]), Waiting)


# ----------------------------------------------------------------------------------------------- what is held


@pytest.mark.parametrize(
    ("state", "more", "reason"),
    [
        ("", {}, None),
        (facts.COMPLETED, {}, None),
        (facts.ROLLED_BACK, {}, None),
        (facts.UPDATING, {}, Reason.BUSY),
        (facts.ROLLING_BACK, {}, Reason.BUSY),
        (facts.PAUSED, {}, Reason.UPDATE_PAUSED),
        (facts.ROLLBACK_PAUSED, {}, Reason.UPDATE_PAUSED),
        ("", {"Mode": {"ReplicatedJob": {"TotalCompletions": 1}}}, Reason.NOTIFY_ONLY),
        ("", {"Mode": {"GlobalJob": {}}}, Reason.NOTIFY_ONLY),
        ("", {"Mode": {"Replicated": {"Replicas": 0}}}, Reason.NOT_RUNNING),
        ("", {"Mode": {"Global": {}}}, None),
        ("", {"UpdateConfig": {"FailureAction": "continue"}}, Reason.FAILURE_ACTION),
        ("", {"UpdateConfig": {"FailureAction": "pause"}}, None),
    ],
)
def test_a_service_is_held_as_it_stands(state: str, more: dict[str, Any], reason: Reason | None) -> None:
    found = SwarmService(
        "s1", "shop_web", 1, {**web_spec(OLD), **more}, UpdateStatus(state, "2026-01-01T00:00:00Z")
    )
    web = parsed(**OF_STACK).services[0]
    hold = observed.hold_of(web, found)
    assert (hold.reason if hold else None) is reason
    allowed = observed.hold_of(replace(web, target=(SwarmSettings(stack="shop", run_jobs=True),)), found)
    assert (allowed is None) if found.is_job else (allowed == hold)


def test_what_runs_is_what_the_spec_pins() -> None:
    web = ServiceConfig(
        "web", reference.parse("app:0.9"), (), ("web",), target=(SwarmSettings(stack="shop"),)
    )
    known = observed.by_name(
        [{"ID": "s1", "Version": {"Index": 1}, "Spec": web_spec(OLD)}, {"ID": "plugin", "Spec": {}}]
    )
    found = observed.observe(web, known)
    assert not isinstance(found, Hold)
    assert (found.current.text, found.running_digests) == ("app:1.0", frozenset({"sha256:" + "a" * 64}))
    bare = observed.observe(web, {"shop_web": service("app")})
    assert not isinstance(bare, Hold)
    assert (bare.current.text, bare.running_digests) == ("app:latest", frozenset())
    foreign = observed.observe(web, {"shop_web": service("other:1")})
    assert isinstance(foreign, Hold)
    assert foreign.reason is Reason.IMAGE_MISMATCH
    missing = observed.observe(web, {"shop_api": service(OLD)})
    assert isinstance(missing, Hold)
    assert missing.reason is Reason.NOT_RUNNING
    assert "shop_api" in missing.detail


# --------------------------------------------------------------------------------------------------- the file


def file(folder: Path, image: str) -> stack_file.StackText:
    path = folder / "stack.yml"
    path.write_text(f"services:\n  web:\n    image: {image}\n")
    found = stack_file.read((str(path),), "web", files)
    assert not isinstance(found, Hold)
    return found


@pytest.mark.parametrize("image", ["app:${TAG:-1.0}", "${IMAGE:-app:1.0}", "app:${TAG}"])
def test_a_variable_of_somebodys_shell_is_not_edited(tmp_path: Path, image: str) -> None:
    found = file(tmp_path, image)
    held = stack_file.edits(found, "web", reference.parse("app:1.1"))
    assert isinstance(held, Hold)
    assert held.reason is Reason.NOT_EDITABLE


def test_a_file_that_names_another_tag_is_not_deployed_yet(tmp_path: Path) -> None:
    runs = reference.parse("app:1.0")
    assert stack_file.difference(file(tmp_path, "app:1.0"), runs) is None
    assert stack_file.difference(file(tmp_path, "docker.io/library/app:1.0"), runs) is None
    held = stack_file.difference(file(tmp_path, "app:1.5"), runs)
    assert held is not None
    assert held.reason is Reason.DRIFT


# ------------------------------------------------------------------------------------------ the configuration


def parsed(**keys: Any) -> Any:
    top: dict[str, Any] = {key: keys.pop(key) for key in ("engines", "defaults") if key in keys}
    raw = {"services": [{"name": "web", "image": "app:1", **keys}], **top}
    return config_utils.parse(raw, {}, "/etc/up/config.json")


def problems_of(**keys: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parsed(**keys)
    return list(caught.value.problems)


OF_STACK = {"stack": "shop", "compose_service": "web"}
PROD = {"prod": {"hosts": ["tcp://10.0.0.1:2376", "tcp://[fd00::1]:2376"], "cert_path": "certs"}}


def test_a_service_of_a_swarm_says_its_stack_or_its_own_name() -> None:
    (web,) = parsed(**OF_STACK, engine="prod", engines=PROD).services
    assert web.own(SwarmSettings) == SwarmSettings("shop", engine="prod")
    assert (web.compose_services, web.compose_files) == (("web",), ())
    assert observed.name_of(web) == "shop_web"
    (alone,) = parsed(swarm_service="proxy").services
    assert observed.name_of(alone) == "proxy"
    (engine,) = parsed(**OF_STACK, engines=PROD).settings.engines
    assert engine == NamedEngine("prod", ("tcp://10.0.0.1:2376", "tcp://[fd00::1]:2376"), "/etc/up/certs")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"stack": "shop"}, ["compose_service: missing"]),
        ({}, ["compose_file: missing", "compose_service: missing"]),
        ({"stack": "shop", "compose_service": ["web", "worker"]}, ["write an entry for each"]),
        ({**OF_STACK, "swarm_service": "web"}, ["stack: swarm_service is",
                                                "compose_service: swarm_service is"]),
        ({**OF_STACK, "group": "shop"}, ["group: the services of a Swarm are updated one by one"]),
        ({**OF_STACK, "compose_project": "blue"}, ["compose_project: a stack has no"]),
        ({**OF_STACK, "update_order": "start-first"},
         ["update_order: a Swarm service has its order in its own"]),
        ({**OF_STACK, "update_order": "stop-first"},
         ["update_order: a Swarm service has its order in its own"]),
        ({**OF_STACK, "update_order": "start-first", "drain_seconds": 5, "drain_command": "true"},
         ["update_order: a", "drain_seconds: it is for Compose", "`stop_grace_period`; take it out"]),
        ({"swarm_service": "a", "start_stopped": True}, ["started by `docker service scale`; take it out"]),
        ({"swarm_service": "a", "allow_volume_change": True}, ["the volumes of its spec; take it out"]),
        ({"swarm_service": "a", "allow_drift": True}, ["allow_drift: it is about the stack's file"]),
        ({"compose_file": "c", "compose_service": "web", "run_jobs": True},
         ["it is for the jobs of a Docker Swarm"]),
        ({**OF_STACK, "pin_digest": True}, ["none is named; write compose_file too, or take it out"]),
        ({**OF_STACK, "engine": "prod"}, ["engine: prod is none of engines (none is there)"]),
        ({**OF_STACK, "engine": "dev", "engines": PROD}, ["engine: dev is none of engines (prod)"]),
        ({"compose_file": "c", "compose_service": "web", "engine": "prod", "engines": PROD},
         ["an updater there"]),
        ({**OF_STACK, "engines": {"prod": {"hosts": "ssh://me@host"}}}, ["ssh -nNT -L"]),
        ({**OF_STACK, "engines": {"prod": {"hosts": "https://host:1"}}}, ["engines.prod.hosts", ]),
        ({**OF_STACK, "engines": {"prod": {"hosts": "tcp://host"}}}, ["write tcp://HOST:PORT"]),
        ({**OF_STACK, "engines": {"prod": {}}}, ["engines.prod.hosts: missing"]),
        ({**OF_STACK, "engines": {"a b": {"hosts": "unix:///a"}}}, ["a name in it is none"]),
        ({**OF_STACK, "engines": {"prod": "tcp://host:1"}}, ["is not an object"]),
        ({**OF_STACK, "engines": {"prod": {"host": "tcp://host:1"}}},
         ["engines.prod.hosts: missing", "write hosts"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_named_with_its_remedy(
    keys: dict[str, Any], expected: list[str]
) -> None:
    found = problems_of(**keys)
    assert len(found) == len(expected), found
    assert all(any(part in each for each in found) for part in expected), found


def test_what_defaults_say_counts_for_the_services_that_it_has_a_meaning_for() -> None:
    defaults = {"update_order": "start-first", "drain_seconds": 5, "start_stopped": True,
                "allow_volume_change": True,
                "pin_digest": True, "min_age": "3d"}  # fmt: skip
    (web,) = parsed(**OF_STACK, defaults=defaults).services
    assert web.target == (SwarmSettings("shop"),)
    assert web.policy.min_age_seconds == 3 * 86400
    (db,) = parsed(compose_file="c", compose_service="db", defaults=defaults).services
    assert db.own(ComposeSettings) == ComposeSettings(
        update_order=UpdateOrder.START_FIRST, drain_seconds=5, start_stopped=True, allow_volume_change=True
    )


@pytest.mark.parametrize("key", ["start_stopped", "allow_volume_change"])
def test_no_is_what_a_key_without_meaning_may_say(key: str) -> None:
    assert parsed(**OF_STACK, **{key: False}).services[0].target == (SwarmSettings("shop"),)


def test_two_entries_do_not_update_one_service() -> None:
    twins = [{"name": name, "image": "app:1", **OF_STACK} for name in ("a", "b")]
    with pytest.raises(ConfigError, match="shop_web of the swarm belongs to services"):
        config_utils.parse({"services": twins}, {}, "/c.json")
    elsewhere = [twins[0], {**twins[1], "engine": "prod"}]
    config_utils.parse({"services": elsewhere, "engines": PROD}, {}, "/c.json")


def test_a_renamed_service_keeps_its_memory_and_another_of_the_swarm_does_not_get_it() -> None:
    found = [parsed(**keys, engines=PROD).services[0] for keys in (
        OF_STACK, {**OF_STACK, "engine": "prod"}, {"swarm_service": "shop_web"},
        {**OF_STACK, "compose_service": "api"},
    )]  # fmt: skip
    assert len({observed.identity(each) for each in found}) == len(found)
    with_file = parsed(**OF_STACK, compose_file="/srv/stack.yml").services[0]
    assert observed.identity(with_file) == observed.identity(found[0])


def test_an_engine_without_its_files_or_its_entry_is_said(tmp_path: Path) -> None:
    named = [NamedEngine("prod", ("tcp://127.0.0.1:1",), str(tmp_path))]
    with pytest.raises(EngineError, match=r"engines.prod: .* does not hold cert.pem and key.pem"):
        Swarms(EngineEndpoint(), named)("prod")
    with pytest.raises(EngineError, match="no engine is configured as dev"):
        Swarms(EngineEndpoint(), named)("dev")
