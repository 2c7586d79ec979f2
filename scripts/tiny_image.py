"""A tiny web application as a container image: made of the machine's busybox and pushed by plain HTTP.

The format is that of the OCI image specification
(https://github.com/opencontainers/image-spec/blob/main/manifest.md), the push that of the distribution
specification (https://github.com/opencontainers/distribution-spec, "Push").
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import platform
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
# uname's word -> Go's
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_APPLETS = ("httpd", "rm", "sh", "sleep", "wget")
_TIMEOUT_SECONDS = 20


class PushFailed(Exception):
    """The registry did not take something."""


@dataclass(frozen=True, slots=True)
class TinyImage:
    """What an image is made of: pages (name to text), the script that runs, further configuration."""

    pages: Mapping[str, str]
    script: str
    config: Mapping[str, Any] = field(default_factory=dict)


def push(host: str, repository: str, tags: Sequence[str], image: TinyImage) -> str:
    """Make an image, push it under every tag, and return its digest.

    Raises PushFailed or OSError if the registry does not take it.
    """
    layers = [_base_layer(), _packed({f"www/{name}": text.encode() for name, text in image.pages.items()})]
    config = json.dumps(_configuration(image, layers)).encode()
    blobs = [gzip.compress(layer, 6, mtime=0) for layer in layers]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [_descriptor(_LAYER, blob) for blob in blobs],
        }
    ).encode()
    for blob in (config, *blobs):
        _push_blob(host, repository, blob)
    for tag in tags:
        _put(host, "PUT", f"/v2/{repository}/manifests/{tag}", (manifest, _MANIFEST))
    return _digest(manifest)


def _configuration(image: TinyImage, layers: Sequence[bytes]) -> dict[str, Any]:
    machine = platform.machine()
    return {
        "os": "linux",
        "architecture": _ARCHITECTURES.get(machine, machine),
        "config": {"Cmd": ["/bin/sh", "-c", image.script], "Env": ["PATH=/bin"], **image.config},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
    }


@functools.cache
def _base_layer() -> bytes:
    """Return the layer that all images share: a static busybox under the names that are used."""
    found = shutil.which("busybox")
    if found is None:
        raise PushFailed("no busybox on the PATH to make an image of; scripts/setup installs it")
    return _packed({"bin/busybox": Path(found).read_bytes()}, {f"bin/{name}": "busybox" for name in _APPLETS})


def _packed(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """Return a tar of files and symbolic links, the same for the same content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
        for path, target in (links or {}).items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return buffer.getvalue()


def _push_blob(host: str, repository: str, blob: bytes) -> None:
    digest = _digest(blob)
    if _request(host, "HEAD", f"/v2/{repository}/blobs/{digest}")[0] == HTTPStatus.OK:
        return
    place = urlsplit(_put(host, "POST", f"/v2/{repository}/blobs/uploads/"))
    query = f"{place.query}&digest={digest}" if place.query else f"digest={digest}"
    _put(host, "PUT", f"{place.path}?{query}", (blob, "application/octet-stream"))


def _put(host: str, method: str, path: str, content: tuple[bytes, str] | None = None) -> str:
    """Hand something to the registry, and return the Location that it names."""
    status, location, text = _request(host, method, path, content)
    if status not in (HTTPStatus.CREATED, HTTPStatus.ACCEPTED):
        raise PushFailed(f"{method} {path} on {host}: HTTP {status} {text}")
    return location


def _request(
    host: str, method: str, path: str, content: tuple[bytes, str] | None = None
) -> tuple[int, str, str]:
    """Make one request with a body and its media type.

    Return status, Location and the beginning of the answer.
    """
    body, headers = (content[0], {"Content-Type": content[1]}) if content else (b"", {})
    connection = HTTPConnection(host, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Location") or "", answer.read(300).decode(errors="replace")
    finally:
        connection.close()


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
