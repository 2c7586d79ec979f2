"""The orders that an operator may give, by their names. No rules."""

UPDATE, APPROVE, SKIP, PAUSE, RESUME = "update", "approve", "skip", "pause", "resume"
RETRY, ROLLBACK, CHECK = "retry", "rollback", "check"
KINDS = (UPDATE, APPROVE, SKIP, PAUSE, RESUME, RETRY, ROLLBACK, CHECK)
ALL = "all"  # in place of a service's name: every service
OF_ALL = frozenset({PAUSE, RESUME, CHECK})  # the orders that may be for all
