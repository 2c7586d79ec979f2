"""What is served while the daemon runs: metrics, the status page and its JSON, health, and the API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from updater_core.app.context import AppContext
from updater_core.status import page
from updater_core.status.facts import health_of, view_of
from updater_core.status.inputs import StatusFacts
from updater_core.status.server import WITH_SCRIPT, ApiRequest, Endpoints, Response, StatusServer


@dataclass(frozen=True, slots=True)
class StatusPages:
    """The pages of a context; `facts` returns everything as it is now. Asked from any thread.

    `answer`: the API's (None: there is none).
    """

    context: AppContext
    facts: Callable[[], StatusFacts]
    answer: Callable[[ApiRequest], Response] | None

    def listen(self, host: str, port: int) -> StatusServer:
        """Return a server with these pages. Raises UpdaterError if the address cannot be taken."""
        pages = Endpoints(self._metrics, self._html, self._json, self._health, self.answer)
        return StatusServer(host, port, pages)

    def _metrics(self, accept: str) -> Response:
        return Response(*self.context.metrics.exposition(accept))

    def _html(self, is_refreshing: bool) -> Response:
        has_orders = self.answer is not None and bool(self.context.config.settings.api_tokens)
        view = view_of(self.facts())
        text = page.status_html(view, is_refreshing=is_refreshing, has_orders=has_orders)
        return Response(text, "text/html; charset=utf-8", headers=WITH_SCRIPT if has_orders else {})

    def _json(self) -> Response:
        return Response(page.status_json(view_of(self.facts())), "application/json")

    def _health(self) -> Response:
        is_well, why = health_of(self.facts())
        return Response(f"{why}\n", status=HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE)
