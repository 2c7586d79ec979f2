"""A line of the program's log, without the log."""

from __future__ import annotations

import logging

from updater_core.logging_utils import PlainFormatter


def logged(text: str) -> str:
    """Return what a person would read of this text, after the time and the level."""
    return (
        PlainFormatter()
        .format(logging.makeLogRecord({"msg": text, "levelname": "INFO"}))
        .partition("INFO  ")[2]
    )
