"""How a registry is logged in to: challenges, tokens, what was learned of both."""
