"""`systemd` against a real notify socket: what is said, when a beat is sent, and that nobody need listen."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.lab import until
from updater_core.host.clock import SystemClock
from updater_core.host.systemd import Manager

ME = 4711


class Ear:
    """The manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self.socket.settimeout(0)

    def heard(self) -> list[str]:
        """Every message since the last time."""
        found = []
        try:
            while True:
                found.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return found


@pytest.fixture(params=["path", "abstract"])
def ear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ear]:
    made = Ear(
        str(tmp_path / "notify") if request.param == "path" else f"@dau-test-{tmp_path.name}-{id(tmp_path)}"
    )
    yield made
    made.socket.close()


def manager(ear: Ear, **environment: str) -> Manager:
    return Manager({"NOTIFY_SOCKET": ear.address, **environment}, ME)


def test_each_turn_of_its_life_is_one_message(ear: Ear) -> None:
    service_manager = manager(ear)
    service_manager.ready()
    service_manager.status("checking\n2 services")
    service_manager.reloading(12.5)
    service_manager.ready()
    service_manager.stopping()
    assert ear.heard() == [
        "READY=1",
        "STATUS=checking 2 services",
        "RELOADING=1\nMONOTONIC_USEC=12500000",
        "READY=1",
        "STOPPING=1",
    ]


def test_a_remark_stands_in_front_of_every_status_until_it_is_taken_back(ear: Ear) -> None:
    service_manager = manager(ear)
    service_manager.remark("the configuration is refused")
    service_manager.status("checking")
    service_manager.status("all well")
    service_manager.remark("")
    service_manager.status("all well")
    refused = "STATUS=the configuration is refused; "
    assert ear.heard() == [f"{refused}checking", f"{refused}all well", "STATUS=all well"]


def test_it_beats_at_once_and_then_no_more_often_than_is_of_use(ear: Ear) -> None:
    service_manager = manager(ear, WATCHDOG_USEC="8000000", WATCHDOG_PID=str(ME))
    for now in (100.0, 100.5, 101.9, 102.0, 103.9, 104.0):
        service_manager.beat(now)
    assert ear.heard() == ["WATCHDOG=1"] * 3


def test_the_beats_of_a_slow_watchdog_still_come_every_few_seconds(ear: Ear) -> None:
    service_manager = manager(ear, WATCHDOG_USEC="1200000000")
    for second in range(31):
        service_manager.beat(100.0 + second)
    assert ear.heard() == ["WATCHDOG=1"] * 4


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": "me"},
    ],
    ids=["none", "off", "no number", "another process", "no process"],
)
def test_without_a_watchdog_for_this_process_it_does_not_beat(
    ear: Ear, environment: Mapping[str, str]
) -> None:
    service_manager = manager(ear, **environment)
    service_manager.beat(100.0)
    service_manager.allow(60.0)
    assert ear.heard() == []
    assert service_manager.beat_seconds is None
    assert service_manager.wait_slice(3600.0) == 3600.0


def test_a_long_wait_is_cut_so_that_beats_come_in_time(ear: Ear) -> None:
    service_manager = manager(ear, WATCHDOG_USEC="8000000")
    assert service_manager.wait_slice(3600.0) == 2.0
    assert service_manager.wait_slice(0.5) == 0.5


def test_a_longer_silence_is_allowed_on_top_of_the_units_and_taken_back(ear: Ear) -> None:
    service_manager = manager(ear, WATCHDOG_USEC="8000000")
    service_manager.allow(60.0)
    service_manager.allow(0.0)
    assert ear.heard() == ["WATCHDOG_USEC=68000000", "WATCHDOG_USEC=8000000"]


def test_while_stopping_each_beat_asks_for_more_time(ear: Ear) -> None:
    service_manager = manager(ear, WATCHDOG_USEC="8000000")
    service_manager.beat(100.0)
    service_manager.stopping()
    service_manager.beat(100.1)
    assert ear.heard() == ["WATCHDOG=1", "STOPPING=1", "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=8000000"]


