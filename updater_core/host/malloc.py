"""Memory that a cycle needed and the sleeping daemon does not."""

from __future__ import annotations

import ctypes
import gc

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h


def use_one_arena() -> None:
    """Let all threads share one heap; do nothing if the C library has none of its own for each (musl).

    glibc gives each new thread a heap of its own (mallopt(3) on M_ARENA_MAX), so that they do not wait for
    each other. Python's threads do that anyway, and a dozen heaps that are partly used are half a megabyte.
    """
    options = getattr(ctypes.CDLL(None), "mallopt", None)
    if options is not None:
        options(_ARENA_MAX, 1)


def collect_less_often() -> None:
    """Look for garbage after 10,000 new objects, not after each 700 (gc.set_threshold).

    A list of 20,000 tags becomes a hundred thousand objects that all stay until its decision is made: going
    through them again and again took a third of the decision's time. What is garbage goes after each cycle.
    """
    gc.set_threshold(10_000, 10, 10)


def settle() -> None:
    """Take what is in memory now as there to stay: no later collection of garbage goes through it.

    Called once, when all parts are put together: a collection then takes a millisecond or two, so that one
    can be had after each cycle.
    """
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Return free memory of the process to the system; do nothing if the C library cannot (musl).

    glibc keeps more of it, the larger the pieces were that it was once asked for (malloc_trim(3),
    mallopt(3) on M_TRIM_THRESHOLD): without this a daemon grows in steps of a megabyte. Takes a millisecond
    or two after `settle`.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
