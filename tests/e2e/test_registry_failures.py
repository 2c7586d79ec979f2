"""A registry that fails, on the real engine: nothing happens to the service, it is said once, and soon all
goes on.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.failures import assert_reported, during_the_pull, fresh, later, opened, said, under_way
from tests.support.fake_registry import Basic, Behaviour, FakeRegistry, Pushed
from tests.support.lab import Shop
from updater_core import protocols
from updater_core.app import cycle
from updater_core.models import Committed, ImageRef, NotStarted, Reason, RegistrySettings, Step
from updater_core.registries import oci
from updater_core.registries.auth.tokens import Tokens
from updater_core.registries.session import new_session
from updater_core.registries.transport import TRIES, Limits, Transport
from updater_core.registry_utils import Logins
from updater_core.vocabulary.dated import ListComparison

pytestmark = pytest.mark.engine

HTML = Behaviour(
    status=200,
    headers={"Content-Type": "text/html", "Docker-Content-Digest": None},
    body=b"<html><body>Please log in</body></html>",
)
BASIC = Behaviour(status=401, headers={"WWW-Authenticate": 'Basic realm="lab"'})


def _kinds(shop: Shop, kind: str) -> int:
    return shop.registry.counts().get(kind, 0)


def _pulls(shop: Shop) -> int:
    """How many manifests the engine asked for: we ask once for one that waits, to say its version."""
    asked = [entry for entry in shop.registry.log if entry.kind == "manifest_get"]
    return sum("docker-auto-updater" not in entry.headers.get("user-agent", "") for entry in asked)


# ---------------------------------------------------------------------------------------- while it is checked


@pytest.mark.parametrize(
    ("behaviour", "reason", "words"),
    [
        pytest.param(Behaviour(status=500), Reason.REGISTRY_ERROR, "status 500", id="500"),
        pytest.param(
            Behaviour(status=401), Reason.AUTH_ERROR, "asks for a login", id="401 without a challenge"
        ),
        pytest.param(BASIC, Reason.AUTH_ERROR, "user name", id="401 with a challenge"),
        pytest.param(Behaviour(status=403), Reason.AUTH_ERROR, "403", id="403"),
        pytest.param(Behaviour(status=404), Reason.NOT_FOUND, "latest", id="404"),
        pytest.param(HTML, Reason.REGISTRY_ERROR, "no manifest", id="html"),
        pytest.param(Behaviour(disconnect=True), Reason.REGISTRY_ERROR, "", id="nothing"),
    ],
)
def test_a_check_without_a_usable_answer_is_unknown_and_the_next_one_updates(
    shop: Shop, caplog: pytest.LogCaptureFixture, behaviour: Behaviour, reason: Reason, words: str
) -> None:
    identity = opened(shop)
    assert shop.cycle().needs_look == frozenset()
    shop.push("latest", lab.good("two"))
    shop.registry.behave("*", behaviour)
    said(caplog, shop)
    report = shop.cycle()
    assert report.outcomes == ()
    assert report.needs_look == {shop.name}
    assert words in assert_reported(caplog, shop, "unknown", reason)
    assert shop.containers()[0].id == identity
    assert shop.strays() == []
    shop.registry.well_behaved()
    assert [type(outcome) for outcome in shop.cycle().outcomes] == [Committed]
    assert shop.releases() == [("two", "running")]


def test_a_vanished_tag_is_not_found_and_no_other_is_taken(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    identity = opened(shop)
    shop.push("other", lab.good("two"))
    shop.registry.delete("team/app", "latest")
    assert shop.cycle().outcomes == ()
    assert_reported(caplog, shop, "unknown", Reason.NOT_FOUND)
    assert shop.containers()[0].id == identity
    shop.push("latest", lab.good("three"))
    assert isinstance(shop.cycle().outcomes[0], Committed)


def test_a_list_of_tags_that_breaks_off_is_unknown(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.policy = {"semver_pattern": "v*"}
    identity = opened(shop, tag="v1.0.0")
    shop.push("v1.1.0", lab.good("v1.1.0"))
    shop.push("v1.2.0", lab.good("v1.2.0"))
    shop.registry.page_size = 2
    shop.registry.behave("tags", Behaviour(truncate_to=5), path="last=")
    assert shop.cycle().outcomes == ()
    assert_reported(caplog, shop, "unknown", Reason.LISTING_INCOMPLETE)
    assert shop.containers()[0].id == identity
    shop.registry.well_behaved()
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("v1.2.0", "running")]


def test_a_registry_that_asks_for_a_rest_gets_it_and_others_go_on(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeRegistry() as elsewhere:
        (tmp_path / "neighbour").mkdir()
        neighbour = Shop(tmp_path / "neighbour", elsewhere)
        try:
            identity = opened(shop)
            opened(neighbour)
            shop.settings = {"services": [*shop.config()["services"], *neighbour.config()["services"]]}
            shop.push("latest", lab.good("two"))
            neighbour.push("latest", lab.good("two"))
            shop.registry.behave("*", Behaviour(status=429, headers={"Retry-After": "3600"}))
            report = shop.cycle()
            assert [outcome.plan.name for outcome in report.outcomes] == [neighbour.name]
            assert neighbour.releases() == [("two", "running")]
            assert report.needs_look == {shop.name}
            assert "not asked until" in assert_reported(caplog, shop, "unknown", Reason.RATE_LIMITED)
            shop.registry.well_behaved()
            shop.registry.clear_log()
            # the rest is kept, also by a process that starts anew
            assert shop.cycle().needs_look == {shop.name}
            assert shop.registry.counts() == {}
            assert shop.state()["status"] == "unknown"
            assert shop.containers()[0].id == identity
            assert [outcome.plan.name for outcome in later(shop).outcomes] == [shop.name]
            assert shop.releases() == [("two", "running")]
        finally:
            neighbour.down()


def test_a_pull_that_is_one_too_many_lets_the_pulls_of_others_wait(shop: Shop) -> None:
    """The check's own questions are not what is counted; a pull of the next service would be refused as
    well.
    """
    shop.policy = {"health_stable": 1}
    shop.push("latest", lab.good("one"))
    shop.write(text=TWO)
    shop.up()
    first = {**shop.config()["services"][0], "name": f"{shop.name}-first"}
    second = {**first, "name": shop.name, "compose_service": "worker"}
    shop.settings = {"services": [first, second]}
    shop.push("latest", fresh("two"))
    shop.registry.behave(
        "manifest_get", Behaviour(status=429, body=b'{"errors":[{"code":"TOOMANYREQUESTS"}]}')
    )
    shop.registry.clear_log()
    context = shop.context()
    report = cycle.run(context)
    assert [outcome.cause.reason for outcome in report.outcomes if isinstance(outcome, NotStarted)] == [
        Reason.PULL_LIMIT
    ]
    assert (shop.state()["status"], shop.state()["reason"]) == ("waiting", Reason.PULL_LIMIT.value)
    assert shop.state()["quarantine"] == []
    assert shop.releases() == [("one", "running")]
    assert _kinds(shop, "manifest_get") > 0
    shop.registry.well_behaved()
    assert len(later(shop).outcomes) == 2
    assert shop.releases() == shop.releases("worker") == [("two", "running")]


TWO = """\
services:
  web:
    image: {image}
    network_mode: none
    stop_grace_period: 1s
  worker:
    image: {image}
    network_mode: none
    stop_grace_period: 1s
