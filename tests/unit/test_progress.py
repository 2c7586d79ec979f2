"""The progress of a pull, as a person at a terminal sees it."""

from __future__ import annotations

import io

from updater_core.host import pull_progress


class Terminal(io.StringIO):
    """A stream that a person watches."""

    def isatty(self) -> bool:
        return True


def test_nobody_watches_a_pipe() -> None:
    assert pull_progress.for_stream(io.StringIO()) is None


def test_a_terminal_shows_each_layer_with_its_bytes_and_is_clean_afterwards() -> None:
    screen = Terminal()
    show = pull_progress.for_stream(screen)
    assert show is not None
    show({"status": "Pulling from team/app", "id": "1.0"})
    show(
        {
            "status": "Downloading",
            "id": "aaaaaaaaaaaa",
            "progressDetail": {"current": 1_000_000, "total": 4_000_000},
        }
    )
    show(
        {
            "status": "Extracting",
            "id": "bbbbbbbbbbbb",
            "progressDetail": {"current": 2_000_000, "total": 2_000_000},
        }
    )
    show({"end": True})
    shown = screen.getvalue()
    assert "aaaaaaaaaaaa downloading" in shown
    assert "1.0/4.0 MB" in shown
    assert "bbbbbbbbbbbb extracting" in shown
    assert "\x1b[?25h" in shown  # the cursor is back


def test_an_end_without_a_layer_shows_nothing() -> None:
    screen = Terminal()
    show = pull_progress.PullProgress(screen)
    show({"end": True})
    assert screen.getvalue() == ""
