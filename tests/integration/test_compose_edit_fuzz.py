"""Compose itself as the judge: what it reads before and after an edit differs in the image, and in nothing
else.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import newer_docker
from updater_core import reference
from updater_core.composefile.edit import Located, SourceFile, decode, encode, locate, put_back, set_image
from updater_core.composefile.env_values import assignments, environment
from updater_core.models import Edit

pytestmark = pytest.mark.engine

FILES = 40
DIGEST = "sha256:" + "3" * 64
UNIT = ("web", "twin")
# Ways to give `web` (and its twin) an image; each with what the env file holds for it. `{t}` is the old tail.
WAYS = (
    ("services:\n  web:\n    image: nginx{t} # nginx{t}\n  twin: {{image: 'nginx{t}'}}\n", ""),
    ('services:\n  web:\n    image:\t"nginx{t}"\n  twin:\n    extends: web\n', ""),
    ("x-t: &t\n  image: &i nginx{t}\nservices:\n  web: {{<<: *t}}\n  twin:\n    image: *i\n", ""),
    (
        (
            "x-a: &a {{image: nginx{t}}}\nx-b: &b {{image: busybox}}\nservices:\n  web: &w {{<<: [*a, "
            "*b]}}\n  twin: *w\n"
        ),
        "",
    ),
    (
        (
            "services:\n  web: &w\n    image: >-\n      nginx{t}\n\n    tty: true\n  twin:\n    <<: *w\n    "
            "init: true\n"
        ),
        "",
    ),
    (
        (
            "services:\n  web: &w\n    ? image\n    : nginx{t}\n  twin: *w\n---\nservices:\n  web:\n    "
            "hostname: late\n"
        ),
        "",
    ),
    (
        (
            "services: {{web: {{image: a}}, twin: {{image: nginx}}}}\n---\nservices: {{web: {{image: "
            "nginx{t}}}}}\n"
        ),
        "",
    ),
    (
        (
            '{{"services": {{"web": {{"image": "nginx{t}", "command": ["nginx{t}"]}}, "twin": {{"image": '
            '"nginx"}}}}}}'
        ),
        "",
    ),
    (
        "services:\n  web:\n    image: ${{IMG}}\n  twin:\n    image: $IMG\n",
        "A=1\nIMG=nginx:0.9\nexport IMG='nginx{t}' # nginx\nB=2\n",
    ),
    (
        "services:\n  web: &w\n    image: ${{IMG:-nginx:1}} # $$\n  twin: *w\n",
        "# IMG=x\r\nIMG = nginx{t}   # c\r\n",
    ),
    ("services:\n  web: &w\n    image: '${{IMG:-nginx{t}}}'\n  twin: *w\n", "OTHER=nginx{t}\n"),
    ("services:\n  web:\n    image: $IMG\n  twin:\n    image: $BASE\n", "BASE=nginx{t}\nIMG=${{BASE}}\n"),
    (
        "services:\n  web: &w\n    image: $IMG\n  twin: *w\n",
        "R=docker.io/library\nexport IMG=\"${{R}}/nginx{t}\" # c\nQ='$R'\n",
    ),
    ("services:\n  web: &w\n    image: $IMG\n  twin: *w\n", "IMG: ${{NOPE:-nginx{t}}}\nX=$$IMG\n"),
    (
        "services:\n  web:\n    image: ${{R:-docker.io/library}}/nginx{t}\n  twin:\n    image: $N{t}\n",
        "N=nginx\n",
    ),
)
OTHERS = (
    "  db:\n    image: nginx:1.2-alpine\n    environment: {{IMAGE: 'nginx:1.2', W: '$$IMG 🐳'}}\n",
    "  job:\n    image: busybox\n    command: echo nginx:1.2\n    labels: [a=nginx]\n",
    "",
)


def a_project(folder: Path, chance: random.Random, number: int) -> tuple[list[SourceFile], list[SourceFile]]:
    """A random project, written to `folder`."""
    tail = chance.choice([":1.2", "", f":1.2@{DIGEST}", f"@{DIGEST}", ":latest"])
    template, env = WAYS[number % len(WAYS)]
    text = template.format(t=tail)
    if text.startswith(("services", "x-")) and "---" not in text:
        text += chance.choice(OTHERS).format()
    if not template.startswith("{{"):
        text = chance.choice(["", "# 🐳 nginx:1.2\n"]) + text.replace("\n", chance.choice(["\n", "\r\n"]))
    files = [SourceFile(str(folder / "compose.yml"), chance.choice(["", "\ufeff"]) + text)]
    if chance.random() < 0.3:
        files.append(
            SourceFile(
                str(folder / "more.yml"), "services:\n  web:\n    image: nginx:1.1\n    restart: always\n"
            )
        )
    env_files = [SourceFile(str(folder / ".env"), env.format(t=tail))]
    write([*files, *env_files])
    return files, env_files


def write(files: list[SourceFile]) -> None:
    for file in files:
        Path(file.path).write_bytes(encode(file.text))


def config(folder: Path, files: list[SourceFile]) -> dict[str, Any]:
    """What Compose makes of the files, in an environment of its own."""
    named = [word for file in files for word in ("-f", file.path)]
    argv = ["docker", "compose", "-p", "fuzz", *named, "--profile", "*", "config", "--format", "json"]
    scrubbed = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ}
    done = subprocess.run(argv, cwd=folder, env=scrubbed, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, (done.stderr.decode(), [file.text for file in files])
    model = json.loads(done.stdout)
    # templates may change with them
    return {key: value for key, value in model.items() if not key.startswith("x-")}


def check(folder: Path, number: int) -> int:
    """One project through all: located as Compose reads it, changed alone, put back.

    How many files were edited.
    """
    folder.mkdir()
    chance = random.Random(number)
    files, env_files = a_project(folder, chance, number)
    before = config(folder, files)
    for name, service in before["services"].items():
        located = locate(files, env_files, name)
        assert isinstance(located, Located), located
        assert located.reference == service["image"], files
    target = reference.parse("nginx:1.3" + chance.choice(["", f"@{DIGEST[:-1]}4"]))
    edits = set_image(files, env_files, UNIT, target)
    assert isinstance(edits, tuple), (edits, files, env_files)
    write([SourceFile(edit.path, edit.after) for edit in edits])
    after = config(folder, files)
    for name in UNIT:
        old, new = (reference.parse(model["services"][name].pop("image")) for model in (before, after))
        is_digest_alone = old.digest and not old.tag and target.digest
        assert (new.name, new.tag, new.digest) == (
            old.name,
            None if is_digest_alone else target.tag,
            target.digest,
        )
    assert after == before
    assert_back(folder, edits)
    return len(edits)


def assert_back(folder: Path, edits: tuple[Edit, ...]) -> None:
    for edit in edits:
        back = put_back(decode((folder / edit.path).read_bytes()) + "\n# operator", edit)
        assert back == edit.before + "\n# operator"


ENV = """\
A=1.2
export B=${A} # c
C="$A-x"
D='${A}'
E=$A.z
F: ${A}
G=${LATER:-no}
LATER=5
H=${NOPE}
I=${A:+set}
J=$$A
K=${NOPE-${C}}
L="${B}
two lines"
M=a ${A}	# a tab
TWICE=1
N=$TWICE
TWICE=2
O="a\\$A"
P=${NOPE:-"q"}
"""


@pytest.mark.parametrize("compose", ["own", "newer"])
def test_values_of_an_env_file_are_what_compose_makes_of_them(
    engine: str, tmp_path: Path, compose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not known is never guessed."""
    if compose == "newer":
        newer_docker.use_compose(monkeypatch)
    known = environment([assignments(ENV)]).values
    labels = "".join(f"      {name}: '${{{name}-unset}}'\n" for name in known)
    text = f"services:\n  web:\n    image: nginx\n    labels:\n{labels}"
    files = [SourceFile(str(tmp_path / "compose.yml"), text)]
    write([*files, SourceFile(str(tmp_path / ".env"), ENV)])
    read = config(tmp_path, files)["services"]["web"]["labels"]
    plain = {name: value.replace("$$", "$") for name, value in read.items()}
    assert {name: value for name, value in known.items() if value is not None} == {
        name: value for name, value in plain.items() if known[name] is not None
    }
    assert [name for name, value in known.items() if value is None] == ["O"]


def test_compose_sees_only_the_image_change(engine: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        edited = list(pool.map(lambda number: check(tmp_path / str(number), number), range(FILES)))
    assert sum(edited) >= FILES
