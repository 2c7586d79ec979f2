"""The words of the code and of the documents are the field's: private ones, which nobody can look up, are not
used.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What is not said, and what is said in its place.
PRIVATE = {
    r"rooms?|houses?": "module, package; space (of a disk)",
    r"doors?": "entry point",
    r"stor(y|ies)": "transaction",
    r"worlds?": "context",
    r"wish|wishes|wished": "request, choice",
    r"mend|mends|mended|mending": "fix, restore",
    r"odd": "malformed, unexpected",
    r"lessons?|learns?|learn": "cached challenge",
    r"vigils?": "liveness watch",
    r"wrecks?": "leftover of an interrupted recreate",
    r"patience": "budget, longest silence",
    r"rosters?": "container index",
    r"doctor": "self-check",
    r"mailbox": "request queue",
    r"turn(s|ed|ing)? down": "reject",
    r"stand[-_]ins?|standing[-_]in": "fallback copy",
    r"way back": "rollback",
    r"news": "event",
    r"told": "notified, said",
    r"troubles?|troubled": "incident; a failure of …",
    r"companions?": "dependents",
    r"(be|is|are|was|not) taken over": "superseded; applied; compromised",
    r"he|him|his|she|her": "they",
    r"(an|the|every|each) owner|owner's own": "operator; file owner",
    r"owners?[ _](up|edits?|deploys?|started|prefix)": "operator; updater's id",
    r"holders": "whoever has a slot, a lock; the pieces that can be written",
    r"(none|error|true|false|nothing|empty|list|file) where": "if, when",
    r"(only|except|even|not needed|taken|found|used|said) where (it|one|they|that|there|a|the|nobody|no)"
    r" (is|are|was|has|have|can|may|could|does|machine|registry|other)": "if, when",
}
WORDS = re.compile(
    r"(?<![A-Za-z])(?:" + "|".join(f"(?:{words})" for words in PRIVATE) + r")(?![A-Za-z])", re.IGNORECASE
)
# Words that are plain English in a sentence, and say nothing as a name in the program.
NAMES = {
    "case": "a word for the thing itself",
    "meant": "named, selected",
    "worked": "memo",
    "odd": "malformed",
}
PART = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # of a name such as `OddCredentials`

# A condition begins with "If"; "Where" is for places, and for the heads of tables.
CONDITION = re.compile(
    r"(?:^|[.:] |^- )Where (?:a|an|it|no|nobody|nothing|one|that|the|there|these|they|this)\b"
)

# Words of the outside: a mailbox that gets mail, an option of a library, a level of the public JSON, a name
# in the records of earlier versions.
ALLOWED = {
    "updater_core/status/facts.py": {"trouble"},
    "updater_core/status/markup.py": {"trouble"},
    "updater_core/status/page.py": {"trouble"},
    "updater_core/status/sections/history.py": {"trouble"},
    "updater_core/status/view.py": {"trouble"},
    "updater_core/state/records.py": {"troubles"},
    "updater_core/targets/compose/plan.py": {"companions"},
    "tests/integration/test_former_journal.py": {"companions"},
    "tests/unit/test_journal.py": {"companions"},
    "tests/unit/test_state.py": {"troubles"},
    "tests/unit/test_status_page.py": {"trouble"},
    "docs/comparison.md": {"learn"},
    "docs/webhook.md": {"mailboxes"},
    "tests/e2e/test_systemd_container.py": {"he"},  # `grep -hE`
    "tests/unit/test_challenge.py": {"he"},  # a quoted string cut by escapes
    "tests/unit/test_messages.py": {"room"},  # a chat's word for everybody
}


def sources() -> Iterator[Path]:
    yield ROOT / "docker_updater.py"
    for folder in ("updater_core", "tests", "scripts", "benchmarks"):
        yield from sorted(path for path in (ROOT / folder).rglob("*.py") if path != Path(__file__).resolve())


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


SHELL_SCRIPTS = [path for path in sorted((ROOT / "scripts").iterdir()) if path.is_file() and not path.suffix]
FURTHER = [
    *(ROOT / name for name in (".env.example", "CHANGELOG.md", "install.sh", "docker-updater.service")),
    *sorted(path for path in (ROOT / "ops").iterdir() if path.is_file()),
    *SHELL_SCRIPTS,
]


def prose(page: Path) -> str:
    """A document without its code, which holds public words."""
    text = re.sub(
        r"```.*?```", lambda block: "\n" * block[0].count("\n"), page.read_text(encoding="utf-8"), flags=re.S
    )
    return re.sub(r"`[^`\n]*`", "``", re.sub(r"\]\([^)]*\)", "]", text))


def private_words(text: str, allowed: frozenset[str] | set[str] = frozenset()) -> list[str]:
    """The lines with private words, each with its number."""
    return [
        f"{number}: {found[0]!r} in {line.strip()}"
        for number, line in enumerate(text.splitlines(), start=1)
        for found in WORDS.finditer(PART.sub(" ", line))
        if found[0].lower() not in allowed
    ]


@pytest.mark.parametrize("path", list(sources()), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_code_uses_no_private_words(path: Path) -> None:
    allowed = ALLOWED.get(str(path.relative_to(ROOT)), set())
    assert private_words(f"{path.name}\n{path.read_text(encoding='utf-8')}", allowed) == []


def program() -> Iterator[Path]:
    yield ROOT / "docker_updater.py"
    for folder in ("updater_core", "scripts", "benchmarks"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def names_of(tree: ast.AST) -> Iterator[str]:
    """Every name that a module gives: of a variable, an attribute, an argument, a function or a class."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


