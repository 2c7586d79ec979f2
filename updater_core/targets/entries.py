"""What all entries have in common that discovery makes: a free name, what to follow, the defaults."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from updater_core import reference
from updater_core.errors import ConfigError
from updater_core.models import Config, EntryReader, Mode, ServiceConfig
from updater_core.targets import labels
from updater_core.vocabulary.policy import SELECTORS

# Databases, by a word of their repositories' last part: a new major version may want a migration, and going
# back may be impossible once the new one has written its files.
_DATABASES = frozenset({
    "arangodb", "cassandra", "clickhouse", "cockroach", "cockroachdb", "couchbase", "couchdb", "crate",
    "cratedb", "database", "dgraph", "dragonfly", "edgedb", "elasticsearch", "etcd", "ferretdb", "firebird",
    "foundationdb", "influxdb", "keydb", "mariadb", "meilisearch", "memgraph", "milvus", "mongo", "mongodb",
    "mssql", "mysql", "neo4j", "openldap", "opensearch", "oracle", "orientdb", "percona", "pgautoupgrade",
    "pgvecto", "pgvector", "postgis", "postgres", "postgresql", "qdrant", "questdb", "ravendb", "redis",
    "rethinkdb", "rqlite", "scylla", "solr", "surrealdb", "tidb", "tikv", "timescale", "timescaledb",
    "typesense", "valkey", "vectorchord", "weaviate", "yugabyte", "yugabytedb",
})  # fmt: skip
# With one of these words beside it, the name is that of a program that uses a database and is none.
_TOOLS = frozenset({
    "admin", "agent", "backup", "backups", "bouncer", "client", "commander", "connector", "dashboard",
    "dashboards", "dump", "exporter", "express", "gui", "insight", "meta", "metrics", "operator", "proxy",
    "toolkit", "ui", "web", "workbench", "zabbix",
})  # fmt: skip
_SAYS_NOTHING = frozenset(
    {"community", "enterprise", "free", "server"}
)  # `mssql/server`: the part before says it
_FULL_VERSION = re.compile(r"(?<![0-9])[0-9]+\.[0-9]+(?:\.[0-9]+)*")
_DATABASE_NOTE = (
    "a database is only notified of: a new version may change its files, and then there is no rollback"
)


class Names:
    """Gives names to services, each once: `project-service`, or the project's own if both are the same."""

    def __init__(self, services: Sequence[ServiceConfig]) -> None:
        self._taken = {service.name for service in services}

    def unique(self, project: str, service: str) -> str:
        """Return a name that nobody has yet.

        >>> names = Names(())
        >>> names.unique("immich", "server"), names.unique("immich", "server"), names.unique("vpn", "vpn")
        ('immich-server', 'immich-server-2', 'vpn')
        """
        return self.free(service if service == project else f"{project}-{service}")

    def free(self, wanted: str) -> str:
        """Return this name as it may be written, with a number behind it if somebody has it."""
        plain = re.sub(r"[^A-Za-z0-9_.-]", "-", wanted)[:60]
        name, number = plain, 2
        while name in self._taken:
            name, number = f"{plain}-{number}", number + 1
        self._taken.add(name)
        return name


def policy_of(image: str, given: frozenset[str]) -> tuple[dict[str, Any], str]:
    """Return what to follow of an image, but for the keys in `given`, and a note if that wants a reason."""
    policy, note = _proposed_policy(image)
    selects = bool(given & {*SELECTORS})
    taken = given | ({*SELECTORS} if selects else set())
    kept = {key: value for key, value in policy.items() if key not in taken}
    return kept, note if kept.get("mode") else ""


def _proposed_policy(image: str) -> tuple[dict[str, Any], str]:
    """Return what to follow: minor steps of a version, the digest of other tags; notices of a database.

    >>> _proposed_policy("nginx:1.27.3")[0], _proposed_policy("nginx:latest")[0]
    ({'follow': 'minor'}, {})
    """
    try:
        parsed = reference.parse(image)
    except ValueError:
        return {}, ""
    follow = {"follow": "minor"} if _FULL_VERSION.search(parsed.tag or "") else {}
    if _is_database(parsed.repository):
        return {**follow, "mode": "notify"}, _DATABASE_NOTE
    return follow, ""


def _is_database(repository: str) -> bool:
    """Return whether a repository is named like that of a database.

    >>> [_is_database(name) for name in ("library/postgres", "bitnami/postgresql-repmgr", "mssql/server")]
    [True, True, True]
    >>> [_is_database(name) for name in ("acme/postgres-exporter", "zabbix/zabbix-server-mysql", "redis/web")]
    [False, False, False]
    """
    *before, last = repository.lower().split("/")
    naming = before[-1] if before and last in _SAYS_NOTHING else last
    words = {word.rstrip("0123456789") for word in re.split(r"[-_.]+", naming)}
    return bool(words & _DATABASES) and not words & _TOOLS


def strictest(modes: Iterable[Mode]) -> Mode:
    """Return the mode for services that move together: what is only notified of for one is so for all.

    >>> strictest([Mode.AUTO, Mode.NOTIFY, Mode.APPROVE]).value
    'notify'
    """
    return max(modes, key=(Mode.AUTO, Mode.APPROVE, Mode.NOTIFY).index)


def reader(config: Config) -> EntryReader:
    """Return what reads the entries that discovery makes. Raises ConfigError if there is none."""
    if config.entries is None:
        raise ConfigError(["the configuration was not read from a file"])
    return config.entries


def read_entry(config: Config, entry: Mapping[str, Any]) -> ServiceConfig:
    """Return the service of an entry, with the configuration's defaults.

    Raises ConfigError with its problems.
    """
    return reader(config).read(entry, str(entry["name"]))


def label_problems(config: Config, said: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a service's labels (`labels.label_problems`)."""
    return labels.label_problems(said, reader(config))


def with_labels(config: Config, entry: Mapping[str, Any], said: Mapping[str, str]) -> dict[str, Any]:
    """Return an entry with what a service's labels say on top (`labels.with_labels`)."""
    return labels.with_labels(entry, said, reader(config).label_keys)


def default_keys(config: Config) -> frozenset[str]:
    """Return the keys that the configuration's `defaults` sets."""
    return config.entries.default_keys if config.entries else frozenset()
