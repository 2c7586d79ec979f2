"""An image reference, taken apart, and the change from one image to another."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ImageRef:
    """An image reference taken apart. `name` is the repository as it was written (`nginx`), never compared.

    domain `docker.io`, repository `library/nginx`, tag `1.25` or None, digest `sha256:…` or None.
    """

    domain: str
    repository: str
    tag: str | None = None
    digest: str | None = None
    name: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """Return the repository in full, the same for every spelling: `docker.io/library/nginx`."""
        return f"{self.domain}/{self.repository}"

    @property
    def text(self) -> str:
        """Return the reference as one would write it: `nginx:1.25@sha256:…`."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name or self.key}{tag}{digest}"


@dataclass(frozen=True, slots=True)
class ImageChange:
    """From which image of a repository to which one a service goes.

    `old_retained`, `new_retained`: by what its target keeps each of them.
    """

    old_reference: str
    old_digest: str | None
    old_retained: str
    new_reference: str
    new_digest: str | None
    new_retained: str
