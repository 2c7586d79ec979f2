"""The demo's play: six acts in which the real updater meets what releases do, each checked for real.

Run it by scripts/demo. Exit status: 0 all as announced, 1 not so (said in one line), 130 interrupted.
"""

from __future__ import annotations

import difflib
import json
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
from subprocess import SubprocessError
from types import FrameType
from typing import Any

from demo_shop import SERVICES, STABLE_SECONDS, Failed, Run, Shop
from demo_visitor import until
from docker.errors import DockerException
from tiny_image import PushFailed

_WIDTH = 100
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TROUBLE = (Failed, PushFailed, DockerException, HTTPException, SubprocessError, OSError, ValueError, KeyError)
_ANSWER_SECONDS = 300  # for what takes a moment: how fast this machine is, is no verdict on the updater
_MIDDLE_SECONDS = 300
_DATE = re.compile(r"^\d{4}-\d\d-\d\d ")
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


@dataclass(slots=True)
class Stage:
    """Where the play is seen: numbered acts, what will happen, the updater's own lines, results with a tick."""

    is_coloured: bool
    acts: int
    act_now: int = 0
    checks: int = 0

    def line(self, text: str = "", colour: str = "") -> None:
        code = _COLOURS.get(colour) if self.is_coloured and text else None
        print(f"\x1b[{code}m{text}\x1b[0m" if code else text, flush=True)

    def act(self, title: str, text: str) -> None:
        """Open the next act."""
        self.act_now += 1
        self.line()
        self.line(f"[{self.act_now}/{self.acts}] {title}", "bold")
        self.tell(text)

    def tell(self, text: str) -> None:
        for line in textwrap.wrap(" ".join(text.split()), _WIDTH - 6):
            self.line(f"      {line}")

    def command(self, words: Sequence[str]) -> None:
        self.line(f"      $ docker_updater.py {' '.join(words)}", "cyan")

    def quote(self, text: str) -> None:
        """A line of somebody else's as it is, but for the date and the tails of digests; nothing of an empty one."""
        if not text:
            return
        colour = "yellow" if re.search(r" (WARN|ERROR) ", text) else "dim"
        shown = _DIGEST.sub(r"\1...", _DATE.sub("", text))
        self.line(f"      | {shown}", colour)

    def diff(self, line: str) -> None:
        self.line(f"      {line}", "red" if line.startswith("-") else "green")

    def check(self, holds: object, claim: str, otherwise: str = "") -> None:
        """Tick what was found to be so; Failed where it is not."""
        if not holds:
            raise Failed(f"not as announced: {claim}" + (f" ({otherwise})" if otherwise else ""))
        self.checks += 1
        self.line(f"      \N{CHECK MARK} {claim}", "green")


