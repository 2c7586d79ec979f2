"""An event as text for people, who read it on a phone: a title and a few lines. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from updater_core.host import times
from updater_core.models import Event, Reason
from updater_core.reference import short_digest

_NOTHING = "nothing"
_CALM = {"update", "recovered"}


class Message(NamedTuple):
    """`mood` is success, info, warning or failure."""

    title: str
    body: str
    mood: str


def message_of(event: Event) -> Message:
    """Return what has happened, from what to what, why, what was done about it, and what is to be done.

    The title alone says which service of which host, and whether to worry.
    """
    title, done = _words(event)
    why = f"{event.reason}: {event.detail}" if event.detail else event.reason
    lines = [*_images(event), f"Why: {why}", f"Done: {done}", f"To do: {event.remedy or _TO_DO[event.kind]}"]
    if event.approve_url:
        lines.append(f"Approve: {event.approve_url}")
    if event.duration_seconds is not None:
        lines.append(f"Took: {times.took(event.duration_seconds)}")
    lines.append(f"When: {times.utc(event.time, seconds=True)} on {event.host}")
    if event.is_test:
        title, lines = f"[TEST] {title}", ["This is a test: nothing has happened.", *lines]
    return Message(f"{title} on {event.host}", "\n".join(lines), _mood(event))


def _images(event: Event) -> list[str]:
    """Return from what to what, or what runs if that is all there is to say."""
    old, new = _image(event.from_reference, event.from_digest), _image(event.to_reference, event.to_digest)
    if old == new or not new:
        return [f"Runs: {old}"] if old else []
    return [f"From: {old}", f"To: {new}"] if old else [f"To: {new}"]


def _words(event: Event) -> tuple[str, str]:
    """Return the title, and what the updater did."""
    name, old, new = event.service, event.from_reference, event.to_reference
    if event.kind == "rollback" and event.reason == Reason.FROZEN:
        return f"{name}: update AND rollback failed", f"{old} failed, {new} could not be proven; left alone from now on"
    if event.kind == "update" and event.reason == Reason.OWNER_ROLLBACK:
        return f"{name}: back to {_tag(new)} as asked", f"{new} was started and has proven itself"
    titles = {
        "update": (f"{name}: updated to {_tag(new)}", f"{new} was started and has proven itself"),
        "rollback": (f"{name}: rolled back to {_tag(new)}", f"{old} was taken down; {new} runs again, seen well"),
        "available": (f"{name}: {_tag(new)} is available", "nothing was changed"),
        "failed": (f"{name}: {_failure(event)}", "nothing was changed"),
        "recovered": (f"{name}: well again", "nothing more is wrong"),
        "approval": (f"{name}: {_tag(new)} waits for your approval", "nothing was changed"),
        "order": (f"{name}: {event.reason}, asked for by {event.who or 'nobody known'}", "it counts from now on"),
    }
    return titles[event.kind]


def _failure(event: Event) -> str:
    return f"update to {_tag(event.to_reference)} failed" if event.to_reference else f"check failed ({event.reason})"


_TO_DO: Mapping[str, str] = {
    "update": _NOTHING,
    "rollback": "see what the release needs; the next one is tried by itself",
    "available": "update by hand, or wait until it may go",
    "failed": "see docker-updater --status; it is tried again by itself",
    "recovered": _NOTHING,
    "approval": "approve it, or skip it",
    "order": _NOTHING,
}


def _mood(event: Event) -> str:
    if event.kind in _CALM:
        return "success"
    if event.kind in ("available", "approval", "order"):
        return "info"
    return "failure" if event.kind == "failed" or event.reason == Reason.FROZEN else "warning"


def _image(reference: str, digest: str | None) -> str:
    """Return a reference with the beginning of its digest, enough to distinguish two."""
    name = reference.partition("@")[0]
    return f"{name} ({short_digest(digest)}…)" if name and digest else name


def _tag(reference: str) -> str:
    """Return what follows the last slash, without the digest.

    >>> _tag("ghcr.io:443/acme/api:v1.5.0@sha256:9f3c")
    'api:v1.5.0'
    """
    return reference.partition("@")[0].rpartition("/")[2]
