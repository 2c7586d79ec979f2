"""Write updater_config.schema.json and docs/configuration.md from the options and the example.

Run it from the repository's root after any change of an option:

    .venv/bin/python -m scripts.write_configuration_reference

A test compares the files with what this makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from updater_core.config import schema as config_schema
from updater_core.config.options import OPTIONS, REGISTRY, SERVICE, TOP, Option
from updater_core.registries.vendors import VENDORS
from updater_core.registries.vendors.vendor import Vendor

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs/configuration.md"
SCHEMA_FILE = ROOT / "updater_config.schema.json"
Schema = Mapping[str, Any]

_NONE = "–"
_DURATION = "seconds, as a number or as a text, or a text with a unit, such as 90s, 15m, 6h, 3d or 2w"
_HOW_FAR = {86400: "a day", 2592000: "30 days", 316224000: "ten years"}  # the schema's bounds of durations
_HEAD = """\
# Configuration

<!-- Made by scripts/write_configuration_reference.py from updater_core/config/options.py: edit that. -->

Every option of the configuration: one JSON file, and variables for what should not stand in it. The
environment beats `.env`, `.env` beats the file, the file beats the defaults; an empty variable counts as not
set.

- **Where.** The file is `/etc/docker-auto-updater/updater_config.json`, or what `CONFIG_FILE` names. `.env`
  is the one beside that file. Without `CONFIG_FILE`, and without a `.env` in `/etc/docker-auto-updater`, the
  one in the working directory counts.
- **Every problem at once.** A wrong configuration ends with status 2 and a line for each problem: the file,
  the line, the path of the key (`services[2].tag_regex`), what is wrong, what to write. Unknown keys are
  problems, with the nearest known one named. A file that is no JSON is named for what it is: YAML, a comma
  too many, a comment.
- **Durations** are seconds, as a number or as text, or carry a unit: `90s`, `15m`, `6h`, `3d`, `2w`.
- **`${NAME}`** in any text of the file is replaced by that variable; one that is not set is a problem. `$$`
  is a `$`.
- **Paths** in the file may be relative to the file, those in a variable to the working directory; `~/` is the
  home.
