"""Every option there is, written once: key, kind, default, meaning, examples, and the field it fills. Pure.

The parser, the JSON Schema (`config.schema`) and docs/configuration.md are made from this table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from updater_core.config import kinds
from updater_core.registries.vendors import OF_VENDORS, REGISTRY_SPELLINGS, REGISTRY_TYPES
from updater_core.targets import table as targets

# all of it is known under this place
from updater_core.vocabulary.options.option import API_TOKEN as API_TOKEN
from updater_core.vocabulary.options.option import DEFAULTS as DEFAULTS
from updater_core.vocabulary.options.option import ENGINE as ENGINE
from updater_core.vocabulary.options.option import REGISTRY as REGISTRY
from updater_core.vocabulary.options.option import SERVICE as SERVICE
from updater_core.vocabulary.options.option import SIGNATURE as SIGNATURE
from updater_core.vocabulary.options.option import TOP as TOP
from updater_core.vocabulary.options.option import Kind, Needs
from updater_core.vocabulary.options.option import Option as Option
from updater_core.vocabulary.policy import SELECTORS as SELECTORS

_TYPES = f"{', '.join(REGISTRY_TYPES[:-1])} or {REGISTRY_TYPES[-1]}"
# The same list for the reference, in which each value is code.
_QUOTED_TYPES = re.sub(r"(\w+)(?=,| or|$)", r"`\1`", _TYPES)
_REGISTRY_TYPE = kinds.choice(
    "a registry type", f"{_TYPES}, or leave it out: the image's host decides", REGISTRY_SPELLINGS
)


def _top(key: str, kind: Kind, default: Any, doc: str, *examples: Any, **more: Any) -> Option:
    # Most options fill the field of their name; the others say so in their row.
    path = more.pop("field", key)
    return Option(TOP, key, kind, default, doc, examples, path, variable=key.upper(), **more)


def _service(key: str, kind: Kind, default: Any, doc: str, *examples: Any, **more: Any) -> Option:
    return Option(SERVICE, key, kind, default, doc, examples, more.pop("field", key), **more)


def _required(key: str, kind: Kind, doc: str, *examples: Any, field: str = "") -> Option:
    # What is required names one service, so it makes no sense in `defaults`.
    return Option(SERVICE, key, kind, None, doc, examples, field or key, required=True, is_of_one=True)


def _policy(key: str, kind: Kind, default: Any, doc: str, *examples: Any, **more: Any) -> Option:
    return Option(SERVICE, key, kind, default, doc, examples, f"policy.{key}", **more)


def _registry(key: str, kind: Kind, default: Any, doc: str, *examples: Any, **more: Any) -> Option:
    return Option(REGISTRY, key, kind, default, doc, examples, f"registry.{key}", **more)


OPTIONS: tuple[Option, ...] = (
    Option(TOP, "services", kinds.SERVICES, None,
           "The services to keep up to date, one object each. The list may be empty.",
           ([{"name": "web", "image": "nginx:1.27", "compose_file": "/opt/web/docker-compose.yml",
              "compose_service": "web"}],), path=None, required=True, see="[a service](#a-service)"),
    Option(TOP, "defaults", kinds.DEFAULTS, None,
           "Keys of a service for all that do not set them, those found by `discover` too.",
           ({"follow": "minor", "min_age": "3d"},), path=None),
    Option(TOP, "engines", kinds.ENGINES, None,
           "Managers of Docker Swarms elsewhere, by a name of yours: `hosts`, any of which will do, and "
           "`cert_path`: [managers elsewhere](swarm.md#managers-elsewhere).",
           ({"prod": {"hosts": ["tcp://10.0.0.1:2376", "tcp://10.0.0.2:2376"],
                      "cert_path": "/etc/docker/certs"}},),
           path="engines"),
    Option(TOP, "path_map", kinds.PATH_MAP, None,
           "For stacks that a manager's container (Portainer, Dockge) started: its folders, each with the "
           "same folder on this host. Needed only if its mounts do not tell: [stacks of a "
           "manager](discovery.md#stacks-of-a-manager).",
           ({"/data/compose": "/srv/portainer/compose"},), path="path_map"),
    *targets.OF_TOP,
    _top("discover", kinds.DISCOVER, "off",
         "Which running Compose services that are not listed are taken up by themselves at each cycle: "
         "`off`, `labelled` (those with the label `docker-updater.enable=true`, or Watchtower's) or `all` "
         "(but those with `docker-updater.enable=false`, or Watchtower's).",
         "labelled", "all", field="discover.mode"),
    _top("discover_exclude", kinds.GLOBS, None,
         "What `discover` never takes up: globs over project, service, `project/service` and image.",
         ["traefik", "staging/*", "*/postgres:*"], field="discover.exclude"),
    # An hour: a check costs no pull, but every registry counts requests.
    _top("check_interval", kinds.duration(30 * kinds.DAY), 3600,
         "How long it is from one check to the next, a tenth more or less.",
         3600, "15m", field="check_interval_seconds"),
    _top("health_timeout", kinds.duration(kinds.DAY), 180,
         "How long a new container may take to become healthy. A healthcheck that needs longer to come"
         " to a verdict gets longer.", 180, "5m", field=None),
    # Most releases that crash do so within seconds; every second more delays each good update.
    _top("health_stable", kinds.duration(kinds.DAY, zero=True), 10,
         "How long a new container must then stay up, without a restart.", 10, field=None),
    _top("compose_timeout", kinds.duration(kinds.DAY), 120,
         "How long one Compose command may take; what containers are given to stop comes on top.",
         120, field="compose_timeout_seconds"),
    # Pulling and unpacking load the disk: more at once would make each of them slower.
    _top("parallel_updates", kinds.SIDE_BY_SIDE, 4,
         "How many projects may pull and restart at the same time. An update that waits for its container to "
         "become healthy does not count, and services of one project always go one after the other.", 4, 1),
    _top("log_level", kinds.LEVEL, "INFO",
         "The least serious message that is logged: `DEBUG`, `INFO`, `WARN` or `ERROR`.",
         "INFO", "DEBUG"),
    _top("log_format", kinds.FORMAT, "plain", "`plain` for people, `json` for collectors.", "json"),
    _top("log_file", kinds.PATH, "/var/log/docker-auto-updater/docker_updater.log",
         "The log file. It rotates itself.", "/var/log/docker-auto-updater/docker_updater.log"),
    _top("state_file", kinds.PATH, "/var/lib/docker-auto-updater/updater_state.json",
         "What is remembered between checks. Journal, outbox and locks lie beside it.",
         "/var/lib/docker-auto-updater/updater_state.json"),
    # Enough to go back behind a damage that was noticed late, and small beside any log.
    _top("state_backups", kinds.COUNT, 5, "How many older copies of the state are kept.", 5),
    _top("state_backup_dir", kinds.PATH, None,
         "The folder of those copies; beside the state when left out.",
         "/var/backups/docker-auto-updater"),
    _top("metrics_port", kinds.PORT, None,
         "The port of the metrics and the status page; nothing listens when left out.", 9100,
         see="[what listens](observability.md)"),
    _top("metrics_host", kinds.HOST, "127.0.0.1", "The address on which that port listens.",
         "127.0.0.1", "0.0.0.0"),  # noqa: S104 - an example that an operator may choose
    _top("api_token", kinds.API_TOKEN, None,
         "Opens the [HTTP API](api.md) on that port, and may give every order.", "${API_KEY}", field=None),
    Option(TOP, "api_tokens", kinds.API_TOKENS, None,
           "Further tokens, by a name of yours, which is what orders are recorded with: `token`, and what it "
           "`may` ([rights](api.md#tokens)).", ({"ci": {"token": "${API_KEY}", "may": ["update", "check"]}},),
           path="api_tokens"),
    _top("api_public_url", kinds.PUBLIC_URL, None,
         "Where people reach that port, through a proxy with TLS. With it, messages that ask for an approval "
         "carry a [link](api.md#links-that-approve).", "https://updates.example.com"),
    _top("webhook_url", kinds.URL, None, "The address that is notified of updates and rollbacks.",
         "${WEBHOOK}",
         see="[messages](webhook.md#the-message)"),
    _top("webhook_secret", kinds.SECRET, None,
         "The key that signs these messages, so that the receiver can trust them.", "${WEBHOOK_KEY}",
         see="[signature](webhook.md#whether-it-is-really-from-your-updater)"),
    _top("notify_urls", kinds.ADDRESSES, None,
         "Chats, mailboxes and phones that are notified too, as addresses of Apprise; several in one text "
         "with blanks or commas between them.",
         "${WEBHOOK}", ["${WEBHOOK}", "mailto://user:${HUB_TOKEN}@example.com"],
         see="[Apprise](webhook.md#chat-mail-and-push)"),
    _top("notify_events", kinds.EVENTS, "update,rollback",
         "The kinds of event to notify of: `update` and `rollback` are always among them; `available`, "
         "`failed` and `recovered` on request. `approval` (the mode `approve` asks) and `order` (you gave "
         "one) always come.",
         "update,rollback,failed,recovered", ["available", "failed"],
         see="[kinds](webhook.md#which-events-are-sent)"),
    _top("notify_grouping", kinds.GROUPING, "cycle",
         "`cycle`: people (`notify_urls`) get what happens in one cycle as one message. What needs a person "
         "leaves at once, with all that waits; the rest at the end of the cycle, after five minutes at most. "
         "`each`: a message for each event, as the webhook always gets it.",
         "each"),
    _top("maintenance_window", kinds.WINDOWS, None,
         "When updates may happen; always when left out. Checks never stop.",
         "02:00-04:00,14:00-15:30", "sat 23:00-02:30", field="hours.windows",
         see="[windows](operations.md#maintenance-windows)"),
    _top("timezone", kinds.ZONE, None, "The zone of the windows; the machine's own when left out.",
         "Europe/Berlin", "UTC", field="hours.zone"),
    _top("pause_updates", kinds.FLAG, False, "Goes on checking, updates nothing.",
         True, field="hours.paused", see="[pause](operations.md#pause)"),
    _top("follow", kinds.FOLLOW, "tag", "What services follow that name neither `follow` nor a pattern.",
         "minor",
         field=None, see="[following](choosing.md#follow-one-word)"),

    _required("name", kinds.NAME,
         "Its name in log, status, metrics, and on the command line. No two are the same.",
         "webapp"),
    _required("image", kinds.IMAGE,
         "The image. Its repository must be the Compose file's; its tag is only a note, for the file "
         "says which tag is current.", "nginx:1.27", "ghcr.io/acme/web:v1.4.2"),
    *targets.WHERE,
    _service("registry_type", _REGISTRY_TYPE, None,
         f"{_QUOTED_TYPES}. The image's host decides when left out.",
         "docker_hub", "generic", field="registry.type", by_label=False),
    _service("registry_config", kinds.TABLE, None, "Credentials and settings for this registry.",
         {"region": "us-east-1"}, {"username": "robot", "password": "${REGISTRY_PASSWORD}"}, field=None,
         is_of_one=True,  # a login would be sent to the registry of every service
         see="[its keys](#registry_config)"),
    # By label it is `docker-updater.enable` that says so, which discovery reads.
    _service("enabled", kinds.FLAG, True, "`false` leaves the service alone.", False, by_label=False),
    _policy("follow", kinds.FOLLOW, None,
         "`tag` follows the digest behind the tag; `patch`, `minor` and `major` follow the versions of the "
         "current tag's kind, no further than that step. The top level's when left out.", "minor",
         see="[following](choosing.md#follow-one-word)"),
    _policy("tag_pattern", kinds.GLOB, None,
         "Follow the tag pushed last among those that this glob matches.",
         "staging-*", see="[the newest push](choosing.md#tag_pattern-the-newest-push)"),
    _policy("tag_regex", kinds.REGEX, None,
         "The same by a regular expression; a group called `version` or `compare` orders the tags "
         "instead.", "^staging-[a-f0-9]{7}$", "^build-(?P<compare>[0-9]+)$",
         see="[expressions](choosing.md#tag_regex-a-regular-expression)"),
    _policy("semver_pattern", kinds.SEMVER, None,
         "Follow the highest version among the tags that this matches.",
         "v*", "*-alpine", see="[versions](choosing.md#semver_pattern-the-highest-version)"),
    _policy("semver_range", kinds.RANGE, None,
         "The versions that are allowed, as npm writes ranges: `>=1.4 <3`, `^2.1`, `~1.4`, `1.x`, two "
         "of them with `||` between. Versions have to be ordered: by `follow` (but for `tag`), by "
         "`semver_pattern`, or by a `tag_regex` with a group `version`.", ">=1.4 <3", "^2.1"),
    _policy("max_bump", kinds.BUMP, "major",
         "The largest step from the current version: `patch`, `minor` or `major`. Needs what "
         "`semver_range` needs. Not with `follow`, which names its step itself.", "minor"),
    _policy("follow_variant", kinds.FLAG, False,
         ("The number in a variant such as `-alpine3.20` may rise; it never falls. Needs what "
         "`semver_range` needs."),
         True, see="[variants](choosing.md#the-family-of-a-tag)"),
    _policy("allow_scheme_jump", kinds.FLAG, False,
         ("Versions that count in another way may follow, as `2024.1` after `19.3`, and lone ones far "
         "above all others. Needs what `semver_range` needs."),
         True, see="[families](choosing.md#the-family-of-a-tag)"),
    _policy("allow_prerelease", kinds.FLAG, False,
         "Take versions such as `2.0.0-rc.1` too. Needs what `semver_range` needs.",
         True),
    _policy("tag_exclude", kinds.EXCLUDES, [],
         "Tags never taken: globs such as `*-debug`, or `regexp:` and a regular expression. Needs a "
         "selector: `follow` (but for `tag`), `tag_pattern`, `tag_regex` or `semver_pattern`.",
         "*-debug", ["*-debug", "regexp:.*-rc[0-9]+"]),
    # Off unless wanted: a security fix should not wait by default.
    _service("min_age", kinds.duration(10 * kinds.YEAR, zero=True), 0,
         "How old a release must be: since its push if the registry tells, else since it was first "
         "seen here.", "72h", "3d", 3600, field="policy.min_age_seconds"),
    _policy("allow_downgrade", kinds.FLAG, False,
         "Take an older version or push if nothing newer is left. Needs a selector, as "
         "`tag_exclude` does.", True),
    _policy("pin_digest", kinds.FLAG, False, "Write `tag@sha256:…` into the Compose file.",
         True, see="[pins](choosing.md#pins)"),
    _service("signature", kinds.SIGNATURE, None,
         "Take only images that are signed, by cosign, with one of these keys: [what that protects from]"
         "(security.md#signatures).", {"public_key": "/etc/docker-auto-updater/keys/acme.pub"}, field=None,
         by_label=False),
    _policy("mode", kinds.MODE, "auto",
         "`auto` updates. `approve` asks you, once for each image, and updates after your yes. `notify` only "
         "notifies, once for each image.", "notify", "approve"),
    _service("approval_expires", kinds.duration(30 * kinds.DAY), 604800,
         "With the mode `approve`: how long you may answer, and how long your yes counts.", "3d", 604800,
         field="policy.approval_expires_seconds"),
    _service("health_timeout", kinds.duration(kinds.DAY), None, "As at the top level, for this service.",
         180, "5m", field="gate.timeout_seconds"),
    _service("health_stable", kinds.duration(kinds.DAY, zero=True), None,
         "As at the top level, for this service.", 10, field="gate.stable_seconds"),
    _service("health_url", kinds.PROBE, None,
         "An address that has to answer too, asked from this host: within `health_timeout`, and then for "
         "`health_stable`. [How it is asked](operations.md#the-http-gate).", "http://127.0.0.1:8080/health",
         field="gate.url", by_label=False),
    _service("health_status", kinds.STATUSES, "200-399",
         "The HTTP statuses that count as an answer there. Redirects are not followed.", 200, "200-299,401",
         field="gate.statuses", by_label=False),
    _service("pre_update", kinds.HOOK, None,
         "A [hook](operations.md#hooks): what is run before anything of the service is stopped, such as a "
         "backup. If it fails, the update is not started.", ["/usr/local/bin/backup", "web"],
         {"run": "pg_dump -U app app > /backup/before.sql", "in": "container", "timeout": "30m"},
         field="hooks.pre_update", by_label=False),
    _service("post_update", kinds.HOOK, None,
         "A hook: what is run once the new release has passed its gate, such as a smoke test. If it fails, "
         "the old release is put back, and the new one is not tried again.",
         "curl -fsS http://127.0.0.1:8080/version",
         field="hooks.post_update", by_label=False),
    _service("on_failure", kinds.HOOK, None,
         "A hook: what is run after an update that failed, once the old release is back. If it fails, that "
         "is a warning.",
         ["/usr/local/bin/page-me"], field="hooks.on_failure", by_label=False),
    _service("on_success", kinds.HOOK, None,
         "A hook: what is run after an update that succeeded. If it fails, that is a warning.",
         "docker image prune -f", field="hooks.on_success", by_label=False),
    *targets.HOW,
    _service("platform", kinds.PLATFORM, None,
         "The image's platform, `os/architecture`; the engine's own when left out.",
         "linux/amd64", "linux/arm64/v8"),
    _service("maintenance_window", kinds.WINDOWS, None,
         "This service's window, in place of the top level's.",
         "02:00-04:00,14:00-15:30", "sat 23:00-02:30", field="hours.windows"),
    _service("timezone", kinds.ZONE, None,
         "The zone of this service's window; the top level's when left out.",
         "Europe/Berlin", "UTC", field="hours.zone"),
    _service("pause_updates", kinds.FLAG, False, "Goes on checking, does not update this service.",
         True, field="hours.paused"),

    Option(API_TOKEN, "token", kinds.API_TOKEN, None, "The token itself; best written as `${VARIABLE}`.",
           ("${API_KEY}",), path=None, required=True),
    Option(API_TOKEN, "may", kinds.API_RIGHTS, None,
           "The orders that it may give, all when left out. An empty list lets it read only.",
           (["update", "check"], "approve", []), path=None),
    Option(ENGINE, "hosts", kinds.ENGINE_HOSTS, None,
           "The addresses of managers of one swarm. The next one is asked if one is away.",
           (["tcp://10.0.0.1:2376", "tcp://10.0.0.2:2376"], "unix:///run/other.sock"), path=None,
           required=True),
    Option(ENGINE, "cert_path", kinds.PATH, None,
           "The folder with `ca.pem`, `cert.pem` and `key.pem` for them, as DOCKER_CERT_PATH names one.",
           ("/etc/docker-auto-updater/prod",), path=None),

    Option(SIGNATURE, "public_key", kinds.PATHS, None,
           "A PEM file with the public key (ECDSA P-256, RSA or Ed25519), or several: a signature by any of "
           "them counts.", ("/etc/docker-auto-updater/keys/acme.pub", ["old.pub", "new.pub"]),
           "policy.public_keys", required=True),

    _registry("username", kinds.TEXT, None, "The account at this registry.", "robot",
              needs=Needs("password")),
    _registry("password", kinds.SECRET, None, "Its password or token; best written as `${VARIABLE}`.",
         "${REGISTRY_PASSWORD}", needs=Needs("username")),
    _registry("insecure_http", kinds.FLAG, False,
         "Ask this registry over http. On this machine (`localhost`, `127.…`) http is used anyway. Not"
         " for Docker Hub.", True),
    _registry("token_realm_hosts", kinds.HOSTS, [],
         "Further hosts that may get this registry's password in exchange for a token. Its own domain "
         "always may.", "auth.example.com", ["auth.example.com", "sso.example.com:8443"],
         see="[where passwords go](security.md#secrets)"),
    *OF_VENDORS,
)  # fmt: skip


def _in(place: str) -> dict[str, Option]:
    return {option.key: option for option in OPTIONS if option.place == place}


def _shared() -> dict[str, Option]:
    """Return the options of a service that may stand in `defaults` too."""
    shared = [option for option in OPTIONS if option.place == SERVICE and not option.is_of_one]
    return {option.key: replace(option, place=DEFAULTS) for option in shared}


BY_PLACE: Mapping[str, Mapping[str, Option]] = {
    **{place: _in(place) for place in (TOP, SERVICE, REGISTRY, SIGNATURE, ENGINE, API_TOKEN)},
    DEFAULTS: _shared(),
}

SECRET_VARIABLES = frozenset(option.variable for option in OPTIONS if option.variable and option.kind.secret)

# Whoever may write a label may start a container, and no more: no label runs a program on this host, has it
# ask an address, or says which service is meant, but for the group.
LABEL_KEYS = frozenset(option.key for option in BY_PLACE[DEFAULTS].values() if option.by_label) | {"group"}
