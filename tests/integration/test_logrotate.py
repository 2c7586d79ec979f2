"""The real logrotate with the configuration of `ops/`, on the log of a process that goes on writing.

logrotate comes from the Debian package of that name (`scripts/setup --with-logrotate`). With
DAU_REQUIRE_ENGINE=1, as `scripts/test` sets it, a missing one is a failure.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import ROOT, until

SHIPPED = ROOT / "ops/docker-updater.logrotate"
LOG = "/var/log/docker-auto-updater/docker_updater.log"
DATED = re.compile(r"docker_updater\.log-\d{8}-\d{6}(\.gz)?")
OWN = re.compile(r"docker_updater\.log(\.[1-5])?")

# Numbered lines by the updater's own logging, until its input ends; about two thousand in a second. Before
# its own rotation would drop the oldest of them it pauses, until the log is rotated from outside.
WRITER = """
import io, logging, os, select, sys
from updater_core import logging_utils
from updater_core.models import Settings
logging_utils._FILE_BYTES = int(sys.argv[2])
assert logging_utils.set_up(Settings(log_file=sys.argv[1]), io.StringIO()) == ()
number = 0
while not select.select([sys.stdin], [], [], 0.0005)[0]:
    if os.path.exists(sys.argv[1] + ".4") and os.path.exists(sys.argv[1]):
        continue
    logging.getLogger("updater").info("line %d", number)
    number += 1
print(number)
"""


@pytest.fixture(scope="module")
def logrotate() -> str:
    found = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
    if found:
        return found
    if os.environ.get("DAU_REQUIRE_ENGINE") == "1":
        pytest.fail("logrotate is not there; run scripts/setup --with-logrotate")
    pytest.skip("logrotate is not there; scripts/setup --with-logrotate brings it")


class Log:
    """A folder with the log, and logrotate for it."""

    def __init__(self, program: str, folder: Path) -> None:
        self.folder = folder / "log"
        self.folder.mkdir(mode=0o750)
        self.file = self.folder / "docker_updater.log"
        self._config, self._program = folder / "logrotate.conf", program
        text = SHIPPED.read_text(encoding="utf-8")
        assert LOG in text
        text = text.replace(LOG, str(self.file))
        text = re.sub(r"(?m)^( *su ).*", rf"\g<1>{folder.owner()} {folder.group()}", text)
        self._config.write_text(text, encoding="utf-8")
        self._config.chmod(0o644)

    def rotate(self) -> None:
        """Rotate as soon as the second is later than in the name of any rotation, though the clock may go
        back.
        """
        last = max((path.name.removesuffix(".gz") for path in self.dated()), default="")
        until(lambda: time.strftime(f"{self.file.name}-%Y%m%d-%H%M%S") > last, what="a later second")
        argv = [self._program, "--force", "--state", str(self._config.with_name("status")), str(self._config)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")

    def has_a_line(self) -> bool:
        try:
            return self.file.stat().st_size > 0
        except FileNotFoundError:
            return False

    def dated(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if DATED.fullmatch(path.name))

    def numbers(self) -> list[int]:
        """The numbers of all lines in all files, sorted."""
        texts = [
            gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
            for path in self.folder.iterdir()
        ]
        return sorted(int(found[1]) for text in texts for found in re.finditer(r"line (\d+)\n", text))


@pytest.fixture
def log(logrotate: str, tmp_path: Path) -> Iterator[Log]:
    old = os.umask(0o022)  # the log stays private whatever the umask
    yield Log(logrotate, tmp_path)
    os.umask(old)


def writer(log: Log, file_bytes: int = 10_000_000) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", WRITER, str(log.file), str(file_bytes)]
    made = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until(log.has_a_line, what="the first line")
    return made


def halted(log: Log, process: subprocess.Popen[str]) -> bool:
    """Whether the writer stands still, and that between two rotations of its own: a log that goes away
    beneath logrotate is an error to it.
    """
    process.send_signal(signal.SIGSTOP)
    until(
        lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T",
        what="a halt",
    )
    if not log.has_a_line():
        process.send_signal(signal.SIGCONT)
        return False
    return True


def stop(process: subprocess.Popen[str]) -> int:
    """End the writer; how many lines it has written."""
    said, _ = process.communicate(timeout=120)
    return int(said)


def test_new_lines_go_to_the_new_file_and_none_to_the_old_one(log: Log) -> None:
    process = writer(log)
    try:
        log.rotate()
        until(log.has_a_line, what="a line in the new file")
        (moved,) = log.dated()
        size = moved.stat().st_size
        grown = log.file.stat().st_size
        until(lambda: log.file.stat().st_size > grown, what="further lines")
        assert moved.stat().st_size == size
    finally:
        written = stop(process)
    assert log.numbers() == [*range(written)]
    assert {path.stat().st_mode & 0o777 for path in log.folder.iterdir()} == {0o600}


@pytest.mark.parametrize("is_by_size", [False, True], ids=["by time alone", "by time and by size"])
def test_no_line_is_lost_or_written_twice_however_often_it_is_rotated(log: Log, is_by_size: bool) -> None:
    process = writer(log, 60_000 if is_by_size else 10_000_000)
    try:
        for _ in range(3):
            until(log.has_a_line, what="a line to rotate")
            if is_by_size:
                until(log.file.with_name("docker_updater.log.1").exists, what="its own rotation")
                until(lambda: halted(log, process), what="a log to rotate")
            log.rotate()
            process.send_signal(signal.SIGCONT)
    finally:
        process.send_signal(signal.SIGCONT)
        written = stop(process)
    assert log.numbers() == [*range(written)]
    names = sorted(path.name for path in log.folder.iterdir())
    assert [name for name in names if not (DATED.fullmatch(name) or OWN.fullmatch(name))] == []
    packed = [path.suffix == ".gz" for path in log.dated()]
    assert packed == [True, True, False], "the last one is compressed next time"
    assert ("docker_updater.log.1" in names) == is_by_size
    assert {path.stat().st_mode & 0o777 for path in log.folder.iterdir()} == {0o600}


def test_what_is_empty_or_not_there_is_no_error(log: Log) -> None:
    log.rotate()
    log.file.touch()
    log.rotate()
    assert log.dated() == []