"""


class _Hurried:
    """The registries of a context, with the same client on a transport that waits for half a second only."""

    def __init__(self, clock: protocols.Clock, limits: Limits) -> None:
        transport = Transport(clock, lambda *_: None, {}, limits)
        self._session = new_session(clock, transport, Tokens(transport, clock), Logins(None, None, clock))

    def for_service(self, reference: ImageRef, settings: RegistrySettings) -> protocols.Registry:
        return oci.open_registry(reference, settings, self._session)

    def open_all(self, questions: Sequence[tuple[ImageRef, RegistrySettings]]) -> list[protocols.Registry]:
        return [self.for_service(reference, settings) for reference, settings in questions]

    def new_cycle(self) -> None:
        self._session.cycle.forget_all()

    def backoffs(self) -> Mapping[str, datetime]:
        return {}

    def outages(self) -> Mapping[str, datetime]:
        return {}

    def refused_logins(self) -> Mapping[str, datetime]:
        return {}

    def comparisons(self) -> Mapping[str, ListComparison]:
        return {}


def test_a_registry_that_hangs_is_given_up_in_bounded_time(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """The real limits are 20 s a try and 45 s in all; here they are shortened, the client is the same."""
    identity = opened(shop)
    shop.push("latest", lab.good("two"))
    shop.registry.clear_log()
    released = threading.Event()
    shop.registry.behave("*", Behaviour(hang=released))
    context = shop.context()
    context.registries = _Hurried(context.clock, Limits(read_seconds=0.5, whole_seconds=1.0))  # type: ignore[assignment]
    try:
        with under_way(lambda: cycle.run(context)) as held:
            report = held.report()
    finally:
        released.set()
    assert shop.registry.counts() == {"manifest_head": TRIES}
    assert report.needs_look == {shop.name}
    assert "in time" in assert_reported(caplog, shop, "unknown", Reason.REGISTRY_ERROR)
    assert shop.containers()[0].id == identity
    shop.registry.well_behaved()
    assert isinstance(shop.cycle().outcomes[0], Committed)


# ------------------------------------------------------------------------------------- between check and pull

Spoil = Callable[[Shop, Pushed], None]


def _by(kind: str, behaviour: Behaviour) -> Spoil:
    return lambda shop, _: shop.registry.behave(kind, behaviour)


def _broken_off(shop: Shop, two: Pushed) -> None:
    """The layer breaks off in the middle, and the engine's own further try is refused."""
    shop.registry.behave("blob", Behaviour(truncate_to=1000), times=1, path=two.layers[0])
    shop.registry.behave("blob", Behaviour(status=404), path=two.layers[0])


