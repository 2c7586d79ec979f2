"""The status page in a real browser, and of a real daemon in the middle of a real update.

Chromium comes from the Debian package chromium (`scripts/setup --with-chromium`). With DAU_REQUIRE_ENGINE=1,
as `scripts/test` sets it, a missing one is a failure. Pictures for people are left in the folder that
DAU_SCREENSHOTS names; the tests look at small ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterator
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.support import lab
from tests.support.failures import let_go, slow
from tests.support.lab import Shop
from tests.support.ports import free_port
from tests.support.sample_status import mixed, well
from updater_core.status.facts import view_of
from updater_core.status.inputs import StatusFacts
from updater_core.status.page import status_html, status_json
from updater_core.status.server import Endpoints, Response, StatusServer

Colour = tuple[int, int, int]
LIGHT, DARK = (0xF6, 0xF7, 0xF9), (0x12, 0x16, 0x1C)
RED, RED_IN_THE_DARK, GREEN = (0xFD, 0xE7, 0xEA), (0x47, 0x14, 0x20), (0xE3, 0xF5, 0xEA)
IN_THE_DARK = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0")


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    if found:
        return found
    if os.environ.get("DAU_REQUIRE_ENGINE") == "1":
        pytest.fail("Chromium is not there; run scripts/setup --with-chromium")
    pytest.skip("Chromium is not there; scripts/setup --with-chromium brings it")


class Browser:
    """Chromium without a window, a new profile for each look."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder, self._looks = program, folder, 0

    def _run(self, *words: str) -> str:
        self._looks += 1
        argv = [
            self._program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars",
            f"--user-data-dir={self._folder / f'profile-{self._looks}'}", *words,
        ]  # fmt: skip
        return subprocess.run(
            argv, capture_output=True, text=True, check=True, timeout=120, cwd=self._folder
        ).stdout

    def dom(self, url: str, *words: str) -> str:
        """The document as the browser has it."""
        return self._run("--dump-dom", *words, url)

    def picture(self, name: str, url: str, size: tuple[int, int], *words: str) -> list[list[Colour]]:
        """A screenshot as rows of pixels, half the size each way."""
        words = (*words, f"--window-size={size[0]},{size[1]}", url)
        if "DAU_SCREENSHOTS" in os.environ:
            self._run(f"--screenshot={os.environ['DAU_SCREENSHOTS']}/{name}.png", *words)
        path = self._folder / "small.png"
        self._run("--force-device-scale-factor=0.5", f"--screenshot={path}", *words)
        return pixels(path.read_bytes())


def pixels(png: bytes) -> list[list[Colour]]:
    """The rows of an 8-bit RGB or RGBA picture that is not interlaced
    (https://www.w3.org/TR/png-3/#9Filters).
    """
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    assert depth == 8
    step = {2: 3, 6: 4}[kind]
    data, place = b"", 8
    while place < len(png):
        (size,) = struct.unpack(">I", png[place : place + 4])
        data += png[place + 8 : place + 8 + size] if png[place + 4 : place + 8] == b"IDAT" else b""
        place += size + 12
    raw, stride = zlib.decompress(data), width * step + 1
    rows, above = [], bytearray(stride - 1)
    for number in range(height):
        line = bytearray(raw[number * stride + 1 : (number + 1) * stride])
        above = unfiltered(raw[number * stride], line, above, step)
        rows.append([(above[i], above[i + 1], above[i + 2]) for i in range(0, len(above), step)])
    return rows


def unfiltered(kind: int, line: bytearray, above: bytearray, step: int) -> bytearray:
    if kind == 2:
        return bytearray((one + up) & 255 for one, up in zip(line, above, strict=True))
    for i in range(len(line)):
        left, up, corner = (line[i - step], above[i], above[i - step]) if i >= step else (0, above[i], 0)
        line[i] = (line[i] + (0, left, up, (left + up) // 2, paeth(left, up, corner))[kind]) & 255
    return line


def paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))


@pytest.fixture(scope="module")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return Browser(chromium, tmp_path_factory.mktemp("chromium"))


