"""What `--status NAME` prints below the table: the latest changes of one service, and what failed in them.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from updater_core.host import times
from updater_core.reference import short
from updater_core.state.records import Change, ServiceState
from updater_core.status import columns
from updater_core.vocabulary.dated import HookResult, HookRun
from updater_core.vocabulary.evidence import Evidence

_CHANGES_SHOWN = 5


def text_of(service: ServiceState, zone: tzinfo | None = None) -> str:
    """Return the latest changes, newest first, each with what was seen of containers that failed.

    `zone`: that of the times; the machine's own if None."""
    if not service.changes:
        return "\nno update was tried yet"
    lines = [line for change in service.changes[:_CHANGES_SHOWN] for line in _change(change, zone)]
    return "\n".join(["", "latest updates:", *lines])


def _change(change: Change, zone: tzinfo | None) -> Iterator[str]:
    way = f"{short(change.from_reference)} -> {short(change.to_reference)}"
    word = change.outcome.replace("_", " ")
    yield (
        f"  {change.at.astimezone(zone):%Y-%m-%d %H:%M %Z} {word}: {way} "
        f"({times.took(change.duration_seconds)})"
    )
    if change.detail:
        yield columns.wrapped(f"    {change.reason}: {change.detail}", others=" " * 6)
    for run in change.hooks:
        yield from _hook(run)
    for each in change.evidence:
        yield from _evidence(each)


def _hook(run: HookRun) -> Iterator[str]:
    how = run.detail or (
        f"ended with {run.exit_code}" if run.result is not HookResult.BEGUN else "did not end"
    )
    yield f"    hook {run.kind}: {how} ({times.took(run.seconds)})"
    for line in run.output.splitlines():
        yield f"      | {line}"


def _evidence(seen: Evidence) -> Iterator[str]:
    yield f"    {seen.summary}"
    if seen.log_problem:
        yield f"      no log: {seen.log_problem}"
    elif not seen.log:
        yield "      it wrote nothing"
    for line in seen.log:
        yield f"      | {line}"
