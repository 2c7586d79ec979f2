"""What can be said of a service of a Docker Swarm, besides what every service has. Pure."""

from __future__ import annotations

from dataclasses import dataclass

NAME = "swarm"  # the target's, in the table and in a plan


@dataclass(frozen=True, slots=True)
class SwarmSettings:
    """Which service of which swarm is meant: that of a stack, or one of no stack.

    `engine`: one of `engines`, None = the engine of this host. `run_jobs`: a job may be updated, which runs
    it.
    """

    stack: str | None = None
    swarm_service: str | None = None
    run_jobs: bool = False
    engine: str | None = None
