"""What an owner asks of an updater that runs: nothing is lost on the way, and nothing that is no request does harm."""

from __future__ import annotations

from pathlib import Path

from updater_core import mailbox
from updater_core.mailbox import Request


def test_a_request_arrives_once(tmp_path: Path) -> None:
    for _ in range(2):
        mailbox.leave(tmp_path / "requests", Request("retry", "web"))
    assert list(mailbox.take(tmp_path / "requests")) == [Request("retry", "web")]
    assert list(mailbox.take(tmp_path / "requests")) == []


def test_a_request_whose_carrying_out_was_cut_off_comes_again(tmp_path: Path) -> None:
    mailbox.leave(tmp_path / "requests", Request("rollback", "web"))
    assert next(iter(mailbox.take(tmp_path / "requests"))) == Request("rollback", "web")
    assert list(mailbox.take(tmp_path / "requests")) == [Request("rollback", "web")]


def test_what_is_no_request_stops_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    mailbox.leave(folder, Request("retry", "web"))
    (folder / "a.json").write_text("{")
    (folder / "b.json").mkdir()
    assert list(mailbox.take(folder)) == [Request("retry", "web")]
