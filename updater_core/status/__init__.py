"""How everything stands, for people and probes: facts, view, page, server, terminal text."""
