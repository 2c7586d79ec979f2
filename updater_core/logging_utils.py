"""Logging: one line for each event, for people or for machines, and never a secret in it.

Secrets are taken out of the finished text, so that arguments, exceptions and tracebacks are covered alike.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, urlsplit

from updater_core.models import Credential, Secret, Settings
from updater_core.vocabulary.secret import secrets_in
from updater_core.vocabulary.untrusted import escaped

_FILE_BYTES = 10_000_000
_FILES_KEPT = 5
_SHORTEST_SECRET = 4  # anything shorter would blank out half of every line, and protect nothing
# their DEBUG lines hold addresses
_TALKATIVE = ("urllib3", "requests", "docker", "botocore", "boto3", "google")
_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}

# logins that were obtained at run time: tokens are renewed for as long as the process lives
_OBTAINED_KEPT = 512

_secrets: set[str] = set()
_obtained: dict[str, frozenset[str]] = {}  # by the secret itself, the one used last at the end
_obtained_lock = threading.Lock()


class LogEvent(StrEnum):
    """What a line is about: the `event` of JSON lines. Names are stable."""

    STARTED = "started"
    STOPPED = "stopped"
    CONFIG_LOADED = "config_loaded"
    CONFIG_REFUSED = "config_refused"
    CYCLE_ENDED = "cycle_ended"
    CHECKED = "checked"
    AVAILABLE = "available"
    HELD = "held"
    CHECK_FAILED = "check_failed"
    UPDATE_STARTED = "update_started"
    UPDATE_STEP = "update_step"
    UPDATED = "updated"
    NOT_STARTED = "not_started"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    TAKEN_OVER = "taken_over"
    HOOK_ENDED = "hook_ended"
    HOOK_FAILED = "hook_failed"
    RECOVERED = "recovered"
    QUARANTINE_LIFTED = "quarantine_lifted"
    APPROVAL_ASKED = "approval_asked"
    ORDER_DONE = "order_done"
    ORDER_REFUSED = "order_refused"
    API_WITHOUT_TLS = "api_without_tls"
    REQUEST_DROPPED = "request_dropped"
    STATE_RESTORED = "state_restored"
    STATE_ELSEWHERE = "state_elsewhere"
    STATE_NOT_SAVED = "state_not_saved"
    NOTIFY_FAILED = "notify_failed"
    NOTIFY_GIVEN_UP = "notify_given_up"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    INTERNAL_ERROR = "internal_error"


def log_event(
    logger: logging.Logger,
    level: int,
    event: LogEvent,
    message: str,
    /,
    *,
    service: str = "",
    **fields: object,
) -> None:
    """Log a message with its event, its service and further fields, which only JSON lines show.

    A % in the message stands for itself.
    """
    logger.log(level, "%s", message, extra={"log_event": event.value, "service": service, "fields": fields})


def protect(*secrets: Secret | None) -> None:
    """Show these texts as `***` in the log from now on, also if they are quoted for a URL."""
    for secret in filter(None, secrets):
        _secrets.update(_forms(secret.reveal()))


def protect_login(credential: Credential) -> None:
    """Do the same for the secret of a login that the updater was given (by a helper, by a cloud).

    It is hidden alone and as basic authentication sends it. Such secrets change all the time, so only those
    used last are remembered.
    """
    secret = credential.secret.reveal()
    with _obtained_lock:
        known = _obtained.pop(secret, None)
        if known is None:
            pair = base64.b64encode(f"{credential.username}:{secret}".encode()).decode()
            known = _forms(secret) | _forms(pair)
        _obtained[secret] = known
        while len(_obtained) > _OBTAINED_KEPT:
            del _obtained[next(iter(_obtained))]


def _forms(text: str) -> frozenset[str]:
    """Return the forms in which a secret may stand in a text."""
    return frozenset(each for each in (text, quote(text, safe="")) if len(each) >= _SHORTEST_SECRET)


def redact(text: str) -> str:
    """Return the text without protected secrets. Longest first: one secret may be a part of another."""
    for secret in sorted(_secrets.union(*list(_obtained.values())), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


class PlainFormatter(logging.Formatter):
    """Formats as `2026-11-23 08:00:00 INFO  web: message`, in local time.

    Further lines are indented, control characters escaped. Derived because the handlers of `logging` take
    nothing else.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record, without secrets."""
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        level = _LEVELS.get(record.levelname, record.levelname)
        service = redact(getattr(record, "service", ""))
        text = "\n".join(filter(None, (record.getMessage(), _traceback(self, record))))
        lines = redact(text).splitlines()
        return f"{moment} {level:<5} {service + ': ' if service else ''}" + "\n    ".join(map(escaped, lines))


class JsonFormatter(logging.Formatter):
    """Formats as a JSON object on one line: ts, level, event, service, message, further fields, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the one line of a record, without secrets."""
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "event": getattr(record, "log_event", "log"),
            "service": getattr(record, "service", "") or None,
            "message": record.getMessage(),
        }
        traceback = _traceback(self, record)
        further = {**getattr(record, "fields", {}), **({"traceback": traceback} if traceback else {})}
        line.update((key, value) for key, value in further.items() if key not in line)
        return json.dumps(_redacted(line))


def set_up(settings: Settings, stream: TextIO) -> tuple[str, ...]:
    """Send the log to `stream` and to LOG_FILE only; may be called again on reload.

    Returns a sentence if the file cannot be written; the stream has everything then.
    """
    protect(*secrets_in(settings), _path_of(settings.webhook_url))
    handlers: list[logging.Handler] = [logging.StreamHandler(stream)]
    warnings: tuple[str, ...] = ()
    if settings.log_file:
        try:
            handlers.append(_file_handler(Path(settings.log_file)))
        except OSError as error:
            reason = error.strerror or str(error)
            warnings = (
                f"LOG_FILE {settings.log_file} cannot be written ({reason}); the log goes to stderr only",
            )
    _install(
        handlers, JsonFormatter() if settings.log_format == "json" else PlainFormatter(), settings.log_level
    )
    return warnings


def _install(handlers: Iterable[logging.Handler], formatter: logging.Formatter, level: str) -> None:
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    # a full disk under the log file does not belong on stderr, least of all unredacted
    logging.raiseExceptions = False


class _LogFile(RotatingFileHandler):
    """A file that rotates itself by size, and that logrotate or a person may move away or remove meanwhile.

    Before each line it is checked whether the path still leads to the open file; if not, it is opened anew.
    Only the file owner may read it, whatever the umask.

    Derived because the handlers of `logging` take nothing else.
    """

    def emit(self, record: logging.LogRecord) -> None:
        stream = self.stream
        if stream is not None and not _leads_to(self.baseFilename, stream.fileno()):
            self.stream = None  # opened anew for this line
            with suppress(OSError):
                stream.close()
        super().emit(record)

    def rotate(self, source: str, dest: str) -> None:
        """Rotate; a file that somebody else has just moved away is rotated already."""
        with suppress(FileNotFoundError):
            Path(source).replace(dest)

    def _open(self) -> TextIOWrapper:
        os.close(os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return super()._open()


def _leads_to(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))  # noqa: PTH116 - before each line: nothing slower
    except FileNotFoundError:
        return False
    except OSError:
        return True  # what cannot be seen is no reason to close a file that can be written


def _file_handler(path: Path) -> logging.Handler:
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    return _LogFile(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8", errors="replace")


def _path_of(url: Secret | None) -> Secret | None:
    """Return the part of a webhook's address that holds its token; libraries name it without the host."""
    if not url:
        return None
    try:
        parts = urlsplit(url.reveal())
    except ValueError:
        return None
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return Secret(path) if len(path) >= 12 else None  # `/webhook` is no secret


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[0]:
        return formatter.formatException(record.exc_info)
    return record.exc_text or ""


def _redacted(value: object) -> Any:
    if isinstance(value, Mapping):
        return {redact(str(key)): _redacted(item) for key, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_redacted(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))
