"""Memory that a cycle needed and the sleeping daemon does not."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Return free memory of the process to the system; do nothing if the C library cannot (musl).

    glibc keeps more of it, the larger the pieces were that it was once asked for (malloc_trim(3),
    mallopt(3) on M_TRIM_THRESHOLD): without this a daemon grows in steps of a megabyte. Takes a quarter of a
    millisecond.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
