"""Which credentials are ours at a registry.

Credentials come, in this order, from the service's `registry_config`, from `DOCKER_HUB_USERNAME` and
`DOCKER_HUB_PASSWORD` for Docker Hub, and from Docker's own `config.json` (`credHelpers`, `credsStore`,
`auths`: https://docs.docker.com/reference/cli/docker/login/). A helper that is missing, hangs or fails harms
nobody but itself: the registry is asked without credentials, and the problem is named if that turns out not
to be enough. How they are presented is `registries.auth`'s.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from updater_core import protocols
from updater_core.caching.cache import Cache
from updater_core.host.stamp import FileStamp, stamp_of
from updater_core.logging_utils import protect_login
from updater_core.models import Credential, RegistrySettings, Secret
from updater_core.net import untrusted_json
from updater_core.reference import HUB

# A helper may ask a cloud for a token; one that waits for a person to type never ends by itself.
HELPER_TIMEOUT_SECONDS = 10.0
# A helper is a process for each call; tokens that it hands out live for much longer.
HELPER_REMEMBERED_SECONDS = 300.0
LONGEST_CONFIG_BYTES = 1 << 20
_HUB_KEY = "https://index.docker.io/v1/"
# The names under which `docker login` and others have written Docker Hub into `auths`.
_HUB_NAMES = ("index.docker.io", HUB, "registry-1.docker.io")
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Login:
    """What we have for a registry: the credential, its source, and what was broken on the way there."""

    credential: Credential | None = None
    source: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """Return who we are there, in words."""
        return self.credential.username if self.credential else "anonymous"


class Logins:
    """Finds credentials.

    Keeps what `config.json` says until it changes, and a helper's answer for some minutes.

    `hidden_variables`: those of our environment that a helper does not get."""

    def __init__(
        self,
        hub: Credential | None,
        config_dir: Path | None,
        clock: protocols.Clock,
        hidden_variables: Collection[str] = (),
    ) -> None:
        self._hidden = hidden_variables
        self._hub = hub
        self._path = _config_path(config_dir)
        self._lock = threading.Lock()
        self._configs: Cache[Mapping[str, Any]] = Cache()
        self._helped: Cache[Login] = Cache(clock.monotonic)

    def find(self, domain: str, settings: RegistrySettings) -> Login:
        """Return the login for a registry's domain; what is broken is said in `Login.problem`, not raised."""
        if settings.username is not None and settings.password is not None:
            return Login(Credential(settings.username, settings.password), "registry_config")
        if domain == HUB and self._hub is not None:
            return Login(self._hub, "DOCKER_HUB_USERNAME")
        # One thread asks a helper, and the others find its answer.
        with self._lock:
            return self._from_config(domain)

    def _config(self, stamp: FileStamp | None) -> tuple[Mapping[str, Any], str]:
        """Return what `config.json` says, and what is wrong with it; a bad one is read again next time."""
        path = self._path
        if stamp is None or path is None:
            return {}, ""
        try:
            return self._configs.made_of(path, stamp, lambda: _read_config(path)), ""
        except (OSError, ValueError) as error:
            return {}, f"{path} cannot be used: {_why(error)}"

    def _from_config(self, domain: str) -> Login:
        # before the reading: what changes meanwhile is read next time
        stamp = stamp_of(self._path) if self._path else None
        config, problem = self._config(stamp)
        login = Login(problem=problem)
        helper = _helper_for(domain, config)
        if helper:
            login = self._ask_helper(stamp, helper, _HUB_KEY if domain == HUB else domain)
        # Docker itself stops at a helper; a password that stands beside one is better than none.
        login = login if login.credential else self._from_auths(domain, config, login.problem)
        if login.credential:
            protect_login(login.credential)
        return login

    def _from_auths(self, domain: str, config: Mapping[str, Any], problem: str) -> Login:
        auths = config.get("auths")
        names = _HUB_NAMES if domain == HUB else (domain,)
        for key, entry in auths.items() if isinstance(auths, dict) else ():
            if not isinstance(entry, dict) or _host_key(key) not in names:
                continue
            try:
                credential = _credential_of(entry)
            # One broken entry is no reason to have no login: another name of the host may follow.
            except ValueError as error:
                problem = f"the entry {key!r} in {self._path} cannot be used: {error}"
                continue
            if credential:
                return Login(credential, str(self._path))
        return Login(problem=problem)

    def _ask_helper(self, stamp: FileStamp | None, helper: str, server: str) -> Login:
        """Return what a helper says, or said some minutes ago under this very `config.json`."""
        # A helper that is missing is missing for every server, and is looked for once.
        for name in (server, ""):
            known = self._helped.get((stamp, helper, name))
            if known is not None:
                return known
        login, is_everywhere = _run_helper(helper, server, self._hidden)
        key = (stamp, helper, "" if is_everywhere else server)
        return self._helped.put(key, login, HELPER_REMEMBERED_SECONDS)


