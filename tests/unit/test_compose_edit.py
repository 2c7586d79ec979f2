"""Every form in which a compose file can name an image: found, changed alone, put back, or rejected."""

from __future__ import annotations

import cProfile
from collections.abc import Callable, Sequence

import pytest
import yaml

from updater_core import reference
from updater_core.composefile.edit import (
    Located,
    NotEditable,
    SourceFile,
    decode,
    encode,
    locate,
    put_back,
    set_image,
)
from updater_core.composefile.yaml_nodes import documents, is_same_but
from updater_core.models import Edit, Mark, Reason

OLD_DIGEST = "sha256:" + "0" * 63 + "1"
NEW_DIGEST = "sha256:" + "0" * 63 + "2"
BOM = "\ufeff"


def a_file(text: str, path: str = "/srv/app/compose.yml") -> SourceFile:
    return SourceFile(path, text)


def an_env(text: str, path: str = "/srv/app/.env") -> SourceFile:
    return SourceFile(path, text)


def change(
    files: str | Sequence[SourceFile],
    target: str = "nginx:1.3",
    services: Sequence[str] = ("web",),
    env: str | Sequence[SourceFile] | None = None,
) -> tuple[Edit, ...] | NotEditable:
    given = [a_file(files)] if isinstance(files, str) else files
    env_files = [an_env(env)] if isinstance(env, str) else env or []
    return set_image(given, env_files, services, reference.parse(target))


def changed(*args: object, **kwargs: object) -> str:
    """The new text of the one file that changes."""
    edits = change(*args, **kwargs)  # type: ignore[arg-type]
    assert isinstance(edits, tuple), edits
    (edit,) = edits
    return edit.after


def refusal(*args: object, **kwargs: object) -> NotEditable:
    answer = change(*args, **kwargs)  # type: ignore[arg-type]
    assert isinstance(answer, NotEditable), answer
    assert answer.remedy
    return answer


def found(text: str, service: str = "web", env: str | None = None) -> Located:
    answer = locate([a_file(text)], [an_env(env)] if env is not None else [], service)
    assert isinstance(answer, Located), answer
    assert (answer.place is None) != (answer.obstacle is None)
    return answer


# ---------------------------------------------------------------------------------------------- literal forms

FORMS = {
    "plain": "services:\n  web:\n    image: @@\n",
    "plain with a comment": "services:\n  web:\n    image: @@   # not nginx:1.2 any more\n",
    "single quoted": "services:\n  web:\n    image: '@@'\n",
    "double quoted": 'services:\n  web:\n    image: "@@"\n',
    "flow": "services: {web: {image: @@, ports: ['80:80']}}\n",
    "json": '{"services": {"web": {"image": "@@", "command": ["nginx:1.2"]}}}',
    "value on the next line": "services:\n  web:\n    image:\n      @@\n    restart: always\n",
    "quoted keys": "'services':\n  \"web\":\n    'image': @@\n",
    "complex key": "services:\n  web:\n    ? image\n    : @@\n",
    "document markers": "%YAML 1.1\n---\nservices:\n  web:\n    image: @@\n...\n",
    "anchor": "services:\n  web:\n    image: &img @@\n",
    "tag": "services:\n  web:\n    image: !!str @@\n",
    "anchor and tag and quotes": "services:\n  web:\n    image: &a-b_c !!str '@@'\n",
    "verbatim tag": "services:\n  web:\n    image: !<tag:yaml.org,2002:str> @@\n",
    "anchor, comment, next line": "services:\n  web:\n    image: &img # nginx:1.2\n      @@\n",
    "crlf": "services:\r\n  web:\r\n    image: @@\r\n    restart: always\r\n",
    "lone cr": "services:\r  web:\r    image: @@\r    restart: always\r",
    "byte-order mark": BOM + "services:\n  web:\n    image: @@\n",
    "byte-order mark and crlf": BOM + "services:\r\n  web:\r\n    image: '@@'\r\n",
    "tabs": "services:\n  web:\n    image:\t@@\t# nginx:1.2\n",
    "no final newline": "services:\n  web:\n    image: @@",
    "emoji before": "# 🐳 größer 日本\nservices:\n  web:\n    labels: {a: 🐳🐳}\n    image: @@\n",
    "folded block": "services:\n  web:\n    image: >-\n      @@\n\n    restart: always\n",
    "literal block": "services:\n  web:\n    image: |-  # nginx:1.2\n      @@\n",
    "x- template": "x-web: &web\n  image: @@\nservices:\n  web: *web\n",
    "merge": "x-web: &web\n  image: @@\nservices:\n  web:\n    <<: *web\n    restart: always\n",
    (
        "merge list, left wins"
    ): "x-a: &a {image: @@}\nx-b: &b {image: nginx:1.2}\nservices: {web: {<<: [*a, *b]}}\n",
    "explicit before merge": "x-a: &a {image: nginx:1.2}\nservices:\n  web:\n    <<: *a\n    image: @@\n",
    "merge in a merge": "x-a: &a {image: @@}\nx-b: &b {<<: *a}\nservices: {web: {<<: *b}}\n",
    "merged services": "x-all: &all\n  web: {image: @@}\nservices:\n  <<: *all\n",
    "image scalar in x-": "x-image: &image @@\nservices:\n  web:\n    image: *image\n",
    "tags elsewhere": (
        "services:\n  web:\n    image: @@\n    ports: !override ['80:80']\n    env_file: !reset []\n"
    ),
    "second document": "services:\n  web:\n    image: nginx:1.0\n---\nservices:\n  web:\n    image: @@\n",
    (
        "first of two documents"
    ): "services:\n  web:\n    image: @@\n---\nservices:\n  web:\n    restart: always\n",
    (
        "empty image in a later document"
    ): "services:\n  web:\n    image: @@\n---\nservices:\n  web:\n    image:\n",
    (
        "the same text beside it"
    ): "services:\n  web:\n    image: @@\n    labels: ['nginx:1.2']\n  b: {image: nginx:1.2}\n",
}


