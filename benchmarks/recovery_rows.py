"""How soon the old release answers again after the new one is seen to be bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

from benchmarks.published import PublishedLab, stage
from benchmarks.table import FigureRow
from tests.support import lab
from tests.support.fake_registry import Build

_TIMES = 5


def _exits(name: str) -> Build:
    return lab.build(name, "trap 'exit 0' TERM; sleep 1 & wait $!; exit 3", base=lab.busybox())


def _unhealthy(name: str) -> Build:
    return lab.answers(name, healthcheck="exit 1")


def rows() -> Iterator[FigureRow]:
    """Yield the times from the engine's event to the old release's answer.

    What the app itself takes from its start to its answer is subtracted.
    """
    with stage() as made:
        made.shop.push("latest", lab.answers("good"))
        made.up("latest")
        own = median(_own_start_seconds(made) for _ in range(_TIMES))
        yield from _of_kind(made, ("gone", "die"), _exits, own)
        yield from _of_kind(made, ("unhealthy", "health_status: unhealthy"), _unhealthy, own)
    yield FigureRow("  the app's own start, from its container's", f"{own:.2f} s", "", None)


def _of_kind(
    made: PublishedLab, kind: tuple[str, str], release: Callable[[str], Build], own: float
) -> Iterator[FigureRow]:
    """Yield the figures of one kind of bad release, tried several times.

    `kind`: its name, and the engine's event by which it is seen.
    """
    name, event = kind
    taken = [_back_seconds(made, release, f"{name}-{turn}", event) - own for turn in range(_TIMES)]
    figure = f"{median(taken):.2f} s (at most {max(taken):.2f} s)"
    yield FigureRow(f"from {name} to the old release's answer", figure, "2.00 s", median(taken) < 2.0)


def _own_start_seconds(made: PublishedLab) -> float:
    made.await_answer("good")
    made.begin_anew()
    made.shop.up("--force-recreate")
    return made.await_answer("good").first - made.first("good", "start")


def _back_seconds(made: PublishedLab, release: Callable[[str], Build], name: str, event: str) -> float:
    made.await_answer("good")
    made.shop.push("latest", release(name))
    made.begin_anew()
    code, said = made.shop.run("--once")
    if "rolled_back" not in made.shop.state()["status"]:
        raise SystemExit(f"{code}: {said}")
    return made.await_answer("good").first - made.first(name, event)