def names_that_say_nothing(text: str) -> set[str]:
    names = set(names_of(ast.parse(text)))
    return {name for name in names if not NAMES.keys().isdisjoint(PART.sub("_", name).lower().split("_"))}


@pytest.mark.parametrize("path", list(program()), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_program_gives_no_names_that_say_nothing(path: Path) -> None:
    assert names_that_say_nothing(path.read_text(encoding="utf-8")) == set()


def test_a_name_that_says_nothing_is_found() -> None:
    found = names_that_say_nothing("def is_meant(case):\n    # in any case\n    OddCase = case.lower()")
    assert found == {"is_meant", "case", "OddCase"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_documents_use_no_private_words(page: Path) -> None:
    assert private_words(prose(page), ALLOWED.get(str(page.relative_to(ROOT)), set())) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_condition_in_the_documents_begins_with_if(page: Path) -> None:
    lines = prose(page).splitlines()
    assert [line for line in lines if CONDITION.search(line) and not line.rstrip(" |").endswith("?")] == []


def test_a_condition_is_told_from_a_place() -> None:
    found = [
        line for line in ("- Where the port is open, close it.", "| What | Where |") if CONDITION.search(line)
    ]
    assert found == ["- Where the port is open, close it."]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_says_in_its_first_line_what_it_is_for(page: Path) -> None:
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.S)
    first = next(line for line in text.splitlines()[1:] if line.strip())
    assert re.match(r"[A-Z\[`]", first), f"it begins with {first!r}"
    assert len(first) > 60


@pytest.mark.parametrize("path", FURTHER, ids=lambda path: path.name)
def test_what_an_operator_reads_uses_no_private_words(path: Path) -> None:
    assert private_words(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "# the way back",
        "an owner's edit",
        "None where there is none",
        "his file",
        "mend_it()",
        "is_news = True",
        "class OddCredentials:",
        "one service's trouble",
        "owner_up_changes(shop)",
        "for name in holders:",
        "keys are taken only where the registry is one",
    ],
)
def test_a_private_word_is_found_in_comments_and_in_names(line: str) -> None:
    assert len(private_words(line)) == 1


def test_words_of_the_field_are_not_taken_for_private_ones() -> None:
    assert (
        private_words("the file owner; owner_rollback; a newsletter; OWNER_ROLLBACK; otherwise; the header")
        == []
    )
