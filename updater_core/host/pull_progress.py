"""The progress of a pull at a terminal: layers and bytes. Not in a pipe or a log, whose lines are enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from updater_core.protocols import Progress


def for_stream(stream: TextIO) -> Progress | None:
    """Return what shows the progress of pulls on `stream`; None if that is no terminal."""
    return PullProgress(stream) if stream.isatty() else None


class PullProgress:
    """Shows one bar a layer while a pull runs.

    Takes the engine's progress messages (https://docs.docker.com/reference/api/engine/, ImageCreate), and
    `{"end": True}` when the pull is over.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def __call__(self, message: Mapping[str, Any]) -> None:
        if message.get("end"):
            self._stop()
            return
        layer, detail = message.get("id"), message.get("progressDetail") or {}
        if layer and message.get("status") in ("Downloading", "Extracting") and detail.get("total"):
            self._show(str(layer), str(message["status"]), detail)

    def _show(self, layer: str, status: str, detail: Mapping[str, Any]) -> None:
        bars = self._start()
        if layer not in self._tasks:
            self._tasks[layer] = bars.add_task("", total=detail["total"])
        description = f"{layer} {status.lower()}"
        bars.update(
            self._tasks[layer], description=description, completed=detail["current"], total=detail["total"]
        )

    def _start(self) -> Any:
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
            from rich.progress import Progress as Bars

            columns = (
                TextColumn("    {task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
            )
            self._bars = Bars(*columns, console=Console(file=self._stream), transient=True)
            self._bars.start()
        return self._bars

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars = None
        self._tasks = {}
