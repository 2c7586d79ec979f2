"""Which engine is asked: the same that the Docker CLI would ask."""

from __future__ import annotations

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from updater_core.errors import EngineError
from updater_core.host.engine_endpoint import DEFAULT_HOST, EngineEndpoint, resolve


def add_context(folder: Path, name: str, host: str, *, skip_verify: bool = False) -> Path:
    """A context as `docker context create` writes it; its TLS folder is returned and not made."""
    key = sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / key
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": skip_verify}
    (meta / "meta.json").write_text(
        json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}})
    )
    return folder / "contexts" / "tls" / key / "docker"


def use(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"currentContext": name}))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / ".docker"
    add_context(folder, "rootless", "unix:///run/user/1000/docker.sock")
    use(folder, "rootless")
    return tmp_path


def test_nothing_set_means_the_default_socket(tmp_path: Path) -> None:
    assert resolve({"HOME": str(tmp_path)}) == EngineEndpoint(DEFAULT_HOST, "the default", None)


def test_the_current_context_is_asked(home: Path) -> None:
    found = resolve({"HOME": str(home)})
    assert (found.host, found.source) == ("unix:///run/user/1000/docker.sock", "context rootless")
    assert found.environment() == {"DOCKER_HOST": "unix:///run/user/1000/docker.sock"}


def test_docker_host_beats_docker_context_beats_the_current_one(home: Path) -> None:
    add_context(home / ".docker", "other", "unix:///other.sock")
    environment = {"HOME": str(home), "DOCKER_CONTEXT": "other"}
    assert resolve(environment).host == "unix:///other.sock"
    assert resolve({**environment, "DOCKER_HOST": "unix:///mine.sock"}).host == "unix:///mine.sock"
    assert resolve({**environment, "DOCKER_CONTEXT": "default"}).host == DEFAULT_HOST


def test_the_folder_of_docker_config_counts(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    add_context(folder, "ci", "unix:///ci.sock")
    use(folder, "ci")
    assert resolve({"HOME": str(home), "DOCKER_CONFIG": str(folder)}).host == "unix:///ci.sock"


def test_we_ask_the_engine_that_the_real_docker_names(home: Path) -> None:
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    said = subprocess.run(
        ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert resolve(environment).host == said.stdout.strip()


def test_a_context_with_tls_brings_its_files(tmp_path: Path) -> None:
    folder = tmp_path / ".docker"
    tls = add_context(folder, "far", "tcp://10.0.0.5:2376")
    tls.mkdir(parents=True)
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tls / name).write_text("x")
    found = resolve({"HOME": str(tmp_path), "DOCKER_CONTEXT": "far"})
    assert found.tls is not None
    assert found.tls.ca == tls / "ca.pem"
    assert found.tls.client == (str(tls / "cert.pem"), str(tls / "key.pem"))
    assert found.environment() == {
        "DOCKER_HOST": "tcp://10.0.0.5:2376", "DOCKER_CERT_PATH": str(tls), "DOCKER_TLS_VERIFY": "1",
    }  # fmt: skip


def test_a_context_that_skips_the_check_says_so_to_compose(tmp_path: Path) -> None:
    add_context(tmp_path / ".docker", "far", "tcp://10.0.0.5:2376", skip_verify=True)
    found = resolve({"HOME": str(tmp_path), "DOCKER_CONTEXT": "far"})
    assert "DOCKER_TLS_VERIFY" not in found.environment()
    assert found.environment()["DOCKER_TLS"] == "1"


@pytest.mark.parametrize(
    ("environment", "words", "remedy"),
    [
        ({"DOCKER_HOST": "ssh://me@box"}, "not asked over ssh", "unix:///var/run/docker.sock"),
        ({"DOCKER_HOST": "box:2375"}, "no address", "tcp://HOST:PORT"),
        ({"DOCKER_CONTEXT": "gone"}, "'gone' is not there", "docker context ls"),
        (
            {"DOCKER_HOST": "tcp://box:2376", "DOCKER_TLS_VERIFY": "1"},
            "cert.pem and key.pem",
            "DOCKER_CERT_PATH",
        ),
    ],
)
def test_an_engine_that_cannot_be_asked_is_named_with_a_remedy(
    tmp_path: Path, environment: dict[str, str], words: str, remedy: str
) -> None:
    with pytest.raises(EngineError) as refused:
        resolve({"HOME": str(tmp_path), **environment})
    assert words in str(refused.value)
    assert remedy in refused.value.remedy


@pytest.mark.parametrize("text", ["", "[]", "{", '{"currentContext": 5}'])
def test_a_config_file_that_cannot_be_read_means_the_default(tmp_path: Path, text: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(text)
    assert resolve({"HOME": str(tmp_path)}).host == DEFAULT_HOST
