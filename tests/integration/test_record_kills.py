"""The updater is killed while it puts the end of an update on record: between state, events and journal.

The next start remembers it once, tells it once, and holds nothing open.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_kill_matrix import BAD, NEW, Stage
from tests.support.simulator import Killed, Killer, SimClock, SimEngine
from updater_core import config_utils
from updater_core.app import cycle
from updater_core.app.context import AppContext
from updater_core.app.wiring import wire
from updater_core.host.clock import SystemClock
from updater_core.models import Event, Outcome
from updater_core.notifiers.channel import Channel
from updater_core.state import records

SERVICE = {"name": "shop", "image": "registry.example/team/app:1.0", "compose_service": "web"}
COUNTERS = {"committed": "updates:shop", "rolled_back": "rollbacks:unhealthy:shop", "taken_over": None}


class Host:
    """A host on which an update has just ended, and nobody but its journal knows."""

    def __init__(self, folder: Path, ended: str) -> None:
        self.folder = folder
        self.made = Stage(folder, BAD if ended == "rolled_back" else NEW, new_tag="1.1")
        if ended == "taken_over":
            self.made.host.releases[BAD.digest] = BAD
            self.outcome: Outcome = self.made.apply(clock=SimClock(happenings=[self._operator_deploys]))
        else:
            self.outcome = self.made.apply()

    def _operator_deploys(self) -> None:
        (web,) = self.made.host.containers.values()
        web.image_id = BAD.id
        web.status = "running"

    def context(self, killer: Killer | None = None) -> AppContext:
        """A process that has just been started."""
        service = {**SERVICE, "compose_file": str(self.made.file)}
        raw = {
            "services": [service],
            "state_file": str(self.folder / "state.json"),
            "webhook_url": "http://127.0.0.1:9/",
        }
        whole = wire(config_utils.parse(raw, {}, str(self.folder / "config.json")), SystemClock())
        whole.host.engine = SimEngine(self.made.host)
        if killer is not None:
            whole.journal = Killable(whole.journal, killer)  # type: ignore[assignment]
            whole.channels = [_killable(each, killer) for each in whole.channels]
        return whole

    def queued(self) -> list[str]:
        return [
            json.loads(path.read_text())["event"]["kind"] for path in self.folder.glob("outbox/**/*.json")
        ]


class Killable:
    def __init__(self, real: object, killer: Killer) -> None:
        self._real, self._killer = real, killer

    def __getattr__(self, name: str) -> object:
        found = getattr(self._real, name)
        if name != "close":
            return found
        return lambda plan_id: self._killer.effect("close", lambda: found(plan_id))


class KillableOutbox:
    def __init__(self, put: Callable[[Event], None], killer: Killer) -> None:
        self._put, self._killer = put, killer

    def put(self, event: Event) -> None:
        self._killer.effect("put", lambda: self._put(event))


@pytest.mark.parametrize("ended", COUNTERS)
def test_killed_while_the_end_is_put_on_record_it_is_remembered_and_reported_once(
    tmp_path: Path, ended: str
) -> None:
    rehearsal = Killer()
    first = Host(_fresh(tmp_path), ended)
    cycle.recover_open(first.context(rehearsal))
    assert "close" in rehearsal.log
    for at in range(1, len(rehearsal.log) + 1):
        for after in (False, True):
            host = Host(_fresh(tmp_path), ended)
            with pytest.raises(Killed):
                cycle.recover_open(host.context(Killer(at, after)))
            context = host.context()
            cycle.recover_open(context)
            again = host.context()
            cycle.recover_open(again)
            _assert_on_record(host, again, ended)


def _killable(channel: Channel, killer: Killer) -> Channel:
    """The channel, with an outbox before which the process may be killed."""
    outbox = KillableOutbox(channel.outbox.put, killer)
    return channel._replace(outbox=outbox)  # type: ignore[arg-type]


def _assert_on_record(host: Host, context: AppContext, ended: str) -> None:
    known = records.service_of(context.state, "shop")
    assert [change.outcome for change in known.changes] == [ended]
    assert context.state.counters == ({COUNTERS[ended]: 1} if COUNTERS[ended] else {})
    assert host.queued() == {"committed": ["update"], "rolled_back": ["rollback"]}.get(ended, [])
    assert context.journal.read_all() == ()


def _fresh(folder: Path) -> Path:
    made = folder / str(len(list(folder.iterdir())))
    made.mkdir()
    return made
