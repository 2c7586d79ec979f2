"""A service on the real engine whose port is published, with a visitor and a reader of engine events."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import docker

from tests.support.fake_registry import FakeRegistry
from tests.support.lab import ROOT, Shop, until

_COMPOSE = """\
services:
  web:
    image: {{image}}
    restart: unless-stopped
    stop_grace_period: 5s
    ports: ["127.0.0.1:{port}:80"]
"""


@dataclass(frozen=True, slots=True)
class AnswerChange:
    """The visitor's answer became another: when it came first, and when the one before came last."""

    answer: str | None
    first: float
    before: float


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of the engine about a container of the service, by the name of the release that it runs."""

    action: str
    release: str
    time: float


@dataclass
class PublishedLab:
    """Everything together. Times are the wall clock's, the engine's as well."""

    shop: Shop
    port: int
    changes: list[AnswerChange] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)

    def up(self, tag: str) -> None:
        """Start the service with a release."""
        self.shop.write(tag, _COMPOSE.format(port=self.port))
        self.shop.up()

    def begin_anew(self) -> None:
        """Forget what was seen so far."""
        self.changes.clear()
        self.happenings.clear()

    def await_answer(self, answer: str) -> AnswerChange:
        """Return the change after which the service answers so, to the end of what was seen."""
        return until(lambda: self._last(answer), 30, f"an answer of {answer}")  # type: ignore[no-any-return]

    def first(self, release: str, *actions: str) -> float:
        """Return when one of the actions first happened to a release."""
        found = until(
            lambda: [h for h in list(self.happenings) if h.release == release and h.action in actions]
        )
        return float(found[0].time)

    def _last(self, answer: str) -> AnswerChange | None:
        seen = list(self.changes)
        return seen[-1] if seen and seen[-1].answer == answer else None


@contextmanager
def stage() -> Iterator[PublishedLab]:
    """Provide a shop with nothing in it yet, watched for the length of a block."""
    with tempfile.TemporaryDirectory() as folder, FakeRegistry() as registry:
        port = _free_port()
        shop = Shop(Path(folder), registry)
        made = PublishedLab(shop, port)
        try:
            with _visitor(port, made), _events(made):
                yield made
        finally:
            shop.down()


@contextmanager
def _visitor(port: int, made: PublishedLab) -> Iterator[None]:
    argv = [sys.executable, "-m", "benchmarks.visitor", str(port)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        threading.Thread(target=_note_changes, args=(child.stdout, made), daemon=True).start()
        try:
            yield
        finally:
            child.stdin.close()


def _note_changes(lines: IO[str], made: PublishedLab) -> None:
    for line in lines:
        made.changes.append(AnswerChange(*json.loads(line)))


@contextmanager
def _events(made: PublishedLab) -> Iterator[None]:
    client = docker.from_env()
    label = f"com.docker.compose.project={made.shop.name}"
    stream = client.events(decode=True, filters={"type": "container", "label": label})

    def hear() -> None:
        for event in stream:
            release = event["Actor"]["Attributes"].get("release", "")
            made.happenings.append(Happening(event["Action"], release, event["timeNano"] / 1e9))

    ear = threading.Thread(target=hear, daemon=True)
    ear.start()
    try:
        yield
    finally:
        stream.close()
        client.close()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
