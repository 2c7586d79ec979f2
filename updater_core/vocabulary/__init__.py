"""Values of one subject each that modules below `models` need too: reasons, secrets, gates, hooks."""
