"""Docker Swarm over the managers' sockets: list services and tasks, write a spec, ask for platforms.

What a manager says is handed on as the JSON it is (`protocols.Swarm`): a spec has to be written back whole,
so nothing of it may get lost here. Requests go to the first manager that answers; each of them forwards to
the leader.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import docker
import requests

from updater_core.errors import EngineError, EngineUnavailable
from updater_core.host.engine import connection
from updater_core.host.engine_endpoint import EngineEndpoint, TlsFiles
from updater_core.models import Credential, NamedEngine, Secret

_CALL_TIMEOUT_SECONDS = 30  # without a leader the others answer nothing for up to 15 s
_OUT_OF_SEQUENCE = "out of sequence"  # with status 500 or 400, so only its words tell
_NO_LEADER = re.compile(
    r"does not have a leader|no (?:cluster )?leader|lost leadership|leadership transfer|quorum|raft"
    r"|context deadline exceeded|code = (?:Unavailable|DeadlineExceeded|Canceled)",
    re.IGNORECASE,
)
_NOT_A_MANAGER = re.compile(r"not a swarm manager|not part of a swarm", re.IGNORECASE)
_MANAGER_REMEDY = (
    "run the updater on a manager, or name managers under `engines`; see `docker node ls` on one of them"
)
_LEADER_REMEDY = "nothing to do if it comes back by itself; else see `docker node ls` on a manager"
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class _Question:
    """One request: its path with the version left out, and what goes with it."""

    what: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    credential: Credential | None = None
    body: str | None = None  # a POST if there is one

    def headers(self) -> dict[str, str]:
        found = {"Content-Type": "application/json"} if self.body is not None else {}
        login = registry_login(self.credential)
        return {**found, "X-Registry-Auth": login.reveal()} if login else found


class _NotHere(EngineError):
    """This engine is no manager; another one of the list may be."""


class SwarmManagers:
    """The managers of one swarm, by their endpoints; satisfies `protocols.Swarm`.

    Connects at the first call.
    """

    def __init__(self, endpoints: Sequence[EngineEndpoint]) -> None:
        self._endpoints = tuple(endpoints)
        self._clients: dict[EngineEndpoint, docker.APIClient] = {}
        self._first = 0  # the one that answered last
        self._lock = threading.Lock()  # a requests session is for one thread at a time

    def version(self) -> str:
        return str(self._json(_Question("ask its version", "version"))["Version"])

    def role(self) -> str:
        swarm = self._json(_Question("ask its role in the swarm", "info")).get("Swarm") or {}
        if swarm.get("ControlAvailable"):
            return "manager"
        state = str(swarm.get("LocalNodeState") or "inactive")
        return "worker" if state == "active" else state

    def services(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(self._json(_Question("list services", "services")))

    def service(self, service_id: str) -> Mapping[str, Any] | None:
        found = self._ask(_Question(f"look at service {service_id}", f"services/{service_id}"), _json_or_none)
        return found if found is None else dict(found)

    def tasks(self, service_id: str) -> tuple[Mapping[str, Any], ...]:
        filters = {"filters": json.dumps({"service": [service_id]})}
        return tuple(self._json(_Question("list tasks", "tasks", filters)))

    def nodes(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(self._json(_Question("list nodes", "nodes")))

    def image_platforms(self, reference: str, credential: Credential | None) -> tuple[tuple[str, str], ...]:
        question = _Question(f"look at {reference}", f"distribution/{reference}/json", credential=credential)
        platforms = self._json(question).get("Platforms") or ()
        return tuple((str(each.get("architecture") or ""), str(each.get("os") or "")) for each in platforms)

    def update(
        self, service_id: str, version: int, spec: Mapping[str, Any], credential: Credential | None
    ) -> bool:
        question = _Question(
            f"update service {service_id}",
            f"services/{service_id}/update",
            {"version": str(version)},
            credential,
            json.dumps(spec),
        )
        return self._ask(question, _is_written)

    def _json(self, question: _Question) -> Any:
        return self._ask(question, lambda what, response: _checked(what, response).json())

    def _ask(self, question: _Question, read: Callable[[str, requests.Response], _Answer]) -> _Answer:
        """Return the answer of the first manager that has one, beginning with the one that had the last."""
        with self._lock:
            left = len(self._endpoints)
            while True:
                endpoint = self._endpoints[self._first % len(self._endpoints)]
                try:
                    with connection.seam(question.what):
                        return read(question.what, self._sent(endpoint, question))
                except (EngineUnavailable, _NotHere):
                    self._drop(endpoint)
                    self._first += 1
                    left -= 1
                    if left == 0:
                        raise

    def _sent(self, endpoint: EngineEndpoint, question: _Question) -> requests.Response:
        if endpoint not in self._clients:
            self._clients[endpoint] = connection.connect(endpoint, _CALL_TIMEOUT_SECONDS)
        client = self._clients[endpoint]
        return client.request(
            "GET" if question.body is None else "POST",
            f"{client.base_url}/v{client.api_version}/{question.path}",
            params=dict(question.params),
            headers=question.headers(),
            data=question.body,
            timeout=_CALL_TIMEOUT_SECONDS,
        )

    def _drop(self, endpoint: EngineEndpoint) -> None:
        """Forget a connection: an engine that comes back may speak another version of the API."""
        client = self._clients.pop(endpoint, None)
        if client is not None:
            client.close()


class Swarms:
    """The swarms that can be asked: that of this host's engine, and those of `engines`."""

    def __init__(self, own: EngineEndpoint, named: Sequence[NamedEngine]) -> None:
        self._endpoints: dict[str | None, tuple[EngineEndpoint, ...]] = {None: (own,)}
        self._endpoints.update({engine.name: _endpoints(engine) for engine in named})
        self._opened: dict[str | None, SwarmManagers] = {}

    def __call__(self, engine: str | None) -> SwarmManagers:
        """Return the swarm of an engine.

        Raises EngineError if it is not configured, or a file for TLS is missing.
        """
        if engine not in self._endpoints:
            raise EngineError(f"no engine is configured as {engine}", "write it under `engines`")
        for endpoint in self._endpoints[engine]:
            if engine is not None and endpoint.tls is not None and endpoint.tls.client is None:
                what = f"engines.{engine}: {endpoint.tls.folder} does not hold cert.pem and key.pem"
                raise EngineError(what, "put ca.pem, cert.pem and key.pem there, readable for the updater")
        return self._opened.setdefault(engine, SwarmManagers(self._endpoints[engine]))