def test_time_to_stop_is_asked_for_without_a_watchdog_too(ear: Ear) -> None:
    service_manager = manager(ear)
    service_manager.stopping()
    service_manager.beat(100.0)
    assert ear.heard() == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=20000000"]


def test_a_manager_that_does_not_listen_does_no_harm(tmp_path: Path) -> None:
    service_manager = Manager({"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "8000000"}, ME)
    service_manager.ready()
    service_manager.beat(100.0)


# ---------------------------------------------------------------------------------------- the program's clock


@pytest.fixture
def clock(ear: Ear) -> SystemClock:
    """A clock whose watchdog is so short that each sign of life is sent."""
    made = SystemClock()
    made.manager = manager(ear, WATCHDOG_USEC="4000")
    return made


def test_the_main_threads_waits_are_signs_of_life(clock: SystemClock, ear: Ear) -> None:
    clock.sleep(0.002)
    clock.wait(0.002)
    clock.idle(0.002)
    assert len(ear.heard()) >= 3


def test_a_long_idle_time_beats_all_along(clock: SystemClock, ear: Ear) -> None:
    heard: list[str] = []

    def has_beaten() -> bool:
        heard.extend(ear.heard())
        return len(heard) >= 5

    def wake_after_five() -> None:
        until(has_beaten, what="five beats")
        clock.signals.check_now()

    threading.Thread(target=wake_after_five, daemon=True).start()
    assert clock.idle(120.0) is True
    assert clock.idle(0.002) is False


def test_waits_of_another_thread_are_none(clock: SystemClock, ear: Ear) -> None:
    other = threading.Thread(target=clock.wait, args=(0.01,))
    other.start()
    other.join()
    assert ear.heard() == []


def test_idling_ends_at_once_when_it_was_woken_before(clock: SystemClock) -> None:
    clock.signals.check_now()
    assert clock.idle(3600.0) is True
    assert clock.idle(0.0) is False


def test_a_wake_up_that_came_during_the_work_is_heard_even_without_time_to_wait(clock: SystemClock) -> None:
    clock.signals.check_now()
    assert clock.idle(0.0) is True


def test_idling_ends_when_it_is_woken_and_what_it_waits_for_is_there(clock: SystemClock) -> None:
    done = threading.Event()

    def work() -> None:
        clock.signals.wake()  # of something else: it waits on
        done.set()
        clock.signals.wake()

    worker = threading.Thread(target=work)
    worker.start()
    assert clock.idle(3600.0, done.is_set) is False
    assert done.is_set()
    worker.join()


class Worker:
    """A thread that works on its own, and gives a sign of life when it is asked to."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._go, self._done, self._is_over = threading.Event(), threading.Event(), False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.give_sign()

    def give_sign(self) -> None:
        self._done.clear()
        self._go.set()
        assert self._done.wait(120)

    def end(self) -> None:
        self._is_over = True
        self._go.set()
        self._thread.join(120)

    def _run(self) -> None:
        with self._clock.working():
            while self._go.wait(120) and not self._is_over:
                self._go.clear()
                self._clock.wait(0)
                self._done.set()


def test_the_process_is_alive_only_while_each_of_its_workers_is(
    clock: SystemClock, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])

    def is_alive() -> bool:
        """Whether the main thread's sign of life is passed on, a second later."""
        seconds[0] += 1.0
        clock.beat()
        return bool(ear.heard())

    clock.manager = manager(ear, WATCHDOG_USEC="10000000")
    well, hanging = Worker(clock), Worker(clock)
    well.start()
    hanging.start()
    assert ear.heard() == [], "a worker's own sign is not the process's"
    assert is_alive()
    for _ in range(5):
        seconds[0] += 2.0
        well.give_sign()
    assert not is_alive(), "the other one has said nothing for longer than the watchdog allows"
    hanging.give_sign()
    seconds[0] += 2.5  # signs are not sent more often than of use
    assert is_alive()
    seconds[0] += 20.0
    well.give_sign()
    assert not is_alive()
    hanging.end()
    assert is_alive(), "one that has ended need not be alive"
    well.end()
