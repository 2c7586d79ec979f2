"""Values that packages of every layer pass on, beside `models`: what failed, and what hooks are."""
