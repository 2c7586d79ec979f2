"""What the updater costs, in one table: `scripts/bench`, or `python -m benchmarks.run [SUBJECT ...]`.

Run it after the set-up. Each row is measured here and now, on loopback and this machine's engine, each
subject in a process of its own. Counts and ratios are held against their budgets; so are times, but they are
this machine's, and no test asserts them. What each row means and how it is measured is in docs/benchmarks.md.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from benchmarks.table import FigureRow, text_of

# by name, for a module is loaded by the process that needs it: memory is measured
SUBJECTS: Mapping[str, str] = {
    "requests": "requests_rows.rows",
    "cycle": "cycle_rows.rows",
    "swarm": "swarm_rows.rows",
    "memory": "memory_rows.plain_rows",
    "memory-clouds": "memory_rows.cloud_rows",
    "start": "start_rows.rows",
    "window": "window_rows.rows",
    "recovery": "recovery_rows.rows",
    "pull": "pull_rows.rows",
    "tags-version": "tags_rows.by_version",
    "tags-glob": "tags_rows.by_glob",
    "tags-regex": "tags_rows.by_regex",
    "tags-kinds": "tags_rows.by_kind",
}
_ROWS_OF = "--rows-of"


def main(words: list[str]) -> int:
    """Measure the subjects named, or all, and print the table.

    Return 1 if a figure is over its budget, 2 for an unknown subject, else 0.
    """
    if len(words) == 2 and words[0] == _ROWS_OF:
        print(json.dumps([astuple(row) for row in _rows_of(words[1])]))
        return 0
    unknown = set(words) - SUBJECTS.keys()
    if unknown:
        print(f"no subject {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}", file=sys.stderr)
        return 2
    rows = [FigureRow(*fields) for subject in words or SUBJECTS for fields in _measured(subject)]
    print(text_of(rows))
    return 0 if all(row.holds is not False for row in rows) else 1


def _rows_of(subject: str) -> Iterator[FigureRow]:
    module, _, function = SUBJECTS[subject].partition(".")
    rows: Callable[[], Iterator[FigureRow]] = getattr(
        importlib.import_module(f"benchmarks.{module}"), function
    )
    return rows()


def _measured(subject: str) -> list[Any]:
    print(f"measuring {subject} ...", file=sys.stderr, flush=True)
    argv = [sys.executable, "-m", "benchmarks.run", _ROWS_OF, subject]
    done = subprocess.run(
        argv, cwd=Path(__file__).resolve().parents[1], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{subject} could not be measured:\n{done.stdout}{done.stderr}")
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
