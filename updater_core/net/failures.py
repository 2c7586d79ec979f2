"""What went wrong with an exchange, in a sentence and with a remedy: the libraries' errors, wrapped once."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3

from updater_core.net.url_rules import dialled_problem

_NO_TLS_THERE = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"}
_TUNNEL_STATUS = re.compile(r"Tunnel connection failed: (\d{3}[ -~]{0,60})")
PROXY_REMEDY = "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the updater's environment"
REDIRECT_REMEDY = (
    "let the registry send us to an https address of its own network or of the public net, or answer by "
    "itself (storage.redirect.disable in the configuration of a registry:2); its token service may be named "
    "in registry_config.token_realm_hosts"
)


class Broken(Exception):
    """An exchange that came to no answer; it never holds the URL.

    `lasting`: trying again does not help; `silent`: nothing came at all; `connected`: the host was there, and
    it may be this question alone that takes too long.
    """

    def __init__(self, why: str, remedy: str = "", lasting: bool = False, silent: bool = False) -> None:
        super().__init__(why)
        self.remedy = remedy
        self.lasting = lasting
        self.silent = silent
        self.connected = False


def redirect_refused(url: str, address: str, dialled: str) -> Broken | None:
    """Return the error of a redirect to an address that may not be dialled; see `dialled_problem`."""
    problem = dialled_problem(url, address, dialled)
    why = f"nobody is sent there by us: {problem}"
    return Broken(why, REDIRECT_REMEDY, lasting=True) if problem else None


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Return an error and all that the libraries wrapped in it, the innermost first."""
    wrapped = next((each for each in error.args if isinstance(each, BaseException)), None)
    inner = error.__cause__ or wrapped or error.__context__
    if inner is not None:
        yield from causes_of(inner)
    yield error


def is_disconnect(causes: tuple[BaseException, ...]) -> bool:
    """Return whether the other side closed the connection, by the innermost of the causes."""
    return isinstance(causes[0], ConnectionError | ssl.SSLEOFError)


def broken_by(causes: tuple[BaseException, ...], *, is_at_proxy: bool) -> Broken:
    """Return the sentence for whatever went wrong below: the innermost cause that we have one for."""
    if is_at_proxy or any(isinstance(cause, urllib3.exceptions.ProxyError) for cause in causes):
        is_late = is_at_proxy and any(isinstance(cause, TimeoutError) for cause in causes)
        status = next((found[1] for cause in causes if (found := _TUNNEL_STATUS.search(str(cause)))), "")
        why = "did not answer in time" if is_late else _refusal_of_proxy(status)
        return Broken(f"the proxy of the environment {why}", PROXY_REMEDY, silent=True)
    known = next((broken for cause in causes if (broken := _sentence(cause))), None)
    name = type(causes[0]).__name__
    if known is None and isinstance(causes[-1], ValueError):  # before anything was sent
        return Broken(f"no request can be made of its address ({name})", lasting=True)
    return known or Broken(f"it answered with something that is not HTTP ({name})")


def _refusal_of_proxy(status: str) -> str:
    return f"refuses to connect us (status {status})" if status else "cannot be reached, or refuses"


def _sentence(error: BaseException) -> Broken | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = (
            "put its authority's certificate into /etc/docker/certs.d/<host>/ca.crt, or name it in "
            "SSL_CERT_FILE"
        )
        return Broken(f"its TLS certificate is not trusted ({error.verify_message})", remedy, lasting=True)
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS_THERE:
        remedy = (
            "if that is meant, set registry_config.insecure_http for it; the engine needs it among its own "
            "insecure-registries, too"
        )
        return Broken("it speaks plain http, although https was asked for", remedy, lasting=True)
    if isinstance(error, ssl.SSLError):
        return Broken(f"TLS failed ({error.reason or 'no reason given'})")
    if isinstance(error, TimeoutError):
        return Broken("it did not answer in time", silent=True)
    if isinstance(error, socket.gaierror):
        return Broken(f"its name cannot be resolved ({error.strerror})", silent=True)
    if isinstance(error, ConnectionRefusedError):
        return Broken("the connection was refused", silent=True)
    if isinstance(error, http.client.IncompleteRead):
        return Broken("its answer broke off before its end")
    if isinstance(error, ConnectionError):
        return Broken("the connection broke off")
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return Broken(f"it cannot be reached ({error.strerror or type(error).__name__})", silent=True)
    return None
