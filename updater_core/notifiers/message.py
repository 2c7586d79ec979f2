"""Events as text for people, who read it on a phone: a title and a few lines, the important ones first. Pure.

What is in an event may come from a container or an image: it pings nobody (`chat_text.quiet`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from updater_core.host import times
from updater_core.models import Event, Reason
from updater_core.notifiers.chat_text import fitted, length, quiet, shortened
from updater_core.reference import short_digest
from updater_core.vocabulary.evidence import Evidence

_NOTHING = "nothing"
_CALM = {"update", "recovered"}
_FINISHED = {*_CALM, "order"}
_LOG_LINES = 8
_LONGEST_LOG_LINE = 200
_LONGEST_TITLE = 200
# Counted off before, for a message that is cut by the chat loses its end without a word.
_SPARE = 100  # characters that the library or the chat may add around a text


class Message(NamedTuple):
    """`mood` is success, info, warning or failure."""

    title: str
    body: str
    mood: str


def message_of(event: Event, most: int | None = None) -> Message:
    """Return what has happened, from what to what, why, what was done about it, and what is to be done.

    The title alone says which service of which host, and whether to worry. Title and body together keep to
    `most` characters; what a failed container wrote comes last, and goes first.
    """
    title = _line(f"{'[TEST] ' if event.is_test else ''}{_words(event)[0]} on {event.host}", _LONGEST_TITLE)
    return Message(title, _fitted(list(_lines(event)), title, most), _mood(event))


def message_of_all(events: Sequence[Event], most: int | None = None) -> Message:
    """Return the message of several events: the worst first with what to do, one line for each success."""
    if len(events) == 1:
        return message_of(events[0], most)
    # A phone shows the beginning: what needs a person has to be there.
    ordered = sorted(events, key=lambda event: _MOODS.index(_mood(event)))
    counts = Counter(_SUMMARY[event.kind] for event in ordered)
    summary = ", ".join(f"{count} {word}" for word, count in counts.items())
    test = "[TEST] " if all(event.is_test for event in ordered) else ""
    title = _line(f"{test}{summary} on {ordered[0].host}", _LONGEST_TITLE)
    lines = [line for event in ordered for line in _brief(event)]
    return Message(title, _fitted(lines, title, most), _mood(ordered[0]))


def _fitted(lines: Sequence[str], title: str, most: int | None) -> str:
    return "\n".join(lines) if most is None else fitted(lines, most - length(title) - _SPARE)


def _lines(event: Event) -> Iterator[str]:
    """Return each of them cut, so that a long one keeps none of the others away."""
    if event.is_test:
        yield "This is a test: nothing has happened."
    for line in _images(event):
        yield _line(line)
    yield from _release(event)
    yield _line(f"Why: {_why(event)}")
    yield _line(f"Done: {_words(event)[1]}")
    yield _line(f"To do: {event.remedy or _TO_DO[event.kind]}")
    if event.approve_url:
        yield f"Approve: {event.approve_url}"
    if event.release.notes_url:
        yield f"Release notes: {event.release.notes_url}"
    if event.duration_seconds is not None:
        yield f"Took: {times.took(event.duration_seconds)}"
    yield _line(f"When: {times.utc(event.time, seconds=True)} on {event.host}")
    for seen in event.evidence:
        yield from _evidence(seen)


def _brief(event: Event) -> Iterator[str]:
    """Return an event among others: one line if nothing is to be done."""
    title, _ = _words(event)
    about = ", ".join(_about(event))
    yield _line(f"{title} ({about})" if about else title)
    if _mood(event) in ("warning", "failure"):
        yield _line(f"  Why: {_why(event)}")
    if event.kind not in _FINISHED:
        yield _line(f"  To do: {event.remedy or _TO_DO[event.kind]}")
    if event.approve_url:
        yield f"  Approve: {event.approve_url}"
    if event.release.notes_url:
        yield f"  {event.release.notes_url}"
    for seen in event.evidence:
        yield from (f"  {line}" for line in _evidence(seen))


def _line(text: str, most: int = 600) -> str:
    return quiet(shortened(text, most))


def _why(event: Event) -> str:
    return f"{event.reason}: {event.detail}" if event.detail else event.reason


def _images(event: Event) -> list[str]:
    """Return from what to what, or what runs if that is all there is to say."""
    old, new = _image(event.from_reference, event.from_digest), _image(event.to_reference, event.to_digest)
    if old == new or not new:
        return [f"Runs: {old}"] if old else []
    return [f"From: {old}", f"To: {new}"] if old else [f"To: {new}"]


def _release(event: Event) -> Iterator[str]:
    """Yield the versions, the size of the step and the age of the new release, as far as they are known.

    Of a rollback those of the update that failed.
    """
    release = event.release
    about = ", ".join(_about(event))
    tried = "Tried" if event.kind == "rollback" else "Release"
    if release.from_version and release.to_version and release.from_version != release.to_version:
        yield _line(f"{tried}: {release.from_version} -> {release.to_version} ({about})")
    elif release.to_version or about:
        yield _line(f"{tried}: {' '.join(filter(None, (release.to_version, f'({about})' if about else '')))}")


def _about(event: Event) -> Iterator[str]:
    release = event.release
    if release.size:
        yield _SIZES.get(release.size, release.size)
    if release.is_same_tag and release.size != "rebuild":
        yield "same tag"
    if release.built_at is not None and release.built_at <= event.time:
        yield f"built {times.ago(release.built_at, event.time)}"


_SIZES: Mapping[str, str] = {
    "rebuild": "same tag, built anew",
    "tag": "another tag",
    "prerelease": "prerelease",
    "downgrade": "an older version",
}


def _evidence(seen: Evidence) -> Iterator[str]:
    """Return how a failed container stood, and the end of what it wrote."""
    yield _line(f"Seen: {seen.summary}")
    # Last in the message, because it is what may be cut off.
    for line in seen.log[-_LOG_LINES:]:
        yield f"| {_line(line, _LONGEST_LOG_LINE)}"


def _words(event: Event) -> tuple[str, str]:
    """Return the title, and what the updater did."""
    name, old, new = event.service, event.from_reference, event.to_reference
    if event.kind == "rollback" and event.reason == Reason.FROZEN:
        return (
            f"{name}: update AND rollback failed",
            f"{old} failed, {new} could not be proven; left alone from now on",
        )
    if event.kind == "update" and event.reason == Reason.OWNER_ROLLBACK:
        return f"{name}: back to {_tag(new)} as asked", f"{new} was started and has proven itself"
    how = "runs again, seen well" if event.was_well else "is back, as unwell as it was before"
    titles = {
        "update": (f"{name}: updated to {_named(event)}", f"{new} was started and has proven itself"),
        "rollback": (
            f"{name}: rolled back to {_tag(new)}",
            f"{old} was taken down; {new} {how}",
        ),
        "available": (f"{name}: {_named(event)} is available", "nothing was changed"),
        "failed": (f"{name}: {_failure(event)}", "nothing was changed"),
        "recovered": (f"{name}: well again", "nothing more is wrong"),
        "approval": (f"{name}: {_named(event)} waits for your approval", "nothing was changed"),
        "order": (
            f"{name}: {event.reason}, asked for by {event.who or 'nobody known'}",
            "it counts from now on",
        ),
    }
    return titles[event.kind]


def _named(event: Event) -> str:
    """Return the new image by its tag, and by its version if the tag does not say that."""
    tag, version = _tag(event.to_reference), event.release.to_version
    return f"{tag} ({version})" if version and version not in tag else tag


def _failure(event: Event) -> str:
    return (
        f"update to {_tag(event.to_reference)} failed"
        if event.to_reference
        else f"check failed ({event.reason})"
    )


_TO_DO: Mapping[str, str] = {
    "update": _NOTHING,
    "rollback": "see what the release needs; the next one is tried by itself",
    "available": "update by hand, or wait until it may go",
    "failed": "see docker-updater --status; it is tried again by itself",
    "recovered": _NOTHING,
    "approval": "approve it, or skip it",
    "order": _NOTHING,
}
_SUMMARY: Mapping[str, str] = {
    "update": "updated",
    "rollback": "rolled back",
    "available": "available",
    "failed": "failed",
    "recovered": "well again",
    "approval": "waiting for approval",
    "order": "asked for",
}
_MOODS = ("failure", "warning", "info", "success")  # the worst first


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
