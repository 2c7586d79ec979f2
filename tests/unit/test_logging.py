"""`logging_utils`: one line for each event, a file that rotates itself, and no secret anywhere."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest

from updater_core import logging_utils
from updater_core.logging_utils import LogEvent, log_event, protect, protect_login, set_up
from updater_core.models import Credential, Secret, Settings
from updater_core.registries.vendors.docker_hub.settings import DockerHubAccount

LOGGER = logging.getLogger("updater_core.test")


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the process's logging as it was, and begin without secrets."""
    root = logging.getLogger()
    before, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    monkeypatch.setattr(logging_utils, "_secrets", set())
    monkeypatch.setattr(logging_utils, "_obtained", {})
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    root.handlers[:] = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)
    logging.raiseExceptions = raising
    monkeypatch.undo()
    time.tzset()


def written(settings: Settings, write: Callable[[], None]) -> str:
    stream = io.StringIO()
    assert set_up(settings, stream) == ()
    write()
    return stream.getvalue()


PLAIN = Settings(log_file="")
JSON = Settings(log_file="", log_format="json")


def fail() -> None:
    try:
        raise RuntimeError("no entry for hunter22")
    except RuntimeError:
        LOGGER.exception("it broke")


def at_eight(message: str, **fields: object) -> Callable[[], None]:
    """Log one line at a known moment, through the formatter that is set up."""

    def write() -> None:
        handler = logging.getLogger().handlers[0]
        extra = {"log_event": "updated", "service": "web", "fields": fields}
        record = LOGGER.makeRecord(LOGGER.name, logging.INFO, "", 0, message, (), None, extra=extra)
        record.created = 1795420800.125
        handler.handle(record)

    return write


def test_a_plain_line_is_for_people() -> None:
    assert written(PLAIN, at_eight("app:1 -> app:2")) == "2026-11-23 08:00:00 INFO  web: app:1 -> app:2\n"


def test_a_json_line_has_all_fields_and_is_one_line() -> None:
    text = written(JSON, at_eight("a\nb", reason="newer", duration_seconds=1.5, digest=None))
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "ts": "2026-11-23T08:00:00.125Z",
        "level": "INFO",
        "event": "updated",
        "service": "web",
        "message": "a\nb",
        "reason": "newer",
        "duration_seconds": 1.5,
        "digest": None,
    }


def test_a_line_of_a_library_is_json_too() -> None:
    line = json.loads(written(JSON, lambda: logging.getLogger("other").warning("%d of %s", 3, "x")))
    assert (line["event"], line["service"], line["message"]) == ("log", None, "3 of x")


