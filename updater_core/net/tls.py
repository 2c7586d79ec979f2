"""TLS contexts: whose certificates we believe, and our own; made anew when their files have changed."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import certifi

from updater_core.caching.cache import Cache
from updater_core.host.stamp import FileStamp, stamp_of

_DEBIAN_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")

_Stamp = tuple[tuple[Path, FileStamp | None], ...]


class Trust:
    """The TLS contexts, one for all connections that believe the same; safe to use from many threads.

    To read a system's authorities anew for each (`verify=` of requests) would take 40 ms and a megabyte.
    Connections are kept by their context, so that one made of renewed files gets connections of its own.
    """

    def __init__(self, certificates: Path) -> None:
        self._certificates = certificates
        self._lock = threading.Lock()  # one thread makes a context, the others wait for it
        self._contexts: Cache[ssl.SSLContext] = Cache()

    def context(self, netloc: str) -> ssl.SSLContext:
        """Return the context for a host and port; OSError if certificates cannot be read."""
        own = self._certificates / netloc
        key = netloc if own.is_dir() else ""
        with self._lock:
            # before the reading: what changes meanwhile is read next time
            stamp = _stamp(own if key else None)
            return self._contexts.made_of(key, stamp, lambda: _context(own if key else None))


def _stamp(own: Path | None) -> _Stamp:
    return tuple((path, stamp_of(path)) for path in _sources(own))


def _sources(own: Path | None) -> Iterator[Path]:
    """Return the files and folders that `_context` reads."""
    bundle, paths = _bundle(), ssl.get_default_verify_paths()
    yield from (Path(each) for each in ([bundle] if bundle else [paths.cafile, paths.capath]) if each)
    yield _DEBIAN_AUTHORITIES
    yield from sorted(own.glob("*")) if own else ()


def _context(own: Path | None) -> ssl.SSLContext:
    """Return a context that verifies, for a registry also with what its folder of certificates says.

    A folder under /etc/docker/certs.d has the registry's own authorities (`*.crt`), and our side as `*.cert`
    with
    `*.key` (https://docs.docker.com/engine/security/certificates/).
    """
    context = _usual_context()
    for authority in sorted(own.glob("*.crt")) if own else ():
        context.load_verify_locations(authority)
    for certificate in sorted(own.glob("*.cert")) if own else ():
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


def _usual_context() -> ssl.SSLContext:
    """Return a context with the usual authorities. Nothing switches verification off.

    They are at the path that $REQUESTS_CA_BUNDLE or $CURL_CA_BUNDLE names; else the system's, with those of
    $SSL_CERT_FILE; else, if there is no system's, certifi's.
    """
    bundle = _bundle()
    if bundle:
        is_folder = Path(bundle).is_dir()
        return ssl.create_default_context(
            cafile=None if is_folder else bundle, capath=bundle if is_folder else None
        )
    context, paths = ssl.create_default_context(), ssl.get_default_verify_paths()
    if not paths.cafile and not (paths.capath and any(Path(paths.capath).iterdir())):
        context.load_verify_locations(
            _DEBIAN_AUTHORITIES if _DEBIAN_AUTHORITIES.is_file() else certifi.where()
        )
    return context


def _bundle() -> str | None:
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
