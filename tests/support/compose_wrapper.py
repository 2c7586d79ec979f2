"""Composes that cannot be had here: the real one, whose dry run is printed as another one prints it.

Whatever is not a dry run is the real Compose's own. Used as a program, it is the plugin `docker-compose`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_PLUGIN = """\
#!/bin/sh
PYTHONPATH={root!r} exec {python!r} -m tests.support.compose_wrapper {form!r} {real!r} "$@"
"""
_LINE = re.compile(r" DRY-RUN MODE -\s+(Container|Network|Volume) (\S+)\s+(\S.*?)\s*$")
FORMS = ("5 plain", "5 json", "unknown words", "nothing")


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, form: str) -> None:
    """For the rest of the test, `docker compose` prints its dry runs in `form`."""
    plugin = folder / "config" / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir(parents=True)
    root = str(Path(__file__).resolve().parents[2])
    plugin.write_text(_PLUGIN.format(root=root, python=sys.executable, form=form, real=_real()))
    plugin.chmod(0o755)
    monkeypatch.setenv("DOCKER_CONFIG", str(folder / "config"))


def _real() -> str:
    words = [
        "docker",
        "info",
        "--format",
        '{{range .ClientInfo.Plugins}}{{if eq .Name "compose"}}{{.Path}}{{end}}{{end}}',
    ]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def main(form: str, real: str, *words: str) -> int:
    """Be the plugin."""
    if "--dry-run" not in words:
        os.execv(real, [real, *words])  # noqa: S606
    wants_json = any(pair == ("--progress", "json") for pair in itertools.pairwise(words))
    if wants_json and form != "5 json":
        print('unsupported --progress value "json"', file=sys.stderr)
        return 1
    plain = [word for word in words if not (wants_json and word in ("--progress", "json"))]
    done = subprocess.run([real, *plain], capture_output=True, text=True, check=False)
    sys.stdout.write(done.stdout)
    for line in done.stderr.splitlines():
        for printed in _printed(line, form if wants_json or form != "5 json" else "5 plain"):
            print(printed, file=sys.stderr)
    return done.returncode


def _printed(line: str, form: str) -> list[str]:
    match = _LINE.match(line)
    if match is None:
        return [line]
    kind, name, action = match.groups()
    if form == "5 json":
        status = "Working" if re.search(r"(ing|Recreate)$", action) and action != "Running" else "Done"
        return [json.dumps({"id": f"{kind} {name}", "status": status, "text": action}, separators=(",", ":"))]
    if form == "5 plain":
        return [f" {kind} {name} {action} "] * (2 if kind == "Network" else 1)
    if form == "unknown words":
        return [f" {kind} {name} {'kept' if action == 'Running' else 'replaced'} "]
    return []


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
