"""The demo's play on a Docker Swarm: an update, four bad releases and a killed leader, with a visitor.

Run it by `scripts/demo --swarm`. Exit status: 0 all as announced, 1 not so (said in one line), 130
interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from demo_stage import DemoFailed, DemoScreen, perform, run
from demo_swarm_shop import (
    CANNOT_START,
    DIES,
    ENDS,
    SERVICE,
    STABLE_SECONDS,
    UNHEALTHY,
    DemoSwarmShop,
    version_of,
)
from demo_swarm_visitor import VisitorReport
from demo_visitor import until

_LONG_SECONDS = 600  # for what takes a moment: how fast this machine is, is no verdict on the updater

BAD_RELEASES = {"1.2": UNHEALTHY, "1.3": CANNOT_START, "1.4": ENDS, "1.5": DIES}


@dataclass(slots=True)
class SwarmDemo:
    """The acts of the demo: what is done to a shop on a swarm, and what must come of it."""

    stage: DemoScreen
    shop: DemoSwarmShop
    seen: list[VisitorReport] = field(default_factory=list)

    def prologue(self) -> None:
        """Start the swarm, deploy the first release, and let the visitor come."""
        stage, shop = self.stage, self.shop
        stage.line()
        stage.line(
            "Docker Auto-Updater: a stack in a swarm of three nodes, and what can happen to it", "bold"
        )
        shop.open()
        shop.release("1.0")
        shop.deploy()
        stage.tell(
            f"""Three managers, each an engine of its own in a network namespace of this machine, with a
            registry on {shop.registry}, all in {shop.folder}. The first of them leads and runs no tasks; the
            two tasks of shop_web are on the others. The machine's own engine has no part in it."""
        )
        self._check_whole("1.0")
        stage.tell(
            """A visitor asks for the page fifty times a second, all the time, by a small proxy that knows
            where tasks run and asks the next one if one refuses: this way no IPVS is needed, which a swarm's
            own published ports want. A request has failed if no task answers it."""
        )
        shop.receive()

    def update(self) -> None:
        self.stage.act(
            "A new version",
            """web 1.1 is pushed. The updater writes it into the service's spec and into the stack's file, and
            watches the tasks: one of the new release has to do well before the engine takes the next.""",
        )
        digest = self.shop.release("1.1")
        self._begin()
        self._run("--once", expected_status=0)
        self._check_whole("1.1")
        pinned = f"{self.shop.registry}/shop/web:1.1@{digest}"
        self.stage.check(self.shop.image() == pinned, f"the spec is pinned to it: {digest[:19]}...")
        self._check_file("1.1")
        before = self.shop.tasks()
        self.shop.deploy()
        self._check_whole("1.1")
        self.stage.check(
            self.shop.tasks() == before, "the operator's next `docker stack deploy` changed no task"
        )
        self._check_visitor()

    def bad_releases(self) -> None:
        """Push one release after the other that fails in its own way: each is rolled back and quarantined."""
        self.stage.act(
            "Four bad releases",
            f"""web 1.2 is never healthy, 1.3 cannot start, 1.4 ends after a second, and 1.5 becomes healthy
            and dies two seconds later. Left to its defaults the engine goes on to the next task as soon as
            one runs, and has replaced them all when the first one dies. The updater makes it wait for longer
            than it watches, and wants {STABLE_SECONDS} s of its own without a flaw.""",
        )
        for number, (version, fault) in enumerate(BAD_RELEASES.items(), start=1):
            self._bad_release(version, fault, number)

    def _bad_release(self, version: str, fault: str, number: int) -> None:
        """Play one of them. `number`: how many images are in quarantine in the end."""
        bad = self.shop.release(version, fault)
        before = self.shop.stack_file.read_bytes()
        self._begin()
        self._run("--once", expected_status=1)
        self._check_whole("1.1")
        self.stage.check(
            self.shop.stack_file.read_bytes() == before, "the stack's file is as it was, to the byte"
        )
        state = self.shop.state()
        self.stage.check(
            state["status"] == "rolled_back", f"the state says: rolled_back, because {state['reason']}"
        )
        blamed = [entry["digest"] for entry in state["quarantine"]]
        self.stage.check(
            len(blamed) == number and bad in blamed, f"the bad image is in quarantine: {bad[:19]}..."
        )
        tasks = self.shop.tasks()
        self._run("--once", expected_status=0)
        self.stage.check(
            self.shop.tasks() == tasks, f"{version}, which {fault}, is not tried again: the same tasks run"
        )
        self._check_visitor()

    def killed_leader(self) -> None:
        """Kill the leading manager in the middle of an update: the service ends on one release, whole.

        Raises DemoFailed if the update ends before its leader can be killed.
        """
        self.stage.act(
            "The leader is killed in the middle",
            """The fix, web 1.6, is pushed. As its first task runs, the leader of the swarm dies: SIGKILL for
            its engine and all that belongs to it. The others find a new leader, which takes some seconds in
            which no manager answers; the updater waits for it, and asks the next one.""",
        )
        self.shop.release("1.6")
        self._begin()
        self.stage.command(["--once"])
        updater = self.shop.start_updater(["--once"], self.stage.quote)
        is_reached = until(
            lambda: updater.process.poll() is not None or "1.6" in self.shop.tasks().values(), _LONG_SECONDS
        )
        leader = self.shop.leader()
        if not is_reached or updater.process.poll() is not None or leader is None:
            raise DemoFailed("the update ended before its leader could be killed")
        self.shop.kill(leader)
        self.stage.check(not leader.answers(), f"the leader, {leader.address}, is dead")
        status = updater.end()
        self._check_end(status)
        successor = self.shop.leader()
        self.stage.check(successor is not None and successor is not leader, "another node leads now")
        self._check_visitor()

    def epilogue(self) -> None:
        """Show the status, and the figures of the whole demo."""
        stage = self.stage
        stage.line()
        stage.line("The end: how the shop stands", "bold")
        self._run("--status", expected_status=0)
        stage.line()
        requests, failures = (
            sum(each.requests for each in self.seen),
            sum(each.failures for each in self.seen),
        )
        gap = max(each.longest_gap for each in self.seen)
        what = f"All as announced: {stage.checks} checks in {stage.acts} acts and {stage.seconds():.0f} s"
        stage.line(
            f"{what}; of {requests} requests {failures} failed, the longest gap was {gap:.2f} s.", "bold"
        )

    # ---------------------------------------------------------------------------------------- what acts share

    def _run(self, *words: str, expected_status: int) -> None:
        self.stage.command(words)
        status = self.shop.start_updater(words, self.stage.quote).end()
        if status != expected_status:
            raise DemoFailed(
                f"docker_updater.py {' '.join(words)} ended with status {status}, not {expected_status}"
            )

    def _begin(self) -> None:
        """From now on what the visitor sees counts for this act."""
        self.shop.visitor.begin_anew()

    def _check_visitor(self) -> None:
        """Check that no request failed, and show the longest gap.

        How long that is depends on the machine, so it is no verdict.
        """
        seen = self.shop.visitor.seen()
        self.seen.append(seen)
        self.stage.check(seen.requests and not seen.failures, f"the visitor: {seen.words()}", seen.words())

    def _check_whole(self, version: str) -> None:
        holds = until(lambda: self.shop.is_whole(version), _LONG_SECONDS)
        self.stage.check(
            holds, f"both tasks run {version}", f"tasks run {sorted(self.shop.tasks().values())}"
        )

    def _check_file(self, version: str) -> None:
        is_named = (
            f"image: {self.shop.registry}/shop/web:{version}   # follows" in self.shop.stack_file.read_text()
        )
        self.stage.check(is_named, f"the stack's file says {version}, with the comment behind it")

    def _check_end(self, status: int) -> None:
        """Check that the service ended on one release, whole, and that the state says which.

        A leader that dies may cost the update, and never the service.
        """
        ended_on = version_of(self.shop.image())
        self._check_whole(ended_on)
        state = self.shop.state()["status"]
        is_new = ended_on == "1.6"
        self.stage.check((state == "updated") is is_new is (status == 0), f"the state says so too: {state}")
        self._check_file(ended_on)
        blamed = len(self.shop.state()["quarantine"])
        self.stage.check(blamed == len(BAD_RELEASES), f"{SERVICE} 1.6 is not blamed for the leader")


def main() -> int:
    """Play, and clean up whatever happened."""
    stage, shop = DemoScreen(acts=3), DemoSwarmShop()
    play = SwarmDemo(stage, shop)
    acts = (play.prologue, play.update, play.bad_releases, play.killed_leader, play.epilogue)
    return perform(stage, acts, shop.close, "engines, namespaces, registry and folders of the demo are gone.")


if __name__ == "__main__":
    run(main)
