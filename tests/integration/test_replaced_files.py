"""Every file that somebody may replace while the daemon runs is read anew, whatever its size and time say.

A new reader of such a file is one function and one line in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from tests.integration.test_engine_tls import certificate, engine, serving
from tests.support.aws import REGION, Aws
from tests.support.cosign_fixture import WRITTEN
from tests.support.fake_registry import FakeRegistry
from tests.support.google import FakeGoogle
from tests.support.registry_clients import with_aws
from tests.support.set_clock import SetClock
from tests.unit.test_stamp import replace_alike, write_alike
from updater_core import config_utils
from updater_core.errors import EngineError, EngineUnavailable
from updater_core.host import files
from updater_core.host.engine_endpoint import resolve
from updater_core.models import RegistrySettings
from updater_core.net.tls import Trust
from updater_core.reference import parse
from updater_core.registries import Registries, signatures
from updater_core.registries.vendors.google.settings import GoogleSettings
from updater_core.registry_utils import Logins
from updater_core.targets.compose.reading.sources import FileCache
from updater_core.targets.swarm import stack_file


@dataclass
class Bench:
    """What a reader is built of: a folder, the environment, and what runs until the test ends."""

    folder: Path
    environment: pytest.MonkeyPatch
    running: ExitStack

    def path(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def set(self, name: str, value: object) -> None:
        self.environment.setenv(name, str(value))

    def registries(self) -> Registries:
        return Registries(docker_config_dir=self.folder, clock=SetClock())


@dataclass
class Reader:
    """A file, two contents of it, and what is found when it is read."""

    path: Path
    one: str
    other: str
    read: Callable[[], object]


Make = Callable[[Bench], Reader]

# ------------------------------------------------------------------------------------------------- registries


def docker_config(bench: Bench) -> Reader:
    path, text = bench.path("config.json"), '{"auths": {"r.example": {"username": "jane", "password": "%s"}}}'
    logins = Logins(None, bench.folder, SetClock())

    def password() -> str:
        credential = logins.find("r.example", RegistrySettings()).credential
        return credential.secret.reveal() if credential else ""

    return Reader(path, text % "hunter2", text % "hunter3", password)


def credential_helper(bench: Bench) -> Reader:
    """The helper itself is kept for some minutes; another one is asked at once."""
    for name, said in (("one", "hunter2"), ("two", "hunter3")):
        program = bench.path(f"docker-credential-{name}")
        program.write_text(f'#!/bin/sh\necho \'{{"Username": "jane", "Secret": "{said}"}}\'\n')
        program.chmod(0o700)
    bench.set("PATH", f"{bench.folder}:/usr/bin:/bin")
    found = docker_config(bench)
    found.one, found.other = '{"credsStore": "one"}', '{"credsStore": "two"}'
    return found


def authorities_of(bench: Bench, path: Path) -> Reader:
    trust = Trust(bench.folder / "certs.d")
    one, other = ((certificate(bench.folder / name) / "ca.pem").read_text() for name in ("one", "other"))

    def believed() -> object:
        return sorted(str(each["serialNumber"]) for each in trust.context("r.example").get_ca_certs())

    return Reader(path, one, other, believed)


def registry_authority(bench: Bench) -> Reader:
    return authorities_of(bench, bench.path("certs.d/r.example/ca.crt"))


def certificate_bundle(bench: Bench) -> Reader:
    bench.set("REQUESTS_CA_BUNDLE", bench.path("bundle.pem"))
    return authorities_of(bench, bench.path("bundle.pem"))


def system_authorities(bench: Bench) -> Reader:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        bench.environment.delenv(name, raising=False)
    bench.set("SSL_CERT_FILE", bench.path("system.pem"))
    bench.set("SSL_CERT_DIR", bench.folder)
    return authorities_of(bench, bench.path("system.pem"))


def client_certificate(bench: Bench) -> Reader:
    """Of our own certificate a context shows nothing: it is another context."""
    trust, folder = Trust(bench.folder / "certs.d"), bench.path("certs.d/r.example/x").parent
    own = certificate(bench.folder / "own")
    (folder / "client.key").write_text((own / "key.pem").read_text())
    text = (own / "cert.pem").read_text()
    return Reader(folder / "client.cert", text, f"{text}# once more", lambda: trust.context("r.example"))


def signing_key(bench: Bench) -> Reader:
    path, keys = bench.path("cosign.pub"), WRITTEN["keys"]
    return Reader(path, keys["ec"], keys["other"], lambda: signatures.read_keys([str(path)]))


# ----------------------------------------------------------------------------------------------------- clouds


def aws_signer(bench: Bench, variable: str, section: str) -> Reader:
    """The key that the API is asked with, and the registry's own token, which belongs to that key."""
    aws = bench.running.enter_context(Aws())
    for name, value in aws.environment.items():
        bench.set(name, value)
    aws.push("team/app", "1.0")
    path, registries = bench.path("aws"), bench.registries()
    bench.set(variable, path)
    image = parse(f"123456789012.dkr.ecr.{REGION}.amazonaws.com/team/app:1.0")
    settings = with_aws(RegistrySettings(type="ecr"), region=REGION, aws_profile="ci")
    text = f"[{section}]\naws_access_key_id = %s\naws_secret_access_key = profile-secret\n"

    def signed_by() -> str:
        registries.new_cycle()
        registries.for_service(image, settings).digest(image)
        assert registries.for_service(image, settings).credential()
        signers = {call.operation: call.signed_by for call in aws.log}  # of the last of each
        assert signers["GetAuthorizationToken"] == signers["DescribeImages"]
        return signers["DescribeImages"]

    return Reader(path, text % "AKIDONE", text % "AKIDTWO", signed_by)


