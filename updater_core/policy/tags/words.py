"""The words and forms that stand in tags: platforms, dates, commits, topics.

Expressions and lists, no rules.
"""

from __future__ import annotations

import re

# Words with a number of their own that name what an image is built on or for, never the release in it.
_SYSTEMS = (
    "al alma almalinux alpine amazonlinux bookworm bullseye centos debian el fc fedora ltsc nanoserver ol "
    "oraclelinux rhel rocky rockylinux trixie ubi ubuntu windows windowsservercore"
)
_RUNTIMES = (
    "adoptopenjdk amazoncorretto corretto cp cu cuda cudnn dotnet erlang go golang graalvm hadoop java "
    "javaee jdk jre jsc llvm microprofile mysql node nodejs openj openjdk otp perl pg php postgres "
    "postgresql py pypy python rocm ruby sapmachine scala semeru spark springboot temurin"
)
PLATFORM_WORDS = frozenset(f"{_SYSTEMS} {_RUNTIMES}".split())
ARCHITECTURES = re.compile(r"x86_64|(?:linux|windows)[-_]?(?:386|64)|arm(?:32|64)?v[5-8]")
# With numbers that count nothing, wherever they stand.
MACHINES = re.compile(
    r"amd64|x86[-_]64|x64|i?[36]86|aarch64|armhf|arm(?:32|64)?(?:v?[5-8])?l?|ppc64(?:le|el)?|s390x?|riscv64|"
    r"mips(?:64)?(?:le|el)?|loong(?:arch)?64|win(?:32|64)"
)
# Words with digits that count nothing either: widths, protocols, codecs, names.
_NAMES_WITH_DIGITS = (
    r"(?:16|32|64)bit|ipv?[46]|[hx]26[45]|k[38]s|s[36]|i18n|l10n|utf8|md5|sha(?:1|256|512)|"
    r"e2e|web3|oauth2|avx2?"
)
FIXED_WORDS = re.compile(
    rf"(?<![0-9A-Za-z])(?:{MACHINES.pattern}|{_NAMES_WITH_DIGITS})(?![0-9A-Za-z])", re.IGNORECASE
)
# A number behind these says which change is in the image; the next number is another change, not a newer one.
TOPIC_WORDS = frozenset(
    {"branch", "bug", "bugfix", "dependabot", "feat", "feature", "fix", "issue", "merge", "mr", "pr", "pull"}
    | {"renovate", "task", "ticket"}
)
RELEASE_WORDS = frozenset({"release", "rel", "version", "ver", "build", "rev", "revision", "snapshot"})
BUILD_WORDS = frozenset({"b", "r", "bld", "build", "rev", "revision"})

# ------------------------------------------------------------------------------------------ dates and commits

_DATE_FORM = r"(?:19|20)[0-9]{2}{0}(?:0[1-9]|1[0-2]){0}(?:0[1-9]|[12][0-9]|3[01])"
_TIME = r"[Tt][0-9]{2}-?[0-9]{2}(?:-?[0-9]{2})?[Zz]?"
_UNIX_TIME = r"1[4-9][0-9]{8}(?:[0-9]{3})?"  # of 2014 to 2033, in seconds or milliseconds
DASHED_DATE = re.compile(_DATE_FORM.replace("{0}", "-") + rf"(?:{_TIME})?(?![0-9])")
DATE_AND_TIME = re.compile(_DATE_FORM.replace("{0}", "") + rf"{_TIME}(?![0-9A-Za-z])")
DIGIT_DATE = re.compile(
    _DATE_FORM.replace("{0}", "") + rf"(?:[0-9]{{2}}|[0-9]{{4}}|[0-9]{{6}})?(?![0-9])|{_UNIX_TIME}(?![0-9])"
)
WEEK = re.compile(r"(?:19|20)[0-9]{2}[-.]?[wW](?:[0-4][0-9]|5[0-3])(?![0-9A-Za-z])")
YEARS = range(1990, 2100)
# With a letter and a digit, or with the `g` of `git describe` in front.
COMMIT = re.compile(
    r"(?:g?(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,128}|g[0-9a-f]{7,40})(?![0-9A-Za-z])", re.ASCII
)
ANY_COMMIT = re.compile(rf"(?<=[-_]){COMMIT.pattern}", re.ASCII)
LONGEST_NUMBER = 6  # digits; a longer number is a date, or a commit's hash that happens to have no letter
_DIGIT_COMMIT = re.compile(rf"[0-9]{{{LONGEST_NUMBER + 1},128}}(?![0-9A-Za-z.])")
COMMIT_PIECE = re.compile(
    rf"(?<![0-9A-Za-z])(?:{COMMIT.pattern}|(?!{DIGIT_DATE.pattern}){_DIGIT_COMMIT.pattern})(?=$|[-_.])",
    re.ASCII,
)
UBUNTU_RELEASE = re.compile(r"(?:1[2-9]|[23][0-9])\.(?:04|10)(?=$|[-_])")

# ----------------------------------------------------------------------------------- prereleases and counters

DOTTED_PRERELEASE = re.compile(r"[._]?(alpha|beta|rc|milestone|preview|pre)(?=$|[-_])", re.IGNORECASE)
BARE_PRERELEASES = frozenset({"alpha", "beta", "rc", "pre", "preview", "milestone"})
POST_RELEASE = re.compile(r"\.post([0-9]+)(?=$|[-_])")  # PEP 440: a release after the one of the same numbers
# Service packs, service and maintenance releases, and cumulative updates come after their release.
COUNTER_WORDS = (
    "r|ls|rev|revision|build|bld|p|pl|patch|hotfix|fix|sec|sp|sr|mr|post|update|k3s|rke2r|eksbuild|gke|cu"
)
COUNTER = re.compile(rf"[-_.](?:(?:{COUNTER_WORDS})\.?|(?:ce|ee)\.)([0-9]+)(?=$|[-_])", re.IGNORECASE)
EDITION = re.compile(r"(?<=[0-9])\.(?:ce|ee)\.[0-9]+(?=$|[-_])")  # the editions of GitLab
GLUED_PATCH = re.compile(r"p([0-9]+)(?=$|[-_])")  # `9.8p1`
# Debian's revision and Ubuntu's of it: `-0ubuntu1`, `-1ubuntu2.3` (deb-version(7), Ubuntu's version strings).
DISTRIBUTION_REVISION = re.compile(r"-([0-9]{1,3})(?:ubuntu|build)([0-9]{1,3}(?:\.[0-9]{1,3})*)(?=$|[-_])")
FIRST_COUNTER = re.compile(r"[-_]v?([0-9]+(?:\.[0-9]+)*)(?=$|[-_])")
NUMBER = re.compile("[0-9]+")


def commit_end(text: str, start: int) -> int | None:
    """Return where the commit's hash ends that begins exactly at `start`; None if none does.

    >>> commit_end("1.2-5a81b1e", 4), commit_end("1.2-1234567", 4), commit_end("1.2-20241001", 4)
    (11, 11, None)
    """
    found = COMMIT.match(text, start)
    may_be_digits = found is None and text[start : start + 1].isdigit()
    if may_be_digits and DIGIT_DATE.match(text, start) is None:
        found = _DIGIT_COMMIT.match(text, start)
    return found.end() if found else None
