"""The routes of the API: each request to its answer, as JSON. Whatever is refused says why and what to do."""

from __future__ import annotations

import json
import re
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from updater_core import __version__, reference
from updater_core.app import recorder
from updater_core.app.api import access, openapi
from updater_core.app.api.links import ApprovalLinks
from updater_core.app.api.submit import Submitted, submit, waiting_order
from updater_core.app.context import AppContext
from updater_core.app.orders.request_queue import LONGEST_PAUSE_SECONDS
from updater_core.errors import StateError
from updater_core.models import ApiToken, ImageRef, ServiceConfig
from updater_core.state import orders
from updater_core.state.codec import encode
from updater_core.state.orders import ALL, OperatorOrder
from updater_core.state.records import OrderTaken, service_of
from updater_core.status.markup import ORDERS_SCRIPT
from updater_core.status.server import ApiRequest, Response
from updater_core.vocabulary.options import plain

# Most orders are done within it, and a script then has its answer in one request.
WAIT_SECONDS = 3.0
_BASE = "/api/v1"
_SERVICE = re.compile(rf"{_BASE}/services/([A-Za-z0-9][A-Za-z0-9_.-]{{0,62}})(?:/([a-z]+))?")
_ORDER = re.compile(rf"{_BASE}/orders/([0-9a-f]{{32}})")
_KEYS: Mapping[str, frozenset[str]] = {
    orders.APPROVE: frozenset({"digest"}),
    orders.SKIP: frozenset({"digest"}),
    orders.PAUSE: frozenset({"for"}),
}


