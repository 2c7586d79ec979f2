"""The HTTP gate against a real listener, and its judgement alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.listener import listening
from tests.support.simulator import SimClock
from updater_core import config_utils
from updater_core.config.options import LABEL_KEYS
from updater_core.deploy import http_gate
from updater_core.deploy.health import Failed, Proven, Waiting
from updater_core.deploy.http_gate import HttpGate, ProbeAnswer, ProbeTrack
from updater_core.errors import ConfigError, GateFailed
from updater_core.models import GatePolicy, ServiceConfig

OK, BAD, SILENT = ProbeAnswer(200, "200"), ProbeAnswer(500, "500"), ProbeAnswer(None, "no answer")
SERVICE = {"name": "web", "image": "app:1", "compose_file": "/srv/c.yml", "compose_service": "web"}


def verdicts(policy: GatePolicy, answers: list[tuple[float, ProbeAnswer]]) -> list[type]:
    track, found = ProbeTrack(0.0), []
    for at, answer in answers:
        track, verdict = http_gate.judge(track, answer, policy, at)
        found.append(type(verdict))
    return found


def test_it_has_to_answer_in_time_and_for_a_while_without_a_break() -> None:
    policy = GatePolicy(timeout_seconds=10, stable_seconds=3)
    assert verdicts(policy, [(0, SILENT), (5, OK), (7, OK), (8, OK)]) == [Waiting, Waiting, Waiting, Proven]
    assert verdicts(policy, [(0, OK), (2, BAD), (3, OK), (5, OK), (6, OK)])[-2:] == [Waiting, Proven]
    assert verdicts(policy, [(9, OK), (11, OK), (12, OK)])[-1] is Proven, "it began in time"
    assert verdicts(policy, [(9, OK), (11, BAD)])[-1] is Failed
    assert verdicts(policy, [(10, SILENT), (10.5, SILENT)]) == [Waiting, Failed]
    assert verdicts(GatePolicy(1, 0), [(0, OK)]) == [Proven]


class Fine:
    """A deployment whose containers do well."""

    def __init__(self, policy: GatePolicy) -> None:
        self.plan = type("Plan", (), {"gate": policy})
        self.looks = 0

    def recheck(self) -> None:
        self.looks += 1


def pass_gate(policy: GatePolicy) -> Fine:
    deployment: Any = Fine(policy)
    (stage,) = HttpGate(SimClock(), lambda step, text: None).stages(deployment)
    stage.run()
    return deployment  # type: ignore[no-any-return]


def test_a_service_that_comes_up_slowly_is_waited_for() -> None:
    with listening() as listener:
        listener.fail(3, 503)
        made = pass_gate(GatePolicy(timeout_seconds=60, stable_seconds=1, url=f"{listener.url}/health"))
    assert [request.method for request in listener.requests][:1] == ["GET"]
    assert len(listener.requests) >= 5
    assert made.looks == len(listener.requests), "the containers are looked at all the while"


@pytest.mark.parametrize(
    ("answer", "statuses", "is_well"),
    [
        (200, "200-399", True),
        (302, "200-399", True),
        (302, "200-299", False),
        (401, "200,401", True),
        (404, "200-399", False),
        (500, "200-399", False),
    ],
)
def test_the_status_decides_and_no_redirect_is_followed(answer: int, statuses: str, is_well: bool) -> None:
    with listening() as listener:
        listener.answers.extend([(answer, {"Location": f"{listener.url}/elsewhere"})] * 100)
        policy = config({"health_url": listener.url, "health_status": statuses, "health_timeout": 2}).gate
        if is_well:
            pass_gate(policy)
        else:
            with pytest.raises(GateFailed, match=f"answered {answer}") as raised:
                pass_gate(policy)
            assert raised.value.reason == "probe_failed"
        assert {request.path for request in listener.requests} == {"/"}


def test_nobody_there_is_an_answer_too() -> None:
    with listening() as listener:
        url = listener.url
    with pytest.raises(GateFailed, match="gave no answer"):
        pass_gate(GatePolicy(timeout_seconds=1, stable_seconds=0, url=url))


def test_what_speaks_no_tls_is_no_answer() -> None:
    with listening() as listener:
        found = http_gate.probe(listener.url.replace("http:", "https:"))
    assert found.status is None


def config(own: dict[str, Any]) -> ServiceConfig:
    return config_utils.parse({"services": [{**SERVICE, **own}]}, {}, "/etc/c.json").services[0]


URL = "https://app.example/h"


def test_statuses_without_an_address_are_refused() -> None:
    with pytest.raises(ConfigError, match="it is about the answer of health_url; write that too"):
        config({"health_status": 204})


def test_the_options_are_read() -> None:
    gate = config({"health_url": "https://app.example/h?x=1", "health_status": "200-299, 401"}).gate
    assert (gate.url, gate.statuses) == ("https://app.example/h?x=1", ((200, 299), (401, 401)))
    assert config({"health_url": URL, "health_status": 204}).gate.statuses == ((204, 204),)
    assert config({}).gate.statuses == ((200, 399),)
    assert not {"health_url", "health_status"} & LABEL_KEYS


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("health_url", "app.example/health", "is not a web address; write one such as"),
        ("health_url", "https://me:hunter2@app.example", "a login stands in it"),
        ("health_url", "file:///etc/passwd", "is not a web address"),
        ("health_status", "ok", "is not HTTP statuses; write one or more of 100 to 599"),
        ("health_status", "299-200", "ends before it begins"),
        ("health_status", 999, "is not HTTP statuses"),
        ("health_status", [], "is not HTTP statuses"),
    ],
)
def test_a_mistake_is_one_clear_problem(key: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config({"health_url": URL, key: value})
    (problem,) = raised.value.problems
    assert problem.startswith(f"services[0].{key}: ")
    assert said in problem
    assert "hunter2" not in problem
