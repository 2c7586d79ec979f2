"""The one-time link that a message carries when it asks for an approval: how it is made, and known again."""

from __future__ import annotations

import secrets
from dataclasses import replace
from hashlib import sha256

from updater_core.models import Settings
from updater_core.policy.operator.decisions import Approval

PATH = "/approve/"


def are_sent(settings: Settings) -> bool:
    """Return whether messages that ask for an approval carry a link."""
    return settings.api_public_url is not None and settings.metrics_port is not None


def with_link(question: Approval, settings: Settings) -> tuple[Approval, str]:
    """Return a question with a link that answers it, if messages carry any; and the link, empty if not.

    Nobody can guess it (256 random bits), and what is remembered of it is a hash.
    """
    if not are_sent(settings):
        return question, ""
    token = secrets.token_urlsafe(32)
    return replace(question, link_hash=hash_of(token)), f"{settings.api_public_url}{PATH}{token}"


def hash_of(token: str) -> str:
    """Return the hash of a link's token, as it is remembered; the token itself is not."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
