"""Start-first: the new containers beside the old ones, which go only when the new ones are proven."""
