"""One daemon and two projects on the real engine: while the new release of one waits for a healthcheck that
comes once an hour, the other is checked, updated and rolled back as ever. One test, for its parts need the
same slow gate.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import lab
from tests.support.fake_registry import Build
from tests.support.lab import Shop

pytestmark = pytest.mark.engine
HOUR = 3600 * lab.SECOND


@pytest.fixture
def other(shop: Shop) -> Iterator[Shop]:
    folder = shop.folder / "other"
    folder.mkdir()
    made = Shop(folder, shop.registry, name=f"{shop.name}-other")
    yield made
    made.down()


def once_an_hour(name: str) -> Build:
    """A good release; nobody knows before the first probe, an hour after the start."""
    made = lab.healthy(name)
    check = {**made.config["Healthcheck"], "Interval": HOUR}
    return replace(made, config={**made.config, "Healthcheck": check})


def entry(shop: Shop, tag: str) -> dict[str, Any]:
    return {**shop.config()["services"][0], "image": f"{shop.repository}:{tag}", "health_timeout": 7200}


def lines(shop: Shop, event: str, **fields: object) -> list[dict[str, Any]]:
    path = shop.folder / "updater.log"
    text = path.read_text() if path.exists() else ""
    found = [json.loads(line) for line in text.split("\n")[:-1]]
    return [one for one in found if one["event"] == event and fields.items() <= one.items()]


def await_line(shop: Shop, event: str, count: int = 1, **fields: object) -> dict[str, Any]:
    found = lab.until(
        lambda: lines(shop, event, **fields)[count - 1 :], what=f"line {count} of {event} {fields}"
    )
    return dict(found[0])


def open_journals(shop: Shop) -> list[Path]:
    return [*(shop.folder / "state" / "journal").glob("*.json")]


def test_a_gate_of_an_hour_keeps_no_other_project_waiting(shop: Shop, other: Shop) -> None:
    shop.policy = other.policy = {"health_stable": 1}
    for each, tag in ((shop, "slow"), (other, "quick")):
        shop.push(tag, lab.good("one"))
        each.write(tag)
        each.up()
    services = [entry(shop, "slow"), entry(other, "quick")]
    shop.settings = {"log_format": "json", "check_interval": 2, "services": services}
    shop.push("slow", once_an_hour("two"))
    shop.push("quick", lab.good("two"))
    daemon = shop.updater()
    try:
        await_line(shop, "update_step", step="gate", service=shop.name)
        await_line(shop, "updated", service=other.name)
        assert other.releases() == [("two", "running")]

        shop.push("quick", lab.good("three"))
        await_line(shop, "updated", 2, service=other.name)
        assert other.releases() == [("three", "running")], "a later cycle has found it"
        ended = lab.until(
            lambda: [one for one in lines(shop, "cycle_ended") if shop.name in one["message"]], what="said"
        )
        assert f"under way: {shop.name}" in ended[0]["message"]

        status, said = shop.run("--rollback", other.name)
        assert status == 0, said
        await_line(shop, "updated", 3, service=other.name)
        assert other.releases() == [("two", "running")]
        status, said = shop.run("--rollback", shop.name)
        assert status == 0, said

        changed = [{**service, "health_stable": 2} for service in services]
        (shop.folder / "config.json").write_text(json.dumps({**shop.config(), "services": changed}))
        daemon.send_signal(signal.SIGHUP)
        await_line(shop, "config_loaded")
        assert len(lines(shop, "update_started", service=shop.name)) == 1
        assert shop.releases() == [("two", "running")], "its own order waits, and so does its gate"
        assert len(open_journals(shop)) == 1

        (shop.folder / "state" / "requests").joinpath(f"rollback-{shop.name}.json").unlink()
        daemon.terminate()
        assert daemon.wait(timeout=300) == 0
    finally:
        if daemon.poll() is None:
            daemon.kill()
        daemon.communicate()
    assert len(open_journals(shop)) == 1, "left for the next start"
    assert shop.releases() == [("two", "running")]
    assert not lines(shop, "rolled_back")

    shop.settings["pause_updates"] = True
    assert shop.run("--once")[0] == 1
    (ended_one,) = lines(shop, "rolled_back")
    assert (ended_one["service"], ended_one["reason"]) == (shop.name, "interrupted")
    assert shop.releases() == [("one", "running")]
    assert shop.state()["quarantine"] == []
    assert open_journals(shop) == []