@pytest.mark.parametrize("template", FORMS.values(), ids=FORMS.keys())
class TestAForm:
    """One way to write `nginx:1.2` (at @@)."""

    def test_only_the_reference_changes(self, template: str) -> None:
        assert changed(template.replace("@@", "nginx:1.2")) == template.replace("@@", "nginx:1.3")

    def test_its_place_is_exactly_the_reference(self, template: str) -> None:
        text = template.replace("@@", "nginx:1.2")
        located = found(text)
        assert located.place is not None
        assert (located.reference, located.place.start) == ("nginx:1.2", template.index("@@"))
        assert text[located.place.start : located.place.end] == "nginx:1.2"

    def test_it_goes_back_in_a_file_its_operator_has_edited(self, template: str) -> None:
        (edit,) = change(template.replace("@@", "nginx:1.2"))  # type: ignore[misc]
        mark = BOM if template.startswith(BOM) else ""
        ahead = "" if template.startswith("%") else f"{mark}# the operator's word, nginx:1.3 🐳\n"
        edited = ahead + edit.after.removeprefix(mark)
        assert put_back(edited, edit) == ahead + edit.before.removeprefix(mark)


REFERENCES = [
    ("nginx:1.2", "nginx:1.3", "nginx:1.3"),
    ("nginx", "nginx:1.3", "nginx:1.3"),
    ("nginx", f"nginx:latest@{NEW_DIGEST}", f"nginx:latest@{NEW_DIGEST}"),
    ("nginx:1.2", f"nginx:1.3@{NEW_DIGEST}", f"nginx:1.3@{NEW_DIGEST}"),
    (f"nginx:1.2@{OLD_DIGEST}", f"nginx:1.3@{NEW_DIGEST}", f"nginx:1.3@{NEW_DIGEST}"),
    (f"nginx:1.2@{OLD_DIGEST}", "nginx:1.3", "nginx:1.3"),
    (f"nginx@{OLD_DIGEST}", f"nginx:1.3@{NEW_DIGEST}", f"nginx@{NEW_DIGEST}"),
    ("docker.io/library/nginx:1.2", "nginx:1.3", "docker.io/library/nginx:1.3"),
    ("index.docker.io/nginx:1.2", "nginx:1.3", "index.docker.io/nginx:1.3"),
    ("localhost:5000/app", "localhost:5000/app:2", "localhost:5000/app:2"),
    ("localhost:5000/a/app:1", "localhost:5000/a/app:2", "localhost:5000/a/app:2"),
]


@pytest.mark.parametrize(("old", "target", "new"), REFERENCES)
def test_tag_and_digest_move_together_and_the_name_stays_as_spelled(old: str, target: str, new: str) -> None:
    text = "services:\n  web:\n    image: @@ # @@\n"
    assert changed(text.replace("@@", old), target) == text.replace("@@", new, 1).replace("@@", old)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("nginx:1.3", "nginx:1.3"),
        ("nginx", "nginx:latest"),
        ("nginx:latest", "nginx"),
        (f"nginx@{NEW_DIGEST}", f"nginx:1.3@{NEW_DIGEST}"),
        (f"nginx:1.3@{NEW_DIGEST}", f"nginx:1.3@{NEW_DIGEST}"),
    ],
)
def test_a_text_that_says_it_already_is_not_edited(text: str, target: str) -> None:
    assert change(f"services:\n  web:\n    image: {text}\n", target) == ()


def test_a_mark_names_the_service_and_both_texts() -> None:
    (edit,) = change("services:\n  web:\n    image: 'nginx:1.2'\n")  # type: ignore[misc]
    assert edit.marks == (Mark("service", "web", "nginx:1.2", "nginx:1.3"),)


# ------------------------------------------------------------------------------------- several files, extends

BASE = "services:\n  web:\n    image: nginx:1.2\n  api:\n    image: nginx:1.2\n"


def test_the_last_file_that_defines_the_image_is_the_one_edited() -> None:
    files = [a_file(BASE), a_file("services:\n  web:\n    image: nginx:1.1\n", "/srv/app/override.yml")]
    (edit,) = change(files)  # type: ignore[misc]
    assert (edit.path, edit.after) == ("/srv/app/override.yml", "services:\n  web:\n    image: nginx:1.3\n")


def test_an_override_without_image_leaves_the_edit_in_the_base() -> None:
    files = [a_file(BASE), a_file("services:\n  web:\n    restart: always\n", "/srv/app/override.yml")]
    (edit,) = change(files)  # type: ignore[misc]
    assert (edit.path, edit.after) == ("/srv/app/compose.yml", BASE.replace("nginx:1.2", "nginx:1.3", 1))


def test_a_unit_over_two_files_is_one_edit_per_file() -> None:
    files = [a_file(BASE), a_file("services:\n  web:\n    image: nginx:1.2\n", "/srv/app/override.yml")]
    edits = change(files, services=["web", "api"])
    assert isinstance(edits, tuple)
    assert [(e.path, e.after.count("nginx:1.3")) for e in edits] == [
        ("/srv/app/override.yml", 1),
        ("/srv/app/compose.yml", 1),
    ]


def test_several_services_of_one_file_are_one_edit() -> None:
    (edit,) = change(BASE, services=["web", "api"])  # type: ignore[misc]
    assert edit.after == BASE.replace("1.2", "1.3")
    assert len(edit.marks) == 2


EXTENDED = "services:\n  web:\n    extends: {service: base}\n  base:\n    image: nginx:1.2\n"


