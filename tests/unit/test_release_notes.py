"""Versions of images and links to their release notes: the right one, or none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from updater_core.host.engine import facts
from updater_core.policy.releases.notes import notes_url, repository_of
from updater_core.policy.releases.size import step_between, version_of, waiting_step
from updater_core.vocabulary.dated import NO_FACTS, ImageFacts

GITHUB = "https://github.com/acme/api"
TAG_PAGE = f"{GITHUB}/releases/tag/v1.5.0"


@pytest.mark.parametrize(
    "source",
    [
        GITHUB,
        f"{GITHUB}/",
        f"{GITHUB}.git",
        "http://github.com/acme/api",
        "https://GitHub.com/acme/api",
        "https://github.com:443/acme/api",
        "git@github.com:acme/api.git",
        "ssh://git@github.com/acme/api.git",
        "git://github.com/acme/api.git",
        "git+https://github.com/acme/api.git",
        f"{GITHUB}#readme",
        f"{GITHUB}.git#main",
        f"{GITHUB}?tab=readme",
        f"  {GITHUB}  ",
    ],
)
def test_a_repository_is_known_in_every_form_of_its_address(source: str) -> None:
    assert notes_url(ImageFacts(source=source), "v1.5.0") == TAG_PAGE


@pytest.mark.parametrize(
    "source",
    [
        "",
        "https://acme.example/api",
        "https://github.com",
        "https://github.com/acme",
        "https://github.com/orgs/acme",
        "https://github.com/marketplace/acme-api",
        "https://gitlab.com/explore/projects",
        "https://github.com.evil.example/acme/api",
        "https://evil.example/github.com/acme/api",
        "https://evilgithub.com/acme/api",
        "https://gist.github.com/acme/0123",
        "https://user:password@github.com/acme/api",
        "https://github.com@evil.example/acme/api",
        "https://github.com:8443/acme/api",
        "https://github.com:99999999/acme/api",
        "https://github.com/acme/..",
        "https://github.com/../acme/api",
        "https://github.com/-acme/api",
        "https://github.com/acme/api%2f..%2fevil",
        "https://github.com/acme/<script>",
        "https://github.com/acme/a\u202epi",
        "https://github.com\\@evil.example/acme/api",
        "https://gíthub.com/acme/api",
        "https://github.com/ac me/api",
        "https://github.com/acme/\napi",
        "javascript:alert(1)//github.com/acme/api",
        "data:text/html,https://github.com/acme/api",
        "ftp://github.com/acme/api",
        "file://github.com/acme/api",
        "https://[::1/acme/api",
        f"https://github.com/acme/{'a' * 600}",
    ],
)
def test_what_is_not_surely_a_repository_there_gives_no_link(source: str) -> None:
    assert repository_of(source) is None
    assert notes_url(ImageFacts(source=source), "v1.5.0") == ""


@pytest.mark.parametrize(
    ("source", "version", "url"),
    [
        ("https://gitlab.com/group/app", "v2.0.1", "https://gitlab.com/group/app/-/releases/v2.0.1"),
        ("https://gitlab.com/g/sub/app", "2.0.1", "https://gitlab.com/g/sub/app/-/tags?search=2.0.1"),
        ("https://gitlab.com/g/app/-/tree/main", "", "https://gitlab.com/g/app/-/releases"),
        ("https://codeberg.org/acme/api", "v1.0.0", "https://codeberg.org/acme/api/releases/tag/v1.0.0"),
        ("https://codeberg.org/acme/api", "1.0.0", "https://codeberg.org/acme/api/releases?q=1.0.0"),
        (GITHUB, "1.5.0", f"{GITHUB}/releases?q=1.5.0&expanded=true"),
        (GITHUB, "1.5.0+build&x", f"{GITHUB}/releases?q=1.5.0%2Bbuild%26x&expanded=true"),
        (GITHUB, "", f"{GITHUB}/releases"),
        (GITHUB, "v2", f"{GITHUB}/releases?q=v2&expanded=true"),
        (f"{GITHUB}/tree/main/charts/web", "v1.5.0", f"{GITHUB}/releases?q=v1.5.0&expanded=true"),
    ],
)
def test_each_host_has_pages_of_its_own(source: str, version: str, url: str) -> None:
    assert notes_url(ImageFacts(source=source), version) == url


def test_the_source_goes_before_the_home_page() -> None:
    assert notes_url(ImageFacts(source=GITHUB, url="https://github.com/acme/site"), "v1.5.0") == TAG_PAGE
    assert notes_url(ImageFacts(source="https://acme.example", url=GITHUB), "v1.5.0") == TAG_PAGE


@pytest.mark.parametrize(
    ("reference", "label", "version"),
    [
        ("app:latest", "1.5.0", "1.5.0"),
        ("app", "v1.5.0", "v1.5.0"),
        ("app:stable", "4.0.16.2944-ls299", "4.0.16.2944-ls299"),
        ("app:latest", "2024.6.1", "2024.6.1"),
        ("app:16-alpine", "16.4", "16.4"),
        ("app:v1.5.0", "1.5.0", "1.5.0"),
        ("app:1.5.0-rc.1", "", "1.5.0-rc.1"),
        ("app:v1.5.0-alpine", "", "v1.5.0"),
        ("app:2.1.0-ubuntu22.04", "22.04", "2.1.0"),
        ("app:1.5.0", "24.04", "1.5.0"),
        ("app:2024.06", "", "2024.06"),
        ("app:latest", "main", ""),
        ("app:latest", "master", ""),
        ("app:latest", "0a1b2c3d", ""),
        ("app:latest", "20240101123456789", ""),
        ("app:latest", "1.5.0 <b>", ""),
        ("app:latest", "", ""),
        ("not a reference!", "1.5.0", "1.5.0"),
    ],
)
def test_the_label_says_the_version_unless_the_tag_contradicts_it(
    reference: str, label: str, version: str
) -> None:
    assert version_of(reference, ImageFacts(label)) == version


@pytest.mark.parametrize(
    ("old", "old_label", "new", "new_label", "size", "same_tag"),
    [
        ("app:1.4.2", "", "app:1.4.3", "", "patch", False),
        ("app:1.4.2", "", "app:1.5.0", "", "minor", False),
        ("app:1.4.2", "", "app:2.0.0", "", "major", False),
        ("app:latest", "1.4.2", "app:latest", "1.4.3", "patch", True),
        ("app:latest", "v1.4.2", "app:latest", "v2.0.0", "major", True),
        ("app:latest", "1.4.2", "app:latest", "1.4.2", "rebuild", True),
        ("app:latest", "", "app:latest", "1.4.2", "rebuild", True),
        ("app:16", "16.3", "app:16", "16.4", "minor", True),
        ("app:1.5.0", "", "app:1.4.2", "", "downgrade", False),
        ("app:latest", "1.5.0", "app:latest", "1.4.2", "downgrade", True),
        ("", "", "app:1.5.0", "", "", False),
    ],
)
def test_the_size_of_a_step(
    old: str, old_label: str, new: str, new_label: str, size: str, same_tag: bool
) -> None:
    step = step_between(old, ImageFacts(old_label), new, ImageFacts(new_label))
    assert (step.size, step.is_same_tag) == (size, same_tag)


def test_labels_of_a_base_image_give_no_link() -> None:
    """An image without labels of its own has those of the image that it was built on."""
    inherited = ImageFacts("22.04", "https://github.com/ubuntu/base")
    assert step_between("app:1.4.2", NO_FACTS, "app:1.5.0", inherited).notes_url == ""


def test_what_waits_is_looked_for_at_the_source_of_what_runs() -> None:
    runs = ImageFacts("1.4.2", GITHUB, built_at=datetime(2026, 1, 1, tzinfo=UTC))
    step = waiting_step("app:v1.4.2", runs, "app:v1.5.0")
    assert (step.notes_url, step.built_at, step.size) == (TAG_PAGE, None, "minor")
    assert waiting_step("app:1.4.2", ImageFacts("22.04", GITHUB), "app:v1.5.0").notes_url == ""


def image(labels: object, created: str = "2026-11-20T10:00:00.123456789Z") -> ImageFacts:
    return facts.image({"Id": "sha256:1", "Created": created, "Config": {"Labels": labels}}).facts


def test_the_engine_says_what_an_image_says_of_itself() -> None:
    found = image({"org.opencontainers.image.version": " 1.5.0 ", "org.opencontainers.image.source": GITHUB})
    assert found.version == "1.5.0"
    assert found.source == GITHUB
    assert found.built_at is not None
    assert (found.built_at.year, found.built_at.tzinfo is not None) == (2026, True)


@pytest.mark.parametrize("labels", [None, {}, {"org.opencontainers.image.version": None}])
def test_an_image_without_labels_says_nothing(labels: object) -> None:
    assert image(labels).version == ""


@pytest.mark.parametrize(
    "created", ["", "yesterday", "1970-01-01T00:00:00Z", "1980-01-01T00:00:01Z", "0001-01-01T00:00:00Z"]
)
def test_a_build_without_a_clock_has_no_age(created: str) -> None:
    assert image({}, created).built_at is None


def test_a_label_that_is_a_page_is_none() -> None:
    found = image(
        {"org.opencontainers.image.version": "1" * 10_000, "org.opencontainers.image.source": "x" * 10_000}
    )
    assert (found.version, found.source) == ("", "")
