"""A registry for the bench: answers every question after a settable delay, and counts what was asked by kind.

    python -m benchmarks.slow_registry [--delay-ms 50] [--tags 20000] [--token]

prints its port on a line and serves until its standard input ends. `GET /counts` gives the counts and starts anew.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections import Counter
from dataclasses import dataclass, field

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest_of(repository: str, tag: str) -> str:
    """The digest that this registry gives for a tag."""
    return "sha256:" + hashlib.sha256(f"{repository}:{tag}".encode()).hexdigest()


@dataclass
class Bench:
    """What the server is asked to be, and what it was asked for."""

    delay_seconds: float
    tags: int
    wants_token: bool
    counts: Counter[str] = field(default_factory=Counter)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
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
            facts = {"Docker-Content-Digest": digest_of(repository, rest), "Content-Type": _MANIFEST}
            return _response("200 OK", b"{}", facts, method)
        self.counts["tags"] += 1
        name = path.removeprefix("/v2/").partition("/tags/list")[0]
        tags = ["1.0.0", *(f"0.{number // 100}.{number % 100}" for number in range(self.tags))]
        return _response("200 OK", json.dumps({"name": name, "tags": tags}).encode(), {}, method)


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
