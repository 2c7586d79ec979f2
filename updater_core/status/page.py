"""The status page as text: one view of how everything stands, as HTML for people and as JSON for machines. Pure.

The page works without scripts and loads nothing. Tables have captions and scopes; their roles are written out, because
browsers forget them where a style sheet shows rows as cards (https://www.w3.org/TR/html-aria/).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from updater_core.models import StepTaken, retry_command
from updater_core.state.codec import encode
from updater_core.status.style import STYLE
from updater_core.status.view import ChangeView, Level, RegistryView, ServiceView, View, WindowView

REFRESH_SECONDS = 60
_NAME = "Docker Auto-Updater"
_DIGEST_SHOWN = 19  # sha256: and twelve characters
_MARKS = {
    Level.OK: "✓",
    Level.WAITING: "…",
    Level.LOOK: "!",
    Level.UNKNOWN: "?",
    Level.TROUBLE: "✕",
    Level.OFF: "–",
}
_NEEDS_A_PERSON = (Level.TROUBLE, Level.UNKNOWN, Level.LOOK)
_OUTCOMES = {
    "committed": (Level.OK, "updated"),
    "not_started": (Level.TROUBLE, "not started"),
    "rolled_back": (Level.LOOK, "rolled back"),
    "rollback_failed": (Level.TROUBLE, "rollback failed"),
    "taken_over": (Level.WAITING, "taken over by its owner"),
}
_CLASSES = {
    "Why, and what to do": "words",
    "Why": "words",
    **dict.fromkeys(("Current", "Target", "From", "To"), "image"),
}
_UNITS = ((86400, "day"), (3600, "h"), (60, "min"))


def status_json(view: View) -> str:
    """The view for machines, one object; times in ISO 8601, UTC."""
    return json.dumps(encode(view), indent=2) + "\n"


def status_html(view: View, *, is_refreshing: bool = False) -> str:
    """The view for people, one whole page; with `is_refreshing` the browser fetches it anew each minute."""
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">\n' if is_refreshing else ""
    title = f"{view.verdict.headline} – {view.host} – {_NAME}"
    parts = (_verdict(view), _facts(view), _to_do(view), _waits(view), _services(view), _changes(view), _hosts(view))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"{refresh}<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{_header(view, is_refreshing)}<main>\n{''.join(parts)}</main>\n{_footer(view)}</body>\n</html>\n"
    )


# ----------------------------------------------------------------------------------------------------- at a glance


def _header(view: View, is_refreshing: bool) -> str:
    other = '<a href="/">Stop reloading</a>' if is_refreshing else '<a href="/?refresh">Reload each minute</a>'
    return (
        '<header>\n<a class="skip" href="#services">Skip to the services</a>\n'
        f"<h1>{_NAME} on {escape(view.host)}</h1>\n<p>As of {_moment(view.at, seconds=True)}</p>\n"
        f'<nav aria-label="Page"><a href="/{"?refresh" if is_refreshing else ""}">Reload</a>{other}</nav>\n</header>\n'
    )


def _verdict(view: View) -> str:
    verdict = view.verdict
    mark = f'<span aria-hidden="true">{_MARKS[verdict.level]}</span> '
    return (
        f'<section class="verdict {verdict.level}" aria-labelledby="verdict">\n'
        f'<h2 id="verdict">{mark}{escape(verdict.headline)}</h2>\n<p>{escape(verdict.text)}</p>\n</section>\n'
    )


def _facts(view: View) -> str:
    pulse, now = view.pulse, view.at
    rows = [("Last cycle", _last_cycle(view)), ("Next cycle", _next_cycle(view)), ("Updates allowed", _common(view))]
    if view.at_hand:
        hand = view.at_hand
        text = f"<code>{escape(hand.step)}</code> for {_span((now - hand.since).total_seconds())}"
        rows.insert(0, ("Being updated", f"<strong>{escape(hand.service)}</strong>: {text}{_small(hand.text)}"))
    rows.append(("Last change", _last_change(view)))
    if pulse.pending_messages:
        rows.append(("Messages", f"{pulse.pending_messages} wait for their receiver"))
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>\n" for name, value in rows)
    return f'<section aria-label="At a glance">\n<dl class="facts">\n{items}</dl>\n</section>\n'


def _last_cycle(view: View) -> str:
    ended, seconds = view.pulse.cycle_ended, view.pulse.cycle_seconds
    if ended is None:
        return f"none since the start{_small(f'started {_ago(view.pulse.started_at, view.at)}')}"
    took = f", took {_span(seconds)}" if seconds is not None else ""
    return f"{_moment(ended)}{_small(_ago(ended, view.at) + took)}"


def _next_cycle(view: View) -> str:
    pulse = view.pulse
    if pulse.cycle_begun is not None:
        return f"under way{_small(f'begun {_ago(pulse.cycle_begun, view.at)}')}"
    every = f"every {_span(view.interval_seconds)}"
    if pulse.next_cycle is None:
        return every
    return f"{_moment(pulse.next_cycle)}{_small(f'{_ago(pulse.next_cycle, view.at)}, {every}')}"


def _common(view: View) -> str:
    if view.window is not None:
        return _window(view.window, view.at)
    opening = [s.window.opens_at for s in view.services if s.is_enabled and s.window.opens_at]
    next_one = _small(f"the next window opens {_ago(min(opening), view.at)}") if opening else ""
    return f"differs by service{next_one}"


def _last_change(view: View) -> str:
    if not view.changes:
        return "none yet"
    last = view.changes[0]
    level, word = _outcome(last)
    text = f"<strong>{escape(last.service)}</strong> {_pill(level, word)}"
    return f"{text} <small>{_short(last.to_reference)}, {_ago(last.at, view.at)}</small>"


# --------------------------------------------------------------------------------------------- what needs a person


def _to_do(view: View) -> str:
    found = [s for level in _NEEDS_A_PERSON for s in view.services if s.level is level]
    if not found:
        return ""
    return _section("todo", "What to do", _list(_need(service) for service in found))


def _need(service: ServiceView) -> str:
    what = f"{_reason(service)}{escape(service.detail)}"
    if service.level is Level.UNKNOWN and service.state != "unknown":
        what = (
            f"no check has succeeded since {_moment(service.last_success)}" if service.last_success else "never checked"
        )
    remedy = service.remedy or _usual_remedy(service)
    return (
        f'<li class="note {service.level}">\n<h3>{escape(service.name)} {_state(service)}</h3>\n'
        f"<p>{what or 'not checked yet'}</p>\n<p><strong>To do:</strong> {escape(remedy)}</p>\n</li>\n"
    )


def _usual_remedy(service: ServiceView) -> str:
    if service.level is Level.UNKNOWN:
        return "nothing if the next check succeeds; else see the updater's log"
    return f"nothing: a newer release is tried by itself; {retry_command(service.name)} lifts this one's quarantine"


def _waits(view: View) -> str:
    found = [s for s in view.services if s.level is Level.WAITING and s.target]
    return _section("waits", "What waits", _list(_wait(service, view.at) for service in found)) if found else ""


def _wait(service: ServiceView, now: datetime) -> str:
    until = _small(_ago(service.until, now)) if service.until else ""
    remedy = f"\n<p><strong>To do:</strong> {escape(service.remedy)}</p>" if service.remedy else ""
    return (
        f'<li class="note {service.level}">\n<h3>{escape(service.name)} {_state(service)}</h3>\n'
        f"<p>{_target(service)}</p>\n<p>{_reason(service)}{escape(service.detail)}{until}</p>{remedy}\n</li>\n"
    )


# ---------------------------------------------------------------------------------------------------------- tables


def _services(view: View) -> str:
    heads = ("Service", "State", "Current", "Target", "Why, and what to do", "Last check", "Last change", "Updates")
    rows = [_service_row(service, view.at) for service in view.services]
    caption = f"{len(rows)} services, in the order of the configuration. Times are UTC."
    return _section("services", "Services", _table("services", caption, heads, rows, "No service is configured."))


def _service_row(service: ServiceView, now: datetime) -> tuple[str, ...]:
    remedy = _small(f"To do: {service.remedy}") if service.remedy else ""
    checked = _since(service.last_check, now)
    current = f"<code>{_short(service.current.partition('@')[0])}</code>{_small(_digest(service.current_digest))}"
    if service.is_stale and service.last_check:
        checked += _small(f"last success: {_ago(service.last_success, now) if service.last_success else 'never'}")
    return (
        escape(service.name),
        _state(service),
        current,
        _target(service) if service.target else "–",
        f"{_reason(service)}{escape(service.detail)}{remedy}" or "–",
        checked,
        _since(service.last_change, now),
        _window(service.window, now, zone=""),
    )


def _changes(view: View) -> str:
    heads = ("When", "Service", "Outcome", "From", "To", "Why", "Took")
    rows = [_change_row(change, view.at) for change in view.changes]
    caption = f"The last {len(rows)} updates, newest first. Times are UTC."
    return _section("history", "History", _table("history", caption, heads, rows, "Nothing was updated yet."))


def _change_row(change: ChangeView, now: datetime) -> tuple[str, ...]:
    level, word = _outcome(change)
    kind = _small(change.change or "")
    return (
        _since(change.at, now),
        escape(change.service),
        _pill(level, word),
        f"<code>{_short(change.from_reference)}</code>",
        f"<code>{_short(change.to_reference)}</code>{kind}",
        f"<code>{escape(change.reason)}</code> {escape(change.detail)}",
        f"{_took(change.duration_seconds)}{_steps(change.steps)}",
    )


def _steps(steps: Sequence[StepTaken]) -> str:
    """Each step with its time, folded away; the way back in a list of its own. Nothing where none is known."""
    if not steps:
        return ""
    ways = ("", [one for one in steps if not one.is_back]), ("Way back", [one for one in steps if one.is_back])
    lists = "".join(_way(title, taken) for title, taken in ways if taken)
    return f" <details><summary>{len(steps)} step{'s' if len(steps) > 1 else ''}</summary>{lists}</details>"


def _way(title: str, taken: Sequence[StepTaken]) -> str:
    items = "".join(f"<li><code>{one.step}</code> {_took(one.seconds)}</li>" for one in taken)
    return f'{f"<p>{title}</p>" if title else ""}<ol class="steps">{items}</ol>'


def _hosts(view: View) -> str:
    heads = ("Registry", "Services", "Pulls left", "Rests until")
    rows = [_host_row(registry, view.at) for registry in view.registries]
    caption = "Pulls left, where a registry says so, rests that registries asked for, and who does not answer."
    return _section("registries", "Registries", _table("registries", caption, heads, rows, "None is asked."))


def _host_row(registry: RegistryView, now: datetime) -> tuple[str, ...]:
    left = "not told"
    if registry.remaining is not None and registry.seen_at and registry.window_seconds is not None:
        told = f"in {_span(registry.window_seconds)}, as of {_ago(registry.seen_at, now)}"
        left = f"{registry.remaining} of {registry.limit}{_small(told)}"
    since, time = ("no answer since ", registry.out_since) if registry.out_since else ("", registry.rest_until)
    until = f"{since}{_moment(time)}{_small(_ago(time, now))}" if time else "no rest"
    return escape(registry.host), str(registry.services), left, until


# ------------------------------------------------------------------------------------------------------ small parts


def _footer(view: View) -> str:
    links = "".join(f'<a href="{path}">{path}</a>' for path in ("/status.json", "/metrics", "/healthz"))
    return f"<footer>\n<p>{_NAME} {escape(view.version)}; {escape(view.health)}.</p>\n<p>{links}</p>\n</footer>\n"


def _section(name: str, title: str, body: str) -> str:
    return f'<section aria-labelledby="{name}">\n<h2 id="{name}">{title}</h2>\n{body}</section>\n'


def _list(items: Iterable[str]) -> str:
    return f'<ul class="notes">\n{"".join(items)}</ul>\n'


def _table(name: str, caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> str:
    """Cells are HTML already; the first of each row is its head."""
    if not rows:
        return f"<p>{empty}</p>\n"
    head = "".join(f'<th scope="col" role="columnheader">{title}</th>' for title in heads)
    body = "".join(f'<tr role="row">{_cells(heads, row)}</tr>\n' for row in rows)
    return (
        f'<div class="table" role="region" aria-labelledby="{name}" tabindex="0">\n<table role="table">\n'
        f'<caption>{caption}</caption>\n<thead role="rowgroup"><tr role="row">{head}</tr></thead>\n'
        f'<tbody role="rowgroup">\n{body}</tbody>\n</table>\n</div>\n'
    )


def _cells(heads: Sequence[str], row: Sequence[str]) -> str:
    first, *others = row
    cells = (
        f'<td role="cell"{_class_of(title, cell)} data-label="{title}"><div>{cell}</div></td>'
        for title, cell in zip(heads[1:], others, strict=True)
    )
    return f'<th scope="row" role="rowheader">{first}</th>{"".join(cells)}'


def _class_of(title: str, cell: str) -> str:
    """What is empty leaves the cards of a narrow screen; texts and images get the room of a wide one."""
    kind = "none" if cell == "–" else _CLASSES.get(title, "")
    return f' class="{kind}"' if kind else ""


def _state(service: ServiceView) -> str:
    if not service.is_enabled:
        return _pill(Level.OFF, "not enabled")
    word = service.state.replace("_", " ")
    if service.level is Level.UNKNOWN and service.state != "unknown":
        return f"{_pill(Level.UNKNOWN, 'unknown')}{_small(f'was {word}')}"
    return _pill(service.level, word)


def _pill(level: Level, word: str) -> str:
    return f'<span class="pill {level}"><span aria-hidden="true">{_MARKS[level]}</span> {escape(word)}</span>'


def _outcome(change: ChangeView) -> tuple[Level, str]:
    level, word = _OUTCOMES.get(change.outcome, (Level.UNKNOWN, change.outcome))
    return (level, "put back by the owner") if word == "updated" and change.kind == "owner_rollback" else (level, word)


def _reason(service: ServiceView) -> str:
    return f"<code>{escape(service.reason)}</code> " if service.reason else ""


def _target(service: ServiceView) -> str:
    name, _, digest = (service.target or "").partition("@")
    return f"<code>{_short(name)}</code>{_small(service.change or '')}{_small(_digest(digest))}"


def _short(reference: str) -> str:
    """A reference, escaped, with as much of its digest as fits."""
    name, at, digest = reference.partition("@")
    return escape(f"{name}{at}{digest[:_DIGEST_SHOWN]}") or "–"


def _digest(digest: str | None) -> str:
    return digest[:_DIGEST_SHOWN] if digest else ""


def _window(window: WindowView, now: datetime, *, zone: str = " UTC") -> str:
    if window.is_paused:
        return "paused"
    if window.is_open:
        closes = window.closes_at
        return f"now <small>until {_moment(closes, zone=zone)}</small>" if closes else "any time"
    if window.opens_at is None:
        return "not in the next three weeks"
    return f"{_ago(window.opens_at, now)} <small>{_moment(window.opens_at, zone=zone)}</small>"


def _since(moment: datetime | None, now: datetime) -> str:
    """For a cell: how long ago, and below it when."""
    if moment is None:
        return "never"
    return f"{escape(_ago(moment, now))} <small>{_moment(moment, zone='')}</small>"


def _moment(moment: datetime, *, seconds: bool = False, zone: str = " UTC") -> str:
    utc = moment.astimezone(UTC)
    shown = f"{utc:%Y-%m-%d %H:%M:%S}" if seconds else f"{utc:%Y-%m-%d %H:%M}"
    return f'<time datetime="{utc:%Y-%m-%dT%H:%M:%SZ}">{shown}{zone}</time>'


def _ago(moment: datetime, now: datetime) -> str:
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{_span(seconds)} ago" if seconds > 0 else f"in {_span(-seconds)}"


def _span(seconds: float) -> str:
    """A duration in its largest unit that fits.

    >>> _span(0.25), _span(12.3), _span(150), _span(3600), _span(200000)
    ('0.2 s', '12 s', '2 min', '1 h', '2 days')
    """
    for size, unit in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"


def _took(seconds: float) -> str:
    """How long something took, exact enough to compare.

    >>> _took(0.04), _took(3.21), _took(12.3), _took(59.6), _took(150), _took(3700)
    ('0.0 s', '3.2 s', '12 s', '1 min 0 s', '2 min 30 s', '1 h 1 min')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _small(text: str) -> str:
    return f" <small>{escape(text)}</small>" if text else ""
