"""What an operator's projects look like, on the real engine: groups, dependents, scale, dependencies, pins,
names; and what an operator may ask for: go back, wait, only tell.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support import lab
from tests.support.lab import Shop
from tests.support.listener import listening
from updater_core.app import cycle
from updater_core.models import Committed, Hold, Outcome, Reason, RolledBack

pytestmark = pytest.mark.engine

_COMMON = """\
    restart: unless-stopped
    stop_grace_period: 1s
"""
ALONE = _COMMON + "    network_mode: none\n"
WEB = "services:\n  web:\n    image: {image}\n" + ALONE


@pytest.fixture(autouse=True)
def _quick(shop: Shop) -> None:
    shop.policy = {"health_stable": 1}


def begin(shop: Shop, tag: str = "latest", text: str = WEB, **policy: Any) -> None:
    """The first release under `tag` runs as `text` says, and the updater follows it by `policy`."""
    shop.push(tag, lab.good("one"))
    shop.write(tag, text)
    shop.up()
    shop.policy |= policy


def outcome_of(shop: Shop) -> Outcome:
    (outcome,) = shop.cycle().outcomes
    return outcome


def hold_of(shop: Shop) -> Hold:
    """Why a cycle left the service alone: the decision after window, pause and mode, which the cycle
    obeys.
    """
    context = shop.context()
    report = cycle.run(context)
    assert report.outcomes == ()
    found = cycle.planned(context, report.checked[0])
    assert isinstance(found, Hold)
    return found


def ids(shop: Shop, service: str = "web") -> list[str]:
    return sorted(container.id for container in shop.containers(service))


@contextmanager
def creations(shop: Shop) -> Iterator[Counter[str]]:
    """How many containers of each Compose service the block has made, as the engine's own events tell."""
    counted: Counter[str] = Counter()
    client = shop.client
    wanted = {"event": "create", "type": "container", "label": f"com.docker.compose.project={shop.name}"}
    stream = client.events(decode=True, filters=wanted)  # live: the engine keeps only its last 256 events
    image = shop.containers()[0].image.id

    def sign(word: str) -> None:
        """A creation of our own."""
        labels = {"com.docker.compose.project": shop.name, "com.docker.compose.service": word}
        client.containers.create(image, labels=labels, network_mode="none").remove()

    def is_heard() -> int:
        """The engine answers before it begins to listen for us."""
        sign("the beginning")
        return counted["the beginning"]

    def listen() -> None:
        for event in stream:
            counted[event["Actor"]["Attributes"]["com.docker.compose.service"]] += 1

    ear = threading.Thread(target=listen, daemon=True)
    ear.start()
    lab.until(is_heard, what="the first event")
    yield counted
    sign("the end")
    lab.until(lambda: counted["the end"], what="the last event")
    del counted["the beginning"], counted["the end"]
    stream.close()
    ear.join(10)
    client.close()


# --------------------------------------------------------------------------------------- what moves with what

UNIT = f"""\
services:
  web:
    image: {{image}}
{ALONE}\
  worker:
    image: "{{image}}"  # the same image, another role
    environment: [ROLE=worker]
{ALONE}"""


def test_a_list_of_services_is_one_unit_forward_and_back(shop: Shop) -> None:
    shop.compose_service = ["web", "worker"]
    begin(shop, "v1.0.0", UNIT, semver_pattern="v*")
    before = shop.compose_file.read_text()
    shop.push("v1.1.0", lab.good("two"))
    shop.registry.clear_log()
    with creations(shop) as made:
        assert isinstance(outcome_of(shop), Committed)
    assert made == {"web": 1, "worker": 1}
    assert shop.registry.counts()["tags"] == 1
    assert shop.releases("web") == shop.releases("worker") == [("two", "running")]
    assert shop.compose_file.read_text() == before.replace("v1.0.0", "v1.1.0")
    assert shop.operator_up_changes() == []

    proven = shop.compose_file.read_bytes()
    script = f'[ "$ROLE" != worker ] || exit 3; {lab._FOREVER}'
    shop.push("v1.2.0", lab.build("three", script, healthcheck=lab.NO_ANSWER))
    outcome = outcome_of(shop)
    assert isinstance(outcome, RolledBack)
    assert "worker" in outcome.cause.message
    assert shop.releases("web") == shop.releases("worker") == [("two", "running")]
    assert shop.compose_file.read_bytes() == proven
    assert shop.operator_up_changes() == []


