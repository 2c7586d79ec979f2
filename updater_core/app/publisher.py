"""What the outside may see of a running daemon: its status, for the status server.

The main thread replaces the status as it goes on, as it does with the state; the server's threads only read.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from updater_core import __version__, logging_utils
from updater_core.app.api import exposure
from updater_core.app.context import LOG, AppContext, address_of
from updater_core.errors import UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.status.inputs import DaemonStatus, Quota, StatusFacts


class Watch:
    """The daemon as others see it. Without METRICS_PORT nothing listens, and this only keeps the time."""

    def __init__(self, context: AppContext, wake: Callable[[], None] | None = None) -> None:
        """Watch a context; `wake` asks the main thread to look at the queue of orders (None: no API)."""
        self._context = context
        self._wake = wake
        self._pulse = DaemonStatus(context.clock.now())
        self._server: Any = None  # a StatusServer, whose module is loaded only for whoever has a port
        self._address: tuple[str, int | None, bool] = ("", None, False)

    def open(self) -> None:
        """Listen on the configured address; may be called again when that has changed.

        An address that cannot be taken is said, and the updater goes on without.
        """
        self._context.metrics.interval(self._context.config.settings.check_interval_seconds)
        address = (*address_of(self._context.config), self._has_api())
        # A reload that changes nothing here must not close connections of probes.
        if self._server is not None and address == self._address:
            return
        self.close()
        self._address = address
        host, port, _ = address
        if port is None:
            return
        self._warn()
        try:
            self._server = self._listen(host, port)
        # Updates go on without a page: what watches over them is no reason to stop.
        except UpdaterError as error:
            log_event(LOG, logging.ERROR, LogEvent.INTERNAL_ERROR, f"{error} ({error.remedy})")

    def _listen(self, host: str, port: int) -> Any:
        # An HTTP server, the page and the API are 2 MB of memory that a daemon without a port does not need.
        from updater_core.app.api.pages import StatusPages
        from updater_core.app.api.routes import Api

        answer = Api(self._context, self._wake).answer if self._wake and self._has_api() else None
        return StatusPages(self._context, self.facts, answer).listen(host, port)

    def _has_api(self) -> bool:
        return self._wake is not None and exposure.is_on(self._context.config.settings)

    def _warn(self) -> None:
        wrong = exposure.without_tls(self._context.config.settings) if self._has_api() else None
        if wrong is not None:
            text, remedy = wrong
            log_event(LOG, logging.WARNING, LogEvent.API_WITHOUT_TLS, f"{text} ({remedy})")

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        self._server = None

    def cycle_begins(self) -> None:
        """Note that a cycle begins now."""
        self._pulse = replace(self._pulse, cycle_begun=self._context.clock.now(), next_cycle=None)

    def cycle_ended(self, *, is_engine_down: bool) -> None:
        """Note that a cycle is over, when and how long it was, and what it left to do."""
        context, now = self._context, self._context.clock.now()
        open_updates = pending = 0
        with contextlib.suppress(UpdaterError):  # of the disk: it is logged by what writes there
            names = context.workers.names
            open_updates = sum(entry.service not in names for entry in context.journal.read_all())
            pending = sum(channel.outbox.pending() for channel in context.channels)
        limits = context.registries.limits()
        context.metrics.show_limits({host: (limit.remaining, limit.limit) for host, limit in limits.items()})
        self._pulse = replace(
            self._pulse,
            cycle_begun=None,
            cycle_ended=now,
            cycle_seconds=(now - (self._pulse.cycle_begun or now)).total_seconds(),
            is_engine_down=is_engine_down,
            open_updates=open_updates,
            pending_messages=pending,
        )

    def sleeps(self, seconds: float) -> None:
        """Note that the next cycle comes in so many seconds, unless somebody wants it sooner."""
        self._pulse = replace(self._pulse, next_cycle=self._context.clock.now() + timedelta(seconds=seconds))

    def facts(self) -> StatusFacts:
        """Return everything as it is now. From any thread."""
        context = self._context
        limits = context.registries.limits()
        return StatusFacts(
            now=context.clock.now(),
            host=socket.gethostname(),
            version=__version__,
            config=context.config,
            state=context.state,
            pulse=self._pulse,
            under_way=context.steps.under_way,
            quotas={h: Quota(q.limit, q.remaining, q.window_seconds, q.seen_at) for h, q in limits.items()},
            clean=logging_utils.redact,
        )
