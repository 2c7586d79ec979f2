"""Logins that a host refused a short while ago: they are not offered again for ten minutes.

Docker Hub locks accounts over failed logins. The memory outlives the process, so that a run from cron each
minute does not offer a refused password each time. What is kept of a login is a salted hash that is slow to
make (PBKDF2, RFC 8018): enough to know the same login again, and of little use to whoever reads it.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from updater_core.caching.cache import Cache
from updater_core.models import Credential

REFUSED_FOR = timedelta(minutes=10)
_ROUNDS, _SALT_BYTES, _MOST_SAVED = 100_000, 16, 64


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Until when a login is not offered, and what may be kept of it: `HOST SALT HASH`."""

    until: datetime
    fingerprint: str


class RefusedLogins:
    """The refused logins of a process, and those of the process before. Safe to use from many threads."""

    def __init__(self, now: Callable[[], datetime], saved: Mapping[str, datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._refusals: dict[tuple[str, Credential], _Refusal] = {}
        self._saved = {text: until for text, until in saved.items() if self._is_near(until)}
        # with what was saved; the fingerprint that fits, or an empty text
        self._compared: Cache[str] = Cache()

    def add(self, host: str, credential: Credential) -> None:
        """Remember that a host does not take a credential."""
        refusal = _Refusal(
            self._now() + REFUSED_FOR, fingerprint_of(host, credential, secrets.token_hex(_SALT_BYTES))
        )
        with self._lock:
            self._refusals[(host, credential)] = refusal

    def has(self, host: str, credential: Credential | None) -> bool:
        """Return whether a host refused the credential less than ten minutes ago."""
        if credential is None:
            return False
        with self._lock:
            known = self._refusals.get((host, credential))
            if known is not None:
                return self._is_near(known.until)
            fitting = self._fitting(host, credential)
            return bool(fitting) and self._is_near(self._saved[fitting])

    def saved(self) -> Mapping[str, datetime]:
        """Return what may be kept of each refusal that is not over, and when it is over."""
        with self._lock:
            own = {each.fingerprint: each.until for each in self._refusals.values()}
            near = {text: until for text, until in {**self._saved, **own}.items() if self._is_near(until)}
        newest = sorted(near, key=lambda text: near[text], reverse=True)[:_MOST_SAVED]
        return {text: near[text] for text in newest}

    def forget_old(self) -> None:
        """Forget what is over: rotated credentials must not pile up."""
        with self._lock:
            self._refusals = {key: each for key, each in self._refusals.items() if self._is_near(each.until)}
            self._saved = {text: until for text, until in self._saved.items() if self._is_near(until)}
            self._compared.clear()

    def _is_near(self, until: datetime) -> bool:
        """Return whether a refusal still counts.

        One that ends later than any can was noted by a clock that was wrong.
        """
        now = self._now()
        return now < until <= now + REFUSED_FOR

    def _fitting(self, host: str, credential: Credential) -> str:
        """Return the saved fingerprint of a login, or an empty text.

        It is made only for a host that refused one before.
        """
        known = self._compared.get((host, credential))
        if known is not None:
            return known
        candidates = [text for text in self._saved if text.split(" ")[0] == host]
        fitting = (text for text in candidates if _fits(text, host, credential))
        return self._compared.put((host, credential), next(fitting, ""))


def fingerprint_of(host: str, credential: Credential, salt: str) -> str:
    """Return what may be kept of a login: the host, the salt, and the hash."""
    text = "\0".join(
        (host, credential.username, str(credential.is_identity_token), credential.secret.reveal())
    )
    made = hashlib.pbkdf2_hmac("sha256", _bytes(text), _bytes(salt), _ROUNDS)
    return f"{host} {salt} {made.hex()}"


def _fits(text: str, host: str, credential: Credential) -> bool:
    parts = text.split(" ")
    return len(parts) == 3 and text == fingerprint_of(host, credential, parts[1])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # a state that was tampered with may hold anything
