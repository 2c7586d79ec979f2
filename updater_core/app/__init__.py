"""The program: context and wiring, evaluation, cycle, daemon, operator requests, self-check."""
