"""Debian's docker-registry on loopback, with a folder of its own and any way to log in.

with RealRegistry(folder, {"htpasswd": HTPASSWD}) as registry:     # or token_auth(server), or None
    registry.host                                                  # 127.0.0.1:<port>
    registry.copy(fake, "team/app", "jane:hunter2")                # what a FakeRegistry holds
"""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode

from tests.support.fake_registry import FakeRegistry
from tests.support.lab import until
from tests.support.ports import free_port
from tests.support.token_server import TokenServer

JANE = "jane:hunter2"
_BCRYPT_OF_HUNTER2 = "$2y$04$7TuZzJfhISJt6eHTTET9h.lfHvkDdyop959q7Nw1SKNPGJsYLnNSG"


class RealRegistry:
    """The process. `auth` goes into its configuration as it is."""

    def __init__(self, folder: Path, auth: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.host = f"127.0.0.1:{free_port()}"
        self.auth = auth
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RealRegistry:
        config: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "registry")}},
            "http": {"addr": self.host},
        }
        if self.auth:
            config["auth"] = self.auth
        path = self.folder / "registry.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        with (self.folder / "registry.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/usr/bin/docker-registry", "serve", str(path)], stdout=log, stderr=log
            )
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(60)

    def _wait(self) -> None:
        until(self._answers, 60, f"a registry: see {self.folder / 'registry.log'}")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "registry.log").read_text()
        try:
            urllib.request.urlopen(f"http://{self.host}/v2/", timeout=10).close()
        except HTTPError:
            return True
        except OSError:
            return False
        return True

    def copy(self, fake: FakeRegistry, repository: str, login: str = "") -> None:
        """Push all of a fake registry's repository. `login` is `user:password`."""
        blobs, manifests, tags = fake.contents(repository)
        place = f"http://{self.host}/v2/{repository}"
        headers = self._headers(repository, login)
        for digest, data in blobs.items():
            with _send("POST", f"{place}/blobs/uploads/", b"", headers) as started:
                target = started.headers["Location"]
            glue = "&" if "?" in target else "?"
            kind = {"Content-Type": "application/octet-stream"}  # a form's would be read as one
            _send("PUT", f"{target}{glue}digest={quote(digest)}", data, {**headers, **kind}).close()
        for digest, (media_type, body) in manifests.items():
            _send("PUT", f"{place}/manifests/{digest}", body, {**headers, "Content-Type": media_type}).close()
        for tag, digest in tags.items():
            media_type, body = manifests[digest]
            _send("PUT", f"{place}/manifests/{tag}", body, {**headers, "Content-Type": media_type}).close()

    def _headers(self, repository: str, login: str) -> dict[str, str]:
        if not login:
            return {}
        basic = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
        token = (self.auth or {}).get("token")
        if token is None:
            return basic
        query = urlencode({"service": token["service"], "scope": f"repository:{repository}:pull,push"})
        with _send("GET", f"{token['realm']}?{query}", None, basic) as answer:
            return {"Authorization": f"Bearer {json.load(answer)['token']}"}


def htpasswd_auth(folder: Path) -> Mapping[str, Any]:
    """Return basic authentication for jane with hunter2."""
    path = folder / "htpasswd"
    path.write_text(f"jane:{_BCRYPT_OF_HUNTER2}\n")
    return {"htpasswd": {"realm": "the registry", "path": str(path)}}


def token_auth(server: TokenServer) -> Mapping[str, Any]:
    """Token authentication by a token server."""
    return {
        "token": {
            "realm": server.realm,
            "service": server.service,
            "issuer": server.issuer,
            "rootcertbundle": str(server.certificate),
        }
    }


def _send(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
    return urllib.request.urlopen(urllib.request.Request(url, body, dict(headers), method=method), timeout=60)