def test_extends_in_the_same_file_is_followed_and_its_base_is_a_taker() -> None:
    assert found(EXTENDED).takers == {"web", "base"}
    assert changed(EXTENDED, services=["web", "base"]) == EXTENDED.replace("1.2", "1.3")


def test_a_short_extends_is_followed() -> None:
    assert (
        found("services:\n  web:\n    extends: base\n  base:\n    image: nginx:1.2\n").reference
        == "nginx:1.2"
    )


def test_extends_into_another_file_of_the_project_is_followed() -> None:
    files = [
        a_file("services:\n  base:\n    image: nginx:1.2\n", "/srv/app/common.yml"),
        a_file("services:\n  web:\n    extends: {file: ./common.yml, service: base}\n"),
    ]
    (edit,) = change(files, services=["web", "base"])  # type: ignore[misc]
    assert edit.path == "/srv/app/common.yml"


def test_extends_into_a_file_we_do_not_see_is_an_obstacle() -> None:
    located = found("services:\n  web:\n    extends: {file: common.yml, service: base}\n")
    assert located.reference is None
    assert located.obstacle is not None
    assert located.obstacle.reason is Reason.NOT_EDITABLE
    assert "extends" in located.obstacle.detail


def test_extends_in_a_circle_is_an_obstacle() -> None:
    text = "services:\n  web:\n    extends: api\n  api:\n    extends: web\n"
    assert "circle" in refusal(text).detail


# ---------------------------------------------------------------------------------------------- shared places

SHARED = {
    "anchor on the scalar": "services:\n  web:\n    image: &i nginx:1.2\n  api:\n    image: *i\n",
    "template": "x-t: &t {image: nginx:1.2}\nservices:\n  web: {<<: *t}\n  api: {<<: *t, restart: always}\n",
    "whole service": "services:\n  web: &w\n    image: nginx:1.2\n  api: *w\n",
    "merge of a service": "services:\n  web: &w\n    image: nginx:1.2\n  api:\n    <<: [*w]\n",
    "extends": "services:\n  web:\n    image: nginx:1.2\n  api:\n    extends: web\n",
}


@pytest.mark.parametrize("text", SHARED.values(), ids=SHARED.keys())
def test_a_shared_place_moves_only_with_all_its_takers(text: str) -> None:
    assert found(text).takers == {"web", "api"}
    assert '"compose_service": ["api", "web"]' in refusal(text).remedy
    assert changed(text, services=["web", "api"]) == text.replace("nginx:1.2", "nginx:1.3")


def test_a_service_whose_override_has_its_own_image_is_no_taker() -> None:
    files = [a_file(SHARED["template"]), a_file("services: {api: {image: nginx:9}}", "/srv/app/override.yml")]
    located = locate(files, [], "web")
    assert isinstance(located, Located)
    assert located.takers == {"web"}
    assert isinstance(change(files), tuple)


@pytest.mark.parametrize(
    "text",
    [
        "x-i: &i nginx:1.2\nservices:\n  web:\n    image: *i\n    environment: [*i]\n",
        "x-i: &i nginx:1.2\nx-e: &e {IMAGE: *i}\nservices:\n  web:\n    image: *i\n    environment: *e\n",
        "services:\n  web: &w\n    image: nginx:1.2\nnetworks:\n  n:\n    labels: *w\n",
        "services:\n  web: &w\n    image: nginx:1.2\n  api:\n    image: busybox\n    labels:\n      <<: *w\n",
        "services:\n  web:\n    image: &i nginx:1.2\n    *i : x\n",
    ],
)
def test_a_text_that_an_alias_carries_elsewhere_is_not_touched(text: str) -> None:
    assert "anchor" in refusal(text).detail


# -------------------------------------------------------------------------------------------------- obstacles

OBSTACLES = {
    "built only": ("services:\n  web:\n    build: .\n", Reason.LOCALLY_BUILT),
    "no image": ("services:\n  web:\n    restart: always\n", Reason.NOT_IN_FILE),
    "not there": ("services:\n  api:\n    image: nginx:1.2\n", Reason.NOT_IN_FILE),
    "no services": ("x-a: 1\n", Reason.NOT_IN_FILE),
    "empty file": ("", Reason.NOT_IN_FILE),
    "broken": ("services:\n  web: [\n", Reason.FILE_UNREADABLE),
    "control character": ("services:\n  web: {image: 'nginx:1.2\x01'}\n", Reason.FILE_UNREADABLE),
    "a list": ("- web\n", Reason.FILE_UNREADABLE),
    "image twice": ("services:\n  web:\n    image: nginx:1.2\n    image: nginx:1.2\n", Reason.NOT_EDITABLE),
    "service twice": ("services:\n  web: {image: nginx:1}\n  web: {image: nginx:1}\n", Reason.NOT_EDITABLE),
    "services twice": (
        "services: {web: {image: nginx:1}}\nservices: {web: {image: nginx:1}}\n",
        Reason.NOT_EDITABLE,
    ),
    "two merge keys": (
        "services:\n  web:\n    <<: {image: nginx:1}\n    <<: {restart: always}\n",
        Reason.NOT_EDITABLE,
    ),
    "escapes": ('services:\n  web:\n    image: "nginx\\x3a1.2"\n', Reason.NOT_EDITABLE),
    "folded over lines": ("services:\n  web:\n    image: nginx:1.2\n      -alpine\n", Reason.NOT_EDITABLE),
    "block that keeps its newline": (
        "services:\n  web:\n    image: |\n      nginx:1.2\n",
        Reason.NOT_EDITABLE,
    ),
    "a mapping": ("services:\n  web:\n    image: {a: b}\n", Reason.NOT_EDITABLE),
    "reset": ("services:\n  web:\n    image: !reset nginx:1.2\n", Reason.NOT_EDITABLE),
    "service replaced as a whole": (
        "services:\n  web: !override\n    restart: always\n",
        Reason.NOT_EDITABLE,
    ),
    "no reference": ("services:\n  web:\n    image: Nginx!\n", Reason.NOT_EDITABLE),
    "another repository": ("services:\n  web:\n    image: httpd:1.2\n", Reason.NOT_EDITABLE),
    "endless merge": ("services:\n  web: &w\n    <<: *w\n", Reason.NOT_IN_FILE),
}


