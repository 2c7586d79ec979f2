"""The engine stops, or is killed, in the middle of an update: the service ends on old or new, whole, and no
release is blamed for what the engine did. On an engine of the tests' own.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.failures import fresh, gates, let_go, runs, slow
from tests.support.fake_registry import FakeRegistry
from tests.support.lab import Shop, until
from tests.support.private_engine import PrivateEngine
from updater_core.docker_utils import DockerEngine
from updater_core.host.engine_endpoint import EngineEndpoint

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("private engine")]


@pytest.fixture(scope="module")
def private() -> Iterator[PrivateEngine]:
    made = PrivateEngine()
    made.start()
    yield made
    made.close()


@pytest.fixture
def shop(tmp_path: Path, registry: FakeRegistry, private: PrivateEngine) -> Iterator[Shop]:
    if not private.answers():
        private.start()
    made = Shop(tmp_path, registry, engine_host=private.host, policy={"health_stable": 1})
    made.push("latest", lab.good("one"))
    made.write()
    made.up()
    yield made
    made.down()


def journal_says(shop: Shop, word: str) -> bool:
    found = (shop.folder / "state" / "journal").glob("*.json")
    with contextlib.suppress(OSError):
        return any(word in path.read_text() for path in found)
    return False


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_engine_that_goes_and_comes_back_during_the_gate_costs_no_release_its_good_name(
    shop: Shop, private: PrivateEngine, how: signal.Signals
) -> None:
    shop.push("latest", slow("two", "exit 0"))
    child = shop.updater("--once")
    until(lambda: gates(shop), what="the new release is at the gate")
    private.end(how)
    private.start()

    def is_over() -> bool:
        """Its container starts again of its own accord, at some time."""
        let_go(shop)
        return child.poll() is not None

    until(is_over, 300, "the end of the update")
    out, _ = child.communicate()
    assert child.returncode == 0, out
    assert shop.releases() == [("two", "running")]
    assert shop.state()["quarantine"] == []
    assert shop.strays() == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_engine_that_was_away_is_known_to_have_been_however_soon_it_is_back(
    private: PrivateEngine, how: signal.Signals
) -> None:
    engine = DockerEngine(EngineEndpoint(private.host))
    with engine.watch_liveness() as was_there:
        assert was_there()
        private.end(how)
        private.start()
        engine.version()
        until(lambda: not was_there(), what="the end of the first engine is noticed")


def test_updater_and_engine_killed_together_the_next_start_brings_the_service_back(
    shop: Shop, private: PrivateEngine
) -> None:
    shop.push("latest", lab.good("two"))
    child = shop.updater("--once")
    until(lambda: journal_says(shop, '"applying"'), 60, "the update is under way")
    child.kill()
    private.end(signal.SIGKILL)
    child.communicate()
    private.start()
    assert whole_release(shop) in ("one", "two")


def whole_release(shop: Shop) -> str:
    """Let the next start end what was in the middle; the one release that runs then, whole."""
    code, out = shop.run("--once")
    assert code in (0, 1), out
    [(release, status)] = shop.releases()
    assert status == "running", out
    assert shop.strays() == []
    return release


def pulls(shop: Shop) -> bool:
    return bool(shop.registry.counts().get("blob"))


def recreates(shop: Shop) -> bool:
    return len(shop.containers()) == 2


def is_at_the_gate(shop: Shop) -> bool:
    return runs(shop, "two")


def goes_back(shop: Shop) -> bool:
    return journal_says(shop, '"rolling_back"')


@pytest.mark.parametrize(
    "moment", [pulls, recreates, is_at_the_gate, goes_back], ids=lambda moment: moment.__name__
)
def test_a_host_that_loses_its_power_brings_the_service_back_at_the_next_start(
    shop: Shop, private: PrivateEngine, moment: Callable[[Shop], bool]
) -> None:
    shop.policy = {"health_stable": 5}  # both gates last long enough to be met
    if moment is recreates:  # a release that does not end when it is asked to keeps this moment long
        shop.push("latest", lab.build("one", "trap '' TERM; while :; do sleep 1; done"))
        shop.compose("pull")
        shop.up()
    shop.push("latest", lab.exits("two") if moment is goes_back else fresh("two"))
    shop.registry.clear_log()
    child = shop.updater("--once")
    until(lambda: moment(shop), 60, moment.__name__)
    composes = ["pkill", "-KILL", "-f", f"compose.*-p {shop.name}"]
    child.kill()
    subprocess.run(composes, check=False)
    private.lose_power()
    child.communicate()
    private.start()
    release = whole_release(shop)
    assert release == "one" if moment is goes_back else release in ("one", "two")
    assert shop.names() == [f"{shop.name}-web-1"]
    blamed = [entry["reason"] for entry in shop.state()["quarantine"]]
    assert blamed == [] or moment is goes_back, "no release is blamed for what the host did"


def test_without_an_engine_the_status_is_unknown_and_the_exit_status_says_so(
    shop: Shop, private: PrivateEngine
) -> None:
    private.end(signal.SIGTERM)
    code, out = shop.run("--once")
    assert code == 3, out
    assert shop.state()["status"] == "unknown"
    assert shop.state()["reason"] == "engine_error"
    private.start()
    shop.up()
    assert shop.run("--once")[0] == 0
    assert shop.state()["status"] == "up_to_date"
