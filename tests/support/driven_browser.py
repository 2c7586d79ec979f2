"""Chromium that a test drives: opens pages, types, presses keys and looks.

It is driven over the pipe of its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/).
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.lab import until

_KEYS = {
    "Tab": {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9},
    "Enter": {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
}


class DrivenPage:
    """One page of a browser.

    What it asks with `confirm` is answered with yes, and written down in `asked`.
    """

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        self._numbers, self._rest = itertools.count(1), b""
        self._session = ""
        self.asked: list[str] = []
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its result; what happens meanwhile is heard."""
        number = self._send(method, parameters)
        while True:
            message = self._receive()
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return message["result"]
            self._hear(message)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        until(
            lambda: self.run("document.readyState") == "complete" and self.run("location.href") == url,
            what=url,
        )

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(f"{script}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, **_KEYS[key])

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def picture(self, name: str) -> None:
        """Leave a picture for people in the folder that DAU_SCREENSHOTS names, if it names one."""
        if "DAU_SCREENSHOTS" in os.environ:
            data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            (Path(os.environ["DAU_SCREENSHOTS"]) / f"{name}.png").write_bytes(base64.b64decode(data))

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": number, "method": method, "params": parameters, **session}
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        return number

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._reader, 65536)
            assert part, "the browser has ended"
            self._rest += part
        first, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message

    def _hear(self, message: dict[str, Any]) -> None:
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Page.javascriptDialogOpening":
            self.asked.append(parameters["message"])
            self._send("Page.handleJavaScriptDialog", {"accept": True})
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(parameters["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))


@contextmanager
def driven(program: str, folder: Path) -> Iterator[DrivenPage]:
    """Provide a page of a new browser, for as long as the block runs."""
    to_browser, from_browser = os.pipe(), os.pipe()
    script = f'exec 3<&{to_browser[0]} 4>&{from_browser[1]}; exec "$@"'
    argv = [
        "bash", "-c", script, "bash", program, "--headless", "--no-sandbox", "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}", "about:blank",
    ]  # fmt: skip
    log = (folder / "chromium.log").open("wb")
    child = subprocess.Popen(argv, pass_fds=(to_browser[0], from_browser[1]), stdout=log, stderr=log)
    os.close(to_browser[0])
    os.close(from_browser[1])
    try:
        yield DrivenPage(from_browser[0], to_browser[1])
    finally:
        os.close(to_browser[1])
        os.close(from_browser[0])
        log.close()
        with suppress(subprocess.TimeoutExpired):
            child.wait(10)
        child.kill()
        child.wait()
