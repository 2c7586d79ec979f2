"""Memory that is free within the process goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.lab import ROOT

# Pieces of the C library's heap, not of Python's own; the last one keeps its end from going back by itself.
_PROGRAM = """
import sys
from benchmarks.measure import resident_megabytes
from updater_core.host import malloc

pieces = [bytes([1]) * 60_000 for _ in range(1000)]
last = pieces.pop()
del pieces
before = resident_megabytes()
malloc.give_back()
print(before - resident_megabytes())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heap")
def test_what_is_free_goes_back_to_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) > 30
