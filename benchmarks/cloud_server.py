"""Amazon's and Google's registries for the bench, in a process of their own.

That is moto's ECR, and Google's token server with a registry that takes its tokens.

    python -m benchmarks.cloud_server FOLDER REPOSITORIES

prints a line of facts, then a line of counts for each line that it reads, and ends when its standard input
ends.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from tests.support.aws import Aws
from tests.support.fake_registry import Behaviour, FakeRegistry
from tests.support.google import FakeGoogle


def push_as_google(registry: FakeRegistry, repository: str, tag: str) -> str:
    """Push an image, and return its digest; the tag list carries Google's map of digests then."""
    digest = registry.push(repository, tag).digest
    entry = {"tag": [tag], "timeUploadedMs": "1700000000000"}
    body = json.dumps({"name": repository, "tags": [tag], "manifest": {digest: entry}}).encode()
    registry.behave("tags", Behaviour(body=body), path=f"/v2/{repository}/tags/list")
    return digest


def main() -> None:
    """Serve until standard input ends."""
    folder, repositories = Path(sys.argv[1]), int(sys.argv[2])
    names = [f"team/app{number}" for number in range(repositories)]
    with Aws() as aws, FakeRegistry() as registry, FakeGoogle(folder) as google:
        google.guard(registry)
        in_ecr = {name: aws.push(name, "1.0.0", name) for name in names}
        in_google = {name: push_as_google(registry, name, "1.0.0") for name in names}
        where = {"host": registry.host, "key": str(google.key_file())}
        facts = {"environment": aws.environment, "ecr": in_ecr, "google": in_google, **where}
        print(json.dumps(facts), flush=True)
        for _ in sys.stdin:
            counts = Counter(aws.operations()) + Counter(registry.counts())
            aws.clear_log()
            registry.clear_log()
            print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
