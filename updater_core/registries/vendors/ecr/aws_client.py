"""botocore's client for one ECR endpoint, made anew when a file that it was made of has changed."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from updater_core.host.stamp import FileStamp, stamp_of
from updater_core.models import Secret

MOST_AT_ONCE = 8
MOST_TRIES, CONNECT_SECONDS, READ_SECONDS = 5, 5, 20
_DEBIAN_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Principal:
    """In whose name AWS is asked; without any, the default chain of environment, profiles and roles."""

    access_key_id: str | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = None

    @property
    def who(self) -> str:
        """Return who it is for a message, without secrets."""
        if self.access_key_id:
            return f"the AWS key …{self.access_key_id[-4:]} of registry_config"
        return f"the AWS profile {self.profile}" if self.profile else "the default AWS credentials"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Which API is asked, and in whose name; `service` is `ecr` or `ecr-public`.

    Without a region, boto3 has one.
    """

    service: str
    region: str | None
    principal: Principal
    is_fips: bool = False
    is_dual_stack: bool = False


@dataclass(frozen=True, slots=True)
class AwsClient:
    """A client of botocore's, what gives it credentials (None if nothing does), and the files behind both."""

    botocore: Any
    credentials: Any
    files: tuple[tuple[Path, FileStamp | None], ...]

    @classmethod
    def of(cls, endpoint: Endpoint) -> AwsClient:
        """Return a client for `endpoint`; may raise what botocore raises."""
        import boto3  # a third of a second and 20 MB, for those who have an image at ECR
        import botocore.session

        principal = endpoint.principal
        core = botocore.session.Session(profile=principal.profile)
        # before the reading: what changes meanwhile is read next time
        files = _stamped(_settings_files(core))
        if principal.access_key_id and principal.secret_access_key:
            token = principal.session_token.reveal() if principal.session_token else None
            core.set_credentials(principal.access_key_id, principal.secret_access_key.reveal(), token)
        verify = core.get_config_variable("ca_bundle") or _system_authorities()
        files += _stamped([Path(verify)] if verify else [])
        session = boto3.Session(botocore_session=core, region_name=endpoint.region)
        client = session.client(endpoint.service, config=_config(endpoint), verify=verify)
        return cls(client, core.get_credentials(), files)

    def is_current(self) -> bool:
        """Return whether each file that the client was made of is still the one that was read.

        botocore reads a profile's keys and the authorities once. A file that a profile names is its own
        concern: it reads a token of web identity, and asks a program for credentials, at each renewal.
        """
        return all(stamp_of(path) == stamp for path, stamp in self.files)


def _settings_files(core: Any) -> list[Path]:
    """Return the files with profiles and keys, as botocore finds them ($AWS_CONFIG_FILE, ~/.aws/config …)."""
    names = (core.get_config_variable(key) for key in ("credentials_file", "config_file"))
    return [Path(name).expanduser() for name in names if name]


def _stamped(paths: list[Path]) -> tuple[tuple[Path, FileStamp | None], ...]:
    return tuple((path, stamp_of(path)) for path in paths)


def _config(endpoint: Endpoint) -> Any:
    from botocore.config import Config

    return Config(
        retries={"mode": "standard", "total_max_attempts": MOST_TRIES},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=MOST_AT_ONCE,
        user_agent_extra="docker-auto-updater",
        **({"use_fips_endpoint": True} if endpoint.is_fips else {}),
        **({"use_dualstack_endpoint": True} if endpoint.is_dual_stack else {}),
    )


def _system_authorities() -> str | None:
    """Return whom this machine trusts, as everywhere in the updater; None: those that botocore brings."""
    places = (Path(ssl.get_default_verify_paths().openssl_cafile), _DEBIAN_AUTHORITIES)
    return next((str(place) for place in places if place.is_file()), None)
