"""Crowds in the registries of Amazon and Google, both on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.crowd import Crowd

_ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"  # a name only: ECR is asked through its API
_KEYS = {"region": "eu-west-1", "aws_access_key_id": "AKIDBENCH", "aws_secret_access_key": "not a secret"}


@dataclass(frozen=True, slots=True)
class Clouds:
    """Both clouds, running."""

    facts: Mapping[str, Any]
    asks: IO[str]
    answers: IO[str]

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the variables by which botocore finds ECR here, with no account but the crowd's."""
        return dict(self.facts["environment"])

    def ecr(self, services: int, **policy: Any) -> Crowd:
        """Return a crowd in ECR, on all its repositories."""
        digests = self.facts["ecr"]
        return Crowd(_ECR, services, len(digests), {"registry_config": _KEYS, **policy}, digests.__getitem__)

    def google(self, services: int, **policy: Any) -> Crowd:
        """Return a crowd in a registry of Google's, on all its repositories."""
        digests = self.facts["google"]
        account = {"registry_type": "gcr", "registry_config": {"service_account_path": self.facts["key"]}}
        return Crowd(self.facts["host"], services, len(digests), {**account, **policy}, digests.__getitem__)

    def counts(self) -> Counter[str]:
        """Return what was asked of both since the last call."""
        self.asks.write("counts\n")
        self.asks.flush()
        return Counter(json.loads(self.answers.readline()))


@contextmanager
def clouds(folder: Path, repositories: int) -> Iterator[Clouds]:
    """Run both clouds for the length of a block; `Clouds.environment` leads botocore there."""
    argv = [sys.executable, "-m", "benchmarks.cloud_server", str(folder), str(repositories)]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(argv, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        facts = json.loads(child.stdout.readline())
        try:
            yield Clouds(facts, child.stdin, child.stdout)
        finally:
            child.stdin.close()
