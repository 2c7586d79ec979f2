"""Docstrings have one form: what ruff's D rules do not see of it.

ruff holds that the first line is one sentence with a final period, and that a blank line follows it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    ROOT / "docker_updater.py",
    *sorted((ROOT / "updater_core").rglob("*.py")),
    *sorted((ROOT / "scripts").glob("*.py")),
    *sorted((ROOT / "benchmarks").glob("*.py")),
    *sorted((ROOT / "ops").glob("*.py")),
]

# A function's first line begins with what it does: "Return whether …", never "Whether …" or "The …".
FRAGMENT = re.compile(
    r"[^A-Z]|(The|An?|What|Whether|How|Which|Where|When|Why|Who|Whose|Everything|All|One|Each|Every|Those|These|That"
    r"|Some|Nothing|No|None|True|False|If|Of|In|As|At|It|Its|Our|Such|This|Only|Any|Called|[A-Z][a-z]{2,}ing)\b"
)
BARE_ERROR = re.compile(r"Raises [A-Z]\w+(?:(?:, | or | and |, and )[A-Z]\w+)*(?=\.|$)")


@dataclass(frozen=True)
class Definition:
    """A function or class of the code, its name with the classes around it, and its class if it has one."""

    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    within: ast.ClassDef | None

    @property
    def is_public(self) -> bool:
        return not any(part.startswith("_") for part in self.name.split("."))

    @property
    def text(self) -> str:
        return ast.get_docstring(self.node) or ""

    @property
    def is_function(self) -> bool:
        return not isinstance(self.node, ast.ClassDef)


def definitions(tree: ast.Module) -> Iterator[Definition]:
    """Yield what modules and classes define; a function's own functions are its own matter."""
    waiting: list[tuple[str, ast.ClassDef | None, ast.AST]] = [("", None, child) for child in tree.body]
    while waiting:
        prefix, within, node = waiting.pop(0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Definition(prefix + node.name, node, within)
        elif isinstance(node, ast.ClassDef):
            yield Definition(prefix + node.name, node, within)
            waiting += [(f"{prefix}{node.name}.", node, child) for child in node.body]


def is_protocol(node: ast.ClassDef | None) -> bool:
    names = [ast.unparse(base).partition("[")[0] for base in node.bases] if node else []
    return "Protocol" in names


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


PROMISED = {
    each.node.name for path in SOURCES for each in definitions(parsed(path)) if is_protocol(each.within)
}
BASES = {
    each.name: [ast.unparse(base) for base in each.node.bases]
    for path in SOURCES
    for each in definitions(parsed(path))
    if isinstance(each.node, ast.ClassDef) and each.is_public
}


def is_error(name: str) -> bool:
    return name in ("Exception", "ValueError", "OSError") or any(map(is_error, BASES.get(name, ())))


OUR_ERRORS = {name for name in BASES if is_error(name)}


def undocumented(each: Definition) -> bool:
    """Return whether a public name says nothing; a method that a protocol describes need not say it again."""
    is_described = each.within is not None and not is_protocol(each.within) and each.node.name in PROMISED
    return each.is_public and not each.text and not is_described


def raised(node: ast.AST) -> set[str]:
    """Return the classes of errors that a function's own statements raise and do not catch."""
    if isinstance(node, ast.Raise):
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return {error.id} if isinstance(error, ast.Name) else set()
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
        return set()
    found = {name for child in ast.iter_child_nodes(node) for name in raised(child)}
    if isinstance(node, ast.Try):
        tried = {name for child in node.body for name in raised(child)}
        caught = {
            part for each in node.handlers if each.type for part in re.findall(r"\w+", ast.unparse(each.type))
        }
        later = [*node.handlers, *node.orelse, *node.finalbody]
        found = (tried - caught) | {name for child in later for name in raised(child)}
    return found


def unnamed_errors(each: Definition) -> set[str]:
    """Return the errors of ours that a public function raises and does not mention."""
    statements = each.node.body if each.is_function and each.is_public else []
    own = {name for statement in statements for name in raised(statement)} & OUR_ERRORS
    promised = each.within is not None and not each.text  # said by the protocol
    return set() if promised else {name for name in own if name not in each.text}


def faults(each: Definition) -> Iterator[str]:
    if undocumented(each):
        yield "has no docstring"
    if each.is_function and FRAGMENT.match(each.text):
        yield f"its docstring does not begin with what it does: {each.text.splitlines()[0]}"
    for found in BARE_ERROR.findall(each.text):
        yield f"when? {found}"
    for name in sorted(unnamed_errors(each)):
        yield f"raises {name} and does not say so"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_have_the_form(path: Path) -> None:
    found = [f"{each.name}: {fault}" for each in definitions(parsed(path)) for fault in faults(each)]
    assert found == []


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("def f(): ...", "has no docstring"),
        ("class A:\n    @property\n    def b(self): return 1", "has no docstring"),
        ("def f():\n    'Whether it is.'", "does not begin"),
        ("def f():\n    'The name.'", "does not begin"),
        ("def _f():\n    'Checking a name.'", "does not begin"),
        ("def f():\n    'Return it. Raises StateError.'", "when? Raises StateError"),
        ("def f():\n    'Return it. Raises StateError, RegistryError or OSError.'", "when?"),
        ("def f():\n    'Return it.'\n    if 1:\n        raise StateError('x')", "raises StateError"),
        (
            "def f():\n    'Do it.'\n    try:\n        raise StateError\n"
            "    except StateError:\n        raise Stopped",
            "raises Stopped",
        ),
    ],
)
def test_a_fault_of_form_is_found(code: str, fault: str) -> None:
    assert fault in "; ".join(text for each in definitions(ast.parse(code)) for text in faults(each))


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n    'Return whether it is.'",
        "class A:\n    'The name.'",
        "def _f(): ...",
        "class A:\n    'B.'\n    def digest(self, reference): ...",
        "def f():\n    'Return it. Raises StateError if it is none.'\n    raise StateError('x')",
        "def f():\n    'Do it.'\n    try:\n        raise StateError\n    except StateError:\n        pass",
    ],
)
def test_the_form_itself_is_no_fault(code: str) -> None:
    assert [text for each in definitions(ast.parse(code)) for text in faults(each)] == []
