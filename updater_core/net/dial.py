"""A TCP connection to a host with several addresses, tried side by side (RFC 8305, "Happy Eyeballs").

A host whose IPv6 addresses swallow packets would otherwise cost the whole time limit for each of them before
its IPv4 address has its turn. The families take turns; a try that has not ended after a quarter of a second
gets company.
"""

from __future__ import annotations

import errno
import itertools
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

STAGGER_SECONDS = 0.25  # RFC 8305, section 5: "Connection Attempt Delay"

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
Options = Iterable[tuple[int, int, int | bytes]]


def connect(
    host: str,
    port: int,
    left: Callable[[], float],
    options: Options = (),
    refusal: Callable[[str], Exception | None] | None = None,
) -> socket.socket:
    """Return a connected socket.

    `left` returns how many seconds a connect may take; it is called when the name is resolved, which takes
    its own time. `refusal`: the error of an address that may not be dialled, None for one that may; it is
    raised if the host has no other. Raises gaierror if the name cannot be resolved, TimeoutError if no
    address takes a connection in time, else the OSError of the last address that failed.
    """
    addresses = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    if refusal is not None:
        judged = [(address, refusal(str(address[4][0]))) for address in addresses]
        addresses = [address for address, error in judged if error is None]
        errors = [error for _, error in judged if error is not None]
        if errors and not addresses:
            raise errors[0]
    return first_of(in_turn(addresses), left(), options)


def first_of(addresses: Sequence[Address], seconds: float, options: Options = ()) -> socket.socket:
    """Return a socket that is connected to the first of the addresses that takes it.

    Raises OSError as `connect`.
    """
    race = _Race(addresses, tuple(options), time.monotonic() + seconds)
    try:
        return race.winner()
    finally:
        race.close()


def in_turn(addresses: Sequence[Address]) -> list[Address]:
    """Return the addresses with the families taking turns, the first one's first."""
    by_family: dict[int, list[Address]] = {}
    for address in addresses:
        by_family.setdefault(address[0], []).append(address)
    turns = itertools.zip_longest(*by_family.values())
    return [address for turn in turns for address in turn if address is not None]


class _Race:
    """Tries that are under way. Everything that has not won is closed by `close`."""

    def __init__(self, addresses: Sequence[Address], options: Sequence[Any], end: float) -> None:
        self._waiting = list(addresses)
        self._options = options
        self._end = end
        self._selector = selectors.DefaultSelector()
        self._error: OSError = OSError(errno.EADDRNOTAVAIL, "it has no address")

    def winner(self) -> socket.socket:
        while True:
            self._start_next()
            under_way = bool(self._selector.get_map())
            if not under_way and not self._waiting:
                raise self._error
            left = self._end - time.monotonic()
            if left <= 0:
                raise TimeoutError("no address took the connection in time")
            won = self._wait(min(STAGGER_SECONDS, left) if self._waiting else left)
            if won is not None:
                won.settimeout(None)
                return won

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _start_next(self) -> None:
        if not self._waiting:
            return
        family, kind, protocol, _, place = self._waiting.pop(0)
        try:
            tried = socket.socket(family, kind, protocol)
        except OSError as error:  # a family that this machine does not have
            self._error = error
            return
        self._begin(tried, place)

    def _begin(self, tried: socket.socket, place: Any) -> None:
        try:
            for option in self._options:
                tried.setsockopt(*option)
            tried.setblocking(False)
            code = tried.connect_ex(place)
        except OSError as error:
            code, self._error = error.errno or errno.EINVAL, error
        if code in (0, errno.EINPROGRESS):
            self._selector.register(tried, selectors.EVENT_WRITE)
            return
        self._error = OSError(code, os.strerror(code)) if code else self._error
        tried.close()

    def _wait(self, seconds: float) -> socket.socket | None:
        """Return the socket that is connected, or None if some failed, or none is within so many seconds."""
        if not self._selector.get_map():
            return None
        for key, _ in self._selector.select(seconds):
            tried: Any = key.fileobj
            code = tried.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._selector.unregister(tried)
            if code == 0:
                return tried  # type: ignore[no-any-return]
            self._error = OSError(code, os.strerror(code))
            tried.close()
        return None