@pytest.mark.parametrize(("text", "reason"), OBSTACLES.values(), ids=OBSTACLES.keys())
def test_what_cannot_be_edited_is_turned_down_with_its_reason(text: str, reason: Reason) -> None:
    assert refusal(text).reason is reason


@pytest.mark.parametrize(
    "text",
    [
        "services:\n  web:\n    image: nginx:1.2\n    build: .\n",
        "x-b: &b {build: .}\nservices:\n  web: {<<: *b, image: nginx:1.2}\n",
    ],
)
def test_an_image_with_a_build_beside_it_is_located_and_said_to_be_built(text: str) -> None:
    located = found(text)
    assert (located.reference, located.is_built) == ("nginx:1.2", True)
    assert changed(text) == text.replace("nginx:1.2", "nginx:1.3")


def test_a_build_that_an_override_takes_away_is_no_obstacle() -> None:
    override = a_file("services:\n  web:\n    build: !reset null\n", "/srv/app/override.yml")
    located = locate([a_file("services:\n  web:\n    build: .\n    image: nginx:1.2\n"), override], [], "web")
    assert isinstance(located, Located)
    assert not located.is_built


def test_broken_yaml_is_reported_with_file_and_line() -> None:
    assert "/srv/app/compose.yml: line 3:" in refusal("services:\n  web:\n   image: a: b\n").detail


def test_the_services_that_are_there_are_named() -> None:
    assert "api, db" in refusal("services: {db: {image: a}, api: {image: b}}").detail


def test_without_libyaml_nothing_is_read_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader")
    answer = refusal("services:\n  lonely:\n    image: nginx:1.2\n")
    assert answer.reason is Reason.FILE_UNREADABLE
    assert "libyaml" in answer.detail


# -------------------------------------------------------------------------------------------------- variables


def in_service(image: str) -> str:
    return f"services:\n  web:\n    image: {image}\n"


