"""What a cycle took of the machine's memory and does not need while the daemon rests."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Hand memory that is free within the process back to the system; nothing where the C library cannot (musl).

    glibc keeps more and more of it at hand, the larger the pieces were that it was once asked for (malloc_trim(3),
    mallopt(3) on M_TRIM_THRESHOLD): without this a daemon grows in steps of a megabyte. Takes a quarter of a
    millisecond.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
