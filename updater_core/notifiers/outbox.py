"""The outbox: events wait on the disk until they are delivered, so that no restart or outage loses one."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from updater_core.errors import StateError, Unanswered, Unreachable, UpdaterError
from updater_core.host import files
from updater_core.logging_utils import LogEvent, log_event
from updater_core.models import AwareTime, Event
from updater_core.notifiers.grouping import MOST_TOGETHER, may_wait
from updater_core.state.codec import decode, encode, parse

_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 900.0
_GIVEN_UP_AFTER = timedelta(hours=24)
_DAMAGED_KEPT = 10
_NAME = re.compile(r"(\d{10})-([A-Za-z0-9._-]+)\.json")
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one pass did, as ids of events. A failed one is tried again, one that was given up is not."""

    delivered: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Queued:
    """A file of the outbox."""

    event: Event
    attempts: int = 0
    next_try: AwareTime | None = None


class Outbox:
    """A folder with one file for each event, numbered in the order of their coming.

    `put` may be called from any thread, `deliver` from one at a time.
    """

    def __init__(self, directory: Path, name: str = "") -> None:
        self._directory = directory
        self._name = name or directory.name  # for people
        self._lock = threading.Lock()
        self._is_gone = False  # in this pass: nobody is there
        self._retry_at: datetime | None = None  # not asked before, whatever waits

    def put(self, event: Event) -> None:
        """Queue an event; do nothing if its id is queued already. Raises StateError if the disk refuses."""
        with self._lock:
            names = self._names()
            if any(_id_in(name) == _plain_id(event.id) for name in names):
                return
            number = int(names[-1][:10]) + 1 if names else 1
            self._write(f"{number:010d}-{_plain_id(event.id)}.json", _Queued(event))

    def deliver(
        self, send: Callable[[Event], None], now: datetime, is_over: Callable[[], bool] = lambda: False
    ) -> Delivery:
        """Hand every event that is due to `send`, those of one service in order, until `is_over`.

        An event whose `send` raises waits 5 seconds, twice as long after each further failure, 15 minutes at
        most; the later ones of its service wait behind it, and all others too if nobody was there
        (`Unreachable`). After a day of failures it is given up, with a warning in the log. Raises StateError
        if the folder cannot be read or written.
        """
        results: dict[str, list[str]] = {"delivered": [], "failed": [], "given_up": []}
        waiting: set[str] = set()
        self._is_gone = self._retry_at is not None and now < self._retry_at
        for name in self._names():
            queued = None if is_over() else self._read(name)
            if (
                queued is None
                or queued.event.service in waiting
                or (self._is_gone and not _is_old(queued, now))
            ):
                continue
            result = (
                "waiting" if queued.next_try and queued.next_try > now else self._try(name, queued, send, now)
            )
            if result in results:
                results[result].append(queued.event.id)
            if result in ("waiting", "failed"):
                waiting.add(queued.event.service)
        return Delivery(**{result: tuple(ids) for result, ids in results.items()})

    def deliver_together(
        self,
        send: Callable[[Sequence[Event]], None],
        now: datetime,
        is_over: Callable[[], bool] = lambda: False,
        *,
        is_cycle_over: bool = True,
    ) -> Delivery:
        """Hand all events that are due to `send` at once: one message for all of them.

        As long as the cycle goes on, those that need nobody wait for its end (`grouping.may_wait`). If `send`
        raises, each of them waits as in `deliver`. Raises StateError if the folder cannot be read or written.
        """
        due = {} if is_over() else self._due(now)
        events = [queued.event for queued in due.values()]
        if not events or (not is_cycle_over and may_wait(events, now)):
            return Delivery()
        self._is_gone = False
        try:
            send(events)
        except Exception as error:  # whatever a notifier does wrong must not stop the updater
            results = {
                queued.event.id: self._failed(name, queued, error, now) for name, queued in due.items()
            }
            failed = tuple(key for key, result in results.items() if result == "failed")
            return Delivery(failed=failed, given_up=tuple(key for key in results if key not in failed))
        self._retry_at = None
        for name in due:
            files.remove(self._directory / name)
        return Delivery(delivered=tuple(event.id for event in events))

    def _due(self, now: datetime) -> dict[str, _Queued]:
        """Return what may be tried now, by its file; an event waits for the earlier ones of its service."""
        is_backing_off = self._retry_at is not None and now < self._retry_at
        due: dict[str, _Queued] = {}
        waiting: set[str] = set()
        for name in self._names():
            queued = self._read(name) if len(due) < MOST_TOGETHER else None
            if (
                queued is None
                or queued.event.service in waiting
                or (is_backing_off and not _is_old(queued, now))
            ):
                continue
            if queued.next_try and queued.next_try > now:
                waiting.add(queued.event.service)
            else:
                due[name] = queued
        return due

    def is_due(self) -> bool:
        """Return whether there is something to `deliver`, or a folder that cannot be read to report."""
        try:
            return bool(self._names())
        except StateError:
            return True

    def pending(self) -> int:
        """Return how many events wait; 0 if the folder cannot be read, which `deliver` reports."""
        with contextlib.suppress(StateError):
            return len(self._names())
        return 0

    def next_try(self) -> datetime | None:
        """Return when `deliver` has something to do again; None if nothing waits.

        A time that is past means: now.
        """
        first: dict[str, datetime] = {}
        with contextlib.suppress(StateError):  # `deliver` reports it
            for name in self._names():
                queued = self._read(name)
                if queued:
                    first.setdefault(queued.event.service, queued.next_try or queued.event.time)
        soonest = min(first.values(), default=None)
        return max(soonest, self._retry_at) if soonest and self._retry_at else soonest

    def clear_strays(self) -> None:
        """Remove half-written files of a killed process. Only for the one who holds the lock."""
        files.clear_own_strays(self._directory)

    def drop(self) -> None:
        """Remove the folder with all that waits in it, and say so. Only for the one who holds the lock."""
        count = self.pending()
        try:
            shutil.rmtree(self._directory)
        except OSError as error:
            text = (
                f"the outbox {self._directory} of an address that is not in NOTIFY_URLS any more cannot "
                "be removed"
            )
            log_event(_log, logging.ERROR, LogEvent.NOTIFY_FAILED, f"{text}: {error.strerror}")
            return
        if count:
            text = (
                f"{count} message(s) waited for an address that is not in NOTIFY_URLS any more, and are "
                "dropped"
            )
            log_event(_log, logging.WARNING, LogEvent.NOTIFY_GIVEN_UP, text, count=count)

    def _try(self, name: str, queued: _Queued, send: Callable[[Event], None], now: datetime) -> str:
        try:
            if self._is_gone:
                raise Unreachable("nobody is there to be notified")
            send(queued.event)
        except Exception as error:  # whatever a notifier does wrong must not stop the updater
            return self._failed(name, queued, error, now)
        self._retry_at = None
        files.remove(self._directory / name)
        return "delivered"

    def _failed(self, name: str, queued: _Queued, error: Exception, now: datetime) -> str:
        event = queued.event
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(queued.attempts, 20), _LONGEST_PAUSE_SECONDS)
        if isinstance(error, Unanswered):
            pause = _LONGEST_PAUSE_SECONDS  # it may have the event: not again and again within a minute
        if isinstance(error, Unreachable) and not self._is_gone:
            self._is_gone, self._retry_at = True, now + timedelta(seconds=pause)
        if _is_old(queued, now):
            text = f"{event.kind} ({event.id}) is given up for {self._name} after a day: {_words(error)}"
            text += _remedy(error)
            log_event(
                _log, logging.WARNING, LogEvent.NOTIFY_GIVEN_UP, text, service=event.service, id=event.id
            )
            files.remove(self._directory / name)
            return "given_up"
        later = replace(queued, attempts=queued.attempts + 1, next_try=now + timedelta(seconds=pause))
        # said once; when it is given up, once more
        level = logging.DEBUG if queued.attempts else logging.WARNING
        text = (
            f"{event.kind} was not delivered to {self._name}: {_words(error)}; tried again in {pause:.0f} s"
        )
        text += _remedy(error)
        log_event(_log, level, LogEvent.NOTIFY_FAILED, text, service=event.service, id=event.id)
        self._write(name, later)
        return "failed"

    def _names(self) -> list[str]:
        try:
            return sorted(entry.name for entry in self._directory.iterdir() if _NAME.fullmatch(entry.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StateError(f"the outbox {self._directory} cannot be read: {error.strerror}") from error

    def _read(self, name: str) -> _Queued | None:
        path = self._directory / name
        try:
            return decode(_Queued, parse(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            text = f"the outbox file {path} is damaged and moved aside: {error}"
            log_event(_log, logging.WARNING, LogEvent.NOTIFY_FAILED, text)
            self._move_aside(path)
            return None

    def _write(self, name: str, queued: _Queued) -> None:
        files.write_atomically(self._directory / name, json.dumps(encode(queued), indent=1).encode("ascii"))

    def _move_aside(self, path: Path) -> None:
        with contextlib.suppress(StateError):
            files.move(path, path.with_name(f"{path.name}.damaged"))
            for old in sorted(self._directory.glob("*.json.damaged"))[:-_DAMAGED_KEPT]:
                files.remove(old)


def _is_old(queued: _Queued, now: datetime) -> bool:
    return now - queued.event.time >= _GIVEN_UP_AFTER


def _words(error: Exception) -> str:
    """Return an error of ours in its own words; of any other only the kind, for it may hold an address."""
    return str(error) if isinstance(error, UpdaterError) else f"internal error {type(error).__name__}"


def _remedy(error: Exception) -> str:
    return f" ({error.remedy})" if isinstance(error, UpdaterError) and error.remedy else ""


def _plain_id(event_id: str) -> str:
    """Return an event's id as a part of a file name."""
    return event_id if _PLAIN_ID.fullmatch(event_id) else sha256(event_id.encode()).hexdigest()


def _id_in(name: str) -> str | None:
    match = _NAME.fullmatch(name)
    return match[2] if match else None
