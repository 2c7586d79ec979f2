"""What Compose reads for a project: its files, and those that they bring in."""