def test_the_names_of_events_are_those_of_the_manual() -> None:
    """Others filter by them: a name that changes, or goes, breaks what they have built."""
    manual = (Path(__file__).resolve().parents[2] / "docs/observability.md").read_text(encoding="utf-8")
    table = manual.partition("| `event` | Level |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == [*LogEvent, "log"]


def test_a_field_never_takes_the_place_of_a_standard_one() -> None:
    line = json.loads(
        written(JSON, lambda: log_event(LOGGER, logging.INFO, LogEvent.UPDATED, "m", ts="x", level="y"))
    )
    assert line["level"] == "INFO"
    assert line["ts"] != "x"


def test_a_percent_sign_in_a_message_is_a_percent_sign() -> None:
    text = written(
        PLAIN, lambda: log_event(LOGGER, logging.ERROR, LogEvent.CHECK_FAILED, "100%s", service="web")
    )
    assert text.endswith("ERROR web: 100%s\n")


@pytest.mark.parametrize(("level", "word"), [("warning", "WARN "), ("critical", "FATAL"), ("error", "ERROR")])
def test_levels_have_one_width(level: str, word: str) -> None:
    assert f" {word} x" in written(PLAIN, lambda: getattr(LOGGER, level)("x"))


def test_further_lines_are_indented_and_control_characters_shown() -> None:
    text = written(PLAIN, lambda: LOGGER.info("one\n2026-11-23 08:00:00 INFO  forged\x1b[31m"))
    assert text.endswith("one\n    2026-11-23 08:00:00 INFO  forged\\x1b[31m\n")


@pytest.mark.parametrize(("level", "expected"), [("WARN", 1), ("ERROR", 0), ("DEBUG", 2)])
def test_the_level_is_the_configured_one(level: str, expected: int) -> None:
    def write() -> None:
        LOGGER.debug("d")
        LOGGER.warning("w")

    text = written(Settings(log_file="", log_level=level), write)
    assert len(text.splitlines()) == expected


@pytest.mark.parametrize("settings", [PLAIN, JSON])
@pytest.mark.parametrize(
    "write",
    [
        lambda: LOGGER.info("password hunter22"),
        lambda: LOGGER.info("password %s", "hunter22"),
        lambda: log_event(
            LOGGER, logging.INFO, LogEvent.HELD, "m hunter22", service="hunter22", url="hunter22"
        ),
        lambda: log_event(LOGGER, logging.INFO, LogEvent.HELD, "***", deep={"hunter22": ["hunter22"]}),
        lambda: LOGGER.info(Path("/x/hunter22")),
        fail,
    ],
    ids=["message", "argument", "event", "fields", "object", "traceback"],
)
def test_a_protected_secret_is_in_no_line(settings: Settings, write: Callable[[], None]) -> None:
    protect(Secret("hunter22"), None)
    text = written(settings, write)
    assert "hunter22" not in text
    assert "***" in text


@pytest.mark.parametrize("secret", ['quo"te\\d', "ümläut", "line one\nline two", "a b/c?d"])
def test_a_secret_is_found_in_whatever_form_a_line_needs(secret: str) -> None:
    protect(Secret(secret))
    text = written(JSON, lambda: log_event(LOGGER, logging.INFO, LogEvent.HELD, f"<{secret}>"))
    assert json.loads(text)["message"] == "<***>"
    assert "<***>" in written(PLAIN, lambda: LOGGER.info("<%s>", secret))


def test_a_secret_quoted_for_an_address_is_found_too() -> None:
    protect(Secret("a/b c"))
    assert "x=***&" in written(PLAIN, lambda: LOGGER.info("x=a%2Fb%20c&"))


def test_a_secret_that_is_part_of_another_does_not_uncover_it() -> None:
    protect(Secret("abcd"), Secret("abcdefgh"))
    assert "efgh" not in written(PLAIN, lambda: LOGGER.info("abcdefgh"))


def test_a_very_short_secret_does_not_blank_the_log_out() -> None:
    protect(Secret("a"), Secret(""))
    assert "a banana" in written(PLAIN, lambda: LOGGER.info("a banana"))


def test_a_login_is_protected_alone_and_as_it_is_sent() -> None:
    protect_login(Credential("jane", Secret("a/token")))
    line = written(PLAIN, lambda: LOGGER.error("a/token a%2Ftoken Basic amFuZTphL3Rva2Vu of jane"))
    assert line.endswith("*** *** Basic *** of jane\n")


def test_logins_that_came_and_went_do_not_pile_up_but_those_in_use_stay_protected() -> None:
    in_use = Credential("jane", Secret("in-use"))
    for number in range(2000):
        protect_login(in_use)
        protect_login(Credential("jane", Secret(f"token-{number:04}")))
    line = written(PLAIN, lambda: LOGGER.error("in-use token-0000 token-1999"))
    assert line.endswith("*** token-0000 ***\n")


def test_the_settings_own_secrets_are_protected() -> None:
    settings = Settings(
        log_file="",
        webhook_url=Secret("https://example.com/hooks/T0K3N-long"),
        webhook_secret=Secret("signing-key"),
        vendors=(DockerHubAccount("acme", Secret("hub-password")),),
    )
    text = written(settings, lambda: LOGGER.info("POST /hooks/T0K3N-long signing-key hub-password"))
    assert text.endswith("POST *** *** ***\n")


def test_the_log_file_is_for_its_owner_only_and_gets_the_same_lines(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "updater.log"
    text = written(Settings(log_file=str(path)), lambda: LOGGER.info("hello"))
    assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_log_file_rotates_itself_and_stays_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging_utils, "_FILE_BYTES", 1000)

    def much() -> None:
        for _ in range(40):
            LOGGER.info("x" * 400)

    old = os.umask(0o022)
    try:
        path = tmp_path / "updater.log"
        written(Settings(log_file=str(path)), much)
    finally:
        os.umask(old)
    kept = sorted(tmp_path.iterdir())
    assert [each.name for each in kept] == ["updater.log"] + [
        f"updater.log.{number}" for number in range(1, 6)
    ]
    assert {each.stat().st_mode & 0o777 for each in kept} == {0o600}
    assert all(0 < each.stat().st_size <= 1000 for each in kept)


@pytest.mark.parametrize("take_away", [lambda path: path.rename(path.with_name("moved")), Path.unlink])
def test_a_log_file_that_was_taken_away_is_made_anew_and_stays_private(
    tmp_path: Path, take_away: Callable[[Path], object]
) -> None:
    path = tmp_path / "updater.log"

    def write() -> None:
        LOGGER.info("before")
        take_away(path)
        assert not path.exists()
        LOGGER.info("after")

    old = os.umask(0o022)
    try:
        text = written(Settings(log_file=str(path)), write)
    finally:
        os.umask(old)
    assert [line.split()[-1] for line in text.splitlines()] == ["before", "after"]
    assert path.read_text() == text.splitlines(keepends=True)[1]
    assert path.stat().st_mode & 0o777 == 0o600
    moved = tmp_path / "moved"
    assert not moved.exists() or moved.read_text() == text.splitlines(keepends=True)[0]


def test_a_log_file_that_was_moved_in_the_moment_of_its_own_rotation_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "updater.log"

    def write() -> None:
        LOGGER.info("before")
        handler = logging.getLogger().handlers[1]
        assert isinstance(handler, RotatingFileHandler)
        path.rename(tmp_path / "moved")
        handler.doRollover()
        LOGGER.info("after")

    written(Settings(log_file=str(path)), write)
    assert [(tmp_path / name).read_text().split()[-1] for name in ("moved", "updater.log")] == [
        "before",
        "after",
    ]


def test_a_log_folder_that_goes_and_comes_back_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "updater.log"

    def write() -> None:
        path.unlink()
        path.parent.rmdir()
        LOGGER.info("lost to the file")
        path.parent.mkdir()
        LOGGER.info("there again")

    text = written(Settings(log_file=str(path)), write)
    assert "lost to the file" in text, "the stream has every line"
    assert path.read_text() == text.splitlines(keepends=True)[1]


def test_a_log_file_that_cannot_be_written_is_a_warning_and_the_stream_has_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    stream = io.StringIO()
    (warning,) = set_up(Settings(log_file=str(tmp_path / "file" / "updater.log")), stream)
    LOGGER.info("hello")
    assert "LOG_FILE" in warning
    assert "hello" in stream.getvalue()


def test_setting_up_again_replaces_what_was_there(tmp_path: Path) -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up(Settings(log_file=str(tmp_path / "a.log")), first)
    set_up(Settings(log_file=str(tmp_path / "b.log")), second)
    LOGGER.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
    assert (tmp_path / "a.log").read_text() == ""
    open_files = {os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()}
    assert str((tmp_path / "a.log").resolve()) not in open_files


def test_libraries_do_not_tell_addresses_at_debug() -> None:
    text = written(
        Settings(log_file="", log_level="DEBUG"),
        lambda: logging.getLogger("urllib3.connectionpool").debug("POST /T0K3N"),
    )
    assert text == ""
