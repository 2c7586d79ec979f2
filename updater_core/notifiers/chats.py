"""Web addresses of chats, which take no event of ours but only messages of their own form. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# Host and path of what each service calls its webhook or its API, and how Apprise calls the service
# (https://github.com/caronc/apprise/wiki). Addresses that take any JSON (a workflow of Slack or of Teams) are
# not among them, nor servers of the operator's own, whose names say nothing.
_CHATS: tuple[tuple[str, str, str, str], ...] = (
    ("Slack", "slack://", r"hooks\.slack(?:-gov)?\.com", r"/services/"),
    ("Discord", "discord://", r"(?:[a-z]+\.)?discord(?:app)?\.com", r"/api/(?:v\d+/)?webhooks/"),
    ("Teams", "msteams://", r"[a-z0-9-]+\.webhook\.office\.com", r"/webhookb2/"),
    ("Teams", "msteams://", r"outlook\.office(?:365)?\.com", r"/webhook/"),
    ("Google Chat", "gchat://", r"chat\.googleapis\.com", r"/v1/spaces/"),
    ("Telegram", "tgram://", r"api\.telegram\.org", r"/bot"),
    ("Webex", "wxteams://", r"(?:api\.ciscospark|webexapis)\.com", r"/v1/webhooks/incoming/"),
    ("Pushover", "pover://", r"api\.pushover\.net", r"/1/"),
    ("Feishu", "feishu://", r"open\.feishu\.cn", r"/open-apis/bot/"),
    ("DingTalk", "dingtalk://", r"oapi\.dingtalk\.com", r"/robot/send"),
    ("WeCom", "wecombot://", r"qyapi\.weixin\.qq\.com", r"/cgi-bin/webhook/"),
)


def chat_at(address: str) -> tuple[str, str] | None:
    """Return the name of the chat whose own address this is, and how Apprise writes it; None if it is none.

    >>> chat_at("https://hooks.slack.com/services/T0/B0/x")
    ('Slack', 'slack://')
    >>> chat_at("https://hooks.slack.com/triggers/T0/1/x") is None
    True
    """
    parts = urlsplit(address)
    host = (parts.hostname or "").removesuffix(".")
    found = (
        (name, scheme)
        for name, scheme, hosts, path in _CHATS
        if re.fullmatch(hosts, host) and re.match(path, parts.path)
    )
    return next(found, None)
