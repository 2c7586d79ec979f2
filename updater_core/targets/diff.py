"""The change of a file, as a person reads it."""

from __future__ import annotations

from updater_core.models import Edit


def lines_of(change: Edit) -> list[str]:
    """Return the change of one file as a unified diff; of an env file without the lines around it.

    Those may hold secrets.
    """
    import difflib  # loaded only when a change is shown

    before, after = change.before.splitlines(), change.after.splitlines()
    # The lines around an assignment in an env file are other variables, often passwords.
    around = 0 if any(mark.kind == "variable" for mark in change.marks) else 1
    return list(difflib.unified_diff(before, after, change.path, change.path, lineterm="", n=around))