VARIABLES = [
    # the image, the env file, the target, and what they become (None: as it was)
    ("nginx:${TAG}", "TAG=1.2\n", "nginx:1.3", None, "TAG=1.3\n"),
    ("nginx:$TAG", "TAG=1.2\n", "nginx:1.3", None, "TAG=1.3\n"),
    ("'nginx:${TAG:-1.0}'", "TAG=1.2", "nginx:1.3", None, "TAG=1.3"),
    ("nginx:${TAG:?set it}", "TAG=1.2\n", "nginx:1.3", None, "TAG=1.3\n"),
    ("${IMAGE}", "IMAGE=nginx:1.2\n", "nginx:1.3", None, "IMAGE=nginx:1.3\n"),
    ("${IMAGE}", "IMAGE=nginx\n", "nginx:1.3", None, "IMAGE=nginx:1.3\n"),
    ("${REG}/${APP}", "REG=ghcr.io/a\nAPP=b:1\n", "ghcr.io/a/b:2", None, "REG=ghcr.io/a\nAPP=b:2\n"),
    ("pg:v${V}-alpine", "V=15\n", "pg:v16-alpine", None, "V=16\n"),
    ("nginx:${TAG}", f"TAG=1.2@{OLD_DIGEST}\n", f"nginx:1.3@{NEW_DIGEST}", None, f"TAG=1.3@{NEW_DIGEST}\n"),
    ("nginx@${D}", f"D={OLD_DIGEST}\n", f"nginx:1.3@{NEW_DIGEST}", None, f"D={NEW_DIGEST}\n"),
    # the way the line is written stays
    (
        "nginx:$TAG",
        "# TAG=1.2\nexport TAG='1.2'  # 1.2\nB=1.2",
        "nginx:1.3",
        None,
        "# TAG=1.2\nexport TAG='1.3'  # 1.2\nB=1.2",
    ),
    ("nginx:$TAG", 'TAG = "1.2" # x\r\nB=1.2\r\n', "nginx:1.3", None, 'TAG = "1.3" # x\r\nB=1.2\r\n'),
    ("nginx:$TAG", BOM + "TAG=1.2   \r\n", "nginx:1.3", None, BOM + "TAG=1.3   \r\n"),
    ("nginx:$TAG", "A='x\nTAG=1.1\n'\nTAG: 1.2 # y\n", "nginx:1.3", None, "A='x\nTAG=1.1\n'\nTAG: 1.3 # y\n"),
    # a tag of several pieces is written to the one that holds the number
    (
        "nginx:${TAG}${POSTFIX}",
        "TAG=1.2\nPOSTFIX=-alpine\n",
        "nginx:1.3-alpine",
        None,
        "TAG=1.3\nPOSTFIX=-alpine\n",
    ),
    ("nginx:${TAG}${POSTFIX}", "TAG=1.2\nPOSTFIX=\n", "nginx:1.3", None, "TAG=1.3\nPOSTFIX=\n"),
    ("nginx:${TAG}${POSTFIX}", "TAG=1.2\n", "nginx:1.3", None, "TAG=1.3\n"),
    ("nginx:${TAG}-${V}", "TAG=1.2\nV=alpine3.19\n", "nginx:1.3-alpine3.19", None, "TAG=1.3\nV=alpine3.19\n"),
    ("nginx:${TAG}-${V}", "TAG=1.2\nV=alpine3.19\n", "nginx:1.2-alpine3.20", None, "TAG=1.2\nV=alpine3.20\n"),
    ("nginx:${OS}-${TAG}", "TAG=1.2\nOS=alpine\n", "nginx:alpine-1.3", None, "TAG=1.3\nOS=alpine\n"),
    ("pg:15-${V}", "V=alpine\n", "pg:16-alpine", "pg:16-${V}", None),
    ("app:v2-${SHA}", "SHA=a1b2c3d\n", "app:v2-d4e5f6a", None, "SHA=d4e5f6a\n"),
    ("nginx:1.2${SUFFIX}", "SUFFIX=\n", "nginx:1.3", "nginx:1.3${SUFFIX}", None),
    ("nginx:1.2${SUFFIX:+-$SUFFIX}", "SUFFIX=slim\n", "nginx:1.3-slim", "nginx:1.3${SUFFIX:+-$SUFFIX}", None),
    # a default that is a variable, and one within another
    ("nginx:${A:-${B}}", "B=1.2\n", "nginx:1.3", None, "B=1.3\n"),
    ("nginx:${A:-$B}", "B=1.2\n", "nginx:1.3", None, "B=1.3\n"),
    ("nginx:${A-$B}", "B=1.2\n", "nginx:1.3", None, "B=1.3\n"),
    ("nginx:${A:-${B:-1.2}}", "", "nginx:1.3", "nginx:${A:-${B:-1.3}}", None),
    ("${I:-nginx:${TAG:-1.2}}", "", "nginx:1.3", "${I:-nginx:${TAG:-1.3}}", None),
    ("nginx:${A:-v${B}-alpine}", "B=1.2\n", "nginx:v1.3-alpine", None, "B=1.3\n"),
    ("nginx:${TAG:-1.2}", "TAG=\n", "nginx:1.3", "nginx:${TAG:-1.3}", None),
    ("nginx${TAG:+:1.2}", "TAG=x\n", "nginx:1.3", "nginx${TAG:+:1.3}", None),
    # a registry that is empty, or set nowhere, is empty for Compose too
    ("${REGISTRY}nginx:1.2", "REGISTRY=\n", "nginx:1.3", "${REGISTRY}nginx:1.3", None),
    ("${REGISTRY}nginx:1.2", "", "nginx:1.3", "${REGISTRY}nginx:1.3", None),
    ("${REGISTRY}nginx:${TAG}", "TAG=1.2\n", "nginx:1.3", None, "TAG=1.3\n"),
    ("${REGISTRY}${NAME}:${TAG}", "NAME=nginx\nTAG=1.2\n", "nginx:1.3", None, "NAME=nginx\nTAG=1.3\n"),
    # literal parts and defaults are edited in the scalar
    ("${REG}/app:1.2", "REG=ghcr.io\n", "ghcr.io/app:1.3", "${REG}/app:1.3", None),
    ("${REG:-ghcr.io}/app", "", "ghcr.io/app:1.3", "${REG:-ghcr.io}/app:1.3", None),
    ("nginx:${TAG:-1.2}", "", "nginx:1.3", "nginx:${TAG:-1.3}", None),
    ("nginx:${TAG-1.2}", "OTHER=1.2\n", "nginx:1.3", "nginx:${TAG-1.3}", None),
    ('"${IMAGE:-nginx:1.2}"', "", "nginx:1.3", '"${IMAGE:-nginx:1.3}"', None),
    ("pg:${V:-15}-alpine", "", "pg:16-alpine", "pg:${V:-16}-alpine", None),
    ("nginx:${TAG:-1.2}", "", f"nginx:1.3@{NEW_DIGEST}", "nginx:${TAG:-1.3@" + NEW_DIGEST + "}", None),
    # a value of the env file that takes other variables
    ("nginx:${TAG}", "BASE=1.2\nTAG=${BASE}\n", "nginx:1.3", None, "BASE=1.3\nTAG=${BASE}\n"),
    (
        "nginx:$TAG",
        "export BASE='1.2' # c\nTAG: $BASE\n",
        "nginx:1.3",
        None,
        "export BASE='1.3' # c\nTAG: $BASE\n",
    ),
    ("nginx:$C", 'A=1.2\nB=$A\nC="${B}" # c\n', "nginx:1.3", None, 'A=1.3\nB=$A\nC="${B}" # c\n'),
    ("pg:${TAG}", "V=15\nTAG=${V}-alpine\n", "pg:16-alpine", None, "V=16\nTAG=${V}-alpine\n"),
    ("pg:${TAG}", "OS=alpine\nTAG=15-${OS}\n", "pg:16-alpine", None, "OS=alpine\nTAG=16-${OS}\n"),
    ("nginx:${TAG}", "TAG=${NOPE:-1.2}\n", "nginx:1.3", None, "TAG=${NOPE:-1.3}\n"),
    ("nginx:${TAG:-1.0}", "TAG=${NOPE}\n", "nginx:1.3", "nginx:${TAG:-1.3}", None),
    (
        "${I}",
        'R=docker.io/library\nI="$R/nginx:1.2"\n',
        "nginx:1.3",
        None,
        'R=docker.io/library\nI="$R/nginx:1.3"\n',
    ),
    ("nginx:${TAG}", "V=1.2\nTAG=$V\nV2=$TAG\n", "nginx:1.3", None, "V=1.3\nTAG=$V\nV2=$TAG\n"),
]


@pytest.mark.parametrize(("image", "env", "target", "new_image", "new_env"), VARIABLES)
def test_a_variable_is_edited_where_its_value_comes_from(
    image: str, env: str, target: str, new_image: str | None, new_env: str | None
) -> None:
    wanted = in_service(new_image) if new_image else new_env
    (edit,) = change(in_service(image), target, env=env)  # type: ignore[misc]
    assert edit.after == wanted
    assert edit.path == ("/srv/app/compose.yml" if new_image else "/srv/app/.env")
    assert put_back(edit.after + "\n# the operator\n", edit) == edit.before + "\n# the operator\n"


