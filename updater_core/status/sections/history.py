"""The latest updates of a service for the status page: what was tried, how it ended, what failures showed.

All of it is folded away. What containers and hooks wrote is text of theirs: it is escaped, and shown with
nothing in it that is not seen (`vocabulary.untrusted`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from updater_core.host import times
from updater_core.reference import short
from updater_core.status.markup import NONE, code, joined, link, moment, pill, small
from updater_core.status.view import ChangeView, Level
from updater_core.vocabulary.dated import HookRun, ReleaseStep
from updater_core.vocabulary.evidence import Evidence
from updater_core.vocabulary.untrusted import visible

_OUTCOMES: Mapping[str, tuple[Level, str]] = {
    "committed": (Level.OK, "updated"),
    "not_started": (Level.TROUBLE, "not started"),
    "rolled_back": (Level.LOOK, "rolled back"),
    "rollback_failed": (Level.TROUBLE, "rollback failed"),
    "taken_over": (Level.WAITING, "taken over by the operator"),
}


def outcome(change: ChangeView) -> tuple[Level, str]:
    """Return how an update ended, as level and word."""
    level, word = _OUTCOMES.get(change.outcome, (Level.UNKNOWN, change.outcome))
    is_asked_for = word == "updated" and change.kind == "owner_rollback"
    return level, "rolled back as asked" if is_asked_for else word


def of_service(changes: Sequence[ChangeView]) -> Markup:
    """Return the latest updates of a service, folded away; nothing without any."""
    if not changes:
        return Markup("")
    plural = "s" if len(changes) > 1 else ""
    items = joined(Markup("<li>{}</li>").format(_change(each)) for each in changes)
    summary = f"last {len(changes)} update{plural}" if plural else "last update"
    return Markup('<details><summary>{}</summary><ol class="history">{}</ol></details>').format(
        summary, items
    )


def seen(changes: Sequence[ChangeView]) -> Markup:
    """Return what was seen of what failed in the newest update that failed, folded away; else nothing."""
    parts = joined(_findings(changes[0])) if changes else Markup("")
    if not parts:
        return Markup("")
    return Markup("<details><summary>What was seen</summary>{}</details>").format(parts)


def release(step: ReleaseStep) -> Markup:
    """Return versions, size and notes of an update, as far as they are known; nothing else."""
    versions = [version for version in (step.from_version, step.to_version) if version]
    words = " → ".join(dict.fromkeys(versions))
    size = f"{step.size}, same tag" if step.is_same_tag and step.size not in ("", "rebuild") else step.size
    notes = Markup(" ") + link(step.notes_url, "Release notes") if step.notes_url else Markup("")
    return small(" · ".join(filter(None, (words, size)))) + notes


def _change(change: ChangeView) -> Markup:
    way = Markup("{} → {}").format(code(_brief(change.from_reference)), code(_brief(change.to_reference)))
    head = Markup("{} {} {}{}").format(
        moment(change.at), pill(*outcome(change)), way, release(change.release)
    )
    why = Markup("<p>{} {}</p>").format(code(change.reason), change.detail) if change.detail else Markup("")
    return head + why + joined(_findings(change))


def _brief(reference: str) -> str:
    return short(reference) or NONE


def _findings(change: ChangeView) -> Iterator[Markup]:
    for each in change.evidence:
        yield from _evidence(each)
    for run in change.hooks:
        yield from _hook(run)


def _evidence(found: Evidence) -> Iterator[Markup]:
    yield Markup("<p>{}</p>").format(visible(found.summary))
    if found.log_problem:
        yield Markup("<p>No log: {}</p>").format(visible(found.log_problem))
    elif found.log:
        yield _text("\n".join(found.log))
    else:
        yield Markup("<p>It wrote nothing.</p>")


def _hook(run: HookRun) -> Iterator[Markup]:
    ended = f", exit status {run.exit_code}" if run.exit_code is not None else ""
    result = run.result.value.replace("_", " ")
    words = f"{result}{ended}, {times.took(run.seconds)}"
    yield Markup("<p>{} {} {}</p>").format(code(run.kind.value), words, visible(run.detail))
    if run.output:
        yield _text(run.output)


def _text(text: str) -> Markup:
    """Return what a program wrote. It scrolls by the keyboard too."""
    return Markup('<pre tabindex="0">{}</pre>').format(visible(text))
