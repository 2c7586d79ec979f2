"""The codec of state and journal, used by the workers side by side."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FIRST_READERS = textwrap.dedent(
    """
    import sys
    from concurrent.futures import ThreadPoolExecutor
    from dataclasses import make_dataclass
    from threading import Barrier

    from updater_core.state.codec import decode

    READERS, FIELDS = 8, range(20)
    sys.setswitchinterval(1e-6)
    with ThreadPoolExecutor(READERS) as pool:
        for number in range(100):
            part = make_dataclass(f"Part{number}", [(f"a{n}", int) for n in FIELDS], frozen=True)
            whole = make_dataclass(f"Whole{number}", [(f"b{n}", part) for n in FIELDS], frozen=True)
            value = {f"b{n}": {f"a{m}": m for m in FIELDS} for n in FIELDS}
            barrier = Barrier(READERS)

            def read() -> object:
                barrier.wait()
                return decode(whole, value)

            found = [reader.result() for reader in [pool.submit(read) for _ in range(READERS)]]
            assert len(set(found)) == 1
    """
)


def test_threads_that_read_a_kind_of_record_first_do_not_end_the_process() -> None:
    """A process of its own: what went wrong here was a segmentation fault."""
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_READERS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
