"""The status page as text: one view of how everything stands, as HTML for people and as JSON for machines.

The page works without scripts, and loads nothing but, if there is an API, the script of its buttons. Its
markup is in `templates/`, its look in `style.css`; escaping is the default (`status.markup`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from markupsafe import Markup

from updater_core.host import times
from updater_core.models import CurrentStep, Reason, retry_command
from updater_core.reference import short, short_digest
from updater_core.state.codec import encode
from updater_core.status import markup
from updater_core.status.markup import MARKS, NONE, Column, Row, code, joined, moment, pill, section, small
from updater_core.status.sections import decisions, history
from updater_core.status.sections.registries import registries
from updater_core.status.view import ChangeView, Level, ServiceView, View, WindowView
from updater_core.vocabulary.dated import ReleaseStep

REFRESH_SECONDS = 60
_NAMED = 5  # services in the headline
_ORDERS_SCRIPT = Markup('<script src="/orders.js" defer></script>\n')
_NEEDS_A_PERSON = (Level.TROUBLE, Level.UNKNOWN, Level.LOOK)
_LEVELS = tuple(Level)  # from well to worst
_FILTERS = {
    Level.OFF: "not enabled",
    Level.OK: "up to date",
    Level.WAITING: "waiting",
    Level.LOOK: "to be looked at",
    Level.UNKNOWN: "unknown",
    Level.TROUBLE: "failed",
}
_PAGE, _NOTE = markup.template("page"), markup.template("note")
_SERVICE_COLUMNS = (
    Column("Service"),
    Column("State"),
    Column("Current", "image"),
    Column("Target", "image"),
    Column("Why, and what to do", "words"),
    Column("Last check"),
    Column("Last change"),
    Column("Updates"),
)
_CHANGE_COLUMNS = (
    Column("When"),
    Column("Service"),
    Column("Outcome"),
    Column("From", "image"),
    Column("To", "image"),
    Column("Why", "words"),
    Column("Took"),
)


def status_json(view: View) -> str:
    """Return the view for machines, one object; times in RFC 3339, UTC."""
    return json.dumps(encode(view), indent=2) + "\n"


def status_html(view: View, *, is_refreshing: bool = False, has_orders: bool = False) -> str:
    """Return the view for people, one whole page.

    `is_refreshing`: the browser fetches it anew each minute. `has_orders`: a script adds buttons for them.
    """
    urgent = _to_do(view), _waits(view)
    further = decisions.of_all(view), _services(view), _changes(view), registries(view)
    refresh = (
        Markup('<meta http-equiv="refresh" content="{}">\n').format(REFRESH_SECONDS) if is_refreshing else ""
    )
    return _PAGE.format(
        view=view,
        refresh=refresh,
        style=markup.STYLE,
        scripts=_ORDERS_SCRIPT if has_orders else "",
        as_of=moment(view.at, seconds=True),
        links=_links(is_refreshing),
        mark=MARKS[view.verdict.level],
        facts=joined(Markup("<div><dt>{}</dt><dd>{}</dd></div>\n").format(*fact) for fact in _facts(view)),
        about=_about_verdict(view),
        urgent=joined(urgent),
        further=joined(further),
    )


# ------------------------------------------------------------------------------------------------ at a glance


def _about_verdict(view: View) -> Markup:
    """Return the services that the headline is about, each a link to what is to be done for it."""
    named = set(view.verdict.services)
    places = {service.name: place for place, service in enumerate(view.services) if service.name in named}
    links = [Markup('<a href="#need-{}">{}</a>').format(place, name) for name, place in places.items()]
    further = Markup(" and {} more").format(len(links) - _NAMED) if len(links) > _NAMED else Markup("")
    return Markup(": ") + Markup(", ").join(links[:_NAMED]) + further if links else Markup("")


def _links(is_refreshing: bool) -> Markup:
    link = Markup('<a href="{}">{}</a>')
    if is_refreshing:
        return link.format("/?refresh", "Reload") + link.format("/", "Stop reloading")
    return link.format("/", "Reload") + link.format("/?refresh", "Reload each minute")


def _facts(view: View) -> Iterator[tuple[str, str]]:
    for step in view.under_way:
        yield "Being updated", _current_step(step, view.at)
    yield "Last cycle", _last_cycle(view)
    yield "Next cycle", _next_cycle(view)
    yield "Updates allowed", _common_window(view)
    yield "Last change", _last_change(view)
    if view.pulse.pending_messages:
        yield "Messages", f"{view.pulse.pending_messages} wait for their receiver"


def _current_step(step: CurrentStep, at: datetime) -> Markup:
    lasted = times.span((at - step.since).total_seconds())
    return Markup("<strong>{}</strong>: {} for {}{}").format(
        step.service, code(step.step), lasted, small(step.text)
    )


def _last_cycle(view: View) -> Markup:
    ended, seconds = view.pulse.cycle_ended, view.pulse.cycle_seconds
    if ended is None:
        return Markup("none since the start") + small(f"started {times.ago(view.pulse.started_at, view.at)}")
    took = f", took {times.span(seconds)}" if seconds is not None else ""
    return moment(ended) + small(times.ago(ended, view.at) + took)


def _next_cycle(view: View) -> str:
    pulse, every = view.pulse, f"every {times.span(view.interval_seconds)}"
    if pulse.cycle_begun is not None:
        return Markup("under way") + small(f"begun {times.ago(pulse.cycle_begun, view.at)}")
    if pulse.next_cycle is None:
        return every
    return moment(pulse.next_cycle) + small(f"{times.ago(pulse.next_cycle, view.at)}, {every}")


def _common_window(view: View) -> str:
    if view.window is not None:
        return _window(view.window, view.at)
    windows = [service.window for service in view.services if service.is_enabled]
    openings = [window.opens_at for window in windows if window.opens_at]
    following = f"the next window opens {times.ago(min(openings), view.at)}" if openings else ""
    return Markup("differs by service") + small(following)


def _last_change(view: View) -> str:
    if not view.changes:
        return "none yet"
    last = view.changes[0]
    outcome, about = (
        pill(*history.outcome(last)),
        f"{short(last.to_reference) or NONE}, {times.ago(last.at, view.at)}",
    )
    return Markup("<strong>{}</strong> {}{}").format(last.service, outcome, small(about))


# ---------------------------------------------------------------------------------------- what needs a person


def _to_do(view: View) -> Markup:
    numbered = list(enumerate(view.services))
    found = [(place, one) for level in _NEEDS_A_PERSON for place, one in numbered if one.level is level]
    return _notes("todo", "What to do", [_need(place, service) for place, service in found])


def _need(place: int, service: ServiceView) -> Markup:
    cause, remedy = _cause(service) or "not checked yet", _remedy(service.remedy or _usual_remedy(service))
    has_failed = service.state in ("rolled_back", "rollback_failed", "failed") and service.history
    tried = _tried(service.history[0]) if has_failed else Markup("")
    seen = history.seen(service.history) if has_failed else Markup("")
    return _note(f"need-{place}", service, tried, cause, remedy, seen)


def _tried(change: ChangeView) -> Markup:
    """From what to what the update was that failed."""
    names = code(short(change.from_reference) or NONE), code(short(change.to_reference) or NONE)
    return Markup("{} → {}{}").format(*names, history.release(change.release))


def _cause(service: ServiceView) -> Markup:
    if service.level is not Level.UNKNOWN or service.state == "unknown":
        return _why(service)
    if service.last_success is None:
        return Markup("never checked")
    return Markup("no check has succeeded since {}").format(moment(service.last_success))


def _usual_remedy(service: ServiceView) -> str:
    if service.level is Level.UNKNOWN:
        return "nothing if the next check succeeds; else see the updater's log"
    return (
        f"nothing: a newer release is tried by itself; {retry_command(service.name)} lifts this one's "
        "quarantine"
    )


def _waits(view: View) -> Markup:
    numbered = enumerate(view.services)
    found = [(place, one) for place, one in numbered if one.level is Level.WAITING and one.target]
    return _notes("waits", "What waits", [_wait(place, service, view.at) for place, service in found])


def _wait(place: int, service: ServiceView, now: datetime) -> Markup:
    until = small(times.ago(service.until, now)) if service.until else ""
    remedy = _remedy(service.remedy) if service.remedy else ""
    current = code(short(service.current.partition("@")[0]) or NONE)
    return _note(
        f"need-{place}",
        service,
        Markup("{} → {}").format(current, _target(service, now)),
        _why(service) + until,
        remedy,
    )


def _remedy(text: str) -> Markup:
    return Markup("<strong>To do:</strong> {}").format(text)


def _note(anchor: str, service: ServiceView, *texts: str) -> Markup:
    paragraphs = Markup("\n").join(Markup("<div>{}</div>").format(text) for text in texts if text)
    return _NOTE.format(anchor=anchor, service=service, state=_state(service), paragraphs=paragraphs)


def _notes(name: str, title: str, notes: list[Markup]) -> Markup:
    if not notes:
        return Markup("")
    return section(name, title, Markup('<ul class="notes">\n{}</ul>').format(joined(notes)))


# ----------------------------------------------------------------------------------------------------- tables


def _services(view: View) -> Markup:
    caption = f"{len(view.services)} services, the worst first. Times are {markup.zone_of(view.at)}."
    ordered = sorted(view.services, key=lambda service: _LEVELS.index(service.level), reverse=True)
    rows = [Row(_service_row(service, view.at), f"is-{service.level}") for service in ordered]
    if not rows:
        return section("services", "Services", Markup("<p>No service is configured.</p>"))
    table = markup.table("services", caption, _SERVICE_COLUMNS, rows)
    return section("services", "Services", _filter(view.services) + table)


def _filter(services: Sequence[ServiceView]) -> Markup:
    """Return what lets only services of one level be shown; the style sheet does it, without a script."""
    counts = Counter(service.level for service in services)
    levels = [level for level in reversed(_LEVELS) if counts[level]]
    if len(levels) < 2:
        return Markup("")
    options = [
        ("all", f"all {len(services)}"),
        *((level.value, f"{counts[level]} {_FILTERS[level]}") for level in levels),
    ]
    choices = [_choice(name, text, is_checked=name == "all") for name, text in options]
    return Markup('<fieldset class="filter"><legend>Show</legend>{}</fieldset>\n').format(joined(choices))


def _choice(name: str, text: str, *, is_checked: bool) -> Markup:
    checked = Markup(" checked") if is_checked else ""
    field = Markup('<input type="radio" name="show" id="show-{}"{}>').format(name, checked)
    return Markup('<span>{}<label for="show-{}">{}</label></span>').format(field, name, text)


def _service_row(service: ServiceView, now: datetime) -> tuple[str, ...]:
    current = short(service.current.partition("@")[0]) or NONE
    remedy = small(f"To do: {service.remedy}") if service.remedy else ""
    return (
        service.name,
        _state(service),
        code(current) + small(_about_current(service, now)),
        _target(service, now) if service.target else NONE,
        _why(service) + remedy or NONE,
        _checked(service, now),
        markup.since(service.last_change, now) + history.of_service(service.history),
        _window(service.window, now, is_zone_said=False),
    )


def _about_current(service: ServiceView, now: datetime) -> str:
    """Return the version if the tag does not say it, the age, and the beginning of the digest."""
    version = service.version if service.version not in service.current else ""
    built = (
        f"built {times.ago(service.built_at, now)}" if service.built_at and service.built_at <= now else ""
    )
    return " · ".join(filter(None, (version, built, short_digest(service.current_digest or ""))))


def _checked(service: ServiceView, now: datetime) -> Markup:
    checked = markup.since(service.last_check, now)
    if not (service.is_stale and service.last_check):
        return checked
    success = times.ago(service.last_success, now) if service.last_success else "never"
    return checked + small(f"last success: {success}")


def _changes(view: View) -> Markup:
    caption = f"The last {len(view.changes)} updates, newest first. Times are {markup.zone_of(view.at)}."
    rows = [Row(_change_row(change, view.at)) for change in view.changes]
    if not rows:
        return section("history", "History", Markup("<p>Nothing was updated yet.</p>"))
    return section("history", "History", markup.table("history", caption, _CHANGE_COLUMNS, rows))


def _change_row(change: ChangeView, now: datetime) -> tuple[str, ...]:
    return (
        markup.since(change.at, now),
        change.service,
        pill(*history.outcome(change)),
        code(short(change.from_reference) or NONE),
        code(short(change.to_reference) or NONE) + history.release(_sized(change)),
        Markup("{} {}").format(code(change.reason), change.detail),
        times.took(change.duration_seconds) + markup.step_list(change.steps),
    )


# ------------------------------------------------------------------------------------------------ small parts


def _state(service: ServiceView) -> Markup:
    if not service.is_enabled:
        return pill(Level.OFF, "not enabled")
    word = service.state.replace("_", " ")
    if service.level is Level.UNKNOWN and service.state != "unknown":
        return pill(Level.UNKNOWN, "unknown") + small(f"was {word}")
    return pill(service.level, word)


def _sized(change: ChangeView) -> ReleaseStep:
    """Return the release of a change; of one of before there was this, the size of its step alone."""
    return change.release if change.release.size else replace(change.release, size=change.change or "")


def _why(service: ServiceView) -> Markup:
    if service.reason == Reason.SAME_DIGEST:
        return Markup("")  # that nothing is new needs no word, in line after line
    reason = code(service.reason) + " " if service.reason else Markup("")
    return reason + service.detail


def _target(service: ServiceView, now: datetime) -> Markup:
    name, _, digest = (service.target or "").partition("@")
    step = service.release if service.release.size else replace(service.release, size=service.change or "")
    is_old = step.built_at is not None and step.built_at <= now
    built = small(f"built {times.ago(step.built_at, now)}") if is_old and step.built_at else Markup("")
    return code(name or NONE) + small(short_digest(digest)) + history.release(step) + built


def _window(window: WindowView, now: datetime, *, is_zone_said: bool = True) -> str:
    if window.is_paused:
        return Markup("paused") + _pause_of(window) if window.paused_by else "paused"
    if window.is_open and window.closes_at is None:
        return "any time"
    if window.is_open and window.closes_at:
        return Markup("now <small>until {}</small>").format(
            moment(window.closes_at, is_zone_said=is_zone_said)
        )
    if window.opens_at is None:
        return "not in the next three weeks"
    when = moment(window.opens_at, is_zone_said=is_zone_said)
    return Markup("{} <small>{}</small>").format(times.ago(window.opens_at, now), when)


def _pause_of(window: WindowView) -> Markup:
    """Return whose order has paused updates, and until when."""
    end = Markup(" until {}").format(moment(window.opens_at)) if window.opens_at else Markup("")
    return Markup(" <small>by {}{}</small>").format(window.paused_by, end)