REFUSED_VARIABLES = {
    "two variables in the tag": (in_service("nginx:v${A}.${B}"), "A=1\nB=2\n"),
    "set nowhere": (in_service("nginx:$TAG"), ""),
    "put together from another": (in_service("nginx:$TAG"), "A=1\nTAG=$A.2\n"),
    "with escapes": (in_service("nginx:$TAG"), 'TAG="1\\.2"\n'),
    "mandatory and missing": (in_service("nginx:${TAG:?no tag}"), ""),
    "malformed": (in_service("nginx:${TAG"), "TAG=1.2\n"),
    "used by another service": (in_service("nginx:$TAG") + "  db:\n    image: db:$TAG\n", "TAG=1.2\n"),
    "used by another key of another service": (
        in_service("nginx:$TAG") + "  db:\n    labels: ['v=${TAG}']\n",
        "TAG=1.2\n",
    ),
    "used in a default": (in_service("nginx:$TAG") + "  db:\n    hostname: ${H:-${TAG}}\n", "TAG=1.2\n"),
    "used outside of the services": (
        in_service("nginx:$TAG") + "volumes: {a: {name: 'a${TAG}'}}\n",
        "TAG=1.2\n",
    ),
    "handed on in a list": (in_service("nginx:$TAG") + "  db: {environment: [TAG]}\n", "TAG=1.2\n"),
    "handed on in a mapping": (in_service("nginx:$TAG") + "  db: {environment: {TAG: }}\n", "TAG=1.2\n"),
    "handed on by extends": (
        in_service("nginx:$TAG") + "    environment: [TAG]\n  db: {extends: web, image: httpd:1}\n",
        "TAG=1.2\n",
    ),
    "handed on by an anchor": (
        (
            "x-e: &e {environment: [TAG]}\nservices: {web: {image: 'nginx:$TAG'}, db: {<<: *e, image: "
            "httpd:1}}\n"
        ),
        "TAG=1.2\n",
    ),
    "a secret of it": (in_service("nginx:$TAG") + "secrets: {s: {environment: TAG}}\n", "TAG=1.2\n"),
    "used by another variable": (
        in_service("nginx:$TAG") + "  db:\n    labels: ['v=${B}']\n",
        "TAG=1.2\nB=$TAG\n",
    ),
    "the base of another service's": (
        in_service("nginx:$TAG") + "  db:\n    image: db:$C\n",
        "A=1.2\nTAG=$A\nB=$A\nC=${B}\n",
    ),
    "used for the project's name": (in_service("nginx:$TAG"), "TAG=1.2\nCOMPOSE_PROJECT_NAME=shop-${TAG}\n"),
    "in quotes that take no variables": (in_service("nginx:$TAG"), "BASE=1.2\nTAG='${BASE}'\n"),
    "of a variable that is set later": (in_service("nginx:$TAG"), "TAG=${BASE}\nBASE=1.2\n"),
    "of one that is mandatory and missing": (in_service("nginx:$TAG"), "TAG=${BASE:?no base}\n"),
    "with an escaped variable": (in_service("nginx:$TAG"), 'BASE=1.2\nTAG="\\$BASE"\n'),
    "of one that is set again": (in_service("nginx:$TAG"), "BASE=1.1\nTAG=$BASE\nBASE=1.2\n"),
    "also an env_file": (in_service("nginx:$TAG") + "  db: {env_file: .env}\n", "TAG=1.2\n"),
    "also in a list of env files": (
        in_service("nginx:$TAG") + "  db: {env_file: [a, ./.env]}\n",
        "TAG=1.2\n",
    ),
    "also a long env_file": (in_service("nginx:$TAG") + "  db: {env_file: [{path: .env}]}\n", "TAG=1.2\n"),
    "perhaps an env_file": (in_service("nginx:$TAG") + "  db: {env_file: '${WHICH}'}\n", "TAG=1.2\n"),
    "perhaps used in an included file": ("include: [a.yml]\n" + in_service("nginx:$TAG"), "TAG=1.2\n"),
    "perhaps used in an extended file": (
        in_service("nginx:$TAG") + "  db: {extends: {file: a.yml, service: b}}\n",
        "TAG=1.2\n",
    ),
    "carried elsewhere by an alias": (in_service("&i nginx:$TAG") + "    environment: [*i]\n", "TAG=1.2\n"),
    "a tag that does not fit": (in_service("nginx:${V}-alpine"), "V=1.2\n"),
}


@pytest.mark.parametrize(("text", "env"), REFUSED_VARIABLES.values(), ids=REFUSED_VARIABLES.keys())
def test_a_variable_that_is_not_ours_alone_is_left(text: str, env: str) -> None:
    assert refusal(text, env=env).reason is Reason.NOT_EDITABLE


def test_an_escaped_dollar_is_no_use_of_a_variable() -> None:
    text = in_service("nginx:$TAG") + "    command: echo $$TAG $TAGGED $${TAG}\n"
    assert changed(text, env="TAG=1.2\nTAGGED=1\n") == "TAG=1.3\nTAGGED=1\n"


def test_another_env_file_of_a_service_is_no_obstacle() -> None:
    text = in_service("nginx:$TAG") + "    env_file: web.env\n"
    assert changed(text, env="TAG=1.2\n") == "TAG=1.3\n"


def test_an_image_that_an_override_replaces_is_no_use_of_a_variable() -> None:
    override = a_file("services:\n  web:\n    image: docker.io/nginx:$TAG\n", "/srv/app/override.yml")
    (edit,) = change([a_file(in_service("nginx:${TAG}-alpine")), override], env="TAG=1.2")  # type: ignore[misc]
    assert edit.after == "TAG=1.3"


