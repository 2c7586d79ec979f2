"""An entry of `services` for a service of a Docker Swarm: its options and what is wrong with them. Pure."""
