"""The documents say what the code does: every option, variable, flag, reason, step, metric and status, and no
other.
"""

from __future__ import annotations

import argparse
import ast
import functools
import inspect
import json
import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import docker_updater
from scripts import write_configuration_reference
from tests.support.plans import compose_plan
from updater_core import compose_utils, config_utils, models, protocols
from updater_core.config import schema
from updater_core.config.options import OPTIONS, REGISTRY, SERVICE, TOP, Option
from updater_core.deploy import hooks
from updater_core.host.process import hook_runner
from updater_core.host.signals import SignalInbox
from updater_core.logging_utils import LogEvent
from updater_core.metrics_utils import COUNTERS, GAUGES, HISTOGRAMS
from updater_core.models import KINDS, Cause, Discover, Event, Reason, RolledBack, Step
from updater_core.notifiers import webhook
from updater_core.policy import patterns as tag_filter
from updater_core.policy.ranges import parse_range
from updater_core.policy.windows import parse_windows
from updater_core.reference import parse
from updater_core.semver_utils import PRERELEASE_WORDS, parse_tag
from updater_core.state.records import Status
from updater_core.vocabulary.dated import HookKind

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    p.relative_to(ROOT).as_posix(): p.read_text("utf-8")
    for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
}
README, CONFIGURATION, CHOOSING = "README.md", "docs/configuration.md", "docs/choosing.md"
OPERATIONS, OBSERVABILITY, TROUBLESHOOTING = (
    "docs/operations.md",
    "docs/observability.md",
    "docs/troubleshooting.md",
)
WATCHTOWER = "docs/from-watchtower.md"
ENV_EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
SOURCES = [*(ROOT / "updater_core").rglob("*.py"), ROOT / "docker_updater.py"]
PLACES = {TOP: "Top level", SERVICE: "A service", REGISTRY: "registry_config"}
# The variables of the `.env` that was promised, and those that were promised after it.
PROMISED_VARIABLES = frozenset(
    {"LOG_LEVEL", "LOG_FORMAT", "CHECK_INTERVAL", "HEALTH_TIMEOUT", "HEALTH_STABLE", "COMPOSE_TIMEOUT"}
    | {
        "STATE_BACKUPS",
        "STATE_BACKUP_DIR",
        "METRICS_PORT",
        "WEBHOOK_URL",
        "MAINTENANCE_WINDOW",
        "PAUSE_UPDATES",
    }
    | {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "GOOGLE_APPLICATION_CREDENTIALS"}
    | {"DOCKER_HUB_USERNAME", "DOCKER_HUB_PASSWORD"}
    | {"CONFIG_FILE", "STATE_FILE", "LOG_FILE", "METRICS_HOST", "WEBHOOK_SECRET", "TIMEZONE"}
)
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9_]{3,}\b")
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", flags=re.MULTILINE | re.DOTALL)
_ENTRY = {"name": "web", "image": "acme/web:1", "compose_file": "/srv/compose.yml", "compose_service": "web"}


# --------------------------------------------------------------------------------------------- reading a page


@functools.cache
def prose(page: str) -> str:
    """A page without its blocks of code."""
    return _FENCED.sub("", PAGES[page])