@dataclass(slots=True)
class Play:
    """The acts, on a stage, about a shop."""

    stage: Stage
    shop: Shop
    gaps: list[float] = field(default_factory=list)

    def prologue(self) -> None:
        stage, shop = self.stage, self.shop
        stage.line()
        stage.line("Docker Auto-Updater: a small shop, its updater, and what can happen to them", "bold")
        shop.open()
        shop.release("web", "1.0", "latest")
        shop.release("api", "v1.0.0", "v1.0.0")
        shop.deploy()
        stage.tell(
            f"""The shop is a Compose project of two services, {" and ".join(SERVICES)}, with a registry of its own on
            {shop.registry}, all in {shop.folder}. Two visitors ask for their pages fifty times a second, all the time.
            The updater is the real one, called as cron would call it."""
        )
        for service, version in (("web", "1.0"), ("api", "v1.0.0")):
            self._check_answers(service, version, f"http://127.0.0.1:{shop.ports[service]}/")

    def nothing_new(self) -> None:
        self.stage.act("Nothing new", "The registry has nothing that the shop does not run. Then nothing may happen.")
        before, text = self.shop.containers(), self.shop.compose_file.read_bytes()
        self._run("--once", expected_status=0)
        self.stage.check(self.shop.containers() == before, "the same containers run")
        self.stage.check(self.shop.compose_file.read_bytes() == text, "the compose file is as it was")

    def new_digest(self) -> None:
        self.stage.act(
            "A new image behind the same tag",
            """web 1.1 is pushed as `latest`. The tag's name says nothing, its digest does: the updater pulls the image
            by digest, restarts web, and watches it until it has proven itself.""",
        )
        digest = self.shop.release("web", "1.1", "latest")
        api, text = self.shop.containers()["api"], self.shop.compose_file.read_bytes()
        self._begin("web")
        self._run("--once", expected_status=0)
        self._check_answers("web", "1.1")
        self.stage.check(self.shop.runs_digest("web", digest), f"the engine says so too: it runs {digest[:19]}...")
        self.stage.check(self.shop.containers()["api"] == api, "api was left alone")
        self.stage.check(self.shop.compose_file.read_bytes() == text, "the compose file is as it was: it says `latest`")
        self._check_gap("web")

    def new_version(self) -> None:
        self.stage.act(
            "A higher version",
            """api v1.1.0 is pushed, and beside it a release candidate and a nightly build. api follows the versions v*,
            so its tag in the compose file has to change: that tag, and not a byte more.""",
        )
        for tag in ("nightly", "v1.2.0-rc.1", "v1.1.0"):
            self.shop.release("api", tag, tag)
        before = self.shop.compose_file.read_text()
        self._begin("api")
        self._run("--once", expected_status=0)
        self._check_answers("api", "v1.1.0")
        changed = _changed_lines(before, self.shop.compose_file.read_text())
        for line in changed:
            self.stage.diff(line)
        same_bytes = before.replace("shop/api:v1.0.0", "shop/api:v1.1.0") == self.shop.compose_file.read_text()
        self.stage.check(len(changed) == 2 and same_bytes, "one line of the compose file differs, by its tag alone")
        self._check_gap("api")

    def bad_release(self) -> None:
        self.stage.act(
            "A release that turns bad",
            f"""api v1.2.0 starts, is healthy, and falls ill a second later. A check that asks once would believe it;
            the updater wants {STABLE_SECONDS} s without a flaw (`health_stable`), and goes back if it does not get
            them.""",
        )
        bad = self.shop.release("api", "v1.2.0", "v1.2.0", turns_bad=True)
        before = self.shop.compose_file.read_bytes()
        self._begin("api")
        self._run("--once", expected_status=1)
        self._check_answers("api", "v1.1.0")
        self.stage.check(self.shop.compose_file.read_bytes() == before, "the compose file is as it was, to the byte")
        state = self._state("api")
        self.stage.check(state["status"] == "rolled_back", f"the state says: rolled_back, because {state['reason']}")
        blamed = [entry["digest"] for entry in state["quarantine"]]
        self.stage.check(blamed == [bad], f"the bad image is in quarantine: {bad[:19]}...")
        self._check_gap("api")

    def refusal(self) -> None:
        self.stage.act(
            "The same release again",
            "v1.2.0 is still the highest version in the registry. The updater knows it, and does not try it twice.",
        )
        before = self.shop.containers()
        self._run("--once", expected_status=0)
        self.stage.check(self.shop.containers() == before, "the same containers run")
        said = " ".join(self._run("--status", "--service", "shop-api", expected_status=0))
        self.stage.check(
            "v1.2.0" in said and "unhealthy" in said, "--status says what waits, and what is wrong with it"
        )
        said = " ".join(self._run("--plan", "--service", "shop-api", expected_status=0))
        self.stage.check("quarantined" in said and "--retry" in said, "--plan says why it is held, and what lifts that")

    def sudden_death(self) -> None:
        self.stage.act(
            "Killed in the middle",
            """The fix, api v1.2.1, is pushed. In the middle of its update, when the journal says `applying` and the old
            api has stopped answering, the updater is shot: SIGKILL, no farewell.""",
        )
        self.shop.release("api", "v1.2.1", "v1.2.1")
        before = self.shop.compose_file.read_bytes()
        self._begin("api")
        self._kill_in_the_middle()
        self.stage.tell("The next start reads the journal first, before it looks for anything new.")
        self._run("--once", expected_status=1)
        self._check_answers("api", "v1.1.0")
        self.stage.check(self.shop.compose_file.read_bytes() == before, "the compose file is as it was, to the byte")
        self.stage.check(self.shop.journal() is None, "the journal is closed")
        self.stage.tell(
            """The release may not be to blame for that, so it is tried again, after a minute. To spare you the wait,
            the operator asks for it now."""
        )
        self._run("--retry", "shop-api", expected_status=0)
        self._run("--once", expected_status=0)
        self._check_answers("api", "v1.2.1")
        self._check_gap("api")

    def epilogue(self, seconds: float) -> None:
        stage = self.stage
        stage.line()
        stage.line("The end: how the shop stands", "bold")
        self._run("--status", expected_status=0)
        self._check_answers("web", "1.1")
        self._check_answers("api", "v1.2.1")
        stage.line()
        what = f"All as announced: {stage.checks} checks in {stage.acts} acts and {seconds:.0f} s"
        stage.line(f"{what}; no visitor waited longer than {max(self.gaps):.1f} s for an answer.", "bold")

    # ----------------------------------------------------------------------------------------------- what acts share

    def _run(self, *words: str, expected_status: int) -> list[str]:
        """Let the updater run to its end; its lines."""
        run = self._start(*words)
        status = run.end()
        if status != expected_status:
            raise Failed(f"docker_updater.py {' '.join(words)} ended with status {status}, not {expected_status}")
        return run.lines

    def _start(self, *words: str) -> Run:
        self.stage.command(words)
        return self.shop.start_updater(words, self.stage.quote)

    def _kill_in_the_middle(self) -> None:
        run = self._start("--once")

        def is_in_the_middle() -> bool:
            record = self.shop.journal()
            is_applying = record is not None and record["phase"] == "applying"
            return run.process.poll() is not None or (is_applying and self.shop.answer("api") is None)

        until(is_in_the_middle, _MIDDLE_SECONDS)
        run.process.kill()
        status = run.end()
        self.stage.check(status == -signal.SIGKILL, "shot; left behind are:", f"it ended by itself with {status}")
        record = self.shop.journal()
        self.stage.check(record and record["phase"] == "applying", "an open journal on the disk, at `applying`")
        says_new = b"shop/api:v1.2.1" in self.shop.compose_file.read_bytes()
        self.stage.check(says_new, "a compose file that says v1.2.1 already, which nobody has proven")

    def _state(self, service: str) -> dict[str, Any]:
        services = json.loads((self.shop.state_folder / "state.json").read_text())["services"]
        state: dict[str, Any] = services[f"shop-{service}"]
        return state

    def _check_answers(self, service: str, version: str, where: str = "") -> None:
        wanted = f"{service} {version}"
        holds = until(lambda: self.shop.answer(service) == wanted, _ANSWER_SECONDS)
        self.stage.check(holds, f'{where or service} answers "{wanted}"', f"it answers {self.shop.answer(service)!r}")

    def _begin(self, service: str) -> None:
        """From now on the visitor's gaps count for this act."""
        self.shop.visitors[service].begin_anew()

    def _check_gap(self, service: str) -> None:
        """Check that the visitor was answered all along, and say what it saw and how long the longest silence was. How
        long that is depends on the machine, so it is no verdict."""
        visitor = self.shop.visitors[service]
        gap, stretches = visitor.longest_gap(), visitor.stretches()
        seen = [f"{one.answer.partition(' ')[2]} for {one.last - one.first:.1f} s" for one in stretches]
        self.gaps.append(gap)
        claim = f"a visitor of {service} saw {', then '.join(seen)}; the longest time without an answer was {gap:.2f} s"
        self.stage.check(stretches, claim)


