"""What is remembered while the process runs: `cache` for values, `single_flight` for one answer to many."""
