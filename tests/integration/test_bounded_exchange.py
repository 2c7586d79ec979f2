"""Limits with a host: retries, rests, outages, limits of time and size, trust and proxies, and its pull
limit.
"""

from __future__ import annotations

import base64
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.fake_registry import Bearer, Behaviour, Build, FakeRegistry
from tests.support.registry_clients import ANYONE, APP, SOMEONE, at, at_host, digest, make
from tests.support.set_clock import SetClock
from updater_core.errors import NotFound, RateLimited, RegistryError
from updater_core.models import RegistrySettings
from updater_core.reference import parse
from updater_core.registries import Registries
from updater_core.registries.pull_limits import PullLimits
from updater_core.registries.transport import Limits, Request, Transport


@pytest.mark.parametrize(
    ("behaviour", "seconds"),
    [
        (Behaviour(status=429, headers={"Retry-After": "90"}), 90),
        (Behaviour(status=503, headers={"Retry-After": "90"}), 90),
        (
            Behaviour(
                status=429, headers={"Retry-After": format_datetime(datetime(2025, 6, 1, 12, 5, tzinfo=UTC))}
            ),
            300,
        ),
        (Behaviour(status=429, headers={"Retry-After": "11"}), 11),
        (Behaviour(status=429, headers={"Retry-After": "99999999"}), 6 * 3600),
        (Behaviour(status=429, headers={"Retry-After": "soon"}), 60),
        (Behaviour(status=429), 60),
    ],
)
def test_a_host_that_asks_for_a_rest_has_it(
    behaviour: Behaviour, seconds: int, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.push("team/other", "1.0")
    tries = 1 if seconds != 60 else 2  # without a hint, a HEAD is asked once more
    fake.behave("manifest_head", behaviour, times=tries)
    with pytest.raises(RateLimited) as error:
        digest(registries, at(fake))
    until = clock.now() + timedelta(seconds=seconds)
    assert error.value.retry_at == until
    assert dict(registries.backoffs()) == {fake.host: until}
    registries.new_cycle()
    with pytest.raises(RateLimited) as again:
        digest(registries, at(fake, "team/other:1.0"))
    assert again.value.retry_at == until
    assert fake.counts() == {"manifest_head": tries}
    clock.advance(seconds)
    registries.new_cycle()
    digest(registries, at(fake, "team/other:1.0"))
    assert registries.backoffs() == {}


def test_ghcr_says_how_long_in_the_body(fake: FakeRegistry, registries: Registries, clock: SetClock) -> None:
    text = "toomanyrequests: retry-after: {}, allowed: 44000/minute"
    for written, seconds in (("15500ms", 15.5), ("90s", 90), ("2m", 120)):
        fake.behave("tags", Behaviour(status=429, body=text.format(written).encode()), times=1)
        with pytest.raises(RateLimited) as error:
            registries.for_service(at(fake), ANYONE).tags(at(fake))
        assert error.value.retry_at == clock.now() + timedelta(seconds=seconds)
        clock.advance(seconds)
        registries.new_cycle()


SHORT_PAUSES = [
    Behaviour(status=429, headers={"Retry-After": "1"}),
    Behaviour(status=429, headers={"Retry-After": "0"}),
    Behaviour(status=503, headers={"Retry-After": "3"}),
    Behaviour(status=429, headers={"Retry-After": "0.05"}),
    Behaviour(status=429, headers={"Retry-After": "331.163\u00b5s"}),
    Behaviour(status=429, headers={"Retry-After": "250ms"}),
    Behaviour(status=429, headers={"Retry-After": "2s"}),
    Behaviour(status=429, headers={"Retry-After": format_datetime(datetime(2020, 1, 1, tzinfo=UTC))}),
]


@pytest.mark.parametrize("hint", ["331.163\u00b5s", "331.163\u03bcs", "12ns", "1.5s", "7"])
def test_a_short_pause_in_the_body_is_waited_out_too(
    hint: str, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.push(APP, "1.0")
    text = f"toomanyrequests: retry-after: {hint}, allowed: 44000/minute"
    fake.behave("tags", Behaviour(status=429, body=text.encode()), times=2)
    assert registries.for_service(at(fake), ANYONE).tags(at(fake))
    assert 0 < sum(clock.waits) < 20


@pytest.mark.parametrize("behaviour", SHORT_PAUSES)
@pytest.mark.parametrize("times", [1, 3])
def test_a_short_pause_is_waited_out_and_harms_no_service(
    behaviour: Behaviour, times: int, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    pushed = {name: fake.push(name, "1.0").digest for name in (f"team/app{number}" for number in range(12))}
    fake.behave("manifest_head", behaviour, times=times)
    with ThreadPoolExecutor(12) as pool:
        found = pool.map(lambda name: digest(registries, at(fake, f"{name}:1.0")), pushed)
        assert list(found) == list(pushed.values())
    assert registries.backoffs() == {}
    assert 0 < sum(clock.waits) < 10 * times


def test_after_a_short_pause_the_host_is_asked_one_question_at_a_time_until_the_cycle_ends(
    fake: FakeRegistry, registries: Registries
) -> None:
    for number in range(13):
        fake.push(f"team/app{number}", "1.0")
    fake.behave("manifest_head", Behaviour(status=429, headers={"Retry-After": "1"}), times=1)
    digest(registries, at(fake, "team/app12:1.0"))
    fake.clear_log()
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda number: digest(registries, at(fake, f"team/app{number}:1.0")), range(12)))
    assert fake.most_at_once == 1


def test_a_host_that_asks_for_short_pauses_without_end_is_left_alone(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.behave("manifest_head", Behaviour(status=429, headers={"Retry-After": "1"}))
    with pytest.raises(RateLimited) as error:
        digest(registries, at(fake))
    assert error.value.retry_at == clock.now() + timedelta(seconds=60)
    asked = fake.counts()["manifest_head"]
    with pytest.raises(RateLimited):
        digest(registries, at(fake, "team/other:1.0"))
    assert fake.counts()["manifest_head"] == asked <= 8


def test_a_stop_ends_a_short_pause_and_leaves_no_backoff(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.behave("manifest_head", Behaviour(status=429, headers={"Retry-After": "1"}))
    clock.stopped = True
    with pytest.raises(RateLimited, match="is stopping"):
        digest(registries, at(fake))
    assert registries.backoffs() == {}


@pytest.mark.parametrize("kind", ["manifest_get", "blob"])
def test_a_short_pause_of_an_optional_question_is_waited_out_and_a_long_one_starts_no_backoff(
    kind: str, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    pushed = fake.push(APP, "1.0", Build(index=True))
    behind = replace(at(fake), digest=pushed.digest)
    registry = registries.for_service(behind, ANYONE)
    fake.behave(kind, Behaviour(status=429, headers={"Retry-After": "1"}), times=1)
    fake.behave(kind, Behaviour(status=429, headers={"Retry-After": "90"}), times=1)
    fake.behave(kind, Behaviour(status=429, headers={"Retry-After": "1"}))
    with pytest.raises(RateLimited) as error:
        registry.facts(behind, "linux/amd64")
    assert error.value.retry_at == clock.now() + timedelta(seconds=90)
    assert sum(clock.waits) >= 1
    assert registries.backoffs() == {}
    with pytest.raises(RateLimited):
        registry.facts(behind, "linux/amd64")
    fake.clear_log()
    with pytest.raises(RateLimited):  # it is not waited for again in this cycle
        registry.facts(behind, "linux/amd64")
    assert kind not in fake.counts()
    fake.well_behaved()
    registries.new_cycle()
    registry.facts(behind, "linux/amd64")


def test_the_remedy_for_a_pause_names_a_login_only_to_whoever_has_none(
    fake: FakeRegistry, registries: Registries
) -> None:
    fake.behave("manifest_head", Behaviour(status=429, headers={"Retry-After": "90"}), times=1)
    for settings, is_named in ((SOMEONE, False), (ANYONE, True)):
        with pytest.raises(RateLimited) as error:
            registries.for_service(at(fake), settings).digest(at(fake))
        assert "asked again" in error.value.remedy
        assert (f"docker login {fake.host}" in error.value.remedy) is is_named


USED_UP = [
    Behaviour(status=429, headers={"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600"}),
    Behaviour(
        status=429,
        body=b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your unauthenticated pull '
        b'rate limit. https://www.docker.com/increase-rate-limit"}]}',
    ),
]


@pytest.mark.parametrize("refusal", USED_UP)
def test_used_up_pulls_of_hub_keep_back_no_check(
    refusal: Behaviour, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    """A HEAD is not counted, so only what reads manifests waits, and is not tried for each service."""
    first, second = parse("team/app:1.0"), parse("team/other:1.0")
    for image in (first, second):
        fake.push(image.repository, "1.0")
    fake.behave("manifest_get", refusal)
    still_some = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "3;w=21600"}
    fake.behave("manifest_head", Behaviour(headers=still_some), times=1)
    fake.behave("manifest_head", Behaviour(headers=USED_UP[0].headers))
    with pytest.raises(RateLimited, match="the pull limit is used up") as error:
        registries.for_service(first, ANYONE).created(first, "linux/amd64")
    assert "docker login" in error.value.remedy
    assert error.value.retry_at > clock.now()
    with pytest.raises(RateLimited, match="the pull limit is used up"):
        registries.for_service(second, ANYONE).created(second, "linux/amd64")
    assert fake.counts() == {"manifest_head": 2, "manifest_get": 1}
    assert registries.backoffs() == {}
    assert registries.pull_allowed_at(first) == error.value.retry_at
    with pytest.raises(RateLimited) as error:
        registries.for_service(first, SOMEONE).created(first, "linux/amd64")
    assert "docker login" not in error.value.remedy
    fake.well_behaved()
    clock.advance(21600)
    registries.new_cycle()
    assert registries.for_service(first, ANYONE).created(first, "linux/amd64")


def test_too_many_requests_at_hub_are_no_used_up_pulls(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    image = parse("team/app:1.0")
    fake.push(image.repository, "1.0")
    headers: dict[str, str | None] = {"Retry-After": "90", "RateLimit-Remaining": "76;w=21600"}
    fake.behave("manifest_get", Behaviour(status=429, headers=headers))
    with pytest.raises(RateLimited, match="too many requests"):
        registries.for_service(image, ANYONE).created(image, "linux/amd64")
    assert registries.backoffs() == {fake.host: clock.now() + timedelta(seconds=90)}
    assert registries.pull_allowed_at(image) is None


def test_rests_without_a_given_length_double_up_to_an_hour(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    fake.push(APP, "1.0")
    fake.behave("manifest_head", Behaviour(status=429), times=2 * 8)
    rests = []
    for _ in range(8):
        registries.new_cycle()
        with pytest.raises(RateLimited) as error:
            digest(registries, at(fake))
        rests.append((error.value.retry_at - clock.now()).total_seconds())
        clock.advance(rests[-1])
    assert rests == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    registries.new_cycle()
    digest(registries, at(fake))
    fake.behave("manifest_head", Behaviour(status=429), times=2)
    registries.new_cycle()
    with pytest.raises(RateLimited) as error:
        digest(registries, at(fake))
    assert error.value.retry_at == clock.now() + timedelta(seconds=60)


def test_refusals_that_come_together_count_as_one(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    gate = threading.Event()
    fake.behave("manifest_head", Behaviour(status=429, hang=gate))
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(digest, registries, at(fake, f"team/app{number}:1")) for number in range(8)]
        lab.until(lambda: fake.most_at_once >= 8, what="eight at a time")
        gate.set()
        assert all(isinstance(answer.exception(), RateLimited) for answer in answers)
    assert registries.backoffs() == {fake.host: clock.now() + timedelta(seconds=60)}
    assert fake.counts() == {"manifest_head": 9}  # one was asked again


def test_a_refused_head_without_a_hint_is_asked_once_more_after_a_second(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    """GHCR has its hint in the body, which the answer to a HEAD does not have."""
    pushed = fake.push(APP, "1.0")
    fake.behave("manifest_head", Behaviour(status=429), times=1)
    assert digest(registries, at(fake)) == pushed.digest
    assert clock.waits == [1.0]
    registries.new_cycle()
    fake.behave("manifest_head", Behaviour(status=429))
    with pytest.raises(RateLimited):
        digest(registries, at(fake))
    assert fake.counts() == {"manifest_head": 4}


def test_a_rest_survives_a_restart(fake: FakeRegistry, clock: SetClock, tmp_path: Path) -> None:
    until = clock.now() + timedelta(minutes=5)
    again = Registries(docker_config_dir=tmp_path, clock=clock, backoffs={fake.host: until})
    with pytest.raises(RateLimited):
        digest(again, at(fake))
    assert fake.counts() == {}
    far = {fake.host: clock.now() + timedelta(days=400)}
    from_wrong_clock = Registries(docker_config_dir=tmp_path, clock=clock, backoffs=far)
    assert from_wrong_clock.backoffs()[fake.host] == clock.now() + timedelta(hours=6)


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(status=500),
        Behaviour(status=502),
        Behaviour(status=503),
        Behaviour(status=504),
        Behaviour(disconnect=True),
    ],
)
def test_a_hiccup_is_tried_again(
    behaviour: Behaviour, fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    pushed = fake.push(APP, "1.0")
    fake.behave("manifest_head", behaviour, times=2)
    assert digest(registries, at(fake)) == pushed.digest
    assert fake.counts() == {"manifest_head": 3}
    assert clock.waits == [0.2, 0.4]


def test_a_truncated_body_is_tried_again_and_never_hashed(fake: FakeRegistry, registries: Registries) -> None:
    pushed = fake.push(APP, "1.0")
    fake.behave("manifest_head", Behaviour(status=405))
    fake.behave("manifest_get", Behaviour(truncate_to=20), times=2)
    assert digest(registries, at(fake)) == pushed.digest
    fake.push(APP, "1.1", Build(created=None))
    fake.behave("manifest_get", Behaviour(truncate_to=20))
    with pytest.raises(RegistryError, match="broke off"):
        digest(registries, at(fake, f"{APP}:1.1"))


def test_a_host_that_stays_broken_is_left_alone_for_the_rest_of_the_cycle(
    fake: FakeRegistry, registries: Registries
) -> None:
    fake.behave("*", Behaviour(status=502))
    for number in range(6):
        with pytest.raises(RegistryError, match="status 502"):
            digest(registries, at(fake, f"team/app{number}:1"))
    assert fake.counts() == {"manifest_head": 9}
    fake.well_behaved()
    pushed = fake.push(APP, "1.0")
    registries.new_cycle()
    assert digest(registries, at(fake)) == pushed.digest


def test_a_host_that_does_not_answer_costs_one_question_a_cycle_until_it_does(
    fake: FakeRegistry, clock: SetClock, tmp_path: Path
) -> None:
    """Also in a process that starts anew: eight threads of services must not wait eight times for nothing."""
    pushed = fake.push(APP, "1.0")
    outages = {fake.host: clock.now() - timedelta(hours=1)}
    registries = Registries(docker_config_dir=tmp_path, clock=clock, outages=outages)
    fake.behave("*", Behaviour(status=502))
    for _ in range(2):
        fake.clear_log()
        registries.new_cycle()
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(digest, registries, at(fake, f"team/app{number}:1")) for number in range(8)]
            assert all("status 502" in str(one.exception()) for one in asked)
        assert fake.counts() == {"manifest_head": 3}
        assert registries.outages() == outages
    fake.well_behaved()
    registries.new_cycle()
    assert digest(registries, at(fake)) == pushed.digest
    assert registries.outages() == {}


def test_a_host_that_is_silent_is_not_asked_again_in_this_cycle(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    with FakeRegistry() as gone:
        nowhere = gone.host
    for number in range(3):
        with pytest.raises(RegistryError, match="refused") as error:
            digest(registries, at_host(nowhere, f"team/app{number}:1"))
        assert ("not asked again" in str(error.value)) == (number > 0)
    assert clock.waits == [0.2, 0.4]
    assert registries.outages() == {nowhere: clock.now()}
    registries.new_cycle()
    with pytest.raises(RegistryError, match="refused"):
        digest(registries, at_host(nowhere, "team/app0:1"))
    assert clock.waits == [0.2, 0.4], "one that was out is tried once"


def test_a_stop_ends_the_retries(fake: FakeRegistry, registries: Registries, clock: SetClock) -> None:
    clock.stopped = True
    fake.behave("*", Behaviour(status=502))
    with pytest.raises(RegistryError):
        digest(registries, at(fake))
    assert fake.counts() == {"manifest_head": 1}


def test_a_host_that_is_not_there_is_named_with_a_remedy(registries: Registries) -> None:
    with FakeRegistry() as gone:
        nowhere = at(gone)
    with pytest.raises(RegistryError, match=r"team/app: manifest 1\.0: the connection was refused") as error:
        digest(registries, nowhere)
    assert nowhere.domain in error.value.remedy


def test_a_kept_connection_that_the_server_closed_costs_no_pause(
    fake: FakeRegistry, registries: Registries, clock: SetClock
) -> None:
    pushed = fake.push(APP, "1.0")
    digest(registries, at(fake))
    fake.behave("manifest_head", Behaviour(disconnect=True), times=1)
    registries.new_cycle()
    assert digest(registries, at(fake)) == pushed.digest
    assert clock.waits == []


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, and its key, in two files."""
    (folder / "ca.crt").parent.mkdir(parents=True, exist_ok=True)
    key, subject = (
        ("-keyout", str(folder / "server.pem")),
        ("-subj", "/CN=fake", "-addext", "subjectAltName=IP:127.0.0.1"),
    )
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-out",
        str(folder / "ca.crt"),
    ]
    subprocess.run([*command, *key, *subject], check=True, capture_output=True)
    return folder / "ca.crt"


def test_tls_is_verified_against_the_system_the_environment_and_dockers_own_folder(
    clock: SetClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    authority = certificate(tmp_path / "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, authority.with_name("server.pem"))
    with FakeRegistry(context) as fake:
        ping = Request(f"{fake.url}/v2/", "ping", "a question")

        def send(certificates: Path) -> int:
            return Transport(clock, lambda *_: None, {}, Limits(certificates=certificates)).send(ping).status

        with pytest.raises(RegistryError, match="certificate is not trusted") as error:
            send(tmp_path)
        assert "/etc/docker/certs.d" in error.value.remedy
        assert clock.waits == []
        shutil.copytree(tmp_path / "server", tmp_path / "certs" / fake.host)
        assert send(tmp_path / "certs") == 200
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(name, str(authority))
            assert send(tmp_path) == 200
            monkeypatch.delenv(name)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
        with pytest.raises(RegistryError, match="certificates to verify it with cannot be read"):
            send(tmp_path)


BUSY = Limits(read_seconds=600, whole_seconds=0.4)  # whoever sends all the time is cut off by the whole alone


@pytest.mark.parametrize(
    ("behaviour", "limits", "words"),
    [
        (Behaviour(dribble_seconds=0.05, body=b"x" * 1000), BUSY, "in time"),
        (Behaviour(dribble_seconds=0.05, body=b"x" * 1000, no_length=True), BUSY, "in time"),
        (Behaviour(hang=threading.Event()), Limits(read_seconds=0.2, whole_seconds=600), "in time"),
        (Behaviour(body=b"x" * (9 << 20)), Limits(read_seconds=600, whole_seconds=600), "longer than 8 MiB"),
    ],
)
def test_an_answer_has_an_end_in_time_and_in_size(
    behaviour: Behaviour, limits: Limits, words: str, fake: FakeRegistry, clock: SetClock
) -> None:
    clock.stopped = True  # one try
    heard: list[tuple[str, str, str]] = []
    transport = Transport(clock, lambda *what: heard.append(what), {}, limits)
    fake.behave("ping", behaviour)
    with pytest.raises(RegistryError, match=words):
        transport.send(Request(f"{fake.url}/v2/", "ping", "a question"))
    assert heard == [(fake.host, "ping", "unreachable")]
    if behaviour.hang:
        behaviour.hang.set()


@pytest.mark.parametrize("is_out", [False, True], ids=["so far it answered", "it was out"])
def test_one_question_that_takes_too_long_does_not_speak_for_its_host(
    is_out: bool, fake: FakeRegistry, clock: SetClock
) -> None:
    """A repository with so many tags that their list comes too late must not make the others of its host
    unknown.
    """
    fake.push(APP, "1.0")
    fake.behave("tags", Behaviour(hang=threading.Event()))
    limits = Limits(read_seconds=1.5, whole_seconds=600)  # the answers that come have to come in that time
    outages = {fake.host: clock.now()} if is_out else {}
    transport = Transport(clock, lambda *_: None, {}, limits, outages)
    for _ in range(2):
        transport.new_cycle()
        with pytest.raises(RegistryError, match="in time"):
            transport.send(Request(f"{fake.url}/v2/{APP}/tags/list", "tags", "a long list"))
        assert transport.send(Request(f"{fake.url}/v2/", "ping", "a question")).status == 200
        assert transport.outages() == {}


def test_a_host_that_takes_no_question_in_time_is_left_alone_after_the_third(
    fake: FakeRegistry, clock: SetClock
) -> None:
    fake.behave("*", Behaviour(hang=threading.Event()))
    transport = Transport(clock, lambda *_: None, {}, Limits(read_seconds=0.1, whole_seconds=600))
    for tries in ({"ping": 9}, {"ping": 3}):  # one that was out is tried once a question
        fake.clear_log()
        transport.new_cycle()
        for _ in range(5):
            with pytest.raises(RegistryError, match="in time"):
                transport.send(Request(f"{fake.url}/v2/", "ping", "a question"))
        assert fake.counts() == tries
    assert [*transport.outages()] == [fake.host]


def test_a_store_that_is_away_does_not_speak_for_the_registry_that_leads_to_it(
    fake: FakeRegistry, clock: SetClock
) -> None:
    with FakeRegistry() as gone:
        store = gone.url
    fake.behave("blob", Behaviour(status=307, headers={"Location": f"{store}/blob"}))
    transport = Transport(clock, lambda *_: None, {})
    with pytest.raises(RegistryError, match="refused"):
        transport.send(Request(f"{fake.url}/v2/{APP}/blobs/sha256:{'0' * 64}", "blob", "a blob"))
    assert transport.send(Request(f"{fake.url}/v2/", "ping", "a question")).status == 200


def test_a_host_that_nobody_asks_any_more_is_not_said_to_be_away(fake: FakeRegistry, clock: SetClock) -> None:
    fake.behave("ping", Behaviour(status=502))
    transport = Transport(
        clock, lambda *_: None, {}, outages={fake.host: clock.now(), "left.example": clock.now()}
    )
    with pytest.raises(RegistryError):
        transport.send(Request(f"{fake.url}/v2/", "ping", "a question"))
    assert [*transport.outages()] == [fake.host]
    transport.new_cycle()
    assert transport.outages() == {}


def test_a_host_that_asks_for_a_rest_is_not_away(fake: FakeRegistry, clock: SetClock) -> None:
    fake.behave("ping", Behaviour(status=429))
    transport = Transport(clock, lambda *_: None, {}, outages={fake.host: clock.now()})
    with pytest.raises(RateLimited):
        transport.send(Request(f"{fake.url}/v2/", "ping", "a question"))
    assert transport.outages() == {}


def test_every_exchange_is_reported(fake: FakeRegistry, clock: SetClock, tmp_path: Path) -> None:
    heard: list[tuple[str, str, str]] = []
    tell: Callable[[str, str, str], None] = lambda *what: heard.append(what)  # noqa: E731
    registries = Registries(docker_config_dir=tmp_path, clock=clock, on_request=tell)
    fake.push(APP, "1.0")
    fake.auth = Bearer()
    digest(registries, at(fake))
    assert [what[1:] for what in heard] == [
        ("manifest_head", "unauthorized"),
        ("token", "ok"),
        ("manifest_head", "ok"),
    ]
    assert {what[0] for what in heard} == {fake.host}


def test_a_proxy_is_used_for_others_but_not_for_this_machine(
    fake: FakeRegistry, registries: Registries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = fake.push(APP, "1.0")
    with FakeRegistry() as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:pa%3Ass@{proxy.host}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert digest(registries, at(fake)) == pushed.digest
        assert proxy.log == []
        plain = RegistrySettings(insecure_http=True)
        with pytest.raises(NotFound):
            digest(registries, parse("registry.example:5000/team/gone:1.0"), plain)
        assert proxy.log[0].path == "http://registry.example:5000/v2/team/gone/manifests/1.0"
        assert (
            proxy.log[0].headers["proxy-authorization"] == "Basic " + base64.b64encode(b"me:pa:ss").decode()
        )
        monkeypatch.setenv("no_proxy", "10.0.0.0/8,.example")
        proxy.clear_log()
        with pytest.raises(RegistryError, match="cannot be resolved"):
            digest(make(fake, SetClock(), tmp_path), parse("registry.example:5000/team/gone:1.0"), plain)
        assert proxy.log == []


@pytest.mark.parametrize(
    "header", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 01 Jan 2029 00:00:00 +999999999999"]
)
def test_a_rest_that_no_calendar_knows_is_a_rest_all_the_same(
    header: str, fake: FakeRegistry, registries: Registries
) -> None:
    fake.behave("manifest_head", Behaviour(status=429, headers={"Retry-After": header}))
    with pytest.raises(RateLimited):
        registries.for_service(at(fake), RegistrySettings()).digest(at(fake))


def test_pulls_that_began_count_against_what_is_left() -> None:
    limits = PullLimits()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    limits.note(
        "r.example", None, {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "3;w=21600"}, now
    )
    known = limits.of("r.example", None)
    assert known is not None
    assert known.waits_until(now) is None
    limits.spend("r.example", None)
    known = limits.of("r.example", None)
    assert known is not None
    assert known.waits_until(now) is not None