def main() -> int:
    """Play, and clean up whatever happened."""
    for number in _ENDING:
        signal.signal(number, _interrupt)
    stage = Stage(is_coloured=_is_colour_wanted(), acts=6)
    shop = Shop()
    try:
        status = _play(stage, shop)
    finally:
        _ignore_interrupts()
        is_clean = _clean_up(stage, shop)
    return status if is_clean else 1


def _clean_up(stage: Stage, shop: Shop) -> bool:
    try:
        was_open = shop.close()
    except _TROUBLE as error:
        _ended(stage, 1, f"FAILED to clean up: {error}")
        return False
    with suppress(OSError):
        if was_open:
            stage.line("Cleaned up: containers, network, images, registry and folder of the demo are gone.", "dim")
    return True


def _play(stage: Stage, shop: Shop) -> int:
    play = Play(stage, shop)
    started = time.monotonic()
    acts: tuple[Callable[[], None], ...] = (
        play.prologue,
        play.nothing_new,
        play.new_digest,
        play.new_version,
        play.bad_release,
        play.refusal,
        play.sudden_death,
    )
    try:
        for act in acts:
            act()
        play.epilogue(time.monotonic() - started)
    except KeyboardInterrupt:
        return _ended(stage, 130, "Interrupted.")
    except BrokenPipeError:
        return 1
    except _TROUBLE as error:
        return _ended(stage, 1, f"FAILED: {error if str(error) else type(error).__name__}")
    return 0


def _ended(stage: Stage, status: int, text: str) -> int:
    with suppress(OSError):
        stage.line()
        stage.line(text, "red")
    return status


def _changed_lines(before: str, after: str) -> list[str]:
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in found if not line.startswith(("---", "+++", "@@"))]


def _is_colour_wanted() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _ignore_interrupts()
    raise KeyboardInterrupt


def _ignore_interrupts() -> None:
    """Once is enough: the cleaning must not be interrupted."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    result = main()
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads any more; let the interpreter not say so once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(result)
