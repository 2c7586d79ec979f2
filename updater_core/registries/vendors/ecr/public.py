"""ECR Public: the distribution protocol, with a token of its API if there are AWS credentials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from updater_core.models import Credential, ImageRef, Tag
from updater_core.protocols import RemoteImage
from updater_core.registries.oci import OciRegistry
from updater_core.registries.vendors.ecr.api import (
    EcrApi,
    Repository,
)
from updater_core.vocabulary.dated import ImageFacts


@dataclass(frozen=True, slots=True)
class PublicEcr:
    """A `protocols.Registry` for public.ecr.aws: anonymous, but for pulls if AWS credentials are set."""

    oci: OciRegistry
    repository: Repository
    api: EcrApi
    has_login: bool

    def digest(self, reference: ImageRef) -> str:
        """Return the digest behind the tag now."""
        return self.oci.digest(reference)

    def tags(self, reference: ImageRef) -> tuple[Tag, ...]:
        """Return every tag."""
        return self.oci.tags(reference)

    def pushed_tags(self, reference: ImageRef, wanted: Callable[[str], bool]) -> tuple[Tag, ...] | None:
        """Return None: only the account of a repository may see when its tags were pushed."""
        return self.oci.pushed_tags(reference, wanted)

    def created(self, reference: ImageRef, platform: str) -> datetime | None:
        """Return the build time of the image for `platform`."""
        return self.oci.created(reference, platform)

    def image(self, reference: ImageRef, platform: str, *, in_full: bool) -> RemoteImage:
        """Return what the reference's digest leads to on `platform`."""
        return self.oci.image(reference, platform, in_full=in_full)

    def facts(self, reference: ImageRef, platform: str) -> ImageFacts:
        """Return what the image says of itself."""
        return self.oci.facts(reference, platform)

    def credential(self) -> Credential | None:
        """Return a token if `registry_config` has AWS credentials: pulls with one have wider limits."""
        return self.api.credential(self.repository)[0] if self.has_login else self.oci.credential()

    def check(self, reference: ImageRef) -> str:
        """Ask for the reference's digest; return who the registry took us for."""
        found = self.oci.check(reference)
        if not self.has_login:
            return found
        self.credential()
        return f"{found}; pulls with {self.api.who}"
