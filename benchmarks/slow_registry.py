"""A registry for the bench: answers every question after a settable delay, and counts what was asked by kind.

    python -m benchmarks.slow_registry [--delay-ms 50] [--tags 20000] [--token]

prints its port on a line and serves until its standard input ends. `GET /counts` gives the counts and starts
anew.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"


def digest_of(repository: str, tag: str) -> str:
    """Return the digest that this registry gives for a tag."""
    return _digest(_manifest(repository, tag))


def _manifest(repository: str, tag: str) -> bytes:
    config = _configuration(repository, tag)
    descriptor = {"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)}
    return json.dumps(
        {"schemaVersion": 2, "mediaType": _MANIFEST, "config": descriptor, "layers": []}
    ).encode()


def _configuration(repository: str, tag: str) -> bytes:
    """Return an image's configuration.

    `1.0.0` is the newest; every other image was built an hour after its predecessor.
    """
    created = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=_age_rank(tag))
    facts = {
        "os": "linux",
        "architecture": "amd64",
        "created": created.isoformat(),
        "name": f"{repository}:{tag}",
    }
    return json.dumps(facts).encode()


def _age_rank(tag: str) -> int:
    major, minor, patch = map(int, tag.split("."))
    return (major * 400 + minor) * 100 + patch


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Bench:
    """What the server is asked to be, and what it was asked for."""

    delay_seconds: float
    tags: int
    wants_token: bool
    counts: Counter[str] = field(default_factory=Counter)
    blobs: dict[str, bytes] = field(default_factory=dict)  # by digest, of the images that were asked about

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, request after request."""
        try:
            while line := await reader.readline():
                headers = await _headers(reader)
                method, path, _ = line.decode().split(" ", 2)
                writer.write(await self._answer(method, path, headers))
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        if path == "/counts":
            counts, self.counts = dict(self.counts), Counter()
            return _response("200 OK", json.dumps(counts).encode(), {}, method)
        await asyncio.sleep(self.delay_seconds)
        if path.startswith("/token"):
            self.counts["token"] += 1
            return _response("200 OK", b'{"token": "t", "expires_in": 3600}', {}, method)
        if self.wants_token and "authorization" not in headers:
            self.counts["challenge"] += 1
            realm = f'Bearer realm="http://{headers["host"]}/token",service="bench"'
            return _response("401 Unauthorized", b"{}", {"WWW-Authenticate": realm}, method)
        return self._content(method, path)

    def _content(self, method: str, path: str) -> bytes:
        repository, _, rest = path.removeprefix("/v2/").partition("/manifests/")
        if rest:
            self.counts["manifest_head" if method == "HEAD" else "manifest_get"] += 1
            body = self.blobs[rest] if ":" in rest else self._image(repository, rest)
            facts = {"Docker-Content-Digest": _digest(body), "Content-Type": _MANIFEST}
            return _response("200 OK", body, facts, method)
        if "/blobs/" in path:
            self.counts["blob"] += 1
            return _response("200 OK", self.blobs[path.rpartition("/")[2]], {}, method)
        self.counts["tags"] += 1
        name = path.removeprefix("/v2/").partition("/tags/list")[0]
        tags = ["1.0.0", *(f"0.{number // 100}.{number % 100}" for number in range(self.tags))]
        return _response("200 OK", json.dumps({"name": name, "tags": tags}).encode(), {}, method)

    def _image(self, repository: str, tag: str) -> bytes:
        """Return the manifest behind a tag.

        It and its configuration can be had by their digests from now on.
        """
        manifest, config = _manifest(repository, tag), _configuration(repository, tag)
        self.blobs |= {_digest(manifest): manifest, _digest(config): config}
        return manifest


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    found: dict[str, str] = {}
    while (line := (await reader.readline()).decode().strip()) != "":
        name, _, value = line.partition(":")
        found[name.lower()] = value.strip()
    return found


def _response(status: str, body: bytes, headers: dict[str, str], method: str) -> bytes:
    lines = {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + (b"" if method == "HEAD" else body)


async def main() -> None:
    """Serve until standard input ends."""
    options = argparse.ArgumentParser()
    options.add_argument("--delay-ms", type=float, default=0)
    options.add_argument("--tags", type=int, default=10)
    options.add_argument("--token", action="store_true")
    chosen = options.parse_args()
    bench = Bench(chosen.delay_ms / 1000, chosen.tags, chosen.token)
    server = await asyncio.start_server(bench.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
