"""The orders on the command line: their flags, who gives them, and what is handed to a daemon that runs."""

from __future__ import annotations

import argparse
import os
import pwd
import uuid
from collections.abc import Mapping
from datetime import datetime

from updater_core.app.orders.request_queue import LONGEST_PAUSE_SECONDS
from updater_core.errors import ConfigError
from updater_core.models import Config
from updater_core.state import orders
from updater_core.state.orders import ALL, OperatorOrder
from updater_core.vocabulary.options import plain

_HELP: Mapping[str, tuple[str, str]] = {
    orders.UPDATE: ("NAME", "update a service now: past window, mode and age, never past a quarantine"),
    orders.APPROVE: ("NAME", "let the image that waits be taken"),
    orders.SKIP: ("NAME", "do not take the image that waits, under any tag, until a newer one appears"),
    orders.PAUSE: ("NAME", "no updates of a service, or of `all`; checks go on"),
    orders.RESUME: ("NAME", "end such a pause, or that of `all`"),
    orders.RETRY: ("NAME", "lift the quarantine of a service and let it be updated again"),
    orders.ROLLBACK: ("NAME", "go back to the image before, until a newer one appears"),
}
FOR_REMEDY = "write a number with a unit, such as 90m, 12h, 3d or 2w, at most ten years"


def add_flags(group: argparse._MutuallyExclusiveGroup) -> None:
    """Add a flag for each order."""
    for kind, (metavar, text) in _HELP.items():
        group.add_argument(f"--{kind}", metavar=metavar, help=text)


def seconds_of(text: str) -> float:
    """Return the length of a pause. Raises ArgumentTypeError if it is none."""
    try:
        seconds = plain.seconds(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time; {FOR_REMEDY}") from None
    if not 0 < seconds <= LONGEST_PAUSE_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range; {FOR_REMEDY}")
    return seconds


def kind_of(options: argparse.Namespace) -> str | None:
    """Return which order the arguments give; None if none."""
    return next((each for each in _HELP if getattr(options, each) is not None), None)


def order_of(
    options: argparse.Namespace, environment: Mapping[str, str], now: datetime
) -> OperatorOrder | None:
    """Return the order that the arguments give; None if they give none."""
    kind = kind_of(options)
    if kind is None:
        return None
    name = getattr(options, kind)
    return OperatorOrder(kind, name, now, uuid.uuid4().hex, who_of(environment), seconds=options.pause_for)


def who_of(environment: Mapping[str, str]) -> str:
    """Return the name of the user who runs the command; behind `sudo` that of the one who called it."""
    caller = environment.get("SUDO_USER") if os.geteuid() == 0 else None
    if caller and caller.isprintable():
        return caller[:80]
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def require_service(config: Config, name: str | None, kind: str = "") -> None:
    """See that a service has this name.

    Raises ConfigError that names those there are, and the one that was meant.
    """
    names = [service.name for service in config.services]
    is_all = name == ALL and kind in orders.OF_ALL
    if name is None or name in names or is_all:
        return
    if name == ALL:
        raise ConfigError([f"--{kind} is for one service; name it: {', '.join(names) or 'there is none'}"])
    groups = [service.name for service in config.services if name in service.parts]
    hint = f"; {name} moves with {groups[0]}: write that name" if groups else ""
    raise ConfigError(
        [f"no service is called {name!r}; {config.path} has {', '.join(names) or 'none'}{hint}"]
    )
