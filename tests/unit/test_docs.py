"""The README says what the code does: every option, variable, flag, reason, step, metric and status, and no other."""

from __future__ import annotations

import argparse
import functools
import inspect
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import docker_updater
from updater_core import config_utils, models, tag_filter
from updater_core.clock import SystemClock
from updater_core.config_fields import FIELDS, REGISTRY, SERVICE, TOP, Field
from updater_core.metrics_utils import COUNTERS, GAUGES, HISTOGRAMS
from updater_core.models import Event, Reason, Step
from updater_core.notifiers import webhook
from updater_core.schedule import parse_windows
from updater_core.semver_range import parse_range
from updater_core.semver_utils import parse_tag
from updater_core.state_records import Status

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXT = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)  # without the blocks of code
ENV_EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "updater_core").rglob("*.py"))
PLACES = {TOP: "Top level", SERVICE: "A service", REGISTRY: "registry_config"}
# The variables of the `.env` that was promised, and those that were promised after it.
PROMISED_VARIABLES = frozenset(
    {"LOG_LEVEL", "LOG_FORMAT", "CHECK_INTERVAL", "HEALTH_TIMEOUT", "HEALTH_STABLE", "COMPOSE_TIMEOUT"}
    | {"STATE_BACKUPS", "STATE_BACKUP_DIR", "METRICS_PORT", "WEBHOOK_URL", "MAINTENANCE_WINDOW", "PAUSE_UPDATES"}
    | {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "GOOGLE_APPLICATION_CREDENTIALS"}
    | {"DOCKER_HUB_USERNAME", "DOCKER_HUB_PASSWORD"}
    | {"CONFIG_FILE", "STATE_FILE", "LOG_FILE", "METRICS_HOST", "WEBHOOK_SECRET", "TIMEZONE"}
)
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9_]{3,}\b")


# ------------------------------------------------------------------------------------------------- reading the README


