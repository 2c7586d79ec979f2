"""What `--test` prints of its findings, and what it says of the HTTP API."""

from __future__ import annotations

import io
import json

import pytest

from updater_core.app.api import exposure
from updater_core.app.commands import check_report
from updater_core.deploy.target import Finding
from updater_core.models import ApiToken, Secret, Settings

OK = Finding(True, "engine", "answers")
WARNED = Finding(True, "api", "without TLS", "put a proxy before it", is_warning=True)
FAILED = Finding(False, "web", "has no container", "sudo docker compose up -d")


def test_failures_come_first_then_warnings_then_what_is_well() -> None:
    lines = check_report.text([OK, WARNED, FAILED, OK], is_terminal=False).splitlines()
    assert lines == [
        "FAIL  web: has no container -> sudo docker compose up -d",
        "warn  api: without TLS -> put a proxy before it",
        "ok    engine: answers",
        "ok    engine: answers",
        "4 checks: 2 ok, 1 warning (api), 1 failed (web)",
    ]


def test_the_json_has_the_same_order_and_a_warning_is_no_failure() -> None:
    found = json.loads(check_report.as_json([OK, WARNED]))
    assert found["ok"] is True
    assert [(each["level"], each["ok"]) for each in found["checks"]] == [("warning", True), ("ok", True)]
    failed = json.loads(check_report.as_json([OK, FAILED]))
    assert (failed["ok"], failed["checks"][0]["level"]) == (False, "failed")


@pytest.mark.parametrize("number", [1, 3, 30])
def test_the_summary_is_one_line_that_fits_however_much_failed(number: int) -> None:
    findings = [Finding(False, f"a-project-with-a-name-a-service-{each}", "") for each in range(number)]
    text = check_report.summary([*findings, WARNED, OK])
    assert len(text) <= 100
    assert "a-project-with-a-name-a-service-0" in text
    assert (" more)" in text) == (number > 2)


def test_a_terminal_gets_lines_that_fit_but_for_a_command() -> None:
    command = "sudo setfacl -m u:docker-updater:rwX /home/jane/docker/" + "a-long-folder/" * 6 + "compose.yml"
    findings = [
        Finding(False, "a-service", "it cannot be read " * 9, f"let it in: {command}; {'then go on ' * 9}"),
        Finding(True, "registry", "it lists many tags " * 9),
    ]
    lines = check_report.text(findings, is_terminal=True).splitlines()
    assert [line.strip() for line in lines if len(line) > 100] == [f"{command};"]
    assert len(check_report.text(findings, is_terminal=False).splitlines()) == 3


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_is_notified_what_is_looked_at_and_nothing_of_it_stays() -> None:
    stream = Terminal()
    progress = check_report.Progress(stream)
    progress.at("docker.io/library/nginx")
    assert stream.getvalue().endswith("checking docker.io/library/nginx ...")
    progress.at("x" * 300)
    assert len(stream.getvalue().rpartition("\x1b[K")[2]) < 100
    progress.end()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_pipe_gets_no_progress() -> None:
    stream = io.StringIO()
    progress = check_report.Progress(stream)
    progress.at("web")
    progress.end()
    assert stream.getvalue() == ""


# -------------------------------------------------------------------------------------------------------- api

TOKENS = (
    ApiToken("admin", Secret("s3cr3t-of-admin-0123456789")),
    ApiToken("ci", Secret("s3cr3t-of-ci-0123456789ab"), frozenset({"update", "check"})),
    ApiToken("wall", Secret("s3cr3t-of-wall-0123456789"), frozenset()),
)


def said_of(**settings: object) -> list[Finding]:
    return list(exposure.findings(Settings(metrics_port=9100, **settings)))  # type: ignore[arg-type]


def test_without_a_token_the_api_is_off() -> None:
    (found,) = said_of()
    assert found.line().startswith("ok    api: off")
    assert [each.text for each in exposure.findings(Settings(api_tokens=TOKENS))] == [found.text], (
        "nothing listens"
    )


def test_the_api_is_reported_with_its_address_and_the_rights_of_each_token_and_no_secret() -> None:
    found = said_of(api_tokens=TOKENS)
    assert [each.mark for each in found] == ["ok  "] * 4
    assert found[0].text.startswith("on at http://127.0.0.1:9100; messages carry no links")
    texts = [each.text for each in found[1:]]
    assert texts == [
        "token admin may give every order",
        "token ci may update, check",
        "token wall may only read",
    ]
    assert "s3cr3t" not in " ".join(each.line() for each in found)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "nas.local"])
def test_an_address_that_others_reach_is_warned_of_unless_a_proxy_has_tls(host: str) -> None:
    (warned,) = [each for each in said_of(api_tokens=TOKENS, metrics_host=host) if each.is_warning]
    assert f"the API listens on {host} without TLS" in warned.text
    assert "API_PUBLIC_URL" in warned.remedy
    behind = said_of(api_tokens=TOKENS, metrics_host=host, api_public_url="https://updates.example.com")
    assert not any(each.is_warning for each in behind)
    assert "for others at https://updates.example.com; messages carry links" in behind[0].text
    plain = said_of(api_tokens=TOKENS, metrics_host=host, api_public_url="http://updates.example.com")
    assert any(each.is_warning for each in plain)


def test_links_alone_open_the_api_too() -> None:
    found = said_of(api_public_url="http://updates.example.com", metrics_host="0.0.0.0")
    assert found[0].text.startswith("on at http://0.0.0.0:9100")
    assert found[-1].is_warning
