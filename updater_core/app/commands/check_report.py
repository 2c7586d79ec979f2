"""What `--test` prints: its findings, the worst first, a line of summary, JSON, and what it is at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TextIO

from updater_core.deploy.target import Finding
from updater_core.status import columns
from updater_core.status.columns import WIDTH

_INDENT = " " * len("FAIL  ")
_WORST_FIRST = ("FAIL", "warn", "ok  ")
_LEVELS = {"FAIL": "failed", "warn": "warning", "ok  ": "ok"}
_ERASE_LINE = "\r\x1b[K"


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Return what failed first, then warnings, then what is well; in the order of the check among equals.

    >>> [each.subject for each in worst_first([Finding(True, "engine", ""), Finding(False, "web", "")])]
    ['web', 'engine']
    """
    return sorted(findings, key=lambda finding: _WORST_FIRST.index(finding.mark))


def text(findings: Sequence[Finding], *, is_terminal: bool) -> str:
    """Return the whole report: a line for each finding, the worst first, and a summary at the end."""
    lines = [shown(finding, is_terminal=is_terminal) for finding in worst_first(findings)]
    return "\n".join([*lines, summary(findings)])


def summary(findings: Sequence[Finding]) -> str:
    """Return the last line of the report.

    >>> summary([Finding(True, "engine", "fine"), Finding(False, "web", "not there")])
    '2 checks: 1 ok, 1 failed (web)'
    >>> summary([Finding(True, "api", "without TLS", "use a proxy", is_warning=True)])
    '1 check: 0 ok, 1 warning (api), 0 failed'
    """
    marks = [finding.mark for finding in findings]
    number = marks.count("warn")
    checks = f"{len(findings)} check{'s' if len(findings) != 1 else ''}: {marks.count('ok  ')} ok"
    warnings = f", {number} warning{'s' if number > 1 else ''}" if number else ""
    failed = f", {marks.count('FAIL')} failed"
    left = WIDTH - len(checks) - len(warnings) - len(failed)
    named = _names(findings, "FAIL", left)  # what failed before what is only warned of
    return f"{checks}{warnings}{_names(findings, 'warn', left - len(named))}{failed}{named}"


def _names(findings: Sequence[Finding], mark: str, left: int) -> str:
    """Return the subjects with this mark, each once, in brackets, as many as fit into `left` characters."""
    subjects = list(dict.fromkeys(finding.subject for finding in findings if finding.mark == mark))
    for shown_count in range(len(subjects), 0, -1):
        more = len(subjects) - shown_count
        text = f" ({', '.join(subjects[:shown_count])}{f' and {more} more' if more else ''})"
        if len(text) <= left:
            return text
    return ""


def shown(finding: Finding, *, is_terminal: bool) -> str:
    """Return a finding as it is printed: one line, on a terminal wrapped.

    A command in a remedy is never broken, for it is there to be pasted.

    >>> remedy = "sudo chmod 600 /etc/docker-auto-updater/config.json"
    >>> print(shown(Finding(False, "web", "long " * 20, remedy), is_terminal=True))
    FAIL  web: long long long long long long long long long long long long long long long long long long
          long long
          -> sudo chmod 600 /etc/docker-auto-updater/config.json
    """
    line = finding.line()
    if not is_terminal or len(line) <= WIDTH:
        return line
    head = columns.wrapped(finding.head, others=_INDENT)
    if not finding.has_remedy:
        return head
    return f"{head}\n{columns.wrapped(finding.remedy, f'{_INDENT}-> ', f'{_INDENT}   ')}"


def as_json(findings: Sequence[Finding]) -> str:
    """Return the report for machines, the worst first."""
    rows = [
        {
            "ok": finding.is_good,
            "level": _LEVELS[finding.mark],
            "subject": finding.subject,
            "text": finding.text,
            "remedy": finding.remedy,
        }
        for finding in worst_first(findings)
    ]
    return json.dumps({"ok": all(finding.is_good for finding in findings), "checks": rows}, indent=2)


class Progress:
    """Says on a terminal what the check is at, in one line that is written over; says nothing in a pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream if stream.isatty() else None

    def at(self, subject: str) -> None:
        """Say that this is looked at now."""
        if self._stream is not None:
            self._write(f"{_ERASE_LINE}checking {subject} ..."[: len(_ERASE_LINE) + WIDTH - 1])

    def end(self) -> None:
        """Leave nothing of it behind."""
        if self._stream is not None:
            self._write(_ERASE_LINE)

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()
