"""Where a demo is seen, and how it is played: act by act, cleaned up after whatever happened.

Exit status: 0 all as announced, 1 not so (said in one line), 130 interrupted.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from subprocess import CalledProcessError, SubprocessError
from types import FrameType

from docker.errors import DockerException
from tiny_image import PushFailed

_WIDTH = 100
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DATE = re.compile(r"^\d{4}-\d\d-\d\d ")
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class DemoFailed(Exception):
    """Something is not as it must be."""


_FAILURES = (
    DemoFailed,
    PushFailed,
    DockerException,
    HTTPException,
    SubprocessError,
    OSError,
    ValueError,
    KeyError,
)


@dataclass(slots=True)
class DemoScreen:
    """What the demo prints: numbered acts, what will happen, the updater's own lines, results with a tick."""

    acts: int
    is_coloured: bool = field(default_factory=lambda: _is_colour_wanted())
    act_now: int = 0
    checks: int = 0
    _begun: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """Return for how many seconds the demo has been going on."""
        return time.monotonic() - self._begun

    def line(self, text: str = "", colour: str = "") -> None:
        """Print one line, in a colour if the screen has colours."""
        code = _COLOURS.get(colour) if self.is_coloured and text else None
        print(f"\x1b[{code}m{text}\x1b[0m" if code else text, flush=True)

    def act(self, title: str, text: str) -> None:
        """Open the next act."""
        self.act_now += 1
        self.line()
        self.line(f"[{self.act_now}/{self.acts}] {title}", "bold")
        self.tell(text)

    def tell(self, text: str) -> None:
        """Print a text in lines that fit, whatever its own line breaks."""
        for line in textwrap.wrap(" ".join(text.split()), _WIDTH - 6):
            self.line(f"      {line}")

    def command(self, words: Sequence[str]) -> None:
        """Print a call of the updater as it would be typed."""
        self.line(f"      $ docker_updater.py {' '.join(words)}", "cyan")

    def quote(self, text: str) -> None:
        """Print a line of another program's output, without its date and the tails of digests.

        An empty line is left out.
        """
        if not text:
            return
        colour = "yellow" if re.search(r" (WARN|ERROR) ", text) else "dim"
        shown = _DIGEST.sub(r"\1...", _DATE.sub("", text))
        self.line(f"      | {shown}", colour)

    def diff(self, line: str) -> None:
        """Print a line of a difference: red if it goes, green if it comes."""
        self.line(f"      {line}", "red" if line.startswith("-") else "green")

    def check(self, holds: object, claim: str, otherwise: str = "") -> None:
        """Tick what was found to be so; DemoFailed if it is not."""
        if not holds:
            raise DemoFailed(f"not as announced: {claim}" + (f" ({otherwise})" if otherwise else ""))
        self.checks += 1
        self.line(f"      \N{CHECK MARK} {claim}", "green")


def perform(
    stage: DemoScreen, acts: Sequence[Callable[[], None]], close: Callable[[], bool], gone: str
) -> int:
    """Play the acts, and clean up whatever happens; the exit status.

    `close` says whether anything had been begun, and `gone` what is gone then.
    """
    for number in _ENDING:
        signal.signal(number, _interrupt)
    try:
        status = _play(stage, acts)
    finally:
        _ignore_interrupts()
        is_clean = _clean_up(stage, close, gone)
    return status if is_clean else 1


def run(main: Callable[[], int]) -> None:
    """Be the program: end with what `main` returns."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    result = main()
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads any more; let the interpreter not say so once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(result)


def _play(stage: DemoScreen, acts: Sequence[Callable[[], None]]) -> int:
    try:
        for act in acts:
            act()
    except KeyboardInterrupt:
        return _ended(stage, 130, "Interrupted.")
    except BrokenPipeError:
        return 1
    except _FAILURES as error:
        return _ended(stage, 1, f"FAILED: {_words(error)}")
    return 0


def _clean_up(stage: DemoScreen, close: Callable[[], bool], gone: str) -> bool:
    try:
        was_open = close()
    except _FAILURES as error:
        _ended(stage, 1, f"FAILED to clean up: {_words(error)}")
        return False
    with suppress(OSError):
        if was_open:
            stage.line(f"Cleaned up: {gone}", "dim")
    return True


def _words(error: Exception) -> str:
    said = error.stderr if isinstance(error, CalledProcessError) and isinstance(error.stderr, str) else ""
    return " ".join(f"{str(error) or type(error).__name__} {said}".split())


def _ended(stage: DemoScreen, status: int, text: str) -> int:
    with suppress(OSError):
        stage.line()
        stage.line(text, "red")
    return status


def _is_colour_wanted() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _ignore_interrupts()
    raise KeyboardInterrupt


def _ignore_interrupts() -> None:
    """Once is enough: the cleaning must not be interrupted."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