def _endpoints(engine: NamedEngine) -> tuple[EngineEndpoint, ...]:
    tls = TlsFiles(Path(engine.cert_path)) if engine.cert_path else None
    source = f"engines.{engine.name}"
    return tuple(
        EngineEndpoint(host, source, None if host.startswith("unix://") else tls) for host in engine.hosts
    )


def registry_login(credential: Credential | None) -> Secret | None:
    """Return a login in the form of `X-Registry-Auth`; None if there is none.

    >>> registry_login(Credential("me", Secret("pw"))).reveal()
    'eyJ1c2VybmFtZSI6ICJtZSIsICJwYXNzd29yZCI6ICJwdyJ9'
    """
    if credential is None:
        return None
    secret = credential.secret.reveal()
    login = {"username": credential.username, "password": secret}
    if credential.is_identity_token:
        login = {"identitytoken": secret}
    return Secret(base64.urlsafe_b64encode(json.dumps(login).encode()).decode())


def _is_written(what: str, response: requests.Response) -> bool:
    if not response.ok and _OUT_OF_SEQUENCE in _message(response):
        return False
    _checked(what, response)
    return True


def _json_or_none(what: str, response: requests.Response) -> Any:
    return None if response.status_code == requests.codes.not_found else _checked(what, response).json()


def _checked(what: str, response: requests.Response) -> requests.Response:
    """Return the response if it is a good one.

    Raises EngineUnavailable if there is no leader, else EngineError.
    """
    if response.ok:
        return response
    said = _message(response)
    if _NOT_A_MANAGER.search(said):
        raise _NotHere(f"the engine could not {what}: it is no manager of a swarm", _MANAGER_REMEDY)
    if response.status_code >= requests.codes.server_error and _NO_LEADER.search(said):
        raise EngineUnavailable(f"the swarm did not answer ({what}): {said}", _LEADER_REMEDY)
    raise EngineError(f"the engine could not {what}: {said}")


def _message(response: requests.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200] or f"status {response.status_code}"