@functools.cache
def sections(page: str) -> dict[str, str]:
    """The text under each heading, up to the next heading of any level."""
    parts = re.split(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {title.replace("`", ""): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def code_blocks(page: str, language: str) -> list[str]:
    return [dedent(text) for _, kind, text in _FENCED.findall(PAGES[page]) if re.fullmatch(language, kind)]


def table(page: str, section: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    rows = [line for line in sections(page)[section].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]


def code_words(text: str) -> list[str]:
    """What stands in backticks."""
    return [re.sub(r"\s+", " ", word) for word in re.findall(r"`([^`]+)`", text)]


def column(page: str, section: str, number: int = 0) -> list[str]:
    """The words in backticks in one column of a section's table, in their order."""
    return [word for row in table(page, section) for word in code_words(row[number])]


def words_of(page: str) -> list[str]:
    return code_words(prose(page))


def all_code(page: str) -> list[str]:
    return [*words_of(page), *code_blocks(page, r"\w*")]


def everywhere(page_code: Any = words_of) -> list[tuple[str, str]]:
    return [(page, text) for page in PAGES for text in page_code(page)]


# ---------------------------------------------------------------------------------------------------- options


def test_the_reference_of_the_configuration_is_what_its_script_makes() -> None:
    example = (ROOT / "updater_config.json").read_text(encoding="utf-8")
    made = write_configuration_reference.text_of(schema.schema(), example)
    assert PAGES[CONFIGURATION] == made, "run: .venv/bin/python -m scripts.write_configuration_reference"


@pytest.mark.parametrize("where", PLACES)
def test_the_tables_of_options_are_those_of_the_parser_in_its_order(where: str) -> None:
    assert column(CONFIGURATION, PLACES[where]) == [option.key for option in OPTIONS if option.place == where]


def rows_of_options() -> Iterator[tuple[Option, list[str]]]:
    for where, section in PLACES.items():
        rows = {code_words(row[0])[0]: row[1:] for row in table(CONFIGURATION, section)}
        yield from (
            (option, rows[option.key]) for option in OPTIONS if option.place == where and option.key in rows
        )


@pytest.mark.parametrize(
    ("option", "row"), [*rows_of_options()], ids=lambda v: v.key if isinstance(v, Option) else ""
)
def test_an_option_is_documented_with_its_kind_default_variable_meaning_and_example(
    option: Option, row: list[str]
) -> None:
    assert row[0] == re.sub(r"^an? ", "", option.kind.noun)
    assert row[1] == shown_default(option)
    if option.place == TOP:
        assert row[2] == (f"`{option.variable}`" if option.variable else "–")
    assert len(row[-2]) > 10
    assert json.loads(code_words(row[-1].replace("\\|", "|"))[0]) is not None


def shown_default(option: Option) -> str:
    if option.required:
        return "required"
    if option.default is None:
        return "–"
    return f"`{option.default if isinstance(option.default, str) else json.dumps(option.default)}`"


def test_what_options_exclude_and_need_is_said() -> None:
    said = {option.key: row[-2] for option, row in rows_of_options()}
    selectors = ["follow", "tag_pattern", "tag_regex", "semver_pattern"]
    for key in selectors:
        (sentence,) = re.findall(r"Not beside (.+?)\.", said[key])
        assert sorted(code_words(sentence)) == sorted({*selectors} - {key})
    needs = {
        key: code_words(match[1])
        for key, text in said.items()
        if (match := re.search(r" Needs (.+?)\.", text))
    }
    assert (
        needs.items()
        >= {"username": ["password"], "password": ["username"], "max_bump": ["semver_range"]}.items()
    )
    assert needs["aws_session_token"] == ["aws_access_key_id"]


def test_the_essentials_of_the_readme_are_options_with_their_defaults() -> None:
    where, found = TOP, []
    for names, default, meaning in table(README, "Configuration"):
        where = where if code_words(names) else SERVICE
        for key in code_words(names):
            (option,) = [option for option in OPTIONS if (option.place, option.key) == (where, key)]
            assert default == shown_default(option)
            assert meaning
            found.append(key)
    assert len(found) > 12


def test_the_reference_shows_the_example_configuration_as_it_is() -> None:
    text = (ROOT / "updater_config.json").read_text(encoding="utf-8")
    assert text in code_blocks(CONFIGURATION, "json")


@pytest.mark.parametrize("page", PAGES)
def test_every_json_of_a_page_is_a_configuration_a_message_or_a_policy_of_amazon(page: str) -> None:
    tokens = {name: f"{name}-0123456789abcdef-0" for name in ("CI", "PHONE", "DASHBOARD")}
    environment = {f"{name}_TOKEN": token for name, token in tokens.items()}
    environment |= {"INTERN_TOKEN": "t", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    documents = [json.loads(block) for block in code_blocks(page, "json")]
    for document in documents:
        if "services" in document:
            config = config_utils.parse(document, environment)
            assert config.services or config.settings.discover.mode is not Discover.OFF
        elif "compose_service" in document:
            assert config_utils.parse({"services": [document]}, environment).services
        else:
            assert "event" in document or document["Version"] == "2012-10-17"


def test_the_pages_show_as_many_configurations_as_they_should() -> None:
    documents = [json.loads(block) for page in PAGES for block in code_blocks(page, "json")]
    assert sum("services" in document for document in documents) >= 3
    assert sum("compose_service" in document for document in documents) >= 4


def test_every_option_that_stands_in_a_sentence_as_json_is_taken_by_the_parser() -> None:
    pieces = [word.replace("\\|", "|") for _, word in everywhere() if re.match(r'"\$?\w+": ', word)]
    found = [json.loads(f"{{{piece}}}") for piece in pieces if not piece.startswith('"$schema"')]
    assert len(found) > 8
    labels = [piece for piece in found if not {option.key for option in OPTIONS} >= piece.keys()]
    assert labels == []
    of_the_top = {option.key for option in OPTIONS if option.place == TOP}
    for piece in found:
        at_the_top = piece if piece.keys() <= of_the_top - {"follow", "pause_updates"} else {}
        of_a_swarm = {"stack": "shop"} if "run_jobs" in piece else {}
        entry = _ENTRY if at_the_top else {**_ENTRY, **of_a_swarm, **piece}
        assert config_utils.parse({**at_the_top, "services": [entry]}, {}).services


# -------------------------------------------------------------------------------------------------- variables


def test_every_variable_of_an_option_and_every_promised_one_is_documented() -> None:
    options = {option.variable for option in OPTIONS if option.variable}
    further = column(CONFIGURATION, "Further variables")
    assert set(column(CONFIGURATION, "Top level", 3)) == options
    assert options | set(further) >= PROMISED_VARIABLES
    assert [v for v in further if v != "CONFIG_FILE" and not config_utils._OF_LIBRARIES.fullmatch(v)] == []


def hook_variables() -> set[str]:
    plan = compose_plan(parse("app:2"), "app:1")
    failed = RolledBack(plan, Cause(Step.GATE, Reason.EXITED, "it ended"))
    return {"DAU_HOOK", *hooks.facts_of(plan, ()), *hooks.ending_facts(failed)}


def test_each_fact_that_a_hook_gets_is_explained_once() -> None:
    named = [
        word for row in table(OPERATIONS, "Hooks") for word in code_words(row[0]) if word.startswith("DAU_")
    ]
    assert sorted(named) == sorted(hook_variables())


def test_no_variable_is_documented_that_nobody_reads() -> None:
    real = {*(option.variable for option in OPTIONS), "CONFIG_FILE", *compose_utils._KEPT_VARIABLES}
    real |= {*compose_utils._SWITCHES, *hook_runner._KEPT_VARIABLES, *hook_variables()}
    words = {
        (p, word) for p, word in everywhere() if VARIABLE.fullmatch(word) and "_" in word and word not in real
    }
    unknown = {(page, word) for page, word in words if not config_utils._OF_LIBRARIES.fullmatch(word)}
    of_watchtower = {
        (p, word) for p, word in unknown if p == WATCHTOWER and re.match("WATCHTOWER_|REPO_", word)
    }
    assert unknown - of_watchtower == set()
    assert len(of_watchtower) > 15


def test_env_example_lists_every_variable_once_and_no_other() -> None:
    listed = re.findall(r"^#?([A-Z][A-Z0-9_]*)=", ENV_EXAMPLE, flags=re.MULTILINE)
    assert sorted(listed) == sorted({*PROMISED_VARIABLES, *(f.variable for f in OPTIONS if f.variable)})


@pytest.mark.parametrize(
    "option", [f for f in OPTIONS if f.variable and f.default is not None], ids=lambda f: f.key
)
def test_env_example_shows_the_default(option: Option) -> None:
    shown = re.search(rf"^#?{option.variable}=(.*)$", ENV_EXAMPLE, flags=re.MULTILINE)
    assert shown
    assert option.kind.read(shown[1]) == option.kind.read(option.default)


# ----------------------------------------------------------------------------------------------- command line


def flags() -> dict[str, argparse.Action]:
    actions = docker_updater.parser()._actions
    return {action.option_strings[-1]: action for action in actions}


def test_the_table_of_commands_has_every_flag_and_no_other() -> None:
    words = [word.split() for word in column(OPERATIONS, "Commands")]
    words = [word for word in words if word[0] in flags() or not re.match(r"docker|python|install", word[0])]
    assert sorted(word[0] for word in words) == sorted(flags())
    assert [w for w in words if w[1:] != ([flags()[w[0]].metavar] if flags()[w[0]].metavar else [])] == []


_COMMAND = re.compile(
    r"(?:sudo )?(?:\w+=\S+ )*(?:docker-updater|(?:sudo )?(?:\S*python )?docker_updater\.py)(?= |$)"
)


def command_lines(page: str) -> Iterator[list[str]]:
    """The arguments of every command line of ours on a page."""
    lines = [
        *words_of(page),
        *(line for block in code_blocks(page, "bash|console") for line in block.splitlines()),
    ]
    for text in [part.strip() for line in lines for part in line.split(" && ")]:
        if match := _COMMAND.match(text):
            yield shlex.split(text[match.end() :], comments=True)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_of_a_page_is_understood(page: str) -> None:
    for arguments in command_lines(page):
        if arguments not in (["--version"], ["--help"]):  # these end the program
            docker_updater.parser().parse_args(arguments)


def test_command_lines_are_found_on_the_pages() -> None:
    counts = {page: len([*command_lines(page)]) for page in PAGES}
    assert counts[README] >= 9
    assert counts["docs/install.md"] >= 6
    assert min(counts[OPERATIONS], counts[TROUBLESHOOTING], counts[WATCHTOWER]) >= 3


def test_the_exit_statuses_are_those_of_the_entry_point() -> None:
    entry_point = docker_updater
    numbers = [
        entry_point.ALL_WELL,
        entry_point.NEEDS_A_LOOK,
        entry_point.BAD_CONFIG,
        entry_point.NO_ENGINE,
        entry_point.LOCKED,
    ]
    assert [int(row[0]) for row in table(OPERATIONS, "Exit statuses")] == numbers


def test_the_signals_are_those_that_the_daemon_handles() -> None:
    handled = re.findall(r"signal\.signal\(signal\.(SIG\w+)", inspect.getsource(SignalInbox.listen))
    assert sorted(column(OPERATIONS, "Signals")) == sorted(handled)


def test_the_options_of_the_installer_are_those_it_takes() -> None:
    usage = (
        (ROOT / "install.sh").read_text(encoding="utf-8").partition("usage() {")[2].partition("\nEND\n")[0]
    )
    taken = set(re.findall(r"^  (--[\w-]+)", usage, flags=re.MULTILINE))
    assert {word.split()[0] for word in column("docs/install.md", "Install")} == taken - {"--help"}


# ---------------------------------------------------------------------------------------- words of the models


def test_every_reason_is_explained_once_with_what_to_do() -> None:
    rows = [row for row in table(TROUBLESHOOTING, "Reason codes") if code_words(row[0])]
    assert sorted(word for row in rows for word in code_words(row[0])) == sorted(
        reason.value for reason in Reason
    )
    assert [row for row in rows if not all(row)] == []


def test_the_symptoms_name_reasons_that_there_are() -> None:
    held = [title.removeprefix("held: ") for title in sections(TROUBLESHOOTING) if title.startswith("held: ")]
    assert len(held) >= 3
    assert [word for word in held if word not in list(Reason)] == []
    named = column(TROUBLESHOOTING, "A new image is there, and it is not taken")
    assert [word for word in named if word not in list(Reason)] == []
    items = re.findall(r"^- (`.+?`):", sections(TROUBLESHOOTING)["It says unknown"], flags=re.MULTILINE)
    assert [word for item in items for word in code_words(item) if word not in list(Reason)] == []


def test_the_steps_are_in_their_order() -> None:
    assert column(README, "The steps of one update") == [step.value for step in Step]


def test_the_picture_shows_the_steps_in_their_order() -> None:
    names = [e.text for e in ET.parse(ROOT / "docs/update.svg").iter() if e.get("class") == "name"]  # noqa: S314
    # start-first's, and the operator's hooks
    others = {Step.START, Step.SWITCH, *(kind.value for kind in HookKind)}
    assert [name for name in names if name in list(Step)] == [
        step.value for step in Step if step not in others
    ]


def test_the_states_are_those_of_a_service() -> None:
    assert sorted(column(OPERATIONS, "States of a service")) == sorted(status.value for status in Status)


def test_the_metrics_have_their_names_and_labels() -> None:
    documented = {code_words(row[0])[0]: tuple(code_words(row[1])) for row in table(OBSERVABILITY, "Metrics")}
    families = {**COUNTERS, **GAUGES, **HISTOGRAMS}
    real = {f"docker_updater_{name}": family[1] for name, family in families.items()}
    assert documented == real


def test_every_metric_that_a_page_names_exists() -> None:
    named = {name for text in PAGES.values() for name in re.findall(r"docker_updater_[a-z_]+", text)}
    assert named == {f"docker_updater_{name}" for name in {**COUNTERS, **GAUGES, **HISTOGRAMS}}


def test_every_event_of_the_log_is_explained_with_its_levels() -> None:
    rows = {code_words(row[0])[0]: row[1:] for row in table(OBSERVABILITY, "The log")}
    assert [*rows] == [*LogEvent, "log"]
    missing = [(event, level) for event, level in logged() if level not in code_words(" ".join(rows[event]))]
    assert missing == []
    assert [event for event, row in rows.items() if len(row[1]) < 15] == []


def logged() -> set[tuple[str, str]]:
    """Event and level, wherever the code logs both by name."""
    found = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call | ast.Tuple):
                parts = node.args if isinstance(node, ast.Call) else node.elts
                names = [ast.unparse(part) for part in parts]
                events = [name.removeprefix("LogEvent.") for name in names if name.startswith("LogEvent.")]
                levels = [n.removeprefix("logging.") for n in names if re.fullmatch(r"logging\.[A-Z]+", n)]
                found |= {(LogEvent[event].value, level) for event in events for level in levels}
    assert len(found) > 15
    return found


def test_the_webhook_examples_have_the_shape_of_a_message() -> None:
    examples = [json.loads(block) for block in code_blocks("docs/webhook.md", "json")]
    now = datetime(2026, 11, 23, tzinfo=UTC)
    message = webhook.body_of(Event("i", "rollback", "api", now, "h", "a", None, "b", None, "unhealthy"))
    assert [example["event"] for example in examples] == list(KINDS)
    assert [shape(example) for example in examples] == [shape(message)] * len(KINDS)
    assert all(example["reason"] in {*Reason, "update", "pause"} for example in examples)
    assert webhook.SIGNATURE in PAGES["docs/webhook.md"]


def shape(value: Any) -> Any:
    return {key: shape(item) for key, item in value.items()} if isinstance(value, dict) else None


# ------------------------------------------------------------------------------------------- names and places


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: str) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    assert [t for t in targets if not t.startswith("http") and not is_there(page, t)] == []


def test_the_readme_leads_to_every_page() -> None:
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", prose(README))}
    assert len(targets) > 12
    assert {page for page in PAGES if page != README} <= targets


def is_there(page: str, target: str) -> bool:
    """Whether a link of a page leads somewhere: to a file, and to a heading in it if it names one."""
    path, _, fragment = target.partition("#")
    place = ((ROOT / page).parent / path).resolve() if path else ROOT / page
    if not fragment:
        return place.exists()
    other = place.relative_to(ROOT).as_posix()
    return other in PAGES and fragment in anchors(other)


@functools.cache
def anchors(page: str) -> frozenset[str]:
    """As GitHub makes them: lower case, spaces to hyphens, other punctuation gone, the second of a name with
    `-1`.
    """
    found: list[str] = []
    for title in re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[(.+?)\]\(.+?\)", r"\1", title).lower()).replace(" ", "-")
        taken = len([each for each in found if re.fullmatch(rf"{re.escape(plain)}(-\d+)?", each)])
        found.append(f"{plain}-{taken}" if taken else plain)
    return frozenset(found)


def test_every_page_that_a_program_names_is_there() -> None:
    others = [
        *SOURCES,
        *ROOT.glob("ops/*"),
        *ROOT.glob("*.sh"),
        *ROOT.glob("*.service"),
        ROOT / ".env.example",
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in others if path.is_file())
    named = set(re.findall(r"\b((?:docs/[\w-]+|README|CHANGELOG|CONTRIBUTING)\.md)(#[\w-]+)?", text))
    assert {path for path, _ in named} >= {"README.md"}
    assert [path + anchor for path, anchor in named if not is_there(README, path + anchor)] == []


def test_every_file_and_name_of_ours_that_the_pages_speak_of_is_there() -> None:
    ours = r"(?:scripts|updater_core|docs|tests|ops|benchmarks)/[\w./-]*\w"
    paths = {w for _, text in everywhere(all_code) for w in re.findall(rf"(?<![\w/.-]){ours}", text)}
    assert {"scripts/demo", "scripts/test"} <= paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    modules = {
        w for _, text in everywhere(all_code) for w in re.findall(r"-m ((?:scripts|benchmarks)\.\w+)", text)
    }
    assert modules
    assert [module for module in modules if not (ROOT / f"{module.replace('.', '/')}.py").exists()] == []


def test_every_name_of_the_code_that_the_pages_speak_of_is_there() -> None:
    modules = {"models": models, "protocols": protocols}
    matches = [re.fullmatch(r"(models|protocols)\.(\w+)", word) for _, word in everywhere()]
    names = {(match[1], match[2]) for match in matches if match}
    assert len(names) >= 2
    assert [(module, name) for module, name in names if not hasattr(modules[module], name)] == []


def test_what_the_top_promises_stands_at_the_top() -> None:
    top = PAGES[README].partition("\n## ")[0]
    assert "\nscripts/demo " in top
    assert "\nscripts/test " in top


def test_the_readme_can_be_read_in_one_go() -> None:
    assert len(PAGES[README].encode()) < 22_000


def test_the_name_under_which_images_are_held_is_the_real_one() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    prefix = re.search(r'^RETENTION_PREFIX = "(.+?)"', source, flags=re.MULTILINE)
    assert prefix
    assert prefix[1] in words_of(OPERATIONS)


# --------------------------------------------------------------------------------------------------- examples


def test_the_windows_of_the_pages_are_understood() -> None:
    windows = [
        (page, word) for page, word in everywhere() if re.search(r"\d\d:\d\d-", word) and '"' not in word
    ]
    assert len([page for page, _ in windows if page == OPERATIONS]) >= 4
    assert all(parse_windows(window) for _, window in windows)


def test_the_ranges_and_patterns_of_the_pages_are_understood() -> None:
    rows = {code_words(row[0])[0]: row[-2] for row in table(CONFIGURATION, "A service")}
    ranges = [word for word in code_words(rows["semver_range"]) if re.search(r"\d", word)]
    assert len(ranges) >= 4
    assert all(parse_range(one) for one in ranges)
    text = sections(CHOOSING)["semver_pattern: the highest version"]
    patterns = [word for word in code_words(text) if word.count("*") == 1 and len(word) > 1]
    assert len(patterns) >= 3
    assert [p for p in patterns if tag_filter.check_semver_pattern(p)] == []


def test_the_expressions_of_the_pages_do_what_they_say() -> None:
    words = code_words(sections(CHOOSING)["tag_regex: a regular expression"])
    expressions = [word for word in words if word.startswith("^")]
    assert len(expressions) == 3
    assert [e for e in expressions if tag_filter.check_tag_regex(e)] == []


def test_the_words_of_a_prerelease_are_those_of_the_code() -> None:
    text = sections(CHOOSING)["The family of a tag"]
    listed = code_words(text.partition("The words are")[2].partition(", digits behind")[0])
    assert sorted(listed) == sorted(PRERELEASE_WORDS)
    assert [word for word in listed if not read_as(word)[0]] == []
    assert read_as("slim") == ((), "slim")


def read_as(tail: str) -> tuple[tuple[str, ...], str]:
    version = parse_tag(f"1.2.3-{tail}")
    return (version.prerelease, version.variant) if version else ((), "")