- **Editors** complete and check the file with `"$schema": "./updater_config.schema.json"` at its top.
- **A change** counts from the next start on, or after a `SIGHUP`
  ([except that of `STATE_FILE`](operations.md#signals)).

`docker-updater --test` reads the configuration and looks at everything it names.

## Example

This is [`updater_config.json`](../updater_config.json). Its services do not exist, so each has `"enabled":
false`: take that line out when you write your own. Its `check_interval` of 30 seconds is for trying things.
"""

_TABLES: Mapping[str, str] = {
    TOP: """\
## Top level

`–` means that there is no default. Each option but `services` can also be set by its variable.
""",
    SERVICE: """\
## A service

At most one of `follow`, `tag_pattern`, `tag_regex` and `semver_pattern` may be set. Without any, the top
level's `follow` counts: by default the digest behind the current tag. [Which image is chosen](choosing.md)
has the rules.
""",
    REGISTRY: """\
## registry_config

The keys for {vendors} are taken only if the registry is one. [Registries and credentials](registries.md)
has the order in which credentials are looked for.
""",
}

_KINDS = """\
## Kinds of values

| Kind | What to write |
|---|---|
"""

_TAIL = """\
## Further variables

These are no options of the file. All of them may stand in `.env` (`CONFIG_FILE` too, but then the `.env` is
the one in `/etc/docker-auto-updater`, or in the working directory). [`.env.example`](../.env.example) lists
the usual ones.

| Variable | Who reads it |
|---|---|
| `CONFIG_FILE` | The updater: where the configuration is. |
| `DOCKER_HOST`, `DOCKER_CONTEXT`, `DOCKER_TLS_VERIFY`, `DOCKER_TLS`, `DOCKER_CERT_PATH` | Which engine. |
| `DOCKER_CONFIG` | The folder of Docker's `config.json`; `~/.docker` when not set. |
{vendors}| `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | Requests to registries. (The engine pulls through its own
proxy.) |
| `SSL_CERT_FILE` | Requests to registries: further certificate authorities. |
| `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` | The same requests: the authorities in place of the system's. |
"""


def text_of(schema: Schema, example: str) -> str:
    """Return the whole reference, from the JSON Schema of the configuration and the text of an example."""
    places = {TOP: schema, SERVICE: schema["$defs"][SERVICE], REGISTRY: schema["$defs"][REGISTRY]}
    titles = [vendor.title for vendor in VENDORS if _has_registry_options(vendor)]
    vendors = " and ".join([", ".join(titles[:-1]), titles[-1]])
    heads = {where: head.replace("{vendors}", vendors) for where, head in _TABLES.items()}
    tables = [f"{head}\n{_table(where, places[where])}" for where, head in heads.items()]
    tail = _TAIL.replace("{vendors}", "".join(_variables(vendor) for vendor in VENDORS if vendor.variables))
    return "\n".join([_HEAD, f"```json\n{example}```\n", *tables, _KINDS + _kinds(OPTIONS), tail])


def _has_registry_options(vendor: Vendor) -> bool:
    return any(option.place == REGISTRY for option in vendor.options)


def _variables(vendor: Vendor) -> str:
    """Return the row of the variables that a vendor's library reads by itself."""
    return _line([", ".join(f"`{name}`" for name in vendor.variables), vendor.reader])


def _table(where: str, place: Schema) -> str:
    options = [option for option in OPTIONS if option.place == where]
    has_variables = any(option.variable for option in options)
    variable = " Variable |" if has_variables else ""
    head = f"| Option | Kind | Default |{variable} Meaning | Example |\n|{'---|' * (6 if variable else 5)}\n"
    return head + "".join(_row(option, place, has_variables=has_variables) for option in options)


def _row(option: Option, place: Schema, *, has_variables: bool) -> str:
    shown = place["properties"][option.key]
    cells = [f"`{option.key}`", _noun(option), _default(option, shown)]
    if has_variables:
        cells.append(f"`{option.variable}`" if option.variable else _NONE)
    cells += [_meaning(option, shown, place), _example(shown["examples"][0])]
    return _line(cells)


def _line(cells: Sequence[str]) -> str:
    """Return one row of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _noun(option: Option) -> str:
    return option.kind.noun.removeprefix("a ").removeprefix("an ")


def _default(option: Option, shown: Schema) -> str:
    if option.required:
        return "required"
    if "default" not in shown:
        return _NONE
    return f"`{_plain(shown['default'])}`"


def _meaning(option: Option, shown: Schema, place: Schema) -> str:
    sentences = [
        shown.get("markdownDescription", shown["description"]),
        *_bounds(shown),
        *_relations(option.key, place),
    ]
    return " ".join([*sentences, *([f"See {option.see}."] if option.see else [])])


def _bounds(shown: Schema) -> Iterator[str]:
    """Yield what the schema allows of a number, as a sentence."""
    for kind in shown.get("anyOf", ()):
        if kind.get("type") in ("number", "integer"):
            most = kind["maximum"]
            limit = _HOW_FAR[most] if kind["type"] == "number" else str(most)
            yield (
                f"Above 0, at most {limit}."
                if "exclusiveMinimum" in kind
                else f"{kind['minimum']} to {limit}."
            )


def _relations(key: str, place: Schema) -> Iterator[str]:
    """Yield what an option excludes and needs, as far as the schema says so."""
    rules: Mapping[str, Schema] = place.get("dependentSchemas", {})
    excluded = [*_excluded(rules.get(key, {})), *(other for other in rules if key in _excluded(rules[other]))]
    if excluded:
        yield f"Not beside {_listed(excluded, 'or')}."
    if any_of := [one["required"][0] for one in rules.get(key, {}).get("anyOf", ())]:
        yield f"Needs {_listed(any_of, 'or')}."
    if all_of := place.get("dependentRequired", {}).get(key, ()):
        yield f"Needs {_listed(all_of, 'and')}."


def _excluded(rule: Schema) -> list[str]:
    """Return the keys that one of `dependentSchemas` does not allow."""
    refused = rule.get("not", {})
    return [one["required"][0] for one in refused.get("anyOf", [refused]) if one]


def _listed(keys: Sequence[str], word: str) -> str:
    return f" {word} ".join(f"`{key}`" for key in keys)


def _example(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _kinds(fields: Sequence[Option]) -> str:
    """Return what to write for each kind, in the words of the parser's own messages."""
    remedies = {_noun(option): option.kind.remedy for option in reversed(fields)} | {"duration": _DURATION}
    nouns = dict.fromkeys(_noun(option) for option in fields)
    return "".join(_line((noun, remedies[noun].replace("*", "\\*"))) for noun in nouns)


def main() -> None:
    """Write both files."""
    example = (ROOT / "updater_config.json").read_text(encoding="utf-8")
    SCHEMA_FILE.write_text(config_schema.text(), encoding="utf-8")
    TARGET.write_text(text_of(config_schema.schema(), example), encoding="utf-8")


if __name__ == "__main__":
    main()
