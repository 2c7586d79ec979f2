"""Which image, and may it go now: selection, ranges, patterns, windows. Pure."""
