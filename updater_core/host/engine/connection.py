"""A connection to an engine by docker-py, and the seam at which its exceptions become ours."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import docker
import requests
from docker.errors import APIError, DockerException
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from updater_core.errors import EngineError, EngineUnavailable
from updater_core.host.engine_endpoint import EngineEndpoint, TlsFiles

_OLDEST_API = "1.24"  # docker-py takes no older one; the question for the version names none


_TLS_REMEDY = (
    "see that the ca.pem in DOCKER_CERT_PATH signed the engine's certificate, for the name that is asked"
)


_SOCKET_REMEDY = (
    "see that the engine runs and that this user may use its socket (group `docker`, or DOCKER_HOST)"
)
_START_REMEDY = "start it (`systemctl start docker`), or correct the address of the engine (DOCKER_HOST)"

# Why there is no answer, by the exception that the operating system's error became: requests and urllib3 wrap
# it, and their own words change with their versions.
_CAUSES: tuple[tuple[type[BaseException], str, str], ...] = (
    (FileNotFoundError, "there is no socket at its address", _START_REMEDY),
    (ConnectionRefusedError, "nothing listens at its address", _START_REMEDY),
    (
        PermissionError,
        "this user may not use its socket",
        "run it as root, or add its user to the group of the socket (`usermod -aG docker USER`) and start it "
        "anew",
    ),
    (
        socket.gaierror,
        "the name of its host is not known here",
        "correct the address of the engine (DOCKER_HOST), or the name servers of this machine",
    ),
    (
        TimeoutError,
        "it was silent for too long",
        "see its log (`journalctl -u docker`) and the load of its machine; the next check asks it again",
    ),
)


def connect(endpoint: EngineEndpoint, timeout_seconds: int) -> docker.APIClient:
    """Return a client that speaks the engine's own version of the API, which is asked for unversioned.

    Raises what docker-py does: it belongs into a block under `seam`.
    """
    probe = _client(endpoint, _OLDEST_API, timeout_seconds)
    try:
        version = probe.version(api_version=False)["ApiVersion"]
    finally:
        probe.close()
    return _client(endpoint, version, timeout_seconds)


def _client(endpoint: EngineEndpoint, version: str, timeout_seconds: int) -> docker.APIClient:
    """Return docker-py's client.

    Of the environment only the proxies of a remote engine count: REQUESTS_CA_BUNDLE would beat the CA of the
    engine's own certificate, because requests merges it into each request.
    """
    tls = _tls_config(endpoint.tls) if endpoint.tls else False
    client = docker.APIClient(base_url=endpoint.host, version=version, timeout=timeout_seconds, tls=tls)
    client.trust_env = False
    if not endpoint.host.startswith("unix://"):
        client.proxies = get_environ_proxies(client.base_url)
    return client


def _tls_config(files: TlsFiles) -> docker.tls.TLSConfig:
    ca = str(files.ca) if files.ca else None
    return docker.tls.TLSConfig(client_cert=files.client, ca_cert=ca, verify=files.is_verified)


_UNANSWERED = (requests.ConnectionError, requests.Timeout, ConnectionError, TimeoutError, HTTPError)


@contextlib.contextmanager
def seam(what: str) -> Iterator[None]:
    """Turn docker-py's and requests' exceptions into ours; `what` is what the engine was asked to do.

    Raises EngineUnavailable if the engine gives no answer, EngineError if it refuses or its answer is none.
    """
    try:
        yield
    except APIError as error:
        raise EngineError(f"the engine could not {what}: {error.explanation or error}") from error
    except requests.exceptions.SSLError as error:
        raise EngineUnavailable(
            f"the engine's TLS certificate is not accepted ({what}): {error}", _TLS_REMEDY
        ) from error
    except _UNANSWERED as error:
        raise _unanswered(what, error) from error
    except (requests.RequestException, DockerException, ValueError) as error:
        raise _of_connecting(what, error) from error


def _of_connecting(what: str, error: Exception) -> EngineError:
    if isinstance(error.__cause__, _UNANSWERED):  # docker-py asks for the version first, and wraps that
        return _unanswered(what, error.__cause__)
    return EngineError(f"the engine could not {what}: {error}")


def _unanswered(what: str, error: BaseException) -> EngineUnavailable:
    chain = list(_wrapped(error))
    for kind, why, remedy in _CAUSES:
        if any(isinstance(each, kind) for each in chain):
            return EngineUnavailable(f"the engine did not answer ({what}): {why}", remedy)
    return EngineUnavailable(f"the engine did not answer ({what})", _SOCKET_REMEDY)


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and those it was made of: its causes, and those in its arguments.

    requests and urllib3 put the error of a broken connection into the arguments of their own. What was being
    handled when it was raised (`__context__`) is no cause.
    """
    waiting, known = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in known:
            known.add(id(one))
            yield one
            inner = (one.__cause__, *one.args)
            waiting += [each for each in inner if isinstance(each, BaseException)]
