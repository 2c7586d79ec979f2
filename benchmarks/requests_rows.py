"""What cycles with nothing to do ask registries and the engine for, and the processes they start: counts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import crowd
from benchmarks.clouds import clouds
from benchmarks.table import FigureRow, counted
from tests.support import audited
from updater_core.app import cycle


def rows() -> Iterator[FigureRow]:
    """Yield the counts of requests and of processes.

    The processes come last, for an audit hook cannot be taken away again.
    """
    yield from _digests()
    yield from _tag_lists()
    yield from _vendors()
    yield from _processes()


def _digests() -> Iterator[FigureRow]:
    with tempfile.TemporaryDirectory() as folder, crowd.registry(token=True) as registry:
        context, engine = crowd.context(Path(folder), registry.host, 40, 10)
        cycle.run(context)
        cold, first_calls = registry.counts(), dict(engine.counts)
        engine.counts.clear()
        cycle.run(context)
        warm, calls = registry.counts(), dict(engine.counts)
    yield FigureRow(
        "requests, 40 services on 10 images, warm", counted(warm), "10 HEADs", warm == {"manifest_head": 10}
    )
    fits = cold == {"manifest_head": 10, "challenge": 1, "token": 10}
    yield FigureRow(
        "  cold (a fresh process)", counted(cold), "+ 1 challenge a host, 1 token a repository", fits
    )
    fits = first_calls == {"list": 1, "inspect": 40}
    yield FigureRow(
        "engine calls, 40 new containers of 40 images", counted(first_calls), "1 list, 1 inspect each", fits
    )
    yield FigureRow("  with nothing new", counted(calls), "1 list", calls == {"list": 1})


def _tag_lists() -> Iterator[FigureRow]:
    with tempfile.TemporaryDirectory() as folder, crowd.registry() as registry:
        context, _ = crowd.context(Path(folder), registry.host, 40, 10, semver_pattern="*")
        cycle.run(context)
        registry.counts()
        cycle.run(context)
        tags = registry.counts()
    fits = tags == {"manifest_head": 10, "tags": 10}
    yield FigureRow("requests, tag policy, warm", counted(tags), "+ 1 list a repository", fits)


def _vendors() -> Iterator[FigureRow]:
    """Yield the requests of two clouds, each with 20 services on 10 repositories.

    The API that lists the tags knows their digests too.
    """
    with tempfile.TemporaryDirectory() as folder, clouds(Path(folder), 10) as both:
        os.environ.update(both.environment)
        place = Path(folder) / "context"
        context, _ = crowd.context_of(place, both.ecr(20, tag_pattern="*"), both.google(20, tag_pattern="*"))
        cycle.run(context)
        both.counts()
        cycle.run(context)
        calls = both.counts()
    fits = calls == {"DescribeImages": 10, "tags": 10}
    yield FigureRow("  ECR and Google, 10 repositories each", counted(calls), "1 API call a repository", fits)


def _processes() -> Iterator[FigureRow]:
    with tempfile.TemporaryDirectory() as folder, crowd.registry() as registry:
        context, _ = crowd.context(Path(folder), registry.host, 40, 10, semver_pattern="*")
        log = Path(folder) / "starts"
        audited.listen(log)
        cycle.run(context)
        cycle.run(context)
        starts = len(log.read_text().splitlines())
    yield FigureRow("processes started by a cycle", str(starts), "0", starts == 0)
