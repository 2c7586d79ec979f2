"""What is kept of a container that failed, once it is gone itself. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of a container before the rollback removed it, without secrets.

    `exit_code` is None if it never ended; `health` None if it has no healthcheck; `last_probe`: the last
    words of its healthcheck, or what `health_url` answered; `log`: the end of what it wrote, oldest line
    first; `log_problem`: why there is no log.
    """

    container: str
    image: str
    status: str
    exit_code: int | None = None
    oom_killed: bool = False
    restart_count: int = 0
    health: str | None = None
    last_probe: str = ""
    error: str = ""
    log: tuple[str, ...] = ()
    log_problem: str = ""

    @property
    def summary(self) -> str:
        """Return how it stood, in one line.

        >>> Evidence("web-1", "app:2", "exited", 137, oom_killed=True).summary
        'web-1 (app:2): exited with 137, out of memory'
        >>> Evidence("web-1", "app:2", "running", health="unhealthy", last_probe="HTTP 500").summary
        'web-1 (app:2): running, unhealthy; last probe: HTTP 500'
        """
        ended = f" with {self.exit_code}" if self.exit_code is not None else ""
        parts = [
            f"{self.status}{ended}",
            "out of memory" if self.oom_killed else "",
            self.health or "",
            f"restarted {self.restart_count} times" if self.restart_count else "",
            self.error,
        ]
        probe = f"; last probe: {self.last_probe}" if self.last_probe else ""
        return f"{self.container} ({self.image}): {', '.join(filter(None, parts))}{probe}"
