"""Values that packages of every layer pass on, beside `models`: secrets, gates, what failed, and what hooks are."""
