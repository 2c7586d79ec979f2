"""How long a busy host asks to be left alone, in every form that hosts write it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from updater_core.net.pause_hint import asked_for

NOW = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
IN_A_MINUTE = int(NOW.timestamp()) + 60


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("0.25", 0.25),
        (" 12 ", 12),
        ("250ms", 0.25),
        ("500 ms", 0.5),
        ("900us", 0.0009),
        ("331.163\u00b5s", 0.000331163),
        ("331.163\u03bcs", 0.000331163),
        ("331.163\u00c2\u00b5s", 0.000331163),
        ("12ns", 0.000000012),
        ("1m2.5s", 62.5),
        ("1h0m0s", 3600),
        ("1m", 60),
        ("30 seconds", 30),
        ("2 minutes", 120),
        ("1 min 5 sec", 65),
        ("5, 7", 7),
        (str(IN_A_MINUTE), 60),
        (f"{IN_A_MINUTE}000", 60),
        ("Sun, 01 Jun 2025 12:01:30 GMT", 90),
        ("Sunday, 01-Jun-25 12:01:30 GMT", 90),
        ("Sun Jun  1 12:01:30 2025", 90),
        ("2025-06-01T12:00:05Z", 5),
        ("Sun, 01 Jun 2025 11:59:00 GMT", -60),
    ],
)
def test_the_header_is_read_in_every_form(text: str, seconds: float) -> None:
    for name in ("retry-after", "x-retry-after"):
        found = asked_for({name: text}, b"", NOW)
        assert found is not None
        assert found.total_seconds() == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    "text", ["", "soon", "-", "1x", "5 fortnights", "1" * 70, "1 2", "1m 2", "\u00b5s", "nan"]
)
def test_what_says_nothing_is_none(text: str) -> None:
    assert asked_for({"retry-after": text}, b"", NOW) is None


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ("toomanyrequests: retry-after: 1m0.5s, allowed: 44000/minute", 60.5),
        ("toomanyrequests: retry-after: 331.163\u00b5s, allowed: 44000/minute", 0.000331163),
        ('{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 3s"}]}', 3),
        ('{"message": "slow down", "retry_after": 2.5}', 2.5),
        ("Too many requests, retry after 20 seconds.", 20),
        ('{"retryAfterMs": 1500}', 1.5),
        ('{"retryAfterMs": 1500.5}', 1.5005),
        ('{"retry_after_ms": 250}', 0.25),
        ('{"retryAfterSeconds": 4}', 4),
        ("Rate exceeded. Please try again in 5 seconds.", 5),
    ],
)
def test_the_body_counts_if_there_is_no_header(body: str, seconds: float) -> None:
    found = asked_for({}, body.encode(), NOW)
    assert found is not None
    assert found.total_seconds() == pytest.approx(seconds, abs=1e-6)
    first = asked_for({"retry-after": "9"}, body.encode(), NOW)
    assert first is not None
    assert first.total_seconds() == 9
    assert asked_for({}, b"retry after a while", NOW) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit": '"pulls";r=0;t=5'}, 5),
        ({"ratelimit": "limit=100, remaining=0, reset=50"}, 50),
        ({"ratelimit-limit": "100", "ratelimit-remaining": "0", "ratelimit-reset": "8"}, 8),
        ({"x-ratelimit-reset": str(IN_A_MINUTE)}, 60),
        ({"x-ratelimit-reset-after": "1.5", "x-ratelimit-reset": str(IN_A_MINUTE)}, 1.5),
        ({"x-rate-limit-reset": "2025-06-01T12:00:09Z"}, 9),
        ({"ratelimit-resettime": "Sun, 01 Jun 2025 12:00:09 GMT"}, 9),
        ({"retry-after-ms": "250"}, 0.25),
        ({"x-ms-retry-after-ms": "1500", "ratelimit-reset": "8"}, 1.5),
        ({"retry-after": "2", "ratelimit-reset": "8"}, 2),
        ({"retry-after": "soon", "ratelimit-reset": "8"}, 8),
    ],
)
def test_when_a_limit_is_fresh_again_counts_last(headers: dict[str, str], seconds: float) -> None:
    found = asked_for(headers, b"", NOW)
    assert found is not None
    assert found.total_seconds() == pytest.approx(seconds, abs=1e-6)
    assert asked_for({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600"}, b"", NOW) is None
