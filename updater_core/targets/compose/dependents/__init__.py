"""Containers of other projects that share a namespace or volumes with one that goes, and go with it."""
