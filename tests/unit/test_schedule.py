"""Maintenance windows and pause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from updater_core.models import Hours, Window
from updater_core.policy.windows import is_open, merge_hours, next_close, next_open, parse_windows


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("", ()),
        ("02:00-04:00", (Window(120, 240),)),
        ("02:00-04:00,14:00-15:30", (Window(120, 240), Window(840, 930))),
        (" 2:00 - 4:00 , 14:00-15:30 ", (Window(120, 240), Window(840, 930))),
        ("23:00-02:30", (Window(1380, 150),)),
        ("00:00-24:00", (Window(0, 1440),)),
        ("22:00-00:00", (Window(1320, 0),)),
        ("sat 23:00-02:30", (Window(1380, 150, frozenset({5})),)),
        ("Mon-Fri 01:00-03:00", (Window(60, 180, frozenset(range(5))),)),
        ("sat+sun 01:00-03:00", (Window(60, 180, frozenset({5, 6})),)),
        ("fri-mon+wed 01:00-03:00", (Window(60, 180, frozenset({4, 5, 6, 0, 2})),)),
        ("sat-sat 01:00-03:00", (Window(60, 180, frozenset({5})),)),
        ("thursday 01:00-03:00", (Window(60, 180, frozenset({3})),)),
    ],
)
def test_windows_are_read(text: str, windows: tuple[Window, ...]) -> None:
    assert parse_windows(text) == windows


@pytest.mark.parametrize(
    "text",
    [
        "02:00",
        "2-4",
        "25:00-26:00",
        "24:00-02:00",
        "23:00-24:01",
        "02:60-03:00",
        "02:00-02:00",
        "00:00-00:00",
        "02:00-04:00,",
        "sun,mon 02:00-03:00",
        "fun 02:00-03:00",
        "mo 02:00-03:00",
        "mon-fri-sun 02:00-03:00",
        "sat+ 02:00-03:00",
        "always",
    ],
)
def test_what_is_no_window_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="'.*' .*write"):
        parse_windows(text)


def opened(windows: str, zone: str, start: str, end: str) -> list[str]:
    """The spans, minute by minute, in which a window is open, as UTC."""
    hours, now, spans = Hours(parse_windows(windows), zone), utc(start), list[str]()
    was_open = False
    while now < utc(end):
        if is_open(hours, now) != was_open:
            was_open = not was_open
            spans.append(f"{'+' if was_open else '-'}{now:%d %H:%M}")
        now += timedelta(minutes=1)
    return spans


@pytest.mark.parametrize(
    ("windows", "start", "end", "expected"),
    [
        (
            "sat 23:00-02:30",
            "2026-10-24 12:00",
            "2026-10-25 12:00",
            ["+24 21:00", "-25 00:30", "+25 01:00", "-25 01:30"],
        ),
        ("sun 01:30-03:30", "2026-03-28 12:00", "2026-03-29 12:00", ["+29 00:30", "-29 01:30"]),
        ("sun 02:00-03:00", "2026-03-28 12:00", "2026-03-29 12:00", []),
        ("sat 23:00-02:30", "2026-10-23 12:00", "2026-10-24 12:00", []),
    ],
)
def test_daylight_saving_in_berlin_follows_the_clock_face(
    windows: str, start: str, end: str, expected: list[str]
) -> None:
    assert opened(windows, "Europe/Berlin", start, end) == expected


def test_a_window_is_half_open() -> None:
    assert opened("02:00-04:00", "UTC", "2026-01-01", "2026-01-02") == ["+01 02:00", "-01 04:00"]


def test_no_windows_means_always_and_pause_means_never() -> None:
    now = utc("2026-01-01 12:00")
    assert is_open(Hours(), now)
    assert not is_open(Hours(paused=True), now)
    assert (next_open(Hours(), now), next_close(Hours(), now)) == (now, None)
    assert (next_open(Hours(paused=True), now), next_close(Hours(paused=True), now)) == (None, now)


def test_a_window_of_the_whole_day_never_closes() -> None:
    assert next_close(Hours(parse_windows("00:00-24:00"), "Europe/Berlin"), utc("2026-03-28 12:00")) is None


def test_an_open_window_is_open_now_and_tells_its_end() -> None:
    hours = Hours(parse_windows("sat 23:00-02:30"), "UTC")
    now = utc("2026-01-04 01:00:30")  # a Sunday, in the night that began on Saturday
    assert next_open(hours, now) == now
    assert next_close(hours, now) == utc("2026-01-04 02:30")


def test_a_weekly_window_inside_the_gap_opens_a_week_later() -> None:
    hours = Hours(parse_windows("sun 02:00-03:00"), "Europe/Berlin")
    assert next_open(hours, utc("2026-03-28 12:00")) == utc("2026-04-05 00:00")


def test_a_window_whose_start_is_skipped_opens_when_the_clock_jumps_into_it() -> None:
    hours = Hours(parse_windows("02:30-04:00"), "Europe/Berlin")
    assert next_open(hours, utc("2026-03-29 00:30")) == utc("2026-03-29 01:00")


def test_an_empty_zone_is_the_hosts_own() -> None:
    now = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
    local = now.astimezone()
    minute = local.hour * 60 + local.minute
    window = Window(minute, minute + 1)
    assert is_open(Hours((window,)), now)
    assert next_open(Hours((window,)), now + timedelta(minutes=1)) == now + timedelta(days=1)


def test_a_services_hours_go_over_the_global_ones() -> None:
    own, shared = Hours((Window(60, 120),), "Asia/Tokyo"), Hours((Window(0, 60),), "UTC", paused=True)
    assert merge_hours(own, shared) == Hours((Window(60, 120),), "Asia/Tokyo", paused=True)
    assert merge_hours(Hours(), shared) == shared
    assert merge_hours(Hours(zone="Asia/Tokyo"), shared).zone == "Asia/Tokyo"
