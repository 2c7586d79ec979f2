"""The demo's play: six acts in which the real updater meets what releases do, each checked for real.

Run it by scripts/demo. Exit status: 0 all as announced, 1 not so (said in one line), 130 interrupted.
"""

from __future__ import annotations

import difflib
import json
import signal
from dataclasses import dataclass, field
from typing import Any

from demo_shop import SERVICES, STABLE_SECONDS, DemoShop, Run
from demo_stage import DemoFailed, DemoScreen, perform, run
from demo_visitor import until

_ANSWER_SECONDS = 300  # for what takes a moment: how fast this machine is, is no verdict on the updater
_MIDDLE_SECONDS = 300


@dataclass(slots=True)
class ShopDemo:
    """The acts of the demo: what is done to a shop, and what must come of it."""

    stage: DemoScreen
    shop: DemoShop
    gaps: list[float] = field(default_factory=list)

    def prologue(self) -> None:
        """Open the shop, deploy its first releases, and let the visitors come."""
        stage, shop = self.stage, self.shop
        stage.line()
        stage.line("Docker Auto-Updater: a small shop, its updater, and what can happen to them", "bold")
        shop.open()
        shop.release("web", "1.0", "latest")
        shop.release("api", "v1.0.0", "v1.0.0")
        shop.deploy()
        stage.tell(
            f"""The shop is a Compose project of two services, {" and ".join(SERVICES)}, with a registry of
            its own on {shop.registry}, all in {shop.folder}. Two visitors ask for their pages fifty times a
            second, all the time. The updater is the real one, called as cron would call it."""
        )
        for service, version in (("web", "1.0"), ("api", "v1.0.0")):
            self._check_answers(service, version, f"http://127.0.0.1:{shop.ports[service]}/")

    def nothing_new(self) -> None:
        """Run the updater with nothing to update: nothing may change."""
        self.stage.act(
            "Nothing new", "The registry has nothing that the shop does not run. Then nothing may happen."
        )
        before, text = self.shop.containers(), self.shop.compose_file.read_bytes()
        self._run("--once", expected_status=0)
        self.stage.check(self.shop.containers() == before, "the same containers run")
        self.stage.check(self.shop.compose_file.read_bytes() == text, "the compose file is as it was")

    def new_digest(self) -> None:
        """Push a new image behind the tag that `web` follows: only `web` is updated."""
        self.stage.act(
            "A new image behind the same tag",
            """web 1.1 is pushed as `latest`. The tag's name says nothing, its digest does: the updater pulls
            the image by digest, restarts web, and watches it until it has proven itself.""",
        )
        digest = self.shop.release("web", "1.1", "latest")
        api, text = self.shop.containers()["api"], self.shop.compose_file.read_bytes()
        self._begin("web")
        self._run("--once", expected_status=0)
        self._check_answers("web", "1.1")
        self.stage.check(
            self.shop.runs_digest("web", digest), f"the engine says so too: it runs {digest[:19]}..."
        )
        self.stage.check(self.shop.containers()["api"] == api, "api was left alone")
        self.stage.check(
            self.shop.compose_file.read_bytes() == text, "the compose file is as it was: it says `latest`"
        )
        self._check_gap("web")

    def new_version(self) -> None:
        """Push a higher version of `api`: its tag changes in the compose file, and no other byte."""
        self.stage.act(
            "A higher version",
            """api v1.1.0 is pushed, and beside it a release candidate and a nightly build. api follows the
            versions v*, so its tag in the compose file has to change: that tag, and not a byte more.""",
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
        same_bytes = (
            before.replace("shop/api:v1.0.0", "shop/api:v1.1.0") == self.shop.compose_file.read_text()
        )
        self.stage.check(
            len(changed) == 2 and same_bytes, "one line of the compose file differs, by its tag alone"
        )
        self._check_gap("api")

    def bad_release(self) -> None:
        """Push a release that turns unhealthy after its first good probe: it is rolled back."""
        self.stage.act(
            "A release that turns bad",
            f"""api v1.2.0 starts, is healthy, and falls ill a second later. A check that asks once would
            believe it; the updater wants {STABLE_SECONDS} s without a flaw (`health_stable`), and goes back
            if it does not get them.""",
        )
        bad = self.shop.release("api", "v1.2.0", "v1.2.0", turns_bad=True)
        before = self.shop.compose_file.read_bytes()
        self._begin("api")
        self._run("--once", expected_status=1)
        self._check_answers("api", "v1.1.0")
        self.stage.check(
            self.shop.compose_file.read_bytes() == before, "the compose file is as it was, to the byte"
        )
        state = self._state("api")
        self.stage.check(
            state["status"] == "rolled_back", f"the state says: rolled_back, because {state['reason']}"
        )
        blamed = [entry["digest"] for entry in state["quarantine"]]
        self.stage.check(blamed == [bad], f"the bad image is in quarantine: {bad[:19]}...")
        self._check_gap("api")

    def refusal(self) -> None:
        """Run the updater again with the bad release still on top: it is not tried twice."""
        self.stage.act(
            "The same release again",
            (
                "v1.2.0 is still the highest version in the registry. The updater knows it, and does not "
                "try it twice."
            ),
        )
        before = self.shop.containers()
        self._run("--once", expected_status=0)
        self.stage.check(self.shop.containers() == before, "the same containers run")
        said = " ".join(self._run("--status", "--service", "shop-api", expected_status=0))
        self.stage.check(
            "v1.2.0" in said and "unhealthy" in said, "--status says what waits, and what is wrong with it"
        )
        said = " ".join(self._run("--plan", "--service", "shop-api", expected_status=0))
        self.stage.check(
            "quarantined" in said and "--retry" in said, "--plan says why it is held, and what lifts that"
        )

    def sudden_death(self) -> None:
        """Kill the updater in the middle of an update: its next start rolls back, a retry updates."""
        self.stage.act(
            "Killed in the middle",
            """The fix, api v1.2.1, is pushed. In the middle of its update, when the journal says `applying`
            and the old api has stopped answering, the updater is shot: SIGKILL, no farewell.""",
        )
        self.shop.release("api", "v1.2.1", "v1.2.1")
        before = self.shop.compose_file.read_bytes()
        self._begin("api")
        self._kill_in_the_middle()
        self.stage.tell("The next start reads the journal first, before it looks for anything new.")
        self._run("--once", expected_status=1)
        self._check_answers("api", "v1.1.0")
        self.stage.check(
            self.shop.compose_file.read_bytes() == before, "the compose file is as it was, to the byte"
        )
        self.stage.check(self.shop.journal() is None, "the journal is closed")
        self.stage.tell(
            """The release may not be to blame for that, so it is tried again, after a minute. To spare you
            the wait, the operator asks for it now."""
        )
        self._run("--retry", "shop-api", expected_status=0)
        self._run("--once", expected_status=0)
        self._check_answers("api", "v1.2.1")
        self._check_gap("api")

    def epilogue(self) -> None:
        """Show the status of both services, and the figures of the whole demo."""
        stage = self.stage
        stage.line()
        stage.line("The end: how the shop stands", "bold")
        self._run("--status", expected_status=0)
        self._check_answers("web", "1.1")
        self._check_answers("api", "v1.2.1")
        stage.line()
        what = f"All as announced: {stage.checks} checks in {stage.acts} acts and {stage.seconds():.0f} s"
        stage.line(f"{what}; no visitor waited longer than {max(self.gaps):.1f} s for an answer.", "bold")

    # ---------------------------------------------------------------------------------------- what acts share

    def _run(self, *words: str, expected_status: int) -> list[str]:
        """Let the updater run to its end; its lines."""
        run = self._start(*words)
        status = run.end()
        if status != expected_status:
            raise DemoFailed(
                f"docker_updater.py {' '.join(words)} ended with status {status}, not {expected_status}"
            )
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
        self.stage.check(
            status == -signal.SIGKILL, "shot; left behind are:", f"it ended by itself with {status}"
        )
        record = self.shop.journal()
        self.stage.check(
            record and record["phase"] == "applying", "an open journal on the disk, at `applying`"
        )
        says_new = b"shop/api:v1.2.1" in self.shop.compose_file.read_bytes()
        self.stage.check(says_new, "a compose file that says v1.2.1 already, which nobody has proven")

    def _state(self, service: str) -> dict[str, Any]:
        services = json.loads((self.shop.state_folder / "state.json").read_text())["services"]
        state: dict[str, Any] = services[f"shop-{service}"]
        return state

    def _check_answers(self, service: str, version: str, where: str = "") -> None:
        wanted = f"{service} {version}"
        holds = until(lambda: self.shop.answer(service) == wanted, _ANSWER_SECONDS)
        self.stage.check(
            holds, f'{where or service} answers "{wanted}"', f"it answers {self.shop.answer(service)!r}"
        )

    def _begin(self, service: str) -> None:
        """From now on the visitor's gaps count for this act."""
        self.shop.visitors[service].begin_anew()

    def _check_gap(self, service: str) -> None:
        """Check that the visitor was answered all along, and say what it saw.

        The longest silence is shown too. How long that is depends on the machine, so it is no verdict.
        """
        visitor = self.shop.visitors[service]
        gap, stretches = visitor.longest_gap(), visitor.stretches()
        seen = [f"{one.answer.partition(' ')[2]} for {one.last - one.first:.1f} s" for one in stretches]
        self.gaps.append(gap)
        claim = (
            f"a visitor of {service} saw {', then '.join(seen)}; the longest time without an answer was "
            f"{gap:.2f} s"
        )
        self.stage.check(stretches, claim)


def main() -> int:
    """Play, and clean up whatever happened."""
    stage, shop = DemoScreen(acts=6), DemoShop()
    play = ShopDemo(stage, shop)
    acts = (
        play.prologue,
        play.nothing_new,
        play.new_digest,
        play.new_version,
        play.bad_release,
        play.refusal,
        play.sudden_death,
        play.epilogue,
    )
    gone = "containers, network, images, registry and folder of the demo are gone."
    return perform(stage, acts, shop.close, gone)


def _changed_lines(before: str, after: str) -> list[str]:
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in found if not line.startswith(("---", "+++", "@@"))]


if __name__ == "__main__":
    run(main)
