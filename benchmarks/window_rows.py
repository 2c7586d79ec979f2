"""How long a published service does not answer while it is updated, beside Compose's own time for it."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from benchmarks.published import PublishedLab, stage
from benchmarks.table import FigureRow
from tests.support import lab

_TIMES = 9


def rows() -> Iterator[FigureRow]:
    """Yield the medians of the updater and of a person, in turn.

    Each does the same step from one version to the next.
    """
    with stage() as made:
        made.shop.policy = {"semver_pattern": "*"}
        _release(made, 0)
        made.up(_version(0))
        made.await_answer(_version(0))
        pairs = [(_updated(made, 2 * turn + 1), _by_hand(made, 2 * turn + 2)) for turn in range(_TIMES)]
    ours, theirs = (median(column) for column in zip(*pairs, strict=True))
    more = ours / theirs - 1
    figure = f"{more:+.1%} ({1000 * ours:.0f} ms against {1000 * theirs:.0f} ms)"
    yield FigureRow("window of an update beyond `up -d`", figure, "+10 %", more < 0.10)


def _version(number: int) -> str:
    return f"1.{number}.0"


def _release(made: PublishedLab, number: int) -> None:
    made.shop.push(_version(number), lab.answers(_version(number)))


def _updated(made: PublishedLab, number: int) -> float:
    _release(made, number)
    made.begin_anew()
    code, said = made.shop.run("--once")
    if code != 0:
        raise SystemExit(said)
    return _window_seconds(made, number)


def _by_hand(made: PublishedLab, number: int) -> float:
    _release(made, number)
    file = made.shop.compose_file
    file.write_text(file.read_text().replace(f":{_version(number - 1)}\n", f":{_version(number)}\n"))
    made.begin_anew()
    made.shop.compose("pull")
    made.shop.up()
    return _window_seconds(made, number)


def _window_seconds(made: PublishedLab, number: int) -> float:
    """From the last answer of the old release to the first of the new one."""
    new = made.await_answer(_version(number))
    return new.first - made.changes[0].before
