"""Where the HTTP API listens and whom it lets in, in words for the log and for `--test`.

No token is in them.
"""

from __future__ import annotations

from collections.abc import Iterator

from updater_core.app.orders import approval_link
from updater_core.deploy.target import Finding
from updater_core.models import ApiToken, Settings
from updater_core.net.url_rules import is_loopback
from updater_core.state import orders

_SUBJECT = "api"


def is_on(settings: Settings) -> bool:
    """Return whether there is anything that the API would let in: a token, or links that approve."""
    return settings.metrics_port is not None and (
        bool(settings.api_tokens) or approval_link.are_sent(settings)
    )


def without_tls(settings: Settings) -> tuple[str, str] | None:
    """Return what is wrong and what to do if others can read the tokens on their way; None if they cannot."""
    public = settings.api_public_url or ""
    if not is_on(settings) or is_loopback(settings.metrics_host) or public.startswith("https://"):
        return None
    text = (
        f"the API listens on {settings.metrics_host} without TLS: whoever is on the way can read its tokens"
    )
    remedy = (
        "set METRICS_HOST to 127.0.0.1, a proxy with TLS in front, and API_PUBLIC_URL to its https address"
    )
    return text, remedy


def findings(settings: Settings) -> Iterator[Finding]:
    """Yield what `--test` says of the API: whether it is on, where it listens, and what each token may do."""
    if not is_on(settings):
        yield Finding(
            True, _SUBJECT, "off: no token is configured, and orders come from the command line alone"
        )
        return
    yield Finding(True, _SUBJECT, f"on at {_address(settings)}; {_links(settings)}")
    for token in settings.api_tokens:
        yield Finding(True, _SUBJECT, f"token {token.name} may {_rights(token)}")
    wrong = without_tls(settings)
    if wrong is not None:
        yield Finding(True, _SUBJECT, *wrong, is_warning=True)


def _address(settings: Settings) -> str:
    host = f"[{settings.metrics_host}]" if ":" in settings.metrics_host else settings.metrics_host
    port = settings.metrics_port
    behind = f", for others at {settings.api_public_url}" if settings.api_public_url else ""
    return f"http://{host}:{port if port else '(any free port)'}{behind}"


def _links(settings: Settings) -> str:
    """Return whether messages carry links that approve."""
    if approval_link.are_sent(settings):
        return "messages carry links that approve"
    return "messages carry no links, for api_public_url is not set"


def _rights(token: ApiToken) -> str:
    """Return what a token opens, in the order in which the orders are documented.

    >>> from updater_core.models import Secret
    >>> _rights(ApiToken("ci", Secret("x"), frozenset({"check", "update"})))
    'update, check'
    >>> _rights(ApiToken("all", Secret("y")))
    'give every order'
    """
    if token.may is None:
        return "give every order"
    return ", ".join(kind for kind in orders.KINDS if kind in token.may) or "only read"