DEPENDENT = f"""\
services:
  web:
    image: {{image}}
{ALONE}\
  agent:
    image: {{agent}}
    network_mode: "service:web"
{_COMMON}"""


def test_a_service_in_the_same_network_namespace_goes_with_it_forward_and_back(shop: Shop) -> None:
    shop.push("agent", lab.good("agent"))
    begin(shop, text=DEPENDENT.replace("{agent}", f"{shop.repository}:agent"))

    def assert_together(release: str) -> None:
        assert shop.releases("web") == [(release, "running")]
        assert shop.releases("agent") == [("agent", "running")]
        (agent,) = shop.containers("agent")
        assert [agent.attrs["HostConfig"]["NetworkMode"]] == [f"container:{web}" for web in ids(shop)]
        assert shop.operator_up_changes() == []

    assert_together("one")
    first = ids(shop)
    shop.push("latest", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    assert ids(shop) != first
    assert_together("two")
    shop.push("latest", lab.exits("three"))
    assert isinstance(outcome_of(shop), RolledBack)
    assert_together("two")


def test_a_dependent_that_cannot_live_beside_the_new_release_takes_it_back(shop: Shop) -> None:
    shop.push("agent", lab.healthy("agent"))
    text = DEPENDENT.replace("{agent}", f"{shop.repository}:agent")
    probing = (
        "until nc 127.0.0.1 8080 </dev/null; do sleep 0.1; done; busybox wget -q -O- "
        "http://127.0.0.1:8080/release"
    )
    text += (
        f"    healthcheck: {{{{test: [CMD-SHELL, '{probing}'], interval: 1s, timeout: 60s, retries: 2}}}}\n"
    )
    shop.push("latest", lab.build("one", "exec httpd -f -p 8080 -h /"))
    shop.write(text=text)
    shop.up()
    lab.until(lambda: shop.containers("agent")[0].health == "healthy", what="the agent reaches web")
    shop.push("latest", lab.build("two", "exec httpd -f -p 8080 -h /bin"))  # runs, but serves something else
    outcome = outcome_of(shop)
    assert isinstance(outcome, RolledBack)
    assert outcome.cause.reason is Reason.UNHEALTHY
    assert shop.releases() == [("one", "running")]
    assert shop.containers("agent")[0].health == "healthy"


def test_a_scaled_service_keeps_its_number_of_containers(shop: Shop) -> None:
    shop.push("latest", lab.good("one"))
    shop.write(text=WEB)
    shop.up("--scale", "web=3")
    names = sorted(shop.names())
    shop.push("latest", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("two", "running")] * 3
    assert sorted(shop.names()) == names
    shop.push("latest", lab.exits("three"))
    assert isinstance(outcome_of(shop), RolledBack)
    assert shop.releases() == [("two", "running")] * 3
    assert sorted(shop.names()) == names
    now = ids(shop)
    shop.up("--scale", "web=3")
    assert ids(shop) == now


BESIDE_DATABASE = f"""\
services:
  db:
    image: {{db}}
{ALONE}\
  web:
    image: {{image}}
    depends_on: {{{{db: {{{{condition: service_healthy}}}}}}}}
{ALONE}\
  proxy:
    image: {{db}}
    depends_on: [web]
{ALONE}"""


def test_dependencies_and_dependants_are_left_alone_and_the_operators_up_is_a_no_op(shop: Shop) -> None:
    shop.push("db", lab.healthy("db"))
    begin(shop, text=BESIDE_DATABASE.replace("{db}", f"{shop.repository}:db"))
    others = [
        (c.id, c.attrs["State"]["StartedAt"]) for name in ("db", "proxy") for c in shop.containers(name)
    ]
    assert len(others) == 2
    shop.push("latest", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("two", "running")]
    assert [
        (c.id, c.attrs["State"]["StartedAt"]) for name in ("db", "proxy") for c in shop.containers(name)
    ] == others
    assert shop.operator_up_changes() == []


# --------------------------------------------------------------------------------------- references and names


def test_a_pinned_digest_stays_a_pin_and_moves_with_its_tag(shop: Shop) -> None:
    one = shop.push("v1.0.0", lab.good("one"))
    shop.write(f"v1.0.0@{one.digest}", WEB)
    shop.up()
    shop.policy |= {"semver_pattern": "v*"}
    before = shop.compose_file.read_text()
    two = shop.push("v1.1.0", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.compose_file.read_text() == before.replace(f"v1.0.0@{one.digest}", f"v1.1.0@{two.digest}")
    assert shop.releases() == [("two", "running")]
    assert shop.operator_up_changes() == []
    pinned = shop.compose_file.read_bytes()
    shop.push("v1.2.0", lab.exits("three"))
    assert isinstance(outcome_of(shop), RolledBack)
    assert shop.compose_file.read_bytes() == pinned
    assert shop.releases() == [("two", "running")]
    assert shop.operator_up_changes() == []


def test_a_pin_follows_the_digest_behind_its_tag(shop: Shop) -> None:
    one = shop.push("latest", lab.good("one"))
    shop.write(f"latest@{one.digest}", WEB)
    shop.up()
    two = shop.push("latest", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    assert f"image: {shop.repository}:latest@{two.digest}\n" in shop.compose_file.read_text()
    assert shop.releases() == [("two", "running")]
    assert shop.cycle().outcomes == ()


def test_pin_digest_writes_the_digest_behind_the_tag(shop: Shop) -> None:
    begin(shop, pin_digest=True)
    two = shop.push("latest", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    assert f"image: {shop.repository}:latest@{two.digest}\n" in shop.compose_file.read_text()
    assert shop.releases() == [("two", "running")]
    assert shop.operator_up_changes() == []
    assert shop.cycle().outcomes == ()


def test_a_container_name_is_kept(shop: Shop) -> None:
    begin(shop, text=f"{WEB}    container_name: {shop.name}-called-so\n")
    for release, kind in ((lab.good("two"), Committed), (lab.exits("three"), RolledBack)):
        shop.push("latest", release)
        assert isinstance(outcome_of(shop), kind)
        assert shop.names() == [f"{shop.name}-called-so"]
        assert shop.releases() == [("two", "running")]
    assert shop.operator_up_changes() == []


def test_a_file_that_runs_as_two_projects_is_held_until_one_is_named(shop: Shop) -> None:
    begin(shop)
    other = Shop(shop.folder, shop.registry, name=f"{shop.name}-other")
    try:
        other.up()
        before = ids(shop), ids(other)
        shop.push("latest", lab.good("two"))
        hold = hold_of(shop)
        assert hold.reason is Reason.AMBIGUOUS_PROJECT
        assert shop.name in hold.detail
        assert other.name in hold.detail
        assert "compose_project" in hold.remedy
        assert (ids(shop), ids(other)) == before
        shop.policy |= {"compose_project": shop.name}
        assert isinstance(outcome_of(shop), Committed)
        assert shop.releases() == [("two", "running")]
        assert ids(other) == before[1]
    finally:
        other.compose("down", "--timeout", "0", check=False)


# --------------------------------------------------------------------------------------- which services count


def test_a_stopped_service_is_held_and_started_only_if_that_is_asked_for(shop: Shop) -> None:
    begin(shop)
    shop.compose("stop", "--timeout", "1")
    shop.push("latest", lab.good("two"))
    hold = hold_of(shop)
    assert hold.reason is Reason.NOT_RUNNING
    assert hold.remedy
    assert shop.releases() == [("one", "exited")]
    shop.policy |= {"start_stopped": True}
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("two", "running")]


def test_a_service_that_crashes_again_and_again_gets_its_fix(shop: Shop) -> None:
    shop.push("latest", lab.exits("one"))
    shop.write(text=WEB)
    shop.up()
    lab.until(lambda: shop.containers()[0].status == "restarting", what="a crash loop")
    shop.push("latest", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("two", "running")]


def add_build(shop: Shop) -> None:
    """A `build` beside the image, and a Dockerfile that makes the same release anew."""
    shop.compose_file.write_text(shop.compose_file.read_text() + "    build: .\n")
    (shop.folder / "Dockerfile").write_text(f"FROM {shop.repository}:latest\nLABEL release=built\n")


def test_a_build_beside_an_image_of_the_registry_is_no_matter(shop: Shop) -> None:
    begin(shop, "v1.0.0", semver_pattern="v*")
    add_build(shop)
    shop.up("--no-build")
    before = shop.compose_file.read_text()
    shop.push("v1.1.0", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("two", "running")]
    assert shop.compose_file.read_text() == before.replace("v1.0.0", "v1.1.0")


def test_a_service_that_was_built_here_is_held_until_it_runs_what_the_registry_has(shop: Shop) -> None:
    begin(shop)
    add_build(shop)
    shop.up("--build")
    assert shop.releases() == [("built", "running")]
    before = ids(shop)
    shop.push("latest", lab.good("two"))
    hold = hold_of(shop)
    assert hold.reason is Reason.LOCALLY_BUILT
    assert ids(shop) == before
    commands = re.findall(r"`([^`]+)`", hold.remedy)
    assert [words.rpartition(shop.name)[2] for words in commands] == [" pull web", " up -d --no-build web"]
    for words in commands:  # literally: without `-p` it would be another project
        subprocess.run(words.split(), cwd=shop.folder, check=True, capture_output=True)
    assert shop.releases() == [("two", "running")]
    shop.push("latest", lab.good("three"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("three", "running")]


# ---------------------------------------------------------------------------------- what an operator asks for


def test_a_rollback_by_the_operator_goes_back_and_stays_until_a_newer_one_appears(shop: Shop) -> None:
    begin(shop, "v1.0.0", semver_pattern="v*")
    original = shop.compose_file.read_bytes()
    shop.push("v1.1.0", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    status, said = shop.run("--rollback", shop.name)
    assert status == 0, said
    assert shop.releases() == [("one", "running")]
    assert shop.compose_file.read_bytes() == original
    assert shop.operator_up_changes() == []
    assert shop.strays() == []
    hold = hold_of(shop)
    assert (hold.reason, hold.available and hold.available.tag) == (Reason.QUARANTINED, "v1.1.0")
    shop.push("v1.2.0", lab.good("three"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("three", "running")]


def test_a_rollback_by_the_operator_goes_back_behind_the_same_tag(shop: Shop) -> None:
    begin(shop)
    shop.push("latest", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    status, said = shop.run("--rollback", shop.name)
    assert status == 0, said
    assert shop.releases() == [("one", "running")]
    assert shop.operator_up_changes() == []
    assert shop.cycle().outcomes == ()
    status, said = shop.run("--rollback", shop.name)
    assert status == 1
    assert "no earlier image" in said
    shop.push("latest", lab.good("three"))
    assert isinstance(outcome_of(shop), Committed)


def test_retry_tries_again_what_was_quarantined(shop: Shop) -> None:
    begin(shop)
    flaky = lab.build("two", "[ -f /there ] || exit 3", healthcheck=lab.NO_ANSWER)
    shop.push("latest", flaky)
    assert isinstance(outcome_of(shop), RolledBack)
    assert shop.cycle().outcomes == ()
    status, said = shop.run("--retry", shop.name)
    assert status == 0, said
    assert isinstance(outcome_of(shop), RolledBack)


def test_images_of_two_generations_ago_are_let_go_and_the_previous_one_is_held(shop: Shop) -> None:
    def image_id() -> str:
        return str(shop.containers()[0].attrs["Image"])

    # no other test shares these images
    own = [f"{name} of {shop.name}" for name in ("one", "two", "three", "four")]
    shop.push("latest", lab.good(own[0]))
    shop.write(text=WEB)
    shop.up()
    image_ids = [image_id()]
    for name in own[1:]:
        shop.push("latest", lab.good(name))
        assert isinstance(outcome_of(shop), Committed)
        image_ids.append(image_id())
    client = shop.client
    here = {image["Id"]: image["RepoTags"] or [] for image in client.api.images(all=True)}
    client.close()
    operators, two, three, _ = image_ids
    assert two not in here
    held = {image for image, tags in here.items() if any(shop.is_hold(tag) for tag in tags)}
    assert held == {three}, "what runs needs no name of ours: its container keeps it"
    assert operators in here, "an image that was the operator's before us is not ours to remove"
    status, said = shop.run("--rollback", shop.name)
    assert status == 0, said
    assert shop.releases() == [(own[2], "running")]


# ----------------------------------------------------------------------------------------- what makes it wait


def test_mode_notify_tells_once_and_changes_nothing(shop: Shop) -> None:
    begin(shop, mode="notify")
    before = ids(shop), shop.compose_file.read_bytes()
    two = shop.push("latest", lab.good("two"))
    with listening() as listener:
        shop.settings |= {"webhook_url": f"{listener.url}/hook"}
        for _ in range(2):
            assert hold_of(shop).reason is Reason.NOTIFY_ONLY
        assert len(listener.requests) == 1
        assert two.digest.encode() in listener.requests[0].body
        assert b'"available"' in listener.requests[0].body
    assert (ids(shop), shop.compose_file.read_bytes()) == before
    assert shop.state()["status"] == "waiting"
    assert two.digest in shop.state()["available"]


@pytest.mark.parametrize("place", ["settings", "policy"])
def test_a_pause_goes_on_checking_and_updates_nothing(shop: Shop, place: str) -> None:
    begin(shop)
    before = ids(shop)
    two = shop.push("latest", lab.good("two"))
    getattr(shop, place)["pause_updates"] = True
    assert hold_of(shop).reason is Reason.PAUSED
    assert ids(shop) == before
    assert two.digest in shop.state()["available"]
    getattr(shop, place)["pause_updates"] = False
    assert isinstance(outcome_of(shop), Committed)


def test_a_closed_window_makes_an_update_wait_and_the_choice_is_made_anew_when_it_opens(shop: Shop) -> None:
    begin(shop)
    now = datetime.now(UTC)
    closed = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M}"
    opened = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=1):%H:%M}"
    before = ids(shop)
    shop.push("latest", lab.good("two"))
    shop.settings |= {"maintenance_window": closed, "timezone": "UTC"}
    hold = hold_of(shop)
    assert hold.reason is Reason.WINDOW_CLOSED
    assert hold.until is not None
    assert f"{hold.until:%H:%M}" == closed[:5]
    assert shop.state()["opens_at"]
    assert ids(shop) == before
    shop.push("latest", lab.good("three"))
    shop.policy |= {"maintenance_window": opened}
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("three", "running")]


def test_a_young_release_waits_until_it_is_old_enough(shop: Shop) -> None:
    begin(shop, min_age="1h")
    pushed = datetime.now(UTC).replace(microsecond=0)
    shop.push("latest", lab.good("two"))
    hold = hold_of(shop)
    assert hold.reason is Reason.TOO_YOUNG
    assert hold.until is not None
    assert hold.until >= pushed + timedelta(hours=1)
    assert shop.releases() == [("one", "running")]
    shop.policy |= {"min_age": "2s"}
    lab.until(lambda: shop.cycle().outcomes, what="the release comes of age")
    assert shop.releases() == [("two", "running")]


def test_a_tag_pattern_goes_by_the_first_seen_clock_if_the_registry_has_none(shop: Shop) -> None:
    begin(shop, "staging-mmm", tag_pattern="staging-*")
    shop.push("other", lab.good("other"))
    assert shop.cycle().outcomes == ()
    shop.push("staging-aaa", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("two", "running")]
    assert f"{shop.repository}:staging-aaa\n" in shop.compose_file.read_text()
    shop.push("staging-zzz", lab.good("three"))
    assert isinstance(outcome_of(shop), Committed)
    assert shop.releases() == [("three", "running")]
    assert shop.cycle().outcomes == ()
