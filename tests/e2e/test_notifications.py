"""What operators are notified of, from real updates on the real engine.

Each kind when it happens, once, as the schema says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support import lab
from tests.support.fake_registry import Basic, Build
from tests.support.lab import Shop
from tests.support.listener import Listener, listening

pytestmark = pytest.mark.engine

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "webhook.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def begin(shop: Shop, **settings: Any) -> None:
    shop.push("latest", lab.good("one"))
    shop.write()
    shop.up()
    shop.settings |= settings


def events_of(shop: Shop, listener: Listener, cycles: int = 1) -> list[tuple[str, str]]:
    """What some cycles reported, each message checked against the schema."""
    listener.requests.clear()
    for _ in range(cycles):
        shop.cycle()
    bodies = [json.loads(request.body) for request in listener.requests]
    for body in bodies:
        VALIDATOR.validate(body)
        assert body["service"] == shop.name
    return [(body["event"], body["reason"]) for body in bodies]


def test_each_kind_of_event_is_reported_once_when_it_happens(shop: Shop) -> None:
    with listening() as listener:
        begin(shop, webhook_url=listener.url, notify_events="available,failed,recovered")
        assert events_of(shop, listener, 2) == []

        shop.policy["pause_updates"] = True
        two = shop.push("latest", lab.good("two"))
        assert events_of(shop, listener, 2) == [("available", "paused")]
        assert json.loads(listener.requests[0].body)["to"]["digest"] == two.digest
        del shop.policy["pause_updates"]
        assert events_of(shop, listener, 2) == [("update", "update")]

        shop.registry.auth = Basic("jane", "a password that nobody gave us")
        assert events_of(shop, listener, 2) == [("failed", "auth_error")]
        shop.registry.auth = None
        assert events_of(shop, listener, 2) == [("recovered", "auth_error")]

        shop.push("latest", lab.wrong_platform("three"))
        assert events_of(shop, listener, 2) == [("failed", "platform_missing")]
        shop.push("latest", lab.exits("four"))
        assert events_of(shop, listener, 2) == [("rollback", "restarting")]
        assert shop.releases() == [("two", "running")]
        shop.push("latest", lab.good("five"))
        assert events_of(shop, listener, 2) == [("update", "update"), ("recovered", "restarting")]


def _release(name: str, version: str) -> Build:
    built = lab.good(name)
    labels = {**built.config["Labels"], "org.opencontainers.image.version": version}
    return replace(built, config={**built.config, "Labels": labels})


def test_the_version_and_age_of_an_image_that_waits_are_asked_for_once(shop: Shop) -> None:
    """In the message, the table, the plan and the page's twin, before anything is pulled."""
    with listening() as listener:
        shop.push("latest", _release("one", "1.2.3"))
        shop.write()
        shop.up()
        shop.policy["mode"] = "notify"
        shop.settings["webhook_url"] = listener.url
        shop.cycle()
        two = shop.push("latest", _release("two", "1.3.0"))
        shop.registry.clear_log()
        shop.cycle()
        counts = shop.registry.counts()
        assert (counts["manifest_get"], counts["blob"]) == (1, 1)
        release = json.loads(listener.requests[-1].body)["release"]
        assert (release["from_version"], release["to_version"], release["size"]) == (
            "1.2.3",
            "1.3.0",
            "minor",
        )
        assert release["built"] == "2024-05-01T10:00:00Z"
        shop.registry.clear_log()
        shop.cycle()
        assert "blob" not in shop.registry.counts(), "known from now on, to another process too"
    assert (shop.state()["waiting_digest"], shop.state()["waiting_facts"]["version"]) == (two.digest, "1.3.0")
    words = re.compile(r"release: +1\.2\.3 -> 1\.3\.0 \(minor\), built \d+ days ago")
    assert words.search(shop.run("--status")[1])
    assert words.search(shop.run("--plan")[1])
    shop.policy["mode"] = "auto"
    (planned,) = json.loads(shop.run("--plan", "--json")[1])["services"]
    assert (planned["action"], planned["release"]["to_version"]) == ("update", "1.3.0")


def lines(shop: Shop) -> list[dict[str, Any]]:
    """What one `--once` logged."""
    log = shop.folder / "updater.log"
    before = len(log.read_text().splitlines()) if log.exists() else 0
    status, said = shop.run("--once")
    assert status in (0, 1), said
    return [json.loads(line) for line in log.read_text().splitlines()[before:]]


def test_an_event_is_one_line_with_service_from_to_and_duration(shop: Shop) -> None:
    begin(shop, log_format="json")
    lines(shop)
    (only,) = lines(shop)
    assert only["event"] == "cycle_ended", "a cycle in which nothing happens is one line"
    assert only["duration_seconds"] >= 0

    two = shop.push("latest", lab.good("two"))
    (done,) = [line for line in lines(shop) if line["event"] == "updated"]
    assert (done["service"], done["from"]) == (shop.name, f"{shop.repository}:latest")
    assert two.digest in done["to"]
    assert done["duration_seconds"] > 0

    shop.push("latest", lab.exits("three"))
    said = lines(shop)
    (back,) = [line for line in said if line["event"] == "rolled_back"]
    assert (back["service"], back["reason"], back["level"]) == (shop.name, "restarting", "WARNING")
    assert {"from", "to", "duration_seconds"} <= set(back)
    for event in ("available", "update_started"):
        (line,) = [line for line in said if line["event"] == event]
        assert {"service", "from", "to"} <= set(line)


def _paused(shop: Shop) -> None:
    shop.policy["pause_updates"] = True
    shop.push("latest", lab.good("two"))


def _refused(shop: Shop) -> None:
    shop.registry.auth = Basic("jane", "a password that nobody gave us")


def _drifted(shop: Shop) -> None:
    text = shop.compose_file.read_text()
    shop.compose_file.write_text(text.replace("  web:\n", "  web:\n    environment: { COLOUR: blue }\n"))
    shop.push("latest", lab.good("two"))


@pytest.mark.parametrize(
    ("begins", "reason"),
    [
        (lambda shop: shop.push("latest", lab.good("one")), "same_digest"),
        (_paused, "paused"),
        (_refused, "auth_error"),
        (_drifted, "drift"),
        (lambda shop: shop.push("latest", lab.exits("two")), "restarting"),
        (lambda shop: shop.push("latest", lab.wrong_platform("two")), "platform_missing"),
        (lambda shop: shop.compose("stop", "--timeout", "0"), "not_running"),
    ],
    ids=["all is well", "an image waits", "a login is refused", "held for its owner",
         "a release in quarantine",
         "an image that cannot run", "stopped by its operator"],
)  # fmt: skip
def test_whatever_stands_still_a_cycle_is_one_line(
    shop: Shop, begins: Callable[[Shop], object], reason: str
) -> None:
    """What has begun is said once; from then on each cycle says that it ended, and nothing more."""
    begin(shop, log_format="json")
    lines(shop)
    begins(shop)
    said = {line["event"] for line in lines(shop)}
    assert said - {"cycle_ended"} or reason == "same_digest", "the event itself is said"
    assert shop.state()["reason"] == reason
    lines(shop)
    for _ in range(3):
        found = lines(shop)
        assert [(line["event"], line["level"]) for line in found] == [("cycle_ended", "INFO")], found
    assert shop.state()["reason"] == reason
