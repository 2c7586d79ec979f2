"""A registry with settings is one folder and one line: a made-up one is added to a copy of the program, and
used.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_registry import Basic, FakeRegistry

ROOT = Path(__file__).resolve().parents[2]
TABLE = "updater_core/registries/vendors/__init__.py"

SETTINGS = '''
"""What can be said of Acme's registry. Pure."""

from dataclasses import dataclass

from updater_core.registries.vendors.vendor import Vendor
from updater_core.vocabulary.options import kinds
from updater_core.vocabulary.options.option import REGISTRY, TOP, Needs, Option
from updater_core.vocabulary.secret import Secret


@dataclass(frozen=True, slots=True)
class AcmeAccount:
    acme_key: Secret | None = None


@dataclass(frozen=True, slots=True)
class AcmeSettings:
    acme_tenant: str = "nobody"
    acme_shelf: str | None = None
    acme_login: str | None = None
    acme_pin: Secret | None = None


def _own(key, kind, doc, example, **more):
    return Option(REGISTRY, key, kind, None, doc, (example,), settings=AcmeSettings, **more)


VENDOR = Vendor(
    "acme",
    "updater_core.registries.vendors.acme.client",
    r"[a-z]+\\.acme\\.example",
    title="Acme",
    spellings=("acme-cloud",),
    options=(
        Option(TOP, "acme_key", kinds.SECRET, None, "The key of all of Acme.", ("${KEY}",),
               variable="ACME_KEY", settings=AcmeAccount),
        _own("acme_tenant", kinds.word("a tenant", "lower case letters", "[a-z]+"), "Acme: the tenant.",
             "shop"),
        _own("acme_shelf", kinds.PATH, "Acme: the folder of the shelf.", "shelf",
             see="[Acme](registries.md)"),
        _own("acme_login", kinds.TEXT, "Acme: an account.", "me", needs=Needs("acme_pin"), is_login=True),
        _own("acme_pin", kinds.SECRET, "Acme: its number.", "${PIN}", needs=Needs("acme_login")),
    ),
    is_https_only=True,
    environment=r"ACMELIB_\\w+",
    variables=("ACMELIB_ZONE",),
    reader="acmelib, for Acme.",
)
'''

CLIENT = '''
"""Acme's registry: the distribution protocol; the tenant is the user name, the key the password."""

from dataclasses import replace

from updater_core.registries.oci import OciRegistry
from updater_core.registries.session import site_of
from updater_core.registries.vendors.acme.settings import AcmeAccount, AcmeSettings


def open_registry(reference, settings, session):
    key, own = session.own(AcmeAccount).acme_key, settings.own(AcmeSettings)
    login = replace(settings, username=own.acme_tenant, password=key)
    return OciRegistry(site_of(reference, login, session.hub), session)