def _another_content(shop: Shop, two: Pushed) -> None:
    """Asked for the digest, the registry hands out other bytes."""
    body = shop.registry.contents("team/app")[1][two.digest][1]
    shop.registry.behave("manifest_get", Behaviour(body=body.replace(b"{", b"{ ", 1)))


def _another_digest(shop: Shop, _: Pushed) -> None:
    """The check is given a digest that nothing has."""
    shop.registry.behave("manifest_head", Behaviour(headers={"Docker-Content-Digest": f"sha256:{'0' * 64}"}))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(_by("manifest_get", Behaviour(status=404)), id="tag vanished"),
        pytest.param(_by("manifest_get", Behaviour(status=500)), id="500"),
        pytest.param(_by("manifest_get", Behaviour(status=429)), id="429"),
        pytest.param(_by("manifest_get", BASIC), id="401"),
        pytest.param(_by("manifest_get", Behaviour(status=403)), id="403"),
        pytest.param(_by("manifest_get", HTML), id="html"),
        pytest.param(_by("manifest_get", Behaviour(disconnect=True)), id="nothing"),
        pytest.param(_by("blob", Behaviour(status=404)), id="layers gone"),
        pytest.param(_broken_off, id="breaks half-way"),
        pytest.param(_another_content, id="wrong content"),
        pytest.param(_another_digest, id="wrong digest"),
    ],
)
def test_a_pull_that_fails_touches_nothing_and_is_tried_again_after_a_pause(
    shop: Shop, caplog: pytest.LogCaptureFixture, spoil: Spoil
) -> None:
    identity = opened(shop)
    spoil(shop, shop.push("latest", fresh("two")))
    report = shop.cycle()
    (outcome,) = report.outcomes
    assert isinstance(outcome, NotStarted)
    assert (outcome.cause.step, outcome.quarantine) == (Step.PULL, False)
    assert report.needs_look == {shop.name}
    assert_reported(caplog, shop, "failed", Reason.PULL_FAILED)
    assert shop.state()["quarantine"] == []
    assert (shop.containers()[0].id, shop.containers()[0].status) == (identity, "running")
    assert shop.operator_up_changes() == []
    assert shop.strays() == []
    shop.registry.well_behaved()
    shop.registry.clear_log()
    assert shop.cycle().outcomes == ()  # it pauses: no storm
    assert _pulls(shop) == 0
    assert shop.state()["status"] == "failed"
    assert [type(again) for again in later(shop).outcomes] == [Committed]
    assert shop.releases() == [("two", "running")]
    assert shop.strays() == []


