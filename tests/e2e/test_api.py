"""Orders over HTTP to a real daemon on the real engine: by a script, by a link in a message, by hand in
Chromium.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import lab
from tests.support.driven_browser import DrivenPage, driven
from tests.support.failures import opened
from tests.support.lab import Shop, until
from tests.support.listener import listening
from tests.support.ports import free_port

pytestmark = pytest.mark.engine
TOKEN = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    if found:
        return found
    if os.environ.get("DAU_REQUIRE_ENGINE") == "1":
        pytest.fail("Chromium is not there; run scripts/setup --with-chromium")
    pytest.skip("Chromium is not there; scripts/setup --with-chromium brings it")


def ask(shop: Shop, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    data = json.dumps(body or {}).encode() if method == "POST" else None
    address = f"http://127.0.0.1:{shop.settings['metrics_port']}{path}"
    request = urllib.request.Request(address, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def order(shop: Shop, kind: str, body: Any = None) -> tuple[int, Any]:
    return ask(shop, "POST", f"/api/v1/services/{shop.name}/{kind}", body)


def ended(shop: Shop, kind: str) -> dict[str, Any]:
    """What came of an order, once it has ended."""
    _, answer = order(shop, kind)

    def record() -> Any:
        found = ask(shop, "GET", f"/api/v1/orders/{answer['id']}")[1]
        return found if found["state"] != "waiting" else None

    return dict(until(record, what=f"the end of {kind}"))


@contextmanager
def daemon(shop: Shop) -> Iterator[subprocess.Popen[str]]:
    shop.settings |= {"metrics_port": free_port(), "api_token": TOKEN}
    child = shop.updater()
    try:
        until(lambda: _is_there(shop) and _reason(shop), what="the daemon's first cycle")
        yield child
    finally:
        child.terminate()
        child.communicate(timeout=150)


def _is_there(shop: Shop) -> bool:
    try:
        return ask(shop, "GET", "/api/v1/services")[0] == 200
    except OSError:
        return False


def _reason(shop: Shop) -> Any:
    return ask(shop, "GET", f"/api/v1/services/{shop.name}")[1]["reason"]


def test_every_order_works_over_http_on_a_real_service(shop: Shop) -> None:
    shop.policy = {"mode": "notify"}
    opened(shop)
    with daemon(shop):
        assert _reason(shop) == "same_digest"
        two = shop.push("latest", lab.good("two"))
        assert ask(shop, "POST", "/api/v1/check")[0] == 200
        until(lambda: _reason(shop) == "notify_only", what="the check")
        assert order(shop, "approve")[0] == 409  # its mode asks for none
        assert order(shop, "skip", {"digest": two.digest})[0] == 200
        until(lambda: _reason(shop) == "skipped", what="the skip")
        assert "skipped" in ended(shop, "update")["detail"]
        assert order(shop, "approve")[0] == 200
        until(lambda: _reason(shop) == "notify_only", what="the end of the skip")
        assert order(shop, "pause", {"for": "3d"})[0] == 200
        refused = ended(shop, "update")
        assert (refused["state"], "paused by api" in refused["detail"]) == ("refused", True)
        assert order(shop, "resume")[0] == 200
        done = ended(shop, "update")
        assert (done["state"], done["by"], shop.releases()) == ("done", "api", [("two", "running")]), done
        done = ended(shop, "rollback")
        assert (done["state"], shop.releases()) == ("done", [("one", "running")]), done
        until(lambda: _reason(shop) == "quarantined", what="the check after the rollback")
        assert order(shop, "retry")[0] == 200
        until(lambda: _reason(shop) == "notify_only", what="the check after the retry")
    taken = [each["kind"] for each in shop.state()["orders"]]
    assert taken[:-1] == [
        "retry",
        "rollback",
        "update",
        "resume",
        "update",
        "pause",
        "approve",
        "update",
        "skip",
    ]
    assert (taken[-1], shop.state()["orders"][-1]["is_done"]) == ("approve", False), "refused, and kept"
    assert (
        TOKEN
        not in (shop.folder / "updater.log").read_text() + (shop.folder / "state/state.json").read_text()
    )


def said(page: DrivenPage) -> str:
    return str(page.run("document.getElementById('orders-said').textContent"))


def _press_until(page: DrivenPage, label: str) -> None:
    """Go on with the keyboard to the button of this name, and press it."""
    for _ in range(80):
        page.press("Tab")
        focused = page.run(
            "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent)"
        )
        if focused == label:
            page.press("Enter")
            return
    raise AssertionError(f"the keyboard does not lead to {label!r}")


def test_a_person_approves_with_the_keyboard_on_the_page(shop: Shop, chromium: str, tmp_path: Path) -> None:
    shop.policy = {"mode": "approve"}
    opened(shop)
    shop.push("latest", lab.good("two"))
    with daemon(shop), driven(chromium, tmp_path) as page:
        assert _reason(shop) == "awaiting_approval"
        page.open(f"http://127.0.0.1:{shop.settings['metrics_port']}/")
        page.run("document.getElementById('orders-token').focus()")
        page.type("x" * 32)
        page.press("Enter")
        until(lambda: "no valid token" in said(page), what="the refusal")
        page.type(TOKEN)
        page.press("Enter")
        until(
            lambda: page.run("document.querySelectorAll('#orders-list button').length") > 4,
            what="the buttons",
        )
        for width in (390, 1280):
            page.resize(width, 900)
            page.picture(f"orders-{width}")
            assert page.run("document.documentElement.scrollWidth <= window.innerWidth"), width
        assert (
            page.run("JSON.stringify([document.cookie, localStorage.length, sessionStorage.length])")
            == '["",0,0]'
        )
        assert TOKEN not in page.run("document.documentElement.outerHTML")
        page.run("document.getElementById('orders-said').focus()")
        _press_until(page, f"Approve: {shop.name}")
        until(lambda: "may be taken" in said(page), what="the answer")
        assert [shop.name in asked for asked in page.asked] == [True]
        until(lambda: shop.releases() == [("two", "running")], what="the update")
        assert [error for error in page.errors if "401" not in error] == []
    assert [(each["kind"], each["who"]) for each in shop.state()["orders"]] == [("approve", "api")]


def test_a_link_in_a_message_leads_to_a_page_whose_button_approves(
    shop: Shop, chromium: str, tmp_path: Path
) -> None:
    shop.policy = {"mode": "approve"}
    opened(shop)
    shop.push("latest", lab.good("two"))
    with listening() as listener:
        shop.settings = {"webhook_url": listener.url}
        with daemon_with_links(shop), driven(chromium, tmp_path) as page:
            message = until(lambda: next(iter(listener.requests), None), what="the message")
            link = json.loads(message.body)["approve_url"]
            assert link.startswith(f"http://127.0.0.1:{shop.settings['metrics_port']}/approve/")
            page.open(link)
            assert shop.name in page.run("document.querySelector('main').textContent")
            page.resize(390, 700)
            page.picture("approve")
            _press_until(page, "Approve this image")
            until(
                lambda: page.run("document.querySelector('h2')?.textContent") == "Approved", what="the answer"
            )
            until(lambda: shop.releases() == [("two", "running")], what="the update")
            page.open("about:blank")
            page.open(link)
            assert "not good any more" in page.run("document.querySelector('h2')?.textContent")
            assert [error for error in page.errors if "410" not in error] == []
    assert [(each["kind"], each["who"]) for each in shop.state()["orders"]] == [("approve", "approval link")]
    assert link.rpartition("/")[2] not in (shop.folder / "state/state.json").read_text()


@contextmanager
def daemon_with_links(shop: Shop) -> Iterator[None]:
    """A daemon without a token: the links are all that its API lets in."""
    port = free_port()
    shop.settings |= {"metrics_port": port, "api_public_url": f"http://127.0.0.1:{port}"}
    child = shop.updater()
    try:
        yield
    finally:
        child.terminate()
        child.communicate(timeout=150)
