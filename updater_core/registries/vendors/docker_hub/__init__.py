"""Docker Hub."""
