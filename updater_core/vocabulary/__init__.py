"""Values of one subject each that modules below `models` need too.

Reasons, secrets, gates, hooks, what failed.
"""