def served(facts: StatusFacts) -> StatusServer:
    view = view_of(facts)
    return StatusServer(
        "127.0.0.1",
        0,
        Endpoints(
            metrics=lambda _accept: Response(""),
            html=lambda is_refreshing: Response(
                status_html(view, is_refreshing=is_refreshing), "text/html; charset=utf-8"
            ),
            json=lambda: Response(status_json(view), "application/json"),
            health=lambda: Response("well\n"),
        ),
    )


@pytest.fixture(scope="module")
def needs_look() -> Iterator[str]:
    server = served(mixed())
    yield f"http://127.0.0.1:{server.port}/"
    server.close()


# ----------------------------------------------------------------------------------------- what is to be seen


def words(dom: str) -> str:
    """The text of a document."""
    body = re.sub(r"<(style|title)>.*?</\1>", "", dom, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def colours(picture: list[list[Colour]]) -> Counter[Colour]:
    return Counter(pixel for row in picture for pixel in row)


def test_the_browser_has_the_whole_page(browser: Browser, needs_look: str) -> None:
    dom = browser.dom(needs_look)
    shown = words(dom)
    for text in (
        "Something failed",
        "see to the service by hand, then run sudo docker-updater --retry db",
        "16 of 100",
        "3 min ago",
        "by ann",
        "sudo docker-updater --resume web",
    ):
        assert text in shown, text
    assert dom.count('<tr role="row"') == 3 + 8 + 3 + 3
    assert re.findall(r"<h2[^>]*>(?:<span.*?</span>)? ?(.*?)</h2>", dom) == [
        'Something failed: <a href="#need-3">db</a>', "What to do", "What waits", "Decisions", "Services",
        "History", "Registries",
    ]  # fmt: skip


def test_the_style_is_let_in_by_its_hash_and_follows_light_and_dark(
    browser: Browser, needs_look: str
) -> None:
    light = colours(browser.picture("light", needs_look, (1280, 1200)))
    assert light.most_common(1)[0][0] in (LIGHT, (255, 255, 255))
    assert light[LIGHT] > 20_000
    assert light[RED] > 1_000, "the verdict has its colour: the policy let the style in"
    dark = colours(browser.picture("dark", needs_look, (1280, 1200), *IN_THE_DARK))
    assert dark[DARK] > 20_000
    assert dark[RED_IN_THE_DARK] > 1_000
    assert dark[LIGHT] == 0


@pytest.mark.parametrize("width", [360, 500, 736])
def test_nothing_sticks_out_on_a_narrow_screen(browser: Browser, tmp_path: Path, width: int) -> None:
    """A window is never narrower than 500 pixels, so the page stands in a frame; with all steps unfolded."""
    page = status_html(view_of(mixed())).replace("<details>", "<details open>")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    frame = (
        f'<body style="margin:0"><iframe src="page.html" style="border:0" width="{width}" '
        'height="6800"></iframe>'
    )
    (tmp_path / "frame.html").write_text(frame, encoding="utf-8")
    picture = browser.picture(f"phone-{width}", f"file://{tmp_path}/frame.html", (max(width, 500), 6800))
    margin = {row[x] for row in picture for x in (*range(4), *range(width // 2 - 4, width // 2))}
    assert margin == {LIGHT}
    assert colours(picture)[RED] > 100


AXE = """<script src="axe.min.js"></script><script>axe.run().then(found => {
  const node = document.createElement("pre");
  node.id = "axe";
  const violations = found.violations.map(each => [each.id, each.nodes.map(node => node.html)]);
  node.textContent = JSON.stringify(violations);
  document.body.append(node);
});</script></body>"""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("look", [(), IN_THE_DARK], ids=["light", "dark"])
def test_axe_finds_nothing_on_the_page(
    browser: Browser, tmp_path: Path, width: int, look: tuple[str, ...]
) -> None:
    """With all that is folded away unfolded; https://github.com/dequelabs/axe-core."""
    program = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    (tmp_path / "axe.min.js").write_text(program, encoding="utf-8")
    text = str(status_html(view_of(mixed()))).replace("<details>", "<details open>").replace("</body>", AXE)
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    words = ("--virtual-time-budget=60000", f"--window-size={width},2000", *look)
    dom = browser.dom(f"file://{tmp_path}/page.html", *words)
    found = re.search(r'<pre id="axe">(.*?)</pre>', dom, flags=re.DOTALL)
    assert found, "axe did not end"
    assert json.loads(unescape(found[1])) == []


@pytest.mark.parametrize("look", [(), IN_THE_DARK], ids=["light", "dark"])
def test_the_steps_of_an_update_unfold_without_a_script(
    browser: Browser, tmp_path: Path, look: tuple[str, ...]
) -> None:
    """What is folded away is there for the browser, and takes space only when it is opened."""
    text = status_html(view_of(mixed()))
    heights = []
    for name, page in (("closed", text), ("open", text.replace("<details>", "<details open>"))):
        (tmp_path / "page.html").write_text(page, encoding="utf-8")
        url = f"file://{tmp_path}/page.html"
        ground = DARK if look else LIGHT
        picture = browser.picture(f"steps-{name}-{'dark' if look else 'light'}", url, (1280, 5200), *look)
        heights.append(sum(set(row) != {ground} for row in picture))
    assert heights[0] + 50 < heights[1]
    shown = words(browser.dom(f"file://{tmp_path}/page.html"))
    assert "9 steps hold 0.0 s pull 3.2 s prove 0.8 s" in shown
    assert "gate 16 s Rollback edit 0.0 s restart 1.3 s gate 8.9 s verify 0.1 s" in shown


def test_if_all_is_well_it_is_green_and_if_it_is_not_there_is_no_green_verdict(
    browser: Browser, needs_look: str
) -> None:
    server = served(well(3))
    try:
        calm = colours(browser.picture("well", f"http://127.0.0.1:{server.port}/", (1280, 900)))
    finally:
        server.close()
    assert calm[GREEN] > 1_000
    assert colours(browser.picture("top", needs_look, (1280, 700)))[GREEN] == 0


# ------------------------------------------------------------------------------------------- of a real daemon


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as reply:
        text: str = reply.read().decode()
        return text


def status(url: str) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(get(url + "status.json"))
        return read
    except (urllib.error.URLError, ConnectionError):
        return {}


@pytest.mark.engine
def test_it_shows_an_update_while_it_happens_and_after(shop: Shop, browser: Browser) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    shop.settings["metrics_port"] = port
    shop.push("latest", lab.good("one"))
    shop.write()
    shop.up()
    shop.push("latest", slow("two", "exit 0"))
    daemon = shop.updater()
    try:
        hand = lab.until(
            lambda: (status(url).get("at_hand") or {}).get("step") == "gate", what="the gate is shown"
        )
        assert hand
        assert shop.name in get(url)
        let_go(shop)
        after = lab.until(
            lambda: status(url)["pulse"]["cycle_ended"] and status(url), what="the cycle is over"
        )
        assert (after["verdict"]["level"], after["at_hand"]) == ("ok", None)
        (change,) = after["changes"]
        assert (change["outcome"], change["service"], change["change"]) == ("committed", shop.name, "rebuild")
        shown = words(browser.dom(url))
        assert "All is well" in shown
        assert f"{shop.name} ✓ updated" in shown
        assert "9 steps hold " in shown
        took = {step["step"]: step["seconds"] for step in change["steps"]}
        assert [*took] == ["hold", "pull", "prove", "journal", "edit", "restart", "gate", "verify", "commit"]
        assert 0 < sum(took.values()) <= change["duration_seconds"] + 0.1, "no second is counted twice"
        metrics = get(url + "metrics")
        assert 'docker_updater_update_duration_seconds_count{outcome="committed"} 1.0' in metrics
        gate = re.search(r'docker_updater_gate_duration_seconds_sum\{result="proven"\} ([\d.]+)', metrics)
        assert gate
        assert 0 < float(gate[1]) < change["duration_seconds"]
        assert float(gate[1]) == pytest.approx(took["gate"], abs=0.01)
        assert get(url + "healthz").startswith("the last cycle ended at ")
    finally:
        daemon.terminate()
        daemon.communicate(timeout=150)
