"""What a whole run costs that finds nothing to do.

Measured is `--once` with one service, the real engine, and a registry on loopback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import children_cpu_seconds
from benchmarks.table import FigureRow, counted
from tests.support import lab
from tests.support.engine_tap import EngineTap
from tests.support.fake_registry import FakeRegistry
from tests.support.lab import ROOT, Shop

_HEAVY = ("boto3", "botocore", "google.auth", "rich", "prometheus_client", "apprise")
_RUN = f"""
import docker_updater, json, sys
code = docker_updater.main(["--once"])
print(json.dumps([code, [name for name in {_HEAVY!r} if name in sys.modules]]))
"""


def rows() -> Iterator[FigureRow]:
    """Time, what was asked of the engine, and what was loaded on the way."""
    with tempfile.TemporaryDirectory() as folder, FakeRegistry() as registry:
        shop = Shop(Path(folder), registry)
        try:
            shop.push("latest", lab.good("one"))
            shop.write()
            shop.up()
            yield from _rows(shop)
        finally:
            shop.down()


def _rows(shop: Shop) -> Iterator[FigureRow]:
    cpu = min(_once_cpu_seconds(shop) for _ in range(7))
    yield FigureRow("--once with nothing to do, one service, CPU", f"{cpu:.2f} s", "0.60 s", cpu < 0.6)
    heavy = _loaded(shop)
    yield FigureRow("  loaded without being used", ", ".join(heavy) or "none", "none", not heavy)
    with EngineTap() as tap:
        shop.engine_host = tap.host
        shop.run("--once")
        shop.engine_host = None
        calls = tap.counts()
    kinds = {"version": calls.pop("GET version", 0), "list": calls.pop("GET containers/json", 0)}
    kinds |= {"inspect": calls.pop("GET images/*/json", 0), **calls}
    fits = kinds == {"version": 1, "list": 1, "inspect": 1}
    yield FigureRow("  calls of the real engine", counted(kinds), "1 list, 1 inspect (+ handshake)", fits)


def _once_cpu_seconds(shop: Shop) -> float:
    before = children_cpu_seconds()
    code, said = shop.run("--once")
    if code != 0:
        raise SystemExit(said)
    return children_cpu_seconds() - before


def _loaded(shop: Shop) -> list[str]:
    environment = {**os.environ, "CONFIG_FILE": str(shop.folder / "config.json"), "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", _RUN]
    done = subprocess.run(argv, cwd=shop.folder, env=environment, capture_output=True, text=True, check=True)
    code, loaded = json.loads(done.stdout.splitlines()[-1])
    if code != 0:
        raise SystemExit(done.stderr)
    return [str(name) for name in loaded]
