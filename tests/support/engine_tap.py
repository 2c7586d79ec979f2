"""A socket in front of the real engine that counts what is asked of it, by method and kind of path.

    with EngineTap() as tap:
        environment["DOCKER_HOST"] = tap.host
        ...
        assert tap.counts() == {"GET containers/json": 1}

Only the beginning of each request is looked at; everything is passed on as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

_REQUEST = re.compile(rb"^(GET|HEAD|POST|PUT|DELETE) (?:/v[0-9.]+)?/(\S*) HTTP/1\.1\r$", re.MULTILINE)
_NAMES = re.compile(r"(?<=^containers/)[0-9a-f]+|(?<=^images/).+(?=/)")


class EngineTap:
    """The socket. It lies in a folder with a short name: the path of a socket may not be long."""

    def __init__(self) -> None:
        self._engine = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")).path
        self._folder = tempfile.mkdtemp(prefix="tap-")
        self._path = str(Path(self._folder) / "engine.sock")
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = socket.socket(socket.AF_UNIX)

    @property
    def host(self) -> str:
        return f"unix://{self._path}"

    def __enter__(self) -> EngineTap:
        self._server.bind(self._path)
        self._server.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def counts(self) -> dict[str, int]:
        """Return what was asked since the last call."""
        with self._lock:
            counts, self._counts = dict(self._counts), Counter()
        return counts

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self._engine)
            threading.Thread(target=self._pass_on, args=(client, engine, True), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(engine, client, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_asking: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if is_asking:
                    self._note(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def _note(self, data: bytes) -> None:
        with self._lock:
            self._counts.update(
                _kind(found[1].decode(), found[2].decode()) for found in _REQUEST.finditer(data)
            )


def _kind(method: str, path: str) -> str:
    """`GET images/*/json`: the path without its names and its query."""
    return f"{method} {_NAMES.sub('*', path.partition('?')[0])}"
