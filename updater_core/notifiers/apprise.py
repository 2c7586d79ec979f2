"""Chat, mail and push, by the Apprise library, which is installed only on request (requirements-apprise.txt).

https://github.com/caronc/apprise: its addresses (`slack://…`, `mailto://…`) are passwords, so none of them,
nor a piece of one, reaches a message or a log. It is imported when the first address is used, for it is
large.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import re
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from updater_core.errors import Unanswered, UpdaterError
from updater_core.models import Event, Secret, Settings
from updater_core.notifiers.message import message_of_all
from updater_core.notifiers.redaction import without_address
from updater_core.notifiers.sender import AddressSender

KIND = "apprise"
REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements-apprise.txt"
_INSTALLED = Path("/opt/docker-auto-updater")  # the folder into which install.sh puts the program
_REMEDY = "Check this address of NOTIFY_URLS and its service; for this address the event stays queued."
# A service that does its work before it answers takes its time: one that is cut off gets the message again.
_ANSWER_SECONDS = 30.0
_LONGEST_SECONDS = 45.0
_NAMES_A_TIMEOUT = re.compile(r"[?&]rto=", re.IGNORECASE)  # Apprise's option for it, in the address
_WORSE = {"WARNING", "ERROR", "CRITICAL"}


def install_remedy(requirements: Path = REQUIREMENTS) -> str:
    """Return how to install Apprise beside this program, whose list of what it needs is `requirements`.

    By the installer if that has put the program in its place, else by pip.

    >>> install_remedy(Path("/opt/docker-auto-updater/releases/1/requirements-apprise.txt"))
    'install it: cd /opt/docker-auto-updater/current && sudo ./install.sh --with-apprise'
    """
    if requirements.is_relative_to(_INSTALLED):
        return f"install it: cd {_INSTALLED}/current && sudo ./install.sh --with-apprise"
    return f"install it: {sys.executable} -m pip install -r {requirements}"


def senders(settings: Settings) -> Sequence[AddressSender]:
    """Return a digest and what sends events, for each of NOTIFY_URLS.

    The digest distinguishes the address, which is a secret, from others: it names a folder.
    """
    return [
        AddressSender(_digest(url), partial(send, url=url), partial(send_together, url=url))
        for url in settings.notify_urls
    ]


def problems(settings: Settings) -> Sequence[str]:
    """Return whether Apprise is here, and knows each address."""
    if not settings.notify_urls:
        return ()
    if not _is_installed():
        return (f"NOTIFY_URLS: the Apprise library is not installed; {install_remedy()}",)
    remedy = (
        "see its address on https://github.com/caronc/apprise/wiki; "
        "those of Watchtower are others: docs/from-watchtower.md#notifications"
    )
    return [
        f"NOTIFY_URLS: Apprise cannot use address {number} ({_scheme(url)}://…); {remedy}"
        for number, url in enumerate(settings.notify_urls, start=1)
        if _service(url) is None
    ]


def send(event: Event, url: Secret) -> None:
    """Notify one address of one event, as `send_together` does."""
    send_together([event], url)


def send_together(events: Sequence[Event], url: Secret) -> None:
    """Notify one address of all events, in one message.

    Raises UpdaterError if it was not notified; Unanswered if it took so long that it may have been."""
    if not _is_installed():
        raise UpdaterError("the Apprise library is not installed", install_remedy())
    library, service = _library(), _service(url)
    message = message_of_all(events, _most_characters(service))
    target = library.Apprise()
    target.add(service)
    begun = time.monotonic()
    try:
        result = target.notify(
            title=message.title,
            body=message.body,
            body_format="text",
            notify_type=library.NotifyType(message.mood),
            timeout=_LONGEST_SECONDS,
        )
    except Exception as error:  # a plugin may raise anything, and its text may hold the address
        raise UpdaterError(f"{_scheme(url)} failed in Apprise: {type(error).__name__}", _REMEDY) from None
    if not result:
        why = [entry.message for entry in result.logs() if entry.level in _WORSE] or ["no reason given"]
        kind = Unanswered if time.monotonic() - begun >= _ANSWER_SECONDS else UpdaterError
        raise kind(f"{_scheme(url)} was not notified: {without_address(why[-1], url)}", _REMEDY)


def _service(url: Secret) -> Any:
    """Apprise's own object for an address, with time to answer; None if it cannot read the address."""
    service = _library().Apprise.instantiate(url.reveal(), suppress_exceptions=True)
    if service is not None and not _NAMES_A_TIMEOUT.search(url.reveal()):
        service.socket_read_timeout = _ANSWER_SECONDS  # its own is 4 s
    return service


def _most_characters(service: Any) -> int | None:
    """Return how long a text the service takes, its title included; None if it does not say."""
    most = getattr(service, "body_maxlen", None)
    return most if isinstance(most, int) and most > 0 else None


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec("apprise") is not None
    except ValueError:  # how Python says that somebody has put None in its place
        return False


def _library() -> Any:
    """Return the library, with its log kept out of ours: it names hosts and paths, at DEBUG whole addresses.

    Its warnings are in its results, whatever LOG_LEVEL says.
    """
    talk = logging.getLogger("apprise")
    talk.propagate = False
    talk.setLevel(logging.WARNING)
    return importlib.import_module("apprise")


def _digest(url: Secret) -> str:
    """Long enough to distinguish addresses, and too short to say for sure which one it was."""
    return hashlib.sha256(url.reveal().encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _scheme(url: Secret) -> str:
    return url.reveal().partition("://")[0].lower()
