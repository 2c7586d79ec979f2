"""The text of a project's files: YAML nodes, interpolation, locating an image, editing it. Pure."""