class Denied(Exception):
    """A request that is not carried out. `headers` go with the answer."""

    def __init__(self, status: HTTPStatus, error: str, remedy: str = "", **headers: str) -> None:
        super().__init__(error)
        self.status, self.error, self.remedy = status, error, remedy
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(slots=True)
class Api:
    """Answers every request below `/api/` and `/approve/`.

    `wake` asks the main thread to look at the queue.
    """

    context: AppContext
    wake: Callable[[], None]
    wait_seconds: float = WAIT_SECONDS
    limit: access.FailureLimit = field(default_factory=access.FailureLimit)

    def answer(self, request: ApiRequest) -> Response:
        """Return the answer. In any thread."""
        try:
            self._let_in(request)
            if request.path.startswith("/approve/"):
                return ApprovalLinks(self.context, self.wake, self.wait_seconds, self.limit).answer(request)
            return self._routed(request)
        except Denied as refusal:
            body = {"error": refusal.error, "remedy": refusal.remedy}
            return _json(body, refusal.status, refusal.headers)
        except StateError as error:
            return _json({"error": f"the order was not taken: {error}", "remedy": error.remedy}, _DISK)

    # ------------------------------------------------------------------------------------------------- access

    def _let_in(self, request: ApiRequest) -> None:
        settings = self.context.config.settings
        public = urlsplit(settings.api_public_url or "").hostname
        names = [name for name in (public, settings.metrics_host, socket.gethostname()) if name]
        # A page elsewhere may have its name resolve to this address (DNS rebinding); its requests carry its
        # own name as host.
        if not access.is_own_host(request.headers.get("host", ""), names):
            remedy = "ask by address or as localhost, or set API_PUBLIC_URL to the address that people use"
            raise Denied(HTTPStatus.MISDIRECTED_REQUEST, "this is not the host that was asked for", remedy)
        # A link is opened from a mail or a chat, and therefore from another site; it only shows a form.
        is_link = request.path.startswith("/approve/") and request.method in ("GET", "HEAD")
        if not is_link and access.is_foreign(request.headers, settings.api_public_url):
            raise Denied(
                HTTPStatus.FORBIDDEN, "another page has caused this request", "use the updater's own page"
            )
        # Before the token is looked at: a guess must cost time even if it is right.
        wait = self.limit.wait_seconds(request.peer, self.context.clock.monotonic())
        if wait:
            remedy = f"wait {wait} seconds"
            raise Denied(HTTPStatus.TOO_MANY_REQUESTS, "too many failures", remedy, Retry_After=str(wait))

    def _token(self, request: ApiRequest) -> ApiToken:
        token = access.token_of(request.headers, self.context.config.settings.api_tokens)
        if token is None:
            self.limit.failed(request.peer, self.context.clock.monotonic())
            challenge = 'Bearer realm="docker-updater"'
            remedy = "send `Authorization: Bearer TOKEN` with a token of API_TOKEN or api_tokens"
            raise Denied(HTTPStatus.UNAUTHORIZED, "no valid token", remedy, WWW_Authenticate=challenge)
        return token

    # ------------------------------------------------------------------------------------------------- routes

    def _routed(self, request: ApiRequest) -> Response:
        if request.path == "/orders.js":
            _only(request, "GET", "HEAD")
            return Response(ORDERS_SCRIPT, "text/javascript; charset=utf-8")
        # Without a token: it is the same for everybody and says nothing of this host.
        if request.path == f"{_BASE}/openapi.json":
            _only(request, "GET", "HEAD")
            return _json(openapi.document())
        token = self._token(request)
        if request.path == f"{_BASE}/services":
            _only(request, "GET", "HEAD")
            return _json(
                {"version": __version__, "services": [self._shown(each) for each in self._services()]}
            )
        if request.path == f"{_BASE}/check":
            return self._ordered(request, token, ALL, orders.CHECK)
        found = _ORDER.fullmatch(request.path)
        if found:
            _only(request, "GET", "HEAD")
            return self._order(found[1])
        return self._of_service(request, token)

    def _of_service(self, request: ApiRequest, token: ApiToken) -> Response:
        found = _SERVICE.fullmatch(request.path)
        if found is None or (found[2] is not None and found[2] not in openapi.ORDERS):
            raise Denied(
                HTTPStatus.NOT_FOUND, "there is nothing here", f"{_BASE}/openapi.json lists what there is"
            )
        name, kind = found[1], found[2]
        if kind is not None:
            return self._ordered(request, token, name, kind)
        _only(request, "GET", "HEAD")
        return _json(self._shown(self._service(name)))

    def _services(self) -> tuple[ServiceConfig, ...]:
        return self.context.config.services

    def _service(self, name: str) -> ServiceConfig:
        service = next((each for each in self._services() if each.name == name), None)
        if service is None:
            remedy = f"{_BASE}/services lists them"
            raise Denied(HTTPStatus.NOT_FOUND, f"no service is called {name!r}", remedy)
        return service

    # ------------------------------------------------------------------------------------------------- orders

    def _ordered(self, request: ApiRequest, token: ApiToken, name: str, kind: str) -> Response:
        _only(request, "POST")
        is_all = name == ALL and kind in orders.OF_ALL
        service = None if is_all else self._service(name)
        try:
            return self._submitted(request, token, service, kind)
        except Denied as refusal:
            # On record like any other, so that the operator sees who tries what.
            order = OperatorOrder(kind, name, self.context.clock.now(), uuid.uuid4().hex, token.name)
            recorder.order_refused(self.context, order, orders.refused(refusal.error, refusal.remedy))
            raise

    def _submitted(
        self, request: ApiRequest, token: ApiToken, service: ServiceConfig | None, kind: str
    ) -> Response:
        """Hand an order over, and answer with what came of it. Raises Denied if it is refused before that."""
        if token.may is not None and kind not in token.may:
            remedy = f"add {kind!r} to `may` of api_tokens.{token.name}, or use another token"
            raise Denied(HTTPStatus.FORBIDDEN, f"the token {token.name!r} may not {kind}", remedy)
        # After the right: who may not give an order need not know what it takes.
        body = _body(request, _KEYS.get(kind, frozenset()))
        name = ALL if service is None else service.name
        order = OperatorOrder(
            kind, name, self.context.clock.now(), who=token.name, digest=_digest(body), seconds=_seconds(body)
        )
        objection = orders.objection(self.context.state, order, service, order.at)
        if objection is not None:
            raise Denied(HTTPStatus.CONFLICT, objection.text, objection.remedy)
        return answer_of(submit(self.context, order, self.wake, self.wait_seconds))

    def _order(self, order_id: str) -> Response:
        taken = orders.find(self.context.state, order_id)
        if taken is not None:
            return _json(_taken(taken))
        waiting = waiting_order(self.context, order_id)
        if waiting is None:
            remedy = "a later order for the same service has replaced it, or it is long ago"
            raise Denied(HTTPStatus.NOT_FOUND, "this order is not known", remedy)
        return _json(_waiting(waiting))

    def _shown(self, service: ServiceConfig) -> dict[str, Any]:
        """Return what the API says of one service: how it is, what waits, what the operator has decided."""
        known = service_of(self.context.state, service.name)
        target = orders.waiting(known)
        decided = known.decisions
        of_all = self.context.state.pause
        return {
            "name": service.name,
            "enabled": service.enabled,
            "mode": service.policy.mode.value,
            "state": known.status.value,
            "reason": encode(known.reason),
            "detail": known.detail,
            "remedy": known.remedy,
            "current": {"reference": known.reference or None, "digest": known.digest},
            "available": _image(target),
            "pause": encode(decided.pause),
            "pause_of_all": encode(of_all),
            "skips": encode(decided.skips),
            "approval": _approval(decided.approval),
            "orders": [_taken(each) for each in known.orders],
        }


