"""Every option once, and what is wrong with a value."""
