"""Values that packages of every layer pass on, beside `models`: secrets, what failed, and what hooks are."""
