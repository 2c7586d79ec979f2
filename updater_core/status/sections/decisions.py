"""What operators have decided, for the status page: what is paused, skipped, approved, or waits for a yes."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from updater_core.host import times
from updater_core.reference import short
from updater_core.status.markup import code, joined, moment, pill, section, small
from updater_core.status.view import Decided, DecisionView, Level, View

_PILLS: Mapping[Decided, tuple[Level, str]] = {
    Decided.QUESTION: (Level.LOOK, "waits for a yes"),
    Decided.PAUSE: (Level.WAITING, "paused"),
    Decided.SKIP: (Level.WAITING, "skipped"),
    Decided.APPROVAL: (Level.OK, "approved"),
}
_COMMANDS: Mapping[Decided, str] = {
    Decided.QUESTION: "To approve it",
    Decided.PAUSE: "To end it",
    Decided.SKIP: "To take it back",
}


def of_all(view: View) -> Markup:
    """Return the section; nothing if nothing was decided and nothing is asked."""
    notes = joined(_note(each, view) for each in view.decisions)
    if not notes:
        return Markup("")
    return section("decisions", "Decisions", Markup('<ul class="notes">\n{}</ul>').format(notes))


def _note(found: DecisionView, view: View) -> Markup:
    level, word = _PILLS[found.kind]
    name = "All services" if found.service == "all" else found.service
    image = Markup("<div>{}</div>\n").format(code(short(found.reference))) if found.reference else Markup("")
    who = "asked " if found.kind is Decided.QUESTION else f"by {found.who or 'nobody known'}, "
    begun = Markup("{}{}{}").format(who, moment(found.since), small(times.ago(found.since, view.at)))
    return Markup('<li class="note {}">\n<h3>{} {}</h3>\n{}<div>{}; {}</div>\n{}</li>\n').format(
        level, name, pill(level, word), image, begun, _end(found, view), _command(found)
    )


def _end(found: DecisionView, view: View) -> Markup:
    if found.until is not None:
        return Markup("until {}{}").format(moment(found.until), small(times.ago(found.until, view.at)))
    if found.kind is Decided.SKIP:
        return Markup("until a newer image appears")
    return Markup("until an order ends it")


def _command(found: DecisionView) -> Markup:
    if not found.command:
        return Markup("")
    return Markup("<div>{}: {}</div>\n").format(_COMMANDS[found.kind], code(found.command))