def test_an_image_replaced_in_one_service_is_still_used_by_the_one_that_extends_it() -> None:
    base = in_service("httpd:${TAG}") + "  api: {extends: web}\n"
    override = a_file(in_service("nginx:$TAG"), "/srv/app/override.yml")
    assert "image of api too" in refusal([a_file(base), override], env="TAG=1.2").detail


READ_BY_ITSELF = {
    "a label": "    labels: ['v=${TAG}']\n",
    "a default": "    hostname: ${H:-${TAG}}\n",
    "its environment": "    environment: [TAG]\n",
    "its environment, as a mapping": "    environment: {TAG: }\n",
    "its env_file": "    env_file: .env\n",
    "a list of env files": "    env_file: [a, ./.env]\n",
    "a long env_file": "    env_file: [{path: .env}]\n",
    "perhaps its env_file": "    env_file: ${WHICH}\n",
}


@pytest.mark.parametrize("more", READ_BY_ITSELF.values(), ids=READ_BY_ITSELF.keys())
def test_what_only_the_service_itself_reads_changes_with_it_and_is_said(more: str) -> None:
    text = in_service("nginx:$TAG") + more
    assert changed(text, env="TAG=1.2\n") == "TAG=1.3\n"
    (note,) = found(text, env="TAG=1.2\n").notes
    assert "TAG" in note
    assert "line 4" in note


@pytest.mark.parametrize(
    "more",
    [
        "  db: {hostname: '${H:-$TAG}'}\n",  # H is set
        "x-note: {labels: ['${TAG}']}\n",  # nobody takes it
        "  db: {hostname: '${NONE:+$TAG}'}\n",
    ],
)
def test_a_mention_that_changes_nothing_is_no_use(more: str) -> None:
    text = in_service("nginx:$TAG") + more
    assert changed(text, env="TAG=1.2\nH=h\n") == "TAG=1.3\nH=h\n"
    assert found(text, env="TAG=1.2\nH=h\n").notes == ()


def test_services_of_one_variable_and_several_repositories_move_together() -> None:
    text = in_service("a/web:$TAG") + "  ml: {image: 'b/ml:${TAG}-cpu'}\n"
    assert found(text, env="TAG=1.2").takers == {"web", "ml"}
    assert '["ml", "web"]' in refusal(text, "a/web:1.3", env="TAG=1.2").remedy
    targets = [reference.parse(each) for each in ("a/web:1.3", "b/ml:1.3-cpu")]
    (edit,) = set_image([a_file(text)], [an_env("TAG=1.2")], ["web", "ml"], targets)  # type: ignore[misc]
    assert edit.after == "TAG=1.3"


def test_two_services_of_one_variable_and_repository_move_together() -> None:
    text = in_service("nginx:$TAG") + "  api:\n    image: docker.io/library/nginx:${TAG:-1}\n"
    assert found(text, env="TAG=1.2").takers == {"web", "api"}
    assert '["api", "web"]' in refusal(text, env="TAG=1.2").remedy
    assert changed(text, services=["web", "api"], env="TAG=1.2") == "TAG=1.3"


def test_the_later_env_file_wins_and_is_the_one_edited() -> None:
    envs = [an_env("TAG=1.1"), an_env("TAG=1.2", "/srv/app/b.env")]
    (edit,) = change([a_file(in_service("nginx:$TAG"))], env=envs)  # type: ignore[misc]
    assert (edit.path, edit.after) == ("/srv/app/b.env", "TAG=1.3")


def test_a_variable_of_an_earlier_env_file_is_edited_there_unless_a_later_one_sets_it_too() -> None:
    """Up to Compose 2.26 a value takes what the earlier file says, in 2.40 what its own does."""
    envs = [an_env("BASE=1.2"), an_env("TAG=$BASE", "/srv/app/b.env")]
    (edit,) = change([a_file(in_service("nginx:$TAG"))], env=envs)  # type: ignore[misc]
    assert (edit.path, edit.after) == ("/srv/app/.env", "BASE=1.3")
    both = [an_env("BASE=1.1"), an_env("BASE=1.2\nTAG=$BASE", "/srv/app/b.env")]
    assert refusal([a_file(in_service("nginx:$TAG"))], env=both).reason is Reason.NOT_EDITABLE


def test_a_mark_of_a_value_that_is_put_together_says_what_of_it_changes() -> None:
    (edit,) = change(in_service("pg:$TAG"), "pg:16-alpine", env=("OS=alpine\nTAG=15-$OS\n"))  # type: ignore[misc]
    assert edit.marks == (Mark("variable", "TAG", "15-$OS", "16-$OS", ("15-", "16-")),)


def test_the_one_env_file_that_sets_it_is_edited() -> None:
    envs = [an_env("A=1.2"), an_env("TAG=1.2", "/srv/app/b.env")]
    (edit,) = change([a_file(in_service("nginx:$TAG"))], env=envs)  # type: ignore[misc]
    assert (edit.path, edit.after, edit.marks) == (
        "/srv/app/b.env",
        "TAG=1.3",
        (Mark("variable", "TAG", "1.2", "1.3"),),
    )


def test_an_unset_variable_leaves_the_reference_unknown() -> None:
    located = found(in_service("nginx:${TAG}"))
    assert located.reference is None
    assert located.obstacle is not None
    assert ".env" in located.obstacle.remedy


@pytest.mark.parametrize(
    ("image", "env", "resolved"),
    [
        ("nginx:${A:-${B:-1.2}}", "", "nginx:1.2"),
        ("nginx:${A:-${B}}", "B=3", "nginx:3"),
        ("nginx${A:+:1.2}", "A=x", "nginx:1.2"),
        ("nginx${A:+:1.2}", "", "nginx"),
        ("nginx:${A-1}", "A=2", "nginx:2"),
        ("nginx:$A", "A='2'", "nginx:2"),
    ],
)
def test_a_reference_is_resolved_even_if_it_cannot_be_edited(image: str, env: str, resolved: str) -> None:
    assert found(in_service(image), env=env).reference == resolved