'''

READ = """
import json, sys
from pathlib import Path
from scripts import write_configuration_reference as reference
from updater_core import config_utils, logging_utils
from updater_core.app import wiring
from updater_core.config import options, schema
from updater_core.errors import ConfigError
from updater_core.host.clock import SystemClock
from updater_core.registries import Registries

folder = Path(sys.argv[1])
try:
    config = wiring.load_config({"CONFIG_FILE": str(folder / "config.json"), **json.loads(sys.argv[2])})
except ConfigError as error:
    sys.exit(json.dumps(error.problems))
service, settings = config.services[0], config.settings
registries = Registries(docker_config_dir=folder, clock=SystemClock(), vendors=settings.vendors)
example = Path("updater_config.json").read_text()
print(json.dumps({
    "digest": registries.for_service(service.image, service.registry).digest(service.image),
    "shown": repr(config),
    "logged": logging_utils.redact("the key is key-of-acme"),
    "schema": schema.schema(),
    "reference": reference.text_of(schema.schema(), example),
    "hidden": sorted(options.SECRET_VARIABLES),
    "libraries": config_utils.library_environment({"ACMELIB_ZONE": "1", "ACME_KEY": "1"}),
}))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program with one folder and one line more."""
    root = tmp_path_factory.mktemp("program")
    for name in ("updater_core", "scripts", "docker_updater.py", "updater_config.json"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    folder = root / "updater_core/registries/vendors/acme"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Acme."""\n')
    (folder / "settings.py").write_text(SETTINGS)
    (folder / "client.py").write_text(CLIENT)
    table = (root / TABLE).read_text()
    imported = "from updater_core.registries.vendors.acme import settings as acme\n"
    table = re.sub(
        r"^(?=from updater_core\.registries\.vendors\.docker_hub)", imported, table, flags=re.MULTILINE
    )
    added = table.replace("\n    google.VENDOR,\n", "\n    google.VENDOR,\n    acme.VENDOR,\n")
    assert added.count("acme") == 3
    (root / TABLE).write_text(added)
    return root


def read(
    program: Path, folder: Path, image: str, registry: Mapping[str, Any], **environment: str
) -> subprocess.CompletedProcess[str]:
    """What the program makes of a configuration of one service; a list of problems on stderr if it refuses
    it.
    """
    entry = {"name": "web", "image": image, "compose_file": "/srv/c.yml", "compose_service": "web"}
    kind = {"registry_type": "acme-cloud"} if image.startswith("127.") else {}
    raw = {"services": [{**entry, **kind, "registry_config": registry}]}
    (folder / "config.json").write_text(json.dumps(raw))
    words = [sys.executable, "-c", READ, str(folder), json.dumps(environment)]
    return subprocess.run(words, cwd=program, capture_output=True, text=True, check=False)


def test_a_registry_with_settings_is_one_folder_and_one_line(
    program: Path, tmp_path: Path, fake: FakeRegistry
) -> None:
    pushed = fake.push("team/app", "1.0")
    fake.auth = Basic("shop", "key-of-acme")
    own = {"acme_tenant": "shop", "acme_shelf": "shelf"}
    done = read(program, tmp_path, f"{fake.host}/team/app:1.0", own, ACME_KEY="key-of-acme")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["digest"] == pushed.digest  # its client was used, with its own settings and its account's
    assert f"acme_shelf='{tmp_path}/shelf'" in said["shown"]
    assert "key-of-acme" not in said["shown"]
    assert said["logged"] == "the key is ***"
    assert "ACME_KEY" in said["hidden"]  # from credential helpers
    assert said["libraries"] == {"ACMELIB_ZONE": "1"}
    _check_the_documents(said["schema"], said["reference"])


def _check_the_documents(schema: Mapping[str, Any], reference: str) -> None:
    registry, service = schema["$defs"]["registry_config"], schema["$defs"]["service"]
    assert registry["properties"]["acme_tenant"]["examples"] == ["shop"]
    assert registry["dependentRequired"]["acme_login"] == ["acme_pin"]
    assert {"acme", "acme-cloud"} <= {*service["properties"]["registry_type"]["anyOf"][0]["enum"]}
    assert "ACME_KEY" in schema["properties"]["acme_key"]["$comment"]
    assert "| `acme_tenant` | tenant | – | Acme: the tenant. |" in reference
    assert "See [Acme](registries.md)." in reference
    assert "| `acme_key` | text | – | `ACME_KEY` | The key of all of Acme. |" in reference
    assert "`ecr`, `gcr`, `acme` or `generic`" in reference
    assert "The keys for ECR, Google and Acme are taken only" in reference
    assert "| `ACMELIB_ZONE` | acmelib, for Acme. |" in reference


def test_what_is_wrong_with_its_settings_is_said_as_of_every_other(program: Path, tmp_path: Path) -> None:
    wrong = {
        "acme_tenant": "Shop",
        "acme_login": "me",
        "username": "u",
        "password": "p",
        "insecure_http": True,
        "region": "x",
    }
    done = read(program, tmp_path, "eu.acme.example/team/app:1.0", wrong)
    problems = [problem.partition("registry_config.")[2] for problem in json.loads(done.stderr)]
    assert problems == [
        "acme_tenant: it is not a tenant; write lower case letters",
        "acme_login: acme_pin is missing; write both or neither",
        "acme_login: a login besides username and password; write one of the two",
        "insecure_http: Acme is asked over https only; take it out",
        "region: it is for ecr, and this registry is acme; take it out",
    ]


def test_its_settings_are_for_its_own_registries_only(program: Path, tmp_path: Path) -> None:
    done = read(program, tmp_path, "ghcr.io/team/app:1.0", {"acme_tenant": "shop"})
    (problem,) = json.loads(done.stderr)
    assert problem.endswith("acme_tenant: it is for acme, and this registry is generic; take it out")
