"""What people read in a chat: pinged by nobody's text, within what the chat takes, the important first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from updater_core.models import Event
from updater_core.notifiers import events
from updater_core.notifiers.chat_text import fitted, length, quiet, shortened
from updater_core.notifiers.events import Moment
from updater_core.notifiers.message import message_of, message_of_all
from updater_core.vocabulary.dated import ReleaseStep
from updater_core.vocabulary.evidence import Evidence

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
SAMPLES = {event.kind: replace(event, is_test=False) for event in events.samples(Moment("box", NOW))}
BREAK = "\u200b"


def named(kind: str, service: str, **changes: object) -> Event:
    return replace(SAMPLES[kind], service=service, **changes)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------- mentions


@pytest.mark.parametrize(
    "text",
    [
        "@everyone", "@here", "say @Everyone now", "mail@everyone", "@channel", "@all", "@room", "(@online)",
        "<!channel>", "<!here|here>", "<!subteam^S123>", "<@U123>", "<@!123456>", "<@&123456>", "<#C123>",
        "@alice", "@alice:matrix.example", "hello @bob_smith!", "a,@team",
        "[free money](https://evil.example)", "<https://evil.example|github.com>", "[x](tg://user?id=1)",
        "@\u202eeveryone",
    ],
)  # fmt: skip
def test_a_mention_or_a_masked_link_is_broken(text: str) -> None:
    shown = quiet(text)
    assert "@everyone" not in shown.lower()
    for opened in (
        "<!",
        "<@",
        "<#",
        "](",
        "<https:",
        "@here",
        "@channel",
        "@all",
        "@room",
        "@alice",
        "@bob",
        "@team",
    ):
        assert opened not in shown, shown
    assert BREAK in shown or "·" in shown
    assert shown.replace(BREAK, "") == text.replace("\u202e", "·"), "nothing else changes"


@pytest.mark.parametrize(
    "text",
    [
        "ghcr.io/acme/api:v1.5.0@sha256:" + "9f" * 32, "ops@example.com", "a < b", "x <b>y</b>", "1 @ 2",
        "f(x)[0]",
        "https://github.com/acme/api/releases/tag/v1.5.0",
    ],
)  # fmt: skip
def test_everything_else_stays_as_it_is(text: str) -> None:
    assert quiet(text) == text


@pytest.mark.parametrize("field", ["service", "detail", "remedy", "reason", "to_reference", "host"])
@pytest.mark.parametrize("kind", sorted(SAMPLES))
def test_no_field_of_an_event_pings(kind: str, field: str) -> None:
    event = replace(SAMPLES[kind], **{field: ("x @everyone <!channel> \x1b[31m\u202e")})  # type: ignore[arg-type]
    for message in (message_of(event), message_of_all([event, SAMPLES["update"]])):
        text = message.title + message.body
        assert "@everyone" not in text
        assert "<!channel>" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_what_a_container_wrote_pings_nobody_and_is_cut() -> None:
    seen = Evidence("web-1", "app:2", "exited", 1, log=("first", *["@here " + "x" * 10_000] * 20))
    body = message_of(replace(SAMPLES["rollback"], evidence=(seen,))).body
    assert "Seen: web-1 (app:2): exited with 1" in body
    assert "@here" not in body
    assert body.count("\n| ") == 8
    assert max(map(len, body.splitlines())) <= 700


# ---------------------------------------------------------------------------------------------------- release


def test_a_release_is_reported_with_versions_size_age_and_notes() -> None:
    step = ReleaseStep(
        "1.4.2", "1.5.0", "minor", True, NOW - timedelta(days=3), "https://github.com/acme/api/releases"
    )
    latest = "ghcr.io/acme/api:latest"
    event = replace(SAMPLES["update"], from_reference=latest, to_reference=latest, release=step)
    message = message_of(event)
    assert message.title == "example: updated to api:latest (1.5.0) on box"
    assert "Release: 1.4.2 -> 1.5.0 (minor, same tag, built 3 days ago)" in message.body
    assert "Release notes: https://github.com/acme/api/releases\n" in message.body


def test_a_clock_that_runs_behind_gives_no_age() -> None:
    event = replace(SAMPLES["update"], release=ReleaseStep(size="patch", built_at=NOW + timedelta(days=1)))
    assert "built" not in message_of(event).body


def test_a_rollback_names_the_release_that_was_tried() -> None:
    assert "Tried: v1.4.2 -> v1.5.0 (minor)" in message_of(SAMPLES["rollback"]).body


# ----------------------------------------------------------------------------------------------- many, limits


def test_several_events_are_one_message_the_worst_first() -> None:
    message = message_of_all(
        [named("update", "a"), named("recovered", "b"), named("rollback", "c"), named("failed", "d")]
    )
    assert message.title == "1 failed, 1 rolled back, 1 updated, 1 well again on box"
    assert message.mood == "failure"
    names = [line[0] for line in message.body.splitlines() if line[1:2] == ":"]
    assert names == ["d", "c", "a", "b"]
    assert message.body.count("To do:") == 2, "of what went well there is nothing to do"


def test_one_event_is_reported_as_itself() -> None:
    assert message_of_all([SAMPLES["update"]]) == message_of(SAMPLES["update"])


@pytest.mark.parametrize("most", [250, 2000, 4096])
def test_a_message_keeps_to_what_a_chat_takes_and_drops_the_least_important(most: int) -> None:
    seen = Evidence("web-1", "app:2", "exited", 1, log=("😀" * 10_000,) * 50)
    event = replace(SAMPLES["rollback"], detail="d" * 10_000, remedy="look at it", evidence=(seen,) * 20)
    message = message_of(event, most)
    assert length(message.title) + length(message.body) <= most
    if most >= 2000:
        assert "To do: look at it" in message.body
    many = message_of_all(
        [named("update", f"calm-{number}") for number in range(200)] + [named("rollback", "bad")], most
    )
    assert length(many.title) + length(many.body) <= most
    assert many.body.startswith("bad: rolled back")


def test_a_cut_never_halves_a_character() -> None:
    assert fitted(["😀😀😀"], 4) == "😀…"
    assert shortened("a😀😀", 3) == "a…"
    assert fitted([], 10) == ""
    assert fitted(["x"], 0) == ""
