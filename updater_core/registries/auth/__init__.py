"""How a registry is logged in to: challenges, tokens, what is cached of both."""
