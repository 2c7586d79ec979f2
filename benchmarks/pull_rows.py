"""What an update pulls: the blobs that the engine does not have, each once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.table import FigureRow
from tests.support import lab
from tests.support.fake_registry import FakeRegistry
from tests.support.lab import Shop


def rows() -> Iterator[FigureRow]:
    """Yield the figures of pulling an image of two layers, of which the lower one is there."""
    with tempfile.TemporaryDirectory() as folder, FakeRegistry() as registry:
        shop = Shop(Path(folder), registry)
        try:
            shop.push("latest", lab.answers("one"))
            shop.write()
            shop.up()
            two = shop.push("latest", lab.answers("two"))
            blobs, _, _ = registry.contents("team/app")
            registry.clear_log()
            code, said = shop.run("--once")
            sent = registry.sent()
        finally:
            shop.down()
    if code != 0:
        raise SystemExit(said)
    missing = {digest: len(blobs[digest]) for digest in (*two.layers, *two.configs.values())}
    figure = f"{sum(sent.values())} bytes in {len(sent)} blobs"
    whole = sum(map(len, blobs.values()))
    budget = f"{sum(missing.values())} bytes (the repository: {whole})"
    yield FigureRow("pulled by an update, a layer and its configuration new", figure, budget, sent == missing)
