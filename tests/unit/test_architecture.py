"""The architecture: who imports whom, what is pure, what is loaded when, how large things are."""

from __future__ import annotations

import ast
import functools
import itertools
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import updater_core
from updater_core.models import Plan
from updater_core.targets.compose import ComposePlan
from updater_core.targets.table import HOW, TABLE, WHERE

ROOT = Path(__file__).resolve().parents[2]
CORE, ENTRY_POINT = ROOT / "updater_core", ROOT / "docker_updater.py"
SOURCES = {
    **{
        ".".join(p.relative_to(CORE).with_suffix("").parts).removesuffix(".__init__"): p
        for p in CORE.rglob("*.py")
    },
    "docker_updater": ENTRY_POINT,
}
del SOURCES["__init__"]  # the docstring with the layers, and the version
MODULES = sorted(SOURCES)
IMPURE = {
    "os",
    "sys",
    "time",
    "io",
    "random",
    "requests",
    "docker",
    "subprocess",
    "socket",
    "shutil",
    "logging",
}
LAZY = ("boto3", "botocore", "google.auth", "rich", "prometheus_client", "regex", "cryptography")
MOST_LINES_OF_A_FUNCTION, MOST_LINES_OF_A_FILE, MOST_MODULES_OF_A_FOLDER = 40, 400, 14
LONGEST_IMPORT_CHAIN = 12
LONGER = {"models": 600}  # cut in more parts, a newcomer would have to look for each word in all of them
MOST_DECISIONS_OF_A_STATEMENT = 3
PURE = ("policy", "composefile", "models", "vocabulary", "errors", "semver_utils", "config")


def layers() -> list[list[str]]:
    """The packages and modules of each layer, lowest first, as the package's docstring lists them."""
    numbered = re.split(r"\n\d\. ", updater_core.__doc__ or "")[1:]
    return [re.findall(r"`(\w+)`", text.partition(":")[2]) for text in numbered]


def package_of(module: str) -> str:
    return module.partition(".")[0]


ORDER = {package: place for place, package in enumerate(itertools.chain(*layers()))}


def tree(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text(encoding="utf-8"))


def imported(module: str) -> Iterator[str]:
    """Every name that a module imports anywhere in it, also inside functions: `os.path`,
    `updater_core.files`.
    """
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_modules(module: str) -> set[str]:
    """The modules of ours that a module imports: the longest name that is one, so no package for a module in
    it.
    """
    found = set()
    for name in imported(module):
        if name.partition(".")[0] in ("updater_core", "docker_updater"):
            parts = name.removeprefix("updater_core.").split(".")
            tails = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
            found |= set(itertools.islice((tail for tail in tails if tail in SOURCES), 1))
    return found - {module}


def functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (n for n in ast.walk(tree(module)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_package_is_listed_once_and_every_listed_one_exists() -> None:
    listed = list(itertools.chain(*layers()))
    assert sorted(listed) == sorted({package_of(module) for module in MODULES})


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    own = package_of(module)
    upward = {other for other in own_modules(module) if ORDER[package_of(other)] > ORDER[own]}
    assert not upward, f"{module} is below what it imports"


def test_no_folder_holds_too_many_modules() -> None:
    folders = Counter(path.parent for path in CORE.rglob("*.py"))
    assert not {folder: count for folder, count in folders.items() if count > MOST_MODULES_OF_A_FOLDER}


def test_import_chains_are_short() -> None:
    @functools.cache
    def depth(module: str) -> int:
        return 1 + max((depth(other) for other in own_modules(module)), default=0)

    longest = max(MODULES, key=depth)
    assert depth(longest) <= LONGEST_IMPORT_CHAIN, f"{longest} stands on {depth(longest)} levels"


def test_imports_run_in_no_circle() -> None:
    try:
        TopologicalSorter({module: own_modules(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(f"imports go round: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("module", [m for m in MODULES if package_of(m) in PURE])
def test_pure_modules_import_nothing_that_acts(module: str) -> None:
    assert not IMPURE & {name.partition(".")[0] for name in imported(module)}


COMPOSE_WORDS = {
    "project",
    "moves",
    "edits",
    "dependent_projects",
    "platform",
    "with_dependencies",
    "prior_image_id",
    "former_tags",
    "allow_volume_change",
    "handover",
    "sources",
    "model_digest",
    "further",
    "also_changed",
    "dependents",
    "old_image_id",
    "located",
}
NEUTRAL = ("app", "deploy", "state", "notifiers", "status", "docker_updater")


@pytest.mark.parametrize("module", [m for m in MODULES if package_of(m) in NEUTRAL])
def test_only_its_own_target_reads_what_a_plan_holds_for_compose(module: str) -> None:
    read = {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    allowed = {"platform"}  # a service's, and a target's question of the same name
    assert not read & (COMPOSE_WORDS - allowed)


@pytest.mark.parametrize("module", [m for m in MODULES if package_of(m) in NEUTRAL])
def test_only_its_own_target_reads_the_detail_of_a_plan(module: str) -> None:
    """Of any target: what follows on `.detail` is a method of a text."""
    attributes = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)]
    within = [
        node for node in attributes if isinstance(node.value, ast.Attribute) and node.value.attr == "detail"
    ]
    assert [node.attr for node in within if node.attr not in dir(str)] == []


TARGETS_WORDS = {
    *(option.path or option.key for option in (*WHERE, *HOW)),
    *(option.key for option in (*WHERE, *HOW)),
}


@pytest.mark.parametrize("module", [m for m in MODULES if package_of(m) in NEUTRAL])
def test_nothing_neutral_asks_which_target_a_service_is_deployed_to(module: str) -> None:
    """Its options say that, and its files; a target is asked what it does with the service."""
    read = {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert not read & (TARGETS_WORDS - {"engine"})  # this host's, most often


KINDS = "|".join(kind.name for kind in TABLE)


@pytest.mark.parametrize("module", [m for m in MODULES if package_of(m) != "targets"])
def test_a_target_is_known_by_the_table_alone(module: str) -> None:
    """One more is a folder and a line there."""
    assert not {other for other in own_modules(module) if re.match(rf"targets\.({KINDS})\b", other)}


@pytest.mark.parametrize("module", [m for m in MODULES if re.match(rf"targets\.({KINDS})\b", m)])
def test_targets_do_not_know_each_other(module: str) -> None:
    own = module.split(".")[1]
    found = [re.match(rf"targets\.({KINDS})\b", other) for other in own_modules(module)]
    of_targets = {match[1] for match in found if match}
    assert of_targets <= {own}
    assert "targets.table" not in own_modules(module)


def test_a_neutral_plan_has_none_of_the_words_of_compose() -> None:
    neutral, own = ({field.name for field in fields(kind)} for kind in (Plan, ComposePlan))
    assert not neutral & own
    assert own <= COMPOSE_WORDS


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith(("deploy.", "targets."))])
def test_a_deployment_knows_no_vendor(module: str) -> None:
    vendors = {"compose_utils", "registry_utils", "registries", "notifiers", "metrics_utils"}
    assert not vendors & {other.partition(".")[0] for other in own_modules(module)}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_has_a_name_that_says_nothing(module: str) -> None:
    assert not re.search(r"helper|common|manager|misc|utilities", module)


def counted_lines(text: Sequence[str]) -> int:
    """Lines of comment are free, or a reason would be left out to save one."""
    return sum(not line.lstrip().startswith("#") for line in text)


def test_a_comment_counts_for_no_limit() -> None:
    assert counted_lines(["def f():", "    # because", "    return 1  # one", ""]) == 3


@pytest.mark.parametrize("module", MODULES)
def test_no_function_is_longer_than_a_screen(module: str) -> None:
    text = SOURCES[module].read_text(encoding="utf-8").splitlines()
    sizes = {f.name: counted_lines(text[f.lineno - 1 : f.end_lineno]) for f in functions(module)}
    assert not {name: lines for name, lines in sizes.items() if lines > MOST_LINES_OF_A_FUNCTION}


@pytest.mark.parametrize("module", MODULES)
def test_no_file_has_grown_too_long(module: str) -> None:
    lines = counted_lines(SOURCES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGER.get(module, MOST_LINES_OF_A_FILE), (
        f"{module} has {lines} lines: take a subject out of it"
    )


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def own_expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions of a statement, without those of the statements within it."""
    waiting = [*ast.iter_child_nodes(statement)]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield node
            waiting += ast.iter_child_nodes(node)


def decisions(statement: ast.stmt) -> int:
    """How often a reader of a statement has to think of two ways: conditions, loops of comprehensions,
    filters.
    """
    count = 0
    for node in own_expressions(statement):
        if isinstance(node, ast.IfExp):
            count += 1
        elif isinstance(node, ast.comprehension):
            count += 1 + len(node.ifs)
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
    return count


READ_BY_NEWCOMERS = [
    *SOURCES.values(),
    *sorted(ROOT.glob("scripts/*.py")),
    *sorted(ROOT.glob("benchmarks/*.py")),
    *sorted(ROOT.glob("tests/support/**/*.py")),
]


@pytest.mark.parametrize("path", READ_BY_NEWCOMERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_statement_is_dense(path: Path) -> None:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    bodies = [n for n in nodes if isinstance(n, ast.stmt) and not isinstance(n, ast.ClassDef)]
    dense = {n.lineno: decisions(n) for n in bodies if decisions(n) > MOST_DECISIONS_OF_A_STATEMENT}
    assert not dense, f"give names to the values in between; line and decisions: {dense}"


@pytest.mark.parametrize("path", READ_BY_NEWCOMERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_comprehension_stands_in_another(path: Path) -> None:
    """The inner one gets a name, or a function."""
    outer = [
        n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, COMPREHENSIONS)
    ]
    nested = [n.lineno for n in outer if sum(isinstance(each, COMPREHENSIONS) for each in ast.walk(n)) > 1]
    assert not nested, f"give a name to the inner value; lines: {nested}"


def test_two_classes_never_share_a_name() -> None:
    """In the program, the demo, the benchmarks, and what the tests share."""
    code = [CORE, *(ROOT / folder for folder in ("scripts", "benchmarks", "tests/support"))]
    found: dict[str, set[str]] = {}
    for path in (path for folder in code for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).add(str(path))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


@functools.cache
def code_of(module: str) -> str:
    """The code of a module without its docstrings and comments."""
    found = tree(module)
    for node in ast.walk(found):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body[0] = ast.Pass()
    return ast.unparse(found).replace("'", '"')


# What there must be one of: how it is recognised in a text, and the modules that may have it.
ONLY_ONE = {
    "an aware time": (r"\bMeta\(tz=", {"vocabulary.dated"}),
    "cache class": (r"\bcachetools\b|\bOrderedDict\b|\bWeak\w+Dictionary\b", {"caching.cache"}),
    "single flight": (r"\bFuture\(|class \w*Flight", {"caching.single_flight"}),
    "file stamp": (r"st_ctime|class \w*Stamp\b", {"host.stamp"}),
    # beside the stamp: a file's identity in the journal, the state's place, the length of an order
    "file's size and time": (
        r"\bst_(mtime|size|ino)|\bgetmtime\b|\bgetsize\b",
        {"host.stamp", "host.files", "state.identity", "app.orders.request_queue"},
    ),
    "paging generator": (r"(while|range\().*\b(cursor|page|token|\w*PAGES)\b", {"registries.paging"}),
    "is_loopback": (r"def is_loopback|\.is_loopback\b", {"net.url_rules"}),
    # the others split a tag from a name, or the ports of a mapping
    "port stripping": (
        r"""rpartition\(":"\)|:\(?\\d\+\)?\$""",
        {
            "net.url_rules", "reference", "docker_utils", "deploy.retention_tags", "status.text",
            "targets.compose.start_first.conditions",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ONLY_ONE)
def test_there_is_only_one(what: str) -> None:
    pattern, places = ONLY_ONE[what]
    texts = {module: code_of(module) for module in MODULES}
    assert {module for module, text in texts.items() if re.search(pattern, text)} == places


def test_what_is_remembered_for_ever_is_worked_out_and_not_read() -> None:
    """A function with `lru_cache` never looks again: what a file says is kept in a `Cache`, by its stamp."""
    found = [
        f"{module}.{node.name}"
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef) and "cache" in " ".join(map(ast.unparse, node.decorator_list))
        if re.search(r"\bPath\b|\bopen\(|\.read_(text|bytes)\b|\bfiles\.|environ", ast.unparse(node))
    ]
    assert found == []


PAGED = [m for m in MODULES if re.search(r"nextToken|next_link\(", code_of(m))]


@pytest.mark.parametrize("module", PAGED)
def test_whoever_reads_where_a_list_goes_on_reads_it_by_the_one_generator(module: str) -> None:
    assert own_modules(module) & {"registries.paging", "registries.tag_api"}


# An object's own dictionaries that are no cache: why nothing in them is forgotten by number or age.
NO_CACHES = {
    "app.cycle.Cycle._checked": "of one cycle",
    "caching.single_flight.SingleFlight._answers": "of one cycle, or what a process has one of",
    "caching.single_flight.SingleFlight._under_way": "as long as somebody waits",
    "compose_utils.DockerCompose._forms": "what the command of this host understands: one or two",
    "composefile.aliases.Uses._services_with": "of one text",
    "deploy.progress.StepTimes._updates": "of updates that are under way",
    "host.clock.SystemClock._workers": "as long as a thread works",
    "host.pull_progress.PullProgress._tasks": "of one pull",
    "host.signals.SignalInbox._came": "until a signal is taken out",
    "metrics_utils.Metrics._families": "the metrics there are",
    "registries.auth.refused.RefusedLogins._refusals": "records, saved with the state",
    "registries.transport.Transport._hosts": "records, saved with the state",
    "registries.vendors.ecr.batch.Batches._asked": "of one cycle",
    "registries.vendors.ecr.batch.Batches._expected": "of one cycle",
    "registries.vendors.ecr.batch.Batches._answers": "of one cycle",
    "status.server._Server._begun": "as long as a connection is open",
    "swarm_utils.SwarmManagers._clients": "as long as a connection is open",
    "swarm_utils.Swarms._opened": "one of each engine of the configuration",
}


EMPTY_DICTIONARY = (
    r"^(\{\}|(collections\.)?(dict|defaultdict|OrderedDict)\(.*\)"
    r"|field\(default_factory=(dict|OrderedDict)\b.*)$"
)


def lasting_dictionaries(module: str) -> Iterator[str]:
    """The private attributes of a module's classes that begin as an empty dictionary."""
    for defining in (node for node in ast.walk(tree(module)) if isinstance(node, ast.ClassDef)):
        for node in ast.walk(defining):
            if not isinstance(node, ast.AnnAssign | ast.Assign) or node.value is None:
                continue
            (target, *_) = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            is_field = isinstance(target, ast.Name) and node in defining.body
            is_empty = re.search(EMPTY_DICTIONARY, ast.unparse(node.value))
            kind = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else "dict"
            name = target.attr if isinstance(target, ast.Attribute) else ast.unparse(target)
            is_own = name.startswith("_") and (is_field or isinstance(target, ast.Attribute))
            if is_own and is_empty and "Mapping[" not in kind:
                yield f"{module}.{defining.name}.{name}"


def test_what_may_be_forgotten_is_in_the_one_cache() -> None:
    found = {name for module in MODULES for name in lasting_dictionaries(module)}
    assert found == set(NO_CACHES)


# Called by the classes of libraries that ours derive from, and what status.json and the configuration name by
# text.
CALLED_BY_OTHERS = {
    "_new_conn", "_tunnel", "cert_verify", "rotate", "allow_reuse_address", "daemon_threads",
    "request_queue_size",
    "verify_request", "service_actions", "handle_error", "version_string", "log_message", "is_healthy",
    "at_hand",
    "headline", "STOP_FIRST",
    "earlier_names",  # install.sh
}  # fmt: skip


def defined(module: str) -> Iterator[str]:
    """The functions, methods, classes and constants of a module; fields are data."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("__"):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def used(path: Path) -> Iterator[str]:
    """Every name that a file reads, also as a text, as `getattr` or a table may."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_nothing_is_defined_that_only_tests_use() -> None:
    scripts = [*(ROOT / "scripts").glob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    names = {name for path in (*SOURCES.values(), *scripts) for name in used(path)} | CALLED_BY_OTHERS
    own = {module: [name for name in defined(module) if not name.startswith("__")] for module in MODULES}
    assert [f"{module}.{name}" for module, found in own.items() for name in found if name not in names] == []


MODULE_OF = {
    "google-auth": "google.auth",
    "python-dotenv": "dotenv",
    "PyYAML": "yaml",
    "MarkupSafe": "markupsafe",
}
ONLY_DATA = {"tzdata"}


def test_every_requirement_is_imported() -> None:
    lines = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    wanted = {re.split(r"[<>=]", line)[0] for line in lines if line and not line.startswith("#")} - ONLY_DATA
    names = {name for module in MODULES for name in imported(module)}
    missing = {
        each
        for each in wanted
        if not any(f"{name}.".startswith(f"{MODULE_OF.get(each, each)}.") for name in names)
    }
    assert missing == set()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(tree(module))


def test_what_is_rarely_needed_is_imported_when_it_is_needed() -> None:
    code = f"import docker_updater, sys; print([name for name in {LAZY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.xdist_group("of one")
def test_tests_of_one_group_run_in_one_process(request: pytest.FixtureRequest) -> None:
    """xdist marks the group in the name; tests that share a machine's one installer or engine rely on it."""
    if request.config.getoption("loadgroup", default=False):
        assert request.node.nodeid.endswith("@of one")


def test_no_detector_of_character_sets_is_loaded() -> None:
    """It would take 3 MB of the budget, for nothing."""
    words = "import sys, docker_updater, requests; print(bool(sys.modules.get('charset_normalizer')))"
    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
