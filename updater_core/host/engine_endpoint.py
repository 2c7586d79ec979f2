"""Which Docker Engine is asked: the one that `docker` itself would ask with the same environment.

The order is the Docker CLI's (https://docs.docker.com/engine/manage-resources/contexts/): DOCKER_HOST,
DOCKER_CONTEXT, `currentContext` of the CLI's `config.json`, the default socket.
"""

from __future__ import annotations

import json
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from updater_core.errors import EngineError
from updater_core.host.stamp import FileStamp, stamp_of

DEFAULT_HOST = "unix:///var/run/docker.sock"
_DEFAULT_CONTEXT = "default"
_SCHEMES = ("unix://", "tcp://", "http://", "https://", "npipe://")
_SSH_REMEDY = (
    "set DOCKER_HOST to the engine's own socket (unix:///var/run/docker.sock), or to tcp:// with "
    "DOCKER_TLS_VERIFY=1; a forwarded socket works too: ssh -nNT -L /run/engine.sock:/var/run/docker.sock "
    "USER@HOST"
)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The folder of `ca.pem`, `cert.pem` and `key.pem`, and whether the server's certificate is verified."""

    folder: Path
    is_verified: bool = True

    @property
    def ca(self) -> Path | None:
        """Return the CA's file, or None if the folder has none and the system's store decides."""
        path = self.folder / "ca.pem"
        return path if path.is_file() else None

    @property
    def client(self) -> tuple[str, str] | None:
        """Return the client's certificate and key, or None if the folder does not have both."""
        certificate, key = self.folder / "cert.pem", self.folder / "key.pem"
        return (str(certificate), str(key)) if certificate.is_file() and key.is_file() else None

    def stamps(self) -> tuple[FileStamp | None, ...]:
        """Return what tells that one of the files is another than when this was last asked."""
        return tuple(stamp_of(self.folder / name) for name in ("ca.pem", "cert.pem", "key.pem"))


@dataclass(frozen=True, slots=True)
class EngineEndpoint:
    """An engine's address, its origin (`DOCKER_HOST`, `context rootless`), and its TLS files if any."""

    host: str = DEFAULT_HOST
    source: str = "the default"
    tls: TlsFiles | None = None

    def environment(self) -> dict[str, str]:
        """Return the variables that lead a child (Compose) to the same engine."""
        found = {"DOCKER_HOST": self.host}
        if self.tls is not None:
            found["DOCKER_CERT_PATH"] = str(self.tls.folder)
            found["DOCKER_TLS_VERIFY" if self.tls.is_verified else "DOCKER_TLS"] = "1"
        return found


def resolve(environment: Mapping[str, str]) -> EngineEndpoint:
    """Return the engine that `docker` would ask under `environment`.

    Raises EngineError if the address is of a kind that cannot be used here, if a context is not there, or if
    TLS is asked for and a file of it is missing.
    """
    host = environment.get("DOCKER_HOST")
    if host:
        return _checked(EngineEndpoint(host, "DOCKER_HOST", _tls_of(environment)))
    folder = _config_folder(environment)
    name = environment.get("DOCKER_CONTEXT") or _current_context(folder)
    if name in (None, "", _DEFAULT_CONTEXT):
        return EngineEndpoint()
    return _checked(_of_context(str(name), folder))


def of_operator(environment: Mapping[str, str]) -> EngineEndpoint | None:
    """Return the engine that the operator behind `sudo` uses with `docker`, or None if that is not known."""
    user = environment.get("SUDO_USER")
    if not user or user == "root":
        return None
    try:
        return resolve({"HOME": pwd.getpwnam(user).pw_dir})
    except (KeyError, EngineError):
        return None


def _of_context(name: str, folder: Path) -> EngineEndpoint:
    # The CLI stores a context under the hash of its name, which may hold any character.
    key = sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / key / "meta.json"
    endpoint = _endpoint_in(_read_json(meta))
    if endpoint is None:
        raise EngineError(
            f"the Docker context {name!r} is not there, or {meta} cannot be read",
            "see `docker context ls`; choose another with `docker context use`, or set DOCKER_HOST",
        )
    host = endpoint.get("Host") or DEFAULT_HOST
    certificates = folder / "contexts" / "tls" / key / "docker"
    is_verified = not endpoint.get("SkipTLSVerify")
    # A context without files of its own may still want TLS, by the system's authorities.
    has_tls = certificates.is_dir() or not is_verified
    tls = TlsFiles(certificates, is_verified) if has_tls and not str(host).startswith("unix://") else None
    return EngineEndpoint(str(host), f"context {name}", tls)


def _checked(endpoint: EngineEndpoint) -> EngineEndpoint:
    what = f"{endpoint.source} names the engine {endpoint.host}"
    # The CLI starts `ssh` with the operator's agent and keys, which an unattended service does not have.
    if endpoint.host.startswith("ssh://"):
        raise EngineError(f"{what}, and an engine is not asked over ssh", _SSH_REMEDY)
    if not endpoint.host.startswith(_SCHEMES):
        raise EngineError(f"{what}, which is no address", "write unix:///PATH or tcp://HOST:PORT")
    # Asked here, for the library's own error names neither the variable nor the folder.
    if endpoint.tls is not None and endpoint.source == "DOCKER_HOST" and endpoint.tls.client is None:
        raise EngineError(
            f"{what} with TLS, but {endpoint.tls.folder} does not hold cert.pem and key.pem",
            (
                "set DOCKER_CERT_PATH to the folder that holds ca.pem, cert.pem and key.pem, readable for "
                "the updater"
            ),
        )
    return endpoint


def _tls_of(environment: Mapping[str, str]) -> TlsFiles | None:
    """TLS is asked for by a variable that is not empty, whatever its value (as the Docker CLI reads it)."""
    is_verified = bool(environment.get("DOCKER_TLS_VERIFY"))
    if not is_verified and not environment.get("DOCKER_TLS"):
        return None
    folder = environment.get("DOCKER_CERT_PATH")
    return TlsFiles(Path(folder) if folder else _config_folder(environment), is_verified)


def _config_folder(environment: Mapping[str, str]) -> Path:
    configured = environment.get("DOCKER_CONFIG")
    return Path(configured) if configured else Path(environment.get("HOME") or "/root") / ".docker"


def _current_context(folder: Path) -> str | None:
    found = _read_json(folder / "config.json")
    name = found.get("currentContext") if isinstance(found, dict) else None
    return name if isinstance(name, str) else None


def _endpoint_in(meta: Any) -> Mapping[str, Any] | None:
    endpoints = meta.get("Endpoints") if isinstance(meta, dict) else None
    found = endpoints.get("docker") if isinstance(endpoints, dict) else None
    return found if isinstance(found, dict) else None


def _read_json(path: Path) -> Any:
    """Return the document of a file, or None if it is not there, may not be read, or is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
