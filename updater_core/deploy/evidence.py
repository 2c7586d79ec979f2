"""What a container leaves behind, made fit to be kept: bounded, printable, without secrets. Pure.

The secrets that the updater knows are not all: a container writes its own passwords into its log. So the
values of its environment that are named like secrets are hidden too, and what stands where logins usually do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from updater_core.models import Container
from updater_core.vocabulary.evidence import Evidence
from updater_core.vocabulary.untrusted import escaped

LOG_LINES = 50
LONGEST_LINE, LONGEST_LOG = 400, 8192  # characters
OUTPUT_BYTES = 4096  # of the end of what a hook writes
_LONGEST_WORDS = 400
_SHORTEST_SECRET = 4  # anything shorter would blank out half of every line, and protect nothing
_SECRETIVE = re.compile(r"PASS|PWD|SECRET|TOKEN|KEY|CREDENTIAL|AUTH|SALT|DSN|COOKIE", re.IGNORECASE)
_LOGIN_IN_URL = re.compile(r"(?<=://)[^/\s@:]*:[^/\s@]+(?=@)")
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"(?i)(\b[\w.-]*(?:password|passwd|secret|token|api[_-]?key)[\"']?\s*[=:]\s*[\"']?)([^\s\"',;&]{4,})"
)
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
Redact = Callable[[str], str]


def secret_values(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the values of variables that are named like secrets, and the logins in addresses of others.

    >>> sorted(secret_values({"DB_PASSWORD": "hunter22", "MODE": "prod", "URL": "pg://u:geheim@db/x"}))
    ['geheim', 'hunter22', 'pg://u:geheim@db/x']
    """
    found = {value for name, value in environment.items() if _SECRETIVE.search(name)}
    for value in environment.values():
        login = _LOGIN_IN_URL.search(value)
        if login is not None:
            found |= {value, login[0].partition(":")[2]}
    return frozenset(value for value in found if len(value) >= _SHORTEST_SECRET and not value.isdigit())


def cleaned(text: str, secrets: Iterable[str], redact: Redact) -> str:
    """Return the text without secrets.

    They are those given, those that `redact` knows, and what stands where logins usually do.

    >>> cleaned("db://u:pw123@host key=abcd1234 hunter22", ["hunter22"], str)
    'db://***@host key=abcd1234 ***'
    >>> cleaned("POST /login password=letmein HTTP", [], str)
    'POST /login password=*** HTTP'
    """
    text = redact(text)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _ASSIGNED.sub(r"\1***", _BEARER.sub(r"\1 ***", _LOGIN_IN_URL.sub("***", text)))


def log_lines(text: str, secrets: Iterable[str], redact: Redact) -> tuple[str, ...]:
    """Return the last lines of a log, printable and without secrets; the oldest go if they are too long."""
    known = tuple(secrets)
    plain = cleaned(_ESCAPES.sub("", text), known, redact)  # as a whole: a secret may go over a line's end
    lines = [escaped(line)[:LONGEST_LINE] for line in re.split(r"\r\n|\n|\r", plain)]
    kept: list[str] = []
    left = LONGEST_LOG
    for line in reversed([line for line in lines if line.strip()][-LOG_LINES:]):
        left -= len(line) + 1
        if left < 0:
            break
        kept.insert(0, line)
    return tuple(kept)


def output_tail(text: str, redact: Redact, longest_bytes: int) -> str:
    """Return the end of what a program wrote, printable and without secrets, lines kept apart.

    >>> output_tail("one\\ntwo\\x07 \\x1b[31mred", str, 100)
    'one\\ntwo\\\\x07 red'
    """
    plain = cleaned(_ESCAPES.sub("", text), (), redact)
    clean = "\n".join(escaped(line) for line in re.split(r"\r\n|\n|\r", plain)).strip("\n")
    return clean.encode("utf-8", "replace")[-longest_bytes:].decode("utf-8", "ignore")


def of_container(container: Container, log: str, environment: Mapping[str, str], redact: Redact) -> Evidence:
    """Return what is kept of a container and its log."""
    secrets = secret_values(environment)

    def words(text: str) -> str:
        return escaped(" ".join(cleaned(text, secrets, redact).split()))[:_LONGEST_WORDS]

    has_ended = container.status in ("exited", "dead", "restarting", "removing")
    return Evidence(
        container=container.name,
        image=container.reference,
        status=container.status,
        exit_code=container.exit_code if has_ended or container.error else None,
        oom_killed=container.oom_killed,
        restart_count=container.restart_count,
        health=container.health,
        last_probe=words(container.health_log),
        error=words(container.error),
        log=log_lines(log, secrets, redact),
    )