_DISK = HTTPStatus.INSUFFICIENT_STORAGE


def answer_of(submitted: Submitted) -> Response:
    """Return 200 for an order that was done, 409 for a refused one, 202 with its address if it waits."""
    if submitted.taken is None:
        place = f"{_BASE}/orders/{submitted.order.id}"
        return _json(_waiting(submitted.order), HTTPStatus.ACCEPTED, {"Location": place})
    return _json(_taken(submitted.taken), HTTPStatus.OK if submitted.taken.is_done else HTTPStatus.CONFLICT)


def _waiting(order: OperatorOrder) -> dict[str, Any]:
    return {
        "id": order.id,
        "state": "waiting",
        "order": order.kind,
        "service": order.service,
        "by": order.who,
        "asked_at": encode(order.at),
        "done_at": None,
        "digest": order.digest or None,
        "detail": "it is carried out at once, or when what is under way has ended",
    }


def _taken(taken: OrderTaken) -> dict[str, Any]:
    return {
        "id": taken.id,
        "state": "done" if taken.is_done else "refused",
        "order": taken.kind,
        "service": taken.service,
        "by": taken.who,
        "asked_at": encode(taken.asked_at),
        "done_at": encode(taken.done_at),
        "digest": taken.digest or None,
        "detail": taken.detail,
    }


def _image(image: ImageRef | None) -> dict[str, Any] | None:
    return None if image is None else {"reference": image.text, "digest": image.digest}


def _approval(approval: Any) -> dict[str, Any] | None:
    """Return an approval without the hash of its link."""
    if approval is None:
        return None
    shown: dict[str, Any] = encode(approval)
    return {key: value for key, value in shown.items() if key != "link_hash"}


# ------------------------------------------------------------------------------------------ reading a request


def _only(request: ApiRequest, *methods: str) -> None:
    if request.method not in methods:
        allowed = ", ".join(methods)
        error = f"{request.method} is not for this"
        raise Denied(HTTPStatus.METHOD_NOT_ALLOWED, error, f"use {allowed}", Allow=allowed)


def _body(request: ApiRequest, keys: frozenset[str]) -> Mapping[str, Any]:
    """Return the JSON object of a request; one without a body is empty.

    Raises Denied if it is none, or has others than these keys.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A form of another page can send no such type without the browser asking us first.
    if kind != "application/json":
        remedy = "send `Content-Type: application/json`"
        raise Denied(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "only JSON is taken", remedy)
    try:
        body = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        raise Denied(HTTPStatus.BAD_REQUEST, "the body is no JSON", "send an object, or nothing") from None
    if not isinstance(body, dict):
        raise Denied(HTTPStatus.BAD_REQUEST, "the body is no object", "send an object, or nothing")
    unknown = sorted(body.keys() - keys)
    if unknown:
        known = ", ".join(sorted(keys)) or "nothing"
        raise Denied(HTTPStatus.BAD_REQUEST, f"unknown key {unknown[0][:40]!r}", f"this order takes {known}")
    return body


def _digest(body: Mapping[str, Any]) -> str:
    digest = body.get("digest", "")
    if digest and not (isinstance(digest, str) and reference.is_digest(digest)):
        raise Denied(HTTPStatus.BAD_REQUEST, "digest is none", "write sha256: and 64 hexadecimal characters")
    return str(digest or "")


def _seconds(body: Mapping[str, Any]) -> float | None:
    if body.get("for") is None:
        return None
    remedy = "write a number of seconds, or a text such as 90m, 12h or 3d, at most ten years"
    try:
        seconds = float(plain.seconds(body["for"]))
    except ValueError:
        raise Denied(HTTPStatus.BAD_REQUEST, "for is no length of time", remedy) from None
    if not 0 < seconds <= LONGEST_PAUSE_SECONDS:
        raise Denied(HTTPStatus.BAD_REQUEST, "for is out of range", remedy)
    return seconds


def _json(
    body: object, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(json.dumps(body) + "\n", "application/json", status, headers or {})