def aws_credentials(bench: Bench) -> Reader:
    return aws_signer(bench, "AWS_SHARED_CREDENTIALS_FILE", "ci")


def aws_configuration(bench: Bench) -> Reader:
    return aws_signer(bench, "AWS_CONFIG_FILE", "profile ci")


def google_account(bench: Bench, name: str, settings: RegistrySettings) -> Reader:
    registry = bench.running.enter_context(FakeRegistry())
    google = bench.running.enter_context(FakeGoogle(bench.folder))
    bench.set("GCE_METADATA_IP", "127.0.0.1:1")
    google.guard(registry)
    registry.push("shop/app", "1.0")
    path, registries = bench.path(name), bench.registries()
    image = parse(f"{registry.host}/shop/app:1.0")

    def text(account: str) -> str:
        return google.key_file(name, client_email=f"{account}@shop.iam.gserviceaccount.com").read_text()

    def account() -> object:
        registries.new_cycle()
        registries.for_service(image, settings).digest(image)
        return google.claims[-1]["iss"]

    return Reader(path, text("one"), text("two"), account)


def google_key(bench: Bench) -> Reader:
    vendors = (GoogleSettings(service_account_path=str(bench.path("key.json"))),)
    return google_account(bench, "key.json", RegistrySettings(type="gcr", vendors=vendors))


def google_environment(bench: Bench) -> Reader:
    bench.set("GOOGLE_APPLICATION_CREDENTIALS", bench.path("adc.json"))
    return google_account(bench, "adc.json", RegistrySettings(type="gcr"))


def google_gcloud(bench: Bench) -> Reader:
    bench.environment.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    bench.set("CLOUDSDK_CONFIG", bench.folder)
    return google_account(bench, "application_default_credentials.json", RegistrySettings(type="gcr"))


# ----------------------------------------------------------------------------------------------------- engine


def engine_authority(bench: Bench) -> Reader:
    """A connection is kept from call to call, and was made under the CA that is there no more."""
    folder = certificate(bench.folder / "engine")
    host = bench.running.enter_context(serving(folder))
    asked = engine(host, folder)

    def answer() -> object:
        try:
            return asked.platform()
        except EngineUnavailable as error:
            return type(error)

    other = (certificate(bench.folder / "other") / "ca.pem").read_text()
    return Reader(folder / "ca.pem", (folder / "ca.pem").read_text(), other, answer)


def docker_context(bench: Bench) -> Reader:
    path = bench.path(f"contexts/meta/{sha256(b'shop').hexdigest()}/meta.json")
    text = '{"Endpoints": {"docker": {"Host": "tcp://%s:2375"}}}'
    environment = {"DOCKER_CONFIG": str(bench.folder), "DOCKER_CONTEXT": "shop"}
    return Reader(path, text % "10.0.0.1", text % "10.0.0.2", lambda: resolve(environment).host)


def current_context(bench: Bench) -> Reader:
    def chosen() -> str:
        try:
            return resolve({"DOCKER_CONFIG": str(bench.folder)}).host
        except EngineError as error:
            return str(error)

    text = '{"currentContext": "%s"}'
    return Reader(bench.path("config.json"), text % "one", text % "two", chosen)


# ---------------------------------------------------------------------------------------------- configuration


def interval(path: Path) -> float:
    environment = config_utils.read_environment({}, config_utils.default_dotenv_path(path, {}))
    return config_utils.load(path, environment).settings.check_interval_seconds


def configuration(bench: Bench) -> Reader:
    path, text = bench.path("updater_config.json"), '{"check_interval": %d, "services": []}'
    return Reader(path, text % 600, text % 900, lambda: interval(path))


def dotenv(bench: Bench) -> Reader:
    path = bench.path("updater_config.json")
    path.write_text('{"services": []}')
    one, other = "CHECK_INTERVAL=600\n", "CHECK_INTERVAL=900\n"
    return Reader(bench.path(".env"), one, other, lambda: interval(path))


def project_file(bench: Bench) -> Reader:
    """A compose file, an env_file, the `.env` of a project: all by the one memory of a project's files."""
    path, cache = bench.path("compose.yml"), FileCache()
    return Reader(path, "image: a:1", "image: a:2", lambda: cache.read(str(path)).text)


def stack(bench: Bench) -> Reader:
    path, text = bench.path("stack.yml"), "services:\n  web:\n    image: a:%d\n"
    return Reader(path, text % 1, text % 2, lambda: stack_file.read([str(path)], "web", files))


READERS: tuple[Make, ...] = (
    docker_config, credential_helper, registry_authority, certificate_bundle, system_authorities,
    client_certificate, signing_key, aws_credentials, aws_configuration, google_key, google_environment,
    google_gcloud, engine_authority, docker_context, current_context, configuration, dotenv, project_file,
    stack,
)  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with ExitStack() as running:
        yield Bench(tmp_path, monkeypatch, running)


@pytest.mark.parametrize("make", READERS)
def test_a_file_that_was_replaced_or_written_is_read_anew(make: Make, bench: Bench) -> None:
    reader = make(bench)
    length = max(len(reader.one), len(reader.other)) + 1
    one, other = (text.ljust(length, "\n") for text in (reader.one, reader.other))
    reader.path.write_text(one)
    first = reader.read()
    assert reader.read() == first
    replace_alike(reader.path, other)
    second = reader.read()
    assert second != first
    write_alike(reader.path, one)
    assert reader.read() != second
