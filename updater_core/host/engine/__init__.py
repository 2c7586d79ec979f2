"""The Docker Engine's API: what its JSON means, and commands in its containers."""