def test_a_layer_that_breaks_off_once_is_fetched_to_its_end(shop: Shop) -> None:
    opened(shop)
    two = shop.push("latest", fresh("two"))
    shop.registry.behave("blob", Behaviour(truncate_to=1000), times=1, path=two.layers[0])
    shop.registry.clear_log()
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert sum(two.layers[0] in entry.path for entry in shop.registry.log) == 2
    assert shop.releases() == [("two", "running")]


def test_a_tag_that_moves_on_during_the_pull_brings_what_was_decided(shop: Shop) -> None:
    opened(shop)
    two = shop.push("latest", fresh("two"))
    (outcome,) = during_the_pull(shop, lambda: shop.push("latest", lab.good("three"))).outcomes
    assert isinstance(outcome, Committed)
    assert shop.releases() == [("two", "running")]
    assert shop.state()["digest"] == two.digest
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("three", "running")]


def test_the_test_is_not_ok_if_the_list_of_tags_is_refused(shop: Shop) -> None:
    opened(shop)
    assert shop.run("--test")[0] == 0
    shop.policy = {"semver_pattern": "*"}
    shop.registry.behave("tags", Behaviour(status=403))
    status, said = shop.run("--test")
    assert status != 0
    assert "FAIL  registry" in said
    shop.registry.well_behaved()
    assert shop.run("--test")[0] == 0


def test_the_test_is_not_ok_where_what_only_a_choice_asks_for_is_refused(shop: Shop) -> None:
    """Build times are read from blobs: a proxy that lets manifests and lists pass may refuse those."""
    shop.policy = {"tag_pattern": "build-*"}
    opened(shop, tag="build-f")
    shop.push("build-a", fresh("two"))
    shop.registry.behave("blob", Behaviour(status=403), agent="docker-auto-updater")
    assert shop.run("--once")[0] == 1
    status, said = shop.run("--test")
    assert status != 0, said
    assert f"FAIL  {shop.name}: held, auth_error" in said
    shop.registry.well_behaved()
    status, said = shop.run("--test")
    assert status == 0, said


def test_runs_from_cron_offer_a_refused_login_once_and_a_corrected_one_at_once(shop: Shop) -> None:
    opened(shop)
    shop.registry.auth = Basic("jane", "new")
    shop.policy["registry_config"] = {"username": "jane", "password": "hunter2-revoked"}

    def offers() -> int:
        return sum("authorization" in entry.headers for entry in shop.registry.log)

    for _ in range(3):
        shop.run("--once")
        assert offers() == 1
    text = (shop.folder / "state" / "state.json").read_text()
    (kept,) = json.loads(text)["refused_logins"]
    assert kept.startswith(f"{shop.registry.host} ")
    assert "hunter2-revoked" not in text
    shop.policy["registry_config"]["password"] = "new"
    status, said = shop.run("--once")
    assert status == 0, said