def _helper_for(domain: str, config: Mapping[str, Any]) -> str | None:
    helpers = config.get("credHelpers")
    chosen = helpers if isinstance(helpers, dict) else {}
    for name in (*_HUB_NAMES, _HUB_KEY) if domain == HUB else (domain,):
        if isinstance(chosen.get(name), str):
            return str(chosen[name])
    store = config.get("credsStore")
    return store if isinstance(store, str) and store else None


def _run_helper(helper: str, server: str, hidden: Collection[str]) -> tuple[Login, bool]:
    """Ask `docker-credential-<helper> get`; return the login, and whether its problem concerns every server.

    The protocol is https://github.com/docker/docker-credential-helpers: the server's name on stdin, JSON on
    stdout. What a failing helper prints is not repeated: it may hold anything.
    """
    program = f"docker-credential-{helper}"
    # The name comes from a file and becomes part of a program's: no `/` may lead out of the PATH.
    path = shutil.which(program) if _HELPER_NAME.fullmatch(helper) else None
    if path is None:
        return Login(problem=f"the credential helper {program} of config.json is not installed"), True
    try:
        done = subprocess.run(
            [path, "get"],
            input=server.encode(),
            capture_output=True,
            timeout=HELPER_TIMEOUT_SECONDS,
            env={name: value for name, value in os.environ.items() if name not in hidden},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Login(problem=f"{program} did not answer within {HELPER_TIMEOUT_SECONDS:.0f} s"), True
    except OSError as error:
        return Login(problem=f"{program} cannot be run: {_why(error)}"), True
    return _helper_answer(program, done.returncode, done.stdout), False


def _helper_answer(program: str, code: int, output: bytes) -> Login:
    if code != 0:
        # By the protocol this is an answer and no failure.
        missing = b"credentials not found" in output.lower()
        return Login(problem="" if missing else f"{program} failed with exit status {code}")
    try:
        answer = untrusted_json.read(output)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError):
        return Login(problem=f"{program} printed something that is not its protocol's JSON")
    if not isinstance(username, str) or not isinstance(secret, str) or not secret:
        return Login()
    # The protocol's mark of an identity token.
    return Login(Credential(username, Secret(secret), is_identity_token=username == "<token>"), program)


def _read_config(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        # One byte more tells a file that is too long from one that just fits.
        text = file.read(LONGEST_CONFIG_BYTES + 1)
    if len(text) > LONGEST_CONFIG_BYTES:
        raise ValueError("it is too long")
    config = untrusted_json.read(text)
    if not isinstance(config, dict):
        raise ValueError("it is not a JSON object")
    return config


def _credential_of(entry: Mapping[str, Any]) -> Credential | None:
    """Return a credential from an entry of `auths`: an identity token, `auth`, or user name and password."""
    username, password = _text(entry, "username"), _text(entry, "password")
    encoded = _text(entry, "auth")
    if encoded:
        username, password = _decoded(encoded)
    token = _text(entry, "identitytoken")
    if token:
        return Credential(username or "<token>", Secret(token), is_identity_token=True)
    return Credential(username, Secret(password)) if username and password else None


def _decoded(encoded: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("its auth is not base64") from None
    username, colon, password = text.partition(":")
    if not colon:
        raise ValueError("its auth holds no ':'")
    return username, password.rstrip("\0")  # as Docker's own decoder does


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _host_key(key: str) -> str:
    """Return the host that a key of `auths` means; keys for a part of a registry (`host/team`) mean no host.

    >>> _host_key("https://index.docker.io/v1/"), _host_key("ghcr.io"), _host_key("ghcr.io/team")
    ('index.docker.io', 'ghcr.io', '')
    """
    host, _, path = re.sub(r"^https?://", "", key).partition("/")
    return host if path.strip("/") in ("", "v1", "v2") else ""


def _config_path(directory: Path | None) -> Path | None:
    """Docker's `config.json`: in the directory given, in `$DOCKER_CONFIG`, or in `~/.docker`."""
    named = os.environ.get("DOCKER_CONFIG")
    if directory is None and named:
        directory = Path(named)
    if directory is None:
        directory = _or_none(lambda: Path.home() / ".docker")
    return directory / "config.json" if directory else None


def _or_none(path: Callable[[], Path]) -> Path | None:
    try:
        return path()
    except RuntimeError:  # a service without a home
        return None


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
