"""Links that approve: each is for one image of one service, is good once, and asks before it acts.

A chat fetches a link to show what is behind it, and a mail gateway to look for harm: so a GET changes
nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from updater_core.app.api.access import FailureLimit
from updater_core.app.api.submit import Submitted, submit
from updater_core.app.context import AppContext
from updater_core.app.orders import approval_link
from updater_core.host import times
from updater_core.policy.operator.decisions import Approval
from updater_core.reference import short, short_digest
from updater_core.state import orders
from updater_core.state.orders import OperatorOrder
from updater_core.state.records import State, service_of
from updater_core.status import markup
from updater_core.status.markup import STYLE, STYLE_HASH
from updater_core.status.server import ApiRequest, Response

WHO = "approval link"
_PAGE, _FORM = markup.template("approve"), markup.template("approve_form")
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action "
    "'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # without one, a browser says of no form where it comes from
}


@dataclass(frozen=True, slots=True)
class _AskedService:
    service: str
    approval: Approval


@dataclass(frozen=True, slots=True)
class ApprovalLinks:
    """Answers what is asked under `/approve/`."""

    context: AppContext
    wake: Callable[[], None]
    wait_seconds: float
    limit: FailureLimit

    def answer(self, request: ApiRequest) -> Response:
        """Return the page behind a link: a question to GET, the outcome of the approval to POST."""
        if request.method not in ("GET", "HEAD", "POST"):
            return _page("Nothing was done", "Open the link in a browser.", HTTPStatus.METHOD_NOT_ALLOWED)
        token_hash, now = (
            approval_link.hash_of(request.path.removeprefix(approval_link.PATH)),
            self.context.clock.now(),
        )
        found = _find(self.context.state, token_hash, now)
        if found is None:
            self.limit.failed(request.peer, self.context.clock.monotonic())
            return _gone()
        if request.method != "POST":
            return self._asking(found)
        if not self._claim(found, token_hash, now):
            return _gone()
        return self._approved(found)

    def _asking(self, found: _AskedService) -> Response:
        approval = found.approval
        running = service_of(self.context.state, found.service).reference
        form = _FORM.format(
            service=found.service,
            old=short(running) or "unknown",
            new=short(approval.reference),
            digest=short_digest(approval.digest),
            end=times.utc(approval.expires_at),
        )
        return _page(f"Approve the update of {found.service}?", form)

    def _claim(self, found: _AskedService, token_hash: str, now: datetime) -> bool:
        """Use the link up: of two that come at once, one gets it."""

        def used_up(state: State) -> State:
            return orders.without_link(state, found.service) if _find(state, token_hash, now) else state

        return self.context.change(used_up)

    def _approved(self, found: _AskedService) -> Response:
        now = self.context.clock.now()
        order = OperatorOrder(orders.APPROVE, found.service, now, who=WHO, digest=found.approval.digest)
        taken = submit(self.context, order, self.wake, self.wait_seconds)
        return _outcome(taken)


def _find(state: State, token_hash: str, now: datetime) -> _AskedService | None:
    """Return the open question that a link is for.

    Every hash is compared, and takes as long whatever is right.
    """
    found = None
    for name, known in state.services.items():
        approval = known.decisions.approval
        if approval is None or not approval.link_hash:
            continue
        is_it = hmac.compare_digest(approval.link_hash, token_hash)
        if is_it and approval.is_open(now):
            found = _AskedService(name, approval)
    return found


def _outcome(submitted: Submitted) -> Response:
    taken = submitted.taken
    if taken is None:
        text = f"{submitted.order.service} is approved as soon as what is under way has ended."
        return _page("Approved", text, HTTPStatus.ACCEPTED)
    if taken.is_done:
        return _page("Approved", f"{submitted.order.service}: {taken.detail}.")
    return _page("Not approved", f"{submitted.order.service}: {taken.detail}.", HTTPStatus.CONFLICT)


def _gone() -> Response:
    text = (
        "This link was used already, is too old, or the image that it was for has been replaced. Nothing was "
        "done. If a newer image waits, there is a newer message."
    )
    return _page("This link is not good any more", text, HTTPStatus.GONE)


def _page(title: str, body: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    text = _PAGE.format(title=title, body=body, style=STYLE)
    return Response(text, "text/html; charset=utf-8", status, _HEADERS)
