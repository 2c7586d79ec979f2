"""The parts of the status page that know nothing of a service: templates, style sheet, tables, times.

Everything that is put into a `Markup` is escaped, unless it is `Markup` itself
(https://markupsafe.palletsprojects.com).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup

from updater_core.host import times
from updater_core.models import StepTaken
from updater_core.status.view import Level

_FOLDER = Path(__file__).parent
STYLE = Markup((_FOLDER / "style.css").read_text(encoding="utf-8"))  # noqa: S704 - a file of ours

# What a Content-Security-Policy names to let this style, and no other, in
# (https://www.w3.org/TR/CSP3/#grammardef-hash-source).
STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

ORDERS_SCRIPT = (_FOLDER / "orders.js").read_text(encoding="utf-8")

NONE = "–"
MARKS = {
    Level.OK: "✓",
    Level.WAITING: "…",
    Level.LOOK: "!",
    Level.UNKNOWN: "?",
    Level.TROUBLE: "✕",
    Level.OFF: NONE,
}


def template(name: str) -> Markup:
    """Return the template `name`; its `format` escapes what it is given."""
    text = (_FOLDER / "templates" / f"{name}.html").read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704 - a file of ours


_SECTION, _TABLE = template("section"), template("table")


def joined(parts: Iterable[str]) -> Markup:
    """Return the parts in a row, each escaped unless it is markup."""
    return Markup("").join(parts)


def section(name: str, title: str, body: Markup) -> Markup:
    """Return a section of the page with its heading; `name` is its anchor."""
    return _SECTION.format(name=name, title=title, body=body)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; `css` is the class of its cells."""

    title: str
    css: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; `css` is its class."""

    cells: Sequence[str]
    css: str = ""


def table(name: str, caption: str, columns: Sequence[Column], rows: Iterable[Row]) -> Markup:
    """Return a table; the first cell of each row is the row's head.

    The roles are written out, because browsers forget them if a style sheet shows rows as cards
    (https://www.w3.org/TR/html-aria/).
    """
    heads = joined(
        Markup('<th scope="col" role="columnheader">{}</th>').format(each.title) for each in columns
    )
    body = Markup("\n").join(_row(columns, row) for row in rows)
    return _TABLE.format(name=name, caption=caption, heads=heads, rows=body)


def _row(columns: Sequence[Column], row: Row) -> Markup:
    css = Markup(' class="{}"').format(row.css) if row.css else ""
    return Markup('<tr role="row"{}>{}</tr>').format(css, _cells(columns, row.cells))


def _cells(columns: Sequence[Column], row: Sequence[str]) -> Markup:
    first, *others = row
    head = Markup('<th scope="row" role="rowheader">{}</th>').format(first)
    pairs = zip(columns[1:], others, strict=True)
    return head + joined(_cell(column, content) for column, content in pairs)


def _cell(column: Column, content: str) -> Markup:
    """Return a cell; an empty one leaves the cards of a narrow screen, texts get the space of a wide one."""
    css = "none" if content == NONE else column.css
    attribute = Markup(' class="{}"').format(css) if css else ""
    return Markup('<td role="cell"{} data-label="{}"><div>{}</div></td>').format(
        attribute, column.title, content
    )


def pill(level: Level, word: str) -> Markup:
    """Return a state as a coloured word with a mark of its own."""
    text = Markup('<span class="pill {}"><span aria-hidden="true">{}</span> {}</span>')
    return text.format(level, MARKS[level], word)


def code(text: str) -> Markup:
    """Return `text` in the type of code; nothing if it is empty."""
    return Markup("<code>{}</code>").format(text) if text else Markup("")


def small(text: str) -> Markup:
    """Return `text` as a side note after a space; nothing if it is empty."""
    return Markup(" <small>{}</small>").format(text) if text else Markup("")


def zone_of(when: datetime) -> str:
    """Return the name of the machine's own zone at a time."""
    return f"{when.astimezone():%Z}"


def moment(when: datetime, *, seconds: bool = False, is_zone_said: bool = True) -> Markup:
    """Return a time for people, in the machine's own zone, and for machines."""
    utc, local = when.astimezone(UTC), when.astimezone()
    shown = f"{local:%Y-%m-%d %H:%M:%S}" if seconds else f"{local:%Y-%m-%d %H:%M}"
    zone = f" {zone_of(when)}" if is_zone_said else ""
    return Markup('<time datetime="{}">{}{}</time>').format(f"{utc:%Y-%m-%dT%H:%M:%SZ}", shown, zone)


def link(url: str, text: str) -> Markup:
    """Return a link to another site, without a referrer. `url` is one that we have built."""
    return Markup('<a href="{}" rel="noreferrer noopener">{}</a>').format(url, text)


def since(when: datetime | None, now: datetime) -> Markup:
    """Return how long ago something was, and below it when; for a cell of a table that says the zone."""
    if when is None:
        return Markup("never")
    return Markup("{} <small>{}</small>").format(times.ago(when, now), moment(when, is_zone_said=False))


def step_list(steps: Sequence[StepTaken]) -> Markup:
    """Return each step with its time, folded away; those of a rollback have a list of their own."""
    if not steps:
        return Markup("")
    forward = [one for one in steps if not one.is_back]
    back = [one for one in steps if one.is_back]
    lists = _steps("", forward) + _steps("Rollback", back)
    plural = "s" if len(steps) > 1 else ""
    return Markup(" <details><summary>{} step{}</summary>{}</details>").format(len(steps), plural, lists)


def _steps(title: str, steps: Sequence[StepTaken]) -> Markup:
    if not steps:
        return Markup("")
    heading = Markup("<p>{}</p>").format(title) if title else ""
    items = joined(Markup("<li>{} {}</li>").format(code(one.step), times.took(one.seconds)) for one in steps)
    return Markup('{}<ol class="steps">{}</ol>').format(heading, items)