@functools.cache
def sections() -> dict[str, str]:
    """The text under each heading, up to the next heading of any level."""
    parts = re.split(r"^#+ (.+)$", TEXT, flags=re.MULTILINE)
    return {title.replace("`", ""): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def table(section: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    rows = [line for line in sections()[section].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]


def code_words(text: str) -> list[str]:
    """What stands in backticks."""
    return [re.sub(r"\s+", " ", word) for word in re.findall(r"`([^`]+)`", text)]


def column(section: str, number: int = 0) -> list[str]:
    """The words in backticks in one column of a section's table, in their order."""
    return [word for row in table(section) for word in code_words(row[number])]


def all_code() -> list[str]:
    return [*code_words(TEXT), *code_blocks(r"\w+")]


# ------------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("where", PLACES)
def test_the_tables_of_options_are_those_of_the_parser_in_its_order(where: str) -> None:
    assert column(PLACES[where]) == [field.key for field in FIELDS if field.where == where]


def rows_of_options() -> Iterator[tuple[Field, list[str]]]:
    for where, section in PLACES.items():
        rows = {code_words(row[0])[0]: row[1:] for row in table(section)}
        yield from ((field, rows[field.key]) for field in FIELDS if field.where == where and field.key in rows)


@pytest.mark.parametrize(("field", "row"), [*rows_of_options()], ids=lambda v: v.key if isinstance(v, Field) else "")
def test_an_option_is_documented_with_its_kind_default_variable_and_meaning(field: Field, row: list[str]) -> None:
    assert row[0] == re.sub(r"^an? ", "", field.kind.noun)
    assert row[1] == shown_default(field)
    if field.where == TOP:
        assert row[2] == (f"`{field.variable}`" if field.variable else "–")
    assert len(row[-1]) > 10


def shown_default(field: Field) -> str:
    if field.required:
        return "required"
    if field.default is None:
        return "–"
    return f"`{field.default if isinstance(field.default, str) else json.dumps(field.default)}`"


def test_every_option_and_value_that_json_in_the_readme_uses_is_taken_by_the_parser() -> None:
    environment = {"INTERN_TOKEN": "t", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    documents = [json.loads(block) for block in code_blocks("json")]
    entries = [d for d in documents if "compose_service" in d]
    whole = [d for d in documents if "services" in d]
    assert (len(whole), len(entries)) == (2, 3)
    for document in (*whole, {"services": entries}):
        assert config_utils.parse(document, environment).services


def test_the_readme_shows_the_example_configuration_as_it_is() -> None:
    text = (ROOT / "updater_config.json").read_text(encoding="utf-8")
    assert text in code_blocks("json")


# ----------------------------------------------------------------------------------------------------------- variables


def test_every_variable_of_an_option_and_every_promised_one_is_documented() -> None:
    wanted = {*PROMISED_VARIABLES, *(field.variable for field in FIELDS if field.variable)}
    assert wanted <= {word for text in all_code() for word in VARIABLE.findall(text)}


def test_no_variable_is_documented_that_nobody_reads() -> None:
    words = {word for word in code_words(TEXT) if VARIABLE.fullmatch(word) and "_" in word}
    real = {field.variable for field in FIELDS} | {"CONFIG_FILE"}
    assert {w for w in words if w not in real and not config_utils._VENDOR.fullmatch(w)} == set()


def test_env_example_lists_every_variable_once_and_no_other() -> None:
    listed = re.findall(r"^#?([A-Z][A-Z0-9_]*)=", ENV_EXAMPLE, flags=re.MULTILINE)
    assert sorted(listed) == sorted({*PROMISED_VARIABLES, *(f.variable for f in FIELDS if f.variable)})


@pytest.mark.parametrize("field", [f for f in FIELDS if f.variable and f.default is not None], ids=lambda f: f.key)
def test_env_example_shows_the_default(field: Field) -> None:
    shown = re.search(rf"^#?{field.variable}=(.*)$", ENV_EXAMPLE, flags=re.MULTILINE)
    assert shown
    assert field.kind.read(shown[1]) == field.kind.read(field.default)


# -------------------------------------------------------------------------------------------------------- command line


def flags() -> dict[str, argparse.Action]:
    actions = docker_updater.parser()._actions
    return {action.option_strings[-1]: action for action in actions}


def test_the_table_of_commands_has_every_flag_and_no_other() -> None:
    words = [word.split() for word in column("Commands")]
    assert sorted(word[0] for word in words) == sorted(flags())
    assert [w for w in words if w[1:] != ([flags()[w[0]].metavar] if flags()[w[0]].metavar else [])] == []


def test_every_command_line_in_the_readme_is_understood() -> None:
    lines = "\n".join([*code_words(TEXT), *code_blocks("bash")])
    found = [match.split("#")[0].split() for match in re.findall(r"docker_updater\.py((?: +[^\n`]+)?)", lines)]
    assert len(found) >= 6
    for arguments in found:
        docker_updater.parser().parse_args(arguments)


def test_the_exit_statuses_are_those_of_the_door() -> None:
    door = docker_updater
    numbers = [door.ALL_WELL, door.TROUBLE, door.BAD_CONFIG, door.NO_ENGINE, door.LOCKED]
    assert [int(row[0]) for row in table("Exit statuses")] == numbers


def test_the_signals_are_those_that_the_daemon_handles() -> None:
    handled = re.findall(r"signal\.signal\(signal\.(SIG\w+)", inspect.getsource(SystemClock))
    assert sorted(column("Signals")) == sorted(handled)


# ------------------------------------------------------------------------------------------------- words of the models


def test_every_reason_is_explained_once_with_what_to_do() -> None:
    rows = [row for row in table("Reason codes") if code_words(row[0])]
    assert sorted(word for row in rows for word in code_words(row[0])) == sorted(reason.value for reason in Reason)
    assert [row for row in rows if not all(row)] == []


def test_the_steps_stand_in_their_order() -> None:
    assert column("The steps of one update") == [step.value for step in Step]


def test_the_picture_shows_the_steps_in_their_order() -> None:
    names = [e.text for e in ET.parse(ROOT / "docs/update.svg").iter() if e.get("class") == "name"]  # noqa: S314
    assert [name for name in names if name in list(Step)] == [step.value for step in Step]


def test_the_states_are_those_of_a_service() -> None:
    assert sorted(column("States of a service")) == sorted(status.value for status in Status)


def test_the_metrics_have_their_names_and_labels() -> None:
    documented = {code_words(row[0])[0]: tuple(code_words(row[1])) for row in table("Metrics")}
    families = {**COUNTERS, **GAUGES, **HISTOGRAMS}
    real = {f"docker_updater_{name}": family[1] for name, family in families.items()}
    assert documented == real


def test_every_metric_that_the_text_names_exists() -> None:
    named = set(re.findall(r"docker_updater_[a-z_]+", README))
    assert named == {f"docker_updater_{name}" for name in {**COUNTERS, **GAUGES, **HISTOGRAMS}}


def test_the_webhook_example_has_the_shape_of_a_message() -> None:
    example = next(d for block in code_blocks("json") if "event" in (d := json.loads(block)))
    now = datetime(2026, 11, 23, tzinfo=UTC)
    message = webhook.body_of(Event("i", "rollback", "api", now, "h", "a", None, "b", None, "unhealthy"))
    assert shape(example) == shape(message)
    assert Reason(example["reason"])
    assert webhook.SIGNATURE in README


def shape(value: Any) -> Any:
    return {key: shape(item) for key, item in value.items()} if isinstance(value, dict) else None


# ---------------------------------------------------------------------------------------------------- names and places


def test_every_relative_link_leads_to_a_file_or_a_heading() -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", TEXT)
    anchors = {anchor(title) for title in re.findall(r"^#+ (.+)$", TEXT, flags=re.MULTILINE)}
    broken = [t for t in targets if not t.startswith("http") and not is_there(t, anchors)]
    assert len(targets) > 20
    assert broken == []


def is_there(target: str, anchors: set[str]) -> bool:
    return target[1:] in anchors if target.startswith("#") else (ROOT / target).exists()


def anchor(title: str) -> str:
    """As GitHub makes it: lower case, spaces to hyphens, other punctuation gone."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_every_file_and_name_of_ours_that_the_text_speaks_of_is_there() -> None:
    paths = {w for text in all_code() for w in re.findall(r"(?:scripts|updater_core|docs|tests)/[\w./]*\w", text)}
    assert {"scripts/demo", "scripts/test"} <= paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    names = {word.removeprefix("models.") for word in code_words(TEXT) if re.fullmatch(r"models\.\w+", word)}
    assert names
    assert [name for name in names if not hasattr(models, name)] == []


def test_what_the_top_promises_stands_at_the_top() -> None:
    top = README.partition("\n## ")[0]
    assert "\nscripts/demo " in top
    assert "\nscripts/test " in top


def test_the_name_under_which_images_are_held_is_the_real_one() -> None:
    prefix = re.search(r'^HOLD_PREFIX = "(.+?)"', SOURCE, flags=re.MULTILINE)
    assert prefix
    assert prefix[1] in code_words(TEXT)


# ------------------------------------------------------------------------------------------------------------ examples


def test_the_windows_of_the_readme_are_understood() -> None:
    text = sections()["When it is installed"].partition("**Pause.**")[0]
    windows = [word for word in code_words(text) if re.search(r"\d\d:\d\d-", word)]
    assert len(windows) >= 4
    assert all(parse_windows(window) for window in windows)


def test_the_ranges_and_patterns_of_the_readme_are_understood() -> None:
    rows = {code_words(row[0])[0]: row[-1] for row in table("A service")}
    ranges = [word for word in code_words(rows["semver_range"]) if "\\" not in word]
    assert len(ranges) >= 4
    assert all(parse_range(one) for one in ranges)
    text = sections()["semver_pattern: the highest version"]
    patterns = [word for word in code_words(text) if word.count("*") == 1 and len(word) > 1]
    assert len(patterns) >= 3
    assert [p for p in patterns if tag_filter.check_semver_pattern(p)] == []


def test_the_expressions_of_the_readme_do_what_it_says() -> None:
    words = code_words(sections()["tag_regex: a regular expression"])
    expressions = [word for word in words if word.startswith("^")]
    assert len(expressions) == 3
    assert [e for e in expressions if tag_filter.check_tag_regex(e)] == []


def test_the_words_of_a_prerelease_are_those_of_the_code() -> None:
    text = sections()["semver_pattern: the highest version"]
    listed = code_words(text.partition("starts with one of")[2].partition("(digits")[0])
    assert len(listed) == 17
    assert [word for word in listed if not read_as(word)[0]] == []
    assert read_as("slim") == ((), "slim")


def read_as(tail: str) -> tuple[tuple[str, ...], str]:
    version = parse_tag(f"1.2.3-{tail}")
    return (version.prerelease, version.variant) if version else ((), "")
