"""The shapes in which public compose files write an image with variables: which are edited, and what else
changes.

The numbers are how many of 389 services in public files, refused by an early version, are of the kind; all of
a kind that has several shapes here are counted with the likeliest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from updater_core import reference
from updater_core.composefile import edit
from updater_core.composefile.definition import SourceFile

ENV, FILE = "/p/.env", "/p/compose.yml"


@dataclass(frozen=True)
class Shape:
    """`old` becomes `new` once, in `path`.

    Without a path it cannot be edited, and `new` stands in the reason.
    """

    count: int
    images: tuple[str, ...]
    env: str
    path: str
    old: str
    new: str
    tag: str = "1.3.0"
    more: str = ""


DIGEST = f"sha256:{'3' * 64}"
PLAIN = "TAG=1.2.3\n"
SHAPES = {
    "build beside image": Shape(215, ("r/app:1.2.3",), "", FILE, ":1.2.3", ":1.3.0", more="    build: .\n"),
    "one version for several repositories": Shape(
        73, ("r/app:${TAG}", "r/other:${TAG:-1}"), PLAIN, ENV, "1.2.3", "1.3.0"
    ),
    "two variables, one is empty": Shape(
        0, ("r/app:${TAG}${POSTFIX}",), f"{PLAIN}POSTFIX=\n", ENV, "1.2.3", "1.3.0"
    ),
    "two variables, the second a variant": Shape(
        45, ("r/app:${TAG}${POSTFIX}",), f"{PLAIN}POSTFIX=-slim\n", ENV, "1.2.3", "1.3.0", tag="1.3.0-slim"
    ),
    "two variables, the first a variant": Shape(
        0, ("r/app:${OS}-${TAG}",), f"OS=alpine\n{PLAIN}", ENV, "1.2.3", "1.3.0", tag="alpine-1.3.0"
    ),
    "an empty registry": Shape(5, ("${REGISTRY}r/app:1.2.3",), "", FILE, ":1.2.3", ":1.3.0"),
    "a tag that is set nowhere": Shape(22, ("r/app:${TAG}",), "", "", "", "cannot be resolved"),
    "a tag from the shell, through .env": Shape(
        0, ("r/app:${TAG}",), "TAG=$CI_TAG\n", "", "", "no env file sets CI_TAG before it is taken"
    ),
    "a variable that is set twice": Shape(
        0, ("r/app:${TAG}",), "TAG=1.2.1\nOTHER=1\nexport TAG='1.2.3'\n", ENV, "1.2.3", "1.3.0"
    ),
    "a variable that is set again behind what takes it": Shape(
        0, ("r/app:${FULL}",), "TAG=1.2.3\nFULL=${TAG}\nTAG=1.2.9\n", "", "", "TAG is set more than once"
    ),
    "broken YAML": Shape(16, ("r/app:1.2.3",), "", "", "", "", more="   image: [\n"),
    "an .env that is an env_file": Shape(
        6, ("r/app:${TAG}",), PLAIN, ENV, "1.2.3", "1.3.0", more="    env_file: .env\n"
    ),
    "a default that is a variable": Shape(7, ("r/app:${A:-${TAG}}",), PLAIN, ENV, "1.2.3", "1.3.0"),
    "a default that is a variable's default": Shape(
        0, ("r/app:${A:-${TAG:-1.2.3}}",), "", FILE, "1.2.3", "1.3.0"
    ),
    "a whole reference": Shape(0, ("${IMAGE}",), "IMAGE='r/app:1.2.3' # x\n", ENV, "1.2.3", "1.3.0"),
    "a tag in a variable and a digest behind it": Shape(
        0, (f"r/app:${{TAG}}@{DIGEST}",), PLAIN, "", "", "put together from TAG"
    ),
    "the same, as its remedy says": Shape(
        0, ("r/app:${TAG}",), f"TAG=1.2.3@{DIGEST}\n", ENV, "1.2.3", "1.3.0"
    ),
    "a repository and a tag": Shape(0, ("${REPO}:${TAG}",), f"REPO=r/app\n{PLAIN}", ENV, "1.2.3", "1.3.0"),
    "a name, a repository and a tag in variables": Shape(
        0, ("${REPO}/${NAME}:${TAG}",), f"REPO=r\nNAME=app\n{PLAIN}", ENV, "1.2.3", "1.3.0"
    ),
    "a version and a literal variant": Shape(
        0, ("r/app:${TAG}-cuda",), PLAIN, ENV, "1.2.3", "1.3.0", tag="1.3.0-cuda"
    ),
    "a build argument of its own": Shape(
        0, ("r/app:${TAG}",), PLAIN, ENV, "1.2.3", "1.3.0", more="    build: {context: ., args: [TAG]}\n"
    ),
    "its path of a plug-in": Shape(
        0, ("r/app:${TAG}",), PLAIN, "", "", "in `volumes`", more="    volumes: ['./p-${TAG}:/p']\n"
    ),
    "a registry at an IPv6 address": Shape(0, ("'[fd00::1]:5000/app:1.2.3'",), "", FILE, "1.2.3", "1.3.0"),
    "variants of one repository": Shape(
        0, ("r/app:${TAG}-web", "r/app:${TAG}-jobs"), PLAIN, "", "", "different tags of one repository"
    ),
    "a variant and none": Shape(
        0, ("r/app:${TAG}", "r/app:${TAG}-gpu"), PLAIN, "", "", "different tags of one repository"
    ),
    "variants whose word is `latest`": Shape(
        0, ("r/app:${TAG}-web", "r/app:${TAG}-jobs"), "TAG=latest\n", "", "", "different tags of one"
    ),
    "a number in three variables": Shape(
        0, ("r/app:${A}.${B}.${C}",), "A=1\nB=2\nC=3\n", "", "", "put together from A"
    ),
}


def files_of(shape: Shape) -> tuple[SourceFile, SourceFile]:
    services = "".join(
        f"  s{number}:\n    image: {image} # {number}\n{shape.more}"
        for number, image in enumerate(shape.images)
    )
    text = f"# größe 🐳\nservices:\n{services}  db:\n    image:  'postgres:16' \n"
    return SourceFile(FILE, text, directory="/p", env_paths=(ENV,)), SourceFile(ENV, f"# 1.2.4\n{shape.env}")


def edits_of(shape: Shape) -> dict[str, str] | edit.NotEditable:
    """The texts of the files that change, by path."""
    file, env = files_of(shape)
    names = [f"s{number}" for number in range(len(shape.images))]
    targets = []
    for name in names:
        located = edit.locate((file,), (env,), name)
        if isinstance(located, edit.NotEditable):
            return located
        if located.obstacle is not None or located.reference is None:
            assert located.obstacle is not None
            return located.obstacle
        targets.append(replace(reference.parse(located.reference), tag=shape.tag))
    found = edit.set_image((file,), (env,), names, targets)
    return found if isinstance(found, edit.NotEditable) else {each.path: each.after for each in found}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_edited_in_its_one_place_or_refused_with_a_remedy(name: str) -> None:
    shape = SHAPES[name]
    found = edits_of(shape)
    if not shape.path:
        assert isinstance(found, edit.NotEditable)
        assert shape.new in found.detail
        assert found.remedy
        return
    before = {each.path: each.text for each in files_of(shape)}[shape.path]
    assert before.count(shape.old) == 1
    assert found == {shape.path: before.replace(shape.old, shape.new)}


def test_as_many_of_the_refused_are_edited_as_are_counted() -> None:
    edited = sum(
        shape.count for shape in SHAPES.values() if not isinstance(edits_of(shape), edit.NotEditable)
    )
    assert (edited, sum(shape.count for shape in SHAPES.values())) == (351, 389)


def placed(images: dict[str, str], env: str, more: str = "") -> dict[str, edit.Located]:
    """What is found of each service, by its name."""
    text = "services:\n" + "".join(f"  {name}: {{image: '{image}'}}\n" for name, image in images.items())
    file = SourceFile(FILE, text + more, directory="/p", env_paths=(ENV,))
    found = {name: edit.locate((file,), (SourceFile(ENV, env),), name) for name in images}
    return {name: one for name, one in found.items() if isinstance(one, edit.Located)}


def test_variants_of_one_repository_make_no_group_and_both_remedies_lead_out() -> None:
    held = placed({"web": "r/app:${TAG}-web", "jobs": "r/app:${TAG}-jobs", "ml": "r/ml:${TAG}"}, PLAIN)
    for name, one in held.items():
        assert one.takers == {name}  # discovery makes a group of all takers
        assert one.place is None
        assert one.obstacle is not None
        assert "r/app:1.2.3-web (web) and r/app:1.2.3-jobs (jobs)" in one.obstacle.detail
        assert "in place of TAG" in one.obstacle.remedy
    own_variables = placed(
        {"web": "r/app:${WEB}", "jobs": "r/app:${JOBS}"}, "WEB=1.2.3-web\nJOBS=1.2.3-jobs\n"
    )
    written_out = placed({"web": "r/app:1.2.3-web", "jobs": "r/app:1.2.3-jobs"}, PLAIN)
    for one in (*own_variables.values(), *written_out.values()):
        assert one.place is not None


READ_BY_OTHERS = {
    "the whole env file": ("    env_file: .env\n", "out of the `env_file` of db"),
    "the whole env file, as one of a list": ("    env_file: [{path: .env}]\n", "out of the `env_file` of db"),
    "its environment": ("    environment: [TAG]\n", "a variable that nothing else uses"),
    "a build argument": (
        "    build: {context: ., args: ['V=${TAG}']}\n",
        "a variable that nothing else uses",
    ),
}


@pytest.mark.parametrize(("more", "remedy"), READ_BY_OTHERS.values(), ids=READ_BY_OTHERS.keys())
def test_who_else_reads_a_variable_is_named_with_a_remedy_that_leads_out(more: str, remedy: str) -> None:
    other = f"  db:\n    image: r/db:1\n{more}"
    obstacle = placed({"web": "r/app:${TAG}"}, PLAIN, other)["web"].obstacle
    assert obstacle is not None
    assert obstacle.detail.endswith(", by db")
    assert remedy in obstacle.remedy
    if "env_file" in more:  # another name would stand in the same file
        assert "nothing else uses" not in obstacle.remedy
    assert placed({"web": "r/app:1.2.3"}, PLAIN, other)["web"].place is not None
