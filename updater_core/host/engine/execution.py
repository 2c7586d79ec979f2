"""A command in a running container, with a time-out: the engine's API has none for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import docker
import requests
import urllib3
from docker.errors import DockerException

from updater_core.protocols import Execution

MOST_OUTPUT_BYTES = 4096  # of the end
_JOIN_SECONDS = 5.0


def run(
    client: docker.APIClient, container_id: str, command: Sequence[str], timeout_seconds: float
) -> Execution:
    """Run `command` in a container and return how it ended.

    One that does not end in time is left to itself, for the engine has no way to end it
    (https://docs.docker.com/reference/api/engine/, "Exec"). Raises docker-py's errors.
    """
    made = client.exec_create(container_id, list(command))["Id"]
    stream = client.exec_start(made, stream=True)
    tail = bytearray()
    reader = threading.Thread(target=_read, args=(stream, tail), name="command in a container", daemon=True)
    reader.start()
    reader.join(timeout_seconds)
    if reader.is_alive():
        client.close()
        reader.join(_JOIN_SECONDS)
        return Execution(None, _text(tail))
    return Execution(client.exec_inspect(made)["ExitCode"], _text(tail))


def _read(stream: Iterable[bytes], tail: bytearray) -> None:
    try:
        for piece in stream:
            tail += piece
            del tail[:-MOST_OUTPUT_BYTES]
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError):
        pass  # the connection was closed, by us or by an engine that goes: `exec_inspect` tells which


def _text(data: bytes | bytearray) -> str:
    return bytes(data).decode("utf-8", "replace")
