"""moto's ECR on loopback, with what moto leaves out.

That is pages, `tagStatus`, believable expiry, errors, and a log of calls.

    with Aws() as aws:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)        # botocore finds its way by these alone
        digest = aws.push("team/app", "1.0")       # any manifest; aws.mirror(registry, ...) takes real ones
        aws.fail("DescribeImages", "AccessDeniedException", "User: arn:aws:... is not authorized", times=1)
        ...
        assert aws.operations() == ["DescribeImages"]

What it hands out as a token is the password `PASSWORD` for the user `AWS`.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.support.fake_registry import OCI_IMAGE, FakeRegistry
from tests.support.lab import until

REGION, ACCOUNT = "eu-west-1", "123456789012"  # moto's own account
PASSWORD = f"{ACCOUNT}-auth-token"


@dataclass(frozen=True)
class Call:
    """One call that came in over the wire; `signed_by` is the access key that it was signed with."""

    operation: str
    arguments: Mapping[str, Any]
    signed_by: str
    region: str


@dataclass
class _Failure:
    operation: str
    code: str
    message: str
    status: int
    times: int | None


@dataclass
class Aws:
    """The server. Attributes may be changed while it runs."""

    page_size: int = 1000  # the most images on one page, whatever is asked for
    token_seconds: float | None = 12 * 3600  # None: moto's own expiry, long ago
    now: Callable[[], float] = time.time
    cache_prefixes: tuple[str, ...] = ()  # of pull-through caches, which moto does not know
    rule_answers: Sequence[bytes] = ()  # in place of these rules: a page each, the last one again and again
    rule_pages: int = 0  # how many pages of their rules were asked for; `log` is without them
    log: list[Call] = field(default_factory=list)
    _failures: list[_Failure] = field(default_factory=list)
    _said: dict[str, bytes] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Aws:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        admin = boto3.Session(aws_access_key_id="admin", aws_secret_access_key="admin", region_name=REGION)
        self.client: Any = admin.client("ecr", endpoint_url=self.url)  # the tests' own
        return self

    def __exit__(self, *_: object) -> None:
        for repository in self.client.describe_repositories()["repositories"]:
            self.client.delete_repository(repositoryName=repository["repositoryName"], force=True)
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment in which botocore talks to this server.

        It finds no credentials there but those it is given.
        """
        return {
            "AWS_ENDPOINT_URL_ECR": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ACCESS_KEY_ID": "",
            "AWS_SECRET_ACCESS_KEY": "",
            "AWS_SESSION_TOKEN": "",
        }

    # ----------------------------------------------------------------------------------------------- contents

    def next_second(self) -> None:
        """Wait until a push is later than those before: moto's clock has whole seconds only."""
        second = int(time.time())
        until(lambda: int(time.time()) > second, what="the next second")

    def create(self, repository: str) -> None:
        with suppress(self.client.exceptions.RepositoryAlreadyExistsException):
            self.client.create_repository(repositoryName=repository)

    def push(self, repository: str, tag: str, content: str | None = None) -> str:
        """Put an image made up from `content` (default: its tag) under a tag; return its digest."""
        body = {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": {}, "layers": [], "is": content or tag}
        return self.put(repository, tag, OCI_IMAGE, json.dumps(body).encode())

    def put(self, repository: str, tag: str, media_type: str, manifest: bytes) -> str:
        """Put a manifest under a tag; one that is there already keeps its push time."""
        digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
        self.create(repository)
        with suppress(self.client.exceptions.ImageAlreadyExistsException):
            self.client.put_image(
                repositoryName=repository, imageManifest=manifest.decode(), imageTag=tag,
                imageManifestMediaType=media_type, imageDigest=digest,
            )  # fmt: skip
        self.clear_log()
        return digest

    def mirror(self, registry: FakeRegistry, repository: str) -> None:
        """Let ECR's API know what lies in a registry that stands for its other half."""
        _, manifests, tags = registry.contents(repository)
        for tag, digest in tags.items():
            assert self.put(repository, tag, *manifests[digest]) == digest

    # ---------------------------------------------------------------------------------------- its bad manners

    def fail(
        self, operation: str, code: str, message: str = "", status: int = 400, times: int | None = None
    ) -> None:
        """Answer an operation (`*` = all) with an error: the next `times`, or always."""
        with self._lock:
            self._failures.append(_Failure(operation, code, message, status, times))

    def say(self, operation: str, body: bytes) -> None:
        """Answer an operation with these bytes, and status 200."""
        with self._lock:
            self._said[operation] = body

    def well_behaved(self) -> None:
        with self._lock:
            self._failures.clear()
            self._said.clear()

    # ------------------------------------------------------------------------------------------------ its log

    def operations(self) -> list[str]:
        """Return what was asked since the start or `clear_log`."""
        with self._lock:
            return [call.operation for call in self.log]

    def clear_log(self) -> None:
        with self._lock:
            self.log.clear()

    # -------------------------------------------------------------------------------------------- its answers

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        operation = target.rpartition(".")[2]
        if not operation:
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        arguments = json.loads(body or b"{}")
        if operation == "DescribePullThroughCacheRules":
            return self._rules(arguments, start_response)
        failure = self._noted(operation, arguments, environ.get("HTTP_AUTHORIZATION", ""))
        answer: Any
        if failure:
            status, answer = failure.status, {"__type": failure.code, "message": failure.message}
        else:
            status, answer = self._asked_moto(environ, body)
            if status == 200 and operation == "DescribeImages" and "imageIds" not in arguments:
                answer = self._page(answer, arguments)
            if status == 200 and operation == "GetAuthorizationToken" and self.token_seconds is not None:
                answer["authorizationData"][0]["expiresAt"] = self.now() + self.token_seconds
        data = self._said.get(operation) or json.dumps(answer).encode()
        headers = [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(data)))]
        start_response(f"{status} -", headers)
        return [data]

    def _rules(self, arguments: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Return one rule a page, as the API's reference has them."""
        with self._lock:
            self.rule_pages += 1
            failure = next(
                (each for each in self._failures if each.operation == "DescribePullThroughCacheRules"), None
            )
            number = int(arguments.get("nextToken", "0"))
            rules = [{"ecrRepositoryPrefix": prefix} for prefix in self.cache_prefixes[number : number + 1]]
            following = {"nextToken": str(number + 1)} if number + 1 < len(self.cache_prefixes) else {}
        status, answer = 200, {"pullThroughCacheRules": rules, **following}
        if failure:
            status, answer = failure.status, {"__type": failure.code, "message": failure.message}
        data = json.dumps(answer).encode()
        if self.rule_answers:
            data = self.rule_answers[min(number, len(self.rule_answers) - 1)]
        start_response(
            f"{status} -",
            [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(data)))],
        )
        return [data]

    def _noted(self, operation: str, arguments: Mapping[str, Any], authorization: str) -> _Failure | None:
        scope = authorization.partition("Credential=")[2].partition(",")[0].split("/")
        if scope[0] == "admin":
            return None
        with self._lock:
            self.log.append(Call(operation, arguments, scope[0], scope[2] if len(scope) > 2 else ""))
            for failure in self._failures:
                if failure.operation in (operation, "*") and failure.times != 0:
                    failure.times = None if failure.times is None else failure.times - 1
                    return failure
        return None

    def _asked_moto(self, environ: dict[str, Any], body: bytes) -> tuple[int, Any]:
        said: list[str] = []
        chunks = self._moto(
            {**environ, "wsgi.input": io.BytesIO(body)}, lambda status, *_: said.append(status)
        )
        return int(said[0].split()[0]), json.loads(b"".join(chunks))

    def _page(self, answer: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
        images = [
            image for image in answer["imageDetails"] if image.get("imageTags") or "filter" not in arguments
        ]
        start = int(arguments.get("nextToken", "0"))
        end = start + min(self.page_size, arguments.get("maxResults", 100))
        following = {"nextToken": str(end)} if end < len(images) else {}
        return {"imageDetails": images[start:end], **following}