# --------------------------------------------------------------------------------------------------- put back


def an_edit(before: str, **kwargs: object) -> Edit:
    (edit,) = change(before, **kwargs)  # type: ignore[arg-type, misc]
    return edit


def test_a_mark_that_is_back_already_is_left() -> None:
    edit = an_edit(BASE, services=["web", "api"])
    half = edit.after.replace("nginx:1.3", "nginx:1.2", 1) + "# operator\n"
    assert put_back(half, edit) == BASE + "# operator\n"


@pytest.mark.parametrize(
    "current",
    [
        BASE.replace("nginx:1.2", "nginx:1.9", 1),
        "services:\n  api:\n    image: nginx:1.3\n",
        "services:\n  web:\n    build: .\n",
        "services: [\n",
        "services:\n  web:\n    image: nginx:1.3\n    image: nginx:1.3\n",
        "",
    ],
)
def test_a_place_that_is_no_longer_ours_is_not_put_back(current: str) -> None:
    assert put_back(current, an_edit(BASE)) is None


def test_a_mark_is_found_again_after_its_operator_changed_the_quotes() -> None:
    edit = an_edit(in_service("nginx:1.2"))
    assert put_back(in_service("'nginx:1.3' # mine"), edit) == in_service("'nginx:1.2' # mine")


@pytest.mark.parametrize("current", ["TAG=1.9\n", "# TAG=1.3\n", "TAG=1.3\nTAG=1.9\n", "TAG=${B}\n"])
def test_a_variable_that_is_no_longer_ours_is_not_put_back(current: str) -> None:
    assert put_back(current, an_edit(in_service("nginx:$TAG"), env="TAG=1.2\n")) is None


# ------------------------------------------------------------------------------------------------------ bytes


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfa: b\r\n", "a: 🐳\r".encode(), b""])
def test_decoded_bytes_come_back_exactly(data: bytes) -> None:
    assert encode(decode(data)) == data


@pytest.mark.parametrize(
    ("data", "word"), [("a: b".encode("utf-16"), "UTF-16"), (b"a: 1\nb: \xff", "line 2")]
)
def test_bytes_that_are_not_utf8_are_refused_with_a_sentence(data: bytes, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        decode(data)


# ----------------------------------------------------------------------------------------------------- proofs


@pytest.mark.parametrize(
    ("image", "env", "target"),
    [("nginx:${A}.${B}", "A=1\nB=2", "nginx:3.2"), ("nginx${TAIL:-}", "", "nginx:1.3")],
)
def test_parts_of_a_tag_are_not_guessed_even_if_one_would_fit(image: str, env: str, target: str) -> None:
    assert "variable" in refusal(in_service(image), target, env=env).remedy


@pytest.mark.parametrize(
    ("after", "is_proven"),
    [
        ("a: {image: new, b: 1}\nc: [x]\n", True),
        ("a: {image: new, b: 2}\nc: [x]\n", False),
        ("a: {image: new, b: 1}\nc: [x, y]\n", False),
        ("a: {image: new, b: '1'}\nc: [x]\n", False),
        ("a: {image: newer, b: 1}\nc: [x]\n", False),
        ("a: {image: old, b: 1}\nc: [x]\n", False),
        ("a: {image: new, b: 1}\nc: [x]\n---\nd: e\n", False),
    ],
)
def test_the_proof_lets_through_nothing_but_the_one_scalar(after: str, is_proven: bool) -> None:
    before = documents("a.yml", "a: {image: old, b: 1}\nc: [x]\n")
    assert is_same_but(before, documents("a.yml", after), {11: "new"}) is is_proven


# ------------------------------------------------------------------------------------------------------ costs


def many(count: int, lines: str, head: str = "") -> str:
    return f"{head}services:\n" + "".join(lines.replace("@", str(number)) for number in range(count))


LARGE: dict[str, tuple[Callable[[int], str], Callable[[int], str]]] = {
    "plain": (lambda n: many(n, "  s@: {image: 'nginx:1.@', ports: ['80:80']}\n"), lambda _: ""),
    "one variable": (lambda n: many(n, "  s@: {image: 'nginx:$TAG', labels: [a]}\n"), lambda _: "TAG=1.2\n"),
    "a variable each": (
        lambda n: many(n, "  s@: {image: 'nginx:$TAG_@_', env_file: a.env}\n"),
        lambda n: "".join(f"TAG_{number}_=1.2\n" for number in range(n)),
    ),
    "a template": (
        lambda n: many(n, "  s@: {<<: *t, tty: true}\n", "x-t: &t {image: 'nginx:1.2'}\n"),
        lambda _: "",
    ),
    "extends": (
        lambda n: many(n, "  s@: {extends: s0}\n").replace("s0: {extends: s0}", "s0: {image: a}"),
        lambda _: "",
    ),
    "documents": (
        lambda n: "".join(many(1, f"  s{each}: {{image: a}}\n---\n") for each in range(n)),
        lambda _: "",
    ),
}


@pytest.mark.parametrize("kind", LARGE)
def test_to_find_every_image_costs_no_more_than_in_proportion_to_the_services(kind: str) -> None:
    """Function calls are counted, not seconds: they are the same on every machine."""

    def calls(count: int) -> int:
        texts = [build(count) for build in LARGE[kind]]
        profile = cProfile.Profile()
        profile.enable()
        for number in range(count):
            answer = locate([a_file(texts[0])], [an_env(texts[1])], f"s{number}")
            assert isinstance(answer, Located), answer
        profile.disable()
        return sum(entry.callcount for entry in profile.getstats())

    assert calls(160) < 2.3 * calls(80)
