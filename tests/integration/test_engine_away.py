"""An engine that gives no answer is named with its cause and what to do, whatever the cause.

Over real sockets; the cause is known by its type, as the operating system gives it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
import urllib3

from updater_core.errors import EngineUnavailable
from updater_core.host.engine import connection
from updater_core.host.engine_endpoint import EngineEndpoint

PERMISSION = PermissionError(13, "Permission denied")
BROKEN = urllib3.exceptions.ProtocolError("Connection aborted.", PERMISSION)


def _nothing(folder: Path) -> Iterator[str]:
    yield f"unix://{folder}/none.sock"


def _left_behind(folder: Path) -> Iterator[str]:
    """A socket of which the process has ended."""
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(f"{folder}/left.sock")
    yield f"unix://{folder}/left.sock"


def _silent(folder: Path) -> Iterator[str]:
    with closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.bind(f"{folder}/silent.sock")
        silent.listen()
        yield f"unix://{folder}/silent.sock"


def _no_listener(_folder: Path) -> Iterator[str]:
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{bound.getsockname()[1]}"


def _no_name(_folder: Path) -> Iterator[str]:
    yield "tcp://engine.invalid:2375"


@pytest.mark.parametrize(
    ("place", "why", "remedy"),
    [
        (_nothing, "no socket", "systemctl start docker"),
        (_left_behind, "nothing listens", "systemctl start docker"),
        (_silent, "silent", "journalctl -u docker"),
        (_no_listener, "nothing listens", "DOCKER_HOST"),
        (_no_name, "name of its host", "name servers"),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_the_cause_and_its_remedy_are_named(
    place: Callable[[Path], Iterator[str]], why: str, remedy: str, tmp_path: Path
) -> None:
    for host in place(tmp_path):
        cause = f"did not answer \\(try\\).*{why}"
        with pytest.raises(EngineUnavailable, match=cause) as raised, connection.seam("try"):
            connection.connect(EngineEndpoint(host), 1)
        assert remedy in raised.value.remedy


def test_a_socket_that_this_user_may_not_use_is_called_that() -> None:
    """The superuser, who runs these tests, is refused no socket: the exception is as requests raises it."""
    refused = pytest.raises(EngineUnavailable, match="may not use its socket")
    with refused as raised, connection.seam("try"):
        raise requests.ConnectionError(BROKEN)
    assert "usermod -aG docker" in raised.value.remedy


def test_an_error_that_is_being_handled_is_no_cause() -> None:
    try:
        Path("/there/is/none").read_text(encoding="utf-8")
    except FileNotFoundError:
        with pytest.raises(EngineUnavailable) as raised, connection.seam("try"):
            raise requests.ConnectionError("broken")  # noqa: B904 - as requests does
    assert str(raised.value) == "the engine did not answer (try)"
